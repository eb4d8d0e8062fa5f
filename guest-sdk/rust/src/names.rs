//! Lists of host names from settings, with wildcards.

use crate::{Refused, Setup};

/// A list of host names: `["example.com", "*.example.net"]`. A name stands for itself, one that
/// begins with `*.` for everything below it. Letters have no case, a final dot has no meaning.
#[derive(Debug, Clone, Copy)]
pub struct HostNames {
    /// Each name behind its length and hash, in lower case; a wildcard begins with its dot.
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl HostNames {
    /// The most bytes of all names, with five more for each.
    pub const CAPACITY: usize = 4096;

    /// Reads a setting; one that is absent is the empty list.
    ///
    /// # Errors
    /// Names the setting and what in it is not a host name, or that it is too long.
    pub fn from_setting(setup: &Setup, key: &str) -> Result<Self, Refused> {
        let mut names = Self { bytes: [0; Self::CAPACITY], len: 0 };
        for index in 0.. {
            let Some(text) = setup.text(key, index)? else {
                if setup.int(key, index).is_some() {
                    return Err(Refused::new(&["setting `", key, "`: a host name is a text"]));
                }
                break;
            };
            let text = text.as_str();
            let name = text.strip_suffix('.').unwrap_or(text);
            let name = if name.starts_with("*.") { &name[1..] } else { name };
            if !is_host_name(name.strip_prefix('.').unwrap_or(name)) {
                return Err(Refused::new(&["setting `", key, "`: `", text, "` is no host name"]));
            }
            if !names.push(name) {
                return Err(Refused::new(&["setting `", key, "` is longer than 4096 bytes"]));
            }
        }
        Ok(names)
    }

    fn push(&mut self, name: &str) -> bool {
        let Ok(length) = u8::try_from(name.len()) else { return false };
        let Some(place) = self.bytes.get_mut(self.len..self.len + OVERHEAD + name.len()) else {
            return false;
        };
        let (head, text) = place.split_at_mut(OVERHEAD);
        text.copy_from_slice(name.as_bytes());
        text.make_ascii_lowercase();
        head[0] = length;
        head[1..].copy_from_slice(&text.iter().rev().fold(SEED, hash).to_le_bytes());
        self.len += OVERHEAD + name.len();
        true
    }

    /// Tells whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tells whether a name is in the list.
    pub fn contains(&self, name: &[u8]) -> bool {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let name = &name[name.len().saturating_sub(NAME_MAX)..];
        // The hash of the name's end of each length, so that most names are told by one number.
        let mut ends = [0; NAME_MAX + 1];
        let mut end = SEED;
        for (length, byte) in name.iter().rev().enumerate() {
            end = hash(end, &byte.to_ascii_lowercase());
            ends[length + 1] = end;
        }
        let mut rest = &self.bytes[..self.len];
        while let Some((&[length, h0, h1, h2, h3], tail)) = rest.split_first_chunk() {
            let length = usize::from(length);
            let (known, next) = tail.split_at(length.min(tail.len()));
            rest = next;
            if ends[length] == u32::from_le_bytes([h0, h1, h2, h3]) && is_named(known, name) {
                return true;
            }
        }
        false
    }
}

/// The longest name, and bytes in front of each.
const NAME_MAX: usize = 255;
const OVERHEAD: usize = 5;

const SEED: u32 = 0x811c_9dc5;

/// One step of FNV-1a.
fn hash(sum: u32, byte: &u8) -> u32 {
    (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
}

/// Tells whether an entry, which is no longer than the name, stands for it.
fn is_named(known: &[u8], name: &[u8]) -> bool {
    let Some((before, end)) = name.split_at_checked(name.len().saturating_sub(known.len())) else {
        return false;
    };
    let wildcard = known.first() == Some(&b'.');
    before.is_empty() != wildcard && end.eq_ignore_ascii_case(known)
}

/// Tells whether a text is labels of letters, digits, `-` and `_` (RFC 1123 §2.1, RFC 8552).
fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Suite, Value, install};

    fn list(values: &'static [Value]) -> Result<HostNames, Refused> {
        let settings: &'static [(&str, &[Value])] = Vec::leak(vec![("names", values)]);
        install(&Suite {
            name: "names",
            interfaces: &["self"],
            tables: &[],
            config: settings,
            cases: vec![],
        });
        HostNames::from_setting(&Setup::new(), "names")
    }

    #[test]
    fn a_name_is_itself_and_a_wildcard_what_is_below() {
        let names = list(&[Value::Text("Example.com"), Value::Text("*.example.net.")]).unwrap();
        for (name, listed) in [
            ("example.com", true),
            ("EXAMPLE.com.", true),
            ("www.example.com", false),
            ("notexample.com", false),
            ("example.net", false),
            ("www.example.net", true),
            ("a.b.Example.Net", true),
            ("notexample.net", false),
            ("com", false),
            ("", false),
        ] {
            assert_eq!(names.contains(name.as_bytes()), listed, "{name}");
        }
        assert!(!names.is_empty() && list(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_host_name_is_refused_in_words() {
        let said = |values| list(values).unwrap_err().text().to_owned();
        for bad in ["", "a..b", "a b", "*", "*.", "a.*.b", "ä.example"] {
            let value: &'static [Value] = Vec::leak(vec![Value::Text(Box::leak(bad.into()))]);
            assert_eq!(said(value), format!("setting `names`: `{bad}` is no host name"));
        }
        assert_eq!(said(&[Value::Int(1)]), "setting `names`: a host name is a text");
        let many: &'static [Value] =
            Vec::leak(vec![Value::Text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"); 400]);
        assert_eq!(said(many), "setting `names` is longer than 4096 bytes");
    }
}
