//! The election: one machine for each vhid.
//!
//! ```text
//!                      +--------+
//!        Stop, Down    |  INIT  |    Stop (bows out), Down
//!     +--------------->|        |<---------------------+
//!     |                +--------+                      |
//!     |                    | configured and link up    |
//!     |                    v                           |
//!     |                +--------+  silence, or the     |
//!     +----------------| BACKUP |  MASTER is worse     |
//!                      |        |------------------+   |
//!                      +--------+                  v   |
//!                          ^                    +--------+
//!                          |  a better MASTER,  | MASTER |
//!                          +--------------------|        |
//!                             or handed over    +--------+
//! ```
//!
//! The rules are OpenBSD's; where others differ and where this one does is told in
//! `election`. Three things hold beyond them:
//!
//! - **No timer fires early**, and the end of a silence that is noticed late (by
//!   more than half an interval) proves nothing, because adverts may be on their
//!   way through the same stall. The machine then waits one interval more, once.
//!   Whoever drives it hands over all received adverts before the timer.
//! - **A planned failover breaks nothing before it is made**: the MASTER takes
//!   leave but stays until it hears its successor, and carries on if there is none.
//! - **A MASTER that hears a worse one answers at once** with an advert and
//!   announces its addresses again, so that there are never two for longer than
//!   needed; at most once in an interval.

mod election;
mod timers;
mod vhost;

#[cfg(test)]
mod tests;

use evergate_wire::{Addr, Af};

pub use timers::{Deadline, DeadlineReason};
pub use vhost::Vhost;

use crate::{ConfigError, Heard, NodeId, Pace, Trailer, TrailerPolicy, Vhid};

/// The state of a vhost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Stopped, or its link is down.
    Init,
    /// Listening.
    Backup,
    /// The owner of the addresses.
    Master,
}

impl State {
    /// The name as `ifconfig` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        }
    }
}

/// The families in which a vhost advertises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both, each with adverts and a down timer of its own.
    Both,
}

impl Families {
    /// The families.
    pub fn as_slice(self) -> &'static [Af] {
        match self {
            Self::V4 => &[Af::V4],
            Self::V6 => &[Af::V6],
            Self::Both => &[Af::V4, Af::V6],
        }
    }

    /// Whether `family` is one of them.
    pub fn contains(self, family: Af) -> bool {
        self.as_slice().contains(&family)
    }
}

/// What a [`Vhost`] is told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VhostConfig {
    /// The virtual host.
    pub vhid: Vhid,
    /// This gateway.
    pub node: NodeId,
    /// Greater than at all earlier starts of this gateway.
    pub epoch: u64,
    /// The families in which it advertises.
    pub families: Families,
    /// How often, and so its rank.
    pub pace: Pace,
    /// Whether it takes over from a living but worse MASTER.
    pub preempt: bool,
    /// What is done with trailers; the same as its endpoint's.
    pub trailer: TrailerPolicy,
}

impl VhostConfig {
    /// A vhost of epoch 0 that does not preempt and uses trailers.
    pub fn new(vhid: Vhid, node: NodeId, families: Families, pace: Pace) -> Self {
        let trailer = TrailerPolicy::Use;
        Self { vhid, node, epoch: 0, families, pace, preempt: false, trailer }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fast = self.pace.own_interval().is_some();
        if fast && self.trailer != TrailerPolicy::Require {
            return Err(ConfigError::FastNeedsTrailer);
        }
        Ok(())
    }
}

/// What happens to a vhost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It shall take part in elections, as soon as its link is up.
    Configured,
    /// It shall not any more. A MASTER bows out.
    Stop,
    /// The link of its interface is up.
    Up,
    /// The link is down, or the interface is gone.
    Down,
    /// An advert arrived that its endpoint opened.
    Advert(Heard),
    /// A deadline may be due. All adverts received before were handed over.
    Timer,
    /// The sum of all demotions is now this.
    Demote(u16),
    /// The operator wants another gateway to be MASTER. A MASTER hands over; until
    /// [`Event::Reclaim`], or until it must take over, the vhost does not preempt.
    Failover,
    /// The vhost may preempt again after a failover.
    Reclaim,
    /// Whether it takes over from a living but worse MASTER.
    SetPreempt(bool),
    /// Another pace, in effect at once.
    SetPace(Pace),
    /// The source address of its adverts in the address's family, which breaks
    /// ties with peers that send no trailer.
    SetSource(Addr),
    /// An advert could not be sent.
    SendFailed,
    /// An advert was sent.
    SendOk,
}

/// What a vhost wants done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Seal and send this advert, then tell [`Event::SendOk`] or
    /// [`Event::SendFailed`].
    SendAdvert(Outgoing),
    /// Own the addresses and forward from now on. Adverts follow.
    BecameMaster {
        /// Why.
        reason: Reason,
    },
    /// Own the addresses no longer.
    BecameBackup {
        /// Why.
        reason: Reason,
    },
    /// Own the addresses no longer, and take no part.
    BecameInit {
        /// Why.
        reason: Reason,
    },
    /// Send [gratuitous ARP and neighbour advertisements](crate::announce) now.
    Announce,
    /// Count one demotion more (or, not `held`, one less) for this reason.
    Demote {
        /// What is wrong, or right again.
        reason: DemoteReason,
        /// Whether the reason holds from now on.
        held: bool,
    },
    /// A failover came to nothing: nobody took over in time, or only a gateway
    /// that is demoted more. This one remains MASTER.
    FailoverAbandoned,
    /// A setting was refused and nothing changed.
    Rejected(ConfigError),
}

/// Actions of one or more events, appended.
pub type Actions = Vec<Action>;

/// The most actions that one event adds.
pub const ACTIONS_MAX: usize = 6;

/// An advert to be sealed by the vhid's [`crate::Endpoint`] and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The virtual host.
    pub vhid: Vhid,
    /// The family to send it in.
    pub family: Af,
    /// The pace it tells, unless it is a bow-out.
    pub pace: Pace,
    /// The demotion it tells.
    pub demotion: u16,
    /// CARP's counter. As with OpenBSD it is random and constant: adverts that
    /// carry it are own ones that came back.
    pub counter: [u8; 8],
    /// The trailer's sequence, which strictly increases.
    pub sequence: u64,
    /// Whether it takes leave.
    pub bow_out: bool,
}

impl Outgoing {
    /// The trailer behind this advert.
    pub fn trailer(&self, sender: NodeId, epoch: u64) -> Trailer {
        Trailer {
            sender,
            epoch,
            sequence: self.sequence,
            interval: self.pace.own_interval(),
            demotion: self.demotion,
            family: self.family,
            bow_out: self.bow_out,
        }
    }
}

/// Why a vhost is in the state it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It was just made.
    Created,
    /// It was stopped.
    Stopped,
    /// Its link went down.
    LinkDown,
    /// It is configured and its link is up.
    Started,
    /// No advert for the down time.
    MasterDown,
    /// The MASTER took leave.
    MasterLeft,
    /// The MASTER was worse, and it preempts.
    Preempt,
    /// The MASTER was demoted more.
    MasterDemoted,
    /// The MASTER advertised more slowly than this one takes for death.
    MasterSlow,
    /// A better MASTER was heard.
    Outranked,
    /// It handed over as the operator wished.
    HandedOver,
}

impl Reason {
    /// A few words for the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Stopped => "stopped",
            Self::LinkDown => "link down",
            Self::Started => "started",
            Self::MasterDown => "master down",
            Self::MasterLeft => "master left",
            Self::Preempt => "preempted",
            Self::MasterDemoted => "master demoted",
            Self::MasterSlow => "master slow",
            Self::Outranked => "outranked",
            Self::HandedOver => "handed over",
        }
    }
}

/// What a vhost wants its gateway demoted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DemoteReason {
    /// The link of its interface is down.
    LinkDown,
    /// Three adverts in a row could not be sent; over after three that could.
    SendErrors,
}
