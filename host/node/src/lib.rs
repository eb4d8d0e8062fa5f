//! One gateway's control plane: its vhosts, what demotes it, and what becomes of each role.
//!
//! This crate is pure: it opens no socket, reads no clock and starts no thread. It joins the
//! machines of `evergate-carp` with the [`Ledger`] of what demotes the gateway as a whole, and
//! turns what they want into the few things a shell can do: own addresses or not, send, announce,
//! tell.
//!
//! The shell hands every event with the time to [`Node::handle`] and does what the actions say,
//! in their order: addresses are owned before the adverts that claim them leave. It sleeps no
//! longer than [`Node::next_deadline`].

mod ledger;
mod node;

pub use ledger::{DemotionReason, Ledger};
pub use node::{Action, Actions, Event, Member, Node, NodeError, Note, VhostId};
