//! Decision trees over boxes: which rules can still match, by a few comparisons.
//!
//! A tree halves the list of rules at each node along the field that tells them apart best. Rules
//! that lie on both sides are in both; how often that may happen is bounded, and past the bound
//! leaves stay long.

use evergate_rules_kernel::layout::{
    CHECK_DPORT, CHECK_DST, CHECK_PREDICATES, CHECK_PROTO, CHECK_SPORT, CHECK_SRC,
    ENTRY_CHECK_SHIFT,
};

use crate::lower::{DPORT, DST, LowRule, PROTO, Region, SPORT, SRC};

/// A list this short is not split.
const LEAF_RULES: usize = 3;
/// No tree is deeper.
const DEPTH_MAX: u32 = 40;
/// Entries of a tree's leaves for each of its rules, at most, and some for small ones.
const REPLICATION_MAX: usize = 4;
const REPLICATION_FREE: usize = 256;
/// Rules that are looked at to find where to split.
const SAMPLE: usize = 192;
/// Places to split that are tried for each field.
const TRIES: usize = 8;

/// A node of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// At most the threshold goes left, which is the next node.
    Split { field: usize, threshold: u128, right: usize },
    /// Entries: the rule's index and the checks it still needs.
    Leaf(Vec<u32>),
}

/// What a tree can cost: units of fuel of its worst path, and entries of its longest leaf.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) fuel: u64,
    pub(crate) entries: usize,
}

/// A tree; its root is the first node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) cost: Cost,
}

/// Fuel of one comparison of a tree, from measurements with room to spare.
const NODE_FUEL: u64 = 60;
/// Fuel of trying one rule without checks.
const ENTRY_FUEL: u64 = 90;
/// Fuel of one check of a field.
const CHECK_FUEL: u64 = 70;
/// Fuel of one predicate.
const PREDICATE_FUEL: u64 = 110;

pub(crate) struct Builder<'a> {
    rules: &'a [LowRule],
    /// Whether rules that a later one overrules may be left out of leaves.
    may_overrule: bool,
    nodes: Vec<Node>,
    entries_left: usize,
    cost: Cost,
}

impl<'a> Builder<'a> {
    pub(crate) fn build(
        rules: &'a [LowRule],
        list: &[u16],
        space: Region,
        may_overrule: bool,
    ) -> Tree {
        let mut builder = Builder {
            rules,
            may_overrule,
            nodes: Vec::new(),
            entries_left: list.len() * REPLICATION_MAX + REPLICATION_FREE,
            cost: Cost::default(),
        };
        builder.entries_left -= list.len();
        builder.node(list.to_vec(), space, 0);
        Tree { nodes: builder.nodes, cost: builder.cost }
    }

    fn rule(&self, index: u16) -> &'a LowRule {
        &self.rules[usize::from(index)]
    }

    fn node(&mut self, list: Vec<u16>, region: Region, depth: u32) {
        let list = self.without_idle(list, &region);
        if list.len() > LEAF_RULES
            && depth < DEPTH_MAX
            && let Some((field, threshold)) = self.split(&list, &region)
        {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for index in &list {
                let (first, last) = self.rule(*index).region[field];
                if first <= threshold {
                    left.push(*index);
                }
                if last > threshold {
                    right.push(*index);
                }
            }
            self.entries_left = self
                .entries_left
                .saturating_sub((left.len() + right.len()).saturating_sub(list.len()));
            drop(list);
            let at = self.nodes.len();
            self.nodes.push(Node::Split { field, threshold, right: 0 });
            let (mut below, mut above) = (region, region);
            below[field].1 = threshold;
            above[field].0 = threshold + 1;
            self.node(left, below, depth + 1);
            let second = self.nodes.len();
            self.node(right, above, depth + 1);
            self.nodes[at] = Node::Split { field, threshold, right: second };
            return;
        }
        self.leaf(&list, &region, depth);
    }

    /// Whether the rule matches everything in the region.
    fn is_sure(&self, index: u16, region: &Region) -> bool {
        checks(self.rule(index), region) == 0
    }

    /// Leaves out what cannot matter: rules after a sure quick one, and plain rules that a sure
    /// later one overrules.
    fn without_idle(&self, mut list: Vec<u16>, region: &Region) -> Vec<u16> {
        let end = list.iter().position(|i| self.rule(*i).quick && self.is_sure(*i, region));
        if let Some(end) = end {
            list.truncate(end + 1);
        }
        if !self.may_overrule {
            return list;
        }
        let sure = list.iter().rposition(|i| self.rule(*i).decides && self.is_sure(*i, region));
        let Some(sure) = sure else { return list };
        let mut kept: Vec<u16> =
            list[..sure].iter().copied().filter(|i| !self.rule(*i).plain).collect();
        kept.extend_from_slice(&list[sure..]);
        kept
    }

    /// The field and threshold that tell the rules apart best; `None` if nothing helps.
    fn split(&self, list: &[u16], region: &Region) -> Option<(usize, u128)> {
        let step = list.len().div_ceil(SAMPLE).max(1);
        let mut best: Option<(usize, usize, u128)> = None;
        for (field, (low, high)) in region.iter().copied().enumerate() {
            let mut places: Vec<u128> = Vec::new();
            for index in list.iter().step_by(step) {
                let (first, last) = self.rule(*index).region[field];
                if first > low && first <= high {
                    places.push(first - 1);
                }
                if last < high && last >= low {
                    places.push(last);
                }
            }
            places.sort_unstable();
            places.dedup();
            let tries = TRIES.min(places.len());
            for n in 0..tries {
                let threshold = places[(2 * n + 1) * places.len() / (2 * tries)];
                let (mut left, mut right) = (0, 0);
                for index in list {
                    let (first, last) = self.rule(*index).region[field];
                    left += usize::from(first <= threshold);
                    right += usize::from(last > threshold);
                }
                let longer = left.max(right);
                let extra = left + right - list.len();
                if longer == list.len() || extra > self.entries_left {
                    continue;
                }
                let score = longer + extra / 2;
                if best.is_none_or(|(known, ..)| score < known) {
                    best = Some((score, field, threshold));
                }
            }
        }
        best.map(|(_, field, threshold)| (field, threshold))
    }

    fn leaf(&mut self, list: &[u16], region: &Region, depth: u32) {
        let mut entries = Vec::with_capacity(list.len());
        let mut fuel = NODE_FUEL * u64::from(depth + 1);
        for index in list {
            let rule = self.rule(*index);
            let checks = checks(rule, region);
            entries.push(u32::from(*index) | checks << ENTRY_CHECK_SHIFT);
            fuel += ENTRY_FUEL + CHECK_FUEL * u64::from((checks & !CHECK_PREDICATES).count_ones());
            fuel += PREDICATE_FUEL * rule.predicates.len() as u64;
        }
        self.cost.fuel = self.cost.fuel.max(fuel);
        self.cost.entries = self.cost.entries.max(entries.len());
        self.nodes.push(Node::Leaf(entries));
    }
}

/// The checks that a rule needs of packets in a region.
fn checks(rule: &LowRule, region: &Region) -> u32 {
    let mut checks = if rule.predicates.is_empty() { 0 } else { CHECK_PREDICATES };
    let bits = [
        (PROTO, CHECK_PROTO),
        (DPORT, CHECK_DPORT),
        (SPORT, CHECK_SPORT),
        (SRC, CHECK_SRC),
        (DST, CHECK_DST),
    ];
    for (field, bit) in bits {
        let ((first, last), (low, high)) = (rule.region[field], region[field]);
        if first > low || last < high {
            checks |= bit;
        }
    }
    checks
}
