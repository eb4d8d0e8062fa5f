//! The policy ABI, version 1: what the gateway and its guests say to each other.
//!
//! A guest is a core WebAssembly module. The gateway writes one [`Request`] into the guest's
//! memory, calls its `decide` export and reads a verdict word, optionally with a verdict record.
//! All numbers are little-endian and all offsets are fixed; `guest-sdk/ABI.md` is the document,
//! this crate is its source of truth, and `guest-sdk/evergate.h` is generated from it.
//!
//! Invariants: decoding is total (any bytes give a value or an error that names what is wrong) and
//! encoding followed by decoding gives the value back. No allocation, no dependency, no unsafe.

#![no_std]

mod ended;
mod header;
mod imports;
mod layout;
mod payload;
mod request;
mod verdict;

pub use ended::{BadEnded, ENDED_FIELDS, ENDED_SIZE, EndCause, Ended};
pub use header::write_c_header;
pub use imports::{
    Function, IMPORT_MODULE, IMPORTS, LogLevel, ResolveKind, SAVE_MAX, ValueType, export,
};
pub use layout::{Field, FieldType};
pub use payload::{PAYLOAD_FIELDS, PAYLOAD_SIZE, PayloadBuffer};
pub use request::{
    BadRequest, Direction, IF_SELF, IF_UNKNOWN, REQUEST_FIELDS, REQUEST_SIZE, Request, flags,
};
pub use verdict::{
    Action, BadVerdict, INSPECT_MAX, Keep, RECORD_FIELDS, RECORD_SIZE, TIMEOUT_MAX_S,
    TimeoutOverrides, Verdict, VerdictWord, record_fields, word_flags,
};

/// The version of the ABI that this crate describes.
pub const ABI_VERSION: u32 = 1;

/// Alignment in bytes that a guest's request buffer and verdict record need.
pub const ALIGNMENT: u32 = 8;
