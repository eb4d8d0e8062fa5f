//! Who is not let in, and what that costs those who are.

#![expect(clippy::unwrap_used, reason = "a test may")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for some events of many")]

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use evergate_sync_quic::{ConfigError, NodeKey, PeerConfig, QuicTransport, StartError};
use evergate_sync_transport::{
    Channel, DownReason, Event, PeerId, Random, RefusedReason, Transport,
};

use common::{config, drain, loopback, peer, resident, wait_for, wait_up};

fn key() -> NodeKey {
    NodeKey::ephemeral().unwrap()
}

fn start(key: &NodeKey, peers: Vec<PeerConfig>) -> QuicTransport {
    QuicTransport::start(config(peers), key.clone()).unwrap()
}

/// Two nodes with a link; the second dials.
fn pair() -> (NodeKey, QuicTransport, NodeKey, QuicTransport) {
    let (key_a, key_b) = (key(), key());
    let mut a = start(&key_a, vec![peer("b", &key_b, &[])]);
    let mut b = start(&key_b, vec![peer("a", &key_a, &[a.local_address()])]);
    wait_up(&mut a);
    wait_up(&mut b);
    (key_a, a, key_b, b)
}

fn refused(event: &Event) -> Option<(bool, RefusedReason)> {
    match event {
        Event::Refused { fingerprint, reason, .. } => Some((fingerprint.is_some(), reason.clone())),
        _ => None,
    }
}

/// A message goes from one to the other.
fn talks(from: &mut QuicTransport, to: &mut QuicTransport, word: &[u8]) {
    from.try_send(PeerId(0), Channel::Ordered(0), word).unwrap();
    wait_for(to, "a message", |event| match event {
        Event::Message { bytes, .. } if bytes == word => Some(()),
        Event::LinkDown { reason, .. } => panic!("down: {reason}"),
        _ => None,
    });
}

#[test]
fn a_stranger_is_refused_with_the_reason_on_both_sides() {
    let (key_a, key_b, key_x) = (key(), key(), key());
    let mut a = start(&key_a, vec![peer("b", &key_b, &[])]);
    // It knows whom it dials; it is not known there.
    let mut x = start(&key_x, vec![peer("a", &key_a, &[a.local_address()])]);
    let shown = wait_for(&mut a, "a refusal", |event| match event {
        Event::LinkUp { .. } | Event::Message { .. } => panic!("{event:?}"),
        Event::Refused { fingerprint, reason, .. } => {
            assert_eq!(*reason, RefusedReason::UnknownKey);
            *fingerprint
        }
        _ => None,
    });
    assert_eq!(shown, key_x.fingerprint());
    let (_, reason) = wait_for(&mut x, "a refusal", refused);
    let RefusedReason::RefusedThere { what } = reason else { panic!("{reason:?}") };
    assert!(what.contains("not pinned"), "{what}");
    // However often it tries, neither ever sees a link.
    std::thread::sleep(Duration::from_millis(500));
    for event in drain(&mut a).into_iter().chain(drain(&mut x)) {
        assert!(matches!(event, Event::Refused { .. }), "{event:?}");
    }
    assert_eq!(x.status(PeerId(0)), None);
}

#[test]
fn a_node_that_is_not_who_was_dialled_is_refused_with_the_reason_on_both_sides() {
    let (key_a, key_b, key_x) = (key(), key(), key());
    let mut x = start(&key_x, vec![peer("a", &key_a, &[])]);
    let mut a = start(&key_a, vec![peer("b", &key_b, &[x.local_address()])]);
    let (shown, reason) = wait_for(&mut a, "a refusal", refused);
    assert!(shown, "the key that was there is told");
    assert!(matches!(&reason, RefusedReason::WrongKey { expected } if expected.as_str() == "b"));
    let (_, reason) = wait_for(&mut x, "a refusal", refused);
    let RefusedReason::RefusedThere { what } = reason else { panic!("{reason:?}") };
    assert!(what.contains("not pinned"), "{what}");
    for event in drain(&mut a).into_iter().chain(drain(&mut x)) {
        assert!(matches!(event, Event::Refused { .. }), "{event:?}");
    }
}

#[test]
fn refusals_come_at_a_bounded_rate() {
    let (key_a, key_x) = (key(), key());
    let mut a = start(&key_a, vec![peer("b", &key(), &[])]);
    let strangers: Vec<_> = (0..8)
        .map(|i| {
            let key = if i == 0 { key_x.clone() } else { key() };
            start(&key, vec![peer("a", &key_a, &[a.local_address()])])
        })
        .collect();
    let began = Instant::now();
    let mut told = 0;
    while began.elapsed() < Duration::from_secs(2) {
        if a.recv_timeout(Duration::from_millis(50)).is_some() {
            told += 1;
        }
    }
    // Four a second, in at most four seconds begun.
    assert!((1..=16).contains(&told), "{told}");
    drop(strangers);
}

#[test]
fn garbage_and_floods_do_not_grow_memory_or_end_a_link() {
    const FLOOD: u32 = 60_000;
    let (_key_a, mut a, _key_b, mut b) = pair();
    let target = a.local_address();
    talks(&mut b, &mut a, b"before");
    let before = resident();
    let sockets: Vec<_> = (0..8).map(|_| UdpSocket::bind(loopback()).unwrap()).collect();
    let mut random = Random::new(7);
    let mut packet = vec![0; 1200];
    for i in 0..FLOOD {
        for chunk in packet.chunks_exact_mut(8) {
            chunk.copy_from_slice(&random.bits().to_le_bytes());
        }
        if i % 2 == 0 {
            // The head of a client's first packet (RFC 9000 §17.2.2), and then anything.
            packet[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
            packet[14..16].copy_from_slice(&[8, 0]);
        }
        let len = if i % 5 == 0 { random.below(1200) as usize } else { 1200 };
        let _ = sockets[i as usize % sockets.len()].send_to(&packet[..len], target);
        if i % 1000 == 0 {
            talks(&mut b, &mut a, &i.to_le_bytes());
        }
    }
    talks(&mut b, &mut a, b"after");
    let grown = resident().saturating_sub(before);
    println!("memory grew by {} KiB under {FLOOD} packets", grown / 1024);
    assert!(grown < 32 << 20, "{grown}");
    for event in drain(&mut a).into_iter().chain(drain(&mut b)) {
        assert!(matches!(event, Event::Refused { .. }), "{event:?}");
    }
}

#[test]
fn a_flood_of_well_formed_first_packets_ends_no_link_and_is_answered_by_retry() {
    let (_key_a, mut a, _key_b, mut b) = pair();
    // Many who begin a handshake and are not known; each proves its address first.
    let target = a.local_address();
    let before = resident();
    let key_a = a.fingerprint();
    let strangers: Vec<_> = (0..40)
        .map(|_| {
            let a = PeerConfig {
                name: common::peer_name("a"),
                fingerprints: vec![key_a],
                addresses: vec![target; 4],
            };
            start(&key(), vec![a])
        })
        .collect();
    let began = Instant::now();
    let mut i = 0u32;
    while began.elapsed() < Duration::from_secs(2) {
        i += 1;
        talks(&mut b, &mut a, &i.to_le_bytes());
    }
    println!(
        "{i} messages came through beside 40 strangers; memory grew by {} KiB with theirs",
        resident().saturating_sub(before) / 1024
    );
    drop(strangers);
    talks(&mut b, &mut a, b"after");
}

#[test]
fn reloading_keys_and_peers_keeps_the_link() {
    let (key_a, mut a, key_b, mut b) = pair();
    let address_a = a.local_address();
    // First both learn the other's next key, then they change their own, then forget the old.
    let (next_a, next_b, key_c) = (key(), key(), key());
    let both = |name: &str, old: &NodeKey, new: &NodeKey, at: &[_]| PeerConfig {
        fingerprints: vec![old.fingerprint(), new.fingerprint()],
        ..peer(name, old, at)
    };
    a.reload(None, vec![both("b", &key_b, &next_b, &[]), peer("c", &key_c, &[])]).unwrap();
    b.reload(None, vec![both("a", &key_a, &next_a, &[address_a])]).unwrap();
    talks(&mut a, &mut b, b"one");
    a.reload(Some(next_a.clone()), vec![both("b", &key_b, &next_b, &[])]).unwrap();
    b.reload(Some(next_b.clone()), vec![both("a", &key_a, &next_a, &[address_a])]).unwrap();
    talks(&mut a, &mut b, b"two");
    talks(&mut b, &mut a, b"three");
    assert_eq!(a.fingerprint(), next_a.fingerprint());
    // The next link is by the new keys, and the peer has the same number.
    b.disconnect(PeerId(0));
    let proved = wait_for(&mut a, "the next link", |event| match event {
        Event::LinkUp { peer, fingerprint, .. } => Some((*peer, *fingerprint)),
        _ => None,
    });
    assert_eq!(proved, (PeerId(0), next_b.fingerprint()));
    wait_up(&mut b);
    a.reload(None, vec![peer("b", &next_b, &[])]).unwrap();
    b.reload(None, vec![peer("a", &next_a, &[address_a])]).unwrap();
    talks(&mut a, &mut b, b"four");
    talks(&mut b, &mut a, b"five");
}

#[test]
fn a_withdrawn_key_ends_the_link_for_good() {
    let (_key_a, mut a, _key_b, mut b) = pair();
    a.reload(None, vec![peer("b", &key(), &[])]).unwrap();
    let down = |event: &Event| match event {
        Event::LinkDown { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(wait_for(&mut a, "the end", down), DownReason::KeyWithdrawn);
    let reason = wait_for(&mut b, "the end", down);
    assert!(reason.to_string().contains("trusted no longer"), "{reason}");
    wait_for(&mut a, "a refusal", |event| match event {
        Event::Refused { reason: RefusedReason::UnknownKey, .. } => Some(()),
        Event::LinkUp { .. } => panic!("let in again"),
        _ => None,
    });
}

#[test]
fn a_list_of_peers_that_cannot_be_used_changes_nothing() {
    let (_key_a, mut a, key_b, mut b) = pair();
    let own = PeerConfig { fingerprints: vec![a.fingerprint()], ..peer("b", &key_b, &[]) };
    assert!(matches!(a.reload(None, vec![own.clone()]), Err(ConfigError::OwnKey { .. })));
    let twice = vec![peer("b", &key_b, &[]), peer("c", &key_b, &[])];
    assert!(matches!(a.reload(None, twice), Err(ConfigError::SameKey { .. })));
    talks(&mut a, &mut b, b"still");
    assert_eq!(a.peers().len(), 1);
    let refused = QuicTransport::start(config(vec![peer("b", &key_b, &[])]), key_b.clone());
    assert!(matches!(refused, Err(StartError::Config(ConfigError::OwnKey { .. }))));
}
