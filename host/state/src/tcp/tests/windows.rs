//! The edges of every window, also across 2^31 and 2^32.

use super::*;

const A: i64 = super::segment::ACK_WINDOW as i64;

fn established(base: u32) -> [TcpPeer; 2] {
    peers(base, TcpState::Established, TcpState::Established)
}

/// Asserts what happens to a segment at each base; a refused one changes nothing.
fn at_every_base(
    before: impl Fn(u32) -> [TcpPeer; 2],
    tcp: impl Fn(u32) -> Tcp,
    expected: Outcome,
) {
    for base in BASES {
        let mut after = before(base);
        assert_eq!(strict(&mut after, Side::Lo, &tcp(base)), expected, "base {base}");
        if expected == Outcome::Reject {
            assert_eq!(after, before(base), "base {base}");
        }
    }
}

fn accepts(tcp: impl Fn(u32) -> Tcp) {
    at_every_base(established, tcp, Outcome::Accept);
}

fn rejects(tcp: impl Fn(u32) -> Tcp) {
    at_every_base(established, tcp, Outcome::Reject);
}

#[test]
fn data_may_reach_the_upper_edge_and_no_further() {
    let window = i64::from(WINDOW);
    accepts(|base| data(base, window - 1, 1));
    rejects(|base| data(base, window, 1));
    rejects(|base| data(base, window - 1, 2));
    // A FIN needs no room.
    accepts(|base| Tcp { flags: FIN_ACK, ..data(base, window - 1, 1) });
    accepts(|base| Tcp { flags: FIN_ACK, ..data(base, window, 0) });
    rejects(|base| Tcp { flags: FIN_ACK, ..data(base, window + 1, 0) });
}

#[test]
fn data_may_be_resent_from_one_window_back_and_no_further() {
    let window = i64::from(WINDOW);
    accepts(|base| data(base, -window, 1));
    rejects(|base| data(base, -window - 1, 1));
    rejects(|base| data(base, -window - 1, 10_000));
}

#[test]
fn a_super_packet_fits_a_window_of_its_size_exactly() {
    let wide = |base| {
        let mut peers = established(base);
        peers[0].seqhi = base.wrapping_add(65_535);
        peers
    };
    at_every_base(wide, |base| data(base, 0, 65_535), Outcome::Accept);
    at_every_base(wide, |base| data(base, 1, 65_535), Outcome::Reject);
    let mut after = wide(BASES[1]);
    assert_eq!(strict(&mut after, Side::Lo, &data(BASES[1], 0, 65_535)), Outcome::Accept);
    assert_eq!(after[0].seqlo, BASES[1].wrapping_add(65_535));
}

fn ack_at(base: u32, skew: i64) -> Tcp {
    let tcp = data(base, 0, 1);
    Tcp { ack: tcp.ack.wrapping_sub(skew as u32), ..tcp }
}

#[test]
fn an_ack_may_be_ahead_by_the_allowance_and_no_further() {
    accepts(|base| ack_at(base, -A));
    rejects(|base| ack_at(base, -A - 1));
}

#[test]
fn an_ack_may_be_behind_by_the_allowance_and_no_further() {
    accepts(|base| ack_at(base, A));
    rejects(|base| ack_at(base, A + 1));
}

#[test]
fn an_ack_may_be_behind_by_the_scaled_allowance_of_its_sender() {
    let scaled = |base| {
        let mut peers = established(base);
        peers[0].wscale = WindowScale::shift_by(3);
        peers[1].wscale = WindowScale::shift_by(0);
        peers
    };
    at_every_base(scaled, |base| ack_at(base, A << 3), Outcome::Accept);
    at_every_base(scaled, |base| ack_at(base, (A << 3) + 1), Outcome::Reject);
    at_every_base(scaled, |base| ack_at(base, -A - 1), Outcome::Reject);
}

#[test]
fn an_ack_against_an_end_not_yet_seen_is_not_judged() {
    at_every_base(
        |base| peers(base, TcpState::SynSent, TcpState::Closed),
        |base| Tcp { ack: 0x1234_5678, ..data(base, 0, 0) },
        Outcome::Accept,
    );
}

#[test]
fn an_empty_segment_is_judged_by_its_ack_alone() {
    accepts(|base| data(base, 1 << 30, 0));
    rejects(|base| Tcp { ack: 5, ..data(base.wrapping_add(1 << 30), 0, 0) });
}

#[test]
fn a_reset_must_be_exact() {
    for offset in [-1, 0, 1] {
        accepts(|base| Tcp { flags: RST, ..data(base, offset, 0) });
    }
    for offset in [-2, 2, 100, -100, i64::from(WINDOW), 1 << 31] {
        rejects(|base| Tcp { flags: RST, ..data(base, offset, 0) });
    }
}

#[test]
fn a_reset_with_an_exact_ack_may_be_anywhere_behind_in_the_window() {
    let window = i64::from(WINDOW);
    for offset in [-window, -2, 1] {
        accepts(|base| Tcp { flags: RST_ACK, ..data(base, offset, 0) });
    }
    for offset in [-window - 1, 2, window] {
        rejects(|base| Tcp { flags: RST_ACK, ..data(base, offset, 0) });
    }
    rejects(|base| Tcp { flags: RST_ACK, ..ack_at(base.wrapping_sub(2), 1) });
    // Stacks that have nothing to acknowledge say 0: taken as exact.
    accepts(|base| Tcp { flags: RST_ACK, ack: 0, ..data(base, -2, 0) });
}

/// The loose window, which ends a connection that is nearly over.
#[test]
fn nearly_done_the_windows_are_wider_by_the_allowance() {
    let done = |base| peers(base, TcpState::FinWait2, TcpState::Established);
    let upper = i64::from(WINDOW) + A;
    at_every_base(done, |base| data(base, upper - 1, 1), Outcome::AcceptLoosely);
    at_every_base(done, |base| data(base, upper, 1), Outcome::Reject);
    at_every_base(done, |base| data(base, -A, 1), Outcome::AcceptLoosely);
    at_every_base(done, |base| data(base, -A - 1, 1), Outcome::Reject);
}

#[test]
fn a_loose_acceptance_cannot_move_the_other_window_by_a_wild_ack() {
    let base = BASES[0];
    let mut after = peers(base, TcpState::FinWait2, TcpState::Established);
    let before = after;
    let wild = Tcp { ack: hi_base(base).wrapping_add(1 << 30), ..data(base, 0, 1) };
    assert_eq!(strict(&mut after, Side::Lo, &wild), Outcome::AcceptLoosely);
    assert_eq!(after[1], before[1]);
    assert_eq!(after[0].seqlo, base.wrapping_add(1));
}

#[test]
fn an_accepted_segment_slides_both_windows() {
    for base in BASES {
        let mut after = established(base);
        let tcp = Tcp { window: 20_000, ..data(base, 0, 100) };
        assert_eq!(strict(&mut after, Side::Lo, &tcp), Outcome::Accept);
        assert_eq!(after[0].seqlo, base.wrapping_add(100));
        assert_eq!(after[0].seqhi, base.wrapping_add(u32::from(WINDOW)));
        assert_eq!(after[0].max_win, 20_000);
        assert_eq!(after[1].seqlo, hi_base(base));
        assert_eq!(after[1].seqhi, hi_base(base).wrapping_add(20_000));
        // Neither an older segment nor a smaller window moves anything back.
        let before = after;
        let old = Tcp { window: 10, ..data(base, 0, 50) };
        assert_eq!(strict(&mut after, Side::Lo, &old), Outcome::Accept);
        assert_eq!(after, before);
    }
}

#[test]
fn a_closed_window_leaves_room_for_a_probe_of_one_byte() {
    for base in BASES {
        let mut after = established(base);
        let hi_end = hi_base(base).wrapping_add(u32::from(WINDOW));
        // The other end fills the window, and it is all acknowledged but kept.
        let full = Tcp { data_len: u32::from(WINDOW), ..segment(ACK, hi_base(base), base) };
        assert_eq!(strict(&mut after, Side::Hi, &full), Outcome::Accept);
        let closed = Tcp { window: 0, ..segment(ACK, base, hi_end) };
        assert_eq!(strict(&mut after, Side::Lo, &closed), Outcome::Accept);
        let probe = Tcp { data_len: 1, ..segment(ACK, hi_end, base) };
        assert_eq!(strict(&mut after, Side::Hi, &probe), Outcome::Accept);
        let more = Tcp { data_len: 2, ..probe };
        assert_eq!(strict(&mut after, Side::Hi, &more), Outcome::Reject);
    }
}

#[test]
fn a_misfit_in_the_handshake_is_reset_with_what_it_acknowledges() {
    for base in BASES {
        let mut after = create(Side::Lo, &segment(SYN, base, 0), crate::Tracking::Strict).unwrap();
        let before = after;
        let stale = segment(ACK, 77, base.wrapping_add(500_000));
        let outcome = strict(&mut after, Side::Hi, &stale);
        assert_eq!(outcome, Outcome::Reset { seq: base.wrapping_add(500_000) });
        assert_eq!(after, before);
        // The real answer is then accepted.
        let answer = segment(SYN_ACK, 5_000, base.wrapping_add(1));
        assert_eq!(strict(&mut after, Side::Hi, &answer), Outcome::Accept);
    }
}

#[test]
fn a_quoted_segment_must_lie_where_its_sender_may_have_sent() {
    for base in BASES {
        let peers = established(base);
        let window = i64::from(WINDOW);
        for (offset, expected) in [
            (-window - 1, false),
            (-window, true),
            (0, true),
            (window, true),
            (window + 1, false),
            (1 << 31, false),
        ] {
            let seq = base.wrapping_add(offset as u32);
            assert_eq!(may_have_sent(&peers, Side::Lo, seq), expected, "{base} {offset}");
            let seq = hi_base(base).wrapping_add(offset as u32);
            assert_eq!(may_have_sent(&peers, Side::Hi, seq), expected, "{base} {offset}");
        }
        let half_open = create(Side::Lo, &segment(SYN, base, 0), crate::Tracking::Strict).unwrap();
        assert!(may_have_sent(&half_open, Side::Lo, base));
        assert!(!may_have_sent(&half_open, Side::Hi, 0));
    }
}

/// Of a half-closed connection too, a reset ends only what it names nearly.
#[test]
fn nearly_done_an_empty_segment_is_judged_by_its_own_number() {
    let done = |base| peers(base, TcpState::FinWait2, TcpState::Established);
    for flags in [RST, RST_ACK] {
        let reset = |offset| move |base| Tcp { flags, ack: 5, ..data(base, offset, 0) };
        at_every_base(done, reset(-A), Outcome::AcceptLoosely);
        at_every_base(done, reset(-A - 1), Outcome::Reject);
        at_every_base(done, reset(i64::from(WINDOW) + A), Outcome::AcceptLoosely);
        at_every_base(done, reset(i64::from(WINDOW) + A + 1), Outcome::Reject);
    }
}

#[test]
fn an_end_that_closes_at_a_full_window_may_still_acknowledge() {
    for base in BASES {
        let mut after = established(base);
        let window = i64::from(WINDOW);
        for tcp in [
            Tcp { flags: FIN_ACK, ..data(base, 0, u32::from(WINDOW)) },
            data(base, window + 1, 0),
            Tcp { flags: FIN_ACK, ..data(base, window, 0) },
        ] {
            assert_eq!(strict(&mut after, Side::Lo, &tcp), Outcome::Accept, "{tcp:?}");
        }
    }
}
