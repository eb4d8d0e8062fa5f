//! What demotes the gateway as a whole: reasons with names, each held or not.
//!
//! A counter that is raised and lowered from many places ends up stuck sooner or later. Here a
//! reason is held once, however often it is claimed, and is gone once released, so that the sum
//! can always be explained.

use std::collections::BTreeMap;
use std::fmt;

use crate::VhostId;

/// Why another gateway should rather be MASTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DemotionReason {
    /// The operator wants it so.
    Operator,
    /// An address of this vhost is in use by somebody else.
    AddressConflict(VhostId),
    /// The kernel does not take an address of this vhost.
    AddressRefused(VhostId),
}

impl DemotionReason {
    /// A few words for people; the vhost is told apart from them.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::AddressConflict(_) => "address conflict",
            Self::AddressRefused(_) => "address refused",
        }
    }

    /// The vhost it is about, if it is about one.
    #[must_use]
    pub fn vhost(self) -> Option<VhostId> {
        match self {
            Self::Operator => None,
            Self::AddressConflict(vhost) | Self::AddressRefused(vhost) => Some(vhost),
        }
    }
}

impl fmt::Display for DemotionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reasons held and how much each counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    held: BTreeMap<DemotionReason, u16>,
}

impl Ledger {
    /// Holds a reason; a second claim replaces the amount. An amount of 0 releases it.
    pub fn hold(&mut self, reason: DemotionReason, amount: u16) {
        if amount == 0 {
            self.release(reason);
        } else {
            self.held.insert(reason, amount);
        }
    }

    /// Releases a reason; nothing happens if it is not held.
    pub fn release(&mut self, reason: DemotionReason) {
        self.held.remove(&reason);
    }

    /// The reasons held, each with its amount.
    pub fn held(&self) -> impl Iterator<Item = (DemotionReason, u16)> {
        self.held.iter().map(|(reason, amount)| (*reason, *amount))
    }

    /// Their sum; it ends at 65,535.
    #[must_use]
    pub fn total(&self) -> u16 {
        self.held.values().fold(0, |sum, amount| sum.saturating_add(*amount))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reason_counts_once_however_often_it_is_claimed() {
        let mut ledger = Ledger::default();
        ledger.hold(DemotionReason::Operator, 5);
        ledger.hold(DemotionReason::Operator, 7);
        ledger.hold(DemotionReason::AddressConflict(VhostId(1)), 1);
        assert_eq!(ledger.total(), 8);
        ledger.release(DemotionReason::Operator);
        ledger.release(DemotionReason::Operator);
        assert_eq!(ledger.total(), 1);
        ledger.hold(DemotionReason::AddressConflict(VhostId(1)), 0);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_sum_beyond_its_type_ends_there() {
        let mut ledger = Ledger::default();
        for vhost in 0..3 {
            ledger.hold(DemotionReason::AddressRefused(VhostId(vhost)), 40_000);
        }
        assert_eq!(ledger.total(), u16::MAX);
    }

    proptest! {
        #[test]
        fn releasing_everything_leads_back_to_nothing(
            claims in prop::collection::vec((0..4_u16, 0..3_u16), 0..40),
        ) {
            let mut ledger = Ledger::default();
            for (vhost, amount) in &claims {
                ledger.hold(DemotionReason::AddressConflict(VhostId(*vhost)), *amount);
            }
            let sum: u16 = ledger.held().map(|(_, amount)| amount).sum();
            prop_assert_eq!(ledger.total(), sum);
            for vhost in 0..4 {
                ledger.release(DemotionReason::AddressConflict(VhostId(vhost)));
            }
            prop_assert_eq!(ledger.total(), 0);
        }
    }
}
