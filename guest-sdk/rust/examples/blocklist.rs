//! `blocklist`: blocks addresses of a table: countries, scanners, advertisers.
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `table` | `"blocklist"` | the address table |
//! | `log` | false | whether to log what is blocked |
//!
//! | rule | |
//! | --- | --- |
//! | 1 | from an address of the table: dropped silently |
//! | 2 | to an address of the table: refused, so that its sender sees an error |
//!
//! Both count in `blocked`.

#![cfg_attr(target_arch = "wasm32", no_std)]

use evergate_guest::{Counter, Packet, Policy, Refused, Setup, Table, Verdict, policy};

/// The policy.
#[derive(Debug)]
pub struct Blocklist {
    table: Table,
    blocked: Option<Counter>,
    log: bool,
}

impl Policy for Blocklist {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let text = setup.text("table", 0)?;
        let name = text.as_ref().map_or("blocklist", |text| text.as_str());
        let table = setup.table(name);
        Ok(Self {
            table: table.ok_or_else(|| {
                Refused::new(&["setting `table`: there is no table `", name, "`"])
            })?,
            blocked: setup.counter("blocked"),
            log: setup.flag("log", false)?,
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        let verdict = if self.table.contains(packet.src_octets()) {
            Verdict::block().rule(1)
        } else if self.table.contains(packet.dst_octets()) {
            Verdict::refuse(packet).rule(2)
        } else {
            return Verdict::go_on();
        };
        if let Some(blocked) = self.blocked {
            blocked.add(1);
        }
        if self.log { verdict.log() } else { verdict }
    }
}

policy!(Blocklist);
