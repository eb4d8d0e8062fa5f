//! Packets for the tests: captured ones, and plain ones put together byte by byte
//! without this crate's own builders.

use proptest::prelude::*;

/// The captured packet of that name.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let found = goldens().into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no captured packet {name}")).1
}

/// All captured packets with their names.
pub(crate) fn goldens() -> Vec<(&'static str, Vec<u8>)> {
    include_str!("../tests/golden.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, hex)| (name, unhex(hex)))
        .collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// An IPv4 packet from 192.0.2.1 to 198.51.100.2 without header checksum.
pub(crate) fn v4(proto: u8, payload: &[u8]) -> Vec<u8> {
    v4_with_options(proto, &[], payload)
}

/// As [`v4`]; `options` must be padded to whole words.
pub(crate) fn v4_with_options(proto: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total_len = ((header_len + payload.len()) as u16).to_be_bytes();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0, total_len[0], total_len[1]];
    packet.extend([0, 0, 0, 0, 64, proto, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// An IPv6 packet from 2001:db8::1 to 2001:db8::2.
pub(crate) fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], next_header, 64];
    for last in [1, 2] {
        packet.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

/// A TCP segment from port 40000 to 80; `options` must be padded to whole words.
pub(crate) fn tcp(flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x9c, 0x40, 0, 80, 0, 0, 0x10, 0, 0, 0, 0x20, 0];
    segment.extend([((20 + options.len()) / 4) as u8 * 16, flags, 4, 0, 0, 0, 0, 0]);
    segment.extend(options);
    segment.extend(data);
    segment
}

/// A UDP datagram from port 40000 to 53.
pub(crate) fn udp(data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len() as u16).to_be_bytes();
    [&[0x9c, 0x40, 0, 53, len[0], len[1], 0, 0], data].concat()
}

/// Any bytes, most of them near to real packets: captured ones with some bytes
/// changed and an end cut off, or noise that begins like an IP header.
pub(crate) fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let mutated = (
        prop::sample::select(goldens()),
        prop::collection::vec(change, 0..6),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|((_, mut bytes), changes, end, cut)| {
            for (at, value) in changes {
                let at = at.index(bytes.len().min(100));
                bytes[at] = value;
            }
            if cut {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            bytes
        });
    let noise = (
        prop::sample::select(vec![0x45_u8, 0x46, 0x4f, 0x60, 0x00]),
        prop::collection::vec(any::<u8>(), 0..120),
    )
        .prop_map(|(first, mut bytes)| {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            // Most often a length that fits, so that more than it is looked at.
            let len = bytes.len();
            if len > 40 && bytes[1] & 3 != 0 {
                match first {
                    0x60 => bytes[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes()),
                    _ => bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes()),
                }
            }
            bytes
        });
    prop_oneof![3 => mutated, 2 => noise]
}
