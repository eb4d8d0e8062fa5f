//! Two transports over loopback in one process: how many messages, and how late.
//!
//! `cargo bench -p evergate-sync-quic`. Prints messages a second for 256-byte messages and for
//! 1200-byte messages that hold records of 100 bytes each, one way, over all lanes; then the
//! time from `try_send` to the event at the other side, with the receiver waiting: idle, at a
//! steady 2000 a second, and beside bulk.

#![expect(clippy::unwrap_used, reason = "a bench may")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evergate_sync_quic::{NodeKey, PeerConfig, QuicConfig, QuicTransport};
use evergate_sync_transport::{Channel, Event, PeerId, PeerName, SendError, Transport};

const PEER: PeerId = PeerId(0);
const LANES: u8 = 8;
const RECORDS_IN_1200: u32 = 12;

fn pair() -> (QuicTransport, QuicTransport) {
    let (key_a, key_b) = (NodeKey::ephemeral().unwrap(), NodeKey::ephemeral().unwrap());
    let peer = |key: &NodeKey, addresses| PeerConfig {
        name: PeerName::new("other").unwrap(),
        fingerprints: vec![key.fingerprint()],
        addresses,
    };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    // Both ends share the machine's cores with this bench: it is no test of heartbeats.
    let config = |peers| QuicConfig { misses: 100, ..QuicConfig::new(loopback, peers) };
    let a = QuicTransport::start(config(vec![peer(&key_b, vec![])]), key_a.clone()).unwrap();
    let dial = vec![peer(&key_a, vec![a.local_address()])];
    let b = QuicTransport::start(config(dial), key_b).unwrap();
    let mut nodes = [a, b];
    for node in &mut nodes {
        let event = node.recv_timeout(Duration::from_secs(5));
        assert!(matches!(event, Some(Event::LinkUp { .. })), "{event:?}");
    }
    let [a, b] = nodes;
    (a, b)
}

fn throughput(len: usize, records: u32) {
    let (mut sender, mut receiver) = pair();
    let lasts = Duration::from_secs(2);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let sending = std::thread::spawn(move || {
        let message = vec![0x5a; len];
        let mut lane = 0;
        while !stopped.load(Ordering::Relaxed) {
            match sender.try_send(PEER, Channel::Ordered(lane), &message) {
                Ok(_) => {}
                Err(SendError::WouldBlock) => {
                    sender.wait(Duration::from_millis(1));
                    while sender.poll().is_some() {}
                }
                Err(error) => panic!("{error}"),
            }
            lane = (lane + 1) % LANES;
        }
        sender
    });
    let (began, mut count) = (Instant::now(), 0u64);
    while began.elapsed() < lasts {
        if let Some(Event::Message { .. }) = receiver.recv_timeout(Duration::from_millis(10)) {
            count += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let rate = count as f64 / began.elapsed().as_secs_f64();
    drop(sending.join().unwrap());
    println!(
        "{len:>5} bytes, {records:>2} records each: {rate:>9.0} messages/s, {:>9.0} records/s, {:>5.0} MB/s",
        rate * f64::from(records),
        rate * len as f64 / 1e6
    );
}

/// Prints the median and the 99th and the last of some times.
fn print_latencies(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
}

/// Sends one message at a time, each after `pause`, and takes the time until it is there.
fn latency(what: &str, channel: Channel, pause: Duration, bulk: bool) {
    const COUNT: usize = 2000;
    let (mut sender, mut receiver) = pair();
    let origin = Instant::now();
    let receiving = std::thread::spawn(move || {
        let mut took = Vec::new();
        while took.len() < COUNT {
            let Some(Event::Message { channel: on, bytes, .. }) =
                receiver.recv_timeout(Duration::from_millis(100))
            else {
                continue;
            };
            if on == channel {
                let sent = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                took.push(origin.elapsed() - Duration::from_nanos(sent));
            }
        }
        took
    });
    let mut message = vec![0; 256];
    let load = vec![0; 1200];
    let mut next = Instant::now();
    while !receiving.is_finished() {
        if bulk {
            for _ in 0..4 {
                let _ = sender.try_send(PEER, Channel::Ordered(7), &load);
            }
            // A quarter of a core is left to the rest.
            std::thread::sleep(Duration::from_micros(50));
        } else {
            std::thread::sleep(pause);
        }
        while sender.poll().is_some() {}
        if next.elapsed() >= pause {
            next = Instant::now();
            let now = origin.elapsed().as_nanos() as u64;
            message[..8].copy_from_slice(&now.to_le_bytes());
            let _ = sender.try_send(PEER, channel, &message);
        }
    }
    print_latencies(what, receiving.join().unwrap());
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    throughput(256, 1);
    throughput(1200, RECORDS_IN_1200);
    throughput(16 * 1024, 160);
    let pause = Duration::from_micros(500);
    latency("lane, idle", Channel::Ordered(0), pause, false);
    latency("control, idle", Channel::Control, pause, false);
    latency("datagram, idle", Channel::Datagram, pause, false);
    latency("lane, beside bulk", Channel::Ordered(0), pause, true);
    latency("control, beside bulk", Channel::Control, pause, true);
}
