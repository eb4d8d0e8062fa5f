//! `tls-sni`: which servers may be spoken to by TLS, by the name that the client says first.
//!
//! It stands before another policy, which decides about whatever this one lets go on. Settings:
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `ports` | `[443]` | TCP ports where TLS is expected |
//! | `allow` | none | names that may be spoken to; if there are any, no others |
//! | `deny` | none | names that may not, also of those allowed |
//! | `unnamed` | true unless `allow` is set | whether TLS without a name goes on |
//! | `other` | false | whether what is not TLS goes on |
//! | `quic` | false | whether UDP to these ports goes on; it cannot be looked into |
//! | `pass` | false | lets pass at once what else would go on to the next policy |
//!
//! A name is itself, `*.example.com` all names below. What is refused is reset at both ends. A name
//! within encrypted client hello cannot be seen; the outer one counts.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(not(target_arch = "wasm32"))]
pub mod cases;
mod hello;

use evergate_guest::{
    Counter, HostNames, Inspect, Packet, Policy, Ports, Refused, Setup, Verdict, policy,
};

pub use hello::{Hello, NAME_MAX, Name, read};

/// Numbers of the rules, as logs and counters show them.
pub mod rule {
    /// A name that is not allowed, or denied.
    pub const NAME: u16 = 1;
    /// TLS without a name.
    pub const UNNAMED: u16 = 2;
    /// Not TLS.
    pub const OTHER: u16 = 3;
    /// QUIC.
    pub const QUIC: u16 = 4;
    /// What goes on and passes.
    pub const PASS: u16 = 5;
}

/// The policy.
#[derive(Debug)]
pub struct TlsSni {
    ports: Ports,
    allow: HostNames,
    deny: HostNames,
    unnamed: bool,
    other: bool,
    quic: bool,
    pass: bool,
    refused: Option<Counter>,
}

impl Policy for TlsSni {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let allow = HostNames::from_setting(setup, "allow")?;
        Ok(Self {
            ports: Ports::from_setting_or(setup, "ports", 443)?,
            deny: HostNames::from_setting(setup, "deny")?,
            unnamed: setup.flag("unnamed", allow.is_empty())?,
            other: setup.flag("other", false)?,
            quic: setup.flag("quic", false)?,
            pass: setup.flag("pass", false)?,
            refused: setup.counter("refused"),
            allow,
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        if !self.ports.contains(packet.dport()) {
            return Verdict::go_on();
        }
        if packet.is_tcp() {
            return Verdict::inspect(0);
        }
        if packet.is_udp() && !self.quic {
            return self.refuse(Verdict::refuse(packet), rule::QUIC);
        }
        Verdict::go_on()
    }
}

impl Inspect for TlsSni {
    fn inspect(&mut self, packet: &Packet<'_>, payload: &[u8]) -> Verdict {
        let (allowed, rule) = match read(payload) {
            Hello::Named(name) => (self.is_allowed(name.as_bytes()), rule::NAME),
            Hello::Unnamed => (self.unnamed, rule::UNNAMED),
            Hello::More if !packet.is_payload_end() => return Verdict::inspect(0),
            Hello::Other | Hello::More => (self.other, rule::OTHER),
        };
        match (allowed, self.pass) {
            (false, _) => self.refuse(Verdict::return_rst(), rule),
            (true, false) => Verdict::go_on(),
            (true, true) => Verdict::pass().rule(rule::PASS),
        }
    }
}

impl TlsSni {
    fn is_allowed(&self, name: &[u8]) -> bool {
        (self.allow.is_empty() || self.allow.contains(name)) && !self.deny.contains(name)
    }

    fn refuse(&self, verdict: Verdict, rule: u16) -> Verdict {
        if let Some(refused) = self.refused {
            refused.add(1);
        }
        verdict.log().rule(rule)
    }
}

policy!(TlsSni, inspect = 16_384);

#[cfg(test)]
mod tests;
