//! What a policy holds of the gateway after its names were resolved.

use core::num::NonZeroU16;

use evergate_abi::LogLevel;

use crate::host;

/// An address table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table(pub(crate) i32);

impl Table {
    /// Tells whether the address (IPv4 as `::ffff:a.b.c.d`) is in the table.
    pub fn contains(self, address: &[u8; 16]) -> bool {
        host::table_match(self.0, address)
    }
}

/// A counter that operators see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter(pub(crate) i32);

impl Counter {
    /// Adds to the counter.
    pub fn add(self, n: u64) {
        host::count(self.0, n);
    }
}

/// Token buckets, one per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter(pub(crate) i32);

impl Meter {
    /// Takes a token from the key's bucket and tells whether there was one.
    ///
    /// The bucket gains `rate_milli` thousandths of a token per second and holds `burst` tokens.
    /// A key has at most 32 bytes.
    pub fn take(self, key: &[u8], rate_milli: u32, burst: u32) -> bool {
        host::meter(self.0, key, rate_milli, burst)
    }
}

/// A tag that packets carry along the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(pub(crate) NonZeroU16);

impl Tag {
    /// Returns the number that [`crate::Packet::tag`] shows.
    pub const fn id(self) -> u16 {
        self.0.get()
    }
}

/// A label of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(pub(crate) NonZeroU16);

impl Label {
    /// Returns the number of the label.
    pub const fn id(self) -> u16 {
        self.0.get()
    }
}

/// Writes a line to the gateway's log, which cuts it at 256 bytes and limits the rate.
pub fn log(level: LogLevel, text: &str) {
    host::log(level, text);
}

/// Returns monotonic nanoseconds at the packet's arrival.
pub fn monotonic_ns() -> u64 {
    host::clock(0).cast_unsigned()
}

/// Returns seconds since 1970 at the packet's arrival.
pub fn wall_s() -> u64 {
    host::clock(1).cast_unsigned()
}

/// Returns 64 random bits, which are not fit for cryptography.
pub fn random() -> u64 {
    host::random().cast_unsigned()
}
