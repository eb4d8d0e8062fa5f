//! Where a guest wants the payload that it asked to inspect.

use crate::layout::{Field, FieldType, field, put, u32_at};

/// Size in bytes of a payload record.
pub const PAYLOAD_SIZE: usize = 8;

/// The payload record's layout.
pub const PAYLOAD_FIELDS: [Field; 2] = [
    field("address", 0, FieldType::Address, "where payload is to be written"),
    field("capacity", 4, FieldType::U32, "bytes of room there, at least 1"),
];

/// The payload record: what the address that `evergate_payload_v1` returns points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadBuffer {
    /// Where payload is to be written.
    pub address: u32,
    /// Bytes of room there.
    pub capacity: u32,
}

impl PayloadBuffer {
    /// Reads a payload record.
    pub const fn decode(bytes: &[u8; PAYLOAD_SIZE]) -> Self {
        Self { address: u32_at(bytes, 0), capacity: u32_at(bytes, 4) }
    }

    /// Returns the record's bytes.
    pub fn encode(self) -> [u8; PAYLOAD_SIZE] {
        let mut bytes = [0; PAYLOAD_SIZE];
        put(&mut bytes, 0, &self.address.to_le_bytes());
        put(&mut bytes, 4, &self.capacity.to_le_bytes());
        bytes
    }
}
