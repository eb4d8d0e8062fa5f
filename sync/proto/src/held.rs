//! What a table keeps of one state among gateways, and how news change it.
//!
//! Whoever keeps the table calls these under the state's lock, with the operations
//! that the machine gave, and tells the machine of results that are worth telling.

use evergate_state::{ImportError, Merge, State};
use evergate_wire::Timestamp;

use crate::event::Outcome;
use crate::ownership::Ownership;
use crate::record::{Claim, Delete, Name, Progress, Record};
use crate::tombstone::Life;

/// A state with what belongs to it among gateways.
#[derive(Clone, Debug)]
pub struct Held {
    /// The state.
    pub state: State,
    /// Who owns it.
    pub claim: Claim,
    /// What newer peers have said of it.
    pub extra: Option<Name>,
}

impl Held {
    /// A state that this node has created.
    pub const fn own(state: State, ownership: &Ownership) -> Self {
        Self { state, claim: ownership.own(), extra: None }
    }

    /// A state that a peer tells of and that is not held yet.
    ///
    /// # Errors
    /// If its facts contradict each other; never with those of an
    /// [`Upsert`](crate::Upsert).
    pub fn begin(record: &Record, now: Timestamp) -> Result<Self, ImportError> {
        let state = State::import(&record.state, now)?;
        Ok(Self { state, claim: record.claim, extra: record.extra.clone() })
    }

    /// The record of now.
    pub fn record(&self, now: Timestamp) -> Record {
        Record { state: self.state.export(now), claim: self.claim, extra: self.extra.clone() }
    }

    /// Merges a record with this state's key.
    pub fn merge(&mut self, record: &Record, now: Timestamp) -> Outcome {
        let Ok(merge) = self.state.merge(&record.state, now) else { return Outcome::Refused };
        let extra = if record.extra > self.extra { &record.extra } else { &self.extra };
        let (claim, extra) = (self.claim.max(record.claim), extra.clone());
        let learned = claim != self.claim || extra != self.extra;
        let stale = claim != record.claim || extra != record.extra;
        (self.claim, self.extra) = (claim, extra);
        outcome(Merge { learned: merge.learned || learned, stale: merge.stale || stale })
    }

    /// Merges news of the ends.
    pub fn progress(&mut self, progress: &Progress, now: Timestamp) -> Outcome {
        if !progress.is_of(self.state.id()) {
            return Outcome::OtherName;
        }
        let merge = self.state.merge_ends(&progress.ends, progress.idle, now);
        merge.map_or(Outcome::Refused, outcome)
    }

    /// Whether it is gone by this removal.
    pub fn is_gone_by(&self, delete: &Delete, ownership: &Ownership, now: Timestamp) -> bool {
        delete.covers(Life {
            id: self.state.id(),
            claim: ownership.effective(self.claim),
            age: now.since(self.state.created()),
            idle: now.since(self.state.last_seen()),
        })
    }
}

const fn outcome(merge: Merge) -> Outcome {
    match (merge.learned, merge.stale) {
        (_, false) => Outcome::Taken,
        (false, true) => Outcome::Stale,
        (true, true) => Outcome::Joined,
    }
}
