use evergate_wire::{Af, TcpFlags};
use proptest::prelude::*;

use super::*;
use crate::testing::{ACK, SYN, SYN_ACK, begin, echo, seconds, segment, tcp, udp, v4, v6};
use crate::{Track, Tracking};

fn exported(state: &State, at_s: u64) -> Exported {
    state.export(seconds(at_s))
}

fn established() -> State {
    let mut state = begin(seconds(100), &tcp(Side::Lo, segment(SYN, 1000, 0)), Tracking::Strict);
    let answer = tcp(Side::Hi, segment(SYN_ACK, 5000, 1001));
    assert_eq!(state.track(seconds(101), Side::Hi, &answer), Track::Pass);
    let ack = tcp(Side::Lo, segment(ACK, 1001, 5001));
    assert_eq!(state.track(seconds(102), Side::Lo, &ack), Track::Pass);
    state
}

#[test]
fn a_state_survives_export_and_import_on_another_clock() {
    let facts = exported(&established(), 110);
    let copy = State::import(&facts, seconds(5000)).unwrap();
    assert_eq!(copy.last_seen(), seconds(4992));
    let again = copy.export(seconds(5000));
    assert!(again.age.abs_diff(facts.age) < CoarseTime::RESOLUTION, "{:?}", again.age);
    assert_eq!(Exported { age: facts.age, ..again }, facts);
}

#[test]
fn ages_beyond_the_origin_of_the_clock_become_the_origin() {
    let facts = exported(&established(), 110);
    let copy = State::import(&facts, Timestamp::ZERO).unwrap();
    assert_eq!((copy.last_seen(), copy.created()), (Timestamp::ZERO, Timestamp::ZERO));
    let endless = Exported { age: Duration::MAX, idle: Duration::MAX, ..facts };
    assert_eq!(State::import(&endless, seconds(9)).unwrap().last_seen(), Timestamp::ZERO);
}

#[test]
fn facts_that_no_packet_could_make_are_refused() {
    let facts = exported(&established(), 110);
    let mut swapped = facts;
    swapped.key.addr.swap(0, 1);
    let mut foreign = facts;
    foreign.key.addr[1] = v6(1);
    let mut family = facts;
    family.key.af = Af::V6;
    let mut proto = facts;
    proto.key.proto = protocol::UDP;
    for (facts, error) in [
        (swapped, ImportError::Key),
        (foreign, ImportError::Key),
        (family, ImportError::Key),
        (proto, ImportError::Ends),
        (Exported { timeout: Timeout::UdpFirst, ..facts }, ImportError::Timeout),
        (Exported { timeout: Timeout::Interval, ..facts }, ImportError::Timeout),
    ] {
        assert_eq!(State::import(&facts, seconds(1)).unwrap_err(), error, "{error}");
    }
}

#[test]
fn icmp_states_of_either_order_are_taken() {
    for (src, dst) in [(v4(1), v4(2)), (v4(2), v4(1)), (v6(9), v6(3))] {
        let facts = exported(&begin(seconds(1), &echo(src, dst, 7, true), Tracking::Strict), 2);
        assert_eq!(facts.check(), Ok(()));
    }
}

/// With asymmetric routing one gateway sees a direction's data and the other its
/// acknowledgements: neither may be lost.
#[test]
fn numbers_and_windows_of_one_direction_are_joined_apart() {
    let (mut a, mut b) = (established(), established());
    let data = tcp(Side::Lo, evergate_wire::Tcp { data_len: 500, ..segment(ACK, 1001, 5001) });
    assert_eq!(a.track(seconds(103), Side::Lo, &data), Track::Pass);
    let ack = tcp(Side::Hi, segment(ACK, 5001, 1501));
    assert_eq!(b.track(seconds(104), Side::Hi, &ack), Track::Pass);
    let merge = a.merge(&exported(&b, 105), seconds(205)).unwrap();
    assert_eq!(merge, Merge { learned: true, stale: true });
    let client = a.tcp_peer(Side::Lo).unwrap();
    assert_eq!((client.seqlo, client.seqhi), (1501, 1501 + 65_535));
    assert_eq!(a.last_seen(), seconds(204));
}

#[test]
fn a_merge_never_goes_back() {
    let early = exported(&established(), 110);
    let mut state = established();
    let fin = tcp(Side::Lo, segment(TcpFlags::FIN.union(ACK), 1001, 5001));
    assert_eq!(state.track(seconds(103), Side::Lo, &fin), Track::Pass);
    let before = exported(&state, 110);
    assert_eq!(state.merge(&early, seconds(110)), Ok(Merge { learned: false, stale: true }));
    assert_eq!(exported(&state, 110), before);
}

#[test]
fn two_creations_of_one_connection_become_one() {
    // The SYN went through one gateway, its answer through the other.
    let syn = begin(seconds(10), &tcp(Side::Lo, segment(SYN, 1000, 0)), Tracking::Strict);
    let answer = begin(seconds(10), &tcp(Side::Hi, segment(SYN_ACK, 5000, 1001)), Tracking::Loose);
    let mut second = exported(&answer, 11);
    second.id = StateId { id: second.id.id + 1, ..second.id };
    let (mut a, mut b) = (syn.clone(), State::import(&second, seconds(11)).unwrap());
    assert_eq!(a.merge(&second, seconds(11)), Ok(Merge { learned: true, stale: true }));
    assert_eq!(b.merge(&exported(&syn, 11), seconds(11)), Ok(Merge { learned: true, stale: true }));
    assert_eq!((a.ends(), a.id(), a.options()), (b.ends(), b.id(), b.options()));
    assert_eq!(a.id(), second.id);
    assert_eq!(a.tcp_peer(Side::Lo).unwrap().seqlo, 1000);
    assert_eq!(a.tcp_peer(Side::Hi).unwrap().seqlo, 5001);
}

#[test]
fn a_finished_connection_gives_way_to_the_next_on_its_ports() {
    let mut old = exported(&established(), 110);
    let Ends::Tcp(peers) = &mut old.ends else { panic!() };
    peers.iter_mut().for_each(|peer| peer.state = TcpState::FinWait2);
    let new = begin(seconds(110), &tcp(Side::Lo, segment(SYN, 77, 0)), Tracking::Strict);
    let mut new = exported(&new, 110);
    new.id.id = old.id.id + 1;
    let mut held = State::import(&old, seconds(110)).unwrap();
    assert_eq!(held.merge(&new, seconds(110)), Ok(Merge { learned: true, stale: false }));
    assert_eq!(held.ends(), new.ends);
    assert_eq!(held.merge(&old, seconds(110)), Ok(Merge { learned: false, stale: true }));
    assert_eq!(held.ends(), new.ends);
}

#[test]
fn ends_of_another_protocol_are_refused() {
    let mut state = established();
    let ends = begin(seconds(1), &udp(Side::Lo, 1), Tracking::Strict).ends();
    assert_eq!(state.merge_ends(&ends, Duration::ZERO, seconds(103)), None);
    let other = exported(&begin(seconds(1), &udp(Side::Lo, 1), Tracking::Strict), 2);
    assert_eq!(state.merge(&other, seconds(103)), Err(ImportError::Key));
}

fn any_peer() -> impl Strategy<Value = TcpPeer> {
    let wscale = prop_oneof![
        Just(WindowScale::AWAITED),
        Just(WindowScale::ABSENT),
        Just(WindowScale::UNKNOWN),
        (0_u8..=14).prop_map(WindowScale::shift_by),
    ];
    // Within a quarter of the space, across its end.
    let number = (0_u32..1 << 30).prop_map(|n| n.wrapping_sub(1 << 29));
    (prop::sample::select(&TcpState::ALL[..]), number.clone(), number, any::<u16>(), wscale)
        .prop_map(|(state, seqlo, seqhi, max_win, wscale)| TcpPeer {
            seqlo,
            seqhi,
            max_win,
            wscale,
            state,
        })
}

fn any_ends() -> impl Strategy<Value = Ends> {
    [any_peer(), any_peer()].prop_map(Ends::Tcp)
}

proptest! {
    #[test]
    fn joining_is_commutative_associative_and_idempotent(
        a in any_ends(), b in any_ends(), c in any_ends(),
    ) {
        let join = |a: &Ends, b: &Ends| a.join(b).unwrap();
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a);
        prop_assert_eq!(join(&join(&a, &b), &a), join(&a, &b));
    }

    #[test]
    fn what_a_merge_tells_is_what_it_did(a in any_ends(), b in any_ends()) {
        let facts = exported(&established(), 110);
        let mut state = State::import(&Exported { ends: a, ..facts }, seconds(110)).unwrap();
        let merge = state.merge(&Exported { ends: b, ..facts }, seconds(110)).unwrap();
        prop_assert_eq!(merge.learned, state.ends() != a);
        prop_assert_eq!(merge.stale, state.ends() != b);
    }
}
