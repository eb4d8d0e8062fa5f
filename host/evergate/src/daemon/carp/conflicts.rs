//! Whether somebody answers for a virtual address who should not.
//!
//! Every so often the segment is asked who has the IPv4 addresses. A MASTER expects silence, a
//! BACKUP one answer, the MASTER's. A vhost that has just changed its role is not judged: its
//! neighbours need a moment, too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use evergate_carp::{Mac, State};
use evergate_io::packet_socket::PacketSocket;

use super::arp;
use super::links::Device;
use crate::config::CarpConfig;

/// From one question to the next.
const ROUND_NS: u64 = 5_000_000_000;
/// Answers are collected for so long.
const ANSWERS_NS: u64 = 500_000_000;
/// A role is trusted after this time.
const SETTLED_NS: u64 = 1_500_000_000;
/// Frames of ARP read in one go.
const FRAMES_MAX: usize = 256;
/// Hosts remembered an address; more are as bad.
const CLAIMS_MAX: usize = 4;

/// The questions and what came of them.
#[derive(Default)]
pub(super) struct Conflicts {
    sockets: BTreeMap<String, (u32, PacketSocket)>,
    claims: BTreeMap<(String, Ipv4Addr), BTreeSet<Mac>>,
    next_ns: u64,
    judged_at: Option<u64>,
}

/// A vhost as it is judged.
pub(super) struct Judged<'a> {
    pub(super) config: &'a CarpConfig,
    pub(super) state: State,
    /// When it got there.
    pub(super) since_ns: u64,
}

impl Conflicts {
    /// When there is something to do next.
    pub(super) fn next_ns(&self) -> u64 {
        self.judged_at.unwrap_or(self.next_ns)
    }

    /// What becomes readable with ARP.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.values().map(|(_, socket)| socket.as_fd())
    }

    /// Listens on those devices that are there.
    pub(super) fn follow(&mut self, devices: &[Device]) {
        let there = |name: &str, index: u32| {
            devices.iter().any(|device| device.name == name && device.index == index && device.up)
        };
        self.sockets.retain(|name, (index, _)| there(name, *index));
        for device in devices.iter().filter(|device| device.up) {
            if self.sockets.contains_key(&device.name) {
                continue;
            }
            match PacketSocket::listener(&device.name, arp::ETHERTYPE) {
                Ok(socket) => {
                    self.sockets.insert(device.name.clone(), (device.index, socket));
                }
                Err(error) => {
                    tracing::warn!(device = device.name, %error, "carp: no look-out for conflicts");
                }
            }
        }
    }

    /// Takes the claims that have arrived.
    pub(super) fn listen(&mut self) {
        let mut frame = [0; 64];
        for (name, (_, socket)) in &self.sockets {
            for _ in 0..FRAMES_MAX {
                let Ok(Some(len)) = socket.receive(&mut frame, 0) else { break };
                let Some((address, mac)) = arp::claim(&frame[..len.min(frame.len())]) else {
                    continue;
                };
                // Only what was asked about is kept.
                if let Some(claims) = self.claims.get_mut(&(name.clone(), address))
                    && claims.len() < CLAIMS_MAX
                {
                    claims.insert(mac);
                }
            }
        }
    }

    /// Asks, or judges the answers when it is time; then tells for each vhost, in their order, who
    /// is in the way if anybody is, and `None` for those that cannot be judged now.
    pub(super) fn round(
        &mut self,
        now_ns: u64,
        vhosts: &[Judged<'_>],
        devices: &[Device],
    ) -> Option<Vec<Option<Option<String>>>> {
        if let Some(at) = self.judged_at.filter(|at| *at <= now_ns) {
            self.judged_at = None;
            let asked_at = at.saturating_sub(ANSWERS_NS);
            let claims = std::mem::take(&mut self.claims);
            return Some(vhosts.iter().map(|v| judge(v, asked_at, &claims, devices)).collect());
        }
        if self.judged_at.is_none() && self.next_ns <= now_ns {
            self.next_ns = now_ns.saturating_add(ROUND_NS);
            self.judged_at = Some(now_ns.saturating_add(ANSWERS_NS));
            vhosts.iter().for_each(|vhost| self.ask(vhost.config, devices));
        }
        None
    }

    fn ask(&mut self, vhost: &CarpConfig, devices: &[Device]) {
        let Some((_, socket)) = self.sockets.get(&vhost.device) else { return };
        let Some(mac) = mac_of(devices, &vhost.device) else { return };
        for net in &vhost.addresses {
            let IpAddr::V4(address) = net.addr() else { continue };
            self.claims.insert((vhost.device.clone(), address), BTreeSet::new());
            // A device that does not take it now is asked again in the next round.
            let _ = socket.send(&[arp::probe(address, mac)]);
        }
    }
}

fn mac_of(devices: &[Device], name: &str) -> Option<Mac> {
    devices.iter().find(|device| device.name == name)?.mac
}

/// `None` where nothing can be said; else who is in the way, if anybody is.
fn judge(
    vhost: &Judged<'_>,
    asked_at: u64,
    claims: &BTreeMap<(String, Ipv4Addr), BTreeSet<Mac>>,
    devices: &[Device],
) -> Option<Option<String>> {
    let allowed = match vhost.state {
        State::Init => return None,
        State::Backup => 1,
        State::Master => 0,
    };
    if asked_at.saturating_sub(vhost.since_ns) < SETTLED_NS {
        return None;
    }
    let own = mac_of(devices, &vhost.config.device)?;
    for net in &vhost.config.addresses {
        let IpAddr::V4(address) = net.addr() else { continue };
        let Some(all) = claims.get(&(vhost.config.device.clone(), address)) else { continue };
        let others: Vec<String> = all.iter().filter(|mac| **mac != own).map(shown).collect();
        if others.len() > allowed {
            return Some(Some(format!("{address} is answered for by {}", others.join(" and "))));
        }
    }
    Some(None)
}

fn shown(mac: &Mac) -> String {
    mac.0.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 3]);

    fn judged(state: State, since_ns: u64, macs: &[Mac]) -> Option<Option<String>> {
        let text = "[[interface]]\nname = \"lan\"\ndevice = \"lan0\"\n[[carp]]\ninterface = \"lan\"\n\
                    vhid = 1\npassphrase_file = \"x\"\naddresses = [\"192.0.2.1/24\"]\n";
        let config = crate::config::Config::parse(std::path::Path::new("gw.toml"), text).unwrap();
        let devices = [Device {
            name: "lan0".into(),
            index: 1,
            up: true,
            mac: Some(OWN),
            source_v4: None,
            source_v6: None,
            source_v6_wide: None,
        }];
        let asked = ("lan0".to_owned(), Ipv4Addr::new(192, 0, 2, 1));
        let claims = BTreeMap::from([(asked, macs.iter().copied().collect())]);
        let vhost = Judged { config: &config.carp[0], state, since_ns };
        judge(&vhost, 10_000_000_000, &claims, &devices)
    }

    #[test]
    fn a_backup_expects_its_master_and_a_master_nobody() {
        for (state, macs, conflict) in [
            (State::Master, &[][..], false),
            (State::Master, &[OWN], false),
            (State::Master, &[PEER], true),
            (State::Backup, &[PEER], false),
            (State::Backup, &[], false),
            (State::Backup, &[PEER, STRANGER], true),
        ] {
            let said = judged(state, 0, macs).unwrap();
            assert_eq!(said.is_some(), conflict, "{state:?} {macs:?}: {said:?}");
        }
        let said = judged(State::Backup, 0, &[PEER, STRANGER]).unwrap().unwrap();
        assert_eq!(said, "192.0.2.1 is answered for by 02:00:00:00:00:02 and 02:00:00:00:00:03");
    }

    #[test]
    fn a_fresh_role_and_none_are_not_judged() {
        assert_eq!(judged(State::Init, 0, &[PEER, STRANGER]), None);
        assert_eq!(judged(State::Master, 8_600_000_000, &[PEER]), None);
        assert!(judged(State::Master, 8_400_000_000, &[PEER]).is_some());
    }
}
