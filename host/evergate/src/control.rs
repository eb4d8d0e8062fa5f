//! The control socket: how the command line talks to the running gateway.
//!
//! One connection carries one request, a line of JSON, and its answer, lines of JSON: any number
//! of items, then `{"done":…}` or `{"error":…}`. Who may connect is decided by the permissions
//! of the socket: its owner.

mod carp;
mod client;
mod protocol;
mod server;

pub use carp::{CarpHeardRow, CarpReport, CarpRow, DemotionRow};
pub use client::{ControlError, ask, ask_all};
pub use protocol::{
    Families, InfoReport, InterfaceRow, PolicyRow, Request, StateFilter, StateRow, TableEntryRow,
    TableRow,
};
pub(crate) use server::{Answers, Handler, serve};
