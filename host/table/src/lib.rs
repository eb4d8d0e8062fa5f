//! The lock-sharded state table.
