//! The request: what a guest is told about the packet that it decides.

use core::fmt;

use crate::layout::{Field, FieldType, field, put, u16_at, u32_at};

/// Size in bytes of a request.
pub const REQUEST_SIZE: usize = 64;

/// Interface id of the gateway itself.
pub const IF_SELF: u16 = 0;
/// Interface id where the gateway does not know the interface.
pub const IF_UNKNOWN: u16 = 0xffff;

/// Bits of [`Request::flags`].
pub mod flags {
    /// The packet was put together from fragments.
    pub const REASSEMBLED: u16 = 1;
    /// The packet carries IPv4 options, or IPv6 hop-by-hop or destination options.
    pub const IP_OPTIONS: u16 = 2;
    /// The packet stands for several on the wire (segmentation offload).
    pub const SUPER_PACKET: u16 = 4;
    /// Only for `inspect`: no more payload will be shown.
    pub const PAYLOAD_END: u16 = 8;
    /// All bits that have a meaning.
    pub const ALL: u16 = REASSEMBLED | IP_OPTIONS | SUPER_PACKET | PAYLOAD_END;
}

mod at {
    pub(super) const SIZE: usize = 0;
    pub(super) const AF: usize = 2;
    pub(super) const PROTO: usize = 3;
    pub(super) const DIRECTION: usize = 4;
    pub(super) const TCP_FLAGS: usize = 5;
    pub(super) const ICMP_TYPE: usize = 6;
    pub(super) const ICMP_CODE: usize = 7;
    pub(super) const SRC: usize = 8;
    pub(super) const DST: usize = 24;
    pub(super) const SPORT: usize = 40;
    pub(super) const DPORT: usize = 42;
    pub(super) const IN_IF: usize = 44;
    pub(super) const OUT_IF: usize = 46;
    pub(super) const LENGTH: usize = 48;
    pub(super) const TTL: usize = 52;
    pub(super) const TOS: usize = 53;
    pub(super) const FLAGS: usize = 54;
    pub(super) const TAG: usize = 56;
    pub(super) const RESERVED: usize = 58;
}

/// The request's layout.
pub const REQUEST_FIELDS: [Field; 19] = [
    field("size", at::SIZE, FieldType::U16, "size of this record: 64"),
    field("af", at::AF, FieldType::U8, "address family: 4 or 6"),
    field("proto", at::PROTO, FieldType::U8, "IP protocol after extension headers (6 TCP, 17 UDP)"),
    field(
        "direction",
        at::DIRECTION,
        FieldType::U8,
        "0 forwarded, 1 to the gateway itself, 2 from the gateway itself",
    ),
    field("tcp_flags", at::TCP_FLAGS, FieldType::U8, "TCP flags as on the wire, 0 if not TCP"),
    field("icmp_type", at::ICMP_TYPE, FieldType::U8, "ICMP or ICMPv6 type, 0 if neither"),
    field("icmp_code", at::ICMP_CODE, FieldType::U8, "ICMP or ICMPv6 code, 0 if neither"),
    field("src", at::SRC, FieldType::Bytes(16), "source address; IPv4 as ::ffff:a.b.c.d"),
    field("dst", at::DST, FieldType::Bytes(16), "destination address; IPv4 as ::ffff:a.b.c.d"),
    field("sport", at::SPORT, FieldType::U16, "source port, 0 where there is none"),
    field("dport", at::DPORT, FieldType::U16, "destination port, 0 where there is none"),
    field(
        "in_if",
        at::IN_IF,
        FieldType::U16,
        "ingress interface id; 0 the gateway itself, 0xffff unknown",
    ),
    field(
        "out_if",
        at::OUT_IF,
        FieldType::U16,
        "egress interface id; 0 the gateway itself, 0xffff unknown",
    ),
    field(
        "length",
        at::LENGTH,
        FieldType::U32,
        "bytes of the whole IP packet; of the whole super-packet",
    ),
    field("ttl", at::TTL, FieldType::U8, "IPv4 TTL or IPv6 hop limit, as received"),
    field("tos", at::TOS, FieldType::U8, "IPv4 TOS or IPv6 traffic class"),
    field(
        "flags",
        at::FLAGS,
        FieldType::U16,
        "bits: 1 reassembled, 2 IP options present, 4 super-packet, 8 payload ends",
    ),
    field("tag", at::TAG, FieldType::U16, "tag set by an earlier policy of the chain, 0 none"),
    field("reserved", at::RESERVED, FieldType::Bytes(6), "zero"),
];

/// Where a packet comes from and goes to, seen from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Direction {
    /// From one interface to another.
    #[default]
    Forwarded = 0,
    /// To an address of the gateway itself.
    ToGateway = 1,
    /// Sent by the gateway itself.
    FromGateway = 2,
}

impl Direction {
    /// Returns the direction with this number, or `None` if there is none.
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Forwarded),
            1 => Some(Self::ToGateway),
            2 => Some(Self::FromGateway),
            _ => None,
        }
    }
}

/// What a guest is told about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request {
    /// Address family: 4 or 6.
    pub af: u8,
    /// IP protocol after extension headers.
    pub proto: u8,
    /// Forwarded, to or from the gateway.
    pub direction: Direction,
    /// TCP flags as on the wire; 0 if the packet is not TCP.
    pub tcp_flags: u8,
    /// ICMP or ICMPv6 type; 0 if the packet is neither.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code; 0 if the packet is neither.
    pub icmp_code: u8,
    /// Source address; IPv4 as `::ffff:a.b.c.d`.
    pub src: [u8; 16],
    /// Destination address; IPv4 as `::ffff:a.b.c.d`.
    pub dst: [u8; 16],
    /// Source port; 0 where there is none.
    pub sport: u16,
    /// Destination port; 0 where there is none.
    pub dport: u16,
    /// Ingress interface id, or [`IF_SELF`] or [`IF_UNKNOWN`].
    pub in_if: u16,
    /// Egress interface id, or [`IF_SELF`] or [`IF_UNKNOWN`].
    pub out_if: u16,
    /// Bytes of the whole IP packet; super-packets whole.
    pub length: u32,
    /// IPv4 TTL or IPv6 hop limit, as received.
    pub ttl: u8,
    /// IPv4 TOS or IPv6 traffic class.
    pub tos: u8,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Tag set by an earlier policy of the chain; 0 is none.
    pub tag: u16,
}

impl Default for Request {
    /// Returns an empty forwarded IPv4 packet between unknown interfaces.
    fn default() -> Self {
        Self {
            af: 4,
            proto: 0,
            direction: Direction::Forwarded,
            tcp_flags: 0,
            icmp_type: 0,
            icmp_code: 0,
            src: [0; 16],
            dst: [0; 16],
            sport: 0,
            dport: 0,
            in_if: IF_UNKNOWN,
            out_if: IF_UNKNOWN,
            length: 0,
            ttl: 0,
            tos: 0,
            flags: 0,
            tag: 0,
        }
    }
}

impl Request {
    /// Returns the request's bytes.
    pub fn encode(&self) -> [u8; REQUEST_SIZE] {
        let mut bytes = [0; REQUEST_SIZE];
        self.encode_into(&mut bytes);
        bytes
    }

    /// Writes the request's bytes, all of them.
    #[inline]
    pub fn encode_into(&self, bytes: &mut [u8; REQUEST_SIZE]) {
        const SIZE: u16 = REQUEST_SIZE as u16;
        put(bytes, at::SIZE, &SIZE.to_le_bytes());
        bytes[at::AF] = self.af;
        bytes[at::PROTO] = self.proto;
        bytes[at::DIRECTION] = self.direction as u8;
        bytes[at::TCP_FLAGS] = self.tcp_flags;
        bytes[at::ICMP_TYPE] = self.icmp_type;
        bytes[at::ICMP_CODE] = self.icmp_code;
        put(bytes, at::SRC, &self.src);
        put(bytes, at::DST, &self.dst);
        put(bytes, at::SPORT, &self.sport.to_le_bytes());
        put(bytes, at::DPORT, &self.dport.to_le_bytes());
        put(bytes, at::IN_IF, &self.in_if.to_le_bytes());
        put(bytes, at::OUT_IF, &self.out_if.to_le_bytes());
        put(bytes, at::LENGTH, &self.length.to_le_bytes());
        bytes[at::TTL] = self.ttl;
        bytes[at::TOS] = self.tos;
        put(bytes, at::FLAGS, &self.flags.to_le_bytes());
        put(bytes, at::TAG, &self.tag.to_le_bytes());
        put(bytes, at::RESERVED, &[0; REQUEST_SIZE - at::RESERVED]);
    }

    /// Reads a request back.
    ///
    /// # Errors
    /// Names the first field whose value this version does not know.
    pub fn decode(bytes: &[u8; REQUEST_SIZE]) -> Result<Self, BadRequest> {
        let size = u16_at(bytes, at::SIZE);
        if usize::from(size) != REQUEST_SIZE {
            return Err(BadRequest::Size(size));
        }
        let af = bytes[at::AF];
        if af != 4 && af != 6 {
            return Err(BadRequest::AddressFamily(af));
        }
        let Some(direction) = Direction::from_u8(bytes[at::DIRECTION]) else {
            return Err(BadRequest::Direction(bytes[at::DIRECTION]));
        };
        let flags = u16_at(bytes, at::FLAGS);
        if flags & !flags::ALL != 0 {
            return Err(BadRequest::Flags(flags));
        }
        if bytes[at::RESERVED..].iter().any(|&b| b != 0) {
            return Err(BadRequest::Reserved);
        }
        let mut src = [0; 16];
        src.copy_from_slice(&bytes[at::SRC..at::SRC + 16]);
        let mut dst = [0; 16];
        dst.copy_from_slice(&bytes[at::DST..at::DST + 16]);
        Ok(Self {
            af,
            proto: bytes[at::PROTO],
            direction,
            tcp_flags: bytes[at::TCP_FLAGS],
            icmp_type: bytes[at::ICMP_TYPE],
            icmp_code: bytes[at::ICMP_CODE],
            src,
            dst,
            sport: u16_at(bytes, at::SPORT),
            dport: u16_at(bytes, at::DPORT),
            in_if: u16_at(bytes, at::IN_IF),
            out_if: u16_at(bytes, at::OUT_IF),
            length: u32_at(bytes, at::LENGTH),
            ttl: bytes[at::TTL],
            tos: bytes[at::TOS],
            flags,
            tag: u16_at(bytes, at::TAG),
        })
    }
}

/// Why bytes are not a request of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRequest {
    /// The size field is not 64.
    Size(u16),
    /// The address family is neither 4 nor 6.
    AddressFamily(u8),
    /// No such direction.
    Direction(u8),
    /// Unknown flag bits are set.
    Flags(u16),
    /// A reserved byte is not zero.
    Reserved,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(n) => write!(f, "request size is {n}, not {REQUEST_SIZE}"),
            Self::AddressFamily(n) => write!(f, "address family is {n}, neither 4 nor 6"),
            Self::Direction(n) => write!(f, "there is no direction {n}"),
            Self::Flags(n) => write!(f, "unknown request flags in {n:#06x}"),
            Self::Reserved => f.write_str("reserved bytes of the request are not zero"),
        }
    }
}

impl core::error::Error for BadRequest {}
