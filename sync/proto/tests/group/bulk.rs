//! Bulk updates: as fast as the way out takes them, through interruptions, and
//! never believed before they are true.

use std::time::Duration;

use evergate_state::StateOptions;
use evergate_sync_proto::{
    Action, Class, Defer, Entry, EntryKey, EntryKind, Event, Held, LinkState, Name, NodeId,
    PeerStatus, STREAM_PACKET_MAX,
};
use evergate_wire::Addr;

use crate::packets::udp_state;
use crate::world::{Nature, World, node_id};

const MILLI: Duration = Duration::from_millis(1);

fn fill(world: &mut World, at: usize, ports: std::ops::Range<u16>) {
    for port in ports {
        let id = world.next_id(at);
        let state = udp_state(world.clock(at), id, port);
        let held = Held::own(state, &world.nodes[at].ownership);
        world.insert(at, held, Defer::Off);
    }
}

fn status(world: &World, at: usize, peer: usize) -> PeerStatus {
    world.nodes[at].machine.peer_status(node_id(peer)).unwrap()
}

#[test]
fn a_whole_table_goes_over_in_one_breath() {
    let mut world = World::new(1, Nature::default());
    fill(&mut world, 0, 0..20_000);
    world.join(0, 1);
    world.run(MILLI * 100);
    assert_eq!(world.nodes[1].table.len(), 20_000);
    assert!(world.in_sync());
    let sent = world.sent[&(0, 1)];
    assert!(sent.bytes < 20_000 * 80, "{sent:?}");
}

#[test]
fn coverage_is_measured_and_full_only_at_the_end() {
    let mut world = World::new(2, Nature { shell_us: 2000, ..Nature::default() });
    fill(&mut world, 0, 0..10_000);
    world.join(0, 1);
    let mut seen = Vec::new();
    for _ in 0..1000 {
        world.run(MILLI);
        let PeerStatus { coverage_permille, in_sync, .. } = status(&world, 1, 0);
        let held = world.nodes[1].table.len();
        assert_eq!(in_sync, coverage_permille == 1000);
        assert!(!in_sync || held == 10_000, "in sync with {held}");
        // What has arrived may not be applied yet.
        assert!(held * 1000 / 10_000 <= usize::from(coverage_permille) + 1);
        seen.push(coverage_permille);
        if in_sync {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.last() == Some(&1000), "{seen:?}");
    seen.dedup();
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn an_interrupted_bulk_goes_on_where_it_stopped() {
    let mut world = World::new(3, Nature { shell_us: 1000, ..Nature::default() });
    fill(&mut world, 0, 0..10_000);
    world.join(0, 1);
    while world.nodes[1].table.len() < 6000 {
        world.run(MILLI);
    }
    let before = world.sent[&(0, 1)].bytes;
    world.cut(0, 1);
    assert!(!status(&world, 1, 0).in_sync);
    world.run(MILLI * 10);
    world.join(0, 1);
    world.run(MILLI * 2000);
    assert!(world.in_sync());
    assert_eq!(world.nodes[1].table.len(), 10_000);
    let after = world.sent[&(0, 1)].bytes - before;
    assert!(after < before, "{before} bytes before, {after} after");
}

#[test]
fn a_short_break_costs_what_has_changed() {
    let mut world = World::connected(4, Nature::default(), |_| {});
    fill(&mut world, 0, 0..5000);
    world.run(MILLI * 50);
    assert_eq!(world.nodes[1].table.len(), 5000);
    world.cut(0, 1);
    fill(&mut world, 0, 6000..6010);
    let key = *world.nodes[0].table.keys().next().unwrap();
    world.remove(0, &key, false);
    let before = world.sent[&(0, 1)].bytes;
    world.run(MILLI * 50);
    world.join(0, 1);
    world.run(MILLI * 50);
    assert!(world.in_sync());
    assert_eq!(world.nodes[1].table.len(), 5009);
    let cost = world.sent[&(0, 1)].bytes - before;
    assert!(cost < 3000, "{cost} bytes for 11 changes");
}

#[test]
fn a_long_absence_is_given_up_and_everything_is_sent_again() {
    let mut world =
        World::connected(5, Nature::default(), |config| config.hold = Duration::from_secs(2));
    fill(&mut world, 0, 0..100);
    world.run(MILLI * 50);
    world.cut(0, 1);
    world.run(Duration::from_secs(3));
    fill(&mut world, 0, 100..200);
    assert_eq!(world.nodes[0].machine.lag(node_id(1)).unwrap().queued, 0);
    world.join(0, 1);
    world.run(MILLI * 50);
    assert!(world.in_sync());
    assert_eq!(world.nodes[1].table.len(), 200);
}

#[test]
fn a_table_that_is_too_small_is_never_in_sync() {
    let mut world = World::new(6, Nature::default());
    fill(&mut world, 0, 0..1000);
    world.nature.limit = 800;
    world.join(0, 1);
    for _ in 0..30 {
        world.run(MILLI * 500);
        let status = status(&world, 1, 0);
        assert_eq!((status.link, status.in_sync), (LinkState::Up, false));
        assert!(status.coverage_permille < 1000);
    }
    world.nature.limit = usize::MAX;
    world.run(Duration::from_secs(6));
    assert!(world.in_sync());
    assert_eq!(world.nodes[1].table.len(), 1000);
}

#[test]
fn a_congested_way_out_stops_the_bulk_and_holds_little() {
    let mut world = World::new(7, Nature::default());
    fill(&mut world, 0, 0..20_000);
    world.join(0, 1);
    world.run(Duration::from_micros(700));
    let lanes = [Class::Ordered(0), Class::Ordered(1)];
    let say = |world: &mut World, writable| {
        for class in lanes {
            world.tell(0, Event::Writable { peer: NodeId(2), class, writable });
        }
    };
    say(&mut world, false);
    let before = world.sent[&(0, 1)].bytes;
    world.run(Duration::from_secs(1));
    let overrun = world.sent[&(0, 1)].bytes - before;
    assert!(overrun < 4 * STREAM_PACKET_MAX as u64, "{overrun} bytes after congestion");
    assert!(world.nodes[1].table.len() < 15_000);
    say(&mut world, true);
    world.run(MILLI * 200);
    assert_eq!(world.nodes[1].table.len(), 20_000);
    assert!(world.in_sync());
}

#[test]
fn live_changes_do_not_wait_for_the_bulk() {
    let mut world = World::new(8, Nature { shell_us: 2000, ..Nature::default() });
    fill(&mut world, 0, 0..20_000);
    world.join(0, 1);
    world.run(MILLI * 30);
    assert!(!status(&world, 1, 0).in_sync);
    fill(&mut world, 0, 60_000..60_001);
    world.run(MILLI * 20);
    let arrived = world.nodes[1].table.keys().any(|key| key.port.contains(&60_000));
    assert!(arrived && !status(&world, 1, 0).in_sync);
}

#[test]
fn a_restarted_node_gets_all_back_from_all() {
    let mut world = World::connected(9, Nature { nodes: 3, ..Nature::default() }, |_| {});
    for at in 0..3 {
        let first = at as u16 * 1000;
        fill(&mut world, at, first..first + 500);
    }
    world.run(MILLI * 50);
    world.crash(1);
    world.run(MILLI * 50);
    world.restart(1);
    world.heal();
    world.run(MILLI * 100);
    assert!(world.in_sync());
    for node in &world.nodes {
        assert_eq!(node.table.len(), 1500);
    }
}

fn entry(number: u8, value: u64) -> Entry {
    let key = EntryKey {
        kind: EntryKind::Table,
        name: Name::new(b"bad").unwrap(),
        addr: Addr::from_v4_octets([10, 0, 0, number]),
        prefix_len: 128,
    };
    Entry { key, removed: false, ttl: Some(Duration::from_secs(60)), value }
}

#[test]
fn entries_of_tables_travel_live_in_bulk_and_through_breaks() {
    let mut world = World::new(10, Nature::default());
    for (number, value) in [(1, 1), (2, 2)] {
        let entry = entry(number, value);
        world.nodes[0].entries.insert(entry.key.clone(), entry);
    }
    world.join(0, 1);
    world.run(MILLI * 50);
    assert_eq!(world.nodes[1].entries, world.nodes[0].entries);
    let change = |world: &mut World, number, value| {
        let entry = entry(number, value);
        world.nodes[0].entries.insert(entry.key.clone(), entry.clone());
        world.tell(0, Event::Entry(entry));
    };
    change(&mut world, 3, 3);
    world.cut(0, 1);
    for value in 4..50 {
        change(&mut world, 2, value);
    }
    world.run(MILLI * 50);
    world.join(0, 1);
    world.run(MILLI * 50);
    let values = |world: &World, at: usize| -> Vec<u64> {
        world.nodes[at].entries.values().map(|entry| entry.value).collect()
    };
    assert_eq!(values(&world, 1), vec![1, 49, 3]);
    let left = world.nodes[1].entries.values().last().unwrap().ttl.unwrap();
    assert!((59..60).contains(&left.as_secs()), "the wait counts: {left:?}");
}

#[test]
fn a_flood_of_entries_waits_within_bounds_and_its_losses_are_told() {
    let mut world = World::connected(11, Nature::default(), |_| {});
    world.cut(0, 1);
    for value in 0..70_000 {
        world.tell(0, Event::Entry(entry(1, value)));
    }
    assert_eq!(world.nodes[0].entries_lost, 70_000 - 65_536);
    world.join(0, 1);
    world.run(Duration::from_secs(1));
    let values: Vec<u64> = world.nodes[1].entries.values().map(|entry| entry.value).collect();
    assert_eq!(values, vec![69_999]);
}

/// The shell answers late, after the link is gone: nothing comes of it.
#[test]
fn answers_for_a_link_that_is_gone_are_passed_over() {
    use evergate_sync_proto::{Actions, Config, Machine};
    use evergate_wire::Timestamp;
    let peer = NodeId(2);
    let mut machine = Machine::new(Config::new(NodeId(1), 5, vec![peer], 1));
    let mut actions = Actions::new();
    let now = Timestamp::ZERO;
    machine.handle(now, Event::LinkUp { peer }, &mut actions);
    machine.handle(now, Event::LinkDown { peer }, &mut actions);
    actions.drain();
    let id = evergate_state::StateId { id: 1, creator: 5 };
    let state =
        crate::packets::begin(now, id, &crate::packets::udp(1, true), StateOptions::default());
    let record = Held::own(state, machine.ownership()).record(now);
    let (records, ticket) = (vec![Some(record.clone())], 1);
    machine.handle(now, Event::Fetched { peer, ticket, records }, &mut actions);
    let (records, entries, next) = (vec![record], vec![], None);
    let page = Event::PageRead { peer, ticket, records, entries, next, total: 1 };
    machine.handle(now, page, &mut actions);
    assert!(actions.drain().all(|action| !matches!(action, Action::Send { .. })));
}
