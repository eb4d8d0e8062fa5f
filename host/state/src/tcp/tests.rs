//! Transitions, windows, scaling and pick-up. Streams of whole connections are
//! tested in [`streams`].

mod grid;
mod scaling;
mod streams;
mod windows;

use evergate_wire::Tcp;

use super::*;
use crate::testing::{ACK, FIN_ACK, RST, RST_ACK, SYN, SYN_ACK, segment};

/// Sequence numbers where everything begins: in the middle, and where 2^32 and
/// 2^31 wrap within the windows.
const BASES: [u32; 4] = [100_000, u32::MAX - 30_000, 0, 0x7fff_f000];

/// The window of both ends.
const WINDOW: u16 = 10_000;

/// Both ends in given states, unscaled. `Lo` has sent up to `base`, `Hi` up to
/// `base` + 1,000,000; both may send [`WINDOW`] more.
fn peers(base: u32, lo: TcpState, hi: TcpState) -> [TcpPeer; 2] {
    let peer = |seqlo: u32, state| {
        if state == TcpState::Closed {
            return TcpPeer::unseen(WindowScale::AWAITED);
        }
        TcpPeer {
            seqlo,
            seqhi: seqlo.wrapping_add(u32::from(WINDOW)),
            max_win: WINDOW,
            wscale: WindowScale::ABSENT,
            state,
        }
    };
    [peer(base, lo), peer(hi_base(base), hi)]
}

fn hi_base(base: u32) -> u32 {
    base.wrapping_add(1_000_000)
}

/// An ACK of everything from `Lo`, with data.
fn data(base: u32, offset: i64, len: u32) -> Tcp {
    let seq = base.wrapping_add(offset as u32);
    let ack = hi_base(base);
    Tcp { data_len: len, window: WINDOW, ..segment(ACK, seq, ack) }
}

fn strict(peers: &mut [TcpPeer; 2], side: Side, tcp: &Tcp) -> Outcome {
    track_windows(peers, side, tcp, crate::Tracking::Strict)
}
