//! `home`: out freely, in by a list of ports, ICMP sanely.
//!
//! What comes from inside or from the gateway itself passes with a state. From outside only the
//! listed ports, pings at a bounded rate, and what IPv6 and DHCP need of the link pass; the rest
//! is blocked and logged. Settings:
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `outside` | `"wan"` | names of the outside interfaces |
//! | `tcp_in`, `udp_in` | none | ports open from outside: `[22, "6000-6010"]` |
//! | `pings_per_s` | 10 | echo requests per second and source from outside, 0 for none |
//! | `block_bogons` | false | block packets from outside with a private or reserved source |
//!
//! Addresses in the table `blocked`, if the configuration has one, are refused in both directions.

#![cfg_attr(target_arch = "wasm32", no_std)]

mod bogons;
#[cfg(not(target_arch = "wasm32"))]
pub mod cases;

use evergate_guest::{
    Counter, Direction, Interfaces, Keep, Meter, Packet, Policy, Ports, Refused, Setup, Table,
    Verdict, policy,
};

/// Numbers of the rules, as logs and counters show them.
pub mod rule {
    /// The table `blocked`.
    pub const BLOCKED: u16 = 1;
    /// From inside or from the gateway itself.
    pub const OUT: u16 = 2;
    /// What IPv6 needs of the link.
    pub const LINK: u16 = 3;
    /// Answers to the gateway's own DHCP client.
    pub const DHCP: u16 = 4;
    /// From outside with a source that cannot be there.
    pub const BOGON: u16 = 5;
    /// A TCP port of the list.
    pub const TCP_IN: u16 = 6;
    /// A UDP port of the list.
    pub const UDP_IN: u16 = 7;
    /// A ping from outside within the rate.
    pub const PING: u16 = 8;
    /// A ping from outside over the rate.
    pub const PING_FLOOD: u16 = 9;
    /// The ident port, answered so that mail and IRC servers do not wait.
    pub const IDENT: u16 = 10;
    /// Everything else from outside.
    pub const REST: u16 = 11;
}

const IDENT_PORT: u16 = 113;
const PING_RATE_MAX: u32 = 10_000;

/// The policy.
#[derive(Debug)]
pub struct Home {
    outside: Interfaces,
    tcp_in: Ports,
    udp_in: Ports,
    pings_per_s: u32,
    block_bogons: bool,
    blocked: Option<Table>,
    pings: Option<Meter>,
    refused: Option<Counter>,
}

impl Policy for Home {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        Ok(Self {
            outside: Interfaces::from_setting(setup, "outside", "wan")?,
            tcp_in: Ports::from_setting(setup, "tcp_in")?,
            udp_in: Ports::from_setting(setup, "udp_in")?,
            pings_per_s: setup.number("pings_per_s", 10, 0, PING_RATE_MAX)?,
            block_bogons: setup.flag("block_bogons", false)?,
            blocked: setup.table("blocked"),
            pings: setup.meter("pings"),
            refused: setup.counter("refused"),
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        let inside = packet.direction() == Direction::FromGateway
            || !self.outside.contains_or_unknown(packet.in_if());
        if let Some(blocked) = self.blocked
            && (blocked.contains(packet.src_octets()) || blocked.contains(packet.dst_octets()))
        {
            let verdict = if inside { Verdict::refuse(packet) } else { Verdict::block() };
            return verdict.rule(rule::BLOCKED);
        }
        if inside {
            return Verdict::pass().rule(rule::OUT);
        }
        self.decide_outside(packet)
    }
}

impl Home {
    fn decide_outside(&self, packet: &Packet<'_>) -> Verdict {
        if packet.is_link_housekeeping() {
            return Verdict::pass().keep(Keep::None).rule(rule::LINK);
        }
        if is_dhcp_answer(packet) {
            return Verdict::pass().rule(rule::DHCP);
        }
        if self.block_bogons && bogons::contains(packet.src_octets()) {
            return Verdict::block().log().rule(rule::BOGON);
        }
        if packet.is_tcp() && self.tcp_in.contains(packet.dport()) {
            return Verdict::pass().rule(rule::TCP_IN);
        }
        if packet.is_udp() && self.udp_in.contains(packet.dport()) {
            return Verdict::pass().rule(rule::UDP_IN);
        }
        if packet.is_echo_request() {
            return self.ping(packet);
        }
        if packet.is_tcp() && packet.dport() == IDENT_PORT {
            return Verdict::return_rst().rule(rule::IDENT);
        }
        if let Some(refused) = self.refused {
            refused.add(1);
        }
        Verdict::block().log().rule(rule::REST)
    }

    fn ping(&self, packet: &Packet<'_>) -> Verdict {
        let (rate_milli, burst) = (self.pings_per_s * 1000, self.pings_per_s);
        match self.pings {
            Some(meter) if meter.take(packet.src_octets(), rate_milli, burst) => {
                Verdict::pass().rule(rule::PING)
            }
            Some(_) | None => Verdict::block().rule(rule::PING_FLOOD),
        }
    }
}

/// Answers of DHCP servers (RFC 2131) and of DHCPv6 servers on the link (RFC 8415).
fn is_dhcp_answer(packet: &Packet<'_>) -> bool {
    if !packet.is_udp() || packet.direction() != Direction::ToGateway {
        return false;
    }
    match (packet.sport(), packet.dport()) {
        (67, 68) => packet.is_v4(),
        (547, 546) => packet.is_from_link_local(),
        _ => false,
    }
}

policy!(Home);

#[cfg(test)]
mod tests {
    use evergate_guest::testing::{Suite, Value, check, start};

    use super::*;

    #[test]
    fn the_suites_hold() {
        for suite in cases::suites() {
            check::<Home>(&suite);
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_in_words() {
        for (key, values, sentence) in [
            ("outside", &[Value::Text("dmz")][..], "there is no interface `dmz`"),
            ("outside", &[Value::Int(1)], "has to name interfaces"),
            ("tcp_in", &[Value::Int(0)], "a port is 1 to 65535"),
            ("tcp_in", &[Value::Int(70_000)], "a port is 1 to 65535"),
            ("udp_in", &[Value::Text("90-80")], "`90-80` is not a port or a range"),
            ("pings_per_s", &[Value::Int(-1)], "`pings_per_s` is out of range"),
            ("pings_per_s", &[Value::Text("many")], "`pings_per_s` has to be a number"),
            ("block_bogons", &[Value::Int(2)], "`block_bogons` has to be true or false"),
        ] {
            let config = vec![(key, values)].leak();
            let suite = Suite {
                name: "bad setting",
                interfaces: &["self", "wan"],
                tables: &[],
                config,
                cases: vec![],
            };
            let refused = start::<Home>(&suite).err();
            let refused = refused.unwrap_or_else(|| panic!("{key} {values:?} was taken"));
            assert!(refused.text().contains(sentence), "{}", refused.text());
        }
    }
}
