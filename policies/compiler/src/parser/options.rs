//! What may follow `from … to …`.

use super::{Failed, Parsed, Parser};
use crate::ast::{Family, Filter, RuleOption, ScrubOption, Spanned};
use crate::diagnostic::suggest;
use crate::lexer::Token;
use crate::names;

/// The words that begin an option.
pub(super) const OPTION_WORDS: [&str; 33] = [
    "flags",
    "icmp-type",
    "icmp6-type",
    "tos",
    "tag",
    "tagged",
    "label",
    "keep",
    "modulate",
    "synproxy",
    "no",
    "allow-opts",
    "fragment",
    "once",
    "probability",
    "max-pkt-rate",
    "received-on",
    "user",
    "group",
    "scrub",
    "nat-to",
    "rdr-to",
    "binat-to",
    "af-to",
    "route-to",
    "reply-to",
    "dup-to",
    "divert-to",
    "divert-reply",
    "divert-packet",
    "rtable",
    "set",
    "prio",
];

/// Parts of a filter that come before the options, in their order.
const EARLIER: [&str; 10] =
    ["in", "out", "log", "quick", "on", "inet", "inet6", "proto", "from", "to"];

const POOLS: [&str; 6] = ["nat-to", "rdr-to", "binat-to", "route-to", "reply-to", "dup-to"];

impl Parser<'_> {
    pub(super) fn options(&mut self, filter: &mut Filter) -> Parsed<()> {
        loop {
            while self.accept_sign(",") {}
            let start = self.span();
            let option = match self.peek().clone() {
                Token::Newline | Token::End | Token::Sign("{" | "}") => return Ok(()),
                Token::Sign("!") => {
                    self.next();
                    self.negated_option()?
                }
                Token::Word(word) if OPTION_WORDS.contains(&word.as_str()) => {
                    self.next();
                    self.option(&word)?
                }
                Token::Word(word) if EARLIER.contains(&word.as_str()) => {
                    return self.misplaced(&word);
                }
                Token::Word(_) | Token::Str(_) | Token::Sign(_) => {
                    let mut known: Vec<&str> = OPTION_WORDS.to_vec();
                    known.extend(EARLIER);
                    return self.unknown("an option of the rule", &known);
                }
            };
            filter.options.push(Spanned::new(option, self.since(start)));
        }
    }

    fn misplaced<T>(&mut self, word: &str) -> Parsed<T> {
        let span = self.span();
        self.report.error_mend(
            span,
            format!("`{word}` stands too late in the rule, or twice"),
            "the order is: action, in/out, log, quick, on, inet/inet6, proto, from, to, options",
        );
        Err(Failed)
    }

    fn negated_option(&mut self) -> Parsed<RuleOption> {
        if self.accept("tagged") {
            let name = self.text("a tag")?.node;
            return Ok(RuleOption::Tagged { negated: true, name });
        }
        if self.accept("received-on") {
            let name = self.text("an interface or group")?.node;
            return Ok(RuleOption::ReceivedOn { negated: true, name });
        }
        self.expected("`tagged` or `received-on` after `!`")
    }

    fn option(&mut self, word: &str) -> Parsed<RuleOption> {
        Ok(match word {
            "flags" => self.flags()?,
            "icmp-type" => self.icmp(Family::V4)?,
            "icmp6-type" => self.icmp(Family::V6)?,
            "tos" => self.tos()?,
            "tag" => RuleOption::Tag(self.text("a tag")?.node),
            "tagged" => RuleOption::Tagged { negated: false, name: self.text("a tag")?.node },
            "label" => RuleOption::Label(self.text("a label")?.node),
            "keep" | "modulate" | "synproxy" | "no" => self.state(word)?,
            "allow-opts" => RuleOption::AllowOpts,
            "fragment" => RuleOption::Fragment,
            "once" => RuleOption::Once,
            "probability" => self.probability()?,
            "max-pkt-rate" => {
                let (n, s) = self.rate()?;
                RuleOption::MaxPacketRate(n, s)
            }
            "received-on" => {
                let name = self.text("an interface or group")?.node;
                RuleOption::ReceivedOn { negated: false, name }
            }
            "user" => RuleOption::Owner("user", self.owners("a user's number")?),
            "group" => RuleOption::Owner("group", self.owners("a group's number")?),
            "scrub" => self.scrub()?,
            "af-to" => self.af_to()?,
            "divert-to" => {
                let host = self.host()?;
                self.expect("port")?;
                RuleOption::DivertTo(Box::new(host), self.port()?)
            }
            "divert-reply" => RuleOption::DivertReply,
            "divert-packet" => {
                self.expect("port")?;
                RuleOption::DivertPacket(self.port()?)
            }
            "rtable" => RuleOption::Rtable(self.number("a routing table", 255)?),
            "set" => self.rule_set()?,
            "prio" => {
                let prio = self.number("a priority", 7)?;
                RuleOption::Prio(u8::try_from(prio).unwrap_or(7))
            }
            other => match POOLS.iter().find(|pool| **pool == other) {
                Some(pool) => RuleOption::Pool(pool, self.pool()?),
                None => return self.expected("an option of the rule"),
            },
        })
    }

    fn port(&mut self) -> Parsed<u16> {
        let word = self.text("a port")?;
        names::port(&word.node).ok_or_else(|| {
            let mend = suggest(&word.node, names::services());
            let message = format!("`{}` is not a port", word.node.escape_debug());
            self.report.error_mend(word.span, message, mend);
            Failed
        })
    }

    fn flags(&mut self) -> Parsed<RuleOption> {
        let word = self.text("flags such as S/SA, or any")?;
        if word.node == "any" {
            return Ok(RuleOption::Flags(None));
        }
        let (set, mask) = match word.node.split_once('/') {
            Some((set, mask)) => (names::flags(set), names::flags(mask)),
            None => (names::flags(&word.node), Some(0xff)),
        };
        match (set, mask) {
            (Some(set), Some(mask)) if set & !mask == 0 && mask != 0 => {
                Ok(RuleOption::Flags(Some((set, mask))))
            }
            (Some(set), Some(mask)) if set & !mask != 0 => {
                let message = format!("flags {}: what is tested must be in the mask", word.node);
                let full = names::flags_name(set | mask);
                let mend = format!("write {}/{full}", names::flags_name(set));
                self.report.error_mend(word.span, message, mend);
                Err(Failed)
            }
            (Some(_) | None, Some(_) | None) => {
                let message = format!("`{}` are no flags", word.node.escape_debug());
                let mend = "the letters are F S R P A U E W: flags S/SA, flags any";
                self.report.error_mend(word.span, message, mend);
                Err(Failed)
            }
        }
    }

    fn icmp(&mut self, family: Family) -> Parsed<RuleOption> {
        let v6 = family == Family::V6;
        let types = self.list("types", &mut |parser| {
            let start = parser.span();
            let known = match parser.peek() {
                Token::Word(word) | Token::Str(word) => names::icmp_type(v6, word),
                Token::Sign(_) | Token::Newline | Token::End => None,
            };
            let Some(ty) = known else {
                let what = if v6 { "a type of ICMPv6" } else { "a type of ICMP" };
                return parser.unknown(what, &names::icmp_types(v6));
            };
            parser.next();
            let code = if parser.accept("code") { Some(parser.icmp_code(v6, ty)?) } else { None };
            Ok(Spanned::new((ty, code), parser.since(start)))
        })?;
        Ok(RuleOption::Icmp { family, types })
    }

    fn icmp_code(&mut self, v6: bool, ty: u8) -> Parsed<u8> {
        if let Token::Word(word) | Token::Str(word) = self.peek()
            && let Some(code) = names::icmp_code(v6, ty, word)
        {
            self.next();
            return Ok(code);
        }
        self.unknown("a code of this type", &names::icmp_codes(v6, ty))
    }

    fn tos(&mut self) -> Parsed<RuleOption> {
        if let Token::Word(word) | Token::Str(word) = self.peek()
            && let Some(tos) = names::tos(word)
        {
            self.next();
            return Ok(RuleOption::Tos(tos));
        }
        let known: Vec<&str> = names::TOS.iter().map(|(name, _)| *name).collect();
        self.unknown("a TOS", &known)
    }

    fn probability(&mut self) -> Parsed<RuleOption> {
        let word = self.text("a probability such as 20%")?;
        let digits = word.node.strip_suffix('%').unwrap_or(&word.node);
        let percent = is_decimal(digits).then(|| digits.parse::<f64>().ok()).flatten();
        let Some(percent) = percent.filter(|p| *p > 0.0 && *p <= 100.0) else {
            let message = format!("`{}` is not a probability", word.node.escape_debug());
            self.report.error_mend(word.span, message, "write more than 0% and at most 100%");
            return Err(Failed);
        };
        let whole = f64::from(u32::MAX) + 1.0;
        Ok(RuleOption::Probability((percent / 100.0 * whole) as u64))
    }

    /// `60/10`.
    pub(super) fn rate(&mut self) -> Parsed<(u32, u32)> {
        let word = self.text("a rate such as 60/10")?;
        let parts = word.node.split_once('/').and_then(|(n, s)| {
            let (n, s) = (n.parse::<u32>().ok()?, s.parse::<u32>().ok()?);
            (n > 0 && s > 0).then_some((n, s))
        });
        parts.ok_or_else(|| {
            let message = format!("`{}` is not a rate", word.node.escape_debug());
            self.report.error_mend(word.span, message, "write connections/seconds, such as 60/10");
            Failed
        })
    }

    fn owners(&mut self, what: &str) -> Parsed<Vec<Spanned<crate::ast::Test>>> {
        self.list("owners", &mut |parser| {
            parser.test(what, u32::MAX, &|word| {
                if word == "unknown" || word == "root" { Some(0) } else { word.parse().ok() }
            })
        })
    }

    fn scrub(&mut self) -> Parsed<RuleOption> {
        const KNOWN: [&str; 5] = ["no-df", "random-id", "min-ttl", "max-mss", "reassemble"];
        self.expect_sign("(")?;
        let mut options = Vec::new();
        loop {
            while self.accept_sign(",") {}
            let start = self.span();
            let option = match self.peek().clone() {
                Token::Sign(")") => {
                    self.next();
                    return Ok(RuleOption::Scrub(options));
                }
                Token::Word(word) if KNOWN.contains(&word.as_str()) => {
                    self.next();
                    match word.as_str() {
                        "no-df" => ScrubOption::Word("no-df"),
                        "random-id" => ScrubOption::Word("random-id"),
                        "min-ttl" => ScrubOption::Number("min-ttl", self.number("a TTL", 255)?),
                        "max-mss" => ScrubOption::Number("max-mss", self.number("an MSS", 65_535)?),
                        _ => {
                            self.expect("tcp")?;
                            ScrubOption::Word("reassemble tcp")
                        }
                    }
                }
                Token::Word(_) | Token::Str(_) | Token::Sign(_) | Token::Newline | Token::End => {
                    return self.unknown("an option of scrub", &KNOWN);
                }
            };
            options.push(Spanned::new(option, self.since(start)));
        }
    }

    fn af_to(&mut self) -> Parsed<RuleOption> {
        let Some(family) = self.family() else { return self.expected("`inet` or `inet6`") };
        self.expect("from")?;
        let from = self.pool()?;
        let to = if self.accept("to") { Some(self.pool()?) } else { None };
        Ok(RuleOption::AfTo(family, from, to))
    }

    fn rule_set(&mut self) -> Parsed<RuleOption> {
        const KNOWN: [&str; 4] = ["prio", "tos", "queue", "delay"];
        let mut words = Vec::new();
        let braced = self.accept_sign("(");
        loop {
            while braced && self.accept_sign(",") {}
            if braced && self.accept_sign(")") {
                break;
            }
            let start = self.span();
            let Token::Word(word) = self.peek().clone() else {
                return self.unknown("`prio`, `tos`, `queue` or `delay`", &KNOWN);
            };
            if !KNOWN.contains(&word.as_str()) {
                return self.unknown("`prio`, `tos`, `queue` or `delay`", &KNOWN);
            }
            self.next();
            let value = if self.accept_sign("(") {
                let mut values = Vec::new();
                while !self.accept_sign(")") {
                    if !self.accept_sign(",") {
                        values.push(self.text("a value")?.node);
                    }
                }
                format!("({})", values.join(", "))
            } else {
                self.text("a value")?.node
            };
            words.push(Spanned::new(format!("{word} {value}"), self.since(start)));
            if !braced {
                break;
            }
        }
        Ok(RuleOption::Set(words))
    }
}

/// Digits with at most one point, so that `inf` and `1e3` are no numbers.
fn is_decimal(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.bytes().filter(|b| *b == b'.').count() <= 1
        && text != "."
}
