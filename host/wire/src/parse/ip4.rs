//! The IPv4 header (RFC 791).

use super::{HEADER_LIMIT, Network, OptionsSeen, skip_ah};
use crate::packet::protocol;
use crate::{Addr, Af, DropReason, FragmentInfo};

const MIN_HEADER: usize = 20;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;
/// 224.0.0.1, to which IGMP speaks with TTL 1 (RFC 1112 appendix I).
const ALL_HOSTS: [u8; 4] = [224, 0, 0, 1];

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
/// RFC 2113 §2.1.
const OPTION_ROUTER_ALERT: u8 = 148;

/// Cuts `packet` to the total length in its header.
pub(super) fn datagram(packet: &[u8]) -> Result<&[u8], DropReason> {
    let header = packet.first_chunk::<MIN_HEADER>().ok_or(DropReason::Short)?;
    let total_len = u16::from_be_bytes([header[2], header[3]]);
    packet.get(..usize::from(total_len)).ok_or(DropReason::Short)
}

/// Reads the header and, in what is no fragment, steps over authentication headers.
#[inline(always)]
pub(super) fn walk(bytes: &[u8]) -> Result<Network, DropReason> {
    let header = bytes.first_chunk::<MIN_HEADER>().ok_or(DropReason::Short)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < MIN_HEADER {
        return Err(DropReason::Short);
    }
    let options = bytes.get(MIN_HEADER..header_len).ok_or(DropReason::Short)?;
    let fragment = fragment_of(header, header_len);
    let mut network = Network {
        af: Af::V4,
        proto: header[9],
        src: Addr::from_v4_octets([header[12], header[13], header[14], header[15]]),
        dst: Addr::from_v4_octets([header[16], header[17], header[18], header[19]]),
        ttl: header[8],
        tos: header[1],
        offset: header_len,
        fragment,
        options: walk_options(options)?,
    };
    if network.proto == protocol::IGMP && network.ttl != 1 && header[16..] == ALL_HOSTS {
        return Err(DropReason::IpOption);
    }
    if fragment.is_some() {
        return Ok(network);
    }
    for _ in 0..HEADER_LIMIT {
        if network.proto != protocol::AH {
            return Ok(network);
        }
        (network.offset, network.proto) = skip_ah(bytes, network.offset)?;
    }
    Err(DropReason::IpOption)
}

fn fragment_of(header: &[u8; MIN_HEADER], header_len: usize) -> Option<FragmentInfo> {
    let field = u16::from_be_bytes([header[6], header[7]]);
    (field & (MORE_FRAGMENTS | OFFSET_MASK) != 0).then(|| FragmentInfo {
        id: u32::from(u16::from_be_bytes([header[4], header[5]])),
        offset: (field & OFFSET_MASK) << 3,
        more: field & MORE_FRAGMENTS != 0,
        dont_fragment: field & DONT_FRAGMENT != 0,
        unfragmentable_len: header_len as u16,
        next_header: header[9],
    })
}

fn walk_options(mut rest: &[u8]) -> Result<OptionsSeen, DropReason> {
    let mut seen = OptionsSeen::default();
    if rest.is_empty() {
        return Ok(seen);
    }
    while let [kind, after_kind @ ..] = rest {
        match *kind {
            OPTION_END => break,
            OPTION_NOP => {
                rest = after_kind;
                continue;
            }
            OPTION_ROUTER_ALERT => seen.router_alert = true,
            _ => seen.other = true,
        }
        let len = usize::from(*after_kind.first().ok_or(DropReason::IpOption)?);
        if len < 2 {
            return Err(DropReason::IpOption);
        }
        rest = rest.get(len..).ok_or(DropReason::IpOption)?;
    }
    // Nothing but padding has no purpose.
    seen.other |= !seen.any();
    Ok(seen)
}
