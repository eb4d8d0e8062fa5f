//! States for tests.

use std::net::Ipv4Addr;

use evergate_state::{State, StateId, StateKey, StateOptions, key_of};
use evergate_wire::{Af, IpOptions, L4, Parsed, Timestamp, Udp, protocol};

use crate::{Table, TableConfig};

/// A UDP packet of the `number`th of many connections to one server.
pub(crate) fn packet(number: u32) -> Parsed {
    Parsed {
        af: Af::V4,
        proto: protocol::UDP,
        src: Ipv4Addr::from(0x0a00_0000 + number / 50_000).into(),
        dst: Ipv4Addr::new(192, 0, 2, 1).into(),
        ttl: 64,
        tos: 0,
        l4_offset: 20,
        total_len: 128,
        fragment: None,
        options: IpOptions::None,
        l4: L4::Udp(Udp {
            sport: u16::try_from(1024 + number % 50_000).unwrap(),
            dport: 53,
            data_len: 100,
        }),
    }
}

pub(crate) fn key(number: u32) -> StateKey {
    key_of(&packet(number)).unwrap().0
}

/// The state of that connection; `number` is its id, too.
pub(crate) fn state(number: u32) -> State {
    let packet = packet(number);
    let (key, side) = key_of(&packet).unwrap();
    let id = StateId { id: number.into(), creator: 1 };
    State::create(id, Timestamp::ZERO, key, side, &packet, StateOptions::default()).unwrap()
}

pub(crate) fn table(shards: usize, limit: u64) -> Table {
    Table::new(TableConfig { seed: 0x5eed, shards, limit })
}

pub(crate) fn table_of(shards: usize, states: u32) -> Table {
    let table = table(shards, u64::MAX);
    for number in 0..states {
        table.insert(state(number)).unwrap();
    }
    table
}
