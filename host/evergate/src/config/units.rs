//! Values with units: durations ("20ms", "2m") and sizes ("1MiB").

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration as written in the file; a bare number is refused, for it hides its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A size in bytes as written in the file: "512", "64KiB", "1MiB", "2GiB".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl Span {
    /// Reads "20ms", "45s", "2m", "24h", "5d", "100us".
    #[must_use]
    pub fn parse(text: &str) -> Option<Span> {
        let (number, unit) = split(text)?;
        let nanos_each: u64 = match unit {
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        Some(Span(Duration::from_nanos(number.checked_mul(nanos_each)?)))
    }
}

impl ByteSize {
    /// Reads a number of bytes with an optional binary unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<ByteSize> {
        let (number, unit) = split(text)?;
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        number.checked_mul(1 << shift).map(ByteSize)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let expected = "a duration with its unit, such as \"20ms\", \"45s\", \"2m\" or \"24h\"";
        deserializer.deserialize_str(Text { expected, parse: Span::parse })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        let expected = "a size with its unit, such as \"64KiB\" or \"1MiB\"";
        deserializer.deserialize_str(Text { expected, parse: ByteSize::parse })
    }
}
