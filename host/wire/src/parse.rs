//! Parsing.
use crate::{DropReason, Parsed};

/// Parses one IP packet.
pub fn parse(packet: &[u8]) -> Result<Parsed, DropReason> {
    let _ = packet;
    Err(DropReason::Short)
}
