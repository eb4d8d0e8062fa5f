//! What happens at this node's own table.

use std::time::Duration;

use evergate_state::{StateId, StateKey};
use evergate_wire::Timestamp;

use crate::event::{Action, Actions, Defer, Operation, Outcome, Pace, Released};
use crate::message::Message;
use crate::peer::{ENTRIES_MAX, Peer};
use crate::queue::{Pending, Track, Want};
use crate::record::{Claim, Clear, Delete, Entry};

use super::{CLEARS_MAX, Machine};

impl Machine {
    pub(super) fn inserted(
        &mut self,
        key: StateKey,
        id: StateId,
        defer: Defer,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        self.clock = self.clock.max(id.id);
        let has_peer = self.peers.iter().any(Peer::is_up);
        self.deferred.hold((key, id), defer, has_peer, now, actions);
        self.push_all(key, Pending::new(Want::Insert, Track::Urgent), now, now);
    }

    pub(super) fn updated(&mut self, key: StateKey, pace: Pace, now: Timestamp) {
        let (wish, delay) = match pace {
            Pace::Lazy => (Pending::new(Want::Progress, Track::Lazy), self.config.update_delay),
            Pace::Soon => (Pending::new(Want::Progress, Track::Soon), self.config.soon_delay),
            Pace::Full => (Pending::FULL, Duration::ZERO),
        };
        self.push_all(key, wish, now.saturating_add(delay), now);
    }

    pub(super) fn deleted(&mut self, delete: &Delete, now: Timestamp, actions: &mut Actions) {
        if self.deferred.holds(&delete.key, delete.id) {
            self.deferred.release(&delete.key, Released::Removed, actions);
        }
        self.bury(delete, now);
        actions.push(Action::Again(Operation::Delete(*delete)));
        // If nobody was told of it, nobody need be told that it is gone. If one peer
        // was, any may know of it from that one.
        let is_untold = self.peers.iter().filter(|peer| peer.kept_for != 0).all(|peer| {
            let pending = peer.queue.get(&delete.key);
            pending.is_some_and(|pending| pending.want == Want::Insert && !pending.owes_delete)
        });
        if is_untold {
            for peer in &mut self.peers {
                peer.queue.remove(&delete.key);
            }
        } else {
            self.push_all(delete.key, Pending::DELETE, now, now);
        }
    }

    /// Remembers a removal of this node's own.
    fn bury(&mut self, delete: &Delete, now: Timestamp) {
        let Some(forgotten) = self.stones.note(0, delete, now) else { return };
        for peer in &mut self.peers {
            if peer.queue.get(&forgotten).is_some_and(|pending| pending.owes_delete) {
                peer.lose(now);
            }
        }
    }

    pub(super) fn cleared(&mut self, clear: Clear, now: Timestamp, actions: &mut Actions) {
        actions.push(Action::Again(Operation::Clear(clear)));
        self.note_clear(clear, now, actions);
    }

    /// Remembers that a creator's states are gone, and passes it on.
    pub(super) fn note_clear(&mut self, clear: Clear, now: Timestamp, actions: &mut Actions) {
        match self.clears.iter_mut().find(|known| known.creator == clear.creator) {
            Some(known) if known.upto >= clear.upto => return,
            Some(known) => known.upto = clear.upto,
            None => {
                if self.clears.len() == CLEARS_MAX {
                    self.clears.remove(0);
                }
                self.clears.push(clear);
            }
        }
        self.tell_all_now(&Message::Clear(clear), now, actions);
    }

    pub(super) fn entry_changed(&mut self, entry: &Entry, now: Timestamp, actions: &mut Actions) {
        for peer in &mut self.peers {
            if peer.kept_for == 0 {
                continue;
            }
            if peer.entries.len() >= ENTRIES_MAX
                && let Some((lost, _)) = peer.entries.pop_front()
            {
                actions.push(Action::EntryLost(lost.key));
            }
            peer.entries.push_back((entry.clone(), now));
            peer.kick(now);
        }
    }

    pub(super) fn take_over(&mut self, epoch: u32, now: Timestamp, actions: &mut Actions) {
        let next = self.ownership.floor.epoch.saturating_add(1);
        let epoch = epoch.max(next).min(Claim::EPOCH_MAX - 1);
        self.raise_floor(Claim { epoch, owner: self.config.instance }, now, actions);
    }

    /// Tells all peers something at once, ahead of states; a link that comes up later
    /// begins with it.
    pub(super) fn tell_all_now(
        &mut self,
        message: &Message,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        for peer in self.peers.iter_mut().filter(|peer| peer.remote.is_some()) {
            let stamp = peer.stamp(now);
            peer.out.control.message(&stamp, actions, message);
            peer.out.control.flush(&stamp, actions);
        }
    }

    /// What became of an operation that peer `i` wished for.
    pub(super) fn applied(
        &mut self,
        i: usize,
        (key, id): (StateKey, StateId),
        outcome: Outcome,
        wants_ack: bool,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        let is_known = matches!(outcome, Outcome::Taken | Outcome::Stale | Outcome::Joined);
        if wants_ack && is_known && peer.remote.is_some() {
            let stamp = peer.stamp(now);
            peer.out.control.message(&stamp, actions, &Message::InsertAck { key, id });
            peer.kick(now);
        }
        match outcome {
            Outcome::Taken => {}
            Outcome::Stale | Outcome::Survived => {
                peer.counters.stale += 1;
                self.push_to(i, key, Pending::FULL, now);
            }
            Outcome::Joined => self.push_all(key, Pending::FULL, now, now),
            Outcome::Unknown => {
                peer.counters.unknown += 1;
                self.request(i, key, now, actions);
            }
            Outcome::OtherName => {
                self.push_to(i, key, Pending::FULL, now);
                self.request(i, key, now, actions);
            }
            // Peers may have that other state, and not have heard of the removal.
            Outcome::RemovedOther => self.push_all(key, Pending::DELETE, now, now),
            Outcome::NotHeld => self.deny((key, id), now),
            Outcome::Full => {
                peer.counters.full += 1;
                peer.coverage.failed(now);
                self.status(i, actions);
            }
            Outcome::Refused => peer.counters.refused += 1,
        }
    }

    /// A peer tells of a state that this node has owned and removed so long ago that
    /// it does not remember.
    fn deny(&mut self, (key, id): (StateKey, StateId), now: Timestamp) {
        let delete = Delete {
            key,
            id,
            epoch: self.ownership.floor.epoch,
            is_final: false,
            ago: self.config.tombstone_age,
            idle: Duration::ZERO,
        };
        self.bury(&delete, now);
        self.push_all(key, Pending::DELETE, now, now);
    }

    fn request(&mut self, i: usize, key: StateKey, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        // States may come before the peer's WELCOME.
        if peer.remote.is_some() && peer.requests.open(key, now) {
            let stamp = peer.stamp(now);
            peer.out.control.message(&stamp, actions, &Message::Request { key });
            peer.kick(now);
        }
    }
}
