//! Who a peer is: a name given by the operator, proved by a key that the name is pinned to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::{BASE32_NOPAD, DecodeKind};
use thiserror::Error;

/// What a fingerprint's text begins with; the number is the version of what is hashed.
const PREFIX: &str = "eg1:";

/// The SHA-256 of a node's public key (its DER-encoded SubjectPublicKeyInfo, RFC 5280 §4.1.2.7).
///
/// Written as `eg1:` and 52 characters of lower-case base32 without padding (RFC 4648 §6).
/// Ordered by its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// It does not begin with `eg1:`.
    #[error("a fingerprint begins with \"{PREFIX}\"")]
    Prefix,
    /// It has the wrong length.
    #[error("a fingerprint has 52 characters after \"{PREFIX}\"")]
    Length,
    /// A character is none of base32's.
    #[error("a fingerprint has only letters a to z and digits 2 to 7 after \"{PREFIX}\"")]
    Character,
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads the written form; letters of either case.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix(PREFIX).ok_or(FingerprintError::Prefix)?;
        if digits.len() != 52 {
            return Err(FingerprintError::Length);
        }
        let decoded = BASE32_NOPAD.decode(digits.to_ascii_uppercase().as_bytes()).map_err(
            |error| match error.kind {
                DecodeKind::Length => FingerprintError::Length,
                DecodeKind::Symbol | DecodeKind::Trailing | DecodeKind::Padding => {
                    FingerprintError::Character
                }
            },
        )?;
        decoded.try_into().map(Self).map_err(|_| FingerprintError::Length)
    }
}

/// What an operator calls a node: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(Arc<str>);

/// A text that is no node's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no node name: 1 to 64 letters, digits, '-', '_' and '.'")]
pub struct PeerNameError(String);

impl PeerName {
    /// Longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// The name `text`.
    ///
    /// # Errors
    /// When it is empty, too long or has other characters.
    pub fn new(text: &str) -> Result<Self, PeerNameError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.chars().all(legal) {
            let shown = text.chars().take(Self::LEN_MAX).collect();
            return Err(PeerNameError(shown));
        }
        Ok(Self(text.into()))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A transport's own number for one of its peers' names.
///
/// Stays the same for as long as the transport lives, whatever is reloaded; means nothing to
/// another transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

/// One configured peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The number by which the transport knows it.
    pub id: PeerId,
    /// The name in the configuration.
    pub name: PeerName,
    /// The keys it may prove itself with; two while one replaces another.
    pub fingerprints: Vec<Fingerprint>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fingerprint_is_written_as_documented() {
        // base32 of 32 zero bytes and of 0xff bytes, by coreutils' base32.
        let zero = Fingerprint::from_bytes([0; 32]);
        assert_eq!(zero.to_string(), format!("eg1:{}", "a".repeat(52)));
        let ones = Fingerprint::from_bytes([0xff; 32]);
        assert_eq!(ones.to_string(), format!("eg1:{}q", "7".repeat(51)));
    }

    #[test]
    fn what_is_no_fingerprint_is_refused_by_what_is_wrong() {
        let refused = |text: &str| text.parse::<Fingerprint>().expect_err("refused");
        assert_eq!(refused("eg2:aaaa"), FingerprintError::Prefix);
        assert_eq!(refused("eg1:aaaa"), FingerprintError::Length);
        assert_eq!(refused(&format!("eg1:{}", "1".repeat(52))), FingerprintError::Character);
        // The last character has bits that no 32 bytes have.
        assert_eq!(refused(&format!("eg1:{}", "b".repeat(52))), FingerprintError::Character);
    }

    #[test]
    fn names_are_bounded_and_plain() {
        assert_eq!(PeerName::new("gw-b.example_1").expect("legal").as_str(), "gw-b.example_1");
        for bad in ["", "a b", "grün", &"x".repeat(65)] {
            assert!(PeerName::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn fingerprints_read_back(bytes: [u8; 32]) {
            let fingerprint = Fingerprint::from_bytes(bytes);
            let text = fingerprint.to_string();
            prop_assert_eq!(text.parse(), Ok(fingerprint));
            prop_assert_eq!(text.to_ascii_uppercase().replacen("EG1", "eg1", 1).parse(), Ok(fingerprint));
        }
    }
}
