//! Every pair of states and every kind of segment, written out.
//!
//! A grid has one row per state of the sender and one column per state of the
//! other end, both in the order CLOSED, SYN_SENT, ESTABLISHED, CLOSING (X),
//! FIN_WAIT_2, TIME_WAIT. A cell is the states afterwards, sender first; `~` if
//! accepted loosely, `drop`, `rst` (dropped with a reset, the sender CLOSED),
//! `ack` (dropped with a challenge ACK) or `new` (the state is given up).

use super::*;

const BASE: u32 = 100_000;

fn letter(state: TcpState) -> char {
    match state {
        TcpState::Closed => 'C',
        TcpState::SynSent => 'S',
        TcpState::Established => 'E',
        TcpState::Closing => 'X',
        TcpState::FinWait2 => 'F',
        TcpState::TimeWait => 'T',
    }
}

/// Runs every pair of states through `track` and compares with the grid.
fn check(grid: &str, track: impl Fn(&mut [TcpPeer; 2]) -> Outcome) {
    let mut cells = grid.split_whitespace();
    for src in TcpState::ALL {
        for dst in TcpState::ALL {
            let before = peers(BASE, src, dst);
            let mut after = before;
            let outcome = track(&mut after);
            let states: String = after.iter().map(|peer| letter(peer.state)).collect();
            let got = match outcome {
                Outcome::Accept => states,
                Outcome::AcceptLoosely => states + "~",
                Outcome::Reject => {
                    assert_eq!(before, after, "a refused segment changes nothing");
                    "drop".into()
                }
                Outcome::Reset { .. } => {
                    assert_eq!(after, [TcpPeer::unseen(before[0].wscale), before[1]]);
                    "rst".into()
                }
                Outcome::Reopen => "new".into(),
                Outcome::ChallengeAck { seq, ack } => {
                    assert_eq!((before, ack, seq), (after, BASE, hi_base(BASE)));
                    "ack".into()
                }
            };
            assert_eq!(cells.next(), Some(got.as_str()), "{src:?} to {dst:?}");
        }
    }
    assert_eq!(cells.next(), None);
}

fn check_strict(grid: &str, tcp: Tcp) {
    check(grid, |peers| strict(peers, Side::Lo, &tcp));
}

#[test]
fn a_bare_syn() {
    check_strict(
        "SC SS SE SX SF ST
         SC SS SE SX SF ST
         EC ES ack ack ack ack
         XC XS ack ack ack ack
         FC FS ack ack new new
         TC TS ack ack new new",
        Tcp { flags: SYN, ..data(BASE, 0, 0) },
    );
}

#[test]
fn a_syn_ack() {
    check_strict(
        "SC SE SE SF SF ST
         SC SE SE SF SF ST
         EC EE EE EF EF ET
         XC XE XE XF XF XT
         FC FE FE FF FF FT
         TC TE TE TF TF TT",
        Tcp { flags: SYN_ACK, ..data(BASE, -1, 0) },
    );
}

#[test]
fn an_ack_with_data() {
    check_strict(
        "SC SE SE SF SF ST
         SC SE SE SF SF ST
         EC EE EE EF EF ET
         XC XE XE XF XF XT
         FC FE FE FF FF FT
         TC TE TE TF TF TT",
        data(BASE, 0, 100),
    );
}

#[test]
fn a_fin() {
    check_strict(
        "XC XE XE XF XF XT
         XC XE XE XF XF XT
         XC XE XE XF XF XT
         XC XE XE XF XF XT
         FC FE FE FF FF FT
         TC TE TE TF TF TT",
        Tcp { flags: FIN_ACK, ..data(BASE, 0, 100) },
    );
}

#[test]
fn an_exact_reset() {
    let all = "TT TT TT TT TT TT ".repeat(6);
    for flags in [RST, RST_ACK] {
        check_strict(&all, Tcp { flags, ..data(BASE, 0, 0) });
    }
}

/// The first segment of an end says where its window is, and thus fits.
#[test]
fn data_beyond_the_window() {
    check_strict(
        "SC SE SE SF SF ST
         SC~ rst drop drop SF~ ST~
         EC~ drop drop drop EF~ ET~
         XC~ drop drop drop XF~ XT~
         FC~ FS~ FE~ FX~ FF~ FT~
         TC~ TS~ TE~ TX~ TF~ TT~",
        data(BASE, i64::from(WINDOW), 1),
    );
}

#[test]
fn a_fin_with_data_beyond_the_window() {
    check_strict(
        "XC XE XE XF XF XT
         XC~ rst drop drop XF~ XT~
         XC~ drop drop drop XF~ XT~
         XC~ drop drop drop XF~ XT~
         FC~ FS~ FE~ FX~ FF~ FT~
         TC~ TS~ TE~ TX~ TF~ TT~",
        Tcp { flags: FIN_ACK, ..data(BASE, i64::from(WINDOW), 1) },
    );
}

/// A reset that misses is not answered with a reset, but its sender is learned
/// anew all the same.
#[test]
fn an_inexact_reset() {
    let reset = Tcp { flags: RST, ..data(BASE, 2, 0) };
    for src in TcpState::ALL {
        for dst in TcpState::ALL {
            let mut after = peers(BASE, src, dst);
            let before = after;
            let outcome = strict(&mut after, Side::Lo, &reset);
            let nearly_done = src.max(dst) >= TcpState::FinWait2;
            let (expected, states) = if src == TcpState::Closed {
                (Outcome::Accept, [TcpState::TimeWait; 2])
            } else if dst == TcpState::Closed || nearly_done {
                (Outcome::AcceptLoosely, [TcpState::TimeWait; 2])
            } else if (src, dst) == (TcpState::SynSent, TcpState::SynSent) {
                (Outcome::Reject, [TcpState::Closed, TcpState::SynSent])
            } else {
                assert_eq!(before, after);
                (Outcome::Reject, [src, dst])
            };
            assert_eq!(outcome, expected, "{src:?} to {dst:?}");
            assert_eq!(after.map(|peer| peer.state), states, "{src:?} to {dst:?}");
        }
    }
}

#[test]
fn segments_out_of_reach() {
    let far = data(BASE, 1 << 24, 1);
    check_strict(
        "SC SE SE SF SF ST
         drop rst drop drop drop drop
         drop drop drop drop drop drop
         drop drop drop drop drop drop
         drop drop drop drop drop drop
         drop drop drop drop drop drop",
        far,
    );
}

#[test]
fn the_other_direction_is_the_mirror() {
    for src in TcpState::ALL {
        for dst in TcpState::ALL {
            for flags in [SYN, ACK, FIN_ACK] {
                let tcp = Tcp { flags, ..data(BASE, 0, 10) };
                let mut straight = peers(BASE, src, dst);
                let mut mirrored = straight;
                mirrored.reverse();
                let outcome = strict(&mut straight, Side::Lo, &tcp);
                assert_eq!(strict(&mut mirrored, Side::Hi, &tcp), outcome);
                mirrored.reverse();
                assert_eq!(straight, mirrored);
            }
        }
    }
}

#[test]
fn sloppy_segments_when_both_ends_are_seen() {
    let sloppy = |flags| {
        move |peers: &mut [TcpPeer; 2]| {
            track_sloppy(peers, Side::Lo, &segment(flags, 0, 0xdead_beef), true)
        }
    };
    check(
        "SC SS SE SX SF ST
         SC SS SE SX SF ST
         EC ES EE EX EF ET
         XC XS XE XX XF XT
         FC FS FE FX new new
         TC TS TE TX new new",
        sloppy(SYN),
    );
    let acks = "SC SE SE SF SF ST
         SC SE SE SF SF ST
         EC EE EE EF EF ET
         XC XE XE XF XF XT
         FC FE FE FF FF FT
         TC TE TE TF TF TT";
    check(acks, sloppy(ACK));
    check(acks, sloppy(SYN_ACK));
    check(
        "XC XE XE XF XF XT
         XC XE XE XF XF XT
         XC XE XE XF XF XT
         XC XE XE XF XF XT
         FC FE FE FF FF FT
         TC TE TE TF TF TT",
        sloppy(FIN_ACK),
    );
    check(&"TT ".repeat(36), sloppy(RST));
}

/// Half of a connection: SYN, ACK, FIN and the ACK of the other's FIN.
#[test]
fn sloppy_follows_a_connection_of_which_it_sees_one_direction() {
    let mut peers = create(Side::Hi, &segment(SYN, 5, 0), crate::Tracking::Sloppy).unwrap();
    let fin = FIN_ACK;
    for (flags, hi, lo, kind) in [
        (SYN, 'S', 'C', Timeout::TcpOpening),
        (ACK, 'E', 'E', Timeout::TcpEstablished),
        (ACK, 'E', 'E', Timeout::TcpEstablished),
        (fin, 'X', 'X', Timeout::TcpFinwait),
        (ACK, 'X', 'F', Timeout::TcpFinwait),
    ] {
        let outcome = track_sloppy(&mut peers, Side::Hi, &segment(flags, 9, 1), false);
        assert_eq!(outcome, Outcome::Accept);
        assert_eq!([letter(peers[1].state), letter(peers[0].state)], [hi, lo], "{flags}");
        assert_eq!(timeout(&peers), kind, "{flags}");
    }
}

#[test]
fn the_timeout_is_that_of_the_first_rule_that_holds() {
    use Timeout::{TcpClosed, TcpClosing, TcpEstablished, TcpFinwait, TcpOpening};
    let (o, e, c, f, z) = (TcpOpening, TcpEstablished, TcpClosing, TcpFinwait, TcpClosed);
    let grid = [
        [o, o, o, o, o, o],
        [o, o, o, o, o, o],
        [o, o, e, c, c, c],
        [o, o, c, f, f, f],
        [o, o, c, f, z, z],
        [o, o, c, f, z, z],
    ];
    for (lo, row) in TcpState::ALL.into_iter().zip(grid) {
        for (hi, kind) in TcpState::ALL.into_iter().zip(row) {
            assert_eq!(timeout(&peers(BASE, lo, hi)), kind, "{lo:?} {hi:?}");
        }
    }
}
