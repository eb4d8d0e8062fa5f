//! What `show carp` tells of a vhost.

use std::time::Duration;

use evergate_wire::{Addr, Af, Timestamp};

use crate::{NodeId, Reason, State, Vhid};

/// A vhost as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The virtual host.
    pub vhid: Vhid,
    /// Its state.
    pub state: State,
    /// When it got there.
    pub since: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Seconds between adverts, as on the wire.
    pub advbase: u8,
    /// 256ths on top.
    pub advskew: u8,
    /// The time between two adverts.
    pub interval: Duration,
    /// The silence after which this gateway takes over.
    pub down_time: Duration,
    /// The demotion last told.
    pub demotion: u16,
    /// Whether this gateway takes over from a living but worse MASTER.
    pub preempt: bool,
    /// Whether it keeps from that because an operator moved the vhost away.
    pub held: bool,
    /// Whether it is MASTER and looks for somebody to hand over to.
    pub yielding: bool,
    /// The last advert of another gateway.
    pub last_heard: Option<LastHeard>,
    /// This gateway's epoch.
    pub epoch: u64,
    /// The sequence of the last advert sent.
    pub sequence: u64,
}

/// The last advert of another gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHeard {
    /// When.
    pub at: Timestamp,
    /// By which family.
    pub family: Af,
    /// From which address.
    pub from: Addr,
    /// Its advbase.
    pub advbase: u8,
    /// Its advskew.
    pub advskew: u8,
    /// Its demotion.
    pub demotion: u16,
    /// Its node id and epoch, if it sent a trailer.
    pub node: Option<(NodeId, u64)>,
}
