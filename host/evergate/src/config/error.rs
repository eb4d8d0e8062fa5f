//! Errors of the configuration, each with its place and its mend.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Something is wrong with the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, both from 1; none when the file could not be read.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
        ConfigError {
            path: path.to_owned(),
            place: None,
            message: format!("cannot be read: {error}"),
            mend: (error.kind() == std::io::ErrorKind::NotFound)
                .then(|| "name an existing file with -c FILE".to_owned()),
        }
    }

    pub(super) fn toml(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let message = error.message().to_owned();
        let mend = unknown_key(&message);
        let place = error.span().map(|span| place_of(text, span.start));
        ConfigError { path: path.to_owned(), place, message, mend }
    }

    pub(super) fn at(
        path: &Path,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            path: path.to_owned(),
            place: Some(place_of(text, span.start)),
            message: message.into(),
            mend: Some(mend.into()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(mend) = &self.mend {
            write!(f, "\n  mend: {mend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Line and column, from 1, of a byte offset.
fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// A suggestion for serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_key(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (first, expected) = quoted.split_first()?;
    if !message.starts_with("unknown ") {
        return None;
    }
    Some(closest(first, expected.iter().copied()))
}

/// "did you mean", or the list of what there is.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let best = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    match best {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => format!("use one of: {}", known.join(", ")),
    }
}
