//! Named counters that policies add to and operators read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The counters of all policies, named `policy/counter`; they outlive a policy's replacement.
#[derive(Debug)]
pub struct Counters {
    limit: usize,
    inner: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Counters {
    /// Creates an empty set that takes at most `limit` counters.
    pub fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// Returns the counter of this name, made at zero if it is new; `None` if there is no room.
    pub(crate) fn resolve(&self, name: String) -> Option<Arc<AtomicU64>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let full = inner.len() >= self.limit;
        match inner.entry(name) {
            std::collections::btree_map::Entry::Occupied(entry) => Some(Arc::clone(entry.get())),
            std::collections::btree_map::Entry::Vacant(_) if full => None,
            std::collections::btree_map::Entry::Vacant(entry) => {
                Some(Arc::clone(entry.insert(Arc::default())))
            }
        }
    }

    /// Returns all counters and their values, sorted by name.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.iter().map(|(name, n)| (name.clone(), n.load(Ordering::Relaxed))).collect()
    }

    /// Returns the value of one counter.
    pub fn value(&self, name: &str) -> Option<u64> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.get(name).map(|n| n.load(Ordering::Relaxed))
    }
}
