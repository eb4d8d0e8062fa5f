//! Rounds of comparing tables with one peer.
//!
//! The node with the lower number begins: it sums up its own table and sends the
//! first level; the peer sums up its own and answers with the second level of what
//! differs; what differs twice running is exchanged, both ways.

use std::collections::VecDeque;
use std::time::Duration;

use evergate_wire::Timestamp;

use crate::digest::{LeafSet, Sums};
use crate::message::{Digest, LEAVES, RangeSum, TOPS};

/// How soon a difference is looked at again.
pub(crate) const CONFIRM: Duration = Duration::from_secs(2);

/// What a walk through this node's table is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// To begin a round.
    Begin(Sums),
    /// To answer one.
    Answer { round: u32, theirs: Box<[RangeSum]>, sums: Sums },
    /// To tell the peer of the states in some ranges.
    Tell(LeafSet),
}

/// A walk through this node's table.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) purpose: Purpose,
    pub(crate) cursor: u64,
}

/// Comparing with one peer.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// This node begins the rounds.
    begins: bool,
    round: u32,
    pub(crate) next_at: Timestamp,
    own: Option<Sums>,
    differing: LeafSet,
    suspects: Option<LeafSet>,
    pub(crate) walks: VecDeque<Walk>,
}

impl Rounds {
    /// One to begin, one to answer, one to tell.
    const WALKS_MAX: usize = 3;

    pub(crate) fn new(begins: bool) -> Self {
        Self {
            begins,
            round: 0,
            next_at: Timestamp::ZERO,
            own: None,
            differing: LeafSet::new(),
            suspects: None,
            walks: VecDeque::new(),
        }
    }

    /// Forgets a round that the link has cut short; the next is due at `at`.
    pub(crate) fn restart(&mut self, at: Timestamp) {
        *self = Self { round: self.round, next_at: at, ..Self::new(self.begins) };
    }

    pub(crate) const fn begins(&self) -> bool {
        self.begins
    }

    /// Begins a round; another follows at `next_at` in any case.
    pub(crate) fn begin(&mut self, next_at: Timestamp) {
        self.next_at = next_at;
        self.round = self.round.wrapping_add(1);
        (self.own, self.differing) = (None, LeafSet::new());
        self.walks.retain(|walk| !matches!(walk.purpose, Purpose::Begin(_)));
        self.walk(Purpose::Begin(Sums::new()));
    }

    fn walk(&mut self, purpose: Purpose) {
        if self.walks.len() < Self::WALKS_MAX {
            self.walks.push_back(Walk { purpose, cursor: 0 });
        }
    }

    /// A walk is over: what is to be said.
    pub(crate) fn walked(&mut self, purpose: Purpose) -> Vec<Digest> {
        match purpose {
            Purpose::Begin(sums) => {
                let tops = sums.tops().into();
                self.own = Some(sums);
                vec![Digest::Top { round: self.round, sums: tops }]
            }
            Purpose::Answer { round, theirs, sums } => {
                let tops = sums.tops();
                let differing = (0..TOPS).filter(|top| tops[*top] != theirs[*top]);
                let answer = differing.map(|top| {
                    // Below TOPS, 256.
                    let top = top as u8;
                    Digest::Leaves { round, top, sums: sums.leaves(top).into() }
                });
                answer.chain([Digest::Done { round }]).collect()
            }
            Purpose::Tell(_) => Vec::new(),
        }
    }

    /// Something was said: what is to be said to it.
    pub(crate) fn hear(&mut self, digest: Digest, now: Timestamp) -> Vec<Digest> {
        match digest {
            Digest::Top { round, sums } => {
                self.walks.retain(|walk| !matches!(walk.purpose, Purpose::Answer { .. }));
                self.walk(Purpose::Answer { round, theirs: sums, sums: Sums::new() });
                Vec::new()
            }
            Digest::Leaves { round, top, sums } if round == self.round => {
                if let Some(own) = &self.own {
                    let leaves = own.leaves(top).iter().zip(&sums);
                    let first = u16::from(top) * LEAVES as u16;
                    for (leaf, (own, theirs)) in (first..).zip(leaves) {
                        if own != theirs {
                            self.differing.add(leaf);
                        }
                    }
                }
                Vec::new()
            }
            Digest::Done { round } if round == self.round && self.own.take().is_some() => {
                self.judge(now)
            }
            Digest::Exchange { leaves, .. } => {
                self.tell(leaves);
                Vec::new()
            }
            // Of a round that is over.
            Digest::Leaves { .. } | Digest::Done { .. } => Vec::new(),
        }
    }

    fn judge(&mut self, now: Timestamp) -> Vec<Digest> {
        let differing = std::mem::replace(&mut self.differing, LeafSet::new());
        if differing.len() == 0 {
            self.suspects = None;
            return Vec::new();
        }
        self.next_at = self.next_at.min(now.saturating_add(CONFIRM));
        let Some(suspects) = self.suspects.replace(differing.clone()) else { return Vec::new() };
        let guilty: Vec<u16> = suspects.both(&differing).iter().collect();
        let exchange = guilty
            .chunks(Digest::EXCHANGE_MAX)
            .map(|leaves| Digest::Exchange { round: self.round, leaves: leaves.to_vec() })
            .collect();
        self.tell(guilty);
        exchange
    }

    /// Tells the peer of the states in these ranges, in one walk.
    fn tell(&mut self, leaves: Vec<u16>) {
        if leaves.is_empty() {
            return;
        }
        let unbegun = self.walks.iter_mut().find_map(|walk| match &mut walk.purpose {
            Purpose::Tell(set) if walk.cursor == 0 => Some(set),
            Purpose::Tell(_) | Purpose::Begin(_) | Purpose::Answer { .. } => None,
        });
        match unbegun {
            Some(set) => leaves.into_iter().for_each(|leaf| set.add(leaf)),
            None => {
                let mut set = LeafSet::new();
                leaves.into_iter().for_each(|leaf| set.add(leaf));
                self.walk(Purpose::Tell(set));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evergate_state::StateId;

    use super::*;
    use crate::testing::{key, seconds};

    /// One round between tables of states with these numbers: what is exchanged.
    fn round(a: &mut Rounds, b: &mut Rounds, numbers: [&[u16]; 2], now: Timestamp) -> Vec<u16> {
        a.begin(now.saturating_add(Duration::from_secs(60)));
        let mut said = walk(a, numbers[0]);
        let mut exchanged = Vec::new();
        let mut from_a = true;
        while !said.is_empty() {
            let mut answers = Vec::new();
            for digest in said {
                if let Digest::Exchange { leaves, .. } = &digest {
                    exchanged.extend(leaves);
                }
                let (listener, own) =
                    if from_a { (&mut *b, numbers[1]) } else { (&mut *a, numbers[0]) };
                answers.extend(listener.hear(digest, now));
                answers.extend(walk(listener, own));
            }
            (said, from_a) = (answers, !from_a);
        }
        exchanged
    }

    fn walk(rounds: &mut Rounds, numbers: &[u16]) -> Vec<Digest> {
        let Some(mut walk) = rounds.walks.pop_front() else { return Vec::new() };
        if let Purpose::Begin(sums) | Purpose::Answer { sums, .. } = &mut walk.purpose {
            numbers
                .iter()
                .for_each(|number| sums.add(&key(*number), StateId { id: 1, creator: 1 }));
        }
        rounds.walked(walk.purpose)
    }

    #[test]
    fn equal_tables_say_nothing_more() {
        let (mut a, mut b) = (Rounds::new(true), Rounds::new(false));
        assert_eq!(round(&mut a, &mut b, [&[1, 2, 3], &[3, 2, 1]], seconds(1)), vec![]);
        assert_eq!(a.next_at, seconds(61));
    }

    #[test]
    fn what_differs_twice_is_exchanged_and_nothing_else() {
        let (mut a, mut b) = (Rounds::new(true), Rounds::new(false));
        let one: &[u16] = &[1, 2, 3];
        assert_eq!(round(&mut a, &mut b, [one, &[1, 2, 3, 4]], seconds(1)), vec![]);
        assert_eq!(a.next_at, seconds(3));
        let leaf = crate::digest::leaf_of(&key(4));
        assert_eq!(round(&mut a, &mut b, [one, &[1, 2, 3, 4, 5]], seconds(3)), vec![leaf]);
        assert_eq!(round(&mut a, &mut b, [one, one], seconds(5)), vec![]);
        assert_eq!(a.suspects, None);
    }

    #[test]
    fn answers_of_a_round_that_is_over_are_passed_over() {
        let mut rounds = Rounds::new(true);
        rounds.begin(seconds(60));
        walk(&mut rounds, &[1]);
        rounds.begin(seconds(120));
        assert_eq!(rounds.hear(Digest::Done { round: 1 }, seconds(1)), vec![]);
        assert_eq!(rounds.hear(Digest::Done { round: 2 }, seconds(1)), vec![]);
        assert!(rounds.suspects.is_none());
    }

    #[test]
    fn a_flood_of_rounds_leaves_few_walks() {
        let mut rounds = Rounds::new(false);
        for round in 0..100 {
            let sums = vec![RangeSum::default(); TOPS].into();
            rounds.hear(Digest::Top { round, sums }, seconds(1));
            rounds.hear(Digest::Exchange { round, leaves: vec![1, 2] }, seconds(1));
        }
        assert!(rounds.walks.len() <= Rounds::WALKS_MAX);
    }
}
