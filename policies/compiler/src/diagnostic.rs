//! What is wrong with a rules file, each with its place and its mend.

use std::fmt;

/// Where something stands: which source, and bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Which of the sources.
    pub source: u32,
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// Returns a span from here to the end of another of the same source.
    pub fn to(self, other: Span) -> Span {
        if other.source == self.source && other.end >= self.start {
            Span { end: other.end, ..self }
        } else {
            self
        }
    }
}

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The rules are not compiled.
    Error,
    /// The rules are compiled, but may not do what they seem to.
    Warning,
}

/// One thing that is wrong, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it keeps the rules from being compiled.
    pub severity: Severity,
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self { file, line, column, message, mend, .. } = self;
        write!(f, "{file}:{line}:{column}: {kind}: {message}")?;
        if let Some(mend) = mend {
            write!(f, "\n  mend: {mend}")?;
        }
        Ok(())
    }
}

/// A file, and where its lines begin.
#[derive(Debug)]
struct Source {
    name: String,
    text: String,
    lines: Vec<usize>,
}

/// The files of a compilation, and what was said about them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sources: Vec<Source>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    errors: usize,
}

/// The most errors that are told.
pub const ERRORS_MAX: usize = 100;
/// The most warnings that are told.
const WARNINGS_MAX: usize = 100;

impl Report {
    pub(crate) fn add_source(&mut self, name: &str, text: &str) -> u32 {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        self.sources.push(Source { name: name.to_owned(), text: text.to_owned(), lines });
        u32::try_from(self.sources.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn source_count(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn text(&self, source: u32) -> &str {
        self.sources.get(source as usize).map_or("", |source| &source.text)
    }

    pub(crate) fn name(&self, source: u32) -> &str {
        self.sources.get(source as usize).map_or("", |source| &source.name)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors != 0
    }

    /// Whether so many errors were told that going on makes no sense.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > ERRORS_MAX
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), None);
    }

    pub(crate) fn error_mend(
        &mut self,
        span: Span,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(Severity::Error, span, message.into(), Some(mend.into()));
    }

    pub(crate) fn warn(&mut self, span: Span, message: impl Into<String>, mend: Option<String>) {
        self.add(Severity::Warning, span, message.into(), mend);
    }

    fn add(&mut self, severity: Severity, span: Span, message: String, mend: Option<String>) {
        let (mut message, mut mend) = (message, mend);
        match severity {
            Severity::Error => {
                self.errors += 1;
                if self.errors > ERRORS_MAX + 1 {
                    return;
                }
                if self.errors > ERRORS_MAX {
                    message = format!("more than {ERRORS_MAX} errors, the rest is not told");
                    mend = None;
                }
            }
            Severity::Warning => {
                let told =
                    self.diagnostics.iter().filter(|d| d.severity == Severity::Warning).count();
                if told >= WARNINGS_MAX {
                    return;
                }
            }
        }
        let (line, column) = self.place(span);
        let file = self.name(span.source).to_owned();
        let diagnostic = Diagnostic { severity, file, line, column, message, mend };
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Returns what was said, by files and places.
    pub(crate) fn sorted(mut self) -> Vec<Diagnostic> {
        let order = |file: &str| self.sources.iter().position(|source| source.name == file);
        self.diagnostics.sort_by_key(|d| (order(&d.file), d.line, d.column));
        self.diagnostics
    }

    /// Line and column, from 1.
    pub(crate) fn place(&self, span: Span) -> (u32, u32) {
        let Some(source) = self.sources.get(span.source as usize) else { return (1, 1) };
        let mut start = (span.start as usize).min(source.text.len());
        while !source.text.is_char_boundary(start) {
            start -= 1;
        }
        let line = source.lines.partition_point(|begin| *begin <= start);
        let begin = source.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = source.text[begin..start].chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// Returns "did you mean …?" or the list of what there is.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let best = known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    match best {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if known.len() <= 24 => format!("use one of: {}", known.join(", ")),
        None => format!("use one of: {}, …", known[..24].join(", ")),
    }
}

/// Insertions, deletions, changes and swaps from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_listed() {
        assert_eq!(suggest("pas", ["pass", "block"]), "did you mean `pass`?");
        assert_eq!(suggest("bolck", ["pass", "block"]), "did you mean `block`?");
        assert_eq!(suggest("xyzzy", ["pass", "block"]), "use one of: pass, block");
    }

    #[test]
    fn places_count_characters_from_one() {
        let mut report = Report::default();
        let source = report.add_source("x", "a\näß pass");
        let span = Span { source, start: 7, end: 11 };
        assert_eq!(report.place(span), (2, 4));
        assert_eq!(report.place(Span { start: 999, ..span }), (2, 8));
    }
}
