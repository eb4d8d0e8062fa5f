//! The changed states that wait for one peer.
//!
//! A state waits at most once, whatever happens to it meanwhile: only its key is
//! kept, and its record is read when it is packed. So the queue is bounded by the
//! number of states, and back-pressure turns into coalescing.

use std::collections::VecDeque;

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::hash::{Map, key_hash, map};

/// In which message a state is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// UPD_C.
    Progress,
    /// UPD, or DEL if it is gone.
    Full,
    /// INS; the peer has not been told of it.
    Insert,
}

/// How soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Track {
    Lazy,
    Soon,
    Urgent,
}

/// One state that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) want: Want,
    pub(crate) track: Track,
    /// A removal of this key is to be told first.
    pub(crate) owes_delete: bool,
    /// The peer has asked: it wants an answer even if there is no state.
    pub(crate) asked: bool,
    /// It is part of what the peer has missed.
    pub(crate) backlog: bool,
    /// It is part of a bulk update; never while it waits.
    pub(crate) bulk: bool,
}

impl Pending {
    pub(crate) const fn new(want: Want, track: Track) -> Self {
        Self { want, track, owes_delete: false, asked: false, backlog: false, bulk: false }
    }

    /// As it is now, at once.
    pub(crate) const FULL: Self = Self::new(Want::Full, Track::Urgent);
    /// That it was removed, and what has taken its place.
    pub(crate) const DELETE: Self = Self { owes_delete: true, ..Self::FULL };

    fn with(self, other: Self) -> Self {
        Self {
            want: self.want.max(other.want),
            track: self.track.max(other.track),
            owes_delete: self.owes_delete || other.owes_delete,
            asked: self.asked || other.asked,
            backlog: self.backlog || other.backlog,
            bulk: false,
        }
    }
}

/// Where a state stands in line: outdated if its ticket is not the pending one's.
#[derive(Clone, Copy, Debug)]
struct Place {
    key: StateKey,
    ticket: u64,
    due: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pending: Map<StateKey, (Pending, u64)>,
    urgent: Vec<VecDeque<Place>>,
    soon: VecDeque<Place>,
    lazy: VecDeque<Place>,
    ticket: u64,
    backlog: usize,
}

impl Queue {
    pub(crate) fn new(lanes: u8, seed: u64) -> Self {
        Self {
            pending: map(seed),
            urgent: vec![VecDeque::new(); lanes.into()],
            soon: VecDeque::new(),
            lazy: VecDeque::new(),
            ticket: 0,
            backlog: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// How many of those that the peer has missed still wait.
    pub(crate) const fn backlog(&self) -> usize {
        self.backlog
    }

    pub(crate) fn lane_of(&self, key: &StateKey) -> usize {
        lane_of(key, self.urgent.len())
    }

    /// Lets a state wait, at `due` at the latest unless it is urgent. If it waits
    /// already, for the more of both, and not longer.
    pub(crate) fn push(&mut self, key: StateKey, wish: Pending, due: Timestamp) {
        let known = self.pending.get(&key).copied();
        let next = known.map_or(wish, |(pending, _)| pending.with(wish));
        if next.backlog && !known.is_some_and(|(pending, _)| pending.backlog) {
            self.backlog += 1;
        }
        if let Some((pending, ticket)) = known
            && pending.track == next.track
        {
            self.pending.insert(key, (next, ticket));
            return;
        }
        self.ticket += 1;
        self.pending.insert(key, (next, self.ticket));
        let place = Place { key, ticket: self.ticket, due };
        let lane = self.lane_of(&key);
        let line = match next.track {
            Track::Urgent => &mut self.urgent[lane],
            Track::Soon => &mut self.soon,
            Track::Lazy => &mut self.lazy,
        };
        line.push_back(place);
        if line.len() > 2 * self.pending.len() + 64 {
            let pending = &self.pending;
            line.retain(|place| is_current(pending, place));
        }
    }

    /// Takes a state out of the queue.
    pub(crate) fn remove(&mut self, key: &StateKey) -> Option<Pending> {
        let (pending, _) = self.pending.remove(key)?;
        self.backlog -= usize::from(pending.backlog);
        Some(pending)
    }

    pub(crate) fn get(&self, key: &StateKey) -> Option<Pending> {
        self.pending.get(key).map(|(pending, _)| *pending)
    }

    /// Somebody else knows a state with this key: if it waits and is removed, that is
    /// to be told.
    pub(crate) fn is_known(&mut self, key: &StateKey) {
        if let Some((pending, _)) = self.pending.get_mut(key) {
            pending.owes_delete = true;
        }
    }

    /// The next urgent one of a lane.
    pub(crate) fn pop_urgent(&mut self, lane: usize) -> Option<(StateKey, Pending)> {
        while let Some(place) = self.urgent[lane].pop_front() {
            if is_current(&self.pending, &place) {
                return self.remove(&place.key).map(|pending| (place.key, pending));
            }
        }
        None
    }

    /// The next one of the others that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(StateKey, Pending)> {
        let pending = &self.pending;
        let lines = [&mut self.soon, &mut self.lazy];
        let key = lines.into_iter().find_map(|line| next_due(pending, line, now))?;
        self.remove(&key).map(|pending| (key, pending))
    }

    /// When the next of the others is due; may be too early.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let fronts = [self.soon.front(), self.lazy.front()];
        fronts.into_iter().flatten().map(|place| place.due).min()
    }

    /// Makes all that wait urgent: the peer has missed them.
    pub(crate) fn promote_all(&mut self, now: Timestamp) {
        let mut lines = std::mem::take(&mut self.urgent);
        let others = [std::mem::take(&mut self.soon), std::mem::take(&mut self.lazy)];
        self.urgent = vec![VecDeque::new(); lines.len()];
        for place in lines.drain(..).chain(others).flatten() {
            if !is_current(&self.pending, &place) {
                continue;
            }
            if let Some(mut pending) = self.remove(&place.key) {
                pending.track = Track::Urgent;
                pending.want = pending.want.max(Want::Full);
                pending.backlog = true;
                self.push(place.key, pending, now);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.urgent.iter_mut().for_each(VecDeque::clear);
        self.soon.clear();
        self.lazy.clear();
        self.backlog = 0;
    }
}

pub(crate) fn lane_of(key: &StateKey, lanes: usize) -> usize {
    // The low bits; digests go by the high ones.
    (key_hash(key) as u32 as usize) % lanes
}

/// Takes the next key of a line that is due, and outdated places before it.
fn next_due(
    pending: &Map<StateKey, (Pending, u64)>,
    line: &mut VecDeque<Place>,
    now: Timestamp,
) -> Option<StateKey> {
    while let Some(place) = line.front().copied() {
        let is_current = is_current(pending, &place);
        if is_current && place.due > now {
            return None;
        }
        line.pop_front();
        if is_current {
            return Some(place.key);
        }
    }
    None
}

fn is_current(pending: &Map<StateKey, (Pending, u64)>, place: &Place) -> bool {
    pending.get(&place.key).is_some_and(|(_, ticket)| *ticket == place.ticket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, seconds};

    const LAZY: Pending = Pending::new(Want::Progress, Track::Lazy);
    const SOON: Pending = Pending::new(Want::Progress, Track::Soon);

    #[test]
    fn a_state_waits_once_for_the_most_that_was_wished() {
        let mut queue = Queue::new(1, 1);
        queue.push(key(1), LAZY, seconds(2));
        queue.push(key(1), Pending { asked: true, ..LAZY }, seconds(9));
        assert_eq!((queue.len(), queue.next_due()), (1, Some(seconds(2))));
        queue.push(key(1), Pending::FULL, seconds(1));
        queue.push(key(1), LAZY, seconds(1));
        let wish = Pending { asked: true, ..Pending::FULL };
        assert_eq!(queue.pop_urgent(0), Some((key(1), wish)));
        assert_eq!((queue.pop_urgent(0), queue.pop_due(seconds(99)), queue.len()), (None, None, 0));
    }

    #[test]
    fn what_is_due_comes_in_time_and_order() {
        let mut queue = Queue::new(1, 1);
        queue.push(key(1), LAZY, seconds(5));
        queue.push(key(2), LAZY, seconds(6));
        queue.push(key(3), SOON, seconds(2));
        assert_eq!(queue.pop_due(seconds(1)), None);
        assert_eq!(queue.pop_due(seconds(2)), Some((key(3), SOON)));
        assert_eq!(queue.pop_due(seconds(5)), Some((key(1), LAZY)));
        assert_eq!(queue.pop_due(seconds(5)), None);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn lines_stay_short_however_often_states_change_track() {
        let mut queue = Queue::new(1, 1);
        for _ in 0..10_000 {
            queue.push(key(1), LAZY, seconds(5));
            queue.push(key(1), SOON, seconds(5));
            queue.push(key(1), Pending::FULL, seconds(5));
            assert!(queue.pop_urgent(0).is_some());
        }
        assert!(queue.lazy.len() + queue.soon.len() < 256, "{}", queue.lazy.len());
    }

    #[test]
    fn the_backlog_counts_down() {
        let mut queue = Queue::new(2, 1);
        for number in 0..10 {
            queue.push(key(number), LAZY, seconds(5));
        }
        queue.promote_all(seconds(1));
        queue.push(key(3), LAZY, seconds(5));
        queue.push(key(77), LAZY, seconds(5));
        assert_eq!((queue.backlog(), queue.len()), (10, 11));
        while queue.pop_urgent(0).or_else(|| queue.pop_urgent(1)).is_some() {}
        assert_eq!((queue.backlog(), queue.len()), (0, 1));
    }
}
