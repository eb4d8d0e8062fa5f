//! Walking the table without holding up packets.
//!
//! A scan copies the pointers of one shard while it holds that shard's lock for
//! reading, and looks at the states afterwards. Removing takes the lock for
//! writing, for a few states at a time.

use std::sync::Arc;

use dashmap::SharedValue;
use evergate_state::State;

use crate::Table;
use crate::table::{Entry, lock};

/// How many states a sweep removes under one lock.
const REMOVALS_PER_LOCK: usize = 32;

/// Where a walk through the table goes on. It stays valid whatever is inserted
/// and removed meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(usize);

impl Cursor {
    /// The beginning.
    pub const START: Self = Self(0);
}

impl Table {
    /// Shows the states of the next `max_shards` shards (at least one) to `visit`;
    /// returns where to go on, or `None` at the end.
    ///
    /// A walk from [`Cursor::START`] to the end shows every state that exists from
    /// its beginning to its end exactly once, each as it was at one moment. `visit`
    /// is given copies and may call the table.
    pub fn page(
        &self,
        cursor: Cursor,
        max_shards: usize,
        visit: &mut dyn FnMut(&State),
    ) -> Option<Cursor> {
        self.walk(cursor, max_shards, |index| {
            for (_, entry) in self.snapshot(index) {
                let state = lock(&entry).clone();
                visit(&state);
            }
        })
    }

    /// Removes the states of the next `max_shards` shards (at least one) for which
    /// `dead` holds, and shows each to `removed` once it is gone from the table;
    /// returns where to go on, or `None` at the end.
    ///
    /// `dead` is asked again under the shard's lock, lest a packet of this moment
    /// be lost; it must be short, and must not call the table.
    pub fn sweep(
        &self,
        cursor: Cursor,
        max_shards: usize,
        dead: &dyn Fn(&State) -> bool,
        removed: &mut dyn FnMut(&State),
    ) -> Option<Cursor> {
        self.walk(cursor, max_shards, |index| {
            let mut doomed = self.snapshot(index);
            doomed.retain(|(_, entry)| dead(&lock(entry)));
            for batch in doomed.chunks(REMOVALS_PER_LOCK) {
                for entry in self.remove_batch(index, batch, dead) {
                    let state = lock(entry).clone();
                    removed(&state);
                }
            }
        })
    }

    fn walk(
        &self,
        Cursor(start): Cursor,
        max_shards: usize,
        mut each: impl FnMut(usize),
    ) -> Option<Cursor> {
        let end = start.saturating_add(max_shards.max(1)).min(self.shards());
        (start..end).for_each(&mut each);
        (end < self.shards()).then_some(Cursor(end))
    }

    /// The slots of one shard.
    fn snapshot(&self, index: usize) -> Vec<(u64, Entry)> {
        let copy = (*self.slots.shards()[index].read()).clone();
        copy.into_iter().map(|(hash, entry)| (hash, entry.into_inner())).collect()
    }

    /// Removes those of a batch that are still in the shard and still dead.
    fn remove_batch<'a>(
        &self,
        index: usize,
        batch: &'a [(u64, Entry)],
        dead: &dyn Fn(&State) -> bool,
    ) -> Vec<&'a Entry> {
        let mut gone = Vec::with_capacity(batch.len());
        let mut shard = self.slots.shards()[index].write();
        for (hash, entry) in batch {
            let is_dead = dead(&lock(entry));
            let is_same = |(_, other): &(u64, SharedValue<Entry>)| Arc::ptr_eq(other.get(), entry);
            if is_dead && shard.remove_entry(*hash, is_same).is_some() {
                gone.push(entry);
            }
        }
        drop(shard);
        self.release(gone.len() as u64);
        gone
    }
}

#[cfg(test)]
mod tests;
