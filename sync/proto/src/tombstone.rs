//! What was removed, remembered for a while, so that late news of it cannot bring
//! it back.
//!
//! Bounded for each node that removes, so that a peer that floods forgets only its
//! own removals; aged by this node's own clock.

use std::collections::VecDeque;
use std::time::Duration;

use evergate_state::{StateId, StateKey};
use evergate_wire::Timestamp;

use crate::hash::{Map, map};
use crate::ownership::Ownership;
use crate::record::{Claim, Delete, Record};

/// How far apart two nodes' views of the last packet of a state may lie while both
/// mean the same packet: an update may have waited, then travelled.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

/// A removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) id: StateId,
    pub(crate) epoch: u32,
    pub(crate) is_final: bool,
    pub(crate) removed: Timestamp,
    /// How long it had been idle when it was removed.
    pub(crate) idle: Duration,
}

/// What decides whether a state is covered by a removal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) id: StateId,
    /// The claim that holds for it.
    pub(crate) claim: Claim,
    pub(crate) age: Duration,
    pub(crate) idle: Duration,
}

impl Life {
    pub(crate) const fn of(record: &Record, ownership: &Ownership) -> Self {
        let Record { state, claim, .. } = record;
        let claim = ownership.effective(*claim);
        Self { id: state.id, claim, age: state.age, idle: state.idle }
    }
}

impl Delete {
    /// Whether a state with these facts is gone by this removal.
    ///
    /// Not if it is a later one; nor if it began after the removal; nor, unless
    /// the removal is final, if it was taken over since, or has seen packets that
    /// the remover did not know of.
    pub(crate) fn covers(&self, life: Life) -> bool {
        if life.id > self.id {
            return false;
        }
        let began_after = life.age.saturating_add(SLACK) < self.ago;
        if life.id < self.id && began_after {
            return false;
        }
        let seen_later = life.idle.saturating_add(SLACK) < self.ago.saturating_add(self.idle);
        self.is_final || (life.claim.epoch <= self.epoch && !seen_later)
    }
}

impl Tombstone {
    pub(crate) fn of(delete: &Delete, now: Timestamp) -> Self {
        let Delete { id, epoch, is_final, ago, idle, .. } = *delete;
        let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        let removed = Timestamp::from_nanos(now.as_nanos().saturating_sub(ago));
        Self { id, epoch, is_final, removed, idle }
    }

    pub(crate) fn delete(&self, key: StateKey, now: Timestamp) -> Delete {
        let Self { id, epoch, is_final, removed, idle } = *self;
        Delete { key, id, epoch, is_final, ago: now.since(removed), idle }
    }
}

/// The removals that are remembered.
#[derive(Debug)]
pub(crate) struct Tombstones {
    stones: Map<StateKey, (Tombstone, u64)>,
    /// In the order in which they were noted, by who removed.
    order: Vec<VecDeque<(Timestamp, StateKey, u64)>>,
    quota: usize,
    age: Duration,
    ticket: u64,
}

impl Tombstones {
    /// For `origins` nodes that remove.
    pub(crate) fn new(origins: usize, max: usize, age: Duration, seed: u64) -> Self {
        Self {
            stones: map(seed),
            order: vec![VecDeque::new(); origins],
            quota: (max / origins.max(1)).max(1),
            age,
            ticket: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.stones.len()
    }

    /// The removal of `key`, as a message of now.
    pub(crate) fn delete(&self, key: &StateKey, now: Timestamp) -> Option<Delete> {
        self.stones.get(key).map(|(stone, _)| stone.delete(*key, now))
    }

    /// Notes a removal, unless one of a later state with its key is known. Returns
    /// the key of a removal that had to be forgotten for it before its time.
    pub(crate) fn note(
        &mut self,
        origin: usize,
        delete: &Delete,
        now: Timestamp,
    ) -> Option<StateKey> {
        let stone = Tombstone::of(delete, now);
        if let Some((known, _)) = self.stones.get(&delete.key) {
            let rank = |stone: &Tombstone| (stone.id, stone.is_final, stone.epoch);
            if rank(known) >= rank(&stone) {
                return None;
            }
        }
        self.ticket += 1;
        self.stones.insert(delete.key, (stone, self.ticket));
        let order = &mut self.order[origin];
        order.push_back((now, delete.key, self.ticket));
        if order.len() <= self.quota {
            return None;
        }
        let (_, key, ticket) = order.pop_front()?;
        self.forget(&key, ticket).then_some(key)
    }

    /// The keys of all, some perhaps more than once.
    pub(crate) fn keys(&self) -> impl Iterator<Item = StateKey> {
        self.order.iter().flatten().map(|(_, key, _)| *key)
    }

    /// Forgets what is old.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        for origin in 0..self.order.len() {
            while let Some((noted, key, ticket)) = self.order[origin].front().copied()
                && now.since(noted) >= self.age
            {
                self.order[origin].pop_front();
                self.forget(&key, ticket);
            }
        }
    }

    /// When the next one is to be forgotten.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let oldest = self.order.iter().filter_map(VecDeque::front).map(|(noted, ..)| *noted).min();
        oldest.map(|noted| noted.saturating_add(self.age))
    }

    fn forget(&mut self, key: &StateKey, ticket: u64) -> bool {
        let is_same = self.stones.get(key).is_some_and(|(_, other)| *other == ticket);
        if is_same {
            self.stones.remove(key);
        }
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, seconds};

    fn delete(number: u16, id: u64) -> Delete {
        let id = StateId { id, creator: 1 };
        let (ago, idle) = (Duration::ZERO, Duration::ZERO);
        Delete { key: key(number), id, epoch: 1, is_final: false, ago, idle }
    }

    fn life(id: u64, epoch: u32, age_s: u64, idle_s: u64) -> Life {
        Life {
            id: StateId { id, creator: 1 },
            claim: Claim { epoch, owner: 1 },
            age: Duration::from_secs(age_s),
            idle: Duration::from_secs(idle_s),
        }
    }

    /// The removal was 10 s ago, the state then 20 s idle.
    #[test]
    fn what_a_removal_covers() {
        let expired =
            Delete { ago: Duration::from_secs(10), idle: Duration::from_secs(20), ..delete(1, 5) };
        let removed = Delete { is_final: true, ..expired };
        for (case, life, by_expiry, by_will) in [
            ("itself", life(5, 1, 100, 30), true, true),
            ("itself, on a node that was told late", life(5, 1, 100, 28), true, true),
            ("with packets that the remover did not see", life(5, 1, 100, 26), false, true),
            ("taken over since", life(5, 2, 100, 30), false, true),
            ("the next on its ports", life(6, 1, 1, 0), false, false),
            ("another name, older", life(4, 1, 100, 30), true, true),
            ("another name, began after", life(4, 1, 6, 6), false, false),
            ("another name, began just then", life(4, 1, 8, 8), false, true),
        ] {
            assert_eq!(expired.covers(life), by_expiry, "{case}");
            assert_eq!(removed.covers(life), by_will, "{case}");
        }
    }

    #[test]
    fn a_flood_of_one_node_forgets_only_its_own() {
        let mut stones = Tombstones::new(2, 8, Duration::from_secs(60), 1);
        for number in 0..4 {
            assert_eq!(stones.note(0, &delete(number, 1), seconds(1)), None);
        }
        for number in 10..1000 {
            stones.note(1, &delete(number, 1), seconds(1));
        }
        assert_eq!(stones.len(), 8);
        assert!((0..4).all(|number| stones.delete(&key(number), seconds(2)).is_some()));
        assert_eq!(stones.note(0, &delete(5, 1), seconds(1)), Some(key(0)));
    }

    #[test]
    fn they_are_forgotten_with_age() {
        let mut stones = Tombstones::new(1, 8, Duration::from_secs(60), 1);
        stones.note(0, &delete(1, 1), seconds(10));
        stones.note(0, &delete(1, 2), seconds(20));
        assert_eq!(stones.next_deadline(), Some(seconds(70)));
        stones.expire(seconds(79));
        assert_eq!(stones.delete(&key(1), seconds(79)).map(|delete| delete.id.id), Some(2));
        stones.expire(seconds(80));
        assert_eq!((stones.len(), stones.next_deadline()), (0, None));
    }

    #[test]
    fn a_lesser_removal_does_not_hide_a_greater() {
        let mut stones = Tombstones::new(1, 8, Duration::from_secs(60), 1);
        stones.note(0, &Delete { is_final: true, ..delete(1, 2) }, seconds(1));
        stones.note(0, &delete(1, 2), seconds(1));
        stones.note(0, &delete(1, 1), seconds(1));
        let kept = stones.delete(&key(1), seconds(1)).unwrap();
        assert!(kept.is_final && kept.id.id == 2);
    }
}
