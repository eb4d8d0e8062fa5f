//! The Internet checksum (RFC 1071), whole and incremental (RFC 1624).
//!
//! *Sums* here are ones-complement sums folded to 16 bits; a *checksum* is the
//! complement of one, as it stands in a header.

use crate::packet::{L4, protocol};
use crate::{Addr, Af, Parsed};

/// The folded sum of `bytes` as big-endian 16-bit words; an odd last byte is
/// padded with zero.
pub fn sum(bytes: &[u8]) -> u16 {
    // The sum does not depend on the byte order (RFC 1071 §2 B): four bytes at a
    // time in the host's order vectorise, and the result is turned at the end.
    // 2^32 words of 32 bits fit the accumulator.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total += u64::from(u32::from_ne_bytes(last));
    u16::from_be(fold(total))
}

/// The checksum of `bytes`, in which the checksum field is zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

/// Adds two folded sums.
pub const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// The checksum after one 16-bit word changed from `old` to `new`
/// (RFC 1624 §3, equation 3).
pub const fn update16(check: u16, old: u16, new: u16) -> u16 {
    !add(add(!check, !old), new)
}

/// The checksum after an aligned 32-bit field, such as a sequence number,
/// changed from `old` to `new`.
pub const fn update32(check: u16, old: u32, new: u32) -> u16 {
    let check = update16(check, (old >> 16) as u16, (new >> 16) as u16);
    update16(check, old as u16, new as u16)
}

/// The sum of the pseudo header of `len` bytes of `proto`, of either family.
pub fn pseudo_header(src: Addr, dst: Addr, proto: u8, len: u32) -> u16 {
    // IPv4 and IPv6 put the same numbers in different places, which a sum does
    // not see, and the ffff in a mapped address is ones-complement zero.
    let addresses = add(sum(&src.octets()), sum(&dst.octets()));
    add(addresses, fold(u64::from(len) + u64::from(proto)))
}

/// The checksum of a TCP, UDP or ICMPv6 `segment` in which the checksum field
/// is zero. For UDP a result of 0 is given as ffff (RFC 768).
pub fn transport(src: Addr, dst: Addr, proto: u8, segment: &[u8]) -> u16 {
    let check = !add(pseudo_header(src, dst, proto, segment.len() as u32), sum(segment));
    if check == 0 && proto == protocol::UDP { 0xffff } else { check }
}

/// Whether the checksum of an IPv4 header is right; `header` is exactly that.
pub fn verify_header(header: &[u8]) -> bool {
    sum(header) == 0xffff
}

/// Whether the transport checksum of a packet is right and complete. True for
/// what has none: other protocols, fragments, UDP over IPv4 without one. The pseudo
/// header is taken from the IP header, so with an IPv6 routing header not yet
/// used up, which names another destination, the answer is no.
pub fn verify(packet: &[u8], parsed: &Parsed) -> bool {
    let Some(segment) = packet.get(usize::from(parsed.l4_offset)..parsed.total_len as usize) else {
        return false;
    };
    match (&parsed.l4, parsed.af) {
        (L4::Icmp(_), Af::V4) => sum(segment) == 0xffff,
        (L4::Tcp(_), _) | (L4::Icmp(_), Af::V6) => with_pseudo_header(parsed, segment) == 0xffff,
        (L4::Udp(udp), af) => {
            let Some(datagram) = segment.get(..udp.data_len as usize + 8) else {
                return false;
            };
            let absent = af == Af::V4 && datagram[6..8] == [0, 0];
            absent || with_pseudo_header(parsed, datagram) == 0xffff
        }
        (L4::Other | L4::Fragment, _) => true,
    }
}

fn with_pseudo_header(parsed: &Parsed, segment: &[u8]) -> u16 {
    let pseudo = pseudo_header(parsed.src, parsed.dst, parsed.proto, segment.len() as u32);
    add(pseudo, sum(segment))
}

const fn fold(total: u64) -> u16 {
    let total = (total & 0xffff_ffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16);
    let total = (total & 0xffff) + (total >> 16);
    total as u16
}

#[cfg(test)]
mod tests {
    use etherparse::checksum::Sum16BitWords;
    use proptest::prelude::*;

    use super::*;
    use crate::parse;
    use crate::testing::{golden, goldens, udp, v4, v6};

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        // RFC 1071 §3.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0x220d);
    }

    #[test]
    fn the_example_of_rfc_1624_is_updated() {
        // RFC 1624 §4: the case that the older equation gets wrong.
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn captured_checksums_verify_and_any_flipped_bit_shows() {
        for (name, bytes) in goldens() {
            let parsed = parse(&bytes).unwrap();
            assert!(verify(&bytes, &parsed), "{name}");
            if parsed.af == Af::V4 {
                let header_len = usize::from(bytes[0] & 15) * 4;
                assert!(verify_header(&bytes[..header_len]), "{name}");
            }
            if parsed.fragment.is_some() {
                continue;
            }
            for at in usize::from(parsed.l4_offset)..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 0x10;
                assert!(!verify(&flipped, &parsed), "{name} at {at}");
            }
        }
    }

    #[test]
    fn ipv4_udp_may_come_without_a_checksum_but_ipv6_udp_may_not() {
        for (packet, expected) in [(v4(17, &udp(b"data")), true), (v6(17, &udp(b"data")), false)] {
            assert_eq!(verify(&packet, &parse(&packet).unwrap()), expected);
        }
    }

    #[test]
    fn a_truncated_buffer_does_not_verify() {
        let bytes = golden("v4-syn");
        let parsed = parse(&bytes).unwrap();
        assert!(!verify(&bytes[..59], &parsed));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_another_implementation(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            start in 0..8_usize,
        ) {
            let bytes = &bytes[start.min(bytes.len())..];
            let other = Sum16BitWords::new().add_slice(bytes).ones_complement();
            prop_assert_eq!(checksum(bytes), other.to_be());
        }

        #[test]
        fn an_update_is_a_recomputation(
            mut words in prop::collection::vec(any::<u32>(), 2..20),
            index in any::<prop::sample::Index>(),
            new in any::<u32>(),
        ) {
            let bytes = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
            // A header is never all zero: it has a version, or a port.
            words.push(1);
            let before = checksum(&bytes(&words));
            let index = index.index(words.len() - 1);
            let old = std::mem::replace(&mut words[index], new);
            let expected = checksum(&bytes(&words));
            prop_assert_eq!(update32(before, old, new), expected);
            let (low, high) = (new & 0xffff, old & 0xffff_0000);
            words[index] = high | low;
            let expected = checksum(&bytes(&words));
            prop_assert_eq!(update16(before, old as u16, new as u16), expected);
        }
    }
}
