//! Nodes on loopback with relays between them that lose what they are told to.

#![expect(clippy::unwrap_used, reason = "a test may")]
#![allow(dead_code, reason = "each test uses a part")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evergate_sync_quic::{NodeKey, PeerConfig, QuicConfig, QuicTransport};
use evergate_sync_transport::contract::{self, Cluster};
use evergate_sync_transport::{Backoff, Event, PeerName, Random, Transport};

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn peer_name(name: &str) -> PeerName {
    PeerName::new(name).unwrap()
}

pub(crate) fn peer(name: &str, key: &NodeKey, addresses: &[SocketAddr]) -> PeerConfig {
    PeerConfig {
        name: peer_name(name),
        fingerprints: vec![key.fingerprint()],
        addresses: addresses.to_vec(),
    }
}

/// Patient heartbeats: these tests share two cores with others.
pub(crate) fn config(peers: Vec<PeerConfig>) -> QuicConfig {
    QuicConfig {
        heartbeat: Duration::from_millis(20),
        misses: 25,
        backoff: Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) },
        setup: Duration::from_secs(5),
        seed: Some(1),
        ..QuicConfig::new(loopback(), peers)
    }
}

/// Waits for an event that `pick` picks; drops those before it.
pub(crate) fn wait_for<T>(
    node: &mut QuicTransport,
    what: &str,
    mut pick: impl FnMut(&Event) -> Option<T>,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut dropped = Vec::new();
    while Instant::now() < deadline {
        let Some(event) = node.recv_timeout(Duration::from_millis(100)) else { continue };
        if let Some(picked) = pick(&event) {
            return picked;
        }
        dropped.push(event);
    }
    panic!("waited in vain for {what}; saw {dropped:?}");
}

pub(crate) fn wait_up(node: &mut QuicTransport) {
    wait_for(node, "a link", |event| matches!(event, Event::LinkUp { .. }).then_some(()));
}

/// Forwards datagrams between whoever sends to it and one target.
pub(crate) struct Relay {
    front: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    /// Percent lost to the target, and back.
    pub(crate) lost: Arc<[AtomicU8; 2]>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    pub(crate) fn new(seed: u64) -> Self {
        let front = UdpSocket::bind(loopback()).unwrap();
        let back = UdpSocket::bind(loopback()).unwrap();
        for socket in [&front, &back] {
            socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        }
        let address = front.local_addr().unwrap();
        let target = Arc::new(Mutex::new(loopback()));
        let source = Arc::new(Mutex::new(loopback()));
        let lost = Arc::new([const { AtomicU8::new(0) }; 2]);
        let stop = Arc::new(AtomicBool::new(false));
        let (front, back) = (Arc::new(front), Arc::new(back));
        let mut threads = Vec::new();
        for way in [0, 1] {
            let (from, to) = if way == 0 { (&front, &back) } else { (&back, &front) };
            let (from, to) = (Arc::clone(from), Arc::clone(to));
            let (target, source) = (Arc::clone(&target), Arc::clone(&source));
            let (lost, stop) = (Arc::clone(&lost), Arc::clone(&stop));
            let mut random = Random::new(seed + way);
            threads.push(std::thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((len, sender)) = from.recv_from(&mut buffer) else { continue };
                    if way == 0 {
                        *source.lock().unwrap() = sender;
                    }
                    let percent = lost[way as usize].load(Ordering::Relaxed);
                    if random.chance(u32::from(percent) * 10_000) {
                        continue;
                    }
                    let to_whom = *if way == 0 { &target } else { &source }.lock().unwrap();
                    let _ = to.send_to(&buffer[..len], to_whom);
                }
            }));
        }
        Self { front: address, target, lost, stop, threads }
    }

    pub(crate) fn front(&self) -> SocketAddr {
        self.front
    }

    pub(crate) fn aim(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Nodes that all know each other and dial each other through relays.
pub(crate) struct Quic {
    keys: Vec<NodeKey>,
    nodes: Vec<Option<QuicTransport>>,
    /// By who dials and who is dialled.
    relays: Vec<((usize, usize), Relay)>,
    loss: Vec<((usize, usize), u8)>,
}

impl Quic {
    fn config(&self, node: usize) -> QuicConfig {
        let peers = (0..self.keys.len()).filter(|&other| other != node);
        let peers = peers.map(|other| {
            let relay = &self.relays.iter().find(|(pair, _)| *pair == (node, other)).unwrap().1;
            peer(&contract::name(other), &self.keys[other], &[relay.front()])
        });
        config(peers.collect())
    }

    fn launch(&mut self, node: usize) {
        let started = QuicTransport::start(self.config(node), self.keys[node].clone()).unwrap();
        for ((_, dialled), relay) in &self.relays {
            if *dialled == node {
                relay.aim(started.local_address());
            }
        }
        self.nodes[node] = Some(started);
    }

    fn apply_loss(&mut self, isolated: Option<usize>) {
        for ((a, b), relay) in &self.relays {
            for (way, pair) in [(0, (*a, *b)), (1, (*b, *a))] {
                let set = self.loss.iter().find(|(p, _)| *p == pair).map_or(0, |(_, l)| *l);
                let cut = isolated.is_some_and(|node| node == *a || node == *b);
                relay.lost[way].store(if cut { 100 } else { set }, Ordering::Relaxed);
            }
        }
    }
}

impl Cluster for Quic {
    type Node = QuicTransport;
    const PATIENCE: usize = 20_000;

    fn start(nodes: usize) -> Self {
        let keys: Vec<_> = (0..nodes).map(|_| NodeKey::ephemeral().unwrap()).collect();
        let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
        let relays = pairs
            .filter(|(a, b)| a != b)
            .map(|(a, b)| ((a, b), Relay::new((a * nodes + b) as u64 * 2)))
            .collect();
        let none = (0..nodes).map(|_| None).collect();
        let mut cluster = Self { keys, nodes: none, relays, loss: Vec::new() };
        (0..nodes).for_each(|node| cluster.launch(node));
        cluster
    }

    fn node(&mut self, node: usize) -> &mut QuicTransport {
        self.nodes[node].as_mut().unwrap()
    }

    fn step(&mut self) {
        std::thread::sleep(MILLISECOND);
    }

    fn lose(&mut self, from: usize, to: usize, percent: u8) {
        self.loss.retain(|(pair, _)| *pair != (from, to));
        self.loss.push(((from, to), percent));
        self.apply_loss(None);
    }

    fn kill(&mut self, node: usize) {
        // Its last words are lost.
        self.apply_loss(Some(node));
        self.nodes[node] = None;
        self.apply_loss(None);
    }

    fn restart(&mut self, node: usize) {
        self.launch(node);
    }
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// All events a node has now.
pub(crate) fn drain(node: &mut QuicTransport) -> Vec<Event> {
    std::iter::from_fn(|| node.poll()).collect()
}
