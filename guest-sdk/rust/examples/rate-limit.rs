//! `rate-limit`: blocks what one source begins faster than it may.
//!
//! A source is an IPv4 address or an IPv6 /64: one household, whatever address it picks today.
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `per_s` | 10 | new connections per second and source, 1 to 1000000 |
//! | `burst` | as `per_s` | how many may come at once, 1 to 1000000 |
//!
//! | rule | |
//! | --- | --- |
//! | 1 | over the rate |
//!
//! What is blocked counts in `limited`. Packets from the gateway itself are not limited.

#![cfg_attr(target_arch = "wasm32", no_std)]

use evergate_guest::{Counter, Direction, Meter, Packet, Policy, Refused, Setup, Verdict, policy};

const MAX: u32 = 1_000_000;

/// The policy.
#[derive(Debug)]
pub struct RateLimit {
    sources: Meter,
    limited: Option<Counter>,
    per_s: u32,
    burst: u32,
}

impl Policy for RateLimit {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let per_s = setup.number("per_s", 10, 1, MAX)?;
        let sources = setup.meter("sources");
        Ok(Self {
            sources: sources.ok_or_else(|| Refused::new(&["there is no room for a meter"]))?,
            limited: setup.counter("limited"),
            per_s,
            burst: setup.number("burst", per_s, 1, MAX)?,
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        if packet.direction() == Direction::FromGateway {
            return Verdict::go_on();
        }
        let source = packet.src_octets();
        let key = if packet.is_v4() { &source[12..] } else { &source[..8] };
        if self.sources.take(key, self.per_s * 1000, self.burst) {
            return Verdict::go_on();
        }
        if let Some(limited) = self.limited {
            limited.add(1);
        }
        Verdict::block().rule(1)
    }
}

policy!(RateLimit);
