//! What a guest is told about a state that has ended.

use core::fmt;

use crate::layout::{Field, FieldType, field, put, u16_at, u32_at, u64_at};

/// Size in bytes of the record of an ended state.
pub const ENDED_SIZE: usize = 96;

mod at {
    pub(super) const SIZE: usize = 0;
    pub(super) const AF: usize = 2;
    pub(super) const PROTO: usize = 3;
    pub(super) const CAUSE: usize = 4;
    pub(super) const RESERVED: usize = 5;
    pub(super) const SRC: usize = 8;
    pub(super) const DST: usize = 24;
    pub(super) const SPORT: usize = 40;
    pub(super) const DPORT: usize = 42;
    pub(super) const IN_IF: usize = 44;
    pub(super) const OUT_IF: usize = 46;
    pub(super) const RULE: usize = 48;
    pub(super) const TAG: usize = 50;
    pub(super) const LABEL: usize = 52;
    pub(super) const RESERVED2: usize = 54;
    pub(super) const DURATION: usize = 56;
    pub(super) const RESERVED3: usize = 60;
    pub(super) const PACKETS: usize = 64;
    pub(super) const PACKETS_BACK: usize = 72;
    pub(super) const BYTES: usize = 80;
    pub(super) const BYTES_BACK: usize = 88;
}

/// The layout of the record of an ended state.
pub const ENDED_FIELDS: [Field; 21] = [
    field("size", at::SIZE, FieldType::U16, "size of this record: 96"),
    field("af", at::AF, FieldType::U8, "address family: 4 or 6"),
    field("proto", at::PROTO, FieldType::U8, "IP protocol"),
    field("cause", at::CAUSE, FieldType::U8, "0 expired, 1 killed, 2 reopened, 3 blocked"),
    field("reserved", at::RESERVED, FieldType::Bytes(3), "zero"),
    field("src", at::SRC, FieldType::Bytes(16), "address of the end that sent the first packet"),
    field("dst", at::DST, FieldType::Bytes(16), "address of the other end"),
    field("sport", at::SPORT, FieldType::U16, "port of src; id of an ICMP query"),
    field("dport", at::DPORT, FieldType::U16, "port of dst, 0 where there is none"),
    field("in_if", at::IN_IF, FieldType::U16, "ingress interface id of the first packet"),
    field("out_if", at::OUT_IF, FieldType::U16, "egress interface id of the first packet"),
    field("rule", at::RULE, FieldType::U16, "number of the rule that let it pass"),
    field("tag", at::TAG, FieldType::U16, "its tag, 0 none"),
    field("label", at::LABEL, FieldType::U16, "its label, 0 none"),
    field("reserved2", at::RESERVED2, FieldType::Bytes(2), "zero"),
    field("duration_s", at::DURATION, FieldType::U32, "seconds from its first to its last packet"),
    field("reserved3", at::RESERVED3, FieldType::Bytes(4), "zero"),
    field("packets", at::PACKETS, FieldType::U64, "packets from src that passed"),
    field("packets_back", at::PACKETS_BACK, FieldType::U64, "packets from dst that passed"),
    field("bytes", at::BYTES, FieldType::U64, "bytes of packets, whole IP packets"),
    field("bytes_back", at::BYTES_BACK, FieldType::U64, "bytes of packets_back"),
];

/// Why a state has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum EndCause {
    /// Nothing more was seen of it in time.
    #[default]
    Expired = 0,
    /// An operator killed it.
    Killed = 1,
    /// A new connection took its ports.
    Reopened = 2,
    /// A policy blocked it after it saw its payload.
    Blocked = 3,
}

impl EndCause {
    /// All causes, by their number.
    pub const ALL: [Self; 4] = [Self::Expired, Self::Killed, Self::Reopened, Self::Blocked];

    /// Returns the cause with this number, or `None` if there is none.
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Expired),
            1 => Some(Self::Killed),
            2 => Some(Self::Reopened),
            3 => Some(Self::Blocked),
            _ => None,
        }
    }

    /// Returns the name used in documents and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Killed => "killed",
            Self::Reopened => "reopened",
            Self::Blocked => "blocked",
        }
    }
}

/// What a guest is told about a state that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ended {
    /// Address family: 4 or 6.
    pub af: u8,
    /// IP protocol.
    pub proto: u8,
    /// Why it ended.
    pub cause: EndCause,
    /// Address of the end that sent the first packet; IPv4 as `::ffff:a.b.c.d`.
    pub src: [u8; 16],
    /// Address of the other end.
    pub dst: [u8; 16],
    /// Port of `src`, or the id of an ICMP query.
    pub sport: u16,
    /// Port of `dst`; 0 where there is none.
    pub dport: u16,
    /// Ingress interface of the first packet.
    pub in_if: u16,
    /// Egress interface of the first packet.
    pub out_if: u16,
    /// The number of the rule that let it pass.
    pub rule: u16,
    /// Its tag; 0 is none.
    pub tag: u16,
    /// Its label; 0 is none.
    pub label: u16,
    /// Seconds from its first to its last packet.
    pub duration_s: u32,
    /// Packets that passed, from `src` and from `dst`.
    pub packets: [u64; 2],
    /// Bytes of those packets.
    pub bytes: [u64; 2],
}

impl Ended {
    /// Returns the record's bytes.
    pub fn encode(&self) -> [u8; ENDED_SIZE] {
        let mut bytes = [0; ENDED_SIZE];
        put(&mut bytes, at::SIZE, &(ENDED_SIZE as u16).to_le_bytes());
        bytes[at::AF] = self.af;
        bytes[at::PROTO] = self.proto;
        bytes[at::CAUSE] = self.cause as u8;
        put(&mut bytes, at::SRC, &self.src);
        put(&mut bytes, at::DST, &self.dst);
        for (at, value) in [
            (at::SPORT, self.sport),
            (at::DPORT, self.dport),
            (at::IN_IF, self.in_if),
            (at::OUT_IF, self.out_if),
            (at::RULE, self.rule),
            (at::TAG, self.tag),
            (at::LABEL, self.label),
        ] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        put(&mut bytes, at::DURATION, &self.duration_s.to_le_bytes());
        for (at, value) in [
            (at::PACKETS, self.packets[0]),
            (at::PACKETS_BACK, self.packets[1]),
            (at::BYTES, self.bytes[0]),
            (at::BYTES_BACK, self.bytes[1]),
        ] {
            put(&mut bytes, at, &value.to_le_bytes());
        }
        bytes
    }

    /// Reads a record back; reserved bytes are not looked at.
    ///
    /// # Errors
    /// Names the first field whose value this version does not know.
    pub fn decode(bytes: &[u8; ENDED_SIZE]) -> Result<Self, BadEnded> {
        let size = u16_at(bytes, at::SIZE);
        if usize::from(size) != ENDED_SIZE {
            return Err(BadEnded::Size(size));
        }
        let Some(cause) = EndCause::from_u8(bytes[at::CAUSE]) else {
            return Err(BadEnded::Cause(bytes[at::CAUSE]));
        };
        let mut src = [0; 16];
        src.copy_from_slice(&bytes[at::SRC..at::SRC + 16]);
        let mut dst = [0; 16];
        dst.copy_from_slice(&bytes[at::DST..at::DST + 16]);
        Ok(Self {
            af: bytes[at::AF],
            proto: bytes[at::PROTO],
            cause,
            src,
            dst,
            sport: u16_at(bytes, at::SPORT),
            dport: u16_at(bytes, at::DPORT),
            in_if: u16_at(bytes, at::IN_IF),
            out_if: u16_at(bytes, at::OUT_IF),
            rule: u16_at(bytes, at::RULE),
            tag: u16_at(bytes, at::TAG),
            label: u16_at(bytes, at::LABEL),
            duration_s: u32_at(bytes, at::DURATION),
            packets: [u64_at(bytes, at::PACKETS), u64_at(bytes, at::PACKETS_BACK)],
            bytes: [u64_at(bytes, at::BYTES), u64_at(bytes, at::BYTES_BACK)],
        })
    }
}

/// Why bytes are not the record of an ended state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadEnded {
    /// The size field is not 96.
    Size(u16),
    /// No such cause.
    Cause(u8),
}

impl fmt::Display for BadEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(n) => write!(f, "the record's size is {n}, not {ENDED_SIZE}"),
            Self::Cause(n) => write!(f, "there is no cause {n}"),
        }
    }
}

impl core::error::Error for BadEnded {}
