//! Packets of our own making.
use crate::{Addr, Af, Parsed, TcpFlags};

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
    /// It was verified, or is partial because the packet comes from this machine.
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

    /// Fragmentation needed (RFC 1191) or packet too big (RFC 4443 §3.2).
    pub const fn packet_too_big(af: Af, mtu: u32) -> Self {
        match af {
            Af::V4 => Self { type_: 3, code: 4, mtu: Some(mtu) },
            Af::V6 => Self { type_: 2, code: 0, mtu: Some(mtu) },
        }
    }
}

/// Builds the IP packet.
pub fn tcp(reply: &TcpReply) -> Vec<u8> {
    let _ = reply;
    Vec::new()
}

/// Builds the reset that answers a packet.
pub fn tcp_reset_for(packet: &[u8], parsed: &Parsed, checksum: ChecksumStatus) -> Option<Vec<u8>> {
    let _ = (packet, parsed.src.is_single_host(), checksum);
    None
}

/// Builds an ICMP error.
pub fn icmp_error(
    from: Addr,
    kind: IcmpErrorKind,
    packet: &[u8],
    parsed: &Parsed,
) -> Option<Vec<u8>> {
    let _ = (from, kind, packet, parsed);
    None
}
