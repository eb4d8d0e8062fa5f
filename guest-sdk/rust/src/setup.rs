//! What a policy can do while it is made: resolve names and read its settings.

use core::num::NonZeroU16;

use evergate_abi::ResolveKind;

use crate::handles::{Counter, Label, Meter, Table, Tag};
use crate::host;

/// A short text without an allocation; what does not fit is cut.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Text {
    /// The most bytes.
    pub const CAPACITY: usize = 112;

    /// Returns a text without any.
    pub const fn new() -> Self {
        Self { bytes: [0; Self::CAPACITY], len: 0 }
    }

    /// Adds as many whole characters as fit.
    pub fn push(&mut self, text: &str) {
        let room = Self::CAPACITY - self.len;
        let cut = text.floor_char_boundary(room);
        self.bytes[self.len..self.len + cut].copy_from_slice(&text.as_bytes()[..cut]);
        self.len += cut;
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    /// Returns the text's bytes, which takes no time.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a policy does not want to run, in words for the operator.
#[derive(Debug, Clone, Copy)]
pub struct Refused(Text);

impl Refused {
    /// Creates a reason from the parts of a sentence.
    pub fn new(parts: &[&str]) -> Self {
        let mut text = Text::new();
        for part in parts {
            text.push(part);
        }
        Self(text)
    }

    /// Returns the sentence.
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

/// Proof that a policy is being made; only then names can be resolved.
#[derive(Debug)]
pub struct Setup(());

impl Setup {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    fn handle(kind: ResolveKind, name: &str) -> Option<i32> {
        Some(host::resolve(kind, name)).filter(|id| *id >= 0)
    }

    fn id(kind: ResolveKind, name: &str) -> Option<NonZeroU16> {
        u16::try_from(host::resolve(kind, name)).ok().and_then(NonZeroU16::new)
    }

    /// Returns an address table; `None` if the configuration has none of this name.
    pub fn table(&self, name: &str) -> Option<Table> {
        Self::handle(ResolveKind::Table, name).map(Table)
    }

    /// Returns a counter; `None` if there is no room for another.
    pub fn counter(&self, name: &str) -> Option<Counter> {
        Self::handle(ResolveKind::Counter, name).map(Counter)
    }

    /// Returns a rate meter; `None` if there is no room for another.
    pub fn meter(&self, name: &str) -> Option<Meter> {
        Self::handle(ResolveKind::Meter, name).map(Meter)
    }

    /// Returns a tag; `None` if there is no room for another.
    pub fn tag(&self, name: &str) -> Option<Tag> {
        Self::id(ResolveKind::Tag, name).map(Tag)
    }

    /// Returns a label; `None` if there is no room for another.
    pub fn label(&self, name: &str) -> Option<Label> {
        Self::id(ResolveKind::Label, name).map(Label)
    }

    /// Returns an interface's id; `None` if the configuration has none of this name.
    pub fn interface(&self, name: &str) -> Option<u16> {
        u16::try_from(host::resolve(ResolveKind::Interface, name)).ok()
    }

    /// Returns the index-th value of a setting as a number; a boolean is 0 or 1.
    pub fn int(&self, key: &str, index: usize) -> Option<i64> {
        let index = i32::try_from(index).ok()?;
        Some(host::config_int(key, index)).filter(|n| *n != i64::MIN)
    }

    /// Returns the index-th value of a setting as a text.
    ///
    /// # Errors
    /// The text is longer than [`Text::CAPACITY`].
    pub fn text(&self, key: &str, index: usize) -> Result<Option<Text>, Refused> {
        let Ok(index) = i32::try_from(index) else {
            return Ok(None);
        };
        let mut text = Text::new();
        let Ok(len) = usize::try_from(host::config_str(key, index, &mut text.bytes)) else {
            return Ok(None);
        };
        if len > Text::CAPACITY {
            return Err(Refused::new(&["setting `", key, "` has a text that is too long"]));
        }
        text.len = len;
        Ok(Some(text))
    }

    /// Returns whether a setting is true; `default` if it is absent.
    ///
    /// # Errors
    /// The setting is neither true nor false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Refused> {
        match (self.int(key, 0), self.text(key, 0)?) {
            (None, None) => Ok(default),
            (Some(n @ (0 | 1)), _) => Ok(n == 1),
            (Some(_), _) | (None, Some(_)) => {
                Err(Refused::new(&["setting `", key, "` has to be true or false"]))
            }
        }
    }

    /// Returns a setting that is a number within a range; `default` if it is absent.
    ///
    /// # Errors
    /// The setting is no number or out of range.
    pub fn number(&self, key: &str, default: u32, min: u32, max: u32) -> Result<u32, Refused> {
        match (self.int(key, 0), self.text(key, 0)?) {
            (None, None) => Ok(default),
            (Some(n), _) => u32::try_from(n)
                .ok()
                .filter(|n| (min..=max).contains(n))
                .ok_or_else(|| Refused::new(&["setting `", key, "` is out of range"])),
            (None, Some(_)) => Err(Refused::new(&["setting `", key, "` has to be a number"])),
        }
    }

    /// Returns a setting that is a number, maybe negative, within a range; `default` if it is
    /// absent.
    ///
    /// # Errors
    /// The setting is no number or out of range.
    pub fn signed(&self, key: &str, default: i64, min: i64, max: i64) -> Result<i64, Refused> {
        match (self.int(key, 0), self.text(key, 0)?) {
            (None, None) => Ok(default),
            (Some(n), _) if (min..=max).contains(&n) => Ok(n),
            (Some(_), _) => Err(Refused::new(&["setting `", key, "` is out of range"])),
            (None, Some(_)) => Err(Refused::new(&["setting `", key, "` has to be a number"])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_cut_between_characters() {
        let mut text = Text::new();
        text.push(&"x".repeat(Text::CAPACITY - 1));
        text.push("é");
        assert_eq!(text.as_str().len(), Text::CAPACITY - 1);
        text.push("yz");
        assert!(text.as_str().ends_with("xy"));
    }
}
