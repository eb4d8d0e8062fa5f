//! Counters per peer, named after pfsync's.

/// What has happened between this node and one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// INS and UPD received.
    pub records_in: u64,
    /// INS and UPD sent.
    pub records_out: u64,
    /// UPD_C received.
    pub progress_in: u64,
    /// UPD_C sent.
    pub progress_out: u64,
    /// DEL received.
    pub deletes_in: u64,
    /// DEL sent.
    pub deletes_out: u64,
    /// INS_ACK received.
    pub acks_in: u64,
    /// Updates received of which this node knew more.
    pub stale: u64,
    /// News of states that had been removed here.
    pub late: u64,
    /// News of states that are not held, and were asked for.
    pub unknown: u64,
    /// States that did not fit the table.
    pub full: u64,
    /// Records sent that did not arrive, and were sent again.
    pub lost: u64,
    /// How often what waited for the peer was given up.
    pub overflows: u64,
    /// Messages that this version does not know.
    pub skipped: u64,
    /// Packets, or rests of packets, that were refused.
    pub refused: u64,
    /// Ranges of the table that were compared and differed.
    pub ranges_exchanged: u64,
}
