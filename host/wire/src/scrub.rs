//! Changes made to packets in passing.
use crate::{Af, Parsed};

/// Normalises a TCP header.
pub fn scrub_tcp(packet: &mut [u8], parsed: &mut Parsed, partial_checksum: bool) {
    let _ = (packet, parsed, partial_checksum);
}

/// Increments TTL or hop limit.
pub fn increment_ttl(packet: &mut [u8], af: Af) {
    let _ = (packet, af);
}
