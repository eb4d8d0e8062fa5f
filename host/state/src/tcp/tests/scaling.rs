//! Window scaling (RFC 7323 §2), and connections of which the beginning is missed.

use super::*;
use crate::Tracking;

const LO: u32 = 1_000;
const HI: u32 = 900_000;

fn open(window: u16, wscale: Option<u8>) -> [TcpPeer; 2] {
    let syn = Tcp { window, wscale, ..segment(SYN, LO, 0) };
    create(Side::Lo, &syn, Tracking::Strict).unwrap()
}

fn answer(window: u16, wscale: Option<u8>) -> Tcp {
    Tcp { window, wscale, ..segment(SYN_ACK, HI, LO + 1) }
}

fn accept(peers: &mut [TcpPeer; 2], side: Side, tcp: &Tcp) {
    assert_eq!(strict(peers, side, tcp), Outcome::Accept, "{tcp:?}");
}

/// How much `side` may send beyond what it has sent.
fn room(peers: &[TcpPeer; 2], side: Side) -> u32 {
    let peer = peers[side.index()];
    peer.seqhi.wrapping_sub(peer.seqlo)
}

#[test]
fn a_syn_begins_with_pf_numbers() {
    let [lo, hi] = open(64_240, Some(7));
    assert_eq!((lo.seqlo, lo.seqhi), (LO, LO + 2));
    assert_eq!(lo.max_win, 502); // 64,240 / 128, rounded up
    assert_eq!((lo.wscale, lo.state), (WindowScale::shift_by(7), TcpState::SynSent));
    assert_eq!((hi.seqlo, hi.seqhi, hi.max_win, hi.state), (0, 1, 1, TcpState::Closed));
    assert_eq!(open(0, None)[0].max_win, 1);
    assert_eq!(open(u16::MAX, Some(14))[0].max_win, 4);
    assert_eq!(open(u16::MAX, Some(200))[0].wscale.known(), Some(14));
}

#[test]
fn a_syn_with_data_counts_it() {
    let syn = Tcp { data_len: 1_000, ..segment(SYN, LO, 0) };
    let [lo, _] = create(Side::Lo, &syn, Tracking::Strict).unwrap();
    assert_eq!((lo.seqlo, lo.seqhi), (LO, LO + 1_002));
}

#[test]
fn windows_scale_if_both_ends_offer_it() {
    let mut peers = open(64_240, Some(7));
    accept(&mut peers, Side::Hi, &answer(65_160, Some(9)));
    assert_eq!(peers[1].max_win, 128); // 65,160 / 512, rounded up
    // The window of a SYN is not scaled; the first room is what it said, rounded up.
    assert_eq!(room(&peers, Side::Hi), 502 << 7);
    assert_eq!(peers[0].seqhi, LO + 1 + 65_160);
    accept(&mut peers, Side::Lo, &Tcp { window: 600, ..segment(ACK, LO + 1, HI + 1) });
    assert_eq!(room(&peers, Side::Hi), 600 << 7);
    accept(&mut peers, Side::Hi, &Tcp { window: 300, ..segment(ACK, HI + 1, LO + 1) });
    assert_eq!(room(&peers, Side::Lo), 300 << 9);
}

#[test]
fn without_the_option_in_the_answer_nothing_scales() {
    let mut peers = open(64_240, Some(7));
    accept(&mut peers, Side::Hi, &answer(30_000, None));
    assert_eq!(peers[0].max_win, 64_256); // 502 * 128
    assert_eq!(peers.map(|peer| peer.wscale), [WindowScale::ABSENT; 2]);
    assert_eq!(room(&peers, Side::Hi), 64_256);
    accept(&mut peers, Side::Lo, &Tcp { window: 600, ..segment(ACK, LO + 1, HI + 1) });
    accept(&mut peers, Side::Hi, &Tcp { window: 40_000, ..segment(ACK, HI + 1, LO + 1) });
    assert_eq!(room(&peers, Side::Lo), 40_000);
    // 512 << 7 would not fit the 16 bits of the field.
    let mut peers = open(u16::MAX, Some(7));
    accept(&mut peers, Side::Hi, &answer(30_000, None));
    assert_eq!(peers[0].max_win, u16::MAX);
}

#[test]
fn an_option_in_the_answer_alone_scales_nothing() {
    let mut peers = open(64_240, None);
    accept(&mut peers, Side::Hi, &answer(30_000, Some(9)));
    assert_eq!(peers.map(|peer| peer.wscale), [WindowScale::ABSENT; 2]);
    accept(&mut peers, Side::Hi, &Tcp { window: 40_000, ..segment(ACK, HI + 1, LO + 1) });
    assert_eq!(room(&peers, Side::Lo), 40_000);
}

#[test]
fn a_scale_of_zero_still_counts_as_offered() {
    let mut peers = open(64_240, Some(0));
    accept(&mut peers, Side::Hi, &answer(30_000, Some(8)));
    accept(&mut peers, Side::Lo, &segment(ACK, LO + 1, HI + 1));
    accept(&mut peers, Side::Hi, &Tcp { window: 300, ..segment(ACK, HI + 1, LO + 1) });
    assert_eq!(room(&peers, Side::Lo), 300 << 8);
}

#[test]
fn repeated_syns_do_not_widen_the_windows() {
    let mut peers = open(65_535, Some(14));
    let syn = Tcp { wscale: Some(14), ..segment(SYN, LO, 0) };
    accept(&mut peers, Side::Lo, &syn);
    accept(&mut peers, Side::Hi, &answer(65_535, Some(14)));
    accept(&mut peers, Side::Hi, &answer(65_535, Some(14)));
    assert_eq!(peers.map(|peer| peer.max_win), [4, 4]);
    assert_eq!(room(&peers, Side::Hi), 4 << 14);
}

/// The answer is resent after fast-open data: more than its unscaled window back.
#[test]
fn a_resent_answer_is_judged_by_scaled_windows() {
    let mut peers = open(64_240, Some(7));
    accept(&mut peers, Side::Hi, &answer(65_160, Some(7)));
    accept(&mut peers, Side::Hi, &Tcp { data_len: 20_000, ..segment(ACK, HI + 1, LO + 1) });
    accept(&mut peers, Side::Hi, &answer(65_160, Some(7)));
}

#[test]
fn both_ends_may_open_at_once() {
    let mut peers = open(64_240, Some(7));
    let theirs = Tcp { wscale: Some(3), ..segment(SYN, HI, 0) };
    accept(&mut peers, Side::Hi, &theirs);
    accept(&mut peers, Side::Lo, &Tcp { wscale: Some(7), ..segment(SYN_ACK, LO, HI + 1) });
    accept(&mut peers, Side::Hi, &Tcp { wscale: Some(3), ..segment(SYN_ACK, HI, LO + 1) });
    assert_eq!(peers.map(|peer| peer.state), [TcpState::Established; 2]);
    accept(&mut peers, Side::Lo, &Tcp { window: 600, ..segment(ACK, LO + 1, HI + 1) });
    assert_eq!(room(&peers, Side::Hi), 600 << 7);
}

#[test]
fn only_a_bare_syn_begins_a_strict_state() {
    for flags in [ACK, SYN_ACK, FIN_ACK, RST, RST_ACK] {
        let result = create(Side::Lo, &segment(flags, 1, 1), Tracking::Strict);
        assert_eq!(result, Err(evergate_wire::DropReason::StateMismatch), "{flags}");
        for tracking in [Tracking::Loose, Tracking::Sloppy] {
            assert!(create(Side::Lo, &segment(flags, 1, 1), tracking).is_ok(), "{flags}");
        }
    }
}

fn loosely(peers: &mut [TcpPeer; 2], side: Side, tcp: &Tcp) {
    let outcome = track_windows(peers, side, tcp, Tracking::Loose);
    assert_eq!(outcome, Outcome::Accept, "{tcp:?}");
}

/// A transfer with a scale of 14 and everything in flight that this allows: the
/// gateway sees its middle, from either end first.
#[test]
fn a_scaled_connection_can_be_picked_up_in_the_middle() {
    let flight = 60_000 << 14;
    let newest = Tcp { data_len: 65_000, window: 1, ..segment(ACK, LO, HI) };
    let oldest = Tcp { seq: newest.seq.wrapping_sub(flight), ..newest };
    let old_ack = Tcp { window: 60_000, ..segment(ACK, HI, oldest.seq) };
    let new_ack = Tcp { ack: newest.seq.wrapping_add(65_000), ..old_ack };
    for order in [
        [(Side::Lo, newest), (Side::Lo, oldest), (Side::Hi, old_ack), (Side::Hi, new_ack)],
        [(Side::Lo, oldest), (Side::Lo, newest), (Side::Hi, new_ack), (Side::Hi, old_ack)],
        [(Side::Hi, old_ack), (Side::Lo, oldest), (Side::Lo, newest), (Side::Hi, new_ack)],
        [(Side::Hi, old_ack), (Side::Lo, newest), (Side::Hi, new_ack), (Side::Lo, oldest)],
    ] {
        let [(side, first), rest @ ..] = order;
        let mut peers = create(side, &first, Tracking::Loose).unwrap();
        for (side, tcp) in rest {
            loosely(&mut peers, side, &tcp);
        }
        let further = Tcp { seq: new_ack.ack.wrapping_add(flight - 65_000), ..newest };
        loosely(&mut peers, Side::Lo, &further);
        loosely(&mut peers, Side::Hi, &Tcp { ack: further.seq, ..new_ack });
        loosely(&mut peers, Side::Lo, &further);
        assert_eq!(peers.map(|peer| peer.state), [TcpState::Established; 2]);
        assert_eq!(timeout(&peers), Timeout::TcpEstablished);
    }
}

#[test]
fn a_picked_up_connection_still_has_windows() {
    let mut peers = create(Side::Lo, &data(LO, 0, 100), Tracking::Loose).unwrap();
    loosely(&mut peers, Side::Hi, &segment(ACK, hi_base(LO), LO + 100));
    loosely(&mut peers, Side::Lo, &data(LO, 100, 100));
    let before = peers;
    let far = data(LO, 1 << 31, 100);
    assert_eq!(track_windows(&mut peers, Side::Lo, &far, Tracking::Loose), Outcome::Reject);
    assert_eq!(peers, before);
}

#[test]
fn an_answer_picked_up_settles_whether_windows_scale() {
    let with = create(Side::Hi, &answer(60_000, Some(5)), Tracking::Loose).unwrap();
    assert_eq!(with.map(|peer| peer.wscale), [WindowScale::UNKNOWN, WindowScale::shift_by(5)]);
    let mut without = create(Side::Hi, &answer(60_000, None), Tracking::Loose).unwrap();
    assert_eq!(without.map(|peer| peer.wscale), [WindowScale::ABSENT; 2]);
    loosely(&mut without, Side::Lo, &Tcp { window: 500, ..segment(ACK, LO + 1, HI + 1) });
    loosely(&mut without, Side::Hi, &Tcp { data_len: 500, ..segment(ACK, HI + 1, LO + 1) });
    assert_eq!(without.map(|peer| peer.state.name()), ["ESTABLISHED", "ESTABLISHED"]);
    // The SYN, resent, says the rest.
    let mut with = with;
    loosely(&mut with, Side::Lo, &Tcp { wscale: Some(2), ..segment(SYN, LO, 0) });
    assert_eq!(with.map(|peer| peer.wscale.known()), [Some(2), Some(5)]);
}

#[test]
fn a_fin_picked_up_is_not_forgotten() {
    let fin = Tcp { flags: FIN_ACK, ..data(LO, 0, 10) };
    let mut peers = create(Side::Lo, &fin, Tracking::Loose).unwrap();
    assert_eq!(peers[0].seqlo, LO + 11);
    loosely(&mut peers, Side::Hi, &segment(ACK, hi_base(LO), LO + 11));
    assert_eq!(peers[0].state, TcpState::FinWait2);
}
