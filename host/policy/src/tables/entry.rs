//! One entry of an address table, as people write it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest text of an entry that is looked at, in bytes.
const TEXT_MAX: usize = 64;

/// An address prefix, or the exception of one: `10.0.0.0/8`, `2001:db8::1`, `!10.1.0.0/16`.
///
/// Bits beyond the prefix length are zero, as pf has it; an IPv4-mapped IPv6 prefix is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    address: IpAddr,
    prefix_len: u8,
    negated: bool,
}

/// Why a text is not an entry; every message names the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The address is not one.
    #[error("`{0}` is not an address: expected one like 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32")]
    Address(String),
    /// The prefix length is not a number of the family's range.
    #[error("`{text}` has a bad prefix length: expected 0 to {max}")]
    PrefixLen {
        /// The entry.
        text: String,
        /// The longest prefix of its family.
        max: u8,
    },
}

impl Entry {
    /// Creates an entry; `None` if the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix_len: u8, negated: bool) -> Option<Self> {
        let (address, prefix_len) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) if prefix_len >= 96 => {
                (IpAddr::V4(v4), prefix_len - 96)
            }
            _ => (address, prefix_len),
        };
        let address = match address {
            IpAddr::V4(v4) if prefix_len <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) if prefix_len <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { address, prefix_len, negated })
    }

    /// Returns the prefix's first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the prefix length in bits.
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Tells whether addresses under this prefix are not in the table.
    pub fn is_negated(&self) -> bool {
        self.negated
    }
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let shown = || text.chars().take(TEXT_MAX).collect::<String>();
        let trimmed = text.trim();
        let (negated, rest) = match trimmed.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, trimmed),
        };
        let (address, len) = match rest.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (rest, None),
        };
        let address: IpAddr = address.parse().map_err(|_| EntryError::Address(shown()))?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bad_len = || EntryError::PrefixLen { text: shown(), max };
        let len = match len {
            None => max,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| bad_len())?
            }
            Some(_) => return Err(bad_len()),
        };
        Self::new(address, len, negated).ok_or_else(bad_len)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.address.is_ipv4() { 32 } else { 128 };
        let not = if self.negated { "!" } else { "" };
        if self.prefix_len == host {
            write!(f, "{not}{}", self.address)
        } else {
            write!(f, "{not}{}/{}", self.address, self.prefix_len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_shown_canonically() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            (" ! 10.1.0.0/16 ", "!10.1.0.0/16"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
        ] {
            assert_eq!(text.parse::<Entry>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn errors_name_the_entry() {
        for bad in ["", "!", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "x/8"] {
            let error = bad.parse::<Entry>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
