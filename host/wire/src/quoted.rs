//! The packet that an ICMP error quotes.

use crate::{Addr, Af, DropReason};

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

/// Parses the packet quoted in an ICMP error.
pub fn parse_quoted(icmp_af: Af, bytes: &[u8]) -> Result<Quoted, DropReason> {
    let _ = (icmp_af, bytes);
    Err(DropReason::Short)
}
