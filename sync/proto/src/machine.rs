//! The machine: one entry for all that happens, one list of what is to be done.
//!
//! A link:
//!
//! ```text
//!            LinkUp                    WELCOME of the peer
//!   DOWN ------------> GREETING -------------------------------> UP
//!    ^                    |        (it has read our HELLO)        |
//!    +--------------------+---------------------------------------+
//!             LinkDown, or Reset for a reason of ours
//! ```
//!
//! States are accepted from a peer as soon as its HELLO was read, and sent to it
//! as soon as it has read ours.

mod link;
mod local;
mod news;
mod receive;
mod send;

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::config::{Config, PEERS_MAX};
use crate::counters::Counters;
use crate::defer::Deferred;
use crate::event::{
    Action, Actions, Deadline, DeadlineReason, Event, LinkState, PeerStatus, ResetReason,
};
use crate::message::{Hello, Message, VERSION, VERSION_MIN};
use crate::names::OwnNames;
use crate::ownership::Ownership;
use crate::peer::Peer;
use crate::queue::Pending;
use crate::record::{Claim, Clear, NodeId};
use crate::tombstone::Tombstones;

/// How many creators' removals are remembered.
const CLEARS_MAX: usize = 64;

/// Replicates one node's states to all its peers, and theirs to it.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    /// The greatest id seen.
    clock: u64,
    ownership: Ownership,
    stones: Tombstones,
    clears: Vec<Clear>,
    deferred: Deferred,
    names: OwnNames,
    peers: Vec<Peer>,
}

/// How far a peer is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Changed states that wait or are being read.
    pub queued: usize,
    /// Records that were sent and are not acknowledged.
    pub unacked: usize,
}

impl Machine {
    /// A machine that knows nothing yet.
    pub fn new(config: Config) -> Self {
        let mut ids = config.peers.clone();
        ids.retain(|peer| *peer != config.node);
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(PEERS_MAX);
        let peers: Vec<Peer> = ids.into_iter().map(|id| Peer::new(id, &config)).collect();
        let Config { seed, tombstones_max, tombstone_age, .. } = config;
        Self {
            clock: 0,
            ownership: Ownership {
                instance: config.instance,
                floor: Claim::default(),
                linked: Vec::new(),
                orphan_grace: config.orphan_grace,
            },
            stones: Tombstones::new(peers.len() + 1, tombstones_max, tombstone_age, seed),
            clears: Vec::new(),
            deferred: Deferred::new(config.defer, config.defer_required, config.deferred_max, seed),
            names: OwnNames::new(seed),
            peers,
            config,
        }
    }

    /// Takes notice of something and says what is to be done. Time never goes back.
    pub fn handle(&mut self, now: Timestamp, event: Event<'_>, actions: &mut Actions) {
        match event {
            Event::LinkUp { peer } => self.with(peer, |m, i| m.link_up(i, now, actions)),
            Event::LinkDown { peer } => self.with(peer, |m, i| m.link_down(i, now, actions)),
            Event::Received { peer, class, packet } => self.with(peer, |m, i| {
                m.received(i, class, packet, now, actions);
                m.pump(i, now, actions);
            }),
            Event::Writable { peer, class, writable } => self.with(peer, |m, i| {
                if let Some(lane) = m.peers[i].out.lane(class) {
                    (lane.writable, lane.overrun) = (writable, 0);
                }
                m.pump(i, now, actions);
            }),
            Event::Insert { key, id, defer } => self.inserted(key, id, defer, now, actions),
            Event::Update { key, pace } => self.updated(key, pace, now),
            Event::Delete(delete) => self.deleted(&delete, now, actions),
            Event::Clear(clear) => self.cleared(clear, now, actions),
            Event::Entry(entry) => self.entry_changed(&entry, now, actions),
            Event::Fetched { peer, ticket, records } => self.with(peer, |m, i| {
                m.fetched(i, ticket, records, now, actions);
                m.pump(i, now, actions);
            }),
            Event::PageRead { peer, ticket, records, entries, next, total } => {
                self.with(peer, |m, i| {
                    m.page_read(i, ticket, (records, entries, next, total), now, actions);
                    m.pump(i, now, actions);
                });
            }
            Event::Applied { peer, key, id, outcome, wants_ack } => self.with(peer, |m, i| {
                m.applied(i, (key, id), outcome, wants_ack, now, actions);
            }),
            Event::Passed { peer, ticket } => self.with(peer, |m, i| {
                m.peers[i].coverage.passed(ticket, now);
                m.status(i, actions);
            }),
            Event::TakeOver { epoch } => self.take_over(epoch, now, actions),
            Event::Name { kind, number, name } => {
                if self.names.set(kind, number, name) {
                    let lanes = self.peers.iter_mut().flat_map(|peer| &mut peer.out.lanes);
                    lanes.for_each(|lane| lane.defined.drop(kind, number));
                }
            }
            Event::Timer => self.timer(now, actions),
        }
    }

    /// When to come back with [`Event::Timer`], once all that has happened was told.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let own = [
            (self.deferred.next_deadline(), DeadlineReason::Defer),
            (self.stones.next_deadline(), DeadlineReason::Forget),
        ];
        let peers = self.peers.iter().flat_map(|peer| self.deadlines(peer));
        let all = own.into_iter().chain(peers);
        all.filter_map(|(at, reason)| at.map(|at| Deadline { at, reason })).min_by_key(|d| d.at)
    }

    /// Who owns what.
    pub const fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// How a peer stands; `None` if it is none.
    pub fn peer_status(&self, peer: NodeId) -> Option<PeerStatus> {
        self.peer(peer).map(Peer::current_status)
    }

    /// What has happened between this node and a peer.
    pub fn counters(&self, peer: NodeId) -> Option<Counters> {
        self.peer(peer).map(|peer| peer.counters)
    }

    /// How far a peer is behind.
    pub fn lag(&self, peer: NodeId) -> Option<Lag> {
        self.peer(peer).map(|peer| Lag {
            queued: peer.queue.len() + peer.fetch.as_ref().map_or(0, |fetch| fetch.keys.len()),
            unacked: peer.out.unacked(),
        })
    }

    /// How many removals are remembered.
    pub fn tombstones(&self) -> usize {
        self.stones.len()
    }

    fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }

    /// What strangers do is not regarded.
    fn with(&mut self, id: NodeId, f: impl FnOnce(&mut Self, usize)) {
        if let Some(index) = self.peers.iter().position(|peer| peer.id == id) {
            f(self, index);
        }
    }

    fn link_up(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        if self.peers[i].link != LinkState::Down {
            self.link_down(i, now, actions);
        }
        let peer = &mut self.peers[i];
        peer.begin_link(&self.config, now);
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION,
            node: self.config.node.0,
            instance: self.config.instance,
            features: crate::message::FEATURES,
            clock: self.clock,
            floor: self.ownership.floor,
            kept_for: peer.kept_for,
            lanes: self.config.lanes(),
        };
        let stamp = peer.stamp(now);
        peer.out.control.message(&stamp, actions, &Message::Hello(hello));
        peer.out.control.flush(&stamp, actions);
        self.status(i, actions);
    }

    fn link_down(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        if peer.link == LinkState::Down {
            return;
        }
        peer.end_link(now);
        self.linked_changed(actions);
        self.status(i, actions);
    }

    fn reset(&mut self, i: usize, reason: ResetReason, now: Timestamp, actions: &mut Actions) {
        actions.push(Action::Reset { peer: self.peers[i].id, reason });
        self.link_down(i, now, actions);
    }

    /// The set of linked owners has changed, perhaps.
    fn linked_changed(&mut self, actions: &mut Actions) {
        let linked: Vec<u32> = self
            .peers
            .iter()
            .filter_map(|peer| peer.remote.map(|remote| remote.instance))
            .collect();
        if linked != self.ownership.linked {
            self.ownership.linked = linked;
            actions.push(Action::Owners(self.ownership.clone()));
        }
    }

    /// A claim overrules lesser ones. It is passed on: who made it may be gone before
    /// all have heard of it.
    fn raise_floor(&mut self, floor: Claim, now: Timestamp, actions: &mut Actions) {
        if floor <= self.ownership.floor {
            return;
        }
        self.ownership.floor = floor;
        actions.push(Action::Owners(self.ownership.clone()));
        self.tell_all_now(&Message::Owner(floor), now, actions);
    }

    /// An id was seen that the shell is not told of otherwise.
    fn raise_clock(&mut self, id: u64, actions: &mut Actions) {
        if id > self.clock {
            self.clock = id;
            actions.push(Action::Raise { id });
        }
    }

    fn status(&mut self, i: usize, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        let status = peer.current_status();
        if status != peer.status {
            peer.status = status;
            actions.push(Action::Status { peer: peer.id, status });
        }
    }

    /// A changed state is to be told to all peers.
    fn push_all(&mut self, key: StateKey, wish: Pending, due: Timestamp, now: Timestamp) {
        for peer in &mut self.peers {
            peer.push(&self.config, key, wish, due, now);
        }
    }

    fn push_to(&mut self, i: usize, key: StateKey, wish: Pending, now: Timestamp) {
        self.peers[i].push(&self.config, key, wish, now, now);
    }

    fn timer(&mut self, now: Timestamp, actions: &mut Actions) {
        self.stones.expire(now);
        self.deferred.expire(now, actions);
        for i in 0..self.peers.len() {
            self.peer_timer(i, now, actions);
            self.pump(i, now, actions);
        }
    }

    fn peer_timer(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        if !peer.is_up() {
            let held_until = peer.down_since.saturating_add(self.config.hold);
            if peer.link == LinkState::Down && peer.kept_for != 0 && held_until <= now {
                peer.lose(now);
            }
            return;
        }
        let retry = now.since(Timestamp::ZERO).checked_sub(self.config.retry);
        if let Some(before) = retry.map(|before| Timestamp::ZERO.saturating_add(before)) {
            let lost = peer.out.datagram.flights.overdue(before);
            peer.lost(lost, now);
            let stamp = peer.stamp(now);
            while let Some(key) = peer.requests.overdue(before, now) {
                peer.out.control.message(&stamp, actions, &Message::Request { key });
            }
        }
        if peer.coverage.retry_at().is_some_and(|at| at <= now) {
            self.ask(i, false, now, actions);
        }
        let peer = &mut self.peers[i];
        if peer.rounds.begins() && peer.rounds.next_at <= now && peer.coverage.is_complete() {
            peer.rounds.begin(now.saturating_add(self.config.digest_interval));
        }
    }

    fn deadlines(&self, peer: &Peer) -> Vec<(Option<Timestamp>, DeadlineReason)> {
        if !peer.is_up() {
            let holds = peer.link == LinkState::Down && peer.kept_for != 0;
            let until = holds.then(|| peer.down_since.saturating_add(self.config.hold));
            return vec![(until, DeadlineReason::Forget)];
        }
        let retry = |at: Timestamp| at.saturating_add(self.config.retry);
        let compares = peer.rounds.begins() && peer.coverage.is_complete();
        let due = if self.can_fetch(peer) { self.next_due(peer) } else { None };
        vec![
            (peer.kick, DeadlineReason::Flush),
            (due, DeadlineReason::Flush),
            (peer.ack_due, DeadlineReason::Acknowledge),
            (peer.out.datagram.flights.oldest().map(retry), DeadlineReason::Retry),
            (peer.requests.oldest().map(retry), DeadlineReason::Retry),
            (peer.coverage.retry_at(), DeadlineReason::Retry),
            (compares.then_some(peer.rounds.next_at), DeadlineReason::Digest),
        ]
    }
}
