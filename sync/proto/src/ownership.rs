//! Who owns which state, and therefore who lets it expire.
//!
//! Every state carries the claim of whoever created it. A takeover raises the
//! *floor*: a claim that overrules all claims of lesser epochs, those that are
//! yet to be heard of included. So a million states change hands by one number.
//! Floors join to the greatest.

use std::time::Duration;

use crate::record::Claim;

/// What is to become of a state whose timeout is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Nothing: its owner sees to it.
    Keep,
    /// This node owns it: it is removed and the peers are told
    /// ([`Event::Delete`](crate::Event::Delete)).
    Expire,
    /// Its owner is gone: it is removed, and nobody is told.
    Forget,
}

/// A snapshot for whoever purges and creates states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub(crate) instance: u32,
    pub(crate) floor: Claim,
    /// Owners that are linked.
    pub(crate) linked: Vec<u32>,
    pub(crate) orphan_grace: Duration,
}

impl Ownership {
    /// The claim of a state that this node creates.
    pub const fn own(&self) -> Claim {
        Claim { epoch: self.floor.epoch, owner: self.instance }
    }

    /// The claim that holds for a state with this one.
    pub const fn effective(&self, claim: Claim) -> Claim {
        if claim.epoch >= self.floor.epoch { claim } else { self.floor }
    }

    /// Whether this node owns a state with this claim.
    pub const fn is_mine(&self, claim: Claim) -> bool {
        self.effective(claim).owner == self.instance
    }

    /// What is to become of a state with this claim whose timeout was over
    /// `overdue` ago.
    pub fn purge(&self, claim: Claim, overdue: Duration) -> Purge {
        let owner = self.effective(claim).owner;
        if owner == self.instance {
            Purge::Expire
        } else if overdue < self.orphan_grace || self.linked.contains(&owner) {
            Purge::Keep
        } else {
            Purge::Forget
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn ownership() -> Ownership {
        let floor = Claim { epoch: 3, owner: 20 };
        Ownership { instance: 10, floor, linked: vec![20], orphan_grace: GRACE }
    }

    #[test]
    fn a_takeover_overrules_lesser_epochs_only() {
        let ownership = ownership();
        let claim = |epoch, owner| Claim { epoch, owner };
        assert_eq!(ownership.effective(claim(2, 10)), claim(3, 20));
        assert_eq!(ownership.effective(claim(3, 10)), claim(3, 10));
        assert_eq!(ownership.effective(claim(4, 30)), claim(4, 30));
        assert_eq!(ownership.own(), claim(3, 10));
        assert!(!ownership.is_mine(claim(2, 10)) && ownership.is_mine(claim(3, 10)));
    }

    #[test]
    fn only_the_owner_expires_and_orphans_are_forgotten_late() {
        let ownership = ownership();
        for (owner, overdue, purge) in [
            (10, Duration::ZERO, Purge::Expire),
            (20, GRACE * 100, Purge::Keep),
            (30, GRACE - Duration::from_nanos(1), Purge::Keep),
            (30, GRACE, Purge::Forget),
        ] {
            assert_eq!(ownership.purge(Claim { epoch: 3, owner }, overdue), purge, "{owner}");
        }
    }
}
