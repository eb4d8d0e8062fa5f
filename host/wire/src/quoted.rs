//! The packet that an ICMP error quotes.

use crate::packet::protocol;
use crate::parse::{is_error, query_of, read_u16, read_u32, walk_quoted};
use crate::{Addr, Af, DropReason};

/// Bytes of the upper layer that every ICMP error quotes (RFC 792).
const UPPER_LAYER: usize = 8;

/// Facts about a quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The family of the quoted packet.
    pub af: Af,
    /// Its upper-layer protocol.
    pub proto: u8,
    /// Its source address.
    pub src: Addr,
    /// Its destination address.
    pub dst: Addr,
    /// Where its upper-layer header begins, in bytes from the start of the quote.
    pub l4_offset: u16,
    /// What is known of its upper layer.
    pub l4: QuotedL4,
}

/// The upper layer of a quoted packet: what its first 8 bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedL4 {
    /// TCP.
    Tcp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
        /// Sequence number.
        seq: u32,
    },
    /// UDP.
    Udp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// An ICMP query or reply of the quoted packet's family.
    Icmp {
        /// The identifier.
        id: u16,
        /// The type that the request of this kind has.
        request_type: u8,
        /// Whether the quoted packet was the request.
        is_request: bool,
    },
    /// Anything else.
    Other,
}

/// Parses the packet quoted in an ICMP error of family `icmp_af`. It may be cut
/// off anywhere after 8 bytes of its upper layer; its own length is ignored.
///
/// # Errors
///
/// As [`parse`](crate::parse) for the IP headers; `short` if fewer than 8 bytes
/// of a TCP, UDP or ICMP header are there; `fragment` for a later fragment;
/// `normalize` for a quoted ICMP error, to which no error may be sent, and for
/// ICMP of the other family.
pub fn parse_quoted(icmp_af: Af, bytes: &[u8]) -> Result<Quoted, DropReason> {
    let network = walk_quoted(icmp_af, bytes)?;
    if network.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Err(DropReason::Fragment);
    }
    let upper = bytes.get(network.offset..).ok_or(DropReason::Short)?;
    Ok(Quoted {
        af: icmp_af,
        proto: network.proto,
        src: network.src,
        dst: network.dst,
        l4_offset: u16::try_from(network.offset).map_err(|_| DropReason::IpOption)?,
        l4: upper_layer(icmp_af, network.proto, upper)?,
    })
}

fn upper_layer(af: Af, proto: u8, upper: &[u8]) -> Result<QuotedL4, DropReason> {
    if !matches!(proto, protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6) {
        return Ok(QuotedL4::Other);
    }
    let header = upper.first_chunk::<UPPER_LAYER>().ok_or(DropReason::Short)?;
    let (sport, dport) = (read_u16(header, 0), read_u16(header, 2));
    match (proto, af) {
        (protocol::TCP, _) => Ok(QuotedL4::Tcp { sport, dport, seq: read_u32(header, 4) }),
        (protocol::UDP, _) => Ok(QuotedL4::Udp { sport, dport }),
        (protocol::ICMP, Af::V4) | (protocol::ICMPV6, Af::V6) => icmp(af, header),
        _ => Err(DropReason::Normalize),
    }
}

fn icmp(af: Af, header: &[u8; UPPER_LAYER]) -> Result<QuotedL4, DropReason> {
    let type_ = header[0];
    if is_error(af, type_) {
        return Err(DropReason::Normalize);
    }
    Ok(query_of(af, type_).map_or(QuotedL4::Other, |(request_type, is_request)| QuotedL4::Icmp {
        id: read_u16(header, 4),
        request_type,
        is_request,
    }))
}
