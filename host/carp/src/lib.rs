//! CARP version 2: which gateway owns the virtual addresses of a segment.
//!
//! This crate is pure: it opens no socket, reads no clock and starts no thread.
//! What it has:
//!
//! - [`advert`] and [`packet`]: the bytes on the wire, equal to those of OpenBSD,
//!   FreeBSD and ucarp;
//! - [`auth`]: the HMAC-SHA1 that all of them share;
//! - [`trailer`]: what Evergates add behind an advert and others ignore: a second
//!   authentication that covers every field, and a defence against replay;
//! - [`Endpoint`]: one vhid's sealing and opening of adverts; nothing in an advert
//!   is believed before it passed here;
//! - [`Vhost`]: the election, one machine per vhid, and [`Group`]: vhids that move
//!   together;
//! - [`announce`]: the frames by which a new MASTER tells the segment.
//!
//! # Driving a vhost
//!
//! The shell hands every event with the time to [`Vhost::handle`] and does what
//! the actions say, in their order. It sleeps no longer than
//! [`Vhost::next_deadline`], and hands over all adverts that have arrived *before*
//! it hands over [`Event::Timer`]: silence can only be concluded from an empty
//! socket.
//!
//! ```
//! use evergate_carp::{Action, Event, Families, NodeId, Pace, Vhid, Vhost, VhostConfig};
//! use evergate_wire::Timestamp;
//!
//! let pace = Pace::classic(1, 0)?;
//! let config = VhostConfig::new(Vhid::new(1).unwrap(), NodeId(7), Families::V4, pace);
//! let mut vhost = Vhost::new(config, 42)?;
//! let mut actions = Vec::new();
//! vhost.handle(Timestamp::ZERO, Event::Configured, &mut actions);
//! vhost.handle(Timestamp::ZERO, Event::Up, &mut actions);
//! let silence = vhost.next_deadline().unwrap();
//! vhost.handle(silence.at, Event::Timer, &mut actions);
//! assert!(actions.iter().any(|action| matches!(action, Action::BecameMaster { .. })));
//! # Ok::<(), evergate_carp::ConfigError>(())
//! ```
//!
//! # Sharing a vhid with others
//!
//! - **ucarp** knows exactly one IPv4 address per vhid, no IPv6, no unicast, no
//!   demotion, and asks for a passphrase of 1 to 19 bytes. Give such a vhid one
//!   IPv4 address, a trailer policy of `off` or `use`, a classic pace with an
//!   advbase of at least 1, and start the other side with, for instance,
//!   `ucarp -i eth0 -s 10.9.0.2 -v 1 -a 10.9.0.100 -p secret -b 1 -k 100 -P`.
//!   Announce with the real MAC address, as it does.
//! - **OpenBSD** sends its digest without IPv6 link-local addresses and accepts
//!   both forms; **FreeBSD** hashes what is configured ([`auth::LinkLocal`]). Both
//!   must be told the same list of addresses.
//! - A vhid that requires the trailer, and so every vhid with an interval below a
//!   second, is Evergate's alone.

pub mod advert;
pub mod announce;
pub mod auth;
mod counters;
mod endpoint;
mod error;
mod group;
mod heard;
mod machine;
mod pace;
pub mod packet;
mod status;
pub mod trailer;

pub use advert::{Advert, Vhid};
pub use auth::{Passphrase, VirtualAddresses};
pub use counters::Counters;
pub use endpoint::{Endpoint, EndpointConfig, PEERS_MAX, Reach};
pub use error::{ConfigError, Refused};
pub use group::{Group, GroupAction, GroupEvent};
pub use heard::Heard;
pub use machine::{
    ACTIONS_MAX, Action, Actions, Deadline, DeadlineReason, DemoteReason, Event, Families,
    Outgoing, Reason, State, Vhost, VhostConfig,
};
pub use pace::Pace;
pub use packet::{Datagram, Mac};
pub use status::{LastHeard, Status};
pub use trailer::{NodeId, ReplayGuard, Seen, Trailer, TrailerPolicy};
