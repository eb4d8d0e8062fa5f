//! Connections whose policy wants to see payload before its verdict is final.
//!
//! What the end that opened the connection sends is collected in order, each byte once, up to the
//! ABI's bound. A byte that was collected cannot be replaced: who repeats it with another value is
//! told apart, so that what a policy saw is what the other end gets. Bounds: [`INSPECTIONS_MAX`]
//! connections, [`evergate_abi::INSPECT_MAX`] bytes each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evergate_abi::{INSPECT_MAX, Request};
use evergate_state::{Side, StateId, StateKey};
use foldhash::quality::FixedState;

/// Connections that can be under inspection at a time; one more is blocked.
pub(crate) const INSPECTIONS_MAX: usize = 4_096;

/// All connections under inspection; packets of other states never come here.
pub(crate) struct Inspections {
    limit: usize,
    entries: Mutex<HashMap<StateKey, Entry, FixedState>>,
}

#[derive(Clone)]
struct Entry {
    id: StateId,
    inspection: Arc<Mutex<Inspection>>,
}

/// There are [`INSPECTIONS_MAX`] already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Inspections {
    pub(crate) fn new(seed: u64, limit: usize) -> Inspections {
        Inspections {
            limit,
            entries: Mutex::new(HashMap::with_hasher(FixedState::with_seed(seed))),
        }
    }

    /// Begins the inspection of a state; one that has begun already goes on.
    pub(crate) fn begin(
        &self,
        key: StateKey,
        id: StateId,
        inspection: Inspection,
    ) -> Result<(), Full> {
        let mut entries = lock(&self.entries);
        match entries.get(&key) {
            Some(entry) if entry.id == id => return Ok(()),
            None if entries.len() >= self.limit => return Err(Full),
            Some(_) | None => {}
        }
        entries.insert(key, Entry { id, inspection: Arc::new(Mutex::new(inspection)) });
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.entries).len()
    }

    /// The inspection of a state, if it has one.
    pub(crate) fn find(&self, key: &StateKey) -> Option<(StateId, Arc<Mutex<Inspection>>)> {
        let entry = lock(&self.entries).get(key).cloned()?;
        Some((entry.id, entry.inspection))
    }

    /// Forgets the inspection of a state that is decided or gone.
    pub(crate) fn forget(&self, key: &StateKey, id: StateId) {
        let mut entries = lock(&self.entries);
        if entries.get(key).is_some_and(|entry| entry.id == id) {
            entries.remove(key);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection under inspection.
pub(crate) struct Inspection {
    /// The end whose data is collected.
    pub(crate) from: Side,
    /// The request of the first packet, as the chain left it.
    pub(crate) request: Request,
    /// The policy that wants to see payload, by its place in the chain.
    pub(crate) policy: u16,
    /// How many bytes it wants to see at most.
    pub(crate) wanted: u16,
    /// What the verdict that asked for inspection said of rule and label.
    pub(crate) label: u16,
    /// Whether the verdict is final; segments that waited for the lock need none.
    pub(crate) over: bool,
    /// Sequence number of the first byte.
    start: u32,
    collected: Vec<u8>,
}

/// What a segment adds to an inspection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// Nothing that was not known.
    Nothing,
    /// Data or the end of the stream; `end` when no more can be collected.
    Some {
        /// Whether no more can be collected.
        end: bool,
    },
    /// It begins behind what is known.
    Gap,
    /// It repeats a byte with another value.
    Differs,
}

impl Inspection {
    pub(crate) fn new(
        from: Side,
        request: Request,
        (policy, wanted, label): (u16, u16, u16),
        start: u32,
    ) -> Inspection {
        let collected = Vec::new();
        Inspection { from, request, policy, wanted, label, over: false, start, collected }
    }

    /// What was collected.
    pub(crate) fn collected(&self) -> &[u8] {
        &self.collected
    }

    /// Sequence number of the byte after what was collected.
    pub(crate) fn next(&self) -> u32 {
        self.start.wrapping_add(u32::try_from(self.collected.len()).unwrap_or(u32::MAX))
    }

    /// Takes the data of a segment, which begins at `seq`; `fin` when the stream ends with it.
    pub(crate) fn add(&mut self, seq: u32, data: &[u8], fin: bool) -> Added {
        // Distances are signed, modulo 2^32 (RFC 9293 §3.4).
        let distance = seq.wrapping_sub(self.start).cast_signed();
        let before = usize::try_from(distance.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let data = data.get(before..).unwrap_or(&[]);
        let at = usize::try_from(distance.max(0)).unwrap_or(usize::MAX);
        if data.is_empty() && !fin {
            return Added::Nothing;
        }
        let Some(known) = self.collected.get(at..) else { return Added::Gap };
        let overlap = known.len().min(data.len());
        if known[..overlap] != data[..overlap] {
            return Added::Differs;
        }
        let new = &data[overlap..];
        let room = usize::from(INSPECT_MAX) - self.collected.len();
        self.collected.extend_from_slice(&new[..new.len().min(room)]);
        let whole = fin && at + data.len() == self.collected.len();
        if new.is_empty() && !whole {
            return Added::Nothing;
        }
        Added::Some { end: whole || self.collected.len() == usize::from(INSPECT_MAX) }
    }
}

#[cfg(test)]
mod tests;
