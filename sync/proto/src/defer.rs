//! Packets that are held until a peer knows the state that they made.
//!
//! The packets themselves are the shell's; here is for how long.

use std::collections::VecDeque;
use std::time::Duration;

use evergate_state::{StateId, StateKey};
use evergate_wire::Timestamp;

use crate::event::{Action, Actions, Defer, Released};
use crate::hash::{Map, map};

#[derive(Clone, Copy, Debug)]
struct Packet {
    id: StateId,
    required: bool,
    ticket: u64,
}

/// The packets that are held.
#[derive(Debug)]
pub(crate) struct Deferred {
    packets: Map<StateKey, Packet>,
    /// By when they go anyway: those that may, those that may not.
    lines: [VecDeque<(Timestamp, StateKey, u64)>; 2],
    limits: [Duration; 2],
    max: usize,
    ticket: u64,
}

impl Deferred {
    pub(crate) fn new(open: Duration, required: Duration, max: usize, seed: u64) -> Self {
        let lines = [VecDeque::new(), VecDeque::new()];
        Self { packets: map(seed), lines, limits: [open, required], max, ticket: 0 }
    }

    /// Holds a packet, if there is a peer that could know its state. At the limit
    /// the oldest one goes.
    pub(crate) fn hold(
        &mut self,
        (key, id): (StateKey, StateId),
        defer: Defer,
        has_peer: bool,
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let required = match defer {
            Defer::Off => return,
            Defer::Open => false,
            Defer::Required => true,
        };
        if !has_peer || self.max == 0 {
            actions.push(Action::Release { key, id, why: overdue(required) });
            return;
        }
        // Another packet of this key is of a state that is no more.
        self.release(&key, Released::Removed, actions);
        while self.packets.len() >= self.max && self.release_oldest(actions) {}
        self.ticket += 1;
        let line = usize::from(required);
        let until = now.saturating_add(self.limits[line]);
        self.packets.insert(key, Packet { id, required, ticket: self.ticket });
        self.lines[line].push_back((until, key, self.ticket));
        if self.lines[line].len() > 2 * self.max + 64 {
            let packets = &self.packets;
            self.lines[line].retain(|(_, key, ticket)| is_current(packets, key, *ticket));
        }
    }

    /// Whether a packet of this state is held.
    pub(crate) fn holds(&self, key: &StateKey, id: StateId) -> bool {
        self.id_of(key) == Some(id)
    }

    /// The state with this key whose packet is held.
    pub(crate) fn id_of(&self, key: &StateKey) -> Option<StateId> {
        self.packets.get(key).map(|packet| packet.id)
    }

    /// Lets the packet of a state go, if one is held.
    pub(crate) fn release(&mut self, key: &StateKey, why: Released, actions: &mut Actions) {
        if let Some(packet) = self.packets.remove(key) {
            actions.push(Action::Release { key: *key, id: packet.id, why });
        }
    }

    /// Lets all go whose time is up.
    pub(crate) fn expire(&mut self, now: Timestamp, actions: &mut Actions) {
        for line in 0..self.lines.len() {
            while let Some((until, key, ticket)) = self.lines[line].front().copied()
                && (until <= now || !self.is_current(&key, ticket))
            {
                self.lines[line].pop_front();
                self.give_up(&key, ticket, actions);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        if self.packets.is_empty() {
            return None;
        }
        self.lines.iter().filter_map(VecDeque::front).map(|(until, ..)| *until).min()
    }

    fn is_current(&self, key: &StateKey, ticket: u64) -> bool {
        is_current(&self.packets, key, ticket)
    }

    fn give_up(&mut self, key: &StateKey, ticket: u64, actions: &mut Actions) -> bool {
        if !self.is_current(key, ticket) {
            return false;
        }
        let required = self.packets.get(key).is_some_and(|packet| packet.required);
        self.release(key, overdue(required), actions);
        true
    }

    /// Open ones first: they lose nothing.
    fn release_oldest(&mut self, actions: &mut Actions) -> bool {
        for line in 0..self.lines.len() {
            while let Some((_, key, ticket)) = self.lines[line].pop_front() {
                if self.give_up(&key, ticket, actions) {
                    return true;
                }
            }
        }
        false
    }
}

fn is_current(packets: &Map<StateKey, Packet>, key: &StateKey, ticket: u64) -> bool {
    packets.get(key).is_some_and(|packet| packet.ticket == ticket)
}

const fn overdue(required: bool) -> Released {
    if required { Released::Refused } else { Released::Open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, seconds};

    const OPEN: Duration = Duration::from_millis(20);

    fn millis(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn deferred(max: usize) -> Deferred {
        Deferred::new(OPEN, Duration::from_secs(1), max, 1)
    }

    fn state(number: u16) -> (StateKey, StateId) {
        (key(number), StateId { id: number.into(), creator: 1 })
    }

    fn released(actions: &mut Actions) -> Vec<(StateKey, Released)> {
        let release = |action| {
            let Action::Release { key, why, .. } = action else { panic!("{action:?}") };
            (key, why)
        };
        actions.drain().map(release).collect()
    }

    #[test]
    fn a_packet_goes_when_time_is_up_and_not_before() {
        let (mut deferred, mut actions) = (deferred(8), Actions::new());
        deferred.hold(state(1), Defer::Open, true, millis(0), &mut actions);
        deferred.hold(state(2), Defer::Required, true, millis(0), &mut actions);
        assert_eq!(deferred.next_deadline(), Some(millis(20)));
        deferred.expire(millis(19), &mut actions);
        assert_eq!(released(&mut actions), vec![]);
        deferred.expire(millis(20), &mut actions);
        assert_eq!(released(&mut actions), vec![(key(1), Released::Open)]);
        deferred.expire(millis(999), &mut actions);
        assert_eq!(released(&mut actions), vec![]);
        deferred.expire(seconds(1), &mut actions);
        assert_eq!(released(&mut actions), vec![(key(2), Released::Refused)]);
        assert_eq!(deferred.next_deadline(), None);
    }

    #[test]
    fn a_known_state_releases_once() {
        let (mut deferred, mut actions) = (deferred(8), Actions::new());
        deferred.hold(state(1), Defer::Open, true, millis(0), &mut actions);
        deferred.release(&key(1), Released::Known, &mut actions);
        deferred.release(&key(1), Released::Known, &mut actions);
        deferred.expire(seconds(9), &mut actions);
        assert_eq!(released(&mut actions), vec![(key(1), Released::Known)]);
    }

    #[test]
    fn without_a_peer_nothing_is_held() {
        let (mut deferred, mut actions) = (deferred(8), Actions::new());
        deferred.hold(state(1), Defer::Off, false, millis(0), &mut actions);
        deferred.hold(state(2), Defer::Open, false, millis(0), &mut actions);
        deferred.hold(state(3), Defer::Required, false, millis(0), &mut actions);
        let expected = vec![(key(2), Released::Open), (key(3), Released::Refused)];
        assert_eq!(released(&mut actions), expected);
    }

    #[test]
    fn lines_stay_short_however_many_packets_come_and_go() {
        let (mut deferred, mut actions) = (deferred(8), Actions::new());
        for number in 0..10_000 {
            deferred.hold(state(number), Defer::Open, true, millis(0), &mut actions);
            deferred.release(&key(number), Released::Known, &mut actions);
        }
        assert!(deferred.lines[0].len() <= 80, "{}", deferred.lines[0].len());
    }

    #[test]
    fn at_the_limit_the_oldest_goes() {
        let (mut deferred, mut actions) = (deferred(2), Actions::new());
        for number in 1..=3 {
            deferred.hold(state(number), Defer::Open, true, millis(0), &mut actions);
        }
        assert_eq!(released(&mut actions), vec![(key(1), Released::Open)]);
        assert!(!deferred.holds(&key(1), state(1).1) && deferred.holds(&key(3), state(3).1));
    }
}
