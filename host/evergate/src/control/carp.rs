//! What the gateway tells of its virtual addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// All vhosts of a gateway and what demotes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarpReport {
    /// The gateway's node id, in hex.
    pub node: String,
    /// Grows with each start.
    pub epoch: u64,
    /// What demotes the gateway as a whole, summed up.
    pub demotion: u16,
    /// Every reason held.
    pub reasons: Vec<DemotionRow>,
    /// Whether the thread of the timers has a real-time priority.
    pub realtime: bool,
    /// Packets of protocol 112 that no vhost of their interface took, by `carps_` counter.
    pub strays: BTreeMap<String, u64>,
    /// The vhosts, in the order of the configuration.
    pub vhosts: Vec<CarpRow>,
}

/// A reason for a demotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemotionRow {
    /// The reason.
    pub reason: String,
    /// The vhid it is about, if it is about one.
    pub vhid: Option<u8>,
    /// How much it counts.
    pub amount: u16,
}

/// A vhost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarpRow {
    /// Interface as the configuration names it.
    pub interface: String,
    /// The kernel's device.
    pub device: String,
    /// The virtual host id.
    pub vhid: u8,
    /// The vhosts it moves with.
    pub group: String,
    /// INIT, BACKUP or MASTER.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Milliseconds in that state.
    pub since_ms: u64,
    /// Its addresses with their prefixes.
    pub addresses: Vec<String>,
    /// Seconds between adverts, as on the wire.
    pub advbase: u8,
    /// 256ths on top.
    pub advskew: u8,
    /// Microseconds between adverts.
    pub interval_us: u64,
    /// Microseconds of silence after which this gateway takes over.
    pub down_time_us: u64,
    /// The demotion it advertises.
    pub demotion: u16,
    /// Whether it takes over from a living but worse MASTER.
    pub preempt: bool,
    /// Whether it keeps from that because an operator moved the MASTER away.
    pub held: bool,
    /// Whether it is MASTER and looks for somebody to hand over to.
    pub yielding: bool,
    /// What it does with trailers: off, use or require.
    pub trailer: String,
    /// The last advert of another gateway.
    pub heard: Option<CarpHeardRow>,
    /// Counters, named as BSD names them: `carps_ipackets` and so on.
    pub counters: BTreeMap<String, u64>,
}

/// The last advert of another gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarpHeardRow {
    /// Its source address.
    pub from: IpAddr,
    /// The sender's node id in hex, if it sent a trailer.
    pub node: Option<String>,
    /// The sender's epoch, if it sent a trailer.
    pub epoch: Option<u64>,
    /// Its advbase.
    pub advbase: u8,
    /// Its advskew.
    pub advskew: u8,
    /// Its demotion.
    pub demotion: u16,
    /// Milliseconds ago.
    pub age_ms: u64,
}
