//! Reassembly.
use std::time::Duration;

use crate::{DropReason, Parsed, Timestamp};

/// The bounds of a [`Reassembler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// Incomplete datagrams held at once.
    pub datagrams: usize,
    /// Bytes held at once, bookkeeping included.
    pub bytes: usize,
    /// Fragments of one datagram.
    pub per_datagram_fragments: usize,
    /// How long a datagram may stay incomplete.
    pub timeout: Duration,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self {
            datagrams: 1024,
            bytes: 4 << 20,
            per_datagram_fragments: 128,
            timeout: Duration::from_secs(60),
        }
    }
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reassembly {
    /// It is held until the others arrive.
    Pending,
    /// It completed its datagram.
    Complete(Datagram),
    /// It was dropped.
    Drop(DropReason),
}

/// A reassembled datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The whole packet, as if it had never been fragmented.
    pub packet: Vec<u8>,
    /// Bytes of the largest fragment, a whole IP packet.
    pub largest_fragment: u16,
    /// The identification its fragments had.
    pub id: u32,
}

/// Reassembles the datagrams of one gateway or worker.
#[derive(Debug)]
pub struct Reassembler {
    limits: FragmentLimits,
}

impl Reassembler {
    /// Makes an empty one.
    pub fn new(limits: FragmentLimits) -> Self {
        Self { limits }
    }

    /// Takes one fragment.
    pub fn push(&mut self, now: Timestamp, packet: &[u8], parsed: &Parsed) -> Reassembly {
        let _ = (now, packet, parsed, self.limits);
        Reassembly::Drop(DropReason::Fragment)
    }

    /// Drops the datagrams that waited too long; says how many.
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        let _ = now;
        0
    }

    /// How many incomplete datagrams are held.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, bookkeeping included.
    pub fn bytes(&self) -> usize {
        0
    }
}

/// Cuts an IPv6 packet into fragments again.
pub fn refragment_v6(
    packet: &[u8],
    parsed: &Parsed,
    id: u32,
    size: u16,
) -> Result<Vec<Vec<u8>>, DropReason> {
    let _ = (packet, parsed, id, size);
    Err(DropReason::Fragment)
}
