//! Packets of our own making: TCP segments without data, resets and ICMP errors,
//! as complete IP packets with complete checksums.
//!
//! What answers a packet is never sent to or because of a broadcast, a
//! multicast, or a source that is no single host.

use crate::packet::protocol;
use crate::{Addr, Af, FragmentInfo, IcmpKind, L4, Parsed, TcpFlags, checksum};

#[cfg(test)]
mod tests;

const IP4_HEADER: usize = 20;
const IP6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
const DEFAULT_TTL: u8 = 64;
/// RFC 1812 §4.3.2.3: an ICMP error is at most as long as any host must accept.
const MAX_ICMP4_ERROR: usize = 576;
/// RFC 4443 §2.4 (c): an ICMPv6 error fits the minimum IPv6 MTU.
const MAX_ICMP6_ERROR: usize = 1280;
/// RFC 1812 §4.3.2.5: ICMP errors have precedence "internetwork control".
const ICMP_ERROR_TOS: u8 = 0xc0;

/// A TCP segment without data or options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpReply {
    /// Source address.
    pub src: Addr,
    /// Destination address, of the same family.
    pub dst: Addr,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// The window field.
    pub window: u16,
    /// Time to live or hop limit.
    pub ttl: u8,
}

/// What is known of a packet's transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumStatus {
    /// Nothing: it is verified before the packet is answered.
    Unknown,
    /// It was verified, or is partial because the packet was made on this machine.
    Trusted,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpErrorKind {
    /// The type, of the family of the packet it is about.
    pub type_: u8,
    /// The code.
    pub code: u8,
    /// The MTU, in "fragmentation needed" and "packet too big".
    pub mtu: Option<u32>,
}

impl IcmpErrorKind {
    /// Destination unreachable with `code`.
    pub const fn unreachable(af: Af, code: u8) -> Self {
        let type_ = match af {
            Af::V4 => 3,
            Af::V6 => 1,
        };
        Self { type_, code, mtu: None }
    }

    /// Port unreachable.
    pub const fn port_unreachable(af: Af) -> Self {
        match af {
            Af::V4 => Self::unreachable(af, 3),
            Af::V6 => Self::unreachable(af, 4),
        }
    }

    /// Fragmentation needed (RFC 1191 §4) or packet too big (RFC 4443 §3.2).
    pub const fn packet_too_big(af: Af, mtu: u32) -> Self {
        match af {
            Af::V4 => Self { type_: 3, code: 4, mtu: Some(mtu) },
            Af::V6 => Self { type_: 2, code: 0, mtu: Some(mtu) },
        }
    }

    /// The four bytes after the checksum. IPv4 has room for 16 bits of MTU.
    fn rest(self, af: Af) -> [u8; 4] {
        let mtu = self.mtu.unwrap_or(0);
        match af {
            Af::V4 => mtu.min(u32::from(u16::MAX)).to_be_bytes(),
            Af::V6 => mtu.to_be_bytes(),
        }
    }
}

/// Builds the IP packet that carries `reply`.
pub fn tcp(reply: &TcpReply) -> Vec<u8> {
    let mut packet = ip_packet(reply.src, reply.dst, protocol::TCP, reply.ttl, 0, TCP_HEADER);
    let start = packet.len();
    packet.extend_from_slice(&reply.sport.to_be_bytes());
    packet.extend_from_slice(&reply.dport.to_be_bytes());
    packet.extend_from_slice(&reply.seq.to_be_bytes());
    packet.extend_from_slice(&reply.ack.to_be_bytes());
    packet.extend_from_slice(&[(TCP_HEADER as u8 / 4) << 4, reply.flags.raw()]);
    packet.extend_from_slice(&reply.window.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    let check = checksum::transport(reply.src, reply.dst, protocol::TCP, &packet[start..]);
    put_u16(&mut packet, start + 16, check);
    packet
}

/// Builds the reset that refuses a TCP segment as OpenBSD pf's `return-rst` does:
/// its sequence number is what the segment acknowledges, and it acknowledges all
/// of the segment. `None` for what must not be answered: a reset, anything but
/// TCP, a wrong checksum, port 0, broadcasts and multicasts.
pub fn tcp_reset_for(packet: &[u8], parsed: &Parsed, status: ChecksumStatus) -> Option<Vec<u8>> {
    let L4::Tcp(segment) = parsed.l4 else {
        return None;
    };
    // Nothing may be sent to port 0, though it may be sent from.
    let answerable = segment.sport != 0 && may_be_answered(parsed);
    if segment.flags.contains(TcpFlags::RST) || !answerable {
        return None;
    }
    if status == ChecksumStatus::Unknown && !checksum::verify(packet, parsed) {
        return None;
    }
    // FIN beside SYN does not count: it is cleared from packets that pass.
    let counted = segment.flags.intersects(TcpFlags::SYN | TcpFlags::FIN);
    Some(tcp(&TcpReply {
        src: parsed.dst,
        dst: parsed.src,
        sport: segment.dport,
        dport: segment.sport,
        seq: segment.ack,
        ack: segment.seq.wrapping_add(segment.data_len).wrapping_add(u32::from(counted)),
        flags: TcpFlags::RST | TcpFlags::ACK,
        window: 0,
        ttl: DEFAULT_TTL,
    }))
}

/// Builds the ICMP error about a packet, quoting as much of it as fits 576 bytes
/// (IPv4) or 1280 bytes (IPv6) in all. `None` where none may be sent (RFC 1812
/// §4.3.2.7, RFC 4443 §2.4): about ICMP errors and redirects, later fragments,
/// broadcasts and multicasts, sources that are no single host; also if `from` is
/// of the other family.
pub fn icmp_error(
    from: Addr,
    kind: IcmpErrorKind,
    packet: &[u8],
    parsed: &Parsed,
) -> Option<Vec<u8>> {
    if from.af() != parsed.af || !may_be_answered(parsed) || is_forbidden_cause(parsed) {
        return None;
    }
    let (proto, ip_header, max, tos) = match parsed.af {
        Af::V4 => (protocol::ICMP, IP4_HEADER, MAX_ICMP4_ERROR, ICMP_ERROR_TOS),
        Af::V6 => (protocol::ICMPV6, IP6_HEADER, MAX_ICMP6_ERROR, 0),
    };
    let cause = packet.get(..parsed.total_len as usize)?;
    let quote = &cause[..cause.len().min(max - ip_header - ICMP_HEADER)];
    let icmp_len = ICMP_HEADER + quote.len();
    let mut error = ip_packet(from, parsed.src, proto, DEFAULT_TTL, tos, icmp_len);
    let start = error.len();
    error.extend_from_slice(&[kind.type_, kind.code, 0, 0]);
    error.extend_from_slice(&kind.rest(parsed.af));
    error.extend_from_slice(quote);
    let check = match parsed.af {
        Af::V4 => checksum::checksum(&error[start..]),
        Af::V6 => checksum::transport(from, parsed.src, proto, &error[start..]),
    };
    put_u16(&mut error, start + 2, check);
    Some(error)
}

fn may_be_answered(parsed: &Parsed) -> bool {
    parsed.src.is_single_host()
        && !parsed.dst.is_multicast()
        && !parsed.dst.is_broadcast()
        && !parsed.dst.is_unspecified()
}

fn is_forbidden_cause(parsed: &Parsed) -> bool {
    match (parsed.fragment, parsed.l4) {
        // What a first fragment of ICMP is cannot be told here.
        (Some(FragmentInfo { offset, .. }), _) => {
            offset != 0 || matches!(parsed.proto, protocol::ICMP | protocol::ICMPV6)
        }
        (None, L4::Icmp(icmp)) => match icmp.kind {
            IcmpKind::Error { .. } => true,
            IcmpKind::NeighbourDiscovery => icmp.type_ == 137,
            IcmpKind::Query { .. } | IcmpKind::Other => false,
        },
        (None, L4::Tcp(_) | L4::Udp(_) | L4::Other | L4::Fragment) => false,
    }
}

/// An IP header announcing `payload_len` bytes, with room for them. It has no
/// fragments to tell apart, so its identification is 0 and DF set (RFC 6864 §4).
fn ip_packet(src: Addr, dst: Addr, proto: u8, ttl: u8, tos: u8, payload_len: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(IP6_HEADER + payload_len);
    match (src.as_v4(), dst.as_v4()) {
        (Some(src), Some(dst)) => {
            let total_len = (IP4_HEADER + payload_len) as u16;
            packet.extend_from_slice(&[0x45, tos]);
            packet.extend_from_slice(&total_len.to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0x40, 0, ttl, proto, 0, 0]);
            packet.extend_from_slice(&src);
            packet.extend_from_slice(&dst);
            let check = checksum::checksum(&packet);
            put_u16(&mut packet, 10, check);
        }
        (Some(_) | None, Some(_) | None) => {
            packet.extend_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 0]);
            packet.extend_from_slice(&(payload_len as u16).to_be_bytes());
            packet.extend_from_slice(&[proto, ttl]);
            packet.extend_from_slice(&src.octets());
            packet.extend_from_slice(&dst.octets());
        }
    }
    packet
}

fn put_u16(packet: &mut [u8], at: usize, value: u16) {
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
