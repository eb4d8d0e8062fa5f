//! From tokens to statements, with several errors at once.
//!
//! After an error the rest of the logical line is skipped and reading goes on. Bounds: files of
//! [`FILE_BYTES_MAX`], [`FILES_MAX`] of them, [`INCLUDES_MAX`] deep, anchors [`ANCHORS_MAX`] deep,
//! lists of [`LIST_MAX`] items.

mod hosts;
mod options;
mod rules;
mod settings;
mod states;

use std::collections::{BTreeMap, VecDeque};

pub use settings::TABLE_ENTRIES_MAX;

use crate::Loader;
use crate::ast::{Spanned, Statement};
use crate::diagnostic::{Report, Span, suggest};
use crate::lexer::{Lexer, Token};

/// The largest file in bytes.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// The most files of one compilation.
pub const FILES_MAX: usize = 64;
/// How deep files may include others.
pub const INCLUDES_MAX: usize = 8;
/// How deep anchors may stand in anchors.
pub const ANCHORS_MAX: usize = 32;
/// The most items of one list.
pub const LIST_MAX: usize = 200_000;
/// How deep braces may stand in the braces of a list.
const BRACES_MAX: usize = 8;

/// An error was told; the statement is given up.
#[derive(Debug)]
pub(crate) struct Failed;

pub(crate) type Parsed<T> = Result<T, Failed>;
type Macros = BTreeMap<String, String>;
type File = (Vec<Spanned<Statement>>, Macros);

const STATEMENTS: [&str; 9] =
    ["pass", "block", "match", "anchor", "load", "table", "set", "antispoof", "include"];

/// Statements of other versions of pf, and what to write here.
const FOREIGN: [(&str, &str); 8] = [
    ("queue", "queues are not part of this gateway"),
    ("altq", "queues are not part of this gateway"),
    ("nat", "write it as `match out on … nat-to …`"),
    ("rdr", "write it as `match in on … rdr-to …`"),
    ("binat", "write it as `match on … binat-to …`"),
    ("no", "there are no `no nat` rules; use `pass` or `match` with an exception"),
    ("scrub", "write it as `match … scrub (…)`"),
    ("dummynet", "shaping is not part of this gateway"),
];

/// Reads one file.
pub(crate) struct Parser<'a> {
    lexer: Lexer,
    pub(crate) report: &'a mut Report,
    loader: &'a dyn Loader,
    ahead: VecDeque<(Token, Span)>,
    /// The place of the last token that was taken.
    last: Span,
    includes: usize,
    /// Braces that are open.
    braces: usize,
    told_unclosed: bool,
}

/// Parses a file that is among the report's sources; returns its statements and macros.
pub(crate) fn parse(
    report: &mut Report,
    source: u32,
    macros: Macros,
    loader: &dyn Loader,
) -> Vec<Spanned<Statement>> {
    let text = report.text(source).to_owned();
    Parser::new(report, source, &text, macros, loader, 0).file().0
}

impl<'a> Parser<'a> {
    fn new(
        report: &'a mut Report,
        source: u32,
        text: &str,
        macros: Macros,
        loader: &'a dyn Loader,
        includes: usize,
    ) -> Self {
        let text = if text.len() > FILE_BYTES_MAX {
            let span = Span { source, start: 0, end: 0 };
            report.error(span, format!("the file has more than {FILE_BYTES_MAX} bytes"));
            ""
        } else {
            text
        };
        let lexer = Lexer::new(source, text, macros);
        Self {
            lexer,
            report,
            loader,
            ahead: VecDeque::new(),
            last: Span { source, start: 0, end: 0 },
            includes,
            braces: 0,
            told_unclosed: false,
        }
    }

    fn file(mut self) -> File {
        let mut statements = Vec::new();
        loop {
            match self.peek() {
                Token::End => break,
                Token::Newline => {
                    self.next();
                }
                Token::Word(_) | Token::Str(_) | Token::Sign(_) => {
                    if self.statement(&mut statements, 0).is_err() {
                        self.recover();
                    }
                }
            }
            if self.report.is_full() {
                break;
            }
        }
        (statements, self.lexer.macros)
    }

    /// Skips to the end of the logical line, over the braces that begin in it.
    fn recover(&mut self) {
        let mut depth = self.braces;
        self.braces = 0;
        loop {
            match self.peek() {
                Token::End => return,
                Token::Newline => {
                    self.next();
                    if depth == 0 || self.at_statement() {
                        return;
                    }
                    continue;
                }
                Token::Sign("{") => depth += 1,
                Token::Sign("}") => depth = depth.saturating_sub(1),
                Token::Sign(_) | Token::Word(_) | Token::Str(_) => {}
            }
            self.next();
        }
    }

    fn at_statement(&mut self) -> bool {
        matches!(self.peek(), Token::Word(word) if STATEMENTS.contains(&word.as_str()))
    }

    pub(crate) fn peek(&mut self) -> &Token {
        self.fill(1);
        &self.ahead[0].0
    }

    fn peek_second(&mut self) -> &Token {
        self.fill(2);
        &self.ahead[1].0
    }

    fn fill(&mut self, count: usize) {
        while self.ahead.len() < count {
            let token = self.lexer.next(self.report);
            self.ahead.push_back(token);
        }
    }

    /// The place of the next token.
    pub(crate) fn span(&mut self) -> Span {
        self.fill(1);
        self.ahead[0].1
    }

    pub(crate) fn next(&mut self) -> (Token, Span) {
        self.fill(1);
        let (token, span) = self.ahead.pop_front().unwrap_or((Token::End, self.last));
        self.last = span;
        (token, span)
    }

    /// From a place to the last token taken.
    pub(crate) fn since(&self, start: Span) -> Span {
        start.to(self.last)
    }

    pub(crate) fn is_word(&mut self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found == word)
    }

    pub(crate) fn is_sign(&mut self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let there = self.is_word(word);
        if there {
            self.next();
        }
        there
    }

    pub(crate) fn accept_sign(&mut self, sign: &str) -> bool {
        let there = self.is_sign(sign);
        if there {
            self.next();
        }
        there
    }

    /// Tells what was expected instead of the next token.
    pub(crate) fn expected<T>(&mut self, what: &str) -> Parsed<T> {
        let span = self.span();
        let found = self.peek().show();
        self.report.error(span, format!("expected {what}, found {found}"));
        Err(Failed)
    }

    /// Tells that a word is none of these.
    pub(crate) fn unknown<T>(&mut self, what: &str, known: &[&str]) -> Parsed<T> {
        let span = self.span();
        let token = self.peek().clone();
        let message = format!("expected {what}, found {}", token.show());
        match token {
            Token::Word(word) | Token::Str(word) => {
                self.report.error_mend(span, message, suggest(&word, known.iter().copied()));
            }
            Token::Sign(_) | Token::Newline | Token::End => self.report.error(span, message),
        }
        Err(Failed)
    }

    pub(crate) fn expect_sign(&mut self, sign: &str) -> Parsed<Span> {
        if self.is_sign(sign) { Ok(self.next().1) } else { self.expected(&format!("`{sign}`")) }
    }

    pub(crate) fn expect(&mut self, word: &str) -> Parsed<Span> {
        if self.is_word(word) { Ok(self.next().1) } else { self.expected(&format!("`{word}`")) }
    }

    /// A word or a text in quotes.
    pub(crate) fn text(&mut self, what: &str) -> Parsed<Spanned<String>> {
        if !matches!(self.peek(), Token::Word(_) | Token::Str(_)) {
            return self.expected(what);
        }
        match self.next() {
            (Token::Word(text) | Token::Str(text), span) => Ok(Spanned::new(text, span)),
            (Token::Sign(_) | Token::Newline | Token::End, _) => Err(Failed),
        }
    }

    /// A whole number up to `max`.
    pub(crate) fn number(&mut self, what: &str, max: u32) -> Parsed<u32> {
        let word = self.text(what)?;
        match word.node.parse::<u64>() {
            Ok(n) if n <= u64::from(max) => Ok(u32::try_from(n).unwrap_or(max)),
            Ok(n) => {
                self.report.error(word.span, format!("{what}: {n} is over {max}"));
                Err(Failed)
            }
            Err(_) => {
                let message = format!("expected {what}, found `{}`", word.node);
                self.report.error(word.span, message);
                Err(Failed)
            }
        }
    }

    /// One item, or several in braces with commas or blanks between.
    pub(crate) fn list<T>(
        &mut self,
        what: &str,
        item: &mut dyn FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if !self.is_sign("{") {
            items.push(item(self)?);
            return Ok(items);
        }
        let start = self.span();
        self.braced(item, &mut items, 0)?;
        if items.is_empty() {
            self.report.error(start, format!("this list of {what} is empty"));
            return Err(Failed);
        }
        Ok(items)
    }

    fn braced<T>(
        &mut self,
        item: &mut dyn FnMut(&mut Self) -> Parsed<T>,
        items: &mut Vec<T>,
        depth: usize,
    ) -> Parsed<()> {
        let start = self.expect_sign("{")?;
        self.braces += 1;
        loop {
            while self.accept_sign(",") || matches!(self.peek(), Token::Newline) {
                if matches!(self.peek(), Token::Newline) {
                    self.next();
                }
            }
            match self.peek() {
                Token::Sign("}") => {
                    self.next();
                    self.braces -= 1;
                    return Ok(());
                }
                Token::Sign("{") if depth < BRACES_MAX => {
                    self.braced(item, items, depth + 1)?;
                    continue;
                }
                Token::Sign("{") => {
                    self.report.error(start, format!("braces deeper than {BRACES_MAX}"));
                    return Err(Failed);
                }
                Token::End => {
                    self.unclosed(start);
                    return Err(Failed);
                }
                Token::Word(_) | Token::Str(_) | Token::Sign(_) | Token::Newline => {}
            }
            if items.len() >= LIST_MAX {
                self.report.error(start, format!("a list has more than {LIST_MAX} items"));
                return Err(Failed);
            }
            items.push(item(self)?);
        }
    }

    /// After a statement only the end of the line may come, or the end of an anchor's braces.
    fn end_of_statement(&mut self, in_anchor: bool) -> Parsed<()> {
        match self.peek() {
            Token::Newline | Token::End => Ok(()),
            Token::Sign("}") if in_anchor => Ok(()),
            Token::Word(_) | Token::Str(_) | Token::Sign(_) => self.expected("the end of the line"),
        }
    }

    fn statement(&mut self, into: &mut Vec<Spanned<Statement>>, depth: usize) -> Parsed<()> {
        let start = self.span();
        let Token::Word(word) = self.peek().clone() else {
            return self.expected("a statement such as `pass` or `block`");
        };
        if matches!(self.peek_second(), Token::Sign("=")) && !STATEMENTS.contains(&word.as_str()) {
            return if depth == 0 { self.define(&word) } else { self.not_in_anchor("a macro") };
        }
        let nested = depth > 0;
        let statement = match word.as_str() {
            "pass" | "block" | "match" => Statement::Rule(Box::new(self.rule()?)),
            "anchor" => self.anchor(depth)?,
            "table" | "set" | "load" | "include" if nested => {
                return self.not_in_anchor(&format!("`{word}`"));
            }
            "antispoof" => Statement::Antispoof(self.antispoof()?),
            "table" => Statement::Table(self.table()?),
            "set" => Statement::Set(self.set()?),
            "load" => self.load_anchor()?,
            "include" => return self.include(into),
            other => {
                if let Some((name, mend)) = FOREIGN.iter().find(|(name, _)| *name == other) {
                    let (name, mend) = ((*name).to_owned(), (*mend).to_owned());
                    self.skip_line();
                    into.push(Spanned::new(Statement::Foreign { name, mend }, start));
                    return Ok(());
                }
                return self.unknown("a statement", &STATEMENTS);
            }
        };
        self.end_of_statement(nested)?;
        into.push(Spanned::new(statement, self.since(start)));
        Ok(())
    }

    fn not_in_anchor<T>(&mut self, what: &str) -> Parsed<T> {
        let span = self.span();
        let message = format!("{what} cannot stand within an anchor's braces");
        self.report.error_mend(span, message, "put it before the anchor");
        Err(Failed)
    }

    fn skip_line(&mut self) {
        while !matches!(self.peek(), Token::Newline | Token::End) {
            self.next();
        }
    }

    /// `name = "value"`.
    fn define(&mut self, name: &str) -> Parsed<()> {
        let start = self.span();
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.len() <= 63;
        if !good {
            let message = format!("{} cannot name a macro", self.peek().show());
            let mend = "use up to 63 letters, digits and `_`, not a digit first";
            self.report.error_mend(start, message, mend);
            return Err(Failed);
        }
        self.next();
        self.next();
        let mut parts = Vec::new();
        while let Token::Word(text) | Token::Str(text) = self.peek().clone() {
            parts.push(text);
            self.next();
        }
        if parts.is_empty() {
            return self.expected("the macro's value, in quotes if it has more than words");
        }
        if !matches!(self.peek(), Token::Newline | Token::End) {
            let span = self.span();
            let message = format!("{} cannot stand in a macro's value", self.peek().show());
            self.report.error_mend(span, message, format!("use quotes: {name} = \"{{ … }}\""));
            return Err(Failed);
        }
        self.lexer.macros.insert(name.to_owned(), parts.join(" "));
        Ok(())
    }

    /// Reads a file's text through the loader; the errors are told.
    fn load(&mut self, path: &Spanned<String>) -> Parsed<String> {
        if self.report.source_count() >= FILES_MAX {
            self.report.error(path.span, format!("more than {FILES_MAX} files"));
            return Err(Failed);
        }
        let from = self.report.name(path.span.source).to_owned();
        match self.loader.load(&path.node, &from) {
            Ok(text) if text.len() <= FILE_BYTES_MAX => Ok(text),
            Ok(_) => {
                let message = format!("{} has more than {FILE_BYTES_MAX} bytes", path.node);
                self.report.error(path.span, message);
                Err(Failed)
            }
            Err(why) => {
                self.report.error(path.span, format!("{} cannot be read: {why}", path.node));
                Err(Failed)
            }
        }
    }

    /// Parses another file with these macros.
    fn other_file(&mut self, path: &Spanned<String>, macros: Macros) -> Parsed<File> {
        if self.includes >= INCLUDES_MAX {
            self.report.error(path.span, format!("files include files deeper than {INCLUDES_MAX}"));
            return Err(Failed);
        }
        let text = self.load(path)?;
        let source = self.report.add_source(&path.node, &text);
        let (loader, includes) = (self.loader, self.includes + 1);
        Ok(Parser::new(self.report, source, &text, macros, loader, includes).file())
    }

    fn include(&mut self, into: &mut Vec<Spanned<Statement>>) -> Parsed<()> {
        self.next();
        let path = self.text("the file to include, in quotes")?;
        self.end_of_statement(false)?;
        let macros = self.lexer.macros.clone();
        let (statements, macros) = self.other_file(&path, macros)?;
        self.lexer.macros = macros;
        into.extend(statements);
        Ok(())
    }

    fn load_anchor(&mut self) -> Parsed<Statement> {
        self.next();
        self.expect("anchor")?;
        let name = self.text("the anchor's name")?;
        self.expect("from")?;
        let path = self.text("the file to load from")?;
        let (body, _) = self.other_file(&path, BTreeMap::new())?;
        Ok(Statement::LoadAnchor { name, body })
    }

    fn anchor(&mut self, depth: usize) -> Parsed<Statement> {
        let start = self.span();
        self.next();
        let name = match self.peek() {
            Token::Str(_) => Some(self.text("the anchor's name")?),
            Token::Word(word) if !rules::is_filter_word(word) => {
                Some(self.text("the anchor's name")?)
            }
            Token::Word(_) | Token::Sign(_) | Token::Newline | Token::End => None,
        };
        let filter = self.filter()?;
        let mut body = None;
        if self.is_sign("{") {
            if depth >= ANCHORS_MAX {
                self.report.error(start, format!("anchors are nested deeper than {ANCHORS_MAX}"));
                return Err(Failed);
            }
            body = Some(self.anchor_body(depth)?);
        } else if name.is_none() {
            return self.expected("the anchor's name or `{`");
        }
        Ok(Statement::Anchor(Box::new(crate::ast::Anchor { name, filter, body })))
    }

    fn anchor_body(&mut self, depth: usize) -> Parsed<Vec<Spanned<Statement>>> {
        let start = self.expect_sign("{")?;
        let outer = std::mem::take(&mut self.braces);
        let mut statements = Vec::new();
        loop {
            match self.peek() {
                Token::Newline => {
                    self.next();
                }
                Token::Sign("}") => {
                    self.next();
                    self.braces = outer;
                    return Ok(statements);
                }
                Token::End => {
                    self.unclosed(start);
                    return Err(Failed);
                }
                Token::Word(_) | Token::Str(_) | Token::Sign(_) => {
                    if self.statement(&mut statements, depth + 1).is_err() {
                        self.recover_in_anchor();
                    }
                    if self.report.is_full() {
                        return Err(Failed);
                    }
                }
            }
        }
    }

    /// Tells once that a brace has no end; those around it have none either.
    fn unclosed(&mut self, start: Span) {
        if !std::mem::replace(&mut self.told_unclosed, true) {
            self.report.error_mend(start, "this `{` is never closed", "add a `}`");
        }
    }

    /// As [`Self::recover`], but an anchor's closing brace stays.
    fn recover_in_anchor(&mut self) {
        let mut depth = std::mem::take(&mut self.braces);
        loop {
            match self.peek() {
                Token::End => return,
                Token::Newline => {
                    self.next();
                    if depth == 0 || self.at_statement() {
                        return;
                    }
                    continue;
                }
                Token::Sign("{") => depth += 1,
                Token::Sign("}") if depth == 0 => return,
                Token::Sign("}") => depth -= 1,
                Token::Sign(_) | Token::Word(_) | Token::Str(_) => {}
            }
            self.next();
        }
    }
}
