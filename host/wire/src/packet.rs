//! What is known of a packet once its headers were parsed.

use std::fmt;
use std::ops::BitOr;

use crate::{Addr, Af};

/// IP protocol numbers (IANA).
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header.
    pub const AH: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// Facts about one IP packet. Offsets count from the start of the IP header and
/// lie within the packet that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The family of the packet.
    pub af: Af,
    /// The upper-layer protocol, after all extension headers. For an IPv6
    /// fragment: what its fragment header names next.
    pub proto: u8,
    /// The source address.
    pub src: Addr,
    /// The destination address.
    pub dst: Addr,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class, ECN bits included.
    pub tos: u8,
    /// Where the upper-layer header begins; for a fragment, where its part of
    /// the data begins.
    pub l4_offset: u16,
    /// Bytes of the whole packet by its IP header, at most those that were given.
    pub total_len: u32,
    /// Set if this is a fragment. An IPv6 packet with a fragment header that is
    /// the whole datagram ("atomic", RFC 6946) is none.
    pub fragment: Option<FragmentInfo>,
    /// What options the IP header (IPv4) or extension headers (IPv6) carry.
    pub options: IpOptions,
    /// The upper layer.
    pub l4: L4,
}

impl Parsed {
    /// Whether the packet may pass only where a rule allows IP options. Router
    /// alerts of IGMP and MLD are excused, as in OpenBSD pf.
    pub const fn needs_allow_opts(&self) -> bool {
        match self.options {
            IpOptions::None => false,
            IpOptions::RouterAlertOnly => !self.is_multicast_membership(),
            IpOptions::Other => true,
        }
    }

    /// The TCP header, if this is an unfragmented TCP packet.
    pub const fn tcp(&self) -> Option<&Tcp> {
        match &self.l4 {
            L4::Tcp(tcp) => Some(tcp),
            L4::Udp(_) | L4::Icmp(_) | L4::Other | L4::Fragment => None,
        }
    }

    /// Bytes of all headers, IP and transport (TCP, UDP): what every segment of
    /// a super-packet repeats.
    pub const fn header_len(&self) -> u32 {
        let ip = self.l4_offset as u32;
        match &self.l4 {
            L4::Tcp(tcp) => ip + tcp.data_offset as u32,
            L4::Udp(_) => ip + 8,
            L4::Icmp(_) | L4::Other | L4::Fragment => ip,
        }
    }

    const fn is_multicast_membership(&self) -> bool {
        match (self.af, &self.l4) {
            (Af::V4, _) => self.proto == protocol::IGMP,
            (Af::V6, L4::Icmp(icmp)) => icmp.is_mld(),
            (Af::V6, L4::Tcp(_) | L4::Udp(_) | L4::Other | L4::Fragment) => false,
        }
    }
}

/// What the IP header says of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentInfo {
    /// The datagram's identification (16 bits in IPv4).
    pub id: u32,
    /// Where the fragment's data belongs in the datagram's, in bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// IPv4's DF, which no fragment should have; never set in IPv6.
    pub dont_fragment: bool,
    /// IPv6: bytes before the fragment header. IPv4: the header's length.
    pub unfragmentable_len: u16,
    /// The protocol of the fragmented data.
    pub next_header: u8,
}

/// Options of the IPv4 header, or IPv6 hop-by-hop options, destination options
/// and routing headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpOptions {
    /// None at all.
    None,
    /// Nothing but a router alert (RFC 2113, RFC 2711) and padding.
    RouterAlertOnly,
    /// Anything else; also options that are only padding.
    Other,
}

/// The upper layer of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// ICMP of the packet's family.
    Icmp(Icmp),
    /// Any other protocol.
    Other,
    /// A fragment, the first one too: not looked into.
    Fragment,
}

/// A TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub sport: u16,
    /// Destination port, never 0.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// The window field, not scaled.
    pub window: u16,
    /// Bytes of the TCP header with its options (20 to 60).
    pub data_offset: u8,
    /// Bytes of payload, of a whole super-packet.
    pub data_len: u32,
    /// The window scale option of a SYN, at most 14 (RFC 7323 §2.3).
    pub wscale: Option<u8>,
    /// The maximum segment size option of a SYN.
    pub mss: Option<u16>,
}

/// The eight flags of a TCP header.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is valid.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is valid.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// The flags of a header's byte 13.
    pub const fn from_raw(raw: u8) -> Self {
        Self(raw)
    }

    /// Byte 13 of the header.
    pub const fn raw(self) -> u8 {
        self.0
    }

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is set.
    pub const fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// These flags and those.
    pub const fn union(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// These flags less those.
    pub const fn difference(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl fmt::Display for TcpFlags {
    /// Writes the flags with pf's letters, such as `SA`; `-` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("-");
        }
        "FSRPAUEW".bytes().enumerate().try_for_each(|(bit, letter)| {
            if self.0 & (1 << bit) != 0 { write!(f, "{}", letter as char) } else { Ok(()) }
        })
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub sport: u16,
    /// Destination port, never 0.
    pub dport: u16,
    /// Bytes of payload, of a whole super-packet.
    pub data_len: u32,
}

/// An ICMP header of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// The type.
    pub type_: u8,
    /// The code.
    pub code: u8,
    /// What the type means.
    pub kind: IcmpKind,
}

impl Icmp {
    /// Whether the type is one of MLD's; meaningful only in IPv6.
    pub(crate) const fn is_mld(&self) -> bool {
        matches!(self.type_, 130..=132 | 143)
    }
}

/// What an ICMP message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// A query or the reply to one.
    Query {
        /// The identifier.
        id: u16,
        /// The type that the request of this kind has.
        request_type: u8,
        /// Whether this is the request.
        is_request: bool,
    },
    /// An error (or redirect) that quotes a packet.
    Error {
        /// Where the quoted packet begins.
        quoted_offset: u16,
    },
    /// IPv6 router and neighbour discovery, with hop limit 255.
    NeighbourDiscovery,
    /// Anything else.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_with_pf_letters() {
        assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "SA");
        assert_eq!(TcpFlags::from_raw(0xff).to_string(), "FSRPAUEW");
        assert_eq!(TcpFlags::default().to_string(), "-");
    }

    #[test]
    fn a_parsed_packet_stays_small() {
        assert!(size_of::<Parsed>() <= 96, "{}", size_of::<Parsed>());
    }
}
