//! What this node says: changed states are fetched when there is room for them,
//! packed and sent.
//!
//! Live changes go before bulk pages, bulk pages before walks for comparisons.
//! Nothing is fetched while its way is congested or too much is unacknowledged: it
//! waits in the queue, where further changes cost nothing.

use std::time::Duration;

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::config::BATCH_MAX;
use crate::digest::leaf_of;
use crate::event::{Action, Actions, ResetReason};
use crate::flight::Item;
use crate::message::{Bulk, Class, LANE_DATAGRAM, Message, Told, write_told};
use crate::peer::{Fetch, OVERRUN_MAX, Peer};
use crate::queue::{Pending, Want, lane_of};
use crate::record::{Entry, Progress, Record};
use crate::round::Purpose;
use crate::tombstone::Life;

use super::Machine;

/// The longest idle time that UPD_C can tell.
const PROGRESS_IDLE_MAX: Duration = Duration::from_secs(60);

/// One page of this node's table: states, entries, where it goes on, how many.
pub(super) type Page = (Vec<Record>, Vec<Entry>, Option<u64>, u64);

impl Machine {
    /// Sends what can be sent now, and asks the shell for what can be sent next.
    pub(super) fn pump(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        if self.peers[i].is_up() {
            self.peers[i].kick = None;
            self.acknowledge(i, now, actions);
            self.send_entries(i, now, actions);
            self.start_fetch(i, now, actions);
            self.start_page(i, actions);
            self.end_bulk(i, now, actions);
        }
        let peer = &mut self.peers[i];
        if peer.remote.is_some() {
            let stamp = peer.stamp(now);
            peer.out.flush(&stamp, actions);
            if peer.out.overrun() > OVERRUN_MAX {
                self.reset(i, ResetReason::Misbehaved, now, actions);
            }
        }
    }

    /// Whether records may be asked for now.
    pub(super) fn can_fetch(&self, peer: &Peer) -> bool {
        peer.is_up() && peer.fetch.is_none() && peer.out.unacked() < self.config.unacked_max
    }

    /// When the next change that is not urgent is due; `None` if it could not go.
    pub(super) fn next_due(&self, peer: &Peer) -> Option<Timestamp> {
        if self.progress_may_go(peer) { peer.queue.next_due() } else { None }
    }

    fn progress_may_go(&self, peer: &Peer) -> bool {
        if self.config.datagram_max == 0 {
            peer.out.lanes.iter().all(|lane| lane.writable)
        } else {
            peer.out.datagram.writable
        }
    }

    fn acknowledge(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        if peer.ack_due.is_none_or(|due| due > now) {
            return;
        }
        peer.ack_due = None;
        let stamp = peer.stamp(now);
        for (lane, lane_in) in (1..).zip(&mut peer.lanes_in) {
            if lane_in.arrivals.untold > 0 {
                let ack = Message::Ack(lane_in.arrivals.acknowledge(lane));
                peer.out.control.message(&stamp, actions, &ack);
            }
        }
        if peer.datagrams_in.untold > 0 {
            let ack = Message::Ack(peer.datagrams_in.acknowledge_any(LANE_DATAGRAM));
            peer.out.control.message(&stamp, actions, &ack);
        }
    }

    fn send_entries(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        let room = self.config.unacked_max.saturating_sub(self.peers[i].out.unacked());
        for _ in 0..room.min(BATCH_MAX) {
            let peer = &mut self.peers[i];
            // In order, so that the last word on an entry is the last to arrive.
            let lanes = peer.out.lanes.iter();
            if !lanes.clone().all(|lane| lane.writable) {
                return;
            }
            let Some((entry, since)) = peer.entries.pop_front() else { return };
            peer.add_entry(entry, since, now, actions);
        }
        if room > BATCH_MAX && !self.peers[i].entries.is_empty() {
            self.peers[i].kick(now);
        }
    }

    fn start_fetch(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        if !self.can_fetch(&self.peers[i]) {
            return;
        }
        let progress_may_go = self.progress_may_go(&self.peers[i]);
        let peer = &mut self.peers[i];
        let room = (self.config.unacked_max - peer.out.unacked()).min(BATCH_MAX);
        let mut keys = Vec::new();
        let lanes = peer.out.lanes.len();
        let mut open: Vec<usize> = (0..lanes).filter(|l| peer.out.lanes[*l].writable).collect();
        // One of each lane in turn: none waits for another.
        while keys.len() < room && !open.is_empty() {
            let queue = &mut peer.queue;
            open.retain(|lane| match queue.pop_urgent(*lane) {
                Some(next) if keys.len() < BATCH_MAX => {
                    keys.push(next);
                    true
                }
                Some((key, pending)) => {
                    queue.push(key, pending, now);
                    false
                }
                None => false,
            });
        }
        while keys.len() < room
            && progress_may_go
            && let Some(next) = peer.queue.pop_due(now)
        {
            keys.push(next);
        }
        if keys.is_empty() {
            return;
        }
        let ticket = peer.next_ticket();
        let wanted = keys.iter().map(|(key, _)| *key).collect();
        peer.fetch = Some(Fetch { ticket, keys });
        actions.push(Action::Fetch { peer: peer.id, ticket, keys: wanted });
    }

    fn start_page(&mut self, i: usize, actions: &mut Actions) {
        let can_fetch = self.can_fetch(&self.peers[i]);
        let peer = &mut self.peers[i];
        let lanes_free = peer.out.lanes.iter().all(|lane| lane.writable);
        if !can_fetch || !lanes_free || peer.page.is_some() {
            return;
        }
        let bulk = peer.bulk.as_ref().and_then(|bulk| bulk.cursor);
        let walk = peer.rounds.walks.front().map(|walk| walk.cursor);
        let Some(cursor) = bulk.or(walk) else { return };
        let ticket = peer.next_ticket();
        peer.page = Some((ticket, bulk.is_some()));
        actions.push(Action::Page { peer: peer.id, ticket, cursor, max: BATCH_MAX });
    }

    fn end_bulk(&mut self, i: usize, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        let is_idle = peer.fetch.is_none() && peer.queue.backlog() == 0;
        let Some(bulk) = &mut peer.bulk else { return };
        if bulk.ended || bulk.cursor.is_some() || !is_idle {
            return;
        }
        bulk.ended = true;
        let (request, count) = (bulk.request, bulk.count);
        let stamp = peer.stamp(now);
        peer.out.lanes.iter_mut().for_each(|lane| lane.flush(&stamp, actions));
        let marks = peer.out.lanes.iter().map(|lane| lane.seq()).collect();
        let end = Message::Bulk(Bulk::End { request, count, marks });
        peer.out.control.message(&stamp, actions, &end);
    }

    pub(super) fn fetched(
        &mut self,
        i: usize,
        ticket: u32,
        records: Vec<Option<Record>>,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        let Some(fetch) = peer.fetch.take_if(|fetch| fetch.ticket == ticket) else { return };
        if !peer.is_up() {
            return;
        }
        let mut records = records.into_iter();
        for (key, pending) in fetch.keys {
            self.pack(i, key, pending, records.next().flatten(), now, actions);
        }
    }

    pub(super) fn page_read(
        &mut self,
        i: usize,
        ticket: u32,
        (records, entries, next, total): Page,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        let Some((_, for_bulk)) = peer.page.take_if(|page| page.0 == ticket) else { return };
        if for_bulk {
            self.bulk_page(i, (records, entries, next, total), now, actions);
        } else {
            self.walk_page(i, &records, next, now, actions);
        }
    }

    fn bulk_page(
        &mut self,
        i: usize,
        (records, entries, next, total): Page,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        let Some(bulk) = &mut peer.bulk else { return };
        bulk.cursor = next;
        if !std::mem::replace(&mut bulk.started, true) {
            let start = Message::Bulk(Bulk::Start { request: bulk.request, total });
            let stamp = peer.stamp(now);
            peer.out.control.message(&stamp, actions, &start);
        }
        for record in records {
            let key = record.state.key;
            let waiting = self.peers[i].queue.remove(&key).unwrap_or(Pending::FULL);
            let pending = Pending { want: waiting.want.max(Want::Full), bulk: true, ..waiting };
            self.pack(i, key, pending, Some(record), now, actions);
        }
        for entry in entries {
            self.peers[i].add_entry(entry, now, now, actions);
        }
    }

    fn walk_page(
        &mut self,
        i: usize,
        records: &[Record],
        next: Option<u64>,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        let Some(walk) = peer.rounds.walks.front_mut() else { return };
        let mut told = Vec::new();
        match &mut walk.purpose {
            Purpose::Begin(sums) | Purpose::Answer { sums, .. } => {
                records.iter().for_each(|record| sums.add(&record.state.key, record.state.id));
            }
            Purpose::Tell(leaves) => {
                let is_in = |key: &StateKey| leaves.has(leaf_of(key));
                told.extend(records.iter().map(|record| record.state.key).filter(is_in));
                if walk.cursor == 0 {
                    told.extend(self.stones.keys().filter(is_in));
                }
            }
        }
        match next {
            Some(next) => walk.cursor = next,
            None => {
                let walk = peer.rounds.walks.pop_front();
                let said = walk.map(|walk| peer.rounds.walked(walk.purpose)).unwrap_or_default();
                peer.say(said, now, actions);
            }
        }
        for key in told {
            self.push_to(i, key, Pending::DELETE, now);
        }
    }

    /// Packs what is to be told of one key.
    fn pack(
        &mut self,
        i: usize,
        key: StateKey,
        pending: Pending,
        record: Option<Record>,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let mut removal = self.stones.delete(&key, now);
        // It may have been read before it was removed.
        let record = record.filter(|record| {
            let life = Life::of(record, &self.ownership);
            !removal.is_some_and(|removal| removal.covers(life))
        });
        if let Some(record) = &record
            && (!pending.owes_delete || removal.is_some_and(|r| r.id >= record.state.id))
        {
            removal = None;
        }
        let wants_ack =
            record.as_ref().is_some_and(|record| self.deferred.holds(&key, record.state.id));
        let peer = &mut self.peers[i];
        let stamp = peer.stamp(now);
        let lane = lane_of(&key, peer.out.lanes.len());
        let item = Item::State { key, bulk: pending.bulk };
        if let Some(removal) = removal {
            peer.counters.deletes_out += 1;
            let message = Message::Delete(removal);
            peer.out.lanes[lane].add(&stamp, actions, Some(item.clone()), |out, _| {
                message.write(out);
            });
        }
        let Some(record) = record else {
            if pending.asked && removal.is_none() {
                peer.out.control.message(&stamp, actions, &Message::Gone { key });
            }
            return;
        };
        if pending.want == Want::Progress && record.state.idle <= PROGRESS_IDLE_MAX && !wants_ack {
            let class = peer.progress_class(lane, self.config.datagram_max);
            return peer.add_progress(class, &record, item, now, actions);
        }
        peer.counters.records_out += 1;
        if pending.bulk
            && let Some(bulk) = &mut peer.bulk
        {
            bulk.count += 1;
        }
        let is_insert = pending.want == Want::Insert;
        let mut told = Told { record, is_insert, wants_ack, bulk: pending.bulk };
        let names = &self.names;
        peer.out.lanes[lane].add(&stamp, actions, Some(item), |out, defined| {
            defined.define(names, &mut told.record.state.options, out);
            write_told(out, &told);
        });
    }
}

impl Peer {
    const fn progress_class(&self, lane: usize, datagram_max: usize) -> Class {
        if datagram_max == 0 { Class::Ordered(lane as u8) } else { Class::Datagram }
    }

    fn add_progress(
        &mut self,
        class: Class,
        record: &Record,
        item: Item,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        self.counters.progress_out += 1;
        let stamp = self.stamp(now);
        let state = &record.state;
        let message = Message::Progress(Progress {
            key: state.key,
            tag: Progress::tag_of(state.id, record.revision),
            idle: state.idle,
            ends: state.ends,
        });
        if let Some(lane) = self.out.lane(class) {
            lane.add(&stamp, actions, Some(item), |out, _| message.write(out));
        }
    }

    /// Packs an entry, less the time that it has waited; nothing if it is over.
    fn add_entry(&mut self, entry: Entry, since: Timestamp, now: Timestamp, actions: &mut Actions) {
        let waited = now.since(since);
        let mut aged = entry.clone();
        if let Some(ttl) = &mut aged.ttl {
            match ttl.checked_sub(waited) {
                Some(left) => *ttl = left,
                None => return,
            }
        }
        let stamp = self.stamp(now);
        let lane = crate::hash::bytes_lane(entry.key.name.as_bytes(), self.out.lanes.len());
        let item = Item::Entry(Box::new((entry, since)));
        let message = Message::Entry(aged);
        self.out.lanes[lane].add(&stamp, actions, Some(item), |out, _| message.write(out));
    }
}
