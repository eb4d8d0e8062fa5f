//! `strict-web`: from inside only the web, names and time; from outside nothing.
//!
//! What is refused from inside is answered at once, a reset for TCP and an ICMP error for the
//! rest, so that people see an error and not a timeout. Settings:
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `outside` | `"wan"` | names of the outside interfaces |
//! | `resolvers` | none | addresses that may be asked for names |
//! | `gateway_tcp` | `[22]`, also for `[]` | TCP ports of the gateway itself that inside may use |
//!
//! The table `resolvers`, if the configuration has one, names more resolvers.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(not(target_arch = "wasm32"))]
pub mod cases;

use evergate_guest::{
    Addresses, Counter, Direction, Interfaces, Keep, LogLevel, Packet, Policy, Ports, Refused,
    Setup, Table, Verdict, log, policy,
};

/// Numbers of the rules, as logs and counters show them.
pub mod rule {
    /// What IPv6 needs of the link.
    pub const LINK: u16 = 1;
    /// From the gateway itself.
    pub const GATEWAY: u16 = 2;
    /// Anything from outside.
    pub const OUTSIDE: u16 = 3;
    /// HTTP and HTTPS.
    pub const WEB: u16 = 4;
    /// HTTP/3.
    pub const QUIC: u16 = 5;
    /// DNS to a resolver.
    pub const DNS: u16 = 6;
    /// NTP.
    pub const NTP: u16 = 7;
    /// Ports of the gateway itself.
    pub const ADMIN: u16 = 8;
    /// DHCP from inside to the gateway.
    pub const DHCP: u16 = 9;
    /// Everything else from inside.
    pub const REST: u16 = 10;
}

/// The policy.
#[derive(Debug)]
pub struct StrictWeb {
    outside: Interfaces,
    gateway_tcp: Ports,
    resolvers: Addresses,
    resolver_table: Option<Table>,
    refused: Option<Counter>,
}

impl Policy for StrictWeb {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let gateway_tcp = Ports::from_setting_or(setup, "gateway_tcp", 22)?;
        let resolvers = Addresses::from_setting(setup, "resolvers")?;
        let resolver_table = setup.table("resolvers");
        if resolvers.is_empty() && resolver_table.is_none() {
            log(LogLevel::Warn, "no resolvers are set: inside cannot ask for names");
        }
        Ok(Self {
            outside: Interfaces::from_setting(setup, "outside", "wan")?,
            gateway_tcp,
            resolvers,
            resolver_table,
            refused: setup.counter("refused"),
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        if packet.is_link_housekeeping() {
            return Verdict::pass().keep(Keep::None).rule(rule::LINK);
        }
        if packet.direction() == Direction::FromGateway {
            return Verdict::pass().rule(rule::GATEWAY);
        }
        if self.outside.contains_or_unknown(packet.in_if()) {
            return Verdict::block().log().rule(rule::OUTSIDE);
        }
        if let Some(rule) = self.allowed(packet) {
            return Verdict::pass().rule(rule);
        }
        if let Some(refused) = self.refused {
            refused.add(1);
        }
        Verdict::refuse(packet).log().rule(rule::REST)
    }
}

impl StrictWeb {
    /// Returns the rule that lets a packet from inside pass.
    fn allowed(&self, packet: &Packet<'_>) -> Option<u16> {
        let forwarded = packet.direction() == Direction::Forwarded;
        match (packet.is_tcp(), packet.is_udp(), packet.dport()) {
            (true, _, 80 | 443) if forwarded => Some(rule::WEB),
            (_, true, 443) if forwarded => Some(rule::QUIC),
            (true, _, 53) | (_, true, 53) if self.is_resolver(packet.dst_octets()) => {
                Some(rule::DNS)
            }
            (_, true, 123) => Some(rule::NTP),
            (true, _, port) if !forwarded && self.gateway_tcp.contains(port) => Some(rule::ADMIN),
            (_, true, 67) if !forwarded && packet.is_v4() => Some(rule::DHCP),
            (_, true, 547) if !forwarded && packet.is_from_link_local() => Some(rule::DHCP),
            _ => None,
        }
    }

    fn is_resolver(&self, octets: &[u8; 16]) -> bool {
        self.resolvers.contains(octets)
            || self.resolver_table.is_some_and(|table| table.contains(octets))
    }
}

policy!(StrictWeb);

#[cfg(test)]
mod tests {
    use evergate_guest::testing::{Suite, Value, check, logged, start};

    use super::*;

    #[test]
    fn the_suites_hold() {
        for suite in cases::suites() {
            check::<StrictWeb>(&suite);
        }
    }

    #[test]
    fn a_resolver_that_is_no_address_is_refused_in_words() {
        let suite = Suite {
            name: "bad setting",
            interfaces: &["self", "wan"],
            tables: &[],
            config: &[("resolvers", &[Value::Text("dns.example")])],
            cases: vec![],
        };
        let refused = start::<StrictWeb>(&suite).unwrap_err();
        assert_eq!(refused.text(), "setting `resolvers`: `dns.example` is not an address");
    }

    #[test]
    fn a_policy_without_resolvers_warns() {
        let suite = Suite {
            name: "none",
            interfaces: &["self", "wan"],
            tables: &[],
            config: &[],
            cases: vec![],
        };
        start::<StrictWeb>(&suite).unwrap();
        assert_eq!(logged(), ["warn: no resolvers are set: inside cannot ask for names"]);
    }
}
