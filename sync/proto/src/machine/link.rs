//! What peers say of the link and of bulk updates.

use evergate_state::{StateId, StateKey};
use evergate_wire::Timestamp;

use crate::bulk::{Arrived, BulkOut};
use crate::event::{Actions, LinkState, Operation, Refusal, Released, ResetReason};
use crate::flight::Arrivals;
use crate::message::{
    Ack, Bulk, BulkMode, Class, FEATURES, Hello, LANE_DATAGRAM, Message, VERSION, VERSION_MIN,
    Welcome,
};
use crate::names::PeerNames;
use crate::peer::{LaneIn, Remote};
use crate::queue::Pending;

use super::Machine;

impl Machine {
    pub(super) fn greeted(
        &mut self,
        i: usize,
        (class, session): (Class, u32),
        hello: &Hello,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let peer = &mut self.peers[i];
        if class != Class::Control || peer.remote.is_some() {
            return Err(Refusal::OutOfPlace);
        }
        if hello.node != peer.id.0 || hello.instance == self.config.instance {
            self.reset(i, ResetReason::Identity, now, actions);
            return Ok(());
        }
        let version = VERSION.min(hello.version_max);
        if version < VERSION_MIN.max(hello.version_min) {
            self.reset(i, ResetReason::Version, now, actions);
            return Ok(());
        }
        if peer.instance != hello.instance {
            // It has lost its table, and what this node has kept for it.
            peer.queue.clear();
            peer.entries.clear();
            peer.bulk = None;
            peer.coverage.lose();
            peer.instance = hello.instance;
        }
        peer.kept_for = hello.instance;
        let seed = self.config.seed;
        peer.lanes_in = (0..hello.lanes)
            .map(|_| LaneIn { arrivals: Arrivals::default(), names: PeerNames::new(seed) })
            .collect();
        peer.remote = Some(Remote { instance: hello.instance, session, version });
        let stamp = peer.stamp(now);
        let welcome = Welcome { version, session, features: hello.features & FEATURES };
        peer.out.control.message(&stamp, actions, &Message::Welcome(welcome));
        self.raise_floor(hello.floor, now, actions);
        self.raise_clock(hello.clock, actions);
        self.linked_changed(actions);
        self.ask(i, hello.kept_for == self.config.instance, now, actions);
        Ok(())
    }

    /// Asks for what this node lacks.
    pub(super) fn ask(&mut self, i: usize, kept: bool, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        let (request, mode) = peer.coverage.ask(kept);
        let stamp = peer.stamp(now);
        let bulk = Bulk::Request { request, mode };
        peer.out.control.message(&stamp, actions, &Message::Bulk(bulk));
        peer.kick(now);
        self.status(i, actions);
    }

    pub(super) fn welcomed(
        &mut self,
        i: usize,
        welcome: Welcome,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let peer = &mut self.peers[i];
        let agreed = peer.remote.map(|remote| remote.version);
        if peer.is_up() || welcome.session != peer.session || Some(welcome.version) != agreed {
            return Err(Refusal::OutOfPlace);
        }
        peer.link = LinkState::Up;
        let stamp = peer.stamp(now);
        let facts = self.clears.iter().copied().map(Message::Clear);
        for fact in facts.chain([Message::Owner(self.ownership.floor)]) {
            peer.out.control.message(&stamp, actions, &fact);
        }
        peer.kick(now);
        self.status(i, actions);
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, i: usize, ack: &Ack, now: Timestamp) {
        let peer = &mut self.peers[i];
        let lane = match ack.lane {
            LANE_DATAGRAM => Some(&mut peer.out.datagram),
            lane => usize::from(lane).checked_sub(1).and_then(|lane| peer.out.lanes.get_mut(lane)),
        };
        let Some(lane) = lane else { return };
        let lost = lane.flights.acknowledge(ack);
        peer.lost(lost, now);
    }

    pub(super) fn insert_acknowledged(
        &mut self,
        i: usize,
        (key, id): (StateKey, StateId),
        actions: &mut Actions,
    ) {
        self.peers[i].counters.acks_in += 1;
        if self.deferred.holds(&key, id) {
            self.deferred.release(&key, Released::Known, actions);
        }
    }

    pub(super) fn requested(&mut self, i: usize, key: StateKey, now: Timestamp) {
        self.push_to(i, key, Pending { asked: true, ..Pending::FULL }, now);
    }

    pub(super) fn bulk_said(
        &mut self,
        i: usize,
        bulk: Bulk,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        match bulk {
            Bulk::Request { request, mode } => self.bulk_requested(i, request, mode, now),
            Bulk::Start { request, total } => self.peers[i].coverage.start(request, total),
            Bulk::End { request, count, marks } => {
                self.peers[i].coverage.end(request, count, marks);
            }
            Bulk::Lost => {
                self.peers[i].coverage.lose();
                self.ask(i, false, now, actions);
            }
        }
        self.status(i, actions);
    }

    fn bulk_requested(&mut self, i: usize, request: u32, mode: BulkMode, now: Timestamp) {
        let peer = &mut self.peers[i];
        peer.kick(now);
        let resumable = peer.bulk.as_ref().is_some_and(|bulk| bulk.request == request);
        match mode {
            BulkMode::Full => {
                // What is gone is told too: a third node may not know of it yet, and
                // tell the peer of states that this node saw the end of.
                for key in self.stones.keys() {
                    peer.queue.push(key, Pending::DELETE, now);
                }
                peer.bulk = Some(BulkOut::new(request, Some(0)));
            }
            BulkMode::Delta => peer.bulk = Some(BulkOut::new(request, None)),
            BulkMode::Resume if resumable => {}
            BulkMode::Resume => {
                peer.out.control.queue(&Message::Bulk(Bulk::Lost));
                return;
            }
        }
        // A page that was read for another walk is of no use.
        peer.page = None;
        if let Some(bulk) = &mut peer.bulk {
            bulk.ended = false;
        }
        peer.queue.promote_all(now);
    }

    /// Looks whether a bulk update has arrived as a whole.
    pub(super) fn look_for_end(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        let ticket = peer.next_ticket();
        let lanes = &peer.lanes_in;
        let arrived = |lane: usize| lanes.get(lane).map_or(0, |lane| lane.arrivals.highest());
        match peer.coverage.arrive(arrived, ticket) {
            Arrived::NotYet => {}
            Arrived::All => self.apply(i, Operation::Barrier { ticket }, actions),
            Arrived::TooFew => peer.coverage.fall_short(now),
        }
        self.status(i, actions);
    }
}
