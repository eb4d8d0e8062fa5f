//! `dns-labels`: refuses DNS queries for names with a listed label, whatever is around it.
//!
//! It looks into what goes to port 53, over UDP and TCP; over TCP into the first query.
//!
//! | setting | default | meaning |
//! | --- | --- | --- |
//! | `labels` | none | up to 8 labels: `["ads", "tracker"]` |
//!
//! | rule | |
//! | --- | --- |
//! | 1 | a listed label |
//! | 2 | not a query of one name |
//!
//! Both count in `blocked` and are logged.

#![cfg_attr(target_arch = "wasm32", no_std)]

use evergate_guest::{Counter, Inspect, Packet, Policy, Refused, Setup, Text, Verdict, policy};

const DNS: u16 = 53;
const HEADER: usize = 12;
/// RFC 1035 §2.3.4; the root's byte is not counted.
const NAME_MAX: usize = 254;
const LABEL_MAX: usize = 63;
const LABELS_MAX: usize = 8;
/// The most labels of a name, so that the work is bounded; a name of `ip6.arpa` has 34.
const NAME_LABELS_MAX: usize = 40;

/// The policy.
#[derive(Debug)]
pub struct DnsLabels {
    labels: [Text; LABELS_MAX],
    len: usize,
    blocked: Option<Counter>,
}

impl Policy for DnsLabels {
    fn init(setup: &Setup) -> Result<Self, Refused> {
        let blocked = setup.counter("blocked");
        let mut policy = Self { labels: [Text::new(); LABELS_MAX], len: 0, blocked };
        while let Some(label) = setup.text("labels", policy.len)? {
            let text = label.as_str();
            if text.is_empty() || text.len() > LABEL_MAX {
                return Err(Refused::new(&["setting `labels`: a label has 1 to 63 bytes"]));
            }
            if text.contains('.') {
                return Err(Refused::new(&["setting `labels`: a label has no dot"]));
            }
            let Some(place) = policy.labels.get_mut(policy.len) else {
                return Err(Refused::new(&["setting `labels` has more than 8 entries"]));
            };
            *place = label;
            policy.len += 1;
        }
        if setup.int("labels", policy.len).is_some() {
            return Err(Refused::new(&["setting `labels` has to hold texts"]));
        }
        Ok(policy)
    }

    fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
        let is_dns = (packet.is_udp() || packet.is_tcp()) && packet.dport() == DNS;
        if is_dns { Verdict::inspect(0) } else { Verdict::go_on() }
    }
}

impl Inspect for DnsLabels {
    fn inspect(&mut self, packet: &Packet<'_>, payload: &[u8]) -> Verdict {
        let mut message = payload;
        if packet.is_tcp() {
            // Behind its length (RFC 1035 §4.2.2).
            message = match message_of(payload) {
                None if !packet.is_payload_end() => return Verdict::inspect(0),
                message => message.unwrap_or(&[]),
            };
        }
        let rule = match self.is_listed(message) {
            Some(false) => return Verdict::go_on().each(),
            Some(true) => 1,
            None => 2,
        };
        if let Some(blocked) = self.blocked {
            blocked.add(1);
        }
        Verdict::refuse(packet).log().rule(rule)
    }
}

impl DnsLabels {
    /// Tells whether the name that a query asks for has a listed label; `None` if it is no query
    /// of one name (RFC 1035 §4.1).
    fn is_listed(&self, message: &[u8]) -> Option<bool> {
        let (header, mut rest) = message.split_at_checked(HEADER)?;
        let is_response = header[2] & 0x80 != 0;
        if is_response || header[4..6] != [0, 1] {
            return None;
        }
        let question = rest.len();
        let mut is_listed = false;
        for _ in 0..=NAME_LABELS_MAX {
            let (&length, tail) = rest.split_first()?;
            if length == 0 {
                // Type and class follow.
                return (tail.len() >= 4).then_some(is_listed);
            }
            if usize::from(length) > LABEL_MAX {
                return None;
            }
            let (label, tail) = tail.split_at_checked(usize::from(length))?;
            let is_it = |listed: &Text| listed.as_bytes().eq_ignore_ascii_case(label);
            is_listed = is_listed || self.labels[..self.len].iter().any(is_it);
            rest = tail;
            if question - rest.len() > NAME_MAX {
                return None;
            }
        }
        None
    }
}

/// Returns a message behind its length, once all of it is there.
fn message_of(payload: &[u8]) -> Option<&[u8]> {
    let (length, rest) = payload.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

policy!(DnsLabels, inspect = 1024);
