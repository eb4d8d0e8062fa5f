//! Groups of nodes: what holds among them whatever is lost, delayed or cut.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

mod bulk;
mod fake;
mod flaws;
mod hostile;
mod laws;
mod packets;
mod random;
mod simulation;
mod world;
