//! Tracking by flags alone, for connections of which the gateway sees one
//! direction only.

use evergate_wire::{Tcp, TcpFlags};

use crate::Side;

use super::strict::acknowledge;
use super::{Outcome, Pair, TcpPeer, TcpState, is_bare_syn};

/// Judges a segment that `side` sent; `other_seen` tells whether the other end
/// has ever sent one.
///
/// DEVIATION(OpenBSD pf): a SYN on an established connection passes; a challenge
/// ACK would need the sequence numbers that sloppy tracking does not keep.
pub(crate) fn track(peers: &mut [TcpPeer; 2], side: Side, tcp: &Tcp, other_seen: bool) -> Outcome {
    let mut pair = Pair::of(peers, side);
    if is_bare_syn(tcp) && pair.both_reached(TcpState::FinWait2) {
        return Outcome::Reopen;
    }
    pair.src.reach(TcpState::SynSent);
    if tcp.flags.contains(TcpFlags::FIN) {
        pair.src.reach(TcpState::Closing);
    }
    if tcp.flags.contains(TcpFlags::ACK) {
        if other_seen {
            acknowledge(&mut pair.dst);
        } else {
            infer_other(&mut pair);
        }
    }
    if tcp.flags.contains(TcpFlags::RST) {
        pair.reset();
    }
    pair.store(peers, side);
    Outcome::Accept
}

/// What an ACK tells of an end that is never seen: it has answered the SYN, and
/// later the FIN.
const fn infer_other(pair: &mut Pair) {
    let Pair { src, dst } = pair;
    match src.state {
        TcpState::SynSent if matches!(dst.state, TcpState::Closed) => {
            src.state = TcpState::Established;
            dst.state = TcpState::Established;
        }
        TcpState::Closing if matches!(dst.state, TcpState::Closed | TcpState::Established) => {
            dst.state = TcpState::Closing;
        }
        TcpState::Closing if matches!(dst.state, TcpState::Closing) => {
            dst.state = TcpState::FinWait2;
        }
        TcpState::Closed
        | TcpState::SynSent
        | TcpState::Established
        | TcpState::Closing
        | TcpState::FinWait2
        | TcpState::TimeWait => {}
    }
}
