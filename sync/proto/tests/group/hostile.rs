//! Peers that are authenticated and lie: refused, counted, given up; nothing grows.

use std::time::Duration;

use evergate_state::StateId;
use evergate_sync_proto::message::{
    Bulk, BulkMode, Define, Digest, Hello, Message, RangeSum, TOPS, Told, Welcome,
};
use evergate_sync_proto::{
    Action, Claim, Class, Delete, Event, Held, LinkState, Malformed, Name, NameKind, Outcome,
    Refusal, ResetReason,
};
use proptest::prelude::*;

use crate::fake::{Fake, MACHINE_INSTANCE, PEER, hello};
use crate::packets::{Conn, udp_state};

#[test]
fn versions_are_negotiated() {
    for (min, max, agreed) in [(1, 1, true), (1, 9, true), (2, 9, false)] {
        let mut fake = Fake::new(|_| {});
        fake.link_up();
        let hello = Hello { version_min: min, version_max: max, ..hello() };
        fake.say(Class::Control, &[Message::Hello(hello)]);
        let welcome = Welcome { version: 1, session: 42, features: 0 };
        let welcomed = fake.said.contains(&(Class::Control, Message::Welcome(welcome)));
        assert_eq!(welcomed, agreed, "{min}..{max}");
        let resets = if agreed { vec![] } else { vec![ResetReason::Version] };
        assert_eq!(fake.resets(), resets);
    }
}

#[test]
fn a_packet_of_a_version_that_was_not_agreed_is_refused() {
    let mut fake = Fake::up(|_| {});
    let mut packet = fake.packet(Class::Control, &[]);
    packet[3] = 9;
    fake.send(Class::Control, &packet);
    assert_eq!(fake.refusals(), vec![Refusal::Version(9)]);
}

#[test]
fn who_is_somebody_else_is_not_greeted() {
    for hello in [Hello { node: 3, ..hello() }, Hello { instance: MACHINE_INSTANCE, ..hello() }] {
        let mut fake = Fake::new(|_| {});
        fake.link_up();
        fake.say(Class::Control, &[Message::Hello(hello)]);
        assert_eq!(fake.resets(), vec![ResetReason::Identity]);
        assert_eq!(fake.machine.peer_status(PEER).unwrap().link, LinkState::Down);
    }
}

#[test]
fn nothing_is_heard_before_hello() {
    let mut fake = Fake::new(|_| {});
    fake.link_up();
    let key = Conn::new(1, [0, 0]).key();
    fake.say(Class::Ordered(0), &[Message::Gone { key }]);
    fake.say(Class::Datagram, &[Message::Gone { key }]);
    assert_eq!(fake.refusals(), vec![]);
    fake.say(Class::Control, &[Message::Owner(Claim { epoch: 9, owner: 9 })]);
    assert_eq!(fake.refusals(), vec![Refusal::OutOfPlace]);
    assert_eq!(fake.machine.ownership().effective(Claim::default()), Claim::default());
}

#[test]
fn packets_of_an_earlier_link_are_passed_over() {
    let mut fake = Fake::up(|_| {});
    let floor = Message::Owner(Claim { epoch: 9, owner: 9 });
    fake.session -= 1;
    fake.say(Class::Control, &[floor]);
    assert_eq!(fake.machine.ownership().effective(Claim::default()), Claim::default());
    assert_eq!(fake.refusals(), vec![]);
}

#[test]
fn a_lane_with_a_gap_ends_the_link() {
    let mut fake = Fake::up(|_| {});
    fake.packet(Class::Ordered(1), &[]);
    fake.say(Class::Ordered(1), &[]);
    assert_eq!(fake.resets(), vec![ResetReason::Gap]);
}

#[test]
fn a_peer_that_goes_on_misbehaving_is_given_up() {
    let mut fake = Fake::up(|_| {});
    for count in 1..=16 {
        assert_eq!(fake.resets(), vec![]);
        let mut packet = fake.packet(Class::Control, &[]);
        packet.extend([0x80, 0, 0]);
        packet[1] += 3;
        fake.send(Class::Control, &packet);
        assert_eq!(fake.refusals().len(), count);
    }
    assert_eq!(fake.refusals()[0], Refusal::Malformed(Malformed::Critical));
    assert_eq!(fake.resets(), vec![ResetReason::Misbehaved]);
    assert_eq!(fake.machine.counters(PEER).unwrap().refused, 16);
    // The next link begins with a clean slate.
    fake.link_up();
    fake.greet();
    assert_eq!(fake.machine.peer_status(PEER).unwrap().link, LinkState::Up);
}

#[test]
fn messages_in_the_wrong_place_are_refused() {
    let key = Conn::new(1, [0, 0]).key();
    let define = Define { kind: NameKind::Tag, number: 1, name: Name::new(b"x").unwrap() };
    for (class, message) in [
        (Class::Control, Message::Hello(hello())),
        (Class::Control, Message::Define(define.clone())),
        (Class::Control, Message::Welcome(Welcome { version: 1, session: 1, features: 0 })),
        (Class::Ordered(0), Message::Gone { key }),
        (Class::Datagram, Message::Define(define)),
    ] {
        let mut fake = Fake::up(|_| {});
        fake.say(class, &[message]);
        assert_eq!(fake.refusals(), vec![Refusal::OutOfPlace], "{class:?}");
    }
    let mut fake = Fake::up(|_| {});
    fake.say(Class::Ordered(9), &[]);
    assert_eq!(fake.refusals(), vec![Refusal::Lane]);
}

#[test]
fn a_flood_of_names_is_refused() {
    let mut fake = Fake::up(|_| {});
    for number in 0..9000 {
        let define = Define { kind: NameKind::Tag, number, name: Name::new(b"x").unwrap() };
        fake.say(Class::Ordered(0), &[Message::Define(define)]);
        if !fake.resets().is_empty() {
            break;
        }
    }
    assert_eq!(fake.refusals()[0], Refusal::Names);
    assert_eq!(fake.resets(), vec![ResetReason::Misbehaved]);
}

#[test]
fn a_flood_of_removals_is_remembered_within_bounds() {
    let mut fake = Fake::up(|config| config.tombstones_max = 1000);
    let id = StateId { id: 7, creator: 9 };
    for port in 0..5000 {
        let key = Conn::new(port, [0, 0]).key();
        let (ago, idle) = (Duration::ZERO, Duration::ZERO);
        let delete = Delete { key, id, epoch: 1, is_final: true, ago, idle };
        fake.say(Class::Ordered(0), &[Message::Delete(delete)]);
    }
    assert_eq!(fake.machine.tombstones(), 500, "its share");
}

#[test]
fn a_flood_of_requests_waits_within_bounds() {
    let mut fake = Fake::up(|config| config.queue_max = 1000);
    for port in 0..5000 {
        let key = Conn::new(port, [0, 0]).key();
        fake.say(Class::Control, &[Message::Request { key }]);
    }
    assert!(fake.machine.lag(PEER).unwrap().queued <= 1000 + 256);
}

#[test]
fn a_flood_of_news_of_nothing_is_asked_for_within_bounds() {
    let mut fake = Fake::up(|_| {});
    for port in 0..20_000 {
        let key = Conn::new(port, [0, 0]).key();
        let id = StateId { id: 1, creator: 9 };
        let outcome = Outcome::Unknown;
        fake.handle(Event::Applied { peer: PEER, key, id, outcome, wants_ack: false });
    }
    assert_eq!(fake.count_said(|said| matches!(said, Message::Request { .. })), 4096);
}

/// A peer that never reads what it is told.
#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut fake = Fake::up(|_| {});
    let class = Class::Control;
    fake.handle(Event::Writable { peer: PEER, class, writable: false });
    for round in 0..200_000 {
        let sums = vec![RangeSum { count: round, sum: 1 }; TOPS].into();
        fake.say(class, &[Message::Digest(Digest::Top { round, sums })]);
        if let Some(Action::Page { ticket, .. }) = fake.actions.pop() {
            let (records, entries) = (vec![], vec![]);
            let page =
                Event::PageRead { peer: PEER, ticket, records, entries, next: None, total: 0 };
            fake.handle(page);
        }
        if !fake.resets().is_empty() {
            return;
        }
    }
    panic!("it goes on for ever");
}

#[test]
fn an_end_of_another_request_is_not_believed() {
    let mut fake = Fake::up(|_| {});
    for request in 2..10 {
        let end = Bulk::End { request, count: 0, marks: vec![] };
        fake.say(Class::Control, &[Message::Bulk(end)]);
    }
    assert!(!fake.actions.iter().any(|action| matches!(action, Action::Apply { .. })));
    let short = Bulk::End { request: 1, count: 5, marks: vec![] };
    fake.say(Class::Control, &[Message::Bulk(short)]);
    assert!(!fake.machine.peer_status(PEER).unwrap().in_sync);
    // Too few: everything is asked for again, later.
    fake.said.clear();
    fake.wait(Duration::from_secs(5));
    let again = Message::Bulk(Bulk::Request { request: 2, mode: BulkMode::Full });
    assert_eq!(fake.count_said(|said| *said == again), 1);
}

#[test]
fn strangers_are_not_regarded() {
    let mut fake = Fake::up(|_| {});
    let peer = evergate_sync_proto::NodeId(77);
    fake.handle(Event::LinkUp { peer });
    fake.handle(Event::Received { peer, class: Class::Control, packet: &[1, 2, 3] });
    fake.handle(Event::Passed { peer, ticket: 1 });
    assert!(fake.actions.is_empty() && fake.said.is_empty());
}

/// Any messages in any order, some of them bent.
fn any_packet() -> impl Strategy<Value = (u8, Vec<u8>, Option<(prop::sample::Index, u8)>)> {
    let bend = prop::option::of((any::<prop::sample::Index>(), 1_u8..));
    (0_u8..6, prop::collection::vec(any::<u8>(), 1..8), bend)
}

fn message(number: u8) -> Message {
    let key = Conn::new(u16::from(number % 5), [0, 0]).key();
    let id = StateId { id: u64::from(number), creator: 200 };
    let (ago, idle) = (Duration::from_secs(1), Duration::ZERO);
    let at = evergate_wire::Timestamp::from_nanos(1_000_000_000_000);
    match number % 13 {
        0..3 => {
            let state = udp_state(at, id, u16::from(number));
            let (claim, revision) = (Claim::default(), 0);
            let held = Held { state, claim, revision, extra: None };
            let told = Told {
                record: held.record(at),
                is_insert: true,
                wants_ack: number & 1 == 0,
                bulk: true,
            };
            Message::Told(Box::new(told))
        }
        3 => Message::Delete(Delete { key, id, epoch: 1, is_final: true, ago, idle }),
        4 => Message::Request { key },
        5 => Message::Bulk(Bulk::Request { request: number.into(), mode: BulkMode::Full }),
        6 => Message::Bulk(Bulk::End { request: 1, count: 1, marks: vec![1, 2] }),
        7 => Message::Bulk(Bulk::Lost),
        8 => Message::Digest(Digest::Exchange { round: 1, leaves: vec![1, 2] }),
        9 => Message::Owner(Claim { epoch: number.into(), owner: 200 }),
        10 => Message::Digest(Digest::Done { round: 1 }),
        11 => Message::InsertAck { key, id },
        _ => Message::Gone { key },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_a_peer_says_nothing_panics(packets in prop::collection::vec(any_packet(), 1..40)) {
        let mut fake = Fake::up(|_| {});
        for (class, numbers, bend) in packets {
            let class = match class {
                0..3 => Class::Ordered(class),
                3 => Class::Datagram,
                _ => Class::Control,
            };
            let messages: Vec<Message> = numbers.into_iter().map(message).collect();
            let mut packet = fake.packet(class, &messages);
            if let Some((at, bits)) = bend {
                let at = at.index(packet.len());
                packet[at] ^= bits;
            }
            fake.send(class, &packet);
            fake.wait(Duration::from_millis(100));
            for action in std::mem::take(&mut fake.actions) {
                if let Action::Fetch { ticket, keys, .. } = action {
                    let records = vec![None; keys.len()];
                    fake.handle(Event::Fetched { peer: PEER, ticket, records });
                } else if let Action::Reset { .. } = action {
                    fake.link_up();
                    fake.greet();
                }
            }
        }
    }
}
