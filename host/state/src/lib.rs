//! State keys, states and connection tracking with the semantics of OpenBSD pf.
//!
//! A [`State`] is what the gateway remembers of one connection (or of one
//! exchange of datagrams): the policy decides once, and every later packet only
//! has to fit the state. [`key_of`] builds the canonical key of a packet, equal
//! for both directions; [`State::create`] begins a state from the first packet
//! that passed; [`State::track`] judges each further one; [`State::expired`]
//! tells when it is to be purged.
//!
//! This crate is pure: no IO, no clock, no randomness, no allocation. Time is
//! passed in. Every comparison of sequence numbers is modulo 2^32, and a segment
//! may be a super-packet of up to 65535 bytes.
//!
//! It must not know where states are kept, nor how they are replicated.

mod counter;
mod datagram;
mod key;
mod options;
mod state;
mod tcp;
#[cfg(test)]
mod testing;
mod timeout;

pub use datagram::Traffic;
pub use key::{Side, StateKey, key_of, quoted_key};
pub use options::{StateOptions, TimeoutSet, Tracking};
pub use state::{Ends, Exported, ImportError, Merge, State, StateId, Track};
pub use tcp::{TcpPeer, TcpState, WindowScale};
pub use timeout::{Profile, Timeout, Timeouts};
