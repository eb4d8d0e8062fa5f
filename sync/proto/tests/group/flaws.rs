//! One test for each flaw of pfsync that PROTOCOL.md claims to avoid.

use std::time::Duration;

use evergate_state::{Side, StateId, StateKey, StateOptions, TimeoutSet, Track};
use evergate_sync_proto::message::{Message, Told, read_packet};
use evergate_sync_proto::{
    Action, Claim, Class, Clear, Defer, Delete, Event, Held, Name, NameKind, Operation, Outcome,
    Pace, Progress, Released, timeouts_value,
};

use crate::fake::{Fake, MACHINE_INSTANCE, PEER};
use crate::packets::{Conn, begin, loose, track, udp, udp_state};
use crate::world::{Nature, World, node_id};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn pair(seed: u64) -> World {
    World::connected(seed, Nature::default(), |_| {})
}

fn create(world: &mut World, at: usize, port: u16, defer: Defer) -> (StateKey, StateId) {
    let id = world.next_id(at);
    let state = udp_state(world.clock(at), id, port);
    let key = *state.key();
    let held = Held::own(state, &world.nodes[at].ownership);
    world.insert(at, held, defer);
    (key, id)
}

fn create_many(world: &mut World, ports: std::ops::Range<u16>) {
    for port in ports {
        create(world, 0, port, Defer::Off);
    }
}

/// A packet of the exchange on `port` comes by a node that holds its state.
fn packet(world: &mut World, at: usize, port: u16, from_client: bool, pace: Pace) {
    let now = world.clock(at);
    let packet = udp(port, from_client);
    let (key, _) = evergate_state::key_of(&packet).unwrap();
    let held = world.nodes[at].table.get_mut(&key).unwrap();
    assert_eq!(track(held, now, &packet), Track::Pass);
    world.touch(at, key, pace);
}

fn count(world: &World, from: usize, wanted: impl Fn(&Message) -> bool) -> usize {
    let packets = world.tap.iter().flatten().filter(|(sender, ..)| *sender == from);
    packets.flat_map(|(.., packet)| read_packet(packet).unwrap().1).filter(wanted).count()
}

const fn is_progress(message: &Message) -> bool {
    matches!(message, Message::Progress(_))
}

const fn is_told(message: &Message) -> bool {
    matches!(message, Message::Told(_))
}

// No sequence numbers, no retransmission, no gap detection.

#[test]
fn lost_updates_are_noticed_and_made_good() {
    let mut world = pair(1);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.nature.loss_permille = 1000;
    packet(&mut world, 0, 1, false, Pace::Soon);
    world.run(MILLI * 200);
    let ends = |world: &World, at: usize| world.nodes[at].table[&key].state.ends();
    assert_ne!(ends(&world, 0), ends(&world, 1), "all datagrams are lost");
    world.run(MILLI * 500);
    assert_eq!(ends(&world, 0), ends(&world, 1));
}

#[test]
fn a_gap_is_noticed_by_the_next_datagram() {
    let mut world = pair(2);
    let keys = [1, 2].map(|port| create(&mut world, 0, port, Defer::Off).0);
    world.run(MILLI * 50);
    world.nature.loss_permille = 1000;
    packet(&mut world, 0, 1, false, Pace::Soon);
    world.run(MILLI * 15);
    world.nature.loss_permille = 0;
    packet(&mut world, 0, 2, false, Pace::Soon);
    world.run(MILLI * 30);
    for key in keys {
        let [a, b] = [0, 1].map(|at| world.nodes[at].table[&key].state.ends());
        assert_eq!(a, b);
    }
}

// A lost DEL is never made good.

#[test]
fn a_lost_removal_is_told_again() {
    let mut world = pair(3);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.remove(0, &key, false);
    world.run(Duration::from_micros(10));
    // It is on its way.
    world.cut(0, 1);
    world.join(0, 1);
    world.run(MILLI * 50);
    assert!(world.nodes[1].table.is_empty());
}

// UPD_REQ has no negative reply, so the asker repeats it for every further update.

#[test]
fn a_request_is_answered_even_if_there_is_nothing() {
    let mut fake = Fake::up(|_| {});
    let key = Conn::new(7, [0, 0]).key();
    fake.say(Class::Control, &[Message::Request { key }]);
    let Some(Action::Fetch { ticket, keys, .. }) = fake.actions.pop() else { panic!() };
    assert_eq!(keys, vec![key]);
    fake.handle(Event::Fetched { peer: PEER, ticket, records: vec![None] });
    assert_eq!(fake.said, vec![(Class::Control, Message::Gone { key })]);
}

#[test]
fn a_state_is_asked_for_once_however_much_is_said_of_it() {
    let mut fake = Fake::up(|_| {});
    let state = udp_state(fake.now, StateId { id: 1, creator: 9 }, 5);
    let (key, id) = (*state.key(), state.id());
    for _ in 0..100 {
        let outcome = Outcome::Unknown;
        fake.handle(Event::Applied { peer: PEER, key, id, outcome, wants_ack: false });
    }
    assert_eq!(fake.count_said(|said| *said == Message::Request { key }), 1);
    fake.say(Class::Control, &[Message::Gone { key }]);
    fake.wait(SECOND * 10);
    assert_eq!(fake.count_said(|said| *said == Message::Request { key }), 1);
}

// DEL removes unconditionally.

#[test]
fn a_removal_does_not_hit_a_state_that_has_moved_on() {
    let mut world = pair(4);
    let (key, id) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.cut(0, 1);
    // Node 0 sees nothing for a while and lets it expire; node 1 forwards it.
    world.run(SECOND * 20);
    packet(&mut world, 1, 1, true, Pace::Lazy);
    world.purge(0);
    assert!(world.nodes[0].table.is_empty());
    world.join(0, 1);
    world.run(MILLI * 100);
    for node in &world.nodes {
        assert_eq!(node.table[&key].state.id(), id);
    }
}

// No tombstones: late news resurrect.

#[test]
fn late_news_do_not_bring_a_state_back() {
    let mut world = pair(5);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.cut(0, 1);
    packet(&mut world, 1, 1, false, Pace::Full);
    world.remove(0, &key, true);
    world.join(0, 1);
    world.run(MILLI * 100);
    assert!(world.nodes.iter().all(|node| node.table.is_empty()));
    assert!(world.nodes[0].machine.counters(node_id(1)).unwrap().late > 0);
}

/// The machine has let the news pass, the table has not taken them yet.
#[test]
fn a_removal_is_done_again_after_news_that_were_under_way() {
    let mut fake = Fake::up(|_| {});
    let id = StateId { id: 1, creator: MACHINE_INSTANCE };
    let held = Held::own(udp_state(fake.now, id, 5), fake.machine.ownership());
    let record = held.record(fake.now);
    let key = record.state.key;
    let told = Told { record, is_insert: false, wants_ack: false, bulk: false };
    fake.say(Class::Ordered(0), &[Message::Told(Box::new(told))]);
    let (ago, idle) = (Duration::ZERO, Duration::ZERO);
    let delete = Delete { key, id, epoch: 0, is_final: true, ago, idle };
    fake.handle(Event::Delete(delete));
    let upsert =
        |action: &Action| matches!(action, Action::Apply { operation: Operation::Upsert(_), .. });
    let news = fake.actions.iter().position(upsert);
    let again = Action::Again(Operation::Delete(delete));
    let again = fake.actions.iter().position(|action| *action == again);
    assert!(news.is_some() && again > news, "{news:?} {again:?}");
}

// Two nodes that create a state for one connection never merge them.

#[test]
fn what_two_nodes_knew_together_is_told_to_all() {
    let mut world = World::connected(27, Nature { nodes: 3, ..Nature::default() }, |_| {});
    let (key, id) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    for (outcome, told) in [(Outcome::Taken, 0), (Outcome::Stale, 1), (Outcome::Joined, 2)] {
        world.tap = Some(Vec::new());
        let peer = node_id(1);
        world.tell(0, Event::Applied { peer, key, id, outcome, wants_ack: false });
        world.run(MILLI * 50);
        assert_eq!(count(&world, 0, is_told), told, "{outcome:?}");
    }
}

#[test]
fn two_creations_of_one_connection_become_one_state() {
    let mut world = pair(6);
    world.cut(0, 1);
    let mut conn = Conn::new(1000, [500, 900]);
    let key = conn.key();
    for (at, options) in [(0, StateOptions::default()), (1, loose())] {
        let (packet, from_client) = conn.packet((true, 0));
        let id = world.next_id(at);
        let state = begin(world.clock(at), id, &packet, options);
        let held = Held::own(state, &world.nodes[at].ownership);
        world.insert(at, held, Defer::Off);
        conn.advance(&packet, from_client);
    }
    world.join(0, 1);
    world.run(MILLI * 50);
    let [a, b] = [0, 1].map(|at| world.nodes[at].table[&key].clone());
    assert_eq!((a.state.id(), a.state.ends()), (b.state.id(), b.state.ends()));
    // And both forward the rest of it.
    let (ack, _) = conn.packet((true, 0));
    for at in [0, 1] {
        let now = world.clock(at);
        let held = world.nodes[at].table.get_mut(&key).unwrap();
        assert_eq!(track(held, now, &ack), Track::Pass);
    }
}

// INS_ACK is lost when an update takes its place; an update drops the held packet.

#[test]
fn a_held_packet_goes_once_a_peer_knows_its_state() {
    let mut world = pair(7);
    let (key, id) = create(&mut world, 0, 1, Defer::Open);
    world.run(MILLI * 2);
    let (known, why) = (world.nodes[0].released[0], Released::Known);
    assert_eq!((known.0, known.1, known.2), (key, id, why));
    assert_eq!(world.nodes[0].released.len(), 1);
}

#[test]
fn an_acknowledgement_is_not_lost_to_an_update() {
    let mut world = pair(8);
    let (key, id) = create(&mut world, 0, 1, Defer::Required);
    world.run(Duration::from_micros(300));
    // The peer's own traffic changes the state just as it is to be acknowledged.
    if world.nodes[1].table.contains_key(&key) {
        packet(&mut world, 1, 1, false, Pace::Lazy);
    }
    world.run(MILLI * 2);
    assert_eq!(world.nodes[0].released.len(), 1);
    assert_eq!(world.nodes[0].released[0].1, id);
    assert_eq!(world.nodes[0].released[0].2, Released::Known);
}

#[test]
fn a_state_that_does_not_fit_is_not_acknowledged() {
    let mut world = pair(9);
    world.nature.limit = 0;
    create(&mut world, 0, 1, Defer::Open);
    create(&mut world, 0, 2, Defer::Required);
    world.run(SECOND * 2);
    let released: Vec<Released> = world.nodes[0].released.iter().map(|r| r.2).collect();
    assert_eq!(released, vec![Released::Open, Released::Refused]);
}

#[test]
fn a_held_packet_goes_after_20_ms_when_the_peer_is_silent() {
    let mut world = World::connected(10, Nature::default(), |_| {});
    world.nature.delay_us = (10_000_000, 10_000_000);
    let start = world.now;
    create(&mut world, 0, 1, Defer::Open);
    world.run(SECOND);
    let (.., why, when) = world.nodes[0].released[0];
    assert_eq!((why, when.since(start)), (Released::Open, MILLI * 20));
}

// A direction that is stale is copied with one that is not (FreeBSD); windows go
// back.

#[test]
fn windows_never_go_back() {
    let mut world = pair(11);
    let mut conn = Conn::new(1000, [500, 900]);
    let key = conn.key();
    let mut copies = Vec::new();
    for step in 0..12 {
        let (packet, from_client) = conn.packet((step % 3 != 0, 1000));
        let now = world.clock(0);
        if step == 0 {
            let id = world.next_id(0);
            let state = begin(now, id, &packet, StateOptions::default());
            let held = Held::own(state, &world.nodes[0].ownership);
            world.insert(0, held, Defer::Off);
        } else {
            let held = world.nodes[0].table.get_mut(&key).unwrap();
            assert_eq!(track(held, now, &packet), Track::Pass);
        }
        conn.advance(&packet, from_client);
        copies.push(world.nodes[0].table[&key].record(now));
    }
    // All that was ever true comes again, in the worst order.
    let now = world.clock(0);
    let newest = copies.last().unwrap().clone();
    for copy in copies.iter().rev().chain(&copies) {
        let held = world.nodes[0].table.get_mut(&key).unwrap();
        let outcome = held.merge(copy, now);
        let is_newest = copy.state.ends == newest.state.ends;
        assert_eq!(outcome, if is_newest { Outcome::Taken } else { Outcome::Stale });
        assert_eq!(held.state.ends(), newest.state.ends);
    }
}

#[test]
fn a_stale_sender_hears_the_newer_state() {
    let mut world = pair(12);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    packet(&mut world, 0, 1, false, Pace::Lazy);
    // Node 1 tells what it knows, before it hears of that.
    world.touch(1, key, Pace::Full);
    world.run(MILLI * 5);
    assert_eq!(world.nodes[0].machine.counters(node_id(1)).unwrap().stale, 1);
    let [a, b] = [0, 1].map(|at| world.nodes[at].table[&key].state.ends());
    assert_eq!(a, b);
    // And that is the end of it.
    world.tap = Some(Vec::new());
    world.run(SECOND * 3);
    assert!(count(&world, 0, is_told) + count(&world, 1, is_told) <= 1);
}

// The output queue overflows in silence; with many states nothing is coalesced.

#[test]
fn many_updates_cost_one_record() {
    let mut world = pair(13);
    create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.tap = Some(Vec::new());
    for _ in 0..950 {
        packet(&mut world, 0, 1, true, Pace::Lazy);
        world.run(MILLI);
    }
    assert_eq!(count(&world, 0, is_progress), 0);
    world.run(MILLI * 100);
    assert_eq!((count(&world, 0, is_progress), count(&world, 0, is_told)), (1, 0));
}

#[test]
fn an_active_state_costs_one_update_a_second_however_many_there_are() {
    let mut world = pair(14);
    create_many(&mut world, 0..500);
    world.run(MILLI * 50);
    world.tap = Some(Vec::new());
    for _ in 0..40 {
        (0..500).for_each(|port| packet(&mut world, 0, port, true, Pace::Lazy));
        world.run(MILLI * 100);
    }
    let sent = count(&world, 0, is_progress);
    assert!((1500..=2000).contains(&sent), "{sent} updates in 4 s");
}

#[test]
fn congestion_coalesces_and_loses_nothing() {
    let mut world = pair(15);
    let lanes = [Class::Ordered(0), Class::Ordered(1), Class::Datagram];
    let say = |world: &mut World, writable| {
        for class in lanes {
            world.tell(0, Event::Writable { peer: node_id(1), class, writable });
        }
    };
    say(&mut world, false);
    world.tap = Some(Vec::new());
    for _ in 0..20 {
        for port in 0..300 {
            if world.nodes[0].table.len() < 300 {
                create(&mut world, 0, port, Defer::Off);
            } else {
                packet(&mut world, 0, port, true, Pace::Full);
            }
        }
        world.run(MILLI * 50);
    }
    assert_eq!(count(&world, 0, is_told), 0);
    assert_eq!(world.nodes[0].machine.lag(node_id(1)).unwrap().queued, 300);
    say(&mut world, true);
    world.run(MILLI * 50);
    assert_eq!(count(&world, 0, is_told), 300);
    assert_eq!(world.nodes[1].table.len(), 300);
}

#[test]
fn a_queue_that_overflows_is_admitted_to_the_peer() {
    let mut world = World::connected(16, Nature::default(), |config| config.queue_max = 50);
    world.cut(0, 1);
    create_many(&mut world, 0..200);
    assert!(world.nodes[0].machine.lag(node_id(1)).unwrap().queued <= 51);
    world.join(0, 1);
    world.run(MILLI * 200);
    assert!(world.in_sync());
    assert_eq!(world.nodes[1].table.len(), 200);
    assert!(world.nodes[0].machine.counters(node_id(1)).unwrap().overflows > 0);
}

// Demotion is lifted though nothing was received; END is accepted from anyone.

#[test]
fn no_time_makes_a_node_in_sync_with_a_silent_peer() {
    let mut fake = Fake::up(|_| {});
    for _ in 0..1000 {
        fake.wait(SECOND * 10);
        assert!(!fake.machine.peer_status(PEER).unwrap().in_sync);
    }
}

#[test]
fn each_peer_is_covered_by_its_own_end() {
    let nature = Nature { nodes: 3, ..Nature::default() };
    let mut world = World::new(17, nature);
    create_many(&mut world, 0..500);
    world.join(1, 2);
    world.run(MILLI * 50);
    let in_sync =
        |world: &World, peer| world.nodes[2].machine.peer_status(node_id(peer)).unwrap().in_sync;
    assert!(in_sync(&world, 1) && !in_sync(&world, 0));
    world.join(0, 2);
    world.run(MILLI * 50);
    assert!(in_sync(&world, 1) && in_sync(&world, 0));
}

// A difference that nothing tells of stays for ever.

#[test]
fn tables_that_differ_unnoticed_are_compared_and_agree_again() {
    let mut world = pair(18);
    let keys: Vec<StateKey> =
        (0..300).map(|port| create(&mut world, 0, port, Defer::Off).0).collect();
    world.run(MILLI * 50);
    // A fault behind the machines' backs.
    world.nodes[1].table.remove(&keys[7]);
    world.nodes[0].table.remove(&keys[8]);
    world.tap = Some(Vec::new());
    world.run(SECOND * 12);
    for node in &world.nodes {
        assert_eq!(node.table.len(), 300);
    }
    let told = count(&world, 0, is_told) + count(&world, 1, is_told);
    assert!(told < 30, "what differs and its neighbours, not {told}");
}

// Every node purges every state.

#[test]
fn only_the_owner_lets_a_state_expire() {
    let mut world = pair(19);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.run(SECOND * 30);
    world.purge(1);
    world.run(MILLI * 50);
    assert!(world.nodes.iter().all(|node| node.table.contains_key(&key)));
    world.purge(0);
    world.run(MILLI * 50);
    assert!(world.nodes.iter().all(|node| node.table.is_empty()));
}

#[test]
fn a_takeover_makes_all_states_the_new_masters() {
    let mut world = pair(20);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.tell(1, Event::TakeOver { epoch: 0 });
    world.run(SECOND * 30);
    world.purge(0);
    assert!(world.nodes[0].table.contains_key(&key), "no longer its owner");
    world.purge(1);
    world.run(MILLI * 50);
    assert!(world.nodes.iter().all(|node| node.table.is_empty()));
}

#[test]
fn a_takeover_outlives_who_has_heard_of_it_directly() {
    let mut world = World::new(28, Nature { nodes: 3, ..Nature::default() });
    world.join(0, 1);
    world.join(1, 2);
    world.run(MILLI * 50);
    world.tell(0, Event::TakeOver { epoch: 7 });
    world.run(MILLI);
    world.crash(0);
    world.run(MILLI * 50);
    for at in [1, 2] {
        let claim = world.nodes[at].ownership.effective(Claim::default());
        assert_eq!((claim.epoch, claim.owner), (7, world.nodes[0].instance), "node {at}");
    }
}

#[test]
fn an_old_owner_that_was_cut_off_removes_nothing_of_the_new_ones() {
    let mut world = pair(21);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    world.cut(0, 1);
    world.tell(1, Event::TakeOver { epoch: 0 });
    world.run(SECOND * 15);
    world.purge(0);
    assert!(world.nodes[0].table.is_empty());
    world.join(0, 1);
    world.run(MILLI * 50);
    assert!(world.nodes.iter().all(|node| node.table.contains_key(&key)));
}

#[test]
fn what_the_owner_has_long_removed_it_does_not_take_back() {
    let mut fake = Fake::up(|_| {});
    let id = StateId { id: 1, creator: MACHINE_INSTANCE };
    let state = udp_state(fake.now, id, 5);
    let held = Held::own(state, fake.machine.ownership());
    fake.now = fake.now.saturating_add(SECOND * 1000);
    let record = held.record(fake.now);
    let key = record.state.key;
    let told = Told { record, is_insert: false, wants_ack: false, bulk: false };
    fake.say(Class::Ordered(0), &[Message::Told(Box::new(told))]);
    let Some(Action::Apply { operation: Operation::Upsert(upsert), .. }) = fake.actions.pop()
    else {
        panic!()
    };
    assert!(upsert.only_if_held);
    let outcome = Outcome::NotHeld;
    fake.handle(Event::Applied { peer: PEER, key, id, outcome, wants_ack: false });
    let Some(Action::Fetch { ticket, .. }) = fake.actions.pop() else { panic!() };
    fake.handle(Event::Fetched { peer: PEER, ticket, records: vec![None] });
    let removed = fake.count_said(|said| matches!(said, Message::Delete(gone) if gone.id == id));
    assert_eq!(removed, 1);
}

// Rules, labels, tags, timeouts and interfaces mean nothing on another node.

#[test]
fn what_rules_gave_a_state_is_named_and_not_numbered() {
    let mut world = pair(22);
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let timeouts = timeouts_value(&world.timeouts);
    let hash = [0xab; 32];
    for (kind, number, value) in [
        (NameKind::Policy, 4, Name::new(&hash).unwrap()),
        (NameKind::Label, 7, name("web")),
        (NameKind::Tag, 8, name("trusted")),
        (NameKind::Interface, 1, name("wan0")),
        (NameKind::Interface, 2, name("lan0")),
        (NameKind::Timeouts, 3, timeouts.clone()),
    ] {
        world.tell(0, Event::Name { kind, number, name: Some(value) });
    }
    let options = StateOptions {
        policy: 4,
        rule: 99,
        label: 7,
        tag: 8,
        in_if: 1,
        out_if: 2,
        timeouts: TimeoutSet(3),
        ..StateOptions::default()
    };
    world.upserts = Some(Vec::new());
    for port in 0..3 {
        let id = world.next_id(0);
        let state = begin(world.clock(0), id, &udp(port, true), options);
        let held = Held::own(state, &world.nodes[0].ownership);
        world.insert(0, held, Defer::Off);
        world.run(MILLI * 10);
        if port == 1 {
            let (kind, number) = (NameKind::Label, 7);
            world.tell(0, Event::Name { kind, number, name: Some(name("mail")) });
        }
    }
    let upserts = world.upserts.take().unwrap();
    let labels: Vec<Option<Name>> = upserts.iter().map(|u| u.meaning.label.clone()).collect();
    let expected = ["web", "web", "mail"].map(|label| Some(name(label)));
    assert_eq!(labels, expected);
    for upsert in upserts {
        let meaning = upsert.meaning;
        assert_eq!(meaning.policy.unwrap().as_bytes(), hash);
        assert_eq!(meaning.tag, Some(name("trusted")));
        assert_eq!([meaning.in_if, meaning.out_if], ["wan0", "lan0"].map(|i| Some(name(i))));
        assert_eq!(meaning.timeouts, Some(timeouts.clone()));
        let options = upsert.record.state.options;
        assert_eq!((options.rule, options.policy, options.label), (99, 0, 0));
    }
}

// Counters are ignored on import; ages are compared by clocks.

#[test]
fn counters_and_ages_travel_between_clocks_a_year_apart() {
    let mut world = pair(23);
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(SECOND * 5);
    packet(&mut world, 0, 1, false, Pace::Full);
    world.run(SECOND * 3);
    let [a, b] = [0, 1].map(|at| world.nodes[at].table[&key].state.export(world.clock(at)));
    assert_eq!((a.packets, a.bytes), (b.packets, b.bytes));
    assert_eq!(a.packets, [1, 1]);
    assert!(a.age.abs_diff(b.age) < MILLI * 100, "{:?} {:?}", a.age, b.age);
    assert!(a.idle.abs_diff(b.idle) < MILLI * 2, "{:?} {:?}", a.idle, b.idle);
    assert_eq!(world.nodes[1].table[&key].state.packets(Side::Lo), 1);
}

// Fields of newer versions are lost on the way.

#[test]
fn what_a_newer_node_says_of_a_state_reaches_a_third() {
    let mut world = World::new(24, Nature { nodes: 3, ..Nature::default() });
    world.join(0, 1);
    world.run(MILLI * 20);
    let id = world.next_id(0);
    let state = udp_state(world.clock(0), id, 1);
    let key = *state.key();
    let extra = Name::new(&[0x21, 2, 0xca, 0xfe]);
    let held = Held { extra: extra.clone(), ..Held::own(state, &world.nodes[0].ownership) };
    world.insert(0, held, Defer::Off);
    world.run(MILLI * 20);
    world.crash(0);
    world.join(1, 2);
    world.run(MILLI * 20);
    assert_eq!(world.nodes[2].table[&key].extra, extra);
}

// CLR: cleared states come back by late updates.

#[test]
fn cleared_states_do_not_come_back() {
    let mut world = pair(25);
    create_many(&mut world, 0..50);
    world.run(MILLI * 50);
    world.cut(0, 1);
    (0..50).for_each(|port| packet(&mut world, 1, port, false, Pace::Full));
    let creator = world.nodes[0].instance;
    let upto = world.next_id(0).id;
    world.nodes[0].table.clear();
    world.tell(0, Event::Clear(Clear { creator, upto }));
    world.join(0, 1);
    world.run(MILLI * 100);
    assert!(world.nodes.iter().all(|node| node.table.is_empty()));
    create(&mut world, 0, 77, Defer::Off);
    world.run(MILLI * 50);
    assert!(world.nodes.iter().all(|node| node.table.len() == 1));
}

// What must not happen: echoes.

#[test]
fn news_are_not_sent_on() {
    let mut world = World::connected(26, Nature { nodes: 3, ..Nature::default() }, |_| {});
    world.tap = Some(Vec::new());
    let (key, _) = create(&mut world, 0, 1, Defer::Off);
    world.run(MILLI * 50);
    packet(&mut world, 0, 1, false, Pace::Lazy);
    world.run(SECOND * 2);
    world.remove(0, &key, true);
    world.run(SECOND * 2);
    for at in [1, 2] {
        let news = |message: &Message| {
            is_told(message) || is_progress(message) || matches!(message, Message::Delete(_))
        };
        assert_eq!(count(&world, at, news), 0, "node {at}");
    }
}

#[test]
fn a_state_that_nobody_was_told_of_need_not_be_told_gone() {
    let mut fake = Fake::up(|_| {});
    let id = StateId { id: 1, creator: MACHINE_INSTANCE };
    let class = Class::Ordered(0);
    for lane in 0..4 {
        let class = Class::Ordered(lane);
        fake.handle(Event::Writable { peer: PEER, class, writable: false });
    }
    let key = Conn::new(7, [0, 0]).key();
    fake.handle(Event::Insert { key, id, defer: Defer::Off });
    let (ago, idle) = (Duration::ZERO, Duration::ZERO);
    fake.handle(Event::Delete(Delete { key, id, epoch: 0, is_final: true, ago, idle }));
    assert_eq!(fake.machine.lag(PEER).unwrap().queued, 0);
    // Unless somebody has told this node of it meanwhile.
    fake.handle(Event::Insert { key, id: StateId { id: 2, ..id }, defer: Defer::Off });
    let now = fake.now;
    let (syn, _) = Conn::new(7, [0, 0]).packet((true, 0));
    let state = begin(now, StateId { id: 3, creator: 200 }, &syn, StateOptions::default());
    let record = Held::own(state, fake.machine.ownership()).record(now);
    let told = Told { record, is_insert: true, wants_ack: false, bulk: false };
    fake.say(class, &[Message::Told(Box::new(told))]);
    let id = StateId { id: 3, creator: 200 };
    fake.handle(Event::Delete(Delete { key, id, epoch: 0, is_final: true, ago, idle }));
    assert_eq!(fake.machine.lag(PEER).unwrap().queued, 1);
}

#[test]
fn news_of_a_removed_state_are_answered_with_its_removal() {
    let mut fake = Fake::up(|_| {});
    let id = StateId { id: 1, creator: MACHINE_INSTANCE };
    let held = Held::own(udp_state(fake.now, id, 5), fake.machine.ownership());
    let record = held.record(fake.now);
    let key = record.state.key;
    let (ago, idle) = (Duration::ZERO, Duration::ZERO);
    fake.handle(Event::Delete(Delete { key, id, epoch: 0, is_final: true, ago, idle }));
    fake.actions.clear();
    // The tag of UPD_C is found by trying it, as a peer would compute it.
    let mut progress = Progress { key, tag: 0, idle, ends: record.state.ends };
    let told = Told { record, is_insert: false, wants_ack: false, bulk: false };
    fake.say(Class::Ordered(0), &[Message::Told(Box::new(told))]);
    assert!(!progress.is_of(id, 0));
    progress.tag = Progress::tag_of(id, 0);
    fake.say(Class::Datagram, &[Message::Progress(progress)]);
    let applied = fake.actions.iter().filter(|action| matches!(action, Action::Apply { .. }));
    assert_eq!(applied.count(), 0);
    assert_eq!(fake.machine.counters(PEER).unwrap().late, 2);
}
