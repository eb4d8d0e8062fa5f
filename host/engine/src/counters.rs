//! Counters of a worker: plain numbers of one writer that others may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use evergate_wire::DropReason;

/// A number that one thread adds to and any thread reads.
///
/// Adding is a load and a store, not a locked instruction: there is one writer.
#[derive(Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds `n`; only the owning worker calls this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one worker; aligned so that two workers never share a cache line.
#[repr(align(128))]
#[derive(Default)]
pub struct Counters {
    /// Packets that passed, by family (0: IPv4, 1: IPv6).
    pub passed_packets: [Tally; 2],
    /// Bytes that passed, by family; whole IP packets.
    pub passed_bytes: [Tally; 2],
    /// Packets that were dropped, by family; unparseable ones count by their version nibble.
    pub blocked_packets: [Tally; 2],
    /// Bytes that were dropped, by family.
    pub blocked_bytes: [Tally; 2],
    /// Dropped packets by reason, in the order of [`DropReason::ALL`].
    pub drops: [Tally; DropReason::COUNT],
    /// State look-ups.
    pub searches: Tally,
    /// States made.
    pub inserts: Tally,
    /// States taken out on the packet path (re-use of a closed connection).
    pub removals: Tally,
    /// Calls of policies.
    pub decisions: Tally,
    /// Fragments taken in for reassembly.
    pub fragments: Tally,
    /// Datagrams put together from fragments.
    pub reassembled: Tally,
    /// RSTs, ICMP errors and challenge ACKs sent.
    pub replies: Tally,
    /// Replies not sent because of their rate limit.
    pub replies_limited: Tally,
    /// Connections and datagrams whose payload was looked into.
    pub inspections: Tally,
    /// Connections blocked because too many were under inspection.
    pub inspections_refused: Tally,
    /// Segments of connections under inspection that were withheld: behind a gap, or not what
    /// was seen before.
    pub inspections_withheld: Tally,
    /// Log events lost because nobody drained them.
    pub log_lost: Tally,
}

/// Sums of the counters of several workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// See [`Counters::passed_packets`].
    pub passed_packets: [u64; 2],
    /// See [`Counters::passed_bytes`].
    pub passed_bytes: [u64; 2],
    /// See [`Counters::blocked_packets`].
    pub blocked_packets: [u64; 2],
    /// See [`Counters::blocked_bytes`].
    pub blocked_bytes: [u64; 2],
    /// See [`Counters::drops`].
    pub drops: [u64; DropReason::COUNT],
    /// See [`Counters::searches`].
    pub searches: u64,
    /// See [`Counters::inserts`].
    pub inserts: u64,
    /// See [`Counters::removals`].
    pub removals: u64,
    /// See [`Counters::decisions`].
    pub decisions: u64,
    /// See [`Counters::fragments`].
    pub fragments: u64,
    /// See [`Counters::reassembled`].
    pub reassembled: u64,
    /// See [`Counters::replies`].
    pub replies: u64,
    /// See [`Counters::replies_limited`].
    pub replies_limited: u64,
    /// See [`Counters::inspections`].
    pub inspections: u64,
    /// See [`Counters::inspections_refused`].
    pub inspections_refused: u64,
    /// See [`Counters::inspections_withheld`].
    pub inspections_withheld: u64,
    /// See [`Counters::log_lost`].
    pub log_lost: u64,
}

impl Totals {
    /// Adds what a worker has counted so far.
    pub fn add(&mut self, counters: &Counters) {
        for af in 0..2 {
            self.passed_packets[af] += counters.passed_packets[af].value();
            self.passed_bytes[af] += counters.passed_bytes[af].value();
            self.blocked_packets[af] += counters.blocked_packets[af].value();
            self.blocked_bytes[af] += counters.blocked_bytes[af].value();
        }
        for (sum, tally) in self.drops.iter_mut().zip(&counters.drops) {
            *sum += tally.value();
        }
        self.searches += counters.searches.value();
        self.inserts += counters.inserts.value();
        self.removals += counters.removals.value();
        self.decisions += counters.decisions.value();
        self.fragments += counters.fragments.value();
        self.reassembled += counters.reassembled.value();
        self.replies += counters.replies.value();
        self.replies_limited += counters.replies_limited.value();
        self.inspections += counters.inspections.value();
        self.inspections_refused += counters.inspections_refused.value();
        self.inspections_withheld += counters.inspections_withheld.value();
        self.log_lost += counters.log_lost.value();
    }
}

impl Counters {
    /// Counts a dropped packet of `bytes` bytes; `af` is 0 for IPv4, 1 for IPv6.
    pub(crate) fn block(&self, af: usize, bytes: usize, reason: DropReason) {
        self.blocked_packets[af].add(1);
        self.blocked_bytes[af].add(bytes as u64);
        self.drops[reason.index()].add(1);
    }

    /// Counts a packet that passed.
    pub(crate) fn pass(&self, af: usize, bytes: usize) {
        self.passed_packets[af].add(1);
        self.passed_bytes[af].add(bytes as u64);
    }
}
