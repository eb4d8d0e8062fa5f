//! What an operator may set, and the bounds that nobody may.

use std::time::Duration;

use crate::NodeId;

/// The most peers of one node.
pub const PEERS_MAX: usize = 15;
/// The most ordered lanes of one link.
pub const LANES_MAX: u8 = 16;
/// The largest packet of a stream.
pub const STREAM_PACKET_MAX: usize = 16 * 1024;
/// The most records that are fetched, or read as one page, at once.
pub const BATCH_MAX: usize = 256;

/// How one node replicates.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's number, fixed by configuration.
    pub node: NodeId,
    /// This run of the node: drawn at random at each start, never 0. States that
    /// this node creates have it as their creator.
    pub instance: u32,
    /// The other nodes; at most [`PEERS_MAX`] are regarded.
    pub peers: Vec<NodeId>,
    /// The seed of hashes that outsiders must not predict.
    pub seed: u64,
    /// Ordered streams per link: 1 to [`LANES_MAX`].
    pub lanes: u8,
    /// The largest datagram that the transport carries; 0 if it has none, then
    /// all goes by streams.
    pub datagram_max: usize,
    /// How long an update that nobody waits for may wait for further ones.
    pub update_delay: Duration,
    /// The same for an update that is wanted soon.
    pub soon_delay: Duration,
    /// How long an acknowledgement may wait.
    pub ack_delay: Duration,
    /// After which time an unacknowledged datagram is taken as lost, and a request
    /// is made again.
    pub retry: Duration,
    /// How long a packet may be held for its state; 20 ms: OpenBSD's
    /// `PFSYNC_DEFER_NSEC`.
    pub defer: Duration,
    /// The same where the policy requires a peer to know the state.
    pub defer_required: Duration,
    /// How many packets may be held.
    pub deferred_max: usize,
    /// How long a deletion is remembered.
    pub tombstone_age: Duration,
    /// How many deletions are remembered.
    pub tombstones_max: usize,
    /// How many changed states may wait for one peer.
    pub queue_max: usize,
    /// How long changes are kept for a peer that is out of reach.
    pub hold: Duration,
    /// How many records may be on their way to one peer.
    pub unacked_max: usize,
    /// How often tables are compared by digests.
    pub digest_interval: Duration,
    /// After how many refused messages a link is given up.
    pub refusals_max: u32,
    /// After which time overdue states of an owner that is gone are forgotten.
    pub orphan_grace: Duration,
}

impl Config {
    /// The defaults for a node and its peers.
    pub const fn new(node: NodeId, instance: u32, peers: Vec<NodeId>, seed: u64) -> Self {
        Self {
            node,
            instance,
            peers,
            seed,
            lanes: 4,
            datagram_max: 1200,
            update_delay: Duration::from_secs(1),
            soon_delay: Duration::from_millis(10),
            ack_delay: Duration::from_millis(5),
            retry: Duration::from_millis(500),
            defer: Duration::from_millis(20),
            defer_required: Duration::from_secs(1),
            deferred_max: 1024,
            tombstone_age: Duration::from_secs(180),
            tombstones_max: 1 << 18,
            queue_max: 1 << 20,
            hold: Duration::from_secs(120),
            unacked_max: 1 << 16,
            digest_interval: Duration::from_secs(60),
            refusals_max: 16,
            orphan_grace: Duration::from_secs(60),
        }
    }

    /// The number of lanes, within its bounds.
    pub(crate) fn lanes(&self) -> u8 {
        self.lanes.clamp(1, LANES_MAX)
    }
}
