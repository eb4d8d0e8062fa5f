//! `keep state (…)` and its options; durations.

use super::{Failed, Parsed, Parser};
use crate::ast::{RuleOption, Spanned, StateKind, StateOption};
use crate::diagnostic::suggest;
use crate::lexer::Token;
use crate::names;

/// The words that begin an option of a state, timeouts apart.
const STATE_WORDS: [&str; 13] = [
    "max",
    "no-sync",
    "sloppy",
    "pflow",
    "if-bound",
    "floating",
    "source-track",
    "max-src-nodes",
    "max-src-states",
    "max-src-conn",
    "max-src-conn-rate",
    "overload",
    "flush",
];

impl Parser<'_> {
    pub(super) fn state(&mut self, word: &str) -> Parsed<RuleOption> {
        let kind = match word {
            "keep" => StateKind::Keep,
            "modulate" => StateKind::Modulate,
            "synproxy" => StateKind::Synproxy,
            _ => StateKind::No,
        };
        self.expect("state")?;
        let mut options = Vec::new();
        if self.accept_sign("(") {
            loop {
                while self.accept_sign(",") {}
                if self.accept_sign(")") {
                    break;
                }
                options.push(self.state_option()?);
            }
        }
        Ok(RuleOption::State(kind, options))
    }

    pub(super) fn state_option(&mut self) -> Parsed<Spanned<StateOption>> {
        let start = self.span();
        let Token::Word(word) = self.peek().clone() else {
            return self.unknown("an option of the state", &STATE_WORDS);
        };
        if names::TIMEOUTS.contains(&word.as_str()) {
            self.next();
            let option = self.timeout(&word)?;
            return Ok(Spanned::new(option, self.since(start)));
        }
        if !STATE_WORDS.contains(&word.as_str()) || word == "flush" {
            let mut known = STATE_WORDS.to_vec();
            known.extend(names::TIMEOUTS);
            return self.unknown("an option of the state", &known);
        }
        self.next();
        let option = match word.as_str() {
            "max" => StateOption::Max(self.number("a number of states", u32::MAX)?),
            "no-sync" => StateOption::NoSync,
            "sloppy" => StateOption::Sloppy,
            "pflow" => StateOption::Pflow,
            "if-bound" => StateOption::IfBound,
            "floating" => StateOption::Floating,
            "source-track" => StateOption::SourceTrack(self.source_track()),
            "max-src-nodes" => self.max_source("max-src-nodes")?,
            "max-src-states" => self.max_source("max-src-states")?,
            "max-src-conn" => self.max_source("max-src-conn")?,
            "max-src-conn-rate" => {
                let (n, s) = self.rate()?;
                StateOption::MaxSourceRate(n, s)
            }
            _ => {
                let table = self.table_name()?.node;
                let flush = self.accept("flush");
                let global = flush && self.accept("global");
                StateOption::Overload { table, flush, global }
            }
        };
        Ok(Spanned::new(option, self.since(start)))
    }

    fn max_source(&mut self, name: &'static str) -> Parsed<StateOption> {
        Ok(StateOption::MaxSource(name, self.number("a number", u32::MAX)?))
    }

    fn source_track(&mut self) -> Option<String> {
        for scope in ["rule", "global"] {
            if self.accept(scope) {
                return Some(scope.to_owned());
            }
        }
        None
    }

    pub(super) fn timeout(&mut self, name: &str) -> Parsed<StateOption> {
        if name.starts_with("adaptive.") {
            return Ok(StateOption::Timeout(name.to_owned(), self.number("a number", u32::MAX)?));
        }
        Ok(StateOption::Timeout(name.to_owned(), self.duration()?))
    }

    /// Seconds, or a number with s, m, h or d.
    pub(super) fn duration(&mut self) -> Parsed<u32> {
        let word = self.text("seconds, or a time such as 90s, 5m, 2h, 1d")?;
        let (digits, unit) = match word.node.char_indices().last() {
            Some((at, 's')) => (&word.node[..at], 1),
            Some((at, 'm')) => (&word.node[..at], 60),
            Some((at, 'h')) => (&word.node[..at], 3_600),
            Some((at, 'd')) => (&word.node[..at], 86_400),
            Some(_) | None => (word.node.as_str(), 1),
        };
        let seconds = if digits.bytes().all(|b| b.is_ascii_digit()) {
            digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit))
        } else {
            None
        };
        match seconds.map(u32::try_from) {
            Some(Ok(seconds)) if seconds <= evergate_abi::TIMEOUT_MAX_S => Ok(seconds),
            Some(_) => {
                let message = format!("{} is longer than a year", word.node);
                self.report.error(word.span, message);
                Err(Failed)
            }
            None => {
                let message = format!("`{}` is not a time", word.node.escape_debug());
                self.report.error_mend(word.span, message, "write seconds, or 90s, 5m, 2h, 1d");
                Err(Failed)
            }
        }
    }

    /// A timeout's name in `set timeout`.
    pub(super) fn timeout_name(&mut self) -> Parsed<String> {
        let word = self.text("a timeout")?;
        if names::TIMEOUTS.contains(&word.node.as_str()) {
            return Ok(word.node);
        }
        let message = format!("there is no timeout `{}`", word.node.escape_debug());
        self.report.error_mend(word.span, message, suggest(&word.node, names::TIMEOUTS));
        Err(Failed)
    }
}
