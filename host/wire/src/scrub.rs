//! Changes made to packets in passing, with their checksums kept right.

use crate::checksum::update16;
use crate::parse::read_u16;
use crate::{Af, L4, Parsed, TcpFlags};

/// Normalises a TCP header as OpenBSD pf does without dropping: FIN beside SYN
/// is cleared, so are the four reserved bits, and the urgent pointer without URG.
///
/// With `partial_checksum` (see [`VnetHdr::NEEDS_CSUM`](crate::VnetHdr::NEEDS_CSUM))
/// the checksum field holds only the pseudo header's sum and is left alone.
/// `parsed` must be of this packet and gets the new flags; anything but TCP is
/// left as it is.
pub fn scrub_tcp(packet: &mut [u8], parsed: &mut Parsed, partial_checksum: bool) {
    let L4::Tcp(tcp) = &mut parsed.l4 else {
        return;
    };
    let Some(header) = packet
        .get_mut(usize::from(parsed.l4_offset)..)
        .and_then(|segment| segment.first_chunk_mut::<20>())
    else {
        return;
    };
    if tcp.flags.contains(TcpFlags::SYN) {
        tcp.flags = tcp.flags.difference(TcpFlags::FIN);
    }
    let offset_and_flags = read_u16(header, 12) & 0xf000 | u16::from(tcp.flags.raw());
    rewrite(header, 12, offset_and_flags, partial_checksum);
    if !tcp.flags.contains(TcpFlags::URG) {
        rewrite(header, 18, 0, partial_checksum);
    }
}

fn rewrite(header: &mut [u8; 20], at: usize, new: u16, partial_checksum: bool) {
    const CHECKSUM_AT: usize = 16;
    let old = read_u16(header, at);
    if old == new {
        return;
    }
    header[at..at + 2].copy_from_slice(&new.to_be_bytes());
    if !partial_checksum {
        let check = update16(read_u16(header, CHECKSUM_AT), old, new);
        header[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&check.to_be_bytes());
    }
}

/// Adds one to TTL or hop limit, at most 255, as if this hop were none. Anything
/// shorter than the IP header is left as it is.
pub fn increment_ttl(packet: &mut [u8], af: Af) {
    match af {
        Af::V4 => {
            let Some(header) = packet.first_chunk_mut::<20>() else {
                return;
            };
            let old = read_u16(header, 8);
            header[8] = header[8].saturating_add(1);
            let check = update16(read_u16(header, 10), old, read_u16(header, 8));
            header[10..12].copy_from_slice(&check.to_be_bytes());
        }
        Af::V6 => {
            if let Some(header) = packet.first_chunk_mut::<40>() {
                header[7] = header[7].saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{golden, goldens, tcp, udp, v4, v6};
    use crate::{checksum, parse};

    const SYN: u8 = 0x02;
    const FIN: u8 = 0x01;
    const ACK: u8 = 0x10;
    const URG: u8 = 0x20;

    /// A packet with the transport checksum filled in from scratch.
    fn complete(mut packet: Vec<u8>) -> Vec<u8> {
        let parsed = parse(&packet).unwrap();
        let start = usize::from(parsed.l4_offset);
        packet[start + 16..start + 18].fill(0);
        let check = checksum::transport(parsed.src, parsed.dst, parsed.proto, &packet[start..]);
        packet[start + 16..start + 18].copy_from_slice(&check.to_be_bytes());
        packet
    }

    fn segment(flags: u8, reserved: u8, urgent: u16) -> Vec<u8> {
        let mut segment = tcp(flags, &[], b"data");
        segment[12] |= reserved;
        segment[18..20].copy_from_slice(&urgent.to_be_bytes());
        segment
    }

    #[test]
    fn fin_beside_syn_reserved_bits_and_idle_urgent_pointers_go() {
        for (before, after) in [
            (segment(SYN | FIN, 0, 0), segment(SYN, 0, 0)),
            (segment(ACK | FIN, 0xf, 7), segment(ACK | FIN, 0, 0)),
            (segment(ACK | URG, 1, 7), segment(ACK | URG, 0, 7)),
        ] {
            for build in [v4, v6] {
                let (mut packet, expected) = (complete(build(6, &before)), build(6, &after));
                let mut parsed = parse(&packet).unwrap();
                scrub_tcp(&mut packet, &mut parsed, false);
                assert_eq!(packet, complete(expected));
                assert_eq!(parse(&packet), Ok(parsed));
            }
        }
    }

    #[test]
    fn a_partial_checksum_is_left_alone() {
        let mut packet = v4(6, &segment(SYN | FIN, 0xf, 9));
        packet[36..38].copy_from_slice(&[0xab, 0xcd]);
        let mut parsed = parse(&packet).unwrap();
        scrub_tcp(&mut packet, &mut parsed, true);
        assert_eq!(packet[32..40], [0x50, SYN, 4, 0, 0xab, 0xcd, 0, 0]);
    }

    #[test]
    fn sane_packets_stay_as_they_are() {
        for (name, bytes) in goldens() {
            let mut parsed = parse(&bytes).unwrap();
            let mut packet = bytes.clone();
            scrub_tcp(&mut packet, &mut parsed, false);
            assert_eq!(packet, bytes, "{name}");
        }
        let mut packet = v4(17, &udp(&[0xff; 20]));
        let before = packet.clone();
        scrub_tcp(&mut packet, &mut parse(&before).unwrap(), false);
        assert_eq!(packet, before);
    }

    #[test]
    fn one_more_ttl_keeps_the_header_checksum_right() {
        let mut packet = golden("v4-syn");
        increment_ttl(&mut packet, Af::V4);
        assert_eq!(packet[8], 65);
        assert!(checksum::verify_header(&packet[..20]));
        packet[8] = 255;
        let before = packet.clone();
        increment_ttl(&mut packet, Af::V4);
        assert_eq!(packet, before);

        let mut packet = golden("v6-router-solicitation");
        increment_ttl(&mut packet, Af::V6);
        assert_eq!(packet[7], 255);
        packet[7] = 3;
        increment_ttl(&mut packet, Af::V6);
        assert_eq!(packet[7], 4);
        increment_ttl(&mut packet[..12], Af::V6);
        increment_ttl(&mut packet[..12], Af::V4);
        assert_eq!(packet[7], 4);
    }

    proptest! {
        #[test]
        fn scrubbed_packets_are_sane_and_their_checksums_right(
            flags in any::<u8>(),
            reserved in 0..16_u8,
            urgent in any::<u16>(),
            is_v6 in any::<bool>(),
        ) {
            let build = if is_v6 { v6 } else { v4 };
            let packet = build(6, &segment(flags, reserved, urgent));
            let Ok(mut parsed) = parse(&packet) else { return Ok(()) };
            let mut packet = complete(packet);
            scrub_tcp(&mut packet, &mut parsed, false);
            prop_assert!(checksum::verify(&packet, &parsed));
            prop_assert_eq!(parse(&packet), Ok(parsed));
            let again = packet.clone();
            scrub_tcp(&mut packet, &mut parsed, false);
            prop_assert_eq!(packet, again);
        }
    }
}
