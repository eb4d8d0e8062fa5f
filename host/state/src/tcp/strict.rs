//! Tracking by sequence windows, after Guido van Rooij, "Real Stateful TCP Packet
//! Filtering in IP Filter" (2001), with OpenBSD pf's rules.

use evergate_wire::{Tcp, TcpFlags};

use crate::{Side, Tracking};

use super::segment::{ACK_WINDOW, Segment, at_or_after, later};
use super::{Outcome, Pair, TcpPeer, TcpState, WindowScale, is_bare_syn};

/// Judges a segment that `side` sent.
pub(crate) fn track(
    peers: &mut [TcpPeer; 2],
    side: Side,
    tcp: &Tcp,
    tracking: Tracking,
) -> Outcome {
    let mut pair = Pair::of(peers, side);
    if let Some(outcome) = judge_bare_syn(&pair, tcp) {
        return outcome;
    }
    if pair.src.state == TcpState::Closed {
        learn_scale(&mut pair, tcp, tracking);
    }
    let segment = meet(&mut pair, tcp);
    if fits(&pair, &segment) {
        slide(&mut pair, &segment);
        advance(&mut pair, &segment);
        pair.store(peers, side);
        return Outcome::Accept;
    }
    if fits_loosely(&pair, &segment) {
        slide(&mut pair, &segment);
        close(&mut pair, &segment);
        pair.store(peers, side);
        return Outcome::AcceptLoosely;
    }
    reject(peers, side, &pair, tcp)
}

/// A SYN on a connection that exists: a new one on old ports, or a forgery.
pub(super) fn judge_bare_syn(pair: &Pair, tcp: &Tcp) -> Option<Outcome> {
    if !is_bare_syn(tcp) {
        return None;
    }
    if pair.both_reached(TcpState::FinWait2) {
        return Some(Outcome::Reopen);
    }
    // RFC 5961 §4: a sender that lost its state answers with an exact reset.
    pair.both_reached(TcpState::Established)
        .then_some(Outcome::ChallengeAck { seq: pair.dst.seqlo, ack: pair.src.seqlo })
}

/// Settles the window scales with the first segment of an end.
fn learn_scale(pair: &mut Pair, tcp: &Tcp, tracking: Tracking) {
    let Pair { src, dst } = pair;
    if tcp.flags.contains(TcpFlags::SYN) {
        src.wscale = match dst.wscale {
            WindowScale::ABSENT => WindowScale::ABSENT,
            _ => WindowScale::of_syn(tcp.wscale),
        };
    } else if src.wscale == WindowScale::AWAITED {
        src.wscale = match tracking {
            Tracking::Strict | Tracking::Sloppy => WindowScale::ABSENT,
            Tracking::Loose => WindowScale::UNKNOWN,
        };
    }
    if src.wscale == WindowScale::ABSENT {
        let shift = dst.wscale.known().unwrap_or(0);
        let window = u32::from(dst.max_win) << shift;
        dst.max_win = u16::try_from(window).unwrap_or(u16::MAX);
        dst.wscale = WindowScale::ABSENT;
    }
}

/// Reads a segment; the first of an end sets where that end's windows begin.
fn meet(pair: &mut Pair, tcp: &Tcp) -> Segment {
    if pair.src.state == TcpState::Closed {
        pair.src.seqlo = tcp.seq;
        pair.src.seqhi = super::segment::end(tcp).wrapping_add(pair.dst.window(&pair.src).max(1));
        pair.src.state = TcpState::SynSent;
    }
    Segment::new(tcp, pair)
}

/// Whether the segment lies within the windows, in all four respects.
///
/// DEVIATION(OpenBSD pf): an empty segment needs no room. pf refuses the ACKs of an
/// end whose FIN lies just beyond a full window, where data may not but a FIN may.
fn fits(pair: &Pair, segment: &Segment) -> bool {
    let Pair { src, dst } = pair;
    let oldest = src.seqlo.wrapping_sub(dst.window(src));
    (segment.is_empty || at_or_after(src.seqhi, segment.data_end))
        && at_or_after(segment.seq, oldest)
        && ack_fits(pair, segment)
        && reset_fits(pair, segment, oldest)
}

fn ack_fits(pair: &Pair, segment: &Segment) -> bool {
    let Pair { src, dst } = pair;
    let allowance = i64::from(ACK_WINDOW);
    let behind = allowance << src.shift(dst);
    // What the other end sent before it was first seen may be acknowledged too.
    let ahead = if dst.wscale == WindowScale::UNKNOWN { behind } else { allowance };
    (-ahead..=behind).contains(&segment.ack_skew(pair))
}

/// A reset must name exactly what its sender has reached, give or take one; or
/// acknowledge exactly what the other end has reached, from within the window.
fn reset_fits(pair: &Pair, segment: &Segment, oldest: u32) -> bool {
    if !segment.flags.contains(TcpFlags::RST) {
        return true;
    }
    let (seq, reached) = (segment.original_seq, pair.src.seqlo);
    let next = reached.wrapping_add(1);
    let exact = reached.wrapping_sub(1) == seq || reached == seq || next == seq;
    let acks_exactly = segment.acks && segment.ack_skew(pair) == 0;
    exact || (acks_exactly && at_or_after(seq, oldest) && at_or_after(next, seq))
}

/// The wider window where one end is not yet known, or both are nearly done.
///
/// DEVIATION(OpenBSD pf): an empty segment is judged by its own number here. pf
/// takes it as fitting, so that any forged reset ends a half-closed connection.
fn fits_loosely(pair: &Pair, segment: &Segment) -> bool {
    let applies = pair.dst.state < TcpState::SynSent || pair.any_reached(TcpState::FinWait2);
    let (seq, data_end) = if segment.is_empty {
        (segment.original_seq, segment.original_seq)
    } else {
        (segment.seq, segment.data_end)
    };
    applies
        && at_or_after(pair.src.seqhi.wrapping_add(ACK_WINDOW), data_end)
        && at_or_after(seq, pair.src.seqlo.wrapping_sub(ACK_WINDOW))
}

/// Moves the windows on by what an accepted segment shows.
fn slide(pair: &mut Pair, segment: &Segment) {
    pair.src.max_win = pair.src.max_win.max(segment.scaled_window);
    pair.src.seqlo = later(pair.src.seqlo, segment.end);
    // An end not yet seen has no window that could slide, and an acknowledgement
    // that was accepted loosely is no measure.
    if pair.dst.state >= TcpState::SynSent && ack_fits(pair, segment) {
        let allowed = segment.ack.wrapping_add(segment.window.max(1));
        pair.dst.seqhi = later(pair.dst.seqhi, allowed);
    }
}

/// Moves the states on.
fn advance(pair: &mut Pair, segment: &Segment) {
    if segment.flags.contains(TcpFlags::FIN) {
        pair.src.reach(TcpState::Closing);
    }
    if segment.acks {
        if pair.dst.state == TcpState::SynSent {
            count_syn(&mut pair.dst, segment.ack);
        }
        acknowledge(&mut pair.dst);
    }
    if segment.flags.contains(TcpFlags::RST) {
        pair.reset();
    }
}

/// The first SYN was not counted, so that it could be resent; once acknowledged
/// it is. A challenge ACK then names what the end really expects.
fn count_syn(peer: &mut TcpPeer, ack: u32) {
    if at_or_after(peer.seqhi, ack) {
        peer.seqlo = later(peer.seqlo, ack);
    }
}

pub(super) const fn acknowledge(peer: &mut TcpPeer) {
    peer.state = match peer.state {
        TcpState::SynSent => TcpState::Established,
        TcpState::Closing => TcpState::FinWait2,
        TcpState::Closed | TcpState::Established | TcpState::FinWait2 | TcpState::TimeWait => {
            return;
        }
    };
}

/// Loosely accepted segments only ever end a connection.
fn close(pair: &mut Pair, segment: &Segment) {
    if segment.flags.contains(TcpFlags::FIN) {
        pair.src.reach(TcpState::Closing);
    }
    if segment.flags.contains(TcpFlags::RST) {
        pair.reset();
    }
}

/// In the handshake a misfit is mostly the answer of a host that still holds an
/// older connection on these ports: a reset frees it, and the sender is learned
/// anew from its next segment.
fn reject(peers: &mut [TcpPeer; 2], side: Side, pair: &Pair, tcp: &Tcp) -> Outcome {
    if pair.src.state != TcpState::SynSent || pair.dst.state != TcpState::SynSent {
        return Outcome::Reject;
    }
    let src = &mut peers[side.index()];
    *src = TcpPeer::unseen(src.wscale);
    if tcp.flags.contains(TcpFlags::RST) {
        return Outcome::Reject;
    }
    Outcome::Reset { seq: tcp.ack }
}
