//! What a policy is told about a packet.

use evergate_abi::{Direction, Request, flags};
use evergate_wire::{Af, IcmpKind, L4, Parsed};

use crate::IfId;

/// Facts about a packet that are not in it.
#[derive(Clone, Copy)]
pub(crate) struct Circumstances {
    pub(crate) in_if: IfId,
    pub(crate) out_if: IfId,
    pub(crate) local: bool,
    pub(crate) reassembled: bool,
    pub(crate) super_packet: bool,
    pub(crate) options: bool,
}

pub(crate) fn build(parsed: &Parsed, at: Circumstances) -> Request {
    let (sport, dport) = ports(parsed);
    let (icmp_type, icmp_code) = icmp(parsed);
    let mut noted = 0;
    for (on, flag) in [
        (at.reassembled, flags::REASSEMBLED),
        (at.options, flags::IP_OPTIONS),
        (at.super_packet, flags::SUPER_PACKET),
    ] {
        if on {
            noted |= flag;
        }
    }
    Request {
        af: match parsed.af {
            Af::V4 => 4,
            Af::V6 => 6,
        },
        proto: parsed.proto,
        direction: direction(at),
        tcp_flags: match parsed.l4 {
            L4::Tcp(tcp) => tcp.flags.raw(),
            L4::Udp(_) | L4::Icmp(_) | L4::Other | L4::Fragment => 0,
        },
        icmp_type,
        icmp_code,
        src: parsed.src.octets(),
        dst: parsed.dst.octets(),
        sport,
        dport,
        in_if: at.in_if.0,
        out_if: at.out_if.0,
        length: parsed.total_len,
        // The way into the tun is a routing hop that policies need not know of.
        ttl: match at.in_if {
            IfId::SELF => parsed.ttl,
            _ => parsed.ttl.saturating_add(1),
        },
        tos: parsed.tos,
        flags: noted,
        tag: 0,
    }
}

fn direction(at: Circumstances) -> Direction {
    match (at.in_if, at.local) {
        (IfId::SELF, _) => Direction::FromGateway,
        (_, true) => Direction::ToGateway,
        (_, false) => Direction::Forwarded,
    }
}

/// Ports, or the id of an ICMP query.
pub(crate) fn ports(parsed: &Parsed) -> (u16, u16) {
    match parsed.l4 {
        L4::Tcp(tcp) => (tcp.sport, tcp.dport),
        L4::Udp(udp) => (udp.sport, udp.dport),
        L4::Icmp(icmp) => match icmp.kind {
            IcmpKind::Query { id, .. } => (id, 0),
            IcmpKind::Error { .. } | IcmpKind::NeighbourDiscovery | IcmpKind::Other => (0, 0),
        },
        L4::Other | L4::Fragment => (0, 0),
    }
}

fn icmp(parsed: &Parsed) -> (u8, u8) {
    match parsed.l4 {
        L4::Icmp(icmp) => (icmp.type_, icmp.code),
        L4::Tcp(_) | L4::Udp(_) | L4::Other | L4::Fragment => (0, 0),
    }
}
