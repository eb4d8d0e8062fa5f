//! What was sent and is not acknowledged yet, and what has arrived and is not yet
//! acknowledged.
//!
//! Only keys are kept: what is lost is told again as it is then.

use std::collections::{BTreeSet, VecDeque};

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::message::Ack;
use crate::record::Entry;

/// Something that a packet told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    State { key: StateKey, bulk: bool },
    Entry(Box<(Entry, Timestamp)>),
}

/// A packet on its way.
#[derive(Debug)]
struct Flight {
    seq: u64,
    sent: Timestamp,
    items: Vec<Item>,
}

/// The packets of one lane that are on their way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: VecDeque<Flight>,
    items: usize,
}

impl Flights {
    /// How many things they told.
    pub(crate) const fn items(&self) -> usize {
        self.items
    }

    pub(crate) fn sent(&mut self, seq: u64, now: Timestamp, items: Vec<Item>) {
        self.items += items.len();
        self.flights.push_back(Flight { seq, sent: now, items });
    }

    /// What is lost by this acknowledgement; what has arrived is dropped.
    pub(crate) fn acknowledge(&mut self, ack: &Ack) -> Vec<Item> {
        let mut lost = Vec::new();
        while self.flights.front().is_some_and(|flight| flight.seq <= ack.upto) {
            let Some(flight) = self.flights.pop_front() else { break };
            self.items -= flight.items.len();
            let missing = match flight.seq.checked_sub(ack.from) {
                Some(offset) => ack.missing.iter().any(|missing| u64::from(*missing) == offset),
                None => true,
            };
            if missing {
                lost.extend(flight.items);
            }
        }
        lost
    }

    /// What was sent before `before`: it is taken as lost.
    pub(crate) fn overdue(&mut self, before: Timestamp) -> Vec<Item> {
        let mut lost = Vec::new();
        while self.flights.front().is_some_and(|flight| flight.sent <= before) {
            let Some(flight) = self.flights.pop_front() else { break };
            self.items -= flight.items.len();
            lost.extend(flight.items);
        }
        lost
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.flights.front().map(|flight| flight.sent)
    }
}

/// What has arrived in one lane. Ordered lanes only ever have the next packet.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// All up to this are told about.
    told: u64,
    /// Those after it that have arrived; only of datagrams.
    beyond: BTreeSet<u64>,
    highest: u64,
    /// Packets since the last acknowledgement.
    pub(crate) untold: u64,
}

impl Arrivals {
    /// How far missing datagrams are told one by one.
    const SPAN_MAX: u64 = Ack::SPAN_MAX;

    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Notes a packet of an ordered lane; `false` if it is not the next one.
    pub(crate) fn next(&mut self, seq: u64) -> bool {
        let is_next = self.highest.checked_add(1).is_some_and(|next| next == seq);
        if is_next {
            self.highest = seq;
            self.untold += 1;
        }
        is_next
    }

    /// Notes a datagram.
    pub(crate) fn any(&mut self, seq: u64) {
        self.untold += 1;
        if seq > self.told {
            self.highest = self.highest.max(seq);
            self.beyond.insert(seq);
            while self.beyond.len() > Self::SPAN_MAX as usize {
                self.beyond.pop_first();
            }
        }
    }

    /// The acknowledgement of an ordered lane.
    pub(crate) fn acknowledge(&mut self, lane: u8) -> Ack {
        self.untold = 0;
        let from = std::mem::replace(&mut self.told, self.highest).saturating_add(1);
        Ack { lane, from, upto: self.highest, missing: Vec::new() }
    }

    /// The acknowledgement of datagrams: whatever did not arrive is told missing.
    pub(crate) fn acknowledge_any(&mut self, lane: u8) -> Ack {
        self.untold = 0;
        let least = self.highest.saturating_sub(Self::SPAN_MAX - 1);
        let from = self.told.saturating_add(1).max(least);
        let missing = (from..=self.highest)
            .filter(|seq| !self.beyond.contains(seq))
            .map(|seq| (seq - from) as u8)
            .collect();
        self.told = self.highest;
        self.beyond.clear();
        Ack { lane, from, upto: self.highest, missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, seconds};

    fn item(number: u16) -> Item {
        Item::State { key: key(number), bulk: false }
    }

    #[test]
    fn what_an_acknowledgement_misses_is_lost() {
        let mut flights = Flights::default();
        for seq in 1..=5 {
            flights.sent(seq, seconds(seq), vec![item(seq as u16)]);
        }
        let ack = Ack { lane: 1, from: 2, upto: 4, missing: vec![1] };
        assert_eq!(flights.acknowledge(&ack), vec![item(1), item(3)]);
        assert_eq!((flights.items(), flights.oldest()), (1, Some(seconds(5))));
        assert_eq!(flights.overdue(seconds(4)), vec![]);
        assert_eq!(flights.overdue(seconds(5)), vec![item(5)]);
        assert_eq!(flights.items(), 0);
    }

    #[test]
    fn an_ordered_lane_takes_only_the_next() {
        let mut arrivals = Arrivals::default();
        assert!(arrivals.next(1) && arrivals.next(2));
        assert!(!arrivals.next(2) && !arrivals.next(4) && arrivals.next(3));
        assert_eq!(arrivals.acknowledge(1), Ack { lane: 1, from: 1, upto: 3, missing: vec![] });
    }

    #[test]
    fn missing_datagrams_are_told_once() {
        let mut arrivals = Arrivals::default();
        [1, 2, 6, 4].into_iter().for_each(|seq| arrivals.any(seq));
        let ack = arrivals.acknowledge_any(255);
        assert_eq!(ack, Ack { lane: 255, from: 1, upto: 6, missing: vec![2, 4] });
        arrivals.any(5);
        arrivals.any(7);
        let ack = arrivals.acknowledge_any(255);
        assert_eq!(ack, Ack { lane: 255, from: 7, upto: 7, missing: vec![] });
    }

    #[test]
    fn a_leap_of_numbers_costs_nothing() {
        let mut arrivals = Arrivals::default();
        arrivals.any(1);
        arrivals.any(u64::MAX);
        let ack = arrivals.acknowledge_any(255);
        assert_eq!(ack.missing.len(), 255);
        assert_eq!(ack.from, u64::MAX - 255);
        (1..10_000).for_each(|seq| arrivals.any(seq));
        assert!(arrivals.beyond.is_empty());
    }
}
