//! Requests for states that a peer knows and this node does not: each is asked for
//! once at a time, a few times at most.

use std::collections::VecDeque;

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::hash::{Map, map};

/// How many may be open.
const OPEN_MAX: usize = 4096;
/// How often one is made.
const TRIES_MAX: u8 = 4;

#[derive(Debug)]
pub(crate) struct Requests {
    open: Map<StateKey, (u8, u64)>,
    order: VecDeque<(Timestamp, StateKey, u64)>,
    ticket: u64,
}

impl Requests {
    pub(crate) fn new(seed: u64) -> Self {
        Self { open: map(seed), order: VecDeque::new(), ticket: 0 }
    }

    /// Whether to ask now; not if an answer is awaited, or too many are.
    pub(crate) fn open(&mut self, key: StateKey, now: Timestamp) -> bool {
        if self.open.len() >= OPEN_MAX || self.open.contains_key(&key) {
            return false;
        }
        self.enter(key, 1, now);
        true
    }

    /// It was answered.
    pub(crate) fn close(&mut self, key: &StateKey) {
        self.open.remove(key);
        // Closed ones at the front go now, the others with time.
        while let Some((_, key, ticket)) = self.order.front()
            && !self.is_open(key, *ticket)
        {
            self.order.pop_front();
        }
    }

    /// The next one to be asked again that was asked at `before` or earlier.
    pub(crate) fn overdue(&mut self, before: Timestamp, now: Timestamp) -> Option<StateKey> {
        while let Some((asked, key, ticket)) = self.order.front().copied()
            && (asked <= before || !self.is_open(&key, ticket))
        {
            self.order.pop_front();
            if !self.is_open(&key, ticket) {
                continue;
            }
            let tries = self.open.remove(&key).map_or(0, |(tries, _)| tries);
            if tries < TRIES_MAX {
                self.enter(key, tries + 1, now);
                return Some(key);
            }
        }
        None
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.order.front().map(|(asked, ..)| *asked)
    }

    fn enter(&mut self, key: StateKey, tries: u8, now: Timestamp) {
        self.ticket += 1;
        self.open.insert(key, (tries, self.ticket));
        self.order.push_back((now, key, self.ticket));
        if self.order.len() > 2 * OPEN_MAX {
            let open = &self.open;
            self.order.retain(|(_, key, ticket)| is_open(open, key, *ticket));
        }
    }

    fn is_open(&self, key: &StateKey, ticket: u64) -> bool {
        is_open(&self.open, key, ticket)
    }
}

fn is_open(open: &Map<StateKey, (u8, u64)>, key: &StateKey, ticket: u64) -> bool {
    open.get(key).is_some_and(|(_, other)| *other == ticket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, seconds};

    #[test]
    fn a_state_is_asked_for_once_at_a_time_and_not_for_ever() {
        let mut requests = Requests::new(1);
        assert!(requests.open(key(1), seconds(1)));
        assert!(!requests.open(key(1), seconds(1)));
        for second in 2..=u64::from(TRIES_MAX) {
            assert_eq!(requests.overdue(seconds(second - 1), seconds(second)), Some(key(1)));
            assert_eq!(requests.overdue(seconds(second - 1), seconds(second)), None);
        }
        assert_eq!(requests.overdue(seconds(99), seconds(99)), None);
        assert_eq!(requests.oldest(), None);
        assert!(requests.open(key(1), seconds(99)));
    }

    #[test]
    fn answered_ones_cost_nothing_and_open_ones_are_bounded() {
        let mut requests = Requests::new(1);
        for round in 0..40_u64 {
            for number in 0..1000 {
                assert!(requests.open(key(number), seconds(round)));
            }
            // The first one stays at the front of the line.
            (1..1000).for_each(|number| requests.close(&key(number)));
            requests.close(&key(0));
        }
        assert_eq!((requests.open.len(), requests.order.len()), (0, 0));
        let opened = (0..10_000).filter(|number| requests.open(key(*number), seconds(50))).count();
        assert_eq!(opened, OPEN_MAX);
        assert_eq!(requests.open.len(), OPEN_MAX);
    }
}
