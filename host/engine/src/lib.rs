//! From a packet to a verdict: fragments, states, policies and replies.
//!
//! The engine does no IO and reads no clock: a [`Worker`] is given a frame and the time, and
//! says what is to be written back. It is the only place where packets, the state table and
//! policies meet. A packet of a known state takes one shard lock, allocates nothing, logs
//! nothing and calls no policy.

mod counters;
mod ended;
mod fib;
mod gateway;
mod inspection;
mod replies;
mod request;
mod timeouts;
mod worker;

pub use counters::{Counters, Tally, Totals};
pub use fib::{Egress, Fib, FibBuilder};
pub use gateway::{DefaultVerdict, Gateway, GatewayConfig, Purge};
pub use worker::{LogEvent, Outcome, Worker};

/// Id of an interface in policy records, states and counters: 0 is the gateway itself, then the
/// attached interfaces in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IfId(pub u16);

impl IfId {
    /// The gateway itself.
    pub const SELF: IfId = IfId(0);
    /// An interface that is not attached, or none.
    pub const UNKNOWN: IfId = IfId(0xffff);
}
