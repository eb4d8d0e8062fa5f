//! What a table keeps of one state among gateways, and how news change it.
//!
//! Whoever keeps the table calls these under the state's lock, with the operations
//! that the machine gave, and tells the machine of results that are worth telling.

use evergate_state::{ImportError, Merge, Side, State, Track};
use evergate_wire::{Parsed, Timestamp};

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
    /// How often a misfit in the handshake has made an end unseen again. That is the
    /// only way back that there is, so it is counted, and the greater count holds.
    pub revision: u16,
    /// What newer peers have said of it.
    pub extra: Option<Name>,
}

impl Held {
    /// A state that this node has created.
    pub const fn own(state: State, ownership: &Ownership) -> Self {
        Self { state, claim: ownership.own(), revision: 0, extra: None }
    }

    /// Judges a packet ([`State::track`]). If `revision` has changed, the state is to
    /// be told whole ([`Pace::Full`](crate::Pace::Full)), though the packet does not
    /// pass.
    pub fn track(&mut self, now: Timestamp, side: Side, packet: &Parsed) -> Track {
        let before = self.state.tcp_peer(side);
        let track = self.state.track(now, side, packet);
        if track != Track::Pass && self.state.tcp_peer(side) != before {
            self.revision = self.revision.saturating_add(1);
        }
        track
    }

    /// A state that a peer tells of and that is not held yet.
    ///
    /// # Errors
    /// If its facts contradict each other; never with those of an
    /// [`Upsert`](crate::Upsert).
    pub fn begin(record: &Record, now: Timestamp) -> Result<Self, ImportError> {
        let state = State::import(&record.state, now)?;
        let Record { claim, revision, .. } = *record;
        Ok(Self { state, claim, revision, extra: record.extra.clone() })
    }

    /// The record of now.
    pub fn record(&self, now: Timestamp) -> Record {
        Record {
            state: self.state.export(now),
            claim: self.claim,
            revision: self.revision,
            extra: self.extra.clone(),
        }
    }

    /// Merges a record with this state's key.
    pub fn merge(&mut self, record: &Record, now: Timestamp) -> Outcome {
        let Ok(merge) = self.merge_state(record, now) else { return Outcome::Refused };
        let extra = if record.extra > self.extra { &record.extra } else { &self.extra };
        let (claim, extra) = (self.claim.max(record.claim), extra.clone());
        let learned = claim != self.claim || extra != self.extra;
        let stale = claim != record.claim || extra != record.extra;
        (self.claim, self.extra) = (claim, extra);
        outcome(Merge { learned: merge.learned || learned, stale: merge.stale || stale })
    }

    fn merge_state(&mut self, record: &Record, now: Timestamp) -> Result<Merge, ImportError> {
        let (own_id, other_id) = (self.state.id(), record.state.id);
        let is_same = own_id == other_id;
        if is_same && record.revision < self.revision {
            return Ok(Merge { learned: false, stale: true });
        }
        if is_same && record.revision > self.revision {
            self.state = State::import(&record.state, now)?;
            self.revision = record.revision;
            return Ok(Merge { learned: true, stale: false });
        }
        let merge = self.state.merge(&record.state, now)?;
        if other_id > own_id {
            self.revision = record.revision;
        }
        Ok(merge)
    }

    /// Merges news of the ends.
    pub fn progress(&mut self, progress: &Progress, now: Timestamp) -> Outcome {
        if !progress.is_of(self.state.id(), self.revision) {
            return Outcome::OtherName;
        }
        let merge = self.state.merge_ends(&progress.ends, progress.idle, now);
        merge.map_or(Outcome::Refused, outcome)
    }

    /// What a removal does: unless it is [`Outcome::Survived`] the state is to be
    /// taken out of the table.
    pub fn remove_by(&self, delete: &Delete, ownership: &Ownership, now: Timestamp) -> Outcome {
        let is_gone = delete.covers(Life {
            id: self.state.id(),
            claim: ownership.effective(self.claim),
            age: now.since(self.state.created()),
            idle: now.since(self.state.last_seen()),
        });
        match (is_gone, self.state.id() == delete.id) {
            (false, _) => Outcome::Survived,
            (true, true) => Outcome::Taken,
            (true, false) => Outcome::RemovedOther,
        }
    }
}

const fn outcome(merge: Merge) -> Outcome {
    match (merge.learned, merge.stale) {
        (_, false) => Outcome::Taken,
        (false, true) => Outcome::Stale,
        (true, true) => Outcome::Joined,
    }
}
