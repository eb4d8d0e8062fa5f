//! Rules as the kernel sees them: a box over five fields, masks, and predicates for the rest.

use evergate_rules_kernel::layout::{
    P_CHANCE, P_DPORT, P_FLAGS, P_GATE, P_ICMP_CODE, P_ICMP_TYPE, P_RANGE_DST, P_RANGE_SRC,
    P_RECEIVED, P_SINCE, P_SPORT, P_TABLE_DST, P_TABLE_SRC, P_TAGGED, P_TOS, P_URPF,
};

use crate::ast::{Direction, Family};
use crate::program::{Bits, Condition, FlatRule, InterfaceSet, Kind, Side};

/// Fields of a box, numbered as the kernel numbers them.
pub(crate) const FIELDS: usize = 5;
pub(crate) const PROTO: usize = 0;
pub(crate) const DPORT: usize = 1;
pub(crate) const SPORT: usize = 2;
pub(crate) const SRC: usize = 3;
pub(crate) const DST: usize = 4;

/// First and last value of a field.
pub(crate) type Range = (u128, u128);
/// One range per field.
pub(crate) type Region = [Range; FIELDS];

/// The whole space of a family; IPv4 addresses count as 32 bits.
pub(crate) fn space(v6: bool) -> Region {
    let addresses = if v6 { (0, u128::MAX) } else { (0, u128::from(u32::MAX)) };
    [(0, 255), (0, 65_535), (0, 65_535), addresses, addresses]
}

/// What a predicate's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u32),
    /// A range of the rule's family.
    Range(Bits, Bits),
    Interfaces(InterfaceSet),
}

/// A condition that no box can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Predicate {
    pub(crate) kind: u32,
    pub(crate) negated: bool,
    pub(crate) argument: u32,
    pub(crate) value: Value,
}

/// A rule as a box, masks and predicates.
#[derive(Debug, Clone)]
pub(crate) struct LowRule {
    /// Inbound is bit 0, outbound bit 1.
    pub(crate) directions: u8,
    /// IPv4 is bit 0, IPv6 bit 1.
    pub(crate) families: u8,
    pub(crate) interfaces: u64,
    pub(crate) region: Region,
    pub(crate) predicates: Vec<Predicate>,
    /// Passes or blocks.
    pub(crate) decides: bool,
    pub(crate) quick: bool,
    /// Does nothing but decide, so that a later sure match makes it idle.
    pub(crate) plain: bool,
}

const MAPPED: u128 = 0xffff_0000_0000;

/// An address's value as a field: IPv4 without its prefix.
fn value_of(bits: Bits) -> u128 {
    if bits >> 32 == 0xffff { bits - MAPPED } else { bits }
}

impl LowRule {
    pub(crate) fn new(rule: &FlatRule) -> Self {
        let wide = (0, u128::MAX);
        let decides = matches!(rule.kind, Kind::Pass | Kind::Block);
        let mut low = Self {
            directions: 3,
            families: 3,
            interfaces: u64::MAX,
            region: [(0, 255), (0, 65_535), (0, 65_535), wide, wide],
            predicates: Vec::new(),
            decides,
            quick: rule.quick,
            plain: decides && !rule.quick && rule.tag.is_none(),
        };
        for condition in &rule.conditions {
            low.add(condition);
        }
        if low.families == 1 {
            for field in [SRC, DST] {
                low.region[field].1 = low.region[field].1.min(u128::from(u32::MAX));
            }
        }
        // What costs a call of the gateway is asked last.
        low.predicates
            .sort_by_key(|p| matches!(p.kind, P_TABLE_SRC | P_TABLE_DST | P_URPF | P_CHANCE));
        low
    }

    /// Whether no packet can match.
    pub(crate) fn is_empty(&self) -> bool {
        self.directions == 0
            || self.families == 0
            || self.interfaces == 0
            || self.region.iter().any(|(first, last)| first > last)
    }

    fn narrow(&mut self, field: usize, first: u128, last: u128) {
        let range = &mut self.region[field];
        *range = (range.0.max(first), range.1.min(last));
    }

    fn predicate(&mut self, kind: u32, negated: bool, argument: u32, value: Value) {
        self.predicates.push(Predicate { kind, negated, argument, value });
    }

    fn add(&mut self, condition: &Condition) {
        let number = |n: u32| Value::Number(n);
        match condition {
            Condition::Direction(Direction::In) => self.directions &= 1,
            Condition::Direction(Direction::Out) => self.directions &= 2,
            Condition::Interface(set) => self.interfaces &= set.0,
            Condition::Family(Family::V4) => self.families &= 1,
            Condition::Family(Family::V6) => self.families &= 2,
            Condition::Protocol(proto) => {
                self.narrow(PROTO, u128::from(*proto), u128::from(*proto));
            }
            Condition::Address { side, first, last, negated: false } => {
                let field = if *side == Side::Source { SRC } else { DST };
                self.narrow(field, value_of(*first), value_of(*last));
            }
            Condition::Address { side, first, last, negated: true } => {
                let kind = if *side == Side::Source { P_RANGE_SRC } else { P_RANGE_DST };
                self.predicate(kind, true, 0, Value::Range(value_of(*first), value_of(*last)));
            }
            Condition::Table { side, table, negated } => {
                let kind = if *side == Side::Source { P_TABLE_SRC } else { P_TABLE_DST };
                self.predicate(kind, *negated, u32::from(*table), number(0));
            }
            Condition::Port { side, first, last, negated: false } => {
                let field = if *side == Side::Source { SPORT } else { DPORT };
                self.narrow(field, u128::from(*first), u128::from(*last));
            }
            Condition::Port { side, first, last, negated: true } => {
                let kind = if *side == Side::Source { P_SPORT } else { P_DPORT };
                let both = u32::from(*first) | u32::from(*last) << 16;
                self.predicate(kind, true, 0, number(both));
            }
            Condition::Flags { set, mask } => {
                self.predicate(P_FLAGS, false, 0, number(u32::from(*set) | u32::from(*mask) << 8));
            }
            Condition::IcmpType(ty) => self.predicate(P_ICMP_TYPE, false, 0, number((*ty).into())),
            Condition::IcmpCode(n) => self.predicate(P_ICMP_CODE, false, 0, number((*n).into())),
            Condition::Tos(tos) => self.predicate(P_TOS, false, 0, number((*tos).into())),
            Condition::Tagged { tag, negated } => {
                self.predicate(P_TAGGED, *negated, u32::from(*tag), number(0));
            }
            Condition::ReceivedOn(set) => {
                self.predicate(P_RECEIVED, false, 0, Value::Interfaces(*set));
            }
            Condition::Chance(chance) => self.predicate(P_CHANCE, false, 0, number(*chance)),
            Condition::UrpfFailed { negated } => self.predicate(P_URPF, *negated, 0, number(0)),
            Condition::Gate(gate) => self.predicate(P_GATE, false, u32::from(*gate), number(0)),
            Condition::Since(index) => {
                self.predicate(P_SINCE, false, 0, number(u32::from(*index)));
            }
        }
    }
}
