//! Who wins: what a MASTER and what a BACKUP makes of an advert.
//!
//! OpenBSD's rules, with the demotion before the pace. Less wins in both.
//!
//! A MASTER yields if the other is demoted less; or equally, and its pace is
//! better. A BACKUP takes over, first match wins, if
//!
//! 1. it preempts, its pace is better and it is demoted no more than the MASTER;
//! 2. the MASTER is demoted more;
//! 3. the MASTER advertises more slowly than the time that is taken for death.
//!
//! Deviations:
//!
//! - DEVIATION(OpenBSD, FreeBSD): of two equal MASTERs theirs both yield to what
//!   they hear, so that adverts which cross leave none for 3 s. Here a tie has one
//!   winner. Between Evergates that send trailers the lower node id wins. Towards
//!   others it is the rule of ucarp, which compares the IPv4 source addresses as
//!   little-endian numbers; a BSD yields to any equal advert, so this suits it too.
//!   Over IPv6, where ucarp is not heard, the lower address wins, unless the vhost
//!   has both families: then IPv4 decides.
//! - DEVIATION(OpenBSD): a bow-out never deposes a MASTER, whatever demotion it
//!   tells; and a BACKUP that has heard another MASTER since does not follow it.
//!   There it may start an election although a successor is already there.

use std::cmp::Ordering;
use std::time::Duration;

use evergate_wire::{Addr, Af};

use super::Reason;
use crate::{Heard, NodeId};

/// This gateway's place in the election.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) node: NodeId,
    pub(super) demotion: u16,
    pub(super) weight: Duration,
    /// What a MASTER's weight must exceed to be too slow.
    pub(super) patience: Option<Duration>,
    pub(super) preempt: bool,
    /// The source of its adverts in the family of the one that was heard.
    pub(super) source: Option<Addr>,
    /// Whether it advertises in both families.
    pub(super) both: bool,
}

/// What a BACKUP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsBackup {
    TakeOver(Reason),
    /// The MASTER is alive.
    Follow,
    /// The advert says nothing about the MASTER.
    Ignore,
}

impl Standing {
    /// Whether a MASTER leaves its place to the sender of `heard`.
    pub(super) fn yields_to(&self, heard: &Heard) -> bool {
        if heard.bows_out() {
            return false;
        }
        let order = self.demotion_order(heard).then_with(|| heard.weight().cmp(&self.weight));
        match order {
            Ordering::Less => true,
            Ordering::Equal => !self.wins_tie(heard),
            Ordering::Greater => false,
        }
    }

    /// What a BACKUP makes of `heard`; `master` is the last MASTER it heard.
    pub(super) fn as_backup(&self, heard: &Heard, master: Option<&Heard>) -> AsBackup {
        if heard.bows_out() {
            let left = master.is_none_or(|master| master.same_sender(heard));
            return if left { AsBackup::TakeOver(Reason::MasterLeft) } else { AsBackup::Ignore };
        }
        let theirs = self.demotion_order(heard);
        if self.preempt && self.weight < heard.weight() && theirs != Ordering::Less {
            return AsBackup::TakeOver(Reason::Preempt);
        }
        if theirs == Ordering::Greater {
            return AsBackup::TakeOver(Reason::MasterDemoted);
        }
        if self.patience.is_some_and(|patience| patience < heard.weight()) {
            return AsBackup::TakeOver(Reason::MasterSlow);
        }
        AsBackup::Follow
    }

    /// Their demotion against ours; what a classic advert tells ends at 255.
    pub(super) fn demotion_order(&self, heard: &Heard) -> Ordering {
        let most = if heard.trailer.is_some() { u16::MAX } else { u8::MAX.into() };
        heard.demotion.cmp(&self.demotion.min(most))
    }

    fn wins_tie(&self, heard: &Heard) -> bool {
        if let Some(sender) = heard.sender() {
            return self.node < sender;
        }
        match (heard.family, self.source) {
            (Af::V6, _) if self.both => true,
            (Af::V4, Some(source)) => as_ucarp(source) <= as_ucarp(heard.from),
            (Af::V6, Some(source)) => source <= heard.from,
            (Af::V4 | Af::V6, None) => false,
        }
    }
}

/// An IPv4 address as ucarp on a little-endian machine compares it.
fn as_ucarp(addr: Addr) -> u32 {
    u32::from_le_bytes(addr.as_v4().unwrap_or_default())
}
