//! Addresses, ports and pools.

use std::net::{IpAddr, Ipv4Addr};

use super::{Failed, Parsed, Parser};
use crate::ast::{Host, HostKind, Modifiers, Part, Pool, Spanned, Test};
use crate::diagnostic::suggest;
use crate::lexer::Token;
use crate::names;

/// Reads an address or network; IPv4 networks may leave out octets: `10/8`.
pub(crate) fn parse_net(word: &str) -> Option<(IpAddr, u8)> {
    let (address, len) = match word.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (word, None),
    };
    let parsed: IpAddr = match address.parse() {
        Ok(address) => address,
        Err(_) if len.is_some() => IpAddr::V4(short_v4(address)?),
        Err(_) => return None,
    };
    let max = if parsed.is_ipv4() { 32 } else { 128 };
    match len {
        None => Some((parsed, max)),
        Some(len) if !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit()) => {
            len.parse().ok().filter(|len| *len <= max).map(|len| (parsed, len))
        }
        Some(_) => None,
    }
}

fn short_v4(word: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    for (count, part) in word.split('.').enumerate() {
        let good = count < 4 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !good {
            return None;
        }
        octets[count] = part.parse().ok()?;
    }
    Some(octets.into())
}

/// Reads `name`, `name:network`, `name:0` and the like.
fn parse_interface(word: &str) -> Option<(String, Modifiers)> {
    let mut parts = word.split(':');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut modifiers = Modifiers::default();
    for part in parts {
        let found = match part {
            "network" => Part::Network,
            "broadcast" => Part::Broadcast,
            "peer" => Part::Peer,
            "0" if !modifiers.first => {
                modifiers.first = true;
                continue;
            }
            _ => return None,
        };
        if modifiers.part.replace(found).is_some() {
            return None;
        }
    }
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && name.len() <= 31
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    good.then(|| (name.to_owned(), modifiers))
}

impl Parser<'_> {
    pub(super) fn hosts(&mut self) -> Parsed<Vec<Spanned<Host>>> {
        self.list("addresses", &mut |parser| parser.host())
    }

    pub(super) fn host(&mut self) -> Parsed<Spanned<Host>> {
        let start = self.span();
        let negated = self.accept_sign("!");
        if negated && self.is_sign("{") {
            return self.not_before_list(start);
        }
        let kind = self.host_kind()?;
        let mut weight = None;
        if self.accept("weight") {
            weight = u16::try_from(self.number("a weight", 65_535)?).ok();
        }
        Ok(Spanned::new(Host { negated, kind, weight }, self.since(start)))
    }

    fn host_kind(&mut self) -> Parsed<HostKind> {
        if self.is_sign("<") {
            return Ok(HostKind::Table(self.table_name()?.node));
        }
        if self.is_sign("(") {
            return self.dynamic();
        }
        let word = self.text("an address, network, table or interface")?;
        match word.node.as_str() {
            "any" => return Ok(HostKind::Any),
            "no-route" => return Ok(HostKind::NoRoute),
            "urpf-failed" => return Ok(HostKind::UrpfFailed),
            "route" => return Ok(HostKind::RouteLabel(self.text("a route label")?.node)),
            _ => {}
        }
        if let Some((address, len)) = parse_net(&word.node) {
            if !self.is_word("-") {
                return Ok(HostKind::Net(address, len));
            }
            self.next();
            return self.range_to(address);
        }
        let looks_like_address = word.node.contains('/')
            || word.node.starts_with(|c: char| c.is_ascii_digit())
            || word.node.contains("::");
        if !looks_like_address && let Some((name, modifiers)) = parse_interface(&word.node) {
            return Ok(HostKind::Interface { name, modifiers, dynamic: false });
        }
        self.bad_host(&word)
    }

    fn bad_host<T>(&mut self, word: &Spanned<String>) -> Parsed<T> {
        let mend = match word.node.split_once('-') {
            Some((a, b)) if a.parse::<IpAddr>().is_ok() && b.parse::<IpAddr>().is_ok() => {
                format!("put blanks around `-`: {a} - {b}")
            }
            _ if word.node.contains(':') && word.node.starts_with(|c: char| c.is_alphabetic()) => {
                let part = word.node.rsplit(':').next().unwrap_or("");
                suggest(part, ["network", "broadcast", "peer", "0"])
            }
            _ => "write an address like 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32".to_owned(),
        };
        let message = format!("`{}` is not an address", word.node.escape_debug());
        self.report.error_mend(word.span, message, mend);
        Err(Failed)
    }

    fn range_to(&mut self, first: IpAddr) -> Parsed<HostKind> {
        let word = self.text("the last address of the range")?;
        let Ok(last) = word.node.parse::<IpAddr>() else { return self.bad_host(&word) };
        let one_family = first.is_ipv4() == last.is_ipv4();
        if !one_family || first > last {
            let message = format!("{first} - {last} is not a range");
            let mend = if one_family {
                "the first address must be the lower one"
            } else {
                "both addresses must be of one family"
            };
            self.report.error_mend(word.span, message, mend);
            return Err(Failed);
        }
        Ok(HostKind::Range(first, last))
    }

    /// `(if)`, and old pf's `(if address)` in pools.
    fn dynamic(&mut self) -> Parsed<HostKind> {
        self.expect_sign("(")?;
        let word = self.text("an interface")?;
        let Some((name, modifiers)) = parse_interface(&word.node) else {
            let message = format!("`{}` is not an interface", word.node.escape_debug());
            let mend = "write (name), (name:network), (name:broadcast), (name:peer) or (name:0)";
            self.report.error_mend(word.span, message, mend);
            return Err(Failed);
        };
        if let Token::Word(gateway) = self.peek().clone()
            && let Some((address, len)) = parse_net(&gateway)
        {
            self.next();
            self.expect_sign(")")?;
            return Ok(HostKind::Net(address, len));
        }
        self.expect_sign(")")?;
        Ok(HostKind::Interface { name, modifiers, dynamic: true })
    }

    pub(super) fn table_name(&mut self) -> Parsed<Spanned<String>> {
        self.expect_sign("<")?;
        let name = self.text("a table's name")?;
        let good = !name.node.is_empty()
            && name.node.len() <= 31
            && name.node.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !good {
            let message = format!("`{}` cannot name a table", name.node.escape_debug());
            let mend = "use up to 31 letters, digits and _ - .";
            self.report.error_mend(name.span, message, mend);
            return Err(Failed);
        }
        self.expect_sign(">")?;
        Ok(name)
    }

    pub(super) fn ports(&mut self) -> Parsed<Vec<Spanned<Test>>> {
        if self.is_sign("!=") && matches!(self.peek_second(), Token::Sign("{")) {
            let start = self.span();
            return self.not_before_list(start);
        }
        self.list("ports", &mut |parser| {
            parser.test("a port", 65_535, &|word| names::port(word).map(u32::from))
        })
    }

    /// `80`, `= 80`, `!= 80`, `< 80`, `80:90`, `80 >< 90`, `80 <> 90`.
    pub(super) fn test(
        &mut self,
        what: &str,
        max: u32,
        read: &dyn Fn(&str) -> Option<u32>,
    ) -> Parsed<Spanned<Test>> {
        let start = self.span();
        for sign in ["=", "!=", "<=", ">=", "<", ">"] {
            if self.accept_sign(sign) {
                let n = self.test_number(what, read)?;
                let empty = (sign == "<" && n == 0) || (sign == ">" && n == max);
                let test = match sign {
                    "=" => Test::Within(n, n),
                    "!=" => Test::Without(n, n),
                    "<=" => Test::Within(0, n),
                    ">=" => Test::Within(n, max),
                    "<" => Test::Within(0, n.saturating_sub(1)),
                    _ => Test::Within(n.saturating_add(1), max),
                };
                if empty {
                    return self.empty_test(start);
                }
                return Ok(Spanned::new(test, self.since(start)));
            }
        }
        if let Token::Word(word) = self.peek().clone()
            && let Some((first, last)) = word.split_once(':')
        {
            let (_, span) = self.next();
            let (Some(first), Some(last)) = (read(first), read(last)) else {
                self.report
                    .error(span, format!("`{}` is not a range of ports", word.escape_debug()));
                return Err(Failed);
            };
            if first > last {
                let mend = format!("write {last}:{first}");
                self.report.error_mend(span, format!("{first}:{last} runs backwards"), mend);
                return Err(Failed);
            }
            return Ok(Spanned::new(Test::Within(first, last), span));
        }
        let first = self.test_number(what, read)?;
        if self.accept_sign("><") {
            let last = self.test_number(what, read)?;
            if first.saturating_add(1) > last.saturating_sub(1) {
                return self.empty_test(start);
            }
            return Ok(Spanned::new(Test::Within(first + 1, last - 1), self.since(start)));
        }
        if self.accept_sign("<>") {
            let last = self.test_number(what, read)?;
            if first > last {
                return self.empty_test(start);
            }
            return Ok(Spanned::new(Test::Without(first, last), self.since(start)));
        }
        Ok(Spanned::new(Test::Within(first, first), self.since(start)))
    }

    fn empty_test<T>(&mut self, start: crate::diagnostic::Span) -> Parsed<T> {
        let span = self.since(start);
        self.report.error(span, "no number can be in this range");
        Err(Failed)
    }

    fn test_number(&mut self, what: &str, read: &dyn Fn(&str) -> Option<u32>) -> Parsed<u32> {
        if let Token::Word(word) | Token::Str(word) = self.peek() {
            if let Some(n) = read(word) {
                self.next();
                return Ok(n);
            }
            let digits = word.bytes().all(|b| b.is_ascii_digit());
            if what == "a port" && !digits {
                let known: Vec<&str> = names::services().collect();
                return self.unknown("a port or the name of a service", &known);
            }
        }
        self.expected(what)
    }

    /// The addresses of a translation or a route, and how one is chosen.
    pub(super) fn pool(&mut self) -> Parsed<Pool> {
        let mut pool = Pool { hosts: self.hosts()?, ..Pool::default() };
        if self.accept("port") {
            pool.port = Some(self.pool_port()?);
        }
        while let Token::Word(word) = self.peek().clone() {
            match word.as_str() {
                "round-robin" | "random" | "bitmask" | "least-states" | "source-hash"
                    if pool.kind.is_none() =>
                {
                    self.next();
                    pool.kind = Some(word.clone());
                    if word == "source-hash" {
                        pool.key = self.hash_key();
                    }
                }
                "sticky-address" if !pool.sticky => {
                    self.next();
                    pool.sticky = true;
                }
                "static-port" if !pool.static_port => {
                    self.next();
                    pool.static_port = true;
                }
                _ => break,
            }
        }
        Ok(pool)
    }

    fn hash_key(&mut self) -> Option<String> {
        let is_key = match self.peek() {
            Token::Str(_) => true,
            Token::Word(word) => word.starts_with("0x"),
            Token::Sign(_) | Token::Newline | Token::End => false,
        };
        if is_key { self.text("a key").ok().map(|key| key.node) } else { None }
    }

    fn pool_port(&mut self) -> Parsed<(u16, Option<u16>)> {
        let word = self.text("a port")?;
        let port = match word.node.split_once(':') {
            None => names::port(&word.node).map(|first| (first, Some(first))),
            Some((first, "*")) => names::port(first).map(|first| (first, None)),
            Some((first, last)) => match (names::port(first), names::port(last)) {
                (Some(first), Some(last)) if first <= last => Some((first, Some(last))),
                (Some(_) | None, Some(_) | None) => None,
            },
        };
        port.ok_or_else(|| {
            let message = format!("`{}` is not a port", word.node.escape_debug());
            self.report.error_mend(word.span, message, "write 80, 8000:8010 or 8000:*");
            Failed
        })
    }
}
