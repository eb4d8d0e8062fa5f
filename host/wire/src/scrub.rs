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
