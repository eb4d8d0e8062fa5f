//! The lock-sharded state table.
//!
//! A [`Table`] maps the key of a packet to its state. Shards are those of a
//! [`DashMap`](dashmap::DashMap); a seeded hash that outsiders cannot predict
//! picks the shard.
//!
//! What is stored per state is one slot of 16 bytes, the hash of the key and a
//! counted pointer, and behind it the state with its own lock. Therefore
//!
//! - the key is kept once, in the state, and the slack of the hash table (up to
//!   half of its slots are free) is cheap;
//! - a packet takes its shard's lock for reading, so that packets and scans never
//!   wait for each other; only inserting and removing excludes them;
//! - growing a shard moves slots without touching any state;
//! - a second slot, in another shard, may point to the same state.
//!
//! Order of locks: shard, then state; never a shard while a state is locked.
//! Invariants: no two slots hold states of equal keys; at no time do more than
//! the limit's number of states exist, unless the limit was lowered.
//!
//! The table knows nothing of packets, policies, timeouts or clocks.

mod hash;
mod scan;
mod table;
#[cfg(test)]
mod testing;

pub use scan::Cursor;
pub use table::{InsertError, Table, TableConfig};
