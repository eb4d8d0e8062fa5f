//! Keys and times for tests.

use std::net::Ipv4Addr;

use evergate_state::StateKey;
use evergate_wire::{Af, Timestamp, protocol};

/// One of 65536 keys of UDP.
pub(crate) fn key(number: u16) -> StateKey {
    let addr = [Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(192, 0, 2, 1).into()];
    StateKey { addr, port: [number, 53], proto: protocol::UDP, af: Af::V4 }
}

pub(crate) fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}
