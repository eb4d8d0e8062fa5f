//! Bulk updates: how a node comes to hold all that a peer holds, and knows it.
//!
//! The receiver, for one peer:
//!
//! ```text
//!                 link up                      END            all lanes reached
//!   NONE ------------------------> ASKED -------------> ENDED ----------------+
//!    ^    full: from the start      ^                     |  too few arrived  |
//!    |    resume: where it stopped  +---------------------+                   |
//!    |    delta: what was missed    |                                         v
//!    |                              | retry  applied, but                BARRIER
//!    |     changes were lost        +------------------ SHORT <-------------+ |
//!    +--- (LOST, a new run) ---- any state               ^   table full       |
//!                                                        |                    v
//!                                                        +--------------- COMPLETE
//! ```
//!
//! Only COMPLETE counts as being in sync, and only what was applied leads to it;
//! no timer does. END belongs to one request of one peer.

use std::time::Duration;

use evergate_wire::Timestamp;

use crate::message::BulkMode;

/// How long to wait before everything is asked for again.
pub(crate) const RETRY: Duration = Duration::from_secs(5);

/// What this node sends to one peer on its request.
#[derive(Debug)]
pub(crate) struct BulkOut {
    pub(crate) request: u32,
    /// Where the walk through the table goes on; `None` once it is over.
    pub(crate) cursor: Option<u64>,
    /// Records that were sent and not lost.
    pub(crate) count: u64,
    /// The beginning was told.
    pub(crate) started: bool,
    /// The end was told.
    pub(crate) ended: bool,
}

impl BulkOut {
    pub(crate) const fn new(request: u32, cursor: Option<u64>) -> Self {
        Self { request, cursor, count: 0, started: false, ended: false }
    }
}

/// How far a bulk update has come at its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    None,
    Asked(BulkMode),
    Ended {
        mode: BulkMode,
        count: u64,
        marks: Vec<u64>,
    },
    Barrier {
        ticket: u32,
    },
    Complete,
    /// All arrived, but not all could be applied.
    Short {
        since: Timestamp,
    },
}

/// What this node has of one peer's states.
#[derive(Debug)]
pub(crate) struct Coverage {
    pub(crate) stage: Stage,
    pub(crate) request: u32,
    /// How many states the peer has, about.
    of: u64,
    /// How many of them have arrived.
    got: u64,
    /// How many could not be applied.
    failed: u64,
}

impl Coverage {
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::None, request: 0, of: 0, got: 0, failed: 0 }
    }

    /// What to ask for when the link is up. `kept`: the peer has kept what this
    /// node has missed.
    pub(crate) fn ask(&mut self, kept: bool) -> (u32, BulkMode) {
        let mode = match (&self.stage, kept) {
            (Stage::Complete | Stage::Asked(BulkMode::Delta), true)
            | (Stage::Ended { mode: BulkMode::Delta, .. }, true) => BulkMode::Delta,
            (Stage::Asked(_) | Stage::Ended { .. } | Stage::Barrier { .. }, true) => {
                BulkMode::Resume
            }
            (Stage::None | Stage::Short { .. }, _) | (_, false) => BulkMode::Full,
        };
        match mode {
            BulkMode::Full => {
                self.request = self.request.wrapping_add(1);
                (self.of, self.got, self.failed) = (0, 0, 0);
            }
            BulkMode::Delta => self.request = self.request.wrapping_add(1),
            BulkMode::Resume => {}
        }
        self.stage = Stage::Asked(mode);
        (self.request, mode)
    }

    pub(crate) fn lose(&mut self) {
        self.stage = Stage::None;
    }

    /// Less has arrived than was sent: asking again at once might go on for ever.
    pub(crate) fn fall_short(&mut self, now: Timestamp) {
        self.stage = Stage::Short { since: now };
    }

    pub(crate) const fn start(&mut self, request: u32, total: u64) {
        if request == self.request {
            self.of = total;
        }
    }

    pub(crate) const fn received(&mut self) {
        self.got += 1;
    }

    pub(crate) fn end(&mut self, request: u32, count: u64, marks: Vec<u64>) {
        if let Stage::Asked(mode) = self.stage
            && request == self.request
        {
            self.stage = Stage::Ended { mode, count, marks };
        }
    }

    /// Looks whether all has arrived that was sent: then it is to be applied
    /// before `ticket`. `false` if it never will.
    pub(crate) fn arrive(&mut self, arrived: impl Fn(usize) -> u64, ticket: u32) -> Arrived {
        let Stage::Ended { count, marks, .. } = &self.stage else { return Arrived::NotYet };
        if marks.iter().enumerate().any(|(lane, mark)| arrived(lane) < *mark) {
            return Arrived::NotYet;
        }
        if self.got < *count {
            return Arrived::TooFew;
        }
        self.stage = Stage::Barrier { ticket };
        Arrived::All
    }

    pub(crate) fn passed(&mut self, ticket: u32, now: Timestamp) {
        if self.stage == (Stage::Barrier { ticket }) {
            self.stage =
                if self.failed == 0 { Stage::Complete } else { Stage::Short { since: now } };
        }
    }

    /// A state of the peer could not be applied.
    pub(crate) fn failed(&mut self, now: Timestamp) {
        self.failed += 1;
        if self.stage == Stage::Complete {
            self.stage = Stage::Short { since: now };
        }
    }

    /// When to ask again.
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Short { since } => Some(since.saturating_add(RETRY)),
            Stage::None
            | Stage::Asked(_)
            | Stage::Ended { .. }
            | Stage::Barrier { .. }
            | Stage::Complete => None,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    /// In thousandths; 1000 only if nothing is missing.
    pub(crate) fn permille(&self) -> u16 {
        if self.is_complete() {
            return 1000;
        }
        let got = self.got.saturating_sub(self.failed);
        let permille = got.saturating_mul(1000).checked_div(self.of).unwrap_or(0);
        u16::try_from(permille).map_or(999, |permille| permille.min(999))
    }
}

/// Whether a bulk update has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    NotYet,
    TooFew,
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::seconds;

    fn asked(mode: BulkMode) -> Stage {
        Stage::Asked(mode)
    }

    #[test]
    fn what_is_asked_for_by_stage() {
        use BulkMode::{Delta, Full, Resume};
        let ended = |mode| Stage::Ended { mode, count: 0, marks: vec![] };
        for (stage, with_kept) in [
            (Stage::None, Full),
            (asked(Full), Resume),
            (asked(Resume), Resume),
            (asked(Delta), Delta),
            (ended(Full), Resume),
            (ended(Delta), Delta),
            (Stage::Barrier { ticket: 1 }, Resume),
            (Stage::Complete, Delta),
            (Stage::Short { since: seconds(1) }, Full),
        ] {
            for (kept, expected) in [(true, with_kept), (false, Full)] {
                let mut coverage = Coverage { stage: stage.clone(), ..Coverage::new() };
                let (request, mode) = coverage.ask(kept);
                assert_eq!(mode, expected, "{stage:?} {kept}");
                assert_eq!(request, u32::from(mode != Resume));
                assert_eq!(coverage.stage, asked(mode));
            }
        }
    }

    #[test]
    fn it_is_complete_only_when_all_has_arrived_and_was_applied() {
        let mut coverage = Coverage::new();
        let (request, _) = coverage.ask(false);
        coverage.start(request, 4);
        coverage.received();
        assert_eq!(coverage.permille(), 250);
        coverage.end(request.wrapping_add(1), 0, vec![]);
        assert_eq!(coverage.stage, asked(BulkMode::Full), "another request's end");
        coverage.end(request, 2, vec![3, 0]);
        assert_eq!(coverage.arrive(|_| 2, 9), Arrived::NotYet);
        assert_eq!(coverage.arrive(|_| 3, 9), Arrived::TooFew);
        (0..3).for_each(|_| coverage.received());
        assert_eq!(coverage.arrive(|_| 3, 9), Arrived::All);
        assert_eq!((coverage.permille(), coverage.is_complete()), (999, false));
        coverage.passed(8, seconds(1));
        assert!(!coverage.is_complete());
        coverage.passed(9, seconds(1));
        assert_eq!((coverage.permille(), coverage.is_complete()), (1000, true));
    }

    #[test]
    fn what_could_not_be_applied_is_missing() {
        let mut coverage = Coverage::new();
        let (request, _) = coverage.ask(false);
        coverage.received();
        coverage.end(request, 1, vec![]);
        assert_eq!(coverage.arrive(|_| 0, 1), Arrived::All);
        coverage.failed(seconds(1));
        coverage.passed(1, seconds(2));
        assert!(!coverage.is_complete());
        assert_eq!(coverage.retry_at(), Some(seconds(7)));
        coverage.stage = Stage::Complete;
        coverage.failed(seconds(3));
        assert!(!coverage.is_complete());
    }
}
