//! `port-list`: lets connections to listed ports pass, and leaves the rest to the next policy.
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `tcp` | none | TCP ports and ranges: `[22, 443, "6000-6010"]` |
//! | `udp` | none | UDP ports and ranges |
//! | `label` | none | label of the states that are made |
//!
//! | rule | |
//! | --- | --- |
//! | 1 | a TCP port of the list |
//! | 2 | a UDP port of the list |

#![cfg_attr(target_arch = "wasm32", no_std)]

use evergate_guest::{Label, Packet, Policy, Ports, Refused, Setup, Verdict, policy};

/// The policy.
#[derive(Debug)]
pub struct PortList {
    tcp: Ports,
    udp: Ports,
    label: Option<Label>,
}

impl Policy for PortList {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let label = setup.text("label", 0)?;
        Ok(Self {
            tcp: Ports::from_setting(setup, "tcp")?,
            udp: Ports::from_setting(setup, "udp")?,
            label: label.and_then(|label| setup.label(label.as_str())),
        })
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        let verdict = if packet.is_tcp() && self.tcp.contains(packet.dport()) {
            Verdict::pass().rule(1)
        } else if packet.is_udp() && self.udp.contains(packet.dport()) {
            Verdict::pass().rule(2)
        } else {
            return Verdict::go_on();
        };
        match self.label {
            Some(label) => verdict.label(label),
            None => verdict,
        }
    }
}

policy!(PortList);
