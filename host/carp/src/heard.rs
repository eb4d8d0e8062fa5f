//! An advert that passed all checks, as the election sees it.

use std::time::Duration;

use evergate_wire::{Addr, Af};

use crate::advert::BOW_OUT;
use crate::pace::skew_of;
use crate::{NodeId, Trailer};

/// An authenticated advert. Without a trailer, only that its vhid, addresses and
/// counter once came from a holder of the passphrase is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The family it came by.
    pub family: Af,
    /// The source address of the packet.
    pub from: Addr,
    /// Seconds between adverts.
    pub advbase: u8,
    /// 256ths of a second on top, or of the trailer's interval.
    pub advskew: u8,
    /// The trailer's demotion, or else the advert's.
    pub demotion: u16,
    /// The sender's counter.
    pub counter: [u8; 8],
    /// The trailer, unless the vhid's policy is `off`.
    pub trailer: Option<Trailer>,
}

impl Heard {
    /// Whether the sender takes leave.
    pub fn bows_out(&self) -> bool {
        let classic = (self.advbase, self.advskew) == BOW_OUT;
        classic || self.trailer.is_some_and(|trailer| trailer.bow_out)
    }

    /// The sender's node id, if it told.
    pub fn sender(&self) -> Option<NodeId> {
        self.trailer.map(|trailer| trailer.sender)
    }

    /// What the election compares with [`crate::Pace::weight`].
    pub(crate) fn weight(&self) -> Duration {
        let second = Duration::from_secs(1);
        match self.trailer.and_then(|trailer| trailer.interval) {
            Some(interval) => interval + skew_of(interval, self.advskew),
            None => second * u32::from(self.advbase) + skew_of(second, self.advskew),
        }
    }

    /// Whether `other` was sent by the same gateway, as far as can be told.
    pub(crate) fn same_sender(&self, other: &Self) -> bool {
        match (self.sender(), other.sender()) {
            (Some(sender), Some(other)) => sender == other,
            (Some(_) | None, _) => self.from == other.from,
        }
    }
}
