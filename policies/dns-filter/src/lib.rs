//! `dns-filter`: which names may be asked for, over UDP and TCP.
//!
//! It stands before another policy, which decides about whatever this one lets go on. Settings:
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `ports` | `[53]` | ports where DNS is expected |
//! | `allow` | none | names that may be asked for; if there are any, no others |
//! | `deny` | none | names that may not, also of those allowed |
//! | `pass` | false | lets pass at once what else would go on to the next policy |
//!
//! A name is itself, `*.example.com` all names below. Each query is looked at, also those that
//! follow from the same port; over TCP the first one of a connection. What is refused is answered
//! at once (ICMP "prohibited", a reset), and so is what is not a query of one name.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(not(target_arch = "wasm32"))]
pub mod cases;
mod question;

use evergate_guest::{
    Counter, HostNames, Inspect, Packet, Policy, Ports, Refused, Setup, TimeoutOverrides, Verdict,
    policy,
};

pub use question::{NAME_MAX, Name, read};

/// Numbers of the rules, as logs and counters show them.
pub mod rule {
    /// A name that is not allowed, or denied.
    pub const NAME: u16 = 1;
    /// Not a query of one name.
    pub const OTHER: u16 = 2;
    /// What goes on and passes.
    pub const PASS: u16 = 3;
}

/// Seconds that a question may wait for its answer.
const ANSWER_S: u32 = 15;

/// The policy.
#[derive(Debug)]
pub struct DnsFilter {
    ports: Ports,
    allow: HostNames,
    deny: HostNames,
    pass: bool,
    refused: Option<Counter>,
}

impl Policy for DnsFilter {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        Ok(Self {
            ports: Ports::from_setting_or(setup, "ports", 53)?,
            allow: HostNames::from_setting(setup, "allow")?,
            deny: HostNames::from_setting(setup, "deny")?,
            pass: setup.flag("pass", false)?,
            refused: setup.counter("refused"),
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        let dns = packet.is_udp() || packet.is_tcp();
        if dns && self.ports.contains(packet.dport()) {
            return Verdict::inspect(0);
        }
        Verdict::go_on()
    }
}

impl Inspect for DnsFilter {
    fn inspect(&mut self, packet: &Packet<'_>, payload: &[u8]) -> Verdict {
        let message = if packet.is_tcp() {
            // Behind its length (RFC 1035 §4.2.2).
            match message(payload) {
                None if !packet.is_payload_end() => return Verdict::inspect(0),
                message => message.unwrap_or(&[]),
            }
        } else {
            payload
        };
        let Some(name) = read(message) else {
            return self.refuse(packet, rule::OTHER);
        };
        let name = name.as_bytes();
        let allowed = self.allow.is_empty() || self.allow.contains(name);
        if !allowed || self.deny.contains(name) {
            return self.refuse(packet, rule::NAME);
        }
        if !self.pass {
            return Verdict::go_on().each();
        }
        let timeouts =
            TimeoutOverrides { first_s: ANSWER_S, opening_s: ANSWER_S, ..TimeoutOverrides::NONE };
        Verdict::pass().each().timeouts(timeouts).rule(rule::PASS)
    }
}

/// Returns a message behind its length, once all of it is there.
fn message(payload: &[u8]) -> Option<&[u8]> {
    let (length, rest) = payload.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

impl DnsFilter {
    fn refuse(&self, packet: &Packet<'_>, rule: u16) -> Verdict {
        if let Some(refused) = self.refused {
            refused.add(1);
        }
        Verdict::refuse(packet).log().rule(rule)
    }
}

policy!(DnsFilter, inspect = 4096);

#[cfg(test)]
mod tests;
