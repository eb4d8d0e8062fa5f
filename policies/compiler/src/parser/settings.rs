//! `set …` and `table …`.

use super::hosts::parse_net;
use super::{Failed, Parsed, Parser};
use crate::ast::{Reply, SetOption, Spanned, StateOption, Table, TableEntry};
use crate::diagnostic::Span;
use crate::lexer::Token;
use crate::names;

const SETTINGS: [&str; 14] = [
    "block-policy",
    "skip",
    "state-policy",
    "limit",
    "timeout",
    "optimization",
    "ruleset-optimization",
    "loginterface",
    "reassemble",
    "syncookies",
    "hostid",
    "debug",
    "fingerprints",
    "state-defaults",
];

/// The most entries of one table.
pub const TABLE_ENTRIES_MAX: usize = 1_000_000;

impl Parser<'_> {
    pub(super) fn set(&mut self) -> Parsed<Vec<Spanned<SetOption>>> {
        self.next();
        let start = self.span();
        let Token::Word(word) = self.peek().clone() else {
            return self.unknown("a setting", &SETTINGS);
        };
        if !SETTINGS.contains(&word.as_str()) {
            return self.unknown("a setting", &SETTINGS);
        }
        self.next();
        let one = match word.as_str() {
            "block-policy" => match self.choice(&["drop", "return"])?.as_str() {
                "drop" => SetOption::BlockPolicy(Reply::Drop),
                _ => SetOption::BlockPolicy(Reply::Return),
            },
            "skip" => {
                self.expect("on")?;
                SetOption::Skip(self.list("interfaces", &mut |parser| parser.on_item())?)
            }
            "state-policy" => SetOption::StatePolicy(self.choice(&["if-bound", "floating"])?),
            "limit" => return self.list("limits", &mut |parser| parser.limit()),
            "timeout" => return self.list("timeouts", &mut |parser| parser.set_timeout()),
            "optimization" => {
                let known: Vec<&str> = names::OPTIMIZATIONS.iter().map(|(name, _)| *name).collect();
                SetOption::Optimization(self.choice(&known)?)
            }
            "ruleset-optimization" => {
                SetOption::RulesetOptimization(self.choice(&["none", "basic", "profile"])?)
            }
            "loginterface" => SetOption::LogInterface(self.text("an interface or `none`")?.node),
            "reassemble" => {
                let yes = self.choice(&["yes", "no"])? == "yes";
                SetOption::Reassemble { yes, no_df: self.accept("no-df") }
            }
            "syncookies" => self.syncookies()?,
            "hostid" => SetOption::HostId(self.host_id()?),
            "debug" => SetOption::Debug(self.text("a level")?.node),
            "fingerprints" => SetOption::Fingerprints(self.text("a file")?.node),
            _ => SetOption::StateDefaults(self.state_defaults()?),
        };
        Ok(vec![Spanned::new(one, self.since(start))])
    }

    fn choice(&mut self, known: &[&str]) -> Parsed<String> {
        match self.peek() {
            Token::Word(word) if known.contains(&word.as_str()) => Ok(self.text("a word")?.node),
            Token::Word(_) | Token::Str(_) | Token::Sign(_) | Token::Newline | Token::End => {
                self.unknown("a value of this setting", known)
            }
        }
    }

    fn limit(&mut self) -> Parsed<Spanned<SetOption>> {
        let start = self.span();
        let name = self.choice(&names::LIMITS)?;
        let n = self.number("a number", u32::MAX)?;
        Ok(Spanned::new(SetOption::Limit(name, n), self.since(start)))
    }

    fn set_timeout(&mut self) -> Parsed<Spanned<SetOption>> {
        let start = self.span();
        let name = self.timeout_name()?;
        let StateOption::Timeout(name, n) = self.timeout(&name)? else { return Err(Failed) };
        Ok(Spanned::new(SetOption::Timeout(name, n), self.since(start)))
    }

    fn syncookies(&mut self) -> Parsed<SetOption> {
        let word = self.choice(&["never", "always", "adaptive"])?;
        let mut bounds = None;
        if word == "adaptive" && self.accept_sign("(") {
            self.expect("start")?;
            let start = self.percent()?;
            self.accept_sign(",");
            self.expect("end")?;
            bounds = Some((start, self.percent()?));
            self.expect_sign(")")?;
        }
        Ok(SetOption::Syncookies(word, bounds))
    }

    fn percent(&mut self) -> Parsed<u8> {
        let word = self.text("a percentage")?;
        let digits = word.node.strip_suffix('%').and_then(|digits| digits.parse().ok());
        digits.filter(|n| *n <= 100).ok_or_else(|| {
            self.report
                .error(word.span, format!("`{}` is no percentage", word.node.escape_debug()));
            Failed
        })
    }

    fn host_id(&mut self) -> Parsed<u32> {
        let word = self.text("a number")?;
        let hex = word.node.strip_prefix("0x").map(|digits| u32::from_str_radix(digits, 16).ok());
        hex.unwrap_or_else(|| word.node.parse().ok()).ok_or_else(|| {
            self.report.error(word.span, format!("`{}` is no host id", word.node.escape_debug()));
            Failed
        })
    }

    fn state_defaults(&mut self) -> Parsed<Vec<Spanned<StateOption>>> {
        let mut options = Vec::new();
        loop {
            while self.accept_sign(",") {}
            if matches!(self.peek(), Token::Newline | Token::End) {
                break;
            }
            options.push(self.state_option()?);
        }
        if options.is_empty() {
            return self.expected("options of states");
        }
        Ok(options)
    }

    pub(super) fn table(&mut self) -> Parsed<Table> {
        self.next();
        let name = self.table_name()?;
        let mut table = Table {
            name,
            persist: false,
            constant: false,
            counters: false,
            initialised: false,
            entries: Vec::new(),
            files: Vec::new(),
        };
        loop {
            if self.accept("persist") {
                table.persist = true;
            } else if self.accept("const") {
                table.constant = true;
            } else if self.accept("counters") {
                table.counters = true;
            } else if self.accept("file") {
                table.initialised = true;
                let path = self.text("the file's name")?;
                self.table_file(&path, &mut table.entries)?;
                table.files.push(path);
            } else if self.is_sign("{") {
                table.initialised = true;
                self.table_braces(&mut table.entries)?;
            } else {
                break;
            }
        }
        if !matches!(self.peek(), Token::Newline | Token::End) {
            return self
                .unknown("an option of the table", &["persist", "const", "counters", "file"]);
        }
        Ok(table)
    }

    /// `{ … }`, which for a table may be empty.
    fn table_braces(&mut self, entries: &mut Vec<Spanned<TableEntry>>) -> Parsed<()> {
        let mut items = Vec::new();
        self.braced(&mut |parser| parser.table_entry(), &mut items, 0)?;
        entries.extend(items);
        self.bound_table(entries)
    }

    fn bound_table(&mut self, entries: &[Spanned<TableEntry>]) -> Parsed<()> {
        if entries.len() > TABLE_ENTRIES_MAX {
            let message = format!("the table has more than {TABLE_ENTRIES_MAX} entries");
            let span = self.span();
            self.report.error(span, message);
            return Err(Failed);
        }
        Ok(())
    }

    fn table_entry(&mut self) -> Parsed<Spanned<TableEntry>> {
        let start = self.span();
        let negated = self.accept_sign("!");
        if self.is_sign("<") {
            let name = self.table_name()?.node;
            let net = Err(format!("the table <{name}>"));
            return Ok(Spanned::new(TableEntry { negated, net }, self.since(start)));
        }
        if self.accept_sign("(") {
            let name = self.text("an interface")?.node;
            self.expect_sign(")")?;
            let net = Err(format!("the interface ({name})"));
            return Ok(Spanned::new(TableEntry { negated, net }, self.since(start)));
        }
        let word = self.text("an address or network")?.node;
        if self.accept("-") {
            let last = self.text("the last address")?.node;
            let net = Err(format!("the range {word} - {last}"));
            return Ok(Spanned::new(TableEntry { negated, net }, self.since(start)));
        }
        let net = parse_net(&word).ok_or_else(|| format!("`{}`", word.escape_debug()));
        Ok(Spanned::new(TableEntry { negated, net }, self.since(start)))
    }

    /// A file of entries, one or more a line, with `#` comments.
    fn table_file(
        &mut self,
        path: &Spanned<String>,
        entries: &mut Vec<Spanned<TableEntry>>,
    ) -> Parsed<()> {
        let text = self.load(path)?;
        let source = self.report.add_source(&path.node, &text);
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let said = line.split(['#', ';']).next().unwrap_or("");
            let mut offset = 0;
            let mut negated = false;
            for word in said.split([' ', '\t', '\r', '\n', ',']) {
                let start = at + offset;
                offset += word.len() + 1;
                let word = match word.strip_prefix('!') {
                    Some(rest) => {
                        negated = true;
                        rest
                    }
                    None => word,
                };
                if word.is_empty() {
                    continue;
                }
                let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let span = Span { source, start: place(start), end: place(start + word.len()) };
                let net = parse_net(word).ok_or_else(|| format!("`{}`", word.escape_debug()));
                entries.push(Spanned::new(TableEntry { negated, net }, span));
                negated = false;
            }
            at += line.len();
        }
        self.bound_table(entries)
    }
}
