//! Comparing two tables by sums over ranges of keys.
//!
//! Ranges are those of a hash that all nodes share: 256, each of 64. A range that
//! differs is suspect; only one that differs in two rounds running is exchanged,
//! because between the two nodes' walks states come and go.

use evergate_state::{StateId, StateKey};

use crate::hash::{identity_hash, key_hash};
use crate::message::{LEAVES, RangeSum, TOPS};

/// The number of a range of the second level.
pub(crate) fn leaf_of(key: &StateKey) -> u16 {
    leaf_of_hash(key_hash(key))
}

const fn leaf_of_hash(hash: u64) -> u16 {
    (hash >> 50) as u16
}

const _: () = assert!(TOPS * LEAVES == 1 << (64 - 50));

/// The sums of one table.
#[derive(Clone, Debug)]
pub(crate) struct Sums(Vec<RangeSum>);

impl Sums {
    pub(crate) fn new() -> Self {
        Self(vec![RangeSum::default(); TOPS * LEAVES])
    }

    pub(crate) fn add(&mut self, key: &StateKey, id: StateId) {
        let hash = key_hash(key);
        let sum = &mut self.0[usize::from(leaf_of_hash(hash))];
        sum.count = sum.count.saturating_add(1);
        sum.sum = sum.sum.wrapping_add(identity_hash(hash, id));
    }

    pub(crate) fn leaves(&self, top: u8) -> &[RangeSum] {
        let start = usize::from(top) * LEAVES;
        &self.0[start..start + LEAVES]
    }

    pub(crate) fn tops(&self) -> Vec<RangeSum> {
        let fold = |leaves: &[RangeSum]| {
            leaves.iter().fold(RangeSum::default(), |total, leaf| RangeSum {
                count: total.count.saturating_add(leaf.count),
                sum: total.sum.wrapping_add(leaf.sum),
            })
        };
        self.0.chunks_exact(LEAVES).map(fold).collect()
    }
}

/// A set of ranges of the second level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeafSet(Vec<u64>);

impl LeafSet {
    pub(crate) fn new() -> Self {
        Self(vec![0; TOPS * LEAVES / 64])
    }

    pub(crate) fn add(&mut self, leaf: u16) {
        self.0[usize::from(leaf / 64)] |= 1 << (leaf % 64);
    }

    pub(crate) fn has(&self, leaf: u16) -> bool {
        self.0[usize::from(leaf / 64)] & 1 << (leaf % 64) != 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn both(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        (0..(TOPS * LEAVES) as u16).filter(|leaf| self.has(*leaf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::key;

    #[test]
    fn sums_do_not_depend_on_the_order_and_tell_every_difference() {
        let id = |id| StateId { id, creator: 1 };
        let (mut a, mut b) = (Sums::new(), Sums::new());
        for number in 0..1000_u16 {
            a.add(&key(number), id(number.into()));
            b.add(&key(999 - number), id((999 - number).into()));
        }
        assert_eq!(a.tops(), b.tops());
        b.add(&key(5000), id(1));
        let differing: Vec<usize> =
            (0..TOPS).filter(|top| a.tops()[*top] != b.tops()[*top]).collect();
        assert_eq!(differing, vec![usize::from(leaf_of(&key(5000))) / LEAVES]);
        a.add(&key(5000), id(2));
        assert_ne!(a.tops(), b.tops(), "another state with the same key");
    }

    #[test]
    fn states_spread_over_the_ranges() {
        let mut sums = Sums::new();
        (0..50_000).for_each(|number| sums.add(&key(number), StateId { id: 1, creator: 1 }));
        let tops = sums.tops();
        assert!(tops.iter().all(|top| (100..300).contains(&top.count)), "{tops:?}");
    }

    #[test]
    fn sets_of_ranges() {
        let (mut a, mut b) = (LeafSet::new(), LeafSet::new());
        [3, 64, 16_383].into_iter().for_each(|leaf| a.add(leaf));
        [3, 65, 16_383].into_iter().for_each(|leaf| b.add(leaf));
        assert_eq!(a.both(&b).iter().collect::<Vec<_>>(), vec![3, 16_383]);
        assert_eq!((a.len(), a.has(64), a.has(65)), (3, true, false));
    }
}
