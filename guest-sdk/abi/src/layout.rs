//! The description of a fixed-layout record, from which documents and headers are made, and the
//! little-endian accessors that the codecs share.

/// The type of a record's field; all are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// An unsigned byte.
    U8,
    /// An unsigned 16-bit number.
    U16,
    /// An unsigned 32-bit number.
    U32,
    /// An unsigned 64-bit number.
    U64,
    /// An address in the guest's memory: 32 bits.
    Address,
    /// So many bytes.
    Bytes(usize),
}

impl FieldType {
    /// Returns the field's size in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::Address => 4,
            Self::U64 => 8,
            Self::Bytes(n) => n,
        }
    }
}

/// One field of a fixed-layout record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, as in the C header.
    pub name: &'static str,
    /// Bytes from the record's start.
    pub offset: usize,
    /// The type.
    pub ty: FieldType,
    /// What it holds, in one line.
    pub doc: &'static str,
}

pub(crate) const fn field(
    name: &'static str,
    offset: usize,
    ty: FieldType,
    doc: &'static str,
) -> Field {
    Field { name, offset, ty, doc }
}

pub(crate) const fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) const fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) const fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    (u32_at(bytes, at) as u64) | ((u32_at(bytes, at + 4) as u64) << 32)
}

pub(crate) fn put<const N: usize, const M: usize>(bytes: &mut [u8; N], at: usize, value: &[u8; M]) {
    bytes[at..at + M].copy_from_slice(value);
}
