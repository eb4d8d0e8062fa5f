//! The in-memory transport keeps the contract, and is the same world for the same seed.

#![expect(clippy::unwrap_used, reason = "a test may")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a checker looks for some events of many")]

use std::time::Duration;

use evergate_sync_transport::contract::{self, Cluster};
use evergate_sync_transport::memory::{MemoryConfig, MemoryTransport, Network, Path};
use evergate_sync_transport::{Channel, Event, PeerId, PeerName, Transport};
use evergate_wire::Timestamp;
use proptest::prelude::*;

const MILLISECOND: Duration = Duration::from_millis(1);

struct Memory {
    network: Network,
    nodes: Vec<MemoryTransport>,
}

fn names(nodes: usize) -> Vec<PeerName> {
    (0..nodes).map(|node| PeerName::new(&contract::name(node)).unwrap()).collect()
}

impl Memory {
    fn new(seed: u64, nodes: usize) -> Self {
        let network = Network::new(seed, MemoryConfig::default(), &names(nodes));
        let nodes = (0..nodes).map(|node| network.transport(node)).collect();
        Self { network, nodes }
    }
}

impl Cluster for Memory {
    type Node = MemoryTransport;
    const PATIENCE: usize = 5_000;

    fn start(nodes: usize) -> Self {
        Self::new(1, nodes)
    }

    fn node(&mut self, node: usize) -> &mut MemoryTransport {
        &mut self.nodes[node]
    }

    fn step(&mut self) {
        self.network.advance(self.network.now().saturating_add(MILLISECOND));
    }

    fn lose(&mut self, from: usize, to: usize, percent: u8) {
        let path = Path {
            loss_ppm: u32::from(percent) * 10_000,
            cut: percent == 100,
            ..self.network.path(from, to)
        };
        self.network.set_path(from, to, path);
    }

    fn kill(&mut self, node: usize) {
        self.network.kill(node);
    }

    fn restart(&mut self, node: usize) {
        self.network.restart(node);
    }
}

#[test]
fn the_in_memory_transport_keeps_the_contract() {
    for case in contract::cases::<Memory>() {
        println!("{}", case.name);
        case.run();
    }
}

/// What an operator of fate does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Send(usize, usize, u8),
    Disconnect(usize, usize),
    Lose(usize, usize, u8),
    Crash(usize),
    Kill(usize),
    Restart(usize),
    Wait(u16),
}

fn deed() -> impl Strategy<Value = Deed> {
    let pair = || (0..3usize, 1..3usize).prop_map(|(a, d)| (a, (a + d) % 3));
    prop_oneof![
        8 => (pair(), 0..6u8).prop_map(|((a, b), channel)| Deed::Send(a, b, channel)),
        1 => pair().prop_map(|(a, b)| Deed::Disconnect(a, b)),
        3 => (pair(), prop_oneof![Just(0), Just(20), Just(100)])
            .prop_map(|((a, b), percent)| Deed::Lose(a, b, percent)),
        1 => (0..3usize).prop_map(Deed::Crash),
        1 => (0..3usize).prop_map(Deed::Kill),
        2 => (0..3usize).prop_map(Deed::Restart),
        8 => (0..100u16).prop_map(Deed::Wait),
    ]
}

fn channel(number: u8) -> Channel {
    match number {
        0 => Channel::Control,
        1 => Channel::Datagram,
        lane => Channel::Ordered(lane - 2),
    }
}

/// Does the deeds, then heals all and waits; gives all that all nodes saw.
fn story(seed: u64, deeds: &[Deed]) -> Vec<(Timestamp, usize, Event)> {
    let mut memory = Memory::new(seed, 3);
    let mut told = Vec::new();
    let mut count = 0u32;
    for deed in deeds {
        match *deed {
            Deed::Send(from, to, on) => {
                count += 1;
                let message = count.to_le_bytes();
                let _ = memory.nodes[from].try_send(PeerId(to as u16), channel(on), &message);
            }
            Deed::Disconnect(from, to) => memory.nodes[from].disconnect(PeerId(to as u16)),
            Deed::Lose(from, to, percent) => memory.lose(from, to, percent),
            Deed::Crash(node) => memory.network.crash(node),
            Deed::Kill(node) => memory.kill(node),
            Deed::Restart(node) => memory.restart(node),
            Deed::Wait(steps) => wait(&mut memory, usize::from(steps), &mut told),
        }
    }
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        memory.lose(from, to, 0);
    }
    (0..3).for_each(|node| memory.restart(node));
    wait(&mut memory, 2_500, &mut told);
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        let status = memory.nodes[from].status(PeerId(to));
        assert!(status.is_some_and(|status| status.queued == 0), "{from} to {to}: {status:?}");
    }
    told
}

fn wait(memory: &mut Memory, steps: usize, told: &mut Vec<(Timestamp, usize, Event)>) {
    for _ in 0..steps {
        memory.step();
        let now = memory.network.now();
        for node in 0..3 {
            while let Some(event) = memory.nodes[node].poll() {
                told.push((now, node, event));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn links_come_back_whatever_happened(
        seed: u64,
        deeds in prop::collection::vec(deed(), 0..60),
    ) {
        let told = story(seed, &deeds);
        for node in 0..3usize {
            for peer in 0..3u16 {
                let mut last = std::collections::BTreeMap::new();
                let mut up = false;
                for (_, _, event) in told.iter().filter(|(_, at, _)| *at == node) {
                    match event {
                        Event::LinkUp { peer: p, .. } if p.0 == peer => {
                            last.clear();
                            up = true;
                        }
                        Event::LinkDown { peer: p, .. } if p.0 == peer => {
                            prop_assert!(up);
                            up = false;
                        }
                        Event::Message { peer: p, channel, bytes } if p.0 == peer => {
                            prop_assert!(up, "a message outside a link");
                            let number = u32::from_le_bytes(bytes[..].try_into().unwrap());
                            let before = last.insert(*channel, number);
                            let ordered = *channel != Channel::Datagram;
                            prop_assert!(!ordered || before.is_none_or(|b| b < number));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_seed_and_deeds_tell_the_same_story(
        seed: u64,
        deeds in prop::collection::vec(deed(), 0..40),
    ) {
        prop_assert_eq!(story(seed, &deeds), story(seed, &deeds));
    }
}
