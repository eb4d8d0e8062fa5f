//! State keys: what makes two packets belong to the same state.
//!
//! Invariant: a packet and its answer build the same key, with opposite sides.

use evergate_wire::{Addr, Af, Icmp, IcmpKind, L4, Parsed, Quoted, QuotedL4, protocol};

/// One end of a [`StateKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Side {
    /// The end in slot 0.
    Lo = 0,
    /// The end in slot 1.
    Hi = 1,
}

impl Side {
    /// Both ends, in the order of their slots.
    pub const BOTH: [Self; 2] = [Self::Lo, Self::Hi];

    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Lo => Self::Hi,
            Self::Hi => Self::Lo,
        }
    }

    /// The slot: 0 or 1.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The identity of a state, equal for packets of both directions.
///
/// - TCP, UDP: the end with the smaller (address, port) is in slot 0.
/// - ICMP queries: the asking end is in slot 0, so that two hosts that query each
///   other with the same identifier own two states; the ports are the identifier
///   and the type of the request, whichever direction the packet has.
/// - Other ICMP messages: the smaller address in slot 0; the ports are 0 and the
///   type.
/// - Other protocols: the smaller address in slot 0; the ports are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// The addresses of the two ends.
    pub addr: [Addr; 2],
    /// Their ports, or what stands for them.
    pub port: [u16; 2],
    /// The upper-layer protocol.
    pub proto: u8,
    /// The address family.
    pub af: Af,
}

impl StateKey {
    /// The address of one end.
    pub const fn addr_of(&self, side: Side) -> Addr {
        self.addr[side.index()]
    }

    /// The port of one end; meaningful for TCP and UDP only.
    pub const fn port_of(&self, side: Side) -> u16 {
        self.port[side.index()]
    }

    fn ordered(af: Af, proto: u8, src: (Addr, u16), dst: (Addr, u16)) -> (Self, Side) {
        let (lo, hi, side) = if src <= dst { (src, dst, Side::Lo) } else { (dst, src, Side::Hi) };
        (Self { addr: [lo.0, hi.0], port: [lo.1, hi.1], proto, af }, side)
    }

    fn query(
        af: Af,
        proto: u8,
        (src, dst): (Addr, Addr),
        (id, request_type): (u16, u8),
        is_request: bool,
    ) -> (Self, Side) {
        let (addr, side) = if is_request { ([src, dst], Side::Lo) } else { ([dst, src], Side::Hi) };
        (Self { addr, port: [id, u16::from(request_type)], proto, af }, side)
    }
}

/// The key of a packet's state and the end that sent the packet.
///
/// `None` for packets that never own a state: ICMP errors (see [`quoted_key`]),
/// IPv6 neighbour and router discovery, and fragments.
pub fn key_of(packet: &Parsed) -> Option<(StateKey, Side)> {
    let Parsed { af, proto, src, dst, .. } = *packet;
    match packet.l4 {
        L4::Tcp(tcp) => Some(StateKey::ordered(af, proto, (src, tcp.sport), (dst, tcp.dport))),
        L4::Udp(udp) => Some(StateKey::ordered(af, proto, (src, udp.sport), (dst, udp.dport))),
        L4::Icmp(icmp) => icmp_key(packet, icmp),
        L4::Other => Some(StateKey::ordered(af, proto, (src, 0), (dst, 0))),
        L4::Fragment => None,
    }
}

fn icmp_key(packet: &Parsed, icmp: Icmp) -> Option<(StateKey, Side)> {
    let Parsed { af, proto, src, dst, .. } = *packet;
    match icmp.kind {
        IcmpKind::Query { id, request_type, is_request } => {
            Some(StateKey::query(af, proto, (src, dst), (id, request_type), is_request))
        }
        IcmpKind::Other => {
            let (mut key, side) = StateKey::ordered(af, proto, (src, 0), (dst, 0));
            key.port = [0, u16::from(icmp.type_)];
            Some((key, side))
        }
        IcmpKind::Error { .. } | IcmpKind::NeighbourDiscovery => None,
    }
}

/// The key of the state that a quoted packet belongs to and the end that sent the
/// *quoted* packet (the error goes back to it).
///
/// `None` if too little was quoted to tell.
pub fn quoted_key(quoted: &Quoted) -> Option<(StateKey, Side)> {
    let Quoted { af, proto, src, dst, .. } = *quoted;
    match quoted.l4 {
        QuotedL4::Tcp { sport, dport, .. } | QuotedL4::Udp { sport, dport } => {
            Some(StateKey::ordered(af, proto, (src, sport), (dst, dport)))
        }
        QuotedL4::Icmp { id, request_type, is_request } => {
            Some(StateKey::query(af, proto, (src, dst), (id, request_type), is_request))
        }
        QuotedL4::Other => match proto {
            protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6 => None,
            _ => Some(StateKey::ordered(af, proto, (src, 0), (dst, 0))),
        },
    }
}

#[cfg(test)]
mod tests;
