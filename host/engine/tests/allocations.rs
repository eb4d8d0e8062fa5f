//! A packet of a known state allocates nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
mod common;

use allocation_counter::measure;
use common::{Net, client, frame, server};
use etherparse::PacketBuilder;
use evergate_engine::{DefaultVerdict, Outcome};

const HITS: usize = 10_000;
/// The verdict word of the ABI.
const PASS: i64 = 1;

type Frames = Vec<Vec<u8>>;

fn tcp(sport: u16, dport: u16, numbers: (u32, Option<u32>), syn: bool, payload: &[u8]) -> Vec<u8> {
    let (from, to) =
        if sport > dport { (client(sport), server(dport)) } else { (server(sport), client(dport)) };
    let step = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, numbers.0, 60_000);
    let step = if syn { step.syn() } else { step };
    let step = if let Some(ack) = numbers.1 { step.ack(ack) } else { step };
    frame(step, payload)
}

/// The segments of one connection, by direction: its opening, then data and acknowledgements.
fn connection() -> (Frames, Frames) {
    let mut out = vec![
        tcp(40_000, 80, (1_000, None), true, &[]),
        tcp(40_000, 80, (1_001, Some(9_001)), false, &[]),
    ];
    let mut back = vec![tcp(80, 40_000, (9_000, Some(1_001)), true, &[])];
    for n in 0..HITS as u32 / 2 {
        out.push(tcp(40_000, 80, (1_001 + 100 * n, Some(9_001)), false, &[7; 100]));
        back.push(tcp(80, 40_000, (9_001, Some(1_101 + 100 * n)), false, &[]));
    }
    (out, back)
}

#[test]
fn segments_of_a_known_connection_allocate_nothing() {
    let mut net = Net::new(PASS);
    let (mut out, mut back) = connection();
    assert_eq!(net.lan(&mut out[0]), Outcome::Forward);
    assert_eq!(net.wan(&mut back[0]), Outcome::Forward);
    assert_eq!(net.lan(&mut out[1]), Outcome::Forward);
    let used = measure(|| {
        for (out, back) in out[2..].iter_mut().zip(&mut back[1..]) {
            assert_eq!(net.lan(out), Outcome::Forward);
            assert_eq!(net.wan(back), Outcome::Forward);
        }
    });
    assert_eq!(used.count_total, 0, "{used:?}");
    let (lan, wan) = net.totals();
    assert_eq!((lan.decisions, wan.decisions), (1, 0));
    assert_eq!(lan.passed_packets[0] + wan.passed_packets[0], HITS as u64 + 3);
}

#[test]
fn datagrams_of_known_states_allocate_nothing() {
    let mut net = Net::new(PASS);
    let mut frames: Frames = (0..100)
        .map(|n| {
            let (from, to) = (client(20_000 + n), server(53));
            frame(PacketBuilder::ipv4(from.0, to.0, 63).udp(from.1, to.1), &[1; 36])
        })
        .collect();
    for frame in &mut frames {
        assert_eq!(net.lan(frame), Outcome::Forward);
    }
    let used = measure(|| {
        for n in 0..HITS {
            assert_eq!(net.lan(&mut frames[n % 100]), Outcome::Forward);
        }
    });
    assert_eq!(used.count_total, 0, "{used:?}");
    assert_eq!(net.totals().0.decisions, 100);
}

#[test]
fn the_counter_sees_what_a_new_state_allocates() {
    let mut net = Net::without_policy(DefaultVerdict::Pass);
    let mut syn = tcp(40_000, 80, (1_000, None), true, &[]);
    let used = measure(|| {
        assert_eq!(net.lan(&mut syn), Outcome::Forward);
    });
    assert!(used.count_total > 0);
}
