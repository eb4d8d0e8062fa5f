//! Finding, inserting and removing.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::{DashMap, SharedValue};
use evergate_state::{State, StateKey};

use crate::hash::KeyHash;

/// How a table is made.
#[derive(Clone, Copy, Debug)]
pub struct TableConfig {
    /// The seed of the hash; must be drawn at random, and kept to oneself.
    pub seed: u64,
    /// How many shards; rounded up to a power of two between 2 and 65536.
    pub shards: usize,
    /// How many states may exist.
    pub limit: u64,
}

impl TableConfig {
    /// Enough that a shard of a table of a million states is scanned in
    /// microseconds; the shards themselves take half a megabyte.
    pub const DEFAULT_SHARDS: usize = 4096;

    const MAX_SHARDS: usize = 65_536;

    /// A table of [`Self::DEFAULT_SHARDS`] shards.
    pub const fn new(seed: u64, limit: u64) -> Self {
        Self { seed, shards: Self::DEFAULT_SHARDS, limit }
    }
}

/// Why a state was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// Another state has the key; it may have been inserted a moment ago.
    #[error("a state with this key exists already")]
    Exists,
    /// The limit of states is reached. The states that exist live on.
    #[error("the limit of states is reached")]
    Limit,
}

/// A state behind its own lock. Two slots may share one.
pub(crate) type Entry = Arc<Mutex<State>>;

/// Locks one state. A panic of somebody who held it leaves a state that is as
/// good as one between two packets.
pub(crate) fn lock(entry: &Entry) -> MutexGuard<'_, State> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The map's own hasher, which is never asked: slots are found by [`KeyHash`].
type Unused = BuildHasherDefault<DefaultHasher>;

/// The states of a gateway, shared by its threads.
///
/// Closures that get a state run while it is locked, and must not call the table.
pub struct Table {
    /// Slots by the hash of their state's key; equal hashes are told apart by the
    /// keys in the states.
    pub(crate) slots: DashMap<u64, Entry, Unused>,
    hash: KeyHash,
    len: AtomicU64,
    limit: AtomicU64,
}

impl Table {
    /// An empty table.
    pub fn new(config: TableConfig) -> Self {
        let shards = config.shards.clamp(2, TableConfig::MAX_SHARDS).next_power_of_two();
        Self {
            slots: DashMap::with_hasher_and_shard_amount(Unused::default(), shards),
            hash: KeyHash::new(config.seed),
            len: AtomicU64::new(0),
            limit: AtomicU64::new(config.limit),
        }
    }

    /// How many states exist.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many states may exist.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit. States above a lowered one live on, but nothing is
    /// inserted until enough have gone.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.slots.shards().len()
    }

    /// Runs `f` on the state with this key, if there is one. Takes one shard's
    /// lock for reading and the state's; allocates nothing.
    pub fn hit<R>(&self, key: &StateKey, f: impl FnOnce(&mut State) -> R) -> Option<R> {
        let hash = self.hash.of(key);
        let mut f = Some(f);
        let mut result = None;
        // The key can only be compared, and `f` only run, under the state's lock:
        // doing both in the comparison locks the state once.
        self.slots.shards()[self.shard_of(hash)].read().get(hash, |(slot_hash, entry)| {
            if *slot_hash != hash {
                return false;
            }
            let mut state = lock(entry.get());
            if state.key() != key {
                return false;
            }
            result = f.take().map(|f| f(&mut state));
            true
        });
        result
    }

    /// Inserts a state. Of several threads that insert the same key one wins.
    ///
    /// # Errors
    /// [`InsertError::Exists`] if the key is taken, else [`InsertError::Limit`] if
    /// the table is full.
    pub fn insert(&self, state: State) -> Result<(), InsertError> {
        let hash = self.hash.of(state.key());
        let mut shard = self.slots.shards()[self.shard_of(hash)].write();
        if shard.get(hash, |slot| holds(slot, hash, state.key())).is_some() {
            return Err(InsertError::Exists);
        }
        self.reserve()?;
        let entry = SharedValue::new(Arc::new(Mutex::new(state)));
        shard.insert(hash, (hash, entry), |(hash, _)| *hash);
        Ok(())
    }

    /// Removes the state with this key; tells whether there was one.
    pub fn remove(&self, key: &StateKey) -> bool {
        self.remove_if(key, |_| true)
    }

    /// Removes the state with this key if `f` says so; tells whether it did.
    pub fn remove_if(&self, key: &StateKey, f: impl FnOnce(&State) -> bool) -> bool {
        let hash = self.hash.of(key);
        let mut f = Some(f);
        let removed = self.slots.shards()[self.shard_of(hash)].write().remove_entry(
            hash,
            |(slot_hash, entry)| {
                if *slot_hash != hash {
                    return false;
                }
                let state = lock(entry.get());
                state.key() == key && f.take().is_some_and(|f| f(&state))
            },
        );
        if removed.is_some() {
            self.release(1);
        }
        removed.is_some()
    }

    fn shard_of(&self, hash: u64) -> usize {
        self.slots.determine_shard(hash as usize)
    }

    /// Counts a state that is about to be inserted.
    fn reserve(&self) -> Result<(), InsertError> {
        let limit = self.limit();
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
                (len < limit).then(|| len + 1)
            })
            .map(drop)
            .map_err(|_| InsertError::Limit)
    }

    /// Discounts states that were removed.
    pub(crate) fn release(&self, states: u64) {
        self.len.fetch_sub(states, Ordering::Relaxed);
    }
}

fn holds((slot_hash, entry): &(u64, SharedValue<Entry>), hash: u64, key: &StateKey) -> bool {
    *slot_hash == hash && lock(entry.get()).key() == key
}

#[cfg(test)]
mod tests;
