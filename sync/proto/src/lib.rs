//! The machine that replicates connection states to peer gateways, with the
//! meaning of OpenBSD's pfsync.
//!
//! A [`Machine`] serves one node and all its peers. It is told what happens
//! ([`Event`]) and says what is to be done ([`Action`]); it never sees the table,
//! the transport or a clock. The bytes and what they mean: `sync/PROTOCOL.md`.
//!
//! ```
//! use evergate_sync_proto::{Actions, Config, Event, LinkState, Machine, NodeId};
//! use evergate_wire::Timestamp;
//!
//! let peer = NodeId(2);
//! let mut machine = Machine::new(Config::new(NodeId(1), 0xcafe, vec![peer], 42));
//! let mut actions = Actions::new();
//! machine.handle(Timestamp::ZERO, Event::LinkUp { peer }, &mut actions);
//! // The first thing to do is to send HELLO.
//! assert_eq!(actions.drain().count(), 2);
//! assert_eq!(machine.peer_status(peer).unwrap().link, LinkState::Greeting);
//! ```
//!
//! What holds, whatever is lost, delayed, or cut:
//!
//! - What waits for a peer is a set of keys: a state is queued at most once, and is
//!   read when it is packed.
//! - News of a state never take it back: merging is a join
//!   ([`State::merge`](evergate_state::State::merge)).
//! - What was removed does not come back ([`Delete`], tombstones).
//! - A node is [`PeerStatus::in_sync`] with a peer only if it has applied all that
//!   the peer has.
//!
//! This crate is pure: no IO, no clock, no threads, no randomness but a seed.

mod bulk;
mod codec;
mod config;
mod counters;
mod defer;
mod digest;
mod event;
mod flight;
mod hash;
mod held;
mod machine;
pub mod message;
mod names;
mod outgoing;
mod ownership;
mod peer;
mod queue;
mod record;
mod request;
mod round;
#[cfg(test)]
mod testing;
mod tombstone;

pub use codec::Malformed;
pub use config::{BATCH_MAX, Config, LANES_MAX, PEERS_MAX, STREAM_PACKET_MAX};
pub use counters::Counters;
pub use event::{
    Action, Actions, Deadline, DeadlineReason, Defer, Event, LinkState, Operation, Outcome, Pace,
    PeerStatus, Refusal, Released, ResetReason,
};
pub use held::Held;
pub use machine::{Lag, Machine};
pub use message::Class;
pub use names::{read_timeouts, timeouts_value};
pub use ownership::{Ownership, Purge};
pub use record::{
    Claim, Clear, Delete, Entry, EntryKey, EntryKind, ID_MAX, Meaning, Name, NameKind, NodeId,
    Progress, Record, Upsert,
};
