//! From text to tokens, with macros put in place.
//!
//! As in pf a macro's value is read as if it stood where `$name` stands, so `$if:network` becomes
//! one word. Tokens of a macro have the place where it was used. Bounds: [`EXPANSION_MAX`] bytes
//! put in place in all, [`NESTING_MAX`] macros within macros, words of [`WORD_MAX`] bytes.

use std::collections::BTreeMap;

use crate::diagnostic::{Report, Span, suggest};

/// The most bytes that macros may expand to in one file.
pub const EXPANSION_MAX: usize = 4 << 20;
/// How deep macros may be within macros.
pub const NESTING_MAX: usize = 16;
/// The longest word or string in bytes.
pub const WORD_MAX: usize = 1024;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Letters, digits and most signs: `pass`, `10.0.0.1`, `80:90`, `10.0.0.0/8`.
    Word(String),
    /// In quotes.
    Str(String),
    /// One of `( ) { } < > ! = , <= >= != >< <>`.
    Sign(&'static str),
    /// The end of a logical line.
    Newline,
    /// The end of the file.
    End,
}

impl Token {
    /// How messages call it.
    pub(crate) fn show(&self) -> String {
        match self {
            Token::Word(word) => format!("`{}`", short(word)),
            Token::Str(text) => format!("\"{}\"", short(text)),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Newline => "the end of the line".to_owned(),
            Token::End => "the end of the file".to_owned(),
        }
    }
}

fn short(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    if text.chars().count() > 40 {
        text.chars().take(39).map(clean).chain(['…']).collect()
    } else {
        text.chars().map(clean).collect()
    }
}

/// A text being read.
struct Frame {
    text: Vec<char>,
    /// Bytes before each character's place, for the outermost frame.
    at: usize,
    byte: u32,
    /// Where the macro stands; `None` for the file itself.
    used: Option<Span>,
}

/// Reads tokens of one file.
pub(crate) struct Lexer {
    source: u32,
    frames: Vec<Frame>,
    pub(crate) macros: BTreeMap<String, String>,
    expanded: usize,
}

const PAIRS: [&str; 5] = ["<=", ">=", "!=", "><", "<>"];
const SINGLES: [&str; 9] = ["(", ")", "{", "}", "<", ">", "!", "=", ","];

impl Lexer {
    pub(crate) fn new(source: u32, text: &str, macros: BTreeMap<String, String>) -> Self {
        let frame = Frame { text: text.chars().collect(), at: 0, byte: 0, used: None };
        Self { source, frames: vec![frame], macros, expanded: 0 }
    }

    fn peek(&mut self) -> Option<char> {
        self.peek_at(0)
    }

    /// The character `ahead` of the next, across the ends of macros.
    fn peek_at(&mut self, ahead: usize) -> Option<char> {
        while self.frames.len() > 1 && self.frames.last().is_some_and(|f| f.at >= f.text.len()) {
            self.frames.pop();
        }
        let mut ahead = ahead;
        for frame in self.frames.iter().rev() {
            let left = frame.text.len() - frame.at;
            if ahead < left {
                return frame.text.get(frame.at + ahead).copied();
            }
            ahead -= left;
        }
        None
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.peek()?;
        let frame = self.frames.last_mut()?;
        frame.at += 1;
        if frame.used.is_none() {
            frame.byte += u32::try_from(c.len_utf8()).unwrap_or(1);
        }
        Some(c)
    }

    /// Where reading is.
    fn here(&self) -> Span {
        match self.frames.last() {
            Some(Frame { used: Some(span), .. }) => *span,
            Some(frame) => Span { source: self.source, start: frame.byte, end: frame.byte },
            None => Span::default(),
        }
    }

    /// Returns the next token and its place.
    pub(crate) fn next(&mut self, report: &mut Report) -> (Token, Span) {
        loop {
            let Some(c) = self.peek() else { return (Token::End, self.here()) };
            let start = self.here();
            match c {
                '\n' => {
                    self.next_char();
                    return (Token::Newline, start);
                }
                '\\' if self.joins_lines() => {}
                '#' => self.skip_comment(),
                '"' => {
                    self.next_char();
                    let text = self.string(start, report);
                    return (Token::Str(text), start.to(self.here()));
                }
                '$' => self.expand(start, report),
                c if c.is_whitespace() => {
                    self.next_char();
                }
                c => {
                    if let Some(sign) = self.sign(c) {
                        return (Token::Sign(sign), start.to(self.here()));
                    }
                    if is_word(c) {
                        let word = self.word(start, report);
                        return (Token::Word(word), start.to(self.here()));
                    }
                    self.next_char();
                    let shown = c.escape_default();
                    report.error(start, format!("the character `{shown}` has no meaning here"));
                }
            }
        }
    }

    /// Takes a backslash at the end of a line, if this is one.
    fn joins_lines(&mut self) -> bool {
        let mut ahead = 1;
        while let Some(c) = self.peek_at(ahead) {
            if c == '\n' {
                for _ in 0..=ahead {
                    self.next_char();
                }
                return true;
            }
            if !c.is_whitespace() {
                return false;
            }
            ahead += 1;
        }
        false
    }

    fn skip_comment(&mut self) {
        while let Some(c) = self.peek() {
            if c == '\n' || (c == '\\' && self.joins_lines()) {
                if c == '\n' {
                    return;
                }
                continue;
            }
            self.next_char();
        }
    }

    fn sign(&mut self, c: char) -> Option<&'static str> {
        let next = self.peek_at(1);
        for pair in PAIRS {
            let mut chars = pair.chars();
            if chars.next() == Some(c) && next.is_some() && chars.next() == next {
                self.next_char();
                self.next_char();
                return Some(pair);
            }
        }
        let single = SINGLES.iter().find(|single| single.starts_with(c))?;
        self.next_char();
        Some(single)
    }

    fn word(&mut self, start: Span, report: &mut Report) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if !is_word(c) {
                break;
            }
            self.next_char();
            word.push(c);
            if word.len() > WORD_MAX {
                report.error(start, format!("a word is longer than {WORD_MAX} bytes"));
                while self.peek().is_some_and(is_word) {
                    self.next_char();
                }
                break;
            }
        }
        word
    }

    fn string(&mut self, start: Span, report: &mut Report) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if c == '\n' {
                break;
            }
            self.next_char();
            if c == '"' {
                return text;
            }
            let escaped = c == '\\' && matches!(self.peek(), Some('"' | '\\'));
            let c = if escaped { self.next_char().unwrap_or(c) } else { c };
            text.push(c);
            if text.len() > WORD_MAX {
                report.error(start, format!("a string is longer than {WORD_MAX} bytes"));
                while self.peek().is_some_and(|c| c != '\n' && c != '"') {
                    self.next_char();
                }
                self.next_char();
                return String::new();
            }
        }
        report.error_mend(start, "the string has no end", "add a `\"`");
        text
    }

    /// Puts a macro's value in place of its name.
    fn expand(&mut self, start: Span, report: &mut Report) {
        self.next_char();
        let mut name = String::new();
        while let Some(c) = self.peek() {
            if !(c.is_ascii_alphanumeric() || c == '_') || name.len() > 64 {
                break;
            }
            name.push(c);
            self.next_char();
        }
        let span = start.to(self.here());
        let Some(value) = self.macros.get(&name) else {
            let mend = if self.macros.is_empty() {
                format!("define it first: {name} = \"value\"")
            } else {
                suggest(&name, self.macros.keys().map(String::as_str))
            };
            report.error_mend(span, format!("the macro `${name}` is not defined"), mend);
            return;
        };
        if self.frames.len() > NESTING_MAX {
            report.error(span, format!("macros are nested deeper than {NESTING_MAX}"));
            return;
        }
        self.expanded = self.expanded.saturating_add(value.len());
        if self.expanded > EXPANSION_MAX {
            report.error(span, format!("macros expand to more than {EXPANSION_MAX} bytes"));
            self.frames.truncate(1);
            self.frames[0].at = self.frames[0].text.len();
            return;
        }
        let text = value.chars().collect();
        self.frames.push(Frame { text, at: 0, byte: 0, used: Some(span) });
    }
}

/// Characters of words, as pf has them; `/` belongs to networks and paths.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || (c.is_ascii_punctuation() && !"(){}<>!=#,\"$\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut report = Report::default();
        let source = report.add_source("x", text);
        let macros = BTreeMap::from([
            ("if".to_owned(), "em0".to_owned()),
            ("loop".to_owned(), "$loop $loop".to_owned()),
        ]);
        let mut lexer = Lexer::new(source, text, macros);
        let mut all = Vec::new();
        loop {
            let (token, _) = lexer.next(&mut report);
            if token == Token::End {
                break;
            }
            all.push(token.show());
        }
        all.extend(report.diagnostics.iter().map(ToString::to_string));
        all
    }

    #[test]
    fn macros_join_with_what_follows() {
        assert_eq!(words("$if:network $if"), ["`em0:network`", "`em0`"]);
    }

    #[test]
    fn lines_join_and_comments_vanish() {
        assert_eq!(words("a \\\n b # c\nd"), ["`a`", "`b`", "the end of the line", "`d`"]);
    }

    #[test]
    fn pairs_are_one_sign() {
        assert_eq!(words("1><2<=3<t>"), ["`1`", "`><`", "`2`", "`<=`", "`3`", "`<`", "`t`", "`>`"]);
    }

    #[test]
    fn endless_macros_end() {
        let said = words("$loop");
        assert!(said.iter().any(|line| line.contains("nested deeper than 16")), "{said:?}");
    }
}
