//! The events of a modelled network, in the order of time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use evergate_wire::Timestamp;

use super::connection::{Connection, Passage, Side, Stage};
use super::{MemoryConfig, Path};
use crate::inbox::{Inbox, Introduction, Taken};
use crate::{
    Channel, DownReason, Event, Fingerprint, LANES_MAX, LinkStatus, Peer, PeerId, PeerName,
    Pressure, Random, SendError,
};

/// A message is lost at most so often in a row.
const LOSSES_MAX: u32 = 64;

/// How long an end that is not ready yet is waited for before the next look.
const NOT_READY: Duration = Duration::from_micros(100);

/// What every message takes of a queue beside its bytes.
const MESSAGE_COST: usize = 16;

type ConnectionId = u64;

#[derive(Debug)]
struct Node {
    name: PeerName,
    running: bool,
    incarnation: u64,
    inbox: Inbox,
}

#[derive(Debug, Default)]
struct Road {
    path: Path,
    /// Counts the cuts, so that the end of one is told from the end of another.
    cuts: u64,
    /// When a limited path has sent all that it was given.
    busy_until: Timestamp,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Dial { node: usize, peer: usize, incarnation: u64, failures: u32 },
    Established { node: usize, peer: usize, incarnations: [u64; 2], failures: u32 },
    Up { connection: ConnectionId, side: Side },
    Pump { connection: ConnectionId, side: Side, channel: Channel },
    Datagram { connection: ConnectionId, side: Side, bytes: Vec<u8>, lost: bool },
    Silent { connection: ConnectionId, side: Side, cuts: Option<u64>, gone: bool },
    Closed { connection: ConnectionId, side: Side },
}

#[derive(Debug)]
pub(super) struct World {
    now: Timestamp,
    random: Random,
    config: MemoryConfig,
    nodes: Vec<Node>,
    roads: BTreeMap<(usize, usize), Road>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The connection that a node's end of the link to a peer is, if it has one.
    live: BTreeMap<(usize, usize), ConnectionId>,
    agenda: BinaryHeap<Reverse<(Timestamp, u64, Work)>>,
    /// Numbers connections and entries of the agenda.
    count: u64,
}

impl World {
    pub(super) fn new(seed: u64, mut config: MemoryConfig, names: &[PeerName]) -> Self {
        config.lanes = config.lanes.clamp(1, LANES_MAX);
        let mut random = Random::new(seed);
        let inbox = config.inbox;
        let node = |name: &PeerName| Node {
            name: name.clone(),
            running: true,
            incarnation: random.bits(),
            inbox: Inbox::new(inbox),
        };
        let nodes: Vec<Node> = names.iter().map(node).collect();
        let mut world = Self {
            now: Timestamp::ZERO,
            random,
            config,
            nodes,
            roads: BTreeMap::new(),
            connections: BTreeMap::new(),
            live: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            count: 0,
        };
        for node in 0..names.len() {
            world.dial_all(node);
        }
        world
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.agenda.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn advance(&mut self, now: Timestamp) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            let Some(Reverse((at, _, work))) = self.agenda.pop() else { break };
            self.now = self.now.max(at);
            self.perform(work);
        }
        self.now = self.now.max(now);
    }

    pub(super) fn path(&self, from: usize, to: usize) -> Path {
        self.roads.get(&(from, to)).map(|road| road.path).unwrap_or_default()
    }

    pub(super) fn set_path(&mut self, from: usize, to: usize, path: Path) {
        let road = self.roads.entry((from, to)).or_default();
        let cut_now = path.cut && !road.path.cut;
        road.path = path;
        if !cut_now {
            return;
        }
        road.cuts += 1;
        let cuts = road.cuts;
        let Some(&connection) = self.live.get(&(to, from)) else { return };
        let side = self.connections[&connection].side(to);
        self.expect_silence(connection, side, Some(cuts));
    }

    pub(super) fn crash(&mut self, node: usize, told_by_host: bool) {
        if !std::mem::take(&mut self.nodes[node].running) {
            return;
        }
        self.nodes[node].inbox = Inbox::new(self.config.inbox);
        let mine: Vec<_> =
            self.live.range((node, 0)..=(node, usize::MAX)).map(|(_, &id)| id).collect();
        for id in mine {
            let now = self.now;
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let side = connection.side(node);
            connection.sender_is_gone(side, now);
            connection.ends[side].stage = Stage::Down;
            let peer = connection.ends[1 - side].node;
            self.live.remove(&(node, peer));
            self.expect_silence(id, 1 - side, None);
            if told_by_host && !self.path(node, peer).cut && !self.path(peer, node).cut {
                let soon = self.delay(node, peer) + self.config.silence_slack;
                self.schedule(
                    soon,
                    Work::Silent { connection: id, side: 1 - side, cuts: None, gone: true },
                );
            }
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        if self.nodes[node].running {
            return;
        }
        self.nodes[node].running = true;
        self.nodes[node].incarnation = self.random.bits();
        self.dial_all(node);
    }

    pub(super) fn send(
        &mut self,
        node: usize,
        peer: PeerId,
        channel: Channel,
        message: &[u8],
    ) -> Result<Pressure, SendError> {
        let to = usize::from(peer.0);
        if to >= self.nodes.len() || to == node {
            return Err(SendError::NoPeer);
        }
        let id = self.up(node, to).ok_or(SendError::NoLink)?.0;
        let limit = match channel {
            Channel::Ordered(lane) if lane >= self.config.lanes => {
                return Err(SendError::NoLane { lanes: self.config.lanes });
            }
            Channel::Datagram => self.config.datagram_max,
            Channel::Control | Channel::Ordered(_) => self.config.message_max,
        };
        if message.len() > limit {
            return Err(SendError::TooBig { limit });
        }
        let queue_max = self.config.queue_bytes;
        let Some(connection) = self.connections.get_mut(&id) else {
            return Err(SendError::NoLink);
        };
        let side = connection.side(node);
        let outgoing = connection.ends[side].outgoing.entry(channel).or_default();
        if outgoing.bytes >= queue_max {
            outgoing.full = true;
            return Err(SendError::WouldBlock);
        }
        outgoing.bytes += cost(message);
        outgoing.full |= outgoing.bytes >= queue_max * 3 / 4;
        let pressure = if outgoing.full { Pressure::Full } else { Pressure::Clear };
        self.depart(id, side, channel, message.to_vec());
        Ok(pressure)
    }

    pub(super) fn poll(&mut self, node: usize) -> Option<Event> {
        let Taken { event, relieved } = self.nodes[node].inbox.take()?;
        if let (Some((_, channel)), Event::Message { peer, .. }) = (relieved, &event) {
            self.relieve(node, usize::from(peer.0), channel);
        }
        Some(event)
    }

    pub(super) fn disconnect(&mut self, node: usize, peer: PeerId) {
        let peer = usize::from(peer.0);
        let Some((id, side)) = self.up(node, peer) else { return };
        self.end(id, side, DownReason::ClosedHere);
        self.tell_closed(id, side);
    }

    pub(super) fn status(&self, node: usize, peer: PeerId) -> Option<LinkStatus> {
        let peer = usize::from(peer.0);
        let (id, side) = self.up(node, peer)?;
        let there = self.path(node, peer);
        let back = self.path(peer, node);
        let outgoing = self.connections[&id].ends[side].outgoing.values();
        Some(LinkStatus {
            rtt: there.delay + back.delay + (there.jitter + back.jitter) / 2,
            lanes: self.config.lanes,
            datagram_max: self.config.datagram_max,
            message_max: self.config.message_max,
            queued: outgoing.map(|outgoing| outgoing.bytes).sum(),
            datagrams_dropped: 0,
        })
    }

    pub(super) fn peers(&self, node: usize) -> Vec<Peer> {
        let others = self.nodes.iter().enumerate().filter(|&(index, _)| index != node);
        others
            .map(|(index, other)| Peer {
                id: PeerId(index as u16),
                name: other.name.clone(),
                fingerprints: vec![fingerprint(index)],
            })
            .collect()
    }

    /// The connection and side that `node`'s link to `peer` is, if that is up.
    fn up(&self, node: usize, peer: usize) -> Option<(ConnectionId, Side)> {
        let &id = self.live.get(&(node, peer))?;
        let connection = self.connections.get(&id)?;
        let side = connection.side(node);
        matches!(connection.ends[side].stage, Stage::Up(_)).then_some((id, side))
    }

    fn schedule(&mut self, after: Duration, work: Work) {
        self.schedule_at(self.now.saturating_add(after), work);
    }

    fn schedule_at(&mut self, at: Timestamp, work: Work) {
        self.count += 1;
        self.agenda.push(Reverse((at, self.count, work)));
    }

    fn perform(&mut self, work: Work) {
        match work {
            Work::Dial { node, peer, incarnation, failures } => {
                self.dial(node, peer, incarnation, failures);
            }
            Work::Established { node, peer, incarnations, failures } => {
                self.established(node, peer, incarnations, failures);
            }
            Work::Up { connection, side } => self.come_up(connection, side),
            Work::Pump { connection, side, channel } => self.pump(connection, side, channel),
            Work::Datagram { connection, side, bytes, lost } => {
                self.datagram(connection, side, bytes, lost);
            }
            Work::Silent { connection, side, cuts, gone } => {
                self.silent(connection, side, cuts, gone);
            }
            Work::Closed { connection, side } => {
                self.end(connection, side, DownReason::ClosedByPeer);
            }
        }
    }

    fn delay(&mut self, from: usize, to: usize) -> Duration {
        let path = self.path(from, to);
        self.random.between(path.delay, path.delay.saturating_add(path.jitter))
    }

    /// Tells whether a packet gets from one node to another if it leaves now.
    fn gets_through(&mut self, from: usize, to: usize) -> bool {
        let path = self.path(from, to);
        !path.cut && !self.random.chance(path.loss_ppm)
    }

    fn dial_all(&mut self, node: usize) {
        for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
            let soon = self.random.between(Duration::ZERO, self.config.retransmit);
            let incarnation = self.nodes[node].incarnation;
            self.schedule(soon, Work::Dial { node, peer, incarnation, failures: 0 });
        }
    }

    fn dial_again(&mut self, node: usize, peer: usize, failures: u32) {
        let wait = self.config.backoff.wait(failures, &mut self.random);
        let incarnation = self.nodes[node].incarnation;
        self.schedule(wait, Work::Dial { node, peer, incarnation, failures });
    }

    fn dial(&mut self, node: usize, peer: usize, incarnation: u64, failures: u32) {
        let dialler = &self.nodes[node];
        let same = dialler.running && dialler.incarnation == incarnation;
        if !same || self.live.contains_key(&(node, peer)) {
            return;
        }
        let through =
            (0..2).all(|_| self.gets_through(node, peer) && self.gets_through(peer, node));
        if !through || !self.nodes[peer].running {
            self.dial_again(node, peer, failures.saturating_add(1));
            return;
        }
        let took: Duration = (0..2).map(|_| self.delay(node, peer) + self.delay(peer, node)).sum();
        let incarnations = [incarnation, self.nodes[peer].incarnation];
        self.schedule(took, Work::Established { node, peer, incarnations, failures });
    }

    fn established(&mut self, node: usize, peer: usize, incarnations: [u64; 2], failures: u32) {
        let (dialler, dialled) = (&self.nodes[node], &self.nodes[peer]);
        if !dialler.running || dialler.incarnation != incarnations[0] {
            return;
        }
        if self.live.contains_key(&(node, peer)) {
            return;
        }
        let there = dialled.running && dialled.incarnation == incarnations[1];
        if !there || self.path(node, peer).cut || self.path(peer, node).cut {
            self.dial_again(node, peer, failures.saturating_add(1));
            return;
        }
        if let Some(&old) = self.live.get(&(peer, node)) {
            let side = self.connections[&old].side(peer);
            let same = self.connections[&old].ends[1 - side].incarnation == incarnations[0];
            let reason = if same { DownReason::Replaced } else { DownReason::PeerRestarted };
            self.end(old, side, reason);
        }
        self.count += 1;
        let id = self.count;
        self.connections.insert(id, Connection::new([node, peer], incarnations));
        self.live.insert((node, peer), id);
        self.live.insert((peer, node), id);
        self.schedule(Duration::ZERO, Work::Up { connection: id, side: 0 });
        let later = self.delay(node, peer);
        self.schedule(later, Work::Up { connection: id, side: 1 });
    }

    fn come_up(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.ends[side].stage != Stage::Coming {
            return;
        }
        let (node, peer) = (connection.ends[side].node, connection.ends[1 - side].node);
        let introduction = Introduction {
            name: self.nodes[peer].name.clone(),
            fingerprint: fingerprint(peer),
            incarnation: self.nodes[peer].incarnation,
            lanes: self.config.lanes,
        };
        let number = self.nodes[node].inbox.up(PeerId(peer as u16), introduction);
        connection.ends[side].stage = Stage::Up(number);
    }

    /// Sends a message on its way.
    fn depart(&mut self, id: ConnectionId, side: Side, channel: Channel, bytes: Vec<u8>) {
        let ends = &self.connections[&id].ends;
        let (from, to) = (ends[side].node, ends[1 - side].node);
        let start = self.now;
        let road = self.roads.entry((from, to)).or_default();
        let mut departure = start;
        if let Some(rate) = road.path.rate {
            let nanos = (bytes.len() as u64).saturating_mul(1_000_000_000) / rate.max(1);
            road.busy_until =
                road.busy_until.max(start).saturating_add(Duration::from_nanos(nanos));
            departure = road.busy_until;
        }
        if channel == Channel::Datagram {
            let lost = !self.gets_through(from, to);
            let at = departure.saturating_add(self.delay(from, to));
            self.schedule_at(at, Work::Datagram { connection: id, side, bytes, lost });
            return;
        }
        let mut losses = 0;
        while losses < LOSSES_MAX && !self.gets_through(from, to) && !self.path(from, to).cut {
            departure = departure.saturating_add(self.config.retransmit);
            losses += 1;
        }
        let arrival = departure.saturating_add(self.delay(from, to));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let outgoing = connection.ends[side].outgoing.entry(channel).or_default();
        let first = outgoing.under_way.is_empty();
        outgoing.under_way.push_back(Passage { departure, arrival, bytes });
        if first {
            self.schedule_at(arrival, Work::Pump { connection: id, side, channel });
        }
    }

    /// Lets arrive what is due in one channel of one side.
    fn pump(&mut self, id: ConnectionId, side: Side, channel: Channel) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let (from, to) = (connection.ends[side].node, connection.ends[1 - side].node);
            let stage = connection.ends[1 - side].stage;
            let sender = connection.ends[side].stage;
            let outgoing = connection.ends[side].outgoing.entry(channel).or_default();
            let Some(head) = outgoing.under_way.front_mut() else { return };
            let again = |at| (at, Work::Pump { connection: id, side, channel });
            let (at, work) = match stage {
                Stage::Down => return,
                Stage::Coming => again(self.now.saturating_add(NOT_READY)),
                Stage::Up(_) if head.arrival > self.now => again(head.arrival),
                Stage::Up(_) if self.roads.get(&(from, to)).is_some_and(|r| r.path.cut) => {
                    if sender == Stage::Down {
                        // Nobody is left to send it again.
                        outgoing.under_way.clear();
                        return;
                    }
                    let at = self.now.saturating_add(self.config.retransmit);
                    head.departure = at;
                    head.arrival = at;
                    again(at)
                }
                Stage::Up(number) => {
                    let size = cost(&head.bytes);
                    let bytes = std::mem::take(&mut head.bytes);
                    let inbox = &mut self.nodes[to].inbox;
                    if let Err(bytes) = inbox.push(PeerId(from as u16), number, channel, bytes) {
                        head.bytes = bytes;
                        outgoing.held = true;
                        return;
                    }
                    outgoing.under_way.pop_front();
                    self.free(id, side, channel, size);
                    continue;
                }
            };
            self.schedule_at(at, work);
            return;
        }
    }

    /// Gives room back to a sender, and tells it if it waits for that.
    fn free(&mut self, id: ConnectionId, side: Side, channel: Channel, size: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let peer = PeerId(connection.ends[1 - side].node as u16);
        let end = &mut connection.ends[side];
        let outgoing = end.outgoing.entry(channel).or_default();
        outgoing.bytes = outgoing.bytes.saturating_sub(size);
        if !outgoing.full || outgoing.bytes > self.config.queue_bytes / 4 {
            return;
        }
        outgoing.full = false;
        if let Stage::Up(number) = end.stage {
            self.nodes[end.node].inbox.writable(peer, number, channel);
        }
    }

    /// Resumes a channel whose receiver has room again.
    fn relieve(&mut self, node: usize, peer: usize, channel: Channel) {
        let Some(&id) = self.live.get(&(node, peer)) else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let sender = 1 - connection.side(node);
        let outgoing = connection.ends[sender].outgoing.entry(channel).or_default();
        if std::mem::take(&mut outgoing.held) {
            self.schedule(Duration::ZERO, Work::Pump { connection: id, side: sender, channel });
        }
    }

    fn datagram(&mut self, id: ConnectionId, side: Side, bytes: Vec<u8>, lost: bool) {
        self.free(id, side, Channel::Datagram, cost(&bytes));
        let Some(connection) = self.connections.get(&id) else { return };
        let (from, to) = (connection.ends[side].node, connection.ends[1 - side].node);
        let Stage::Up(number) = connection.ends[1 - side].stage else { return };
        if lost || self.path(from, to).cut {
            return;
        }
        // A full inbox loses datagrams, like any other bottleneck.
        let _ = self.nodes[to].inbox.push(PeerId(from as u16), number, Channel::Datagram, bytes);
    }

    fn expect_silence(&mut self, connection: ConnectionId, side: Side, cuts: Option<u64>) {
        let slack = self.random.between(Duration::ZERO, self.config.silence_slack);
        let after = self.config.silence + slack;
        self.schedule(after, Work::Silent { connection, side, cuts, gone: false });
    }

    fn silent(&mut self, id: ConnectionId, side: Side, cuts: Option<u64>, gone: bool) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (to, from) = (connection.ends[side].node, connection.ends[1 - side].node);
        let road = self.roads.get(&(from, to));
        let still = cuts.is_none_or(|c| road.is_some_and(|r| r.path.cut && r.cuts == c));
        if !still || connection.ends[side].stage == Stage::Down {
            return;
        }
        let reason = if gone {
            DownReason::Gone
        } else {
            DownReason::Silent { silence: self.config.silence }
        };
        self.end(id, side, reason);
        self.tell_closed(id, side);
    }

    /// Tells the other side that this one has ended the connection, if that gets through.
    fn tell_closed(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (from, to) = (connection.ends[side].node, connection.ends[1 - side].node);
        if !self.path(from, to).cut {
            let after = self.delay(from, to);
            self.schedule(after, Work::Closed { connection: id, side: 1 - side });
        } else {
            self.expect_silence(id, 1 - side, None);
        }
    }

    /// Ends one side of a connection.
    fn end(&mut self, id: ConnectionId, side: Side, reason: DownReason) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (node, peer) = (connection.ends[side].node, connection.ends[1 - side].node);
        let stage = std::mem::replace(&mut connection.ends[side].stage, Stage::Down);
        if stage == Stage::Down {
            return;
        }
        connection.sender_is_gone(side, now);
        if connection.ends[1 - side].stage == Stage::Down {
            self.connections.remove(&id);
        }
        if self.live.get(&(node, peer)) == Some(&id) {
            self.live.remove(&(node, peer));
        }
        if let Stage::Up(number) = stage {
            self.nodes[node].inbox.down(PeerId(peer as u16), number, reason);
        }
        self.dial_again(node, peer, 0);
    }
}

/// What a message takes of a queue; so the empty ones are bounded too.
fn cost(message: &[u8]) -> usize {
    message.len() + MESSAGE_COST
}

/// A fingerprint that is made up, but a node's own.
fn fingerprint(node: usize) -> Fingerprint {
    let mut random = Random::new(node as u64);
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&random.bits().to_le_bytes());
    }
    Fingerprint::from_bytes(bytes)
}
