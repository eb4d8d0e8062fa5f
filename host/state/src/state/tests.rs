use std::net::Ipv4Addr;

use evergate_wire::{Icmp, IcmpKind, Tcp, protocol};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    ACK, FIN_ACK, ID, RST, SYN, SYN_ACK, begin, echo, options, other, packet, seconds, segment,
    tcp, udp, v4, v6,
};
use crate::{key_of, quoted_key};

const T0: u64 = 1_000;

#[test]
fn a_state_is_at_most_128_bytes() {
    assert!(size_of::<State>() <= 128, "{}", size_of::<State>());
}

fn track(state: &mut State, at_s: u64, packet: &Parsed) -> Track {
    let (key, side) = key_of(packet).unwrap();
    assert_eq!(key, *state.key());
    state.track(seconds(at_s), side, packet)
}

/// Tracks a packet that has to pass and tells the timeout that follows.
fn pass(state: &mut State, at_s: u64, packet: &Parsed) -> &'static str {
    assert_eq!(track(state, at_s, packet), Track::Pass, "{packet:?}");
    state.timeout_kind().name()
}

fn names(state: &State) -> [&'static str; 2] {
    [state.peer_name(Side::Lo), state.peer_name(Side::Hi)]
}

fn lo(flags: evergate_wire::TcpFlags, seq: u32, ack: u32) -> Parsed {
    tcp(Side::Lo, segment(flags, seq, ack))
}

fn hi(flags: evergate_wire::TcpFlags, seq: u32, ack: u32) -> Parsed {
    tcp(Side::Hi, segment(flags, seq, ack))
}

fn established() -> State {
    let mut state = begin(seconds(T0), &lo(SYN, 100, 0), Tracking::Strict);
    assert_eq!(pass(&mut state, T0, &hi(SYN_ACK, 900, 101)), "tcp.opening");
    assert_eq!(pass(&mut state, T0, &lo(ACK, 101, 901)), "tcp.established");
    state
}

#[test]
fn a_connection_walks_through_all_timeouts() {
    let mut state = begin(seconds(T0), &lo(SYN, 100, 0), Tracking::Strict);
    assert_eq!((state.timeout_kind().name(), names(&state)), ("tcp.first", ["SYN_SENT", "CLOSED"]));
    for (packet, kind, states) in [
        (lo(SYN, 100, 0), "tcp.opening", ["SYN_SENT", "CLOSED"]),
        (hi(SYN_ACK, 900, 101), "tcp.opening", ["ESTABLISHED", "SYN_SENT"]),
        (lo(ACK, 101, 901), "tcp.established", ["ESTABLISHED", "ESTABLISHED"]),
        (lo(FIN_ACK, 101, 901), "tcp.closing", ["CLOSING", "ESTABLISHED"]),
        (hi(ACK, 901, 102), "tcp.closing", ["FIN_WAIT_2", "ESTABLISHED"]),
        (hi(FIN_ACK, 901, 102), "tcp.finwait", ["FIN_WAIT_2", "CLOSING"]),
        (lo(ACK, 102, 902), "tcp.closed", ["FIN_WAIT_2", "FIN_WAIT_2"]),
    ] {
        assert_eq!(pass(&mut state, T0, &packet), kind);
        assert_eq!(names(&state), states);
    }
    assert_eq!(track(&mut state, T0, &lo(SYN, 7_000_000, 0)), Track::Reopen);
}

#[test]
fn a_reset_closes_both_ends() {
    let mut state = established();
    assert_eq!(pass(&mut state, T0, &hi(RST, 901, 0)), "tcp.closed");
    assert_eq!(names(&state), ["TIME_WAIT", "TIME_WAIT"]);
    assert_eq!(track(&mut state, T0, &hi(SYN, 1, 0)), Track::Reopen);
}

#[test]
fn a_refused_packet_neither_counts_nor_refreshes() {
    let mut state = established();
    let before = state.clone();
    let far = Tcp { data_len: 10, ..segment(ACK, 50_000_000, 901) };
    for (packet, expected) in [
        (tcp(Side::Lo, far), Track::Drop(DropReason::StateMismatch)),
        (lo(SYN, 100, 0), Track::ChallengeAck { seq: 901, ack: 101 }),
        (hi(SYN, 5, 0), Track::ChallengeAck { seq: 101, ack: 901 }),
    ] {
        assert_eq!(track(&mut state, T0 + 50, &packet), expected);
        assert_eq!(format!("{state:?}"), format!("{before:?}"));
    }
}

#[test]
fn a_misfit_in_the_handshake_is_answered_with_a_reset() {
    let mut state = begin(seconds(T0), &lo(SYN, 100, 0), Tracking::Strict);
    let stale = hi(ACK, 5, 1_000_000);
    assert_eq!(track(&mut state, T0, &stale), Track::Reset { seq: 1_000_000 });
    assert_eq!(state.packets(Side::Hi), 0);
    assert_eq!(pass(&mut state, T0, &hi(SYN_ACK, 900, 101)), "tcp.opening");
}

#[test]
fn a_loosely_accepted_packet_counts_but_does_not_refresh() {
    let mut state = established();
    pass(&mut state, T0 + 1, &lo(FIN_ACK, 101, 901));
    pass(&mut state, T0 + 2, &hi(ACK, 901, 102));
    let beyond = Tcp { data_len: 10, ..segment(ACK, 102 + 70_000, 901) };
    let count = state.packets(Side::Lo);
    assert_eq!(pass(&mut state, T0 + 9, &tcp(Side::Lo, beyond)), "tcp.closing");
    assert_eq!((state.last_seen(), state.packets(Side::Lo)), (seconds(T0 + 2), count + 1));
}

#[test]
fn udp_ends_are_none_single_and_multiple() {
    let mut state = begin(seconds(T0), &udp(Side::Hi, 10), Tracking::Strict);
    assert_eq!(
        (state.timeout_kind().name(), names(&state)),
        ("udp.first", ["NO_TRAFFIC", "SINGLE"])
    );
    for (side, kind, states) in [
        (Side::Hi, "udp.single", ["NO_TRAFFIC", "SINGLE"]),
        (Side::Lo, "udp.single", ["SINGLE", "MULTIPLE"]),
        (Side::Lo, "udp.single", ["SINGLE", "MULTIPLE"]),
        (Side::Hi, "udp.multiple", ["MULTIPLE", "MULTIPLE"]),
        (Side::Lo, "udp.multiple", ["MULTIPLE", "MULTIPLE"]),
    ] {
        assert_eq!(pass(&mut state, T0, &udp(side, 10)), kind);
        assert_eq!(names(&state), states);
    }
    assert_eq!(state.initiator(), Side::Hi);
}

#[test]
fn other_protocols_have_their_own_timeouts() {
    let (there, back) = (other(v4(1), v4(2), 47), other(v4(2), v4(1), 47));
    let mut state = begin(seconds(T0), &there, Tracking::Strict);
    assert_eq!(state.timeout_kind(), Timeout::OtherFirst);
    assert_eq!(pass(&mut state, T0, &back), "other.single");
    assert_eq!(pass(&mut state, T0, &there), "other.multiple");
}

#[test]
fn a_query_state_lives_on_replies_and_further_requests() {
    for (a, b) in [(v4(2), v4(1)), (v6(1), v6(2))] {
        let mut state = begin(seconds(T0), &echo(a, b, 5, true), Tracking::Strict);
        assert_eq!(state.timeout_kind(), Timeout::IcmpFirst);
        assert_eq!(state.key().addr_of(state.initiator()), a);
        assert_eq!(pass(&mut state, T0 + 1, &echo(b, a, 5, false)), "icmp.error");
        assert_eq!(pass(&mut state, T0 + 2, &echo(a, b, 5, true)), "icmp.error");
        assert_eq!(state.last_seen(), seconds(T0 + 2));
    }
}

fn create(packet: &Parsed, key_from: &Parsed, tracking: Tracking) -> Result<State, DropReason> {
    let (key, side) = key_of(key_from).unwrap();
    State::create(ID, seconds(T0), key, side, packet, options(tracking))
}

#[test]
fn replies_errors_and_fragments_begin_no_state() {
    let reply = echo(v4(1), v4(2), 5, false);
    for tracking in [Tracking::Strict, Tracking::Loose] {
        assert_eq!(create(&reply, &reply, tracking).err(), Some(DropReason::StateMismatch));
    }
    let sloppy = create(&reply, &reply, Tracking::Sloppy).unwrap();
    assert_eq!(sloppy.initiator(), Side::Hi);
    let request = echo(v4(1), v4(2), 5, true);
    for (kind, reason) in [
        (IcmpKind::Error { quoted_offset: 28 }, DropReason::StateMismatch),
        (IcmpKind::NeighbourDiscovery, DropReason::StateMismatch),
    ] {
        let l4 = L4::Icmp(Icmp { type_: 3, code: 0, kind });
        let packet = packet(v4(1), v4(2), protocol::ICMP, l4);
        assert_eq!(create(&packet, &request, Tracking::Sloppy).err(), Some(reason));
    }
    let fragment = packet(v4(1), v4(2), protocol::UDP, L4::Fragment);
    let result = create(&fragment, &udp(Side::Lo, 1), Tracking::Sloppy);
    assert_eq!(result.err(), Some(DropReason::Fragment));
    let late = lo(ACK, 1, 1);
    assert_eq!(create(&late, &late, Tracking::Strict).err(), Some(DropReason::StateMismatch));
}

#[test]
fn a_packet_of_another_kind_does_not_fit() {
    let mut state = established();
    let drop = Track::Drop(DropReason::StateMismatch);
    assert_eq!(state.track(seconds(T0), Side::Lo, &udp(Side::Lo, 1)), drop);
    let mut state = begin(seconds(T0), &udp(Side::Lo, 1), Tracking::Strict);
    assert_eq!(state.track(seconds(T0), Side::Lo, &lo(ACK, 1, 1)), drop);
}

#[test]
fn packets_and_bytes_are_counted_per_direction() {
    let mut state = begin(seconds(T0), &udp(Side::Lo, 100), Tracking::Strict);
    pass(&mut state, T0, &udp(Side::Hi, 1_000));
    pass(&mut state, T0, &udp(Side::Hi, 65_000));
    assert_eq!((state.packets(Side::Lo), state.bytes(Side::Lo)), (1, 128));
    assert_eq!((state.packets(Side::Hi), state.bytes(Side::Hi)), (2, 66_056));
}

#[test]
fn options_come_back_as_they_were_given() {
    for (tracking, log, side) in [
        (Tracking::Strict, true, Side::Lo),
        (Tracking::Loose, false, Side::Hi),
        (Tracking::Sloppy, true, Side::Hi),
    ] {
        let options = StateOptions {
            tracking,
            timeouts: TimeoutSet(1),
            label: 2,
            tag: 3,
            policy: 4,
            rule: 5,
            in_if: 6,
            out_if: 7,
            log,
            allow_options: !log,
        };
        let packet = udp(side, 1);
        let (key, side) = key_of(&packet).unwrap();
        let state = State::create(ID, seconds(T0), key, side, &packet, options).unwrap();
        assert_eq!((state.options(), state.initiator(), state.id()), (options, side, ID));
        assert_eq!(state.timeout_set(), TimeoutSet(1));
        assert!(seconds(T0).since(state.created()) < Duration::from_millis(68));
    }
}

/// Every kind that a state can be under: alive until the very nanosecond.
#[test]
fn a_state_expires_exactly_when_its_timeout_is_over() {
    let timeouts = Timeouts::default();
    let mut states = vec![begin(seconds(T0), &lo(SYN, 100, 0), Tracking::Strict)];
    let mut connection = states[0].clone();
    for packet in [
        hi(SYN_ACK, 900, 101),
        lo(ACK, 101, 901),
        lo(FIN_ACK, 101, 901),
        hi(FIN_ACK, 901, 102),
        lo(ACK, 102, 902),
    ] {
        pass(&mut connection, T0, &packet);
        states.push(connection.clone());
    }
    for (first, packets) in [
        (udp(Side::Lo, 1), [udp(Side::Hi, 1), udp(Side::Lo, 1)]),
        (other(v4(1), v4(2), 50), [other(v4(2), v4(1), 50), other(v4(1), v4(2), 50)]),
        (echo(v4(1), v4(2), 1, true), [echo(v4(2), v4(1), 1, false), echo(v4(1), v4(2), 1, true)]),
    ] {
        let mut state = begin(seconds(T0), &first, Tracking::Strict);
        states.push(state.clone());
        for packet in packets {
            pass(&mut state, T0, &packet);
            states.push(state.clone());
        }
    }
    let mut kinds: Vec<Timeout> = states.iter().map(State::timeout_kind).collect();
    kinds.dedup();
    let tracked = |kind: &Timeout| {
        !matches!(kind, Timeout::TcpTsDiff | Timeout::Frag | Timeout::Interval | Timeout::SrcTrack)
    };
    let expected: Vec<Timeout> = Timeout::ALL.into_iter().filter(tracked).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, expected);
    let nano = Duration::from_nanos(1);
    for state in states {
        let end = seconds(T0).saturating_add(timeouts.of(state.timeout_kind()));
        let before = Timestamp::from_nanos(end.as_nanos() - 1);
        assert!(!state.expired(before, &timeouts, 1), "{state:?}");
        assert_eq!(state.expires_in(before, &timeouts, 1), nano);
        assert!(state.expired(end, &timeouts, 1));
        assert!(state.expired(end.saturating_add(nano), &timeouts, 1));
        assert_eq!(state.expires_in(end, &timeouts, 1), Duration::ZERO);
    }
}

#[test]
fn changed_timeouts_and_pressure_act_at_once() {
    let mut timeouts = Timeouts::default();
    let state = begin(seconds(T0), &udp(Side::Lo, 1), Tracking::Strict);
    let at = seconds(T0 + 20);
    assert!(!state.expired(at, &timeouts, 60_000));
    assert_eq!(state.expires_in(at, &timeouts, 60_000), Duration::from_secs(40));
    // At 100,000 of 60,000..120,000 a third is left: 20 s.
    assert!(state.expired(at, &timeouts, 100_000));
    assert!(!state.expired(seconds(T0 + 19), &timeouts, 100_000));
    assert!(state.expired(seconds(T0), &timeouts, 120_000));
    timeouts.set(Timeout::UdpFirst, Duration::from_secs(20));
    assert!(state.expired(at, &timeouts, 0));
}

#[test]
fn a_clock_read_before_another_workers_never_moves_a_state_back() {
    let mut state = begin(seconds(T0), &udp(Side::Lo, 1), Tracking::Strict);
    pass(&mut state, T0 + 5, &udp(Side::Lo, 1));
    pass(&mut state, T0 + 3, &udp(Side::Lo, 1));
    assert_eq!(state.last_seen(), seconds(T0 + 5));
    assert!(!state.expired(seconds(T0), &Timeouts::default(), 0));
}

fn quoted(of: &Parsed, l4: QuotedL4) -> Quoted {
    Quoted { af: of.af, proto: of.proto, src: of.src, dst: of.dst, l4_offset: of.l4_offset, l4 }
}

#[test]
fn an_error_must_quote_a_segment_from_the_window_of_its_sender() {
    let state = established();
    for (side, seq, expected) in [
        (Side::Lo, 101, true),
        (Side::Hi, 901, true),
        (Side::Lo, 101 + 65_536, false),
        (Side::Hi, 0x8000_0000, false),
    ] {
        let packet = tcp(side, segment(ACK, seq, 0));
        let (sport, dport) = packet.tcp().map(|tcp| (tcp.sport, tcp.dport)).unwrap();
        let quoted = quoted(&packet, QuotedL4::Tcp { sport, dport, seq });
        let (key, quoted_side) = quoted_key(&quoted).unwrap();
        assert_eq!((key, quoted_side), (*state.key(), side));
        assert_eq!(state.matches_error(quoted_side, &quoted), expected, "{side:?} {seq}");
    }
    let sloppy = begin(seconds(T0), &lo(SYN, 100, 0), Tracking::Sloppy);
    let any = quoted(&lo(ACK, 0, 0), QuotedL4::Tcp { sport: 1000, dport: 80, seq: 0x8000_0000 });
    assert!(sloppy.matches_error(Side::Lo, &any));
}

#[test]
fn errors_about_datagrams_match_by_their_key() {
    let state = begin(seconds(T0), &udp(Side::Lo, 1), Tracking::Strict);
    let l4 = QuotedL4::Udp { sport: 1000, dport: 53 };
    assert!(state.matches_error(Side::Lo, &quoted(&udp(Side::Lo, 1), l4)));
    let tcp = QuotedL4::Tcp { sport: 1000, dport: 53, seq: 0 };
    assert!(!state.matches_error(Side::Lo, &quoted(&udp(Side::Lo, 1), tcp)));
    let packet = echo(v4(1), Ipv4Addr::new(192, 0, 2, 9).into(), 3, true);
    let state = begin(seconds(T0), &packet, Tracking::Strict);
    let l4 = QuotedL4::Icmp { id: 3, request_type: 8, is_request: true };
    assert!(state.matches_error(Side::Lo, &quoted(&packet, l4)));
}

#[test]
fn a_sloppy_state_passes_what_lies_in_no_window() {
    let mut state = begin(seconds(T0), &hi(ACK, 5, 5), Tracking::Sloppy);
    assert_eq!(names(&state), ["CLOSED", "SYN_SENT"]);
    assert_eq!(pass(&mut state, T0, &hi(ACK, 0x7000_0000, 9)), "tcp.established");
    assert_eq!(pass(&mut state, T0, &lo(ACK, 0xf000_0000, 1)), "tcp.established");
    assert_eq!(pass(&mut state, T0, &lo(SYN, 0, 0)), "tcp.established");
}

fn any_segment() -> impl Strategy<Value = (bool, Tcp)> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u8>(), any::<u16>());
    let sizes = prop_oneof![Just(0_u32), 0_u32..65_536, any::<u32>()];
    (any::<bool>(), numbers, sizes, any::<Option<u8>>()).prop_map(
        |(from_lo, (seq, ack, flags, window), data_len, wscale)| {
            let flags = evergate_wire::TcpFlags::from_raw(flags);
            (from_lo, Tcp { window, data_len, wscale, ..segment(flags, seq, ack) })
        },
    )
}

proptest! {
    /// Whatever comes, in whatever order: no panic, no overflow, and what is
    /// dropped leaves windows, counters and time alone once both ends are known.
    #[test]
    fn any_segments_are_survived(
        segments in prop::collection::vec(any_segment(), 1..40), tracking in 0_u8..3,
    ) {
        let tracking = Tracking::from_bits(tracking);
        let mut state: Option<State> = None;
        for (at, (from_lo, segment)) in segments.into_iter().enumerate() {
            let side = if from_lo { Side::Lo } else { Side::Hi };
            let packet = tcp(side, segment);
            let now = seconds(at as u64);
            let Some(known) = &mut state else {
                let (key, side) = key_of(&packet).unwrap();
                state = State::create(ID, now, key, side, &packet, options(tracking)).ok();
                continue;
            };
            let before = known.clone();
            let result = known.track(now, side, &packet);
            let l4 = QuotedL4::Tcp { sport: 1000, dport: 80, seq: segment.seq };
            let _ = known.matches_error(side, &quoted(&packet, l4));
            let handshake = Side::BOTH.iter().any(|side| before.peer_name(*side) == "SYN_SENT");
            if result != Track::Pass && !handshake {
                prop_assert_eq!(format!("{:?}", known), format!("{before:?}"));
            }
        }
    }
}

#[test]
fn the_final_verdict_of_an_inspected_state_replaces_the_first() {
    let mut state = begin(seconds(T0), &lo(SYN, 100, 0), Tracking::Strict);
    let first = state.options();
    assert!(!state.is_inspected());
    state.set_inspected(true);
    assert!(state.is_inspected());
    assert_eq!(state.options(), first, "nothing else has changed");
    assert_eq!(state.initiator(), Side::Lo);
    state.set_inspected(false);
    state.set_verdict(1, 2, 3, 4);
    assert!(!state.is_inspected());
    let expected = StateOptions { policy: 1, rule: 2, tag: 3, label: 4, ..first };
    assert_eq!(state.options(), expected);
}
