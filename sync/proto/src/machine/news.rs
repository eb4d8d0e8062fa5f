//! What peers say of states.

use std::time::Duration;

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::event::{Action, Actions, Operation, Refusal, Released};
use crate::message::{Define, Message, Told};
use crate::queue::Pending;
use crate::record::{Claim, Clear, Delete, Progress, Upsert};
use crate::tombstone::Life;

use super::Machine;

impl Machine {
    pub(super) fn apply(&self, i: usize, operation: Operation, actions: &mut Actions) {
        actions.push(Action::Apply { peer: self.peers[i].id, operation });
    }

    pub(super) fn defined(&mut self, i: usize, lane: u8, define: Define) -> Result<(), Refusal> {
        let lane = self.peers[i].lanes_in.get_mut(usize::from(lane));
        let fits = lane.is_none_or(|lane| lane.names.define(define));
        if fits { Ok(()) } else { Err(Refusal::Names) }
    }

    pub(super) fn told(
        &mut self,
        i: usize,
        lane: u8,
        told: Told,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let Told { mut record, wants_ack, bulk, .. } = told;
        let (key, id) = (record.state.key, record.state.id);
        let peer = &mut self.peers[i];
        peer.counters.records_in += 1;
        if bulk {
            peer.coverage.received();
        }
        peer.requests.close(&key);
        self.clock = self.clock.max(id.id);
        if self.is_buried(&key, Life::of(&record, &self.ownership), now) {
            return self.remind(i, key, now);
        }
        let cleared = self.clears.iter().find(|clear| clear.covers(id));
        if let Some(clear) = cleared.copied() {
            let peer = &mut self.peers[i];
            peer.counters.late += 1;
            let stamp = peer.stamp(now);
            return peer.out.control.message(&stamp, actions, &Message::Clear(clear));
        }
        self.peers.iter_mut().for_each(|peer| peer.queue.is_known(&key));
        if !record.state.is_finished() {
            self.deferred.release(&key, Released::Known, actions);
        }
        let Some(lane) = self.peers[i].lanes_in.get(usize::from(lane)) else { return };
        let meaning = lane.names.resolve(&mut record.state.options);
        let only_if_held = record.claim.owner == self.config.instance
            && record.state.idle >= self.config.tombstone_age;
        let upsert = Upsert { record, meaning, wants_ack, bulk, only_if_held };
        self.apply(i, Operation::Upsert(Box::new(upsert)), actions);
    }

    /// Whether a state was removed here, or a peer has said so.
    fn is_buried(&self, key: &StateKey, life: Life, now: Timestamp) -> bool {
        self.stones.delete(key, now).is_some_and(|delete| delete.covers(life))
    }

    /// Tells a peer again that a state is gone.
    fn remind(&mut self, i: usize, key: StateKey, now: Timestamp) {
        self.peers[i].counters.late += 1;
        self.push_to(i, key, Pending::DELETE, now);
    }

    pub(super) fn progressed(
        &mut self,
        i: usize,
        progress: Progress,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        self.peers[i].counters.progress_in += 1;
        let key = progress.key;
        if let Some(delete) = self.stones.delete(&key, now)
            && progress.is_of(delete.id, 0)
        {
            let claim = Claim::default();
            let life = Life { id: delete.id, claim, age: Duration::MAX, idle: progress.idle };
            if delete.covers(life) {
                return self.remind(i, key, now);
            }
        }
        self.peers.iter_mut().for_each(|peer| peer.queue.is_known(&key));
        if self.deferred.id_of(&key).is_some_and(|id| progress.is_of(id, 0)) {
            self.deferred.release(&key, Released::Known, actions);
        }
        self.apply(i, Operation::Progress(progress), actions);
    }

    pub(super) fn peer_deleted(
        &mut self,
        i: usize,
        delete: Delete,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        peer.counters.deletes_in += 1;
        peer.requests.close(&delete.key);
        self.stones.note(i + 1, &delete, now);
        self.raise_clock(delete.id.id, actions);
        self.apply(i, Operation::Delete(delete), actions);
    }

    pub(super) fn peer_cleared(
        &mut self,
        i: usize,
        clear: Clear,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        self.note_clear(clear, now, actions);
        self.raise_clock(clear.upto, actions);
        self.apply(i, Operation::Clear(clear), actions);
    }
}
