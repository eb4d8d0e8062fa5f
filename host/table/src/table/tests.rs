use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier};
use std::thread;

use evergate_state::Side;
use evergate_wire::Timestamp;

use super::*;
use crate::testing::{key, packet, state, table, table_of};

#[test]
fn what_was_inserted_is_hit_and_nothing_else() {
    let table = table_of(4, 1_000);
    for number in 0..1_000 {
        assert_eq!(table.hit(&key(number), |state| state.id().id), Some(number.into()));
    }
    assert_eq!(table.hit(&key(1_000), |_| unreachable!()), None::<()>);
    assert_eq!((table.len(), table.is_empty()), (1_000, false));
}

#[test]
fn a_hit_changes_the_state_in_place() {
    let table = table_of(4, 10);
    let track = |state: &mut State| state.track(Timestamp::ZERO, Side::Lo, &packet(3));
    for _ in 0..3 {
        let _ = table.hit(&key(3), track).unwrap();
    }
    assert_eq!(table.hit(&key(3), |state| state.packets(Side::Lo)), Some(4));
    assert_eq!(table.hit(&key(4), |state| state.packets(Side::Lo)), Some(1));
}

#[test]
fn a_taken_key_is_not_inserted_again() {
    let table = table_of(4, 10);
    assert_eq!(table.insert(state(5)), Err(InsertError::Exists));
    assert_eq!(table.len(), 10);
}

#[test]
fn at_the_limit_new_states_are_refused_and_old_ones_live_on() {
    let table = table(4, 3);
    for number in 0..3 {
        assert_eq!(table.insert(state(number)), Ok(()));
    }
    assert_eq!(table.insert(state(3)), Err(InsertError::Limit));
    // That the key is taken is the better answer of the two.
    assert_eq!(table.insert(state(0)), Err(InsertError::Exists));
    assert_eq!(table.len(), 3);
    assert!((0..3).all(|number| table.hit(&key(number), |_| ()).is_some()));
    assert!(table.remove(&key(1)));
    assert_eq!(table.insert(state(3)), Ok(()));
}

#[test]
fn the_limit_can_be_changed() {
    let table = table(4, 1);
    table.insert(state(0)).unwrap();
    table.set_limit(2);
    table.insert(state(1)).unwrap();
    table.set_limit(1);
    assert_eq!((table.len(), table.limit()), (2, 1));
    assert!(table.remove(&key(0)));
    assert_eq!(table.insert(state(0)), Err(InsertError::Limit));
}

#[test]
fn only_what_was_asked_for_is_removed() {
    let table = table_of(4, 100);
    assert!(table.remove(&key(7)));
    assert!(!table.remove(&key(7)));
    assert!(!table.remove(&key(100)));
    assert!(!table.remove_if(&key(8), |state| state.id().id != 8));
    assert!(table.remove_if(&key(8), |state| state.id().id == 8));
    assert_eq!(table.len(), 98);
    for number in 0..100 {
        let found = table.hit(&key(number), |_| ()).is_some();
        assert_eq!(found, number != 7 && number != 8, "{number}");
    }
}

#[test]
fn any_number_of_shards_is_made_a_possible_one() {
    for (asked, got) in [(0, 2), (1, 2), (3, 4), (4096, 4096), (usize::MAX, 65_536)] {
        assert_eq!(table(asked, 1).shards(), got, "{asked}");
    }
}

#[test]
fn states_spread_evenly_over_shards() {
    let table = table_of(64, 6_400);
    for shard in table.slots.shards() {
        let states = shard.read().len();
        assert!((50..=160).contains(&states), "{states} states in a shard, 100 expected");
    }
}

/// Several threads insert the same keys at once: of each exactly one wins.
#[test]
fn of_equal_inserts_exactly_one_wins() {
    const THREADS: usize = 4;
    const KEYS: u32 = 2_000;
    let table = table(16, u64::MAX);
    let wins = AtomicUsize::new(0);
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for number in 0..KEYS {
                    match table.insert(state(number)) {
                        Ok(()) => wins.fetch_add(1, Ordering::Relaxed),
                        Err(InsertError::Exists) => 0,
                        Err(InsertError::Limit) => unreachable!("there is no limit"),
                    };
                }
            });
        }
    });
    assert_eq!(wins.into_inner(), KEYS as usize);
    assert_eq!(table.len(), u64::from(KEYS));
}

/// Threads insert and remove different keys around the limit: it is never passed,
/// and the count is right in the end.
#[test]
fn the_limit_holds_between_threads() {
    // Fewer than the keys of one thread, so that each meets it.
    const LIMIT: u64 = 30;
    let table = table(16, LIMIT);
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (table, barrier) = (&table, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let mut refused = 0;
                for round in 0..2_000 {
                    let number = thread * 1_000 + round % 40;
                    match table.insert(state(number)) {
                        Ok(()) => {}
                        Err(InsertError::Exists) => assert!(table.remove(&key(number))),
                        Err(InsertError::Limit) => refused += 1,
                    }
                    assert!(table.len() <= LIMIT);
                }
                assert!(refused > 0);
            });
        }
    });
    let counted = table.len();
    let left = (0..4_000).filter(|number| table.remove(&key(*number))).count();
    assert_eq!((left as u64, table.len()), (counted, 0));
}

#[test]
fn hits_of_several_threads_on_one_state_all_count() {
    let table = Arc::new(table_of(2, 1));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let hit = |state: &mut State| {
                        let _ = state.track(Timestamp::ZERO, Side::Lo, &packet(0));
                    };
                    table.hit(&key(0), hit).unwrap();
                }
            });
        }
    });
    assert_eq!(table.hit(&key(0), |state| state.packets(Side::Lo)), Some(3_001));
}

/// A panic in a closure must not lose the state to others.
#[test]
fn a_state_survives_a_panic_of_who_held_it() {
    let table = table_of(2, 1);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        table.hit(&key(0), |_| panic!("of the test"));
    }));
    assert!(result.is_err());
    assert_eq!(table.hit(&key(0), |state| state.id().id), Some(0));
    assert!(table.remove(&key(0)));
}
