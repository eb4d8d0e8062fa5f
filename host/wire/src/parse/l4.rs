//! TCP, UDP and ICMP headers.

use super::Network;
use crate::packet::protocol;
use crate::{Af, DropReason, Icmp, IcmpKind, L4, Tcp, TcpFlags, Udp};

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;
/// RFC 7323 §2.3.
const MAX_WSCALE: u8 = 14;
/// Neighbour discovery never crosses a router (RFC 4861 §6.1, §7.1, §8.1).
const ND_HOP_LIMIT: u8 = 255;

/// Reads the upper layer of a packet cut to its length.
pub(super) fn upper_layer(bytes: &[u8], network: &Network) -> Result<L4, DropReason> {
    if network.fragment.is_some() {
        return Ok(L4::Fragment);
    }
    let segment = bytes.get(network.offset..).ok_or(DropReason::Short)?;
    match (network.proto, network.af) {
        (protocol::TCP, _) => tcp(segment).map(L4::Tcp),
        (protocol::UDP, _) => udp(segment).map(L4::Udp),
        (protocol::ICMP, Af::V4) | (protocol::ICMPV6, Af::V6) => {
            icmp(segment, network).map(L4::Icmp)
        }
        (protocol::ICMP, Af::V6) | (protocol::ICMPV6, Af::V4) => Err(DropReason::Normalize),
        _ => Ok(L4::Other),
    }
}

fn tcp(segment: &[u8]) -> Result<Tcp, DropReason> {
    let header = segment.first_chunk::<TCP_HEADER>().ok_or(DropReason::Short)?;
    let dport = read_u16(header, 2);
    let data_offset = usize::from(header[12] >> 4) * 4;
    if dport == 0 || data_offset < TCP_HEADER || data_offset > segment.len() {
        return Err(DropReason::Short);
    }
    let flags = TcpFlags::from_raw(header[13]);
    check_flags(flags)?;
    let mut tcp = Tcp {
        sport: read_u16(header, 0),
        dport,
        seq: read_u32(header, 4),
        ack: read_u32(header, 8),
        flags,
        window: read_u16(header, 14),
        data_offset: data_offset as u8,
        data_len: (segment.len() - data_offset) as u32,
        wscale: None,
        mss: None,
    };
    if flags.contains(TcpFlags::SYN) {
        read_syn_options(&segment[TCP_HEADER..data_offset], &mut tcp);
    }
    Ok(tcp)
}

/// The combinations that no stack sends (OpenBSD `pf_normalize_tcp`). SYN with
/// FIN is none of them: FIN is cleared in passing.
fn check_flags(flags: TcpFlags) -> Result<(), DropReason> {
    let only_with_ack = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
    let syn = flags.contains(TcpFlags::SYN);
    let relevant = if syn { flags.difference(TcpFlags::FIN) } else { flags };
    let bad = if syn {
        flags.contains(TcpFlags::RST)
    } else {
        !flags.intersects(TcpFlags::ACK | TcpFlags::RST)
    } || (!flags.contains(TcpFlags::ACK) && relevant.intersects(only_with_ack));
    if bad { Err(DropReason::Normalize) } else { Ok(()) }
}

/// Reads window scale and MSS as far as the options are well-formed.
fn read_syn_options(mut rest: &[u8], tcp: &mut Tcp) {
    const END: u8 = 0;
    const NOP: u8 = 1;
    while let [kind, after_kind @ ..] = rest {
        if *kind == END {
            return;
        }
        if *kind == NOP {
            rest = after_kind;
            continue;
        }
        match rest {
            [2, 4, high, low, ..] => tcp.mss = Some(u16::from_be_bytes([*high, *low])),
            [3, 3, shift, ..] => tcp.wscale = Some((*shift).min(MAX_WSCALE)),
            _ => {}
        }
        let len = after_kind.first().map_or(0, |len| usize::from(*len));
        match rest.get(len..) {
            Some(after) if len >= 2 => rest = after,
            Some(_) | None => return,
        }
    }
}

fn udp(segment: &[u8]) -> Result<Udp, DropReason> {
    let header = segment.first_chunk::<UDP_HEADER>().ok_or(DropReason::Short)?;
    let dport = read_u16(header, 2);
    let len = usize::from(read_u16(header, 4));
    if dport == 0 || len < UDP_HEADER || len > segment.len() {
        return Err(DropReason::Short);
    }
    Ok(Udp { sport: read_u16(header, 0), dport, data_len: (len - UDP_HEADER) as u32 })
}

fn icmp(segment: &[u8], network: &Network) -> Result<Icmp, DropReason> {
    let header = segment.first_chunk::<ICMP_HEADER>().ok_or(DropReason::Short)?;
    let type_ = header[0];
    let kind = if let Some((request_type, is_request)) = query_of(network.af, type_) {
        IcmpKind::Query { id: read_u16(header, 4), request_type, is_request }
    } else if is_error(network.af, type_) {
        let quoted_offset = u16::try_from(network.offset + ICMP_HEADER);
        IcmpKind::Error { quoted_offset: quoted_offset.map_err(|_| DropReason::IpOption)? }
    } else {
        match (network.af, type_) {
            (Af::V6, 133..=137) if network.ttl != ND_HOP_LIMIT => {
                return Err(DropReason::Normalize);
            }
            (Af::V6, 133..=137) => IcmpKind::NeighbourDiscovery,
            (Af::V4 | Af::V6, _) => IcmpKind::Other,
        }
    };
    let icmp = Icmp { type_, code: header[1], kind };
    if network.af == Af::V6 && icmp.is_mld() && !may_send_mld(network) {
        return Err(DropReason::IpOption);
    }
    Ok(icmp)
}

/// MLD is sent with hop limit 1 from a link-local address (RFC 2710 §3), or from
/// none while that is still being checked for duplicates (RFC 3590 §4).
fn may_send_mld(network: &Network) -> bool {
    network.ttl == 1 && (network.src.is_link_local() || network.src.is_unspecified())
}

/// The type of the request to which an ICMP query or reply belongs, and whether
/// it is the request.
pub(crate) fn query_of(af: Af, type_: u8) -> Option<(u8, bool)> {
    match (af, type_) {
        (Af::V4, 8) => Some((8, true)),
        (Af::V4, 0) => Some((8, false)),
        (Af::V4, 13 | 15 | 17) => Some((type_, true)),
        (Af::V4, 14 | 16 | 18) => Some((type_ - 1, false)),
        (Af::V6, 128) => Some((128, true)),
        (Af::V6, 129) => Some((128, false)),
        (Af::V4 | Af::V6, _) => None,
    }
}

/// Whether messages of this type quote a packet. IPv4's redirect does, too.
pub(crate) fn is_error(af: Af, type_: u8) -> bool {
    match af {
        Af::V4 => matches!(type_, 3 | 4 | 5 | 11 | 12),
        Af::V6 => matches!(type_, 1..=4),
    }
}

/// The big-endian number at `at`, which must lie within `bytes`.
pub(crate) const fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The big-endian number at `at`, which must lie within `bytes`.
pub(crate) const fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
