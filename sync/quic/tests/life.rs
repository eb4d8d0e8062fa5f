//! How links over QUIC begin and end, beyond the contract.

#![expect(clippy::unwrap_used, reason = "a test may")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for some events of many")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use evergate_sync_quic::{NodeKey, PeerConfig, QuicConfig, QuicTransport};
use evergate_sync_transport::{Channel, DownReason, Event, PeerId, Transport};

use common::{Relay, config, drain, loopback, peer, wait_for, wait_up};

/// Keys that every process of this test knows; made by `openssl genpkey -algorithm ed25519`.
const KEYS: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIIH0o2cciESB9YhLn/3x5wmhG14gBzm1Pf+XlweYRzA0",
    "MC4CAQAwBQYDK2VwBCIEIL3porFgXFqEjte1ownBD9E2nKoj4DTA4ioo6YJBa8O+",
];

fn fixed(which: usize) -> NodeKey {
    let key = KEYS[which];
    NodeKey::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"))
        .unwrap()
}

/// The pace of a LAN, as it is by default.
fn brisk(peers: Vec<PeerConfig>) -> QuicConfig {
    let defaults = QuicConfig::new(loopback(), Vec::new());
    QuicConfig { heartbeat: defaults.heartbeat, misses: defaults.misses, ..config(peers) }
}

/// Waits until there is a link, whatever has become of earlier ones; on a machine that is very
/// busy the brisk ones do not last.
fn wait_linked(node: &mut QuicTransport) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.status(PeerId(0)).is_none() {
        assert!(Instant::now() < deadline, "no link");
        std::thread::sleep(common::MILLISECOND);
    }
    drain(node);
}

#[test]
fn two_that_dial_each_other_at_once_end_with_one_link() {
    for round in 0..10 {
        let keys = [fixed(0), fixed(1)];
        let relays = [Relay::new(round), Relay::new(round + 100)];
        let dial =
            |who: usize| config(vec![peer("other", &keys[1 - who], &[relays[1 - who].front()])]);
        let mut nodes = [0, 1].map(|i| QuicTransport::start(dial(i), keys[i].clone()).unwrap());
        for (relay, node) in relays.iter().zip(&nodes) {
            relay.aim(node.local_address());
        }
        nodes.iter_mut().for_each(wait_up);
        // Whatever crossed has been sorted out by now.
        std::thread::sleep(Duration::from_millis(100));
        for node in &mut nodes {
            let late = drain(node);
            assert!(late.is_empty(), "round {round}: {late:?}");
        }
        let [a, b] = &mut nodes;
        for _ in 0..2 {
            a.try_send(PeerId(0), Channel::Control, b"one").unwrap();
            b.try_send(PeerId(0), Channel::Control, b"one").unwrap();
        }
        for node in [a, b] {
            wait_for(node, "a message", |event| match event {
                Event::Message { .. } => Some(()),
                other => panic!("{other:?}"),
            });
        }
    }
}

#[test]
fn a_link_runs_over_ipv6_and_carries_datagrams_of_1200_bytes_from_the_start() {
    let v6 = |peers| QuicConfig { listen: "[::1]:0".parse().unwrap(), ..config(peers) };
    let mut a = QuicTransport::start(v6(vec![peer("b", &fixed(1), &[])]), fixed(0)).unwrap();
    let dial = vec![peer("a", &fixed(0), &[a.local_address()])];
    let mut b = QuicTransport::start(v6(dial), fixed(1)).unwrap();
    wait_up(&mut a);
    wait_up(&mut b);
    b.try_send(PeerId(0), Channel::Datagram, &[7; 1200]).unwrap();
    wait_for(&mut a, "a datagram", |event| match event {
        Event::Message { channel: Channel::Datagram, bytes, .. } => {
            assert_eq!(bytes.len(), 1200);
            Some(())
        }
        _ => None,
    });
    let status = b.status(PeerId(0)).unwrap();
    assert!(status.rtt < Duration::from_secs(1), "{status:?}");
}

/// The child process of [`a_killed_process_is_noticed`]: a node that runs until it is killed.
#[test]
#[ignore = "run by another test as a process of its own"]
fn child() {
    let Ok(address) = std::env::var("EVERGATE_TEST_DIAL") else { return };
    let dialled: SocketAddr = address.parse().unwrap();
    let peers = vec![peer("parent", &fixed(0), &[dialled])];
    let mut node = QuicTransport::start(brisk(peers), fixed(1)).unwrap();
    wait_up(&mut node);
    println!("up");
    std::io::stdout().flush().unwrap();
    loop {
        node.recv_timeout(Duration::from_secs(1));
    }
}

#[test]
fn a_killed_process_is_noticed() {
    let peers = vec![peer("child", &fixed(1), &[])];
    let mut node = QuicTransport::start(brisk(peers), fixed(0)).unwrap();
    let mut took = Vec::new();
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("EVERGATE_TEST_DIAL", node.local_address().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("up")), "the child came up");
        wait_linked(&mut node);
        let killed = Instant::now();
        child.kill().unwrap();
        let reason = wait_for(&mut node, "the end", |event| match event {
            Event::LinkDown { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        took.push((killed.elapsed(), reason.clone()));
        child.wait().unwrap();
        assert!(matches!(reason, DownReason::Gone | DownReason::Silent { .. }), "{reason}");
    }
    println!("noticed SIGKILL after {took:?}");
    assert!(took.iter().all(|(after, _)| *after < Duration::from_secs(2)));
}

#[test]
fn lost_power_is_noticed_by_silence() {
    let relay = Relay::new(1);
    let mut a = QuicTransport::start(brisk(vec![peer("b", &fixed(1), &[])]), fixed(0)).unwrap();
    relay.aim(a.local_address());
    let dial = vec![peer("a", &fixed(0), &[relay.front()])];
    let mut b = QuicTransport::start(brisk(dial), fixed(1)).unwrap();
    let mut took = Vec::new();
    for _ in 0..5 {
        wait_linked(&mut a);
        wait_linked(&mut b);
        relay.lost.iter().for_each(|way| way.store(100, Ordering::Relaxed));
        let cut = Instant::now();
        for node in [&mut a, &mut b] {
            let reason = wait_for(node, "the end", |event| match event {
                Event::LinkDown { reason, .. } => Some(reason.clone()),
                _ => None,
            });
            took.push((cut.elapsed(), reason));
        }
        relay.lost.iter().for_each(|way| way.store(0, Ordering::Relaxed));
    }
    println!("noticed silence after {took:?}");
    assert!(took.iter().all(|(after, _)| *after < Duration::from_secs(2)));
}

#[test]
fn a_link_under_full_load_is_not_taken_for_dead_and_control_goes_ahead() {
    let mut a = QuicTransport::start(config(vec![peer("b", &fixed(1), &[])]), fixed(0)).unwrap();
    let dial = vec![peer("a", &fixed(0), &[a.local_address()])];
    let mut b = QuicTransport::start(config(dial), fixed(1)).unwrap();
    wait_up(&mut a);
    wait_up(&mut b);
    let bulk = vec![0x55; 16 * 1024];
    let began = Instant::now();
    let (mut bytes, mut answered, mut asked) = (0, 0u32, Instant::now());
    let mut longest = Duration::ZERO;
    b.try_send(PeerId(0), Channel::Control, b"ask").unwrap();
    while began.elapsed() < Duration::from_secs(2) {
        for lane in 0..8 {
            while b.try_send(PeerId(0), Channel::Ordered(lane), &bulk).is_ok() {}
        }
        for event in drain(&mut a).into_iter().chain(drain(&mut b)) {
            match event {
                Event::Message { channel: Channel::Control, bytes, .. } if bytes == b"ask" => {
                    a.try_send(PeerId(0), Channel::Control, b"answer").unwrap();
                }
                Event::Message { channel: Channel::Control, .. } => {
                    longest = longest.max(asked.elapsed());
                    answered += 1;
                    asked = Instant::now();
                    b.try_send(PeerId(0), Channel::Control, b"ask").unwrap();
                }
                Event::Message { bytes: bulk, .. } => bytes += bulk.len(),
                Event::LinkDown { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }
    let megabytes = bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    println!(
        "{megabytes:.0} MB/s of bulk; {answered} questions answered, the slowest in {longest:?}"
    );
    assert!(answered >= 3);
}

#[test]
fn a_waker_is_called_once_until_all_is_taken() {
    let mut a = QuicTransport::start(config(vec![peer("b", &fixed(1), &[])]), fixed(0)).unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    a.set_waker(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let dial = vec![peer("a", &fixed(0), &[a.local_address()])];
    let mut b = QuicTransport::start(config(dial), fixed(1)).unwrap();
    wait_up(&mut b);
    assert!(a.wait(Duration::from_secs(10)));
    for _ in 0..100 {
        b.try_send(PeerId(0), Channel::Ordered(0), b"x").unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(drain(&mut a).len(), 101);
    b.try_send(PeerId(0), Channel::Ordered(0), b"x").unwrap();
    assert!(a.wait(Duration::from_secs(10)));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
