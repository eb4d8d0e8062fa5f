//! The first segment of a state.

use evergate_wire::{DropReason, Tcp, TcpFlags};

use crate::{Side, Tracking};

use super::segment::{end, unscaled_to_scaled};
use super::{TcpPeer, TcpState, WindowScale, is_bare_syn};

/// The peers after the first segment.
///
/// # Errors
/// `StateMismatch` if the segment may not begin a state under this tracking.
pub(crate) fn create(
    side: Side,
    tcp: &Tcp,
    tracking: Tracking,
) -> Result<[TcpPeer; 2], DropReason> {
    let (src, dst) = match (is_bare_syn(tcp), tracking) {
        (true, _) => open(tcp),
        (false, Tracking::Strict) => return Err(DropReason::StateMismatch),
        (false, Tracking::Loose | Tracking::Sloppy) => pick_up(tcp),
    };
    let mut peers = [src, src];
    peers[side.other().index()] = dst;
    Ok(peers)
}

/// A SYN: everything about the connection will be seen.
fn open(tcp: &Tcp) -> (TcpPeer, TcpPeer) {
    let wscale = WindowScale::of_syn(tcp.wscale);
    let src = TcpPeer {
        seqlo: tcp.seq,
        // The SYN, and one byte of a probe.
        seqhi: end(tcp).wrapping_add(1),
        max_win: unscaled_to_scaled(tcp.window.max(1), wscale.known()),
        wscale,
        state: TcpState::SynSent,
    };
    (src, TcpPeer::unseen(WindowScale::AWAITED))
}

/// A connection whose beginning was not seen: what cannot be known is taken at
/// its widest, so that the windows begin to bite only where both ends are known.
///
/// DEVIATION(OpenBSD pf): pf takes the scale as 0, and a window of one segment,
/// which stalls any connection that scales its windows.
fn pick_up(tcp: &Tcp) -> (TcpPeer, TcpPeer) {
    let (wscale, other_wscale) = if !tcp.flags.contains(TcpFlags::SYN) {
        (WindowScale::UNKNOWN, WindowScale::UNKNOWN)
    } else if tcp.wscale.is_none() {
        (WindowScale::ABSENT, WindowScale::ABSENT)
    } else {
        // An answer to a SYN has the option only if the SYN had it.
        (WindowScale::of_syn(tcp.wscale), WindowScale::UNKNOWN)
    };
    let dst = TcpPeer { max_win: u16::MAX, ..TcpPeer::unseen(other_wscale) };
    let mut src =
        TcpPeer { seqlo: end(tcp), seqhi: 0, max_win: u16::MAX, wscale, state: TcpState::SynSent };
    src.seqhi = src.seqlo.wrapping_add(dst.window(&src));
    if tcp.flags.contains(TcpFlags::FIN) {
        src.state = TcpState::Closing;
    }
    (src, dst)
}
