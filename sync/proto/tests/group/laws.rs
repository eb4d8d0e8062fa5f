//! What merging records does, whatever comes in whatever order: tables end equal.

use std::time::Duration;

use evergate_state::{
    Ends, Exported, Side, StateId, StateOptions, TcpPeer, TcpState, Timeout, WindowScale,
};
use evergate_sync_proto::{Claim, Held, Name, Outcome, Record};
use evergate_wire::Timestamp;
use proptest::prelude::*;

use crate::packets::Conn;

const NOW: Timestamp = Timestamp::from_nanos(1_000_000_000_000);

fn any_peer() -> impl Strategy<Value = TcpPeer> {
    let wscale = prop_oneof![
        Just(WindowScale::AWAITED),
        Just(WindowScale::UNKNOWN),
        Just(WindowScale::shift_by(7)),
    ];
    // Across the end of the sequence space.
    let number = (0_u32..1 << 20).prop_map(|n| n.wrapping_sub(1 << 19));
    (prop::sample::select(&TcpState::ALL[..]), number.clone(), number, any::<u16>(), wscale)
        .prop_map(|(state, seqlo, seqhi, max_win, wscale)| TcpPeer {
            seqlo,
            seqhi,
            max_win,
            wscale,
            state,
        })
}

/// Records of one key: of a few names, claims and revisions.
fn any_record() -> impl Strategy<Value = Record> {
    let facts = (0_u64..3, 0_u32..2, 0_u32..3, 0_u16..3, any::<[u16; 2]>());
    let extra = prop_oneof![Just(None), Just(Name::new(&[0x21, 1, 7]))];
    (any_peer(), any_peer(), facts, extra).prop_map(
        |(lo, hi, (id, creator, epoch, revision, counts), extra)| {
            let state = Exported {
                key: Conn::new(1000, [0, 0]).key(),
                id: StateId { id, creator },
                initiator: Side::Lo,
                ends: Ends::Tcp([lo, hi]),
                packets: counts.map(u64::from),
                bytes: counts.map(u64::from),
                age: Duration::from_secs(9),
                idle: Duration::from_secs(1),
                timeout: Timeout::TcpOpening,
                options: StateOptions { rule: id as u16, ..StateOptions::default() },
            };
            Record { state, claim: Claim { epoch, owner: creator }, revision, extra }
        },
    )
}

fn same_name(record: &Record) -> Record {
    let mut record = record.clone();
    record.state.id = StateId { id: 1, creator: 1 };
    record.state.options = StateOptions::default();
    record
}

fn merged(records: &[Record]) -> Record {
    let mut held = Held::begin(&records[0], NOW).unwrap();
    for record in &records[1..] {
        held.merge(record, NOW);
    }
    let mut record = held.record(NOW);
    // Kept to 67 ms only.
    record.state.age = Duration::ZERO;
    // A matter of who saw which packet.
    record.state.timeout = Timeout::TcpOpening;
    record
}

/// Two tables that tell each other until neither learns anything.
fn until_quiet(a: &mut Held, b: &mut Held) {
    for _ in 0..8 {
        let before = (a.record(NOW), b.record(NOW));
        let (to_b, to_a) = (a.record(NOW), b.record(NOW));
        let outcomes = (a.merge(&to_a, NOW), b.merge(&to_b, NOW));
        if outcomes == (Outcome::Taken, Outcome::Taken) {
            assert_eq!(before, (a.record(NOW), b.record(NOW)));
            return;
        }
    }
    panic!("they go on for ever: {:?} {:?}", a.record(NOW), b.record(NOW));
}

proptest! {
    #[test]
    fn records_of_one_state_merge_in_any_order_and_any_number(
        records in prop::collection::vec(any_record(), 1..6),
        order in any::<prop::sample::Index>(),
        again in any::<prop::sample::Index>(),
    ) {
        let records: Vec<Record> = records.iter().map(same_name).collect();
        let mut other = records.clone();
        other.rotate_left(order.index(records.len()));
        other.reverse();
        other.push(records[again.index(records.len())].clone());
        prop_assert_eq!(merged(&records), merged(&other));
    }

    #[test]
    fn merging_is_associative(a in any_record(), b in any_record(), c in any_record()) {
        let [a, b, c] = [a, b, c].map(|record| same_name(&record));
        let left = merged(&[merged(&[a.clone(), b.clone()]), c.clone()]);
        let right = merged(&[a, merged(&[b, c])]);
        prop_assert_eq!(left, right);
    }

    /// With names that differ, what is joined may depend on the order; but two
    /// tables that have heard different things in different orders still agree in
    /// the end.
    #[test]
    fn tables_agree_once_each_has_heard_the_other(
        heard_by_a in prop::collection::vec(any_record(), 1..5),
        heard_by_b in prop::collection::vec(any_record(), 1..5),
    ) {
        let hear = |records: &[Record]| {
            let mut held = Held::begin(&records[0], NOW).unwrap();
            for record in &records[1..] {
                held.merge(record, NOW);
            }
            held
        };
        let (mut a, mut b) = (hear(&heard_by_a), hear(&heard_by_b));
        until_quiet(&mut a, &mut b);
        let (a, b) = (a.record(NOW), b.record(NOW));
        prop_assert_eq!(a.state.ends, b.state.ends);
        prop_assert_eq!((a.state.id, a.claim, a.revision), (b.state.id, b.claim, b.revision));
        prop_assert_eq!((a.state.options, a.extra), (b.state.options, b.extra));
        let greatest = heard_by_a.iter().chain(&heard_by_b).map(|record| record.state.id).max();
        prop_assert_eq!(Some(a.state.id), greatest);
    }

    /// What a merge says is what it did: nobody waits for an answer that does not
    /// come, and nobody answers what is known.
    #[test]
    fn outcomes_are_true(a in any_record(), b in any_record()) {
        let mut held = Held::begin(&a, NOW).unwrap();
        let outcome = held.merge(&b, NOW);
        let known = |record: &Record| {
            let Record { state, claim, revision, extra } = record;
            (state.id, state.ends, *claim, *revision, extra.clone())
        };
        let after = known(&held.record(NOW));
        match outcome {
            Outcome::Taken => prop_assert_eq!(after, known(&b)),
            Outcome::Stale => {
                prop_assert_eq!(&after, &known(&a));
                prop_assert_ne!(after, known(&b));
            }
            Outcome::Joined => {
                prop_assert_ne!(&after, &known(&a));
                prop_assert_ne!(after, known(&b));
            }
            Outcome::Unknown
            | Outcome::OtherName
            | Outcome::NotHeld
            | Outcome::Full
            | Outcome::Survived
            | Outcome::RemovedOther
            | Outcome::Refused => prop_assert!(false, "{:?}", outcome),
        }
    }
}
