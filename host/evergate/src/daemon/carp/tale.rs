//! What the thread of the timers has to tell: logged, and acted upon, by a thread that may wait.

use std::net::IpAddr;

use evergate_carp::Refused;
use evergate_node::{Note, VhostId};

/// Something to be told.
#[derive(Clone, Debug)]
pub(super) enum Tale {
    /// What the machine says of a vhost.
    Note(VhostId, Note),
    /// An advert was refused, and as many more as `before` since the last time this was told.
    Refused { vhost: VhostId, refused: Refused, before: u64 },
    /// An advert could not be sent; told once until one can.
    SendFailed(VhostId, String),
    /// Announcements could not be sent.
    AnnounceFailed(VhostId, String),
    /// An address is there already, and not by us.
    Foreign(VhostId, IpAddr),
    /// The kernel does not take an address.
    AddressRefused(VhostId, String),
    /// An address could not be removed.
    AddressKept(VhostId, String),
    /// Sockets on a device could not be opened.
    NoSockets(String, String),
    /// The thread has no real-time priority.
    NotRealtime(String),
}
