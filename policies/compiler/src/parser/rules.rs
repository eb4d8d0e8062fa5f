//! `pass`, `block`, `match`, `antispoof`, and the filter they share with anchors.

use super::{Failed, Parsed, Parser};
use crate::ast::{
    Antispoof, Direction, End, Family, Filter, Log, On, OnItem, Reply, Rule, RuleAction, Spanned,
};
use crate::lexer::Token;
use crate::names;

/// What can follow the action, in this order.
const FILTER_WORDS: [&str; 12] =
    ["in", "out", "log", "quick", "on", "inet", "inet6", "proto", "all", "from", "to", "os"];

/// Whether a word begins a part of a filter, so that it cannot be an anchor's bare name.
pub(super) fn is_filter_word(word: &str) -> bool {
    FILTER_WORDS.contains(&word) || super::options::OPTION_WORDS.contains(&word)
}

impl Parser<'_> {
    pub(super) fn rule(&mut self) -> Parsed<Rule> {
        let (token, _) = self.next();
        let action = match token {
            Token::Word(word) if word == "pass" => RuleAction::Pass,
            Token::Word(word) if word == "match" => RuleAction::Match,
            Token::Word(_) | Token::Str(_) | Token::Sign(_) | Token::Newline | Token::End => {
                RuleAction::Block(self.reply()?)
            }
        };
        Ok(Rule { action, filter: self.filter()? })
    }

    fn reply(&mut self) -> Parsed<Option<Reply>> {
        let Token::Word(word) = self.peek().clone() else { return Ok(None) };
        let reply = match word.as_str() {
            "drop" => Reply::Drop,
            "return" => Reply::Return,
            "return-rst" => Reply::ReturnRst { ttl: None },
            "return-icmp" => Reply::ReturnIcmp { code4: None, code6: None },
            "return-icmp6" => Reply::ReturnIcmp { code4: None, code6: None },
            _ => return Ok(None),
        };
        self.next();
        match word.as_str() {
            "return-rst" if self.accept_sign("(") => {
                self.expect("ttl")?;
                let ttl = self.number("a TTL", 255)?;
                self.expect_sign(")")?;
                Ok(Some(Reply::ReturnRst { ttl: u8::try_from(ttl).ok() }))
            }
            "return-icmp" if self.accept_sign("(") => {
                let code4 = Some(self.unreachable_code(false)?);
                let code6 =
                    if self.accept_sign(",") { Some(self.unreachable_code(true)?) } else { None };
                self.expect_sign(")")?;
                Ok(Some(Reply::ReturnIcmp { code4, code6 }))
            }
            "return-icmp6" if self.accept_sign("(") => {
                let code6 = Some(self.unreachable_code(true)?);
                self.expect_sign(")")?;
                Ok(Some(Reply::ReturnIcmp { code4: None, code6 }))
            }
            _ => Ok(Some(reply)),
        }
    }

    fn unreachable_code(&mut self, v6: bool) -> Parsed<u8> {
        let of = if v6 { 1 } else { 3 };
        if let Token::Word(word) = self.peek()
            && let Some(code) = names::icmp_code(v6, of, word)
        {
            self.next();
            return Ok(code);
        }
        self.unknown("a code of an unreachable error", &names::icmp_codes(v6, of))
    }

    pub(super) fn filter(&mut self) -> Parsed<Filter> {
        let mut filter = Filter { direction: self.direction(), ..Filter::default() };
        loop {
            if self.is_word("log") && filter.log.is_none() {
                filter.log = Some(self.log()?);
            } else if self.is_word("quick") && !filter.quick {
                self.next();
                filter.quick = true;
            } else {
                break;
            }
        }
        filter.on = self.on()?;
        filter.family = self.family();
        if self.accept("proto") {
            filter.protocols = self.list("protocols", &mut |parser| parser.protocol())?;
        }
        if !self.accept("all") {
            if self.accept("from") {
                filter.from = self.end()?;
            }
            if self.accept("to") {
                filter.to = self.end()?;
            }
        }
        self.options(&mut filter)?;
        Ok(filter)
    }

    fn direction(&mut self) -> Option<Direction> {
        if self.accept("in") {
            Some(Direction::In)
        } else if self.accept("out") {
            Some(Direction::Out)
        } else {
            None
        }
    }

    pub(super) fn family(&mut self) -> Option<Family> {
        if self.accept("inet") {
            Some(Family::V4)
        } else if self.accept("inet6") {
            Some(Family::V6)
        } else {
            None
        }
    }

    fn log(&mut self) -> Parsed<Spanned<Log>> {
        let start = self.expect("log")?;
        let mut log = Log::default();
        if self.accept_sign("(") {
            loop {
                while self.accept_sign(",") {}
                if self.accept_sign(")") {
                    break;
                }
                let span = self.span();
                let mut word = self.text("`all`, `matches`, `user` or `to`")?.node;
                match word.as_str() {
                    "all" | "matches" | "user" => {}
                    "to" => {
                        let interface = self.text("a log interface")?.node;
                        word = format!("to {interface}");
                    }
                    _ => {
                        let message = format!("`log` has no option `{word}`");
                        let known = ["all", "matches", "user", "to"];
                        let mend = crate::diagnostic::suggest(&word, known);
                        self.report.error_mend(span, message, mend);
                        return Err(Failed);
                    }
                }
                log.options.push(Spanned::new(word, self.since(span)));
            }
        }
        Ok(Spanned::new(log, self.since(start)))
    }

    fn on(&mut self) -> Parsed<On> {
        if !self.accept("on") {
            return Ok(On::Everywhere);
        }
        if self.accept("any") {
            return Ok(On::Any);
        }
        if self.accept("rdomain") {
            return Ok(On::Rdomain(self.number("a routing domain", 255)?));
        }
        let items = self.list("interfaces", &mut |parser| parser.on_item())?;
        Ok(On::Interfaces(items))
    }

    pub(super) fn on_item(&mut self) -> Parsed<Spanned<OnItem>> {
        let start = self.span();
        let negated = self.accept_sign("!");
        if self.is_sign("{") && negated {
            return self.not_before_list(start);
        }
        let name = self.text("an interface or group")?.node;
        Ok(Spanned::new(OnItem { negated, name }, self.since(start)))
    }

    /// `! {a b}` looks like "neither", but pf's lists would make it "always".
    pub(super) fn not_before_list<T>(&mut self, start: crate::diagnostic::Span) -> Parsed<T> {
        self.report.error_mend(
            start,
            "`!` cannot stand before a list",
            "each item makes a rule of its own; use a table with `!` entries, or a rule before",
        );
        Err(Failed)
    }

    fn protocol(&mut self) -> Parsed<Spanned<u8>> {
        if let Token::Word(word) | Token::Str(word) = self.peek()
            && let Some(number) = names::protocol(word)
        {
            let (_, span) = self.next();
            return Ok(Spanned::new(number, span));
        }
        let known: Vec<&str> = names::PROTOCOLS.iter().map(|(name, _)| *name).collect();
        self.unknown("a protocol", &known)
    }

    fn end(&mut self) -> Parsed<End> {
        let mut end = End::default();
        if !self.is_word("port") && !self.is_word("os") {
            end.hosts = self.hosts()?;
        }
        if self.accept("port") {
            end.ports = self.ports()?;
        }
        if self.accept("os") {
            end.os = self.list("systems", &mut |parser| parser.text("a system's name"))?;
        }
        Ok(end)
    }

    pub(super) fn antispoof(&mut self) -> Parsed<Antispoof> {
        self.next();
        let (mut log, mut quick) = (None, false);
        loop {
            if self.is_word("log") && log.is_none() {
                log = Some(self.log()?);
            } else if self.is_word("quick") && !quick {
                self.next();
                quick = true;
            } else {
                break;
            }
        }
        self.expect("for")?;
        let interfaces = self.list("interfaces", &mut |parser| {
            let start = parser.span();
            let negated = parser.accept_sign("!");
            let dynamic = parser.accept_sign("(");
            let name = parser.text("an interface")?.node;
            if dynamic {
                parser.expect_sign(")")?;
            }
            Ok(Spanned::new(OnItem { negated, name }, parser.since(start)))
        })?;
        let family = self.family();
        let label = if self.accept("label") { Some(self.text("a label")?) } else { None };
        Ok(Antispoof { log, quick, interfaces, family, label })
    }
}
