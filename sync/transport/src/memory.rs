//! A cluster's links in memory, for simulations.
//!
//! A [`Network`] is the world: it holds all nodes, the paths between them and the time, which
//! moves only in [`Network::advance`]. The same seed and the same calls give the same events,
//! always. Each node has a [`MemoryTransport`]; every node knows every other.
//!
//! What is modelled is what shows of a real link: set-up takes two round trips and works only
//! if both directions do; ordered channels wait for what was lost and never for each other;
//! datagrams are lost and overtake; each side notices the end of a link by itself. Random
//! loss alone never ends a link here; a cut does, if it lasts.

mod connection;
mod world;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use evergate_wire::Timestamp;

use crate::inbox::InboxLimits;
use crate::{Backoff, Event, LANES_DEFAULT, LinkStatus, Peer, PeerId, PeerName, Pressure};
use crate::{Channel, SendError, Transport};
use world::World;

/// How the links of a [`Network`] behave.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Lanes of each link, at most [`LANES_MAX`](crate::LANES_MAX).
    pub lanes: u8,
    /// Longest message of control and lanes, in bytes.
    pub message_max: usize,
    /// Longest datagram, in bytes.
    pub datagram_max: usize,
    /// Bytes that may wait in one channel on the sender's side.
    pub queue_bytes: usize,
    /// What may wait on the receiver's side.
    pub inbox: InboxLimits,
    /// After how long without a sign of life a side gives the link up.
    pub silence: Duration,
    /// How much later than that it may notice.
    pub silence_slack: Duration,
    /// After how long what was lost is sent again.
    pub retransmit: Duration,
    /// When the next attempt at a link is made.
    pub backoff: Backoff,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            lanes: LANES_DEFAULT,
            message_max: 64 * 1024,
            datagram_max: 1200,
            queue_bytes: 256 * 1024,
            inbox: InboxLimits::default(),
            silence: Duration::from_millis(40),
            silence_slack: Duration::from_millis(10),
            retransmit: Duration::from_millis(10),
            backoff: Backoff::default(),
        }
    }
}

/// How one direction between two nodes treats what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The shortest way takes this long.
    pub delay: Duration,
    /// And up to this much longer, at random; so datagrams overtake each other.
    pub jitter: Duration,
    /// So many packets of a million are lost.
    pub loss_ppm: u32,
    /// Bytes a second, if limited.
    pub rate: Option<u64>,
    /// Nothing gets through.
    pub cut: bool,
}

impl Default for Path {
    /// A good LAN: 50 to 100 µs, no loss.
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(50),
            jitter: Duration::from_micros(50),
            loss_ppm: 0,
            rate: None,
            cut: false,
        }
    }
}

/// The world that the nodes' transports live in; clones are the same world.
#[derive(Clone, Debug)]
pub struct Network {
    world: Rc<RefCell<World>>,
}

impl Network {
    /// A network of nodes with these names, all running, no link set up yet.
    #[must_use]
    pub fn new(seed: u64, config: MemoryConfig, names: &[PeerName]) -> Self {
        Self { world: Rc::new(RefCell::new(World::new(seed, config, names))) }
    }

    /// The transport of the node with this index in the names; a peer's [`PeerId`] is its
    /// index too.
    #[must_use]
    pub fn transport(&self, node: usize) -> MemoryTransport {
        MemoryTransport { world: Rc::clone(&self.world), node }
    }

    /// Lets the time pass up to `now`, with all that happens meanwhile.
    pub fn advance(&self, now: Timestamp) {
        self.world.borrow_mut().advance(now);
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.borrow().now()
    }

    /// When something happens next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.world.borrow().next_deadline()
    }

    /// How the direction from one node to another is now.
    #[must_use]
    pub fn path(&self, from: usize, to: usize) -> Path {
        self.world.borrow().path(from, to)
    }

    /// Changes the direction from one node to another.
    pub fn set_path(&self, from: usize, to: usize, path: Path) {
        self.world.borrow_mut().set_path(from, to, path);
    }

    /// Takes the power from a node: it and all it holds is gone, nobody is told.
    pub fn crash(&self, node: usize) {
        self.world.borrow_mut().crash(node, false);
    }

    /// Kills a node's process: its host tells the peers so that they notice soon.
    pub fn kill(&self, node: usize) {
        self.world.borrow_mut().crash(node, true);
    }

    /// Starts a node that is gone, knowing nothing.
    pub fn restart(&self, node: usize) {
        self.world.borrow_mut().restart(node);
    }
}

/// One node's transport in a [`Network`].
#[derive(Debug)]
pub struct MemoryTransport {
    world: Rc<RefCell<World>>,
    node: usize,
}

impl Transport for MemoryTransport {
    fn try_send(
        &mut self,
        peer: PeerId,
        channel: Channel,
        message: &[u8],
    ) -> Result<Pressure, SendError> {
        self.world.borrow_mut().send(self.node, peer, channel, message)
    }

    fn poll(&mut self) -> Option<Event> {
        self.world.borrow_mut().poll(self.node)
    }

    fn disconnect(&mut self, peer: PeerId) {
        self.world.borrow_mut().disconnect(self.node, peer);
    }

    fn status(&self, peer: PeerId) -> Option<LinkStatus> {
        self.world.borrow().status(self.node, peer)
    }

    fn peers(&self) -> Vec<Peer> {
        self.world.borrow().peers(self.node)
    }
}
