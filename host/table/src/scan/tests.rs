use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use evergate_state::{Side, Timeouts};
use evergate_wire::Timestamp;

use super::*;
use crate::testing::{key, packet, state, table_of};

/// Walks through everything in steps of `shards`; tells the ids and the steps.
fn ids(table: &Table, shards: usize) -> (Vec<u64>, usize) {
    let (mut ids, mut steps) = (Vec::new(), 0);
    let mut next = Some(Cursor::START);
    while let Some(cursor) = next {
        next = table.page(cursor, shards, &mut |state| ids.push(state.id().id));
        steps += 1;
    }
    (ids, steps)
}

fn sweep(table: &Table, dead: impl Fn(&State) -> bool) -> Vec<u64> {
    let mut removed = Vec::new();
    let mut next = Some(Cursor::START);
    while let Some(cursor) = next {
        next = table.sweep(cursor, 3, &dead, &mut |state| removed.push(state.id().id));
    }
    removed.sort_unstable();
    removed
}

#[test]
fn pages_show_every_state_once() {
    let table = table_of(16, 500);
    for (shards, steps) in [(0, 16), (1, 16), (5, 4), (16, 1), (usize::MAX, 1)] {
        let (mut ids, took) = ids(&table, shards);
        ids.sort_unstable();
        assert_eq!(ids, (0..500).collect::<Vec<_>>());
        assert_eq!(took, steps, "{shards} shards at a time");
    }
}

#[test]
fn an_old_cursor_past_the_end_shows_nothing() {
    let table = table_of(4, 10);
    let next = table.page(Cursor(99), 1, &mut |_| unreachable!());
    assert_eq!(next, None);
}

#[test]
fn a_visitor_may_call_the_table() {
    let table = table_of(4, 50);
    let mut kept = 0;
    let next = table.page(Cursor::START, 4, &mut |state| {
        kept += usize::from(table.hit(state.key(), |_| ()).is_some());
        assert!(table.remove(state.key()));
    });
    assert_eq!((kept, next, table.len()), (50, None, 0));
}

#[test]
fn what_stays_is_seen_by_a_walk_during_which_others_come_and_go() {
    let table = table_of(8, 200);
    let (mut seen, mut next, mut other) = (Vec::new(), Some(Cursor::START), 200);
    while let Some(cursor) = next {
        next = table.page(cursor, 1, &mut |state| seen.push(state.id().id));
        for _ in 0..50 {
            table.insert(state(other)).unwrap();
            other += 1;
        }
        table.remove(&key(other - 10));
    }
    let stayed = seen.iter().filter(|id| **id < 200).count();
    assert_eq!(stayed, 200);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
}

#[test]
fn a_sweep_removes_the_dead_and_shows_each_once() {
    // More than one batch in a shard.
    let table = table_of(2, 500);
    let removed = sweep(&table, |state| state.id().id % 3 == 0);
    assert_eq!(removed, (0..500).filter(|id| id % 3 == 0).collect::<Vec<_>>());
    assert_eq!(table.len(), 500 - removed.len() as u64);
    for number in 0..500 {
        assert_eq!(table.hit(&key(number), |_| ()).is_some(), number % 3 != 0);
    }
    assert_eq!(sweep(&table, |state| state.id().id % 3 == 0), []);
}

#[test]
fn a_sweep_that_finds_nothing_dead_changes_nothing() {
    let table = table_of(2, 100);
    assert_eq!(sweep(&table, |_| false), []);
    assert_eq!(table.len(), 100);
}

/// A packet comes between the scan and the removal.
#[test]
fn a_state_that_is_refreshed_in_the_last_moment_stays() {
    let table = table_of(2, 10);
    let asked = AtomicBool::new(false);
    let removed = sweep(&table, |state| {
        // The first question about state 4 says dead, the second does not.
        state.id().id != 4 || !asked.swap(true, Ordering::Relaxed)
    });
    assert_eq!(removed, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert!(table.hit(&key(4), |_| ()).is_some());
}

#[test]
fn expired_states_are_swept_and_the_report_has_their_last_counters() {
    let table = table_of(4, 100);
    let (timeouts, late) = (Timeouts::default(), Timestamp::from_nanos(61_000_000_000));
    let refreshed = Timestamp::from_nanos(40_000_000_000);
    let track = |state: &mut State| state.track(refreshed, Side::Lo, &packet(7));
    let _ = table.hit(&key(7), track).unwrap();
    let dead = |state: &State| state.expired(late, &timeouts, table.len());
    assert_eq!(sweep(&table, dead).len(), 99);
    assert_eq!(ids(&table, 1).0, [7]);
    let later = Timestamp::from_nanos(70_000_000_000);
    let mut packets = 0;
    table.sweep(Cursor::START, 4, &|state| state.expired(later, &timeouts, 1), &mut |state| {
        packets = state.packets(Side::Lo)
    });
    assert_eq!((packets, table.len()), (2, 0));
}

/// Sweeps, pages, hits, inserts and removals at once: nothing is lost or counted
/// twice.
#[test]
fn sweeps_run_beside_traffic() {
    let table = table_of(32, 2_000);
    let done = AtomicBool::new(false);
    let swept = thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            let mut swept = 0;
            while !done.load(Ordering::Relaxed) {
                swept += sweep(&table, |state| state.id().id % 2 == 1).len();
                ids(&table, 4);
            }
            swept + sweep(&table, |state| state.id().id % 2 == 1).len()
        });
        let traffic = scope.spawn(|| {
            for number in 0..10_000 {
                assert!(table.hit(&key(number % 1_000 * 2), |_| ()).is_some());
                table.insert(state(2_000 + number)).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        traffic.join().unwrap();
        sweeper.join().unwrap()
    });
    assert_eq!(swept, 6_000);
    assert_eq!(table.len(), 6_000);
    assert_eq!(ids(&table, 1).0.len(), 6_000);
}
