//! `my-policy`: lets TCP connections to the ports of a list pass.

#![cfg_attr(target_arch = "wasm32", no_std)]

use evergate_guest::{Counter, Packet, Policy, Ports, Refused, Setup, Verdict, policy};

/// The policy: what it read and resolved when it was made.
#[derive(Debug)]
pub struct MyPolicy {
    ports: Ports,
    others: Option<Counter>,
}

impl Policy for MyPolicy {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        Ok(Self { ports: Ports::from_setting(setup, "ports")?, others: setup.counter("others") })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        if packet.is_tcp() && self.ports.contains(packet.dport()) {
            return Verdict::pass().rule(1);
        }
        if let Some(others) = self.others {
            others.add(1);
        }
        Verdict::go_on()
    }
}

policy!(MyPolicy);

#[cfg(test)]
mod tests {
    use evergate_guest::testing::{Case, Suite, Value, check, forwarded, tcp, udp};

    use super::*;

    #[test]
    fn ports_of_the_list_pass() {
        let case = |claim, packet, verdict| Case {
            claim,
            at_ms: 0,
            request: forwarded(1, 2, packet),
            verdict,
        };
        check::<MyPolicy>(&Suite {
            name: "SSH",
            interfaces: &["self", "lan", "wan"],
            tables: &[],
            config: &[("ports", &[Value::Int(22)])],
            cases: vec![
                case("SSH", tcp("192.0.2.7:4000", "10.0.0.1:22"), Verdict::pass().rule(1)),
                case("mail", tcp("192.0.2.7:4000", "10.0.0.1:25"), Verdict::go_on()),
                case("UDP", udp("192.0.2.7:4000", "10.0.0.1:22"), Verdict::go_on()),
            ],
        });
    }
}
