//! TCP tracking: what is known of each end, and how segments change it.
//!
//! States of one end (a *peer*), by the segments that cause the change:
//!
//! ```text
//!                own first segment        other end's ACK
//!       CLOSED -------------------> SYN_SENT ----------> ESTABLISHED
//!         ^                          |   |                    |
//!         | misfit while both        |   | own FIN            | own FIN
//!         | ends are SYN_SENT        |   v                    v
//!         +--------------------------+  CLOSING <-------------+
//!                                        |
//!                                        | other end's ACK
//!                                        v
//!                                    FIN_WAIT_2
//!
//!       any state of either end -- RST of either end --> both TIME_WAIT
//!       both FIN_WAIT_2 or later -- bare SYN --> the state is given up
//! ```
//!
//! Where windows are tracked a peer is CLOSED exactly as long as none of its
//! sequence numbers is known.
//!
//! Invariant: a segment that is refused changes nothing, save that a misfit in
//! the handshake makes its sender CLOSED again.

mod create;
mod segment;
mod sloppy;
mod strict;

pub(crate) use create::create;
pub(crate) use segment::later;
pub(crate) use sloppy::track as track_sloppy;
pub(crate) use strict::track as track_windows;

use evergate_wire::{Tcp, TcpFlags};

use crate::{Side, Timeout};

/// The state of one end of a TCP connection, numbered as BSD's `tcp_fsm.h`; only
/// the states that pf tells apart are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing is known of this end's sequence numbers.
    Closed = 0,
    /// It has sent, and nothing of that was acknowledged.
    SynSent = 2,
    /// Its SYN was acknowledged.
    Established = 4,
    /// It has sent a FIN.
    Closing = 7,
    /// Its FIN was acknowledged.
    FinWait2 = 9,
    /// The connection was reset.
    TimeWait = 10,
}

impl TcpState {
    /// Every state, in the order in which they are passed through.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::SynSent,
        Self::Established,
        Self::Closing,
        Self::FinWait2,
        Self::TimeWait,
    ];

    /// pf's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::SynSent => "SYN_SENT",
            Self::Established => "ESTABLISHED",
            Self::Closing => "CLOSING",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::TimeWait => "TIME_WAIT",
        }
    }
}

/// What is known of the window scale option (RFC 7323 §2) of one end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowScale(u8);

impl WindowScale {
    /// The most that a window may be shifted (RFC 7323 §2.3).
    pub const MAX_SHIFT: u8 = 14;
    /// This end's SYN is yet to come.
    pub const AWAITED: Self = Self(0xff);
    /// No scaling: this end or the other did not offer it.
    pub const ABSENT: Self = Self(0xfe);
    /// The handshake was not seen: taken as the largest, lest a connection picked
    /// up in the middle be blocked.
    pub const UNKNOWN: Self = Self(0xfd);

    /// A known shift, taken as at most [`WindowScale::MAX_SHIFT`].
    pub const fn shift_by(shift: u8) -> Self {
        Self(if shift < Self::MAX_SHIFT { shift } else { Self::MAX_SHIFT })
    }

    /// What a SYN with this option says.
    pub const fn of_syn(option: Option<u8>) -> Self {
        match option {
            Some(shift) => Self::shift_by(shift),
            None => Self::ABSENT,
        }
    }

    /// The shift, if it is known from a SYN.
    pub const fn known(self) -> Option<u8> {
        if self.0 <= Self::MAX_SHIFT { Some(self.0) } else { None }
    }

    /// The shift to reckon with; `None` if this end rules scaling out so far.
    const fn effective(self) -> Option<u8> {
        match self {
            Self::AWAITED | Self::ABSENT => None,
            Self::UNKNOWN => Some(Self::MAX_SHIFT),
            Self(shift) => Some(shift),
        }
    }
}

impl std::fmt::Debug for WindowScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::AWAITED => f.write_str("awaited"),
            Self::ABSENT => f.write_str("absent"),
            Self::UNKNOWN => f.write_str("unknown"),
            Self(shift) => write!(f, "{shift}"),
        }
    }
}

/// One end of a tracked TCP connection. All sequence numbers are modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpPeer {
    /// One past the highest sequence number that this end has sent.
    pub seqlo: u32,
    /// One past the highest sequence number that the other end lets it send.
    pub seqhi: u32,
    /// The largest window that this end has advertised, as in its header: to be
    /// shifted by `wscale` if both ends scale.
    pub max_win: u16,
    /// Its window scale.
    pub wscale: WindowScale,
    /// Its state.
    pub state: TcpState,
}

impl TcpPeer {
    /// An end that has not been seen: pf's seqlo 0, seqhi 1, max_win 1.
    const fn unseen(wscale: WindowScale) -> Self {
        Self { seqlo: 0, seqhi: 1, max_win: 1, wscale, state: TcpState::Closed }
    }

    /// The shift of this end's windows, given whether the other end scales.
    const fn shift(&self, other: &Self) -> u8 {
        match (self.wscale.effective(), other.wscale.effective()) {
            (Some(shift), Some(_)) => shift,
            (None, _) | (_, None) => 0,
        }
    }

    /// The largest window that this end has advertised, in bytes: below 2^30.
    const fn window(&self, other: &Self) -> u32 {
        (self.max_win as u32) << self.shift(other)
    }

    fn reach(&mut self, state: TcpState) {
        self.state = self.state.max(state);
    }
}

/// What tracking says of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passes and refreshes the state.
    Accept,
    /// It passes without refreshing the state.
    AcceptLoosely,
    /// It is dropped.
    Reject,
    /// It is dropped, and a reset with this sequence number goes to its sender.
    Reset { seq: u32 },
    /// It begins a new connection; the state is to be removed.
    Reopen,
    /// It is dropped, and an ACK with these numbers goes to its sender.
    ChallengeAck { seq: u32, ack: u32 },
}

/// Both ends, sorted by who sent the segment.
#[derive(Clone, Copy)]
struct Pair {
    src: TcpPeer,
    dst: TcpPeer,
}

impl Pair {
    const fn of(peers: &[TcpPeer; 2], side: Side) -> Self {
        Self { src: peers[side.index()], dst: peers[side.other().index()] }
    }

    const fn store(self, peers: &mut [TcpPeer; 2], side: Side) {
        peers[side.index()] = self.src;
        peers[side.other().index()] = self.dst;
    }

    fn both_reached(&self, state: TcpState) -> bool {
        self.src.state >= state && self.dst.state >= state
    }

    fn any_reached(&self, state: TcpState) -> bool {
        self.src.state >= state || self.dst.state >= state
    }

    const fn reset(&mut self) {
        self.src.state = TcpState::TimeWait;
        self.dst.state = TcpState::TimeWait;
    }
}

const fn is_bare_syn(tcp: &Tcp) -> bool {
    tcp.flags.contains(TcpFlags::SYN) && !tcp.flags.contains(TcpFlags::ACK)
}

/// Whether `side` may have sent a segment that begins at `seq`.
pub(crate) fn may_have_sent(peers: &[TcpPeer; 2], side: Side, seq: u32) -> bool {
    let Pair { src, dst } = Pair::of(peers, side);
    src.state > TcpState::Closed
        && segment::at_or_after(src.seqhi, seq)
        && segment::at_or_after(seq, src.seqlo.wrapping_sub(dst.window(&src)))
}

/// The timeout that two peers' states call for once a second segment was seen.
pub(crate) fn timeout(peers: &[TcpPeer; 2]) -> Timeout {
    let pair = Pair::of(peers, Side::Lo);
    if pair.both_reached(TcpState::FinWait2) {
        Timeout::TcpClosed
    } else if pair.both_reached(TcpState::Closing) {
        Timeout::TcpFinwait
    } else if !pair.both_reached(TcpState::Established) {
        Timeout::TcpOpening
    } else if pair.any_reached(TcpState::Closing) {
        Timeout::TcpClosing
    } else {
        Timeout::TcpEstablished
    }
}

#[cfg(test)]
mod tests;
