//! The deadlines of a vhost.

use evergate_wire::{Af, Timestamp};

/// When [`super::Event::Timer`] is due next, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What for.
    pub reason: DeadlineReason,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineReason {
    /// The silence of the MASTER in this family ends the patience.
    MasterDown(Af),
    /// The next adverts.
    Advertise,
    /// The next announcement of the addresses.
    Announce,
    /// Nobody took over.
    GiveUp,
}

/// Set in BACKUP: the first two; in MASTER: the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    pub(super) down_v4: Option<Timestamp>,
    pub(super) down_v6: Option<Timestamp>,
    pub(super) advertise: Option<Timestamp>,
    pub(super) announce: Option<Timestamp>,
    pub(super) give_up: Option<Timestamp>,
}

impl Timers {
    pub(super) fn down(&mut self, family: Af) -> &mut Option<Timestamp> {
        match family {
            Af::V4 => &mut self.down_v4,
            Af::V6 => &mut self.down_v6,
        }
    }

    /// The earlier of the two silences' ends.
    pub(super) fn first_down(&self) -> Option<Timestamp> {
        [self.down_v4, self.down_v6].into_iter().flatten().min()
    }

    pub(super) fn next(&self) -> Option<Deadline> {
        let all = [
            (self.down_v4, DeadlineReason::MasterDown(Af::V4)),
            (self.down_v6, DeadlineReason::MasterDown(Af::V6)),
            (self.advertise, DeadlineReason::Advertise),
            (self.announce, DeadlineReason::Announce),
            (self.give_up, DeadlineReason::GiveUp),
        ];
        let set = all.into_iter().filter_map(|(at, reason)| Some(Deadline { at: at?, reason }));
        set.min_by_key(|deadline| deadline.at)
    }
}

/// Whether a timer is set and due.
pub(super) fn is_due(timer: Option<Timestamp>, now: Timestamp) -> bool {
    timer.is_some_and(|at| at <= now)
}
