//! The state: what is remembered of one connection.

mod exchange;

pub use exchange::{Ends, Exported, ImportError, Merge};

use std::time::Duration;

use evergate_wire::{DropReason, IcmpKind, L4, Parsed, Quoted, QuotedL4, Timestamp};

use crate::counter::{CoarseTime, Count40};
use crate::tcp::{self, Outcome};
use crate::{
    Side, StateKey, StateOptions, TcpPeer, Timeout, TimeoutSet, Timeouts, Tracking, Traffic,
    datagram,
};

/// The name of a state among gateways that replicate to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateId {
    /// Unique at its creator.
    pub id: u64,
    /// The gateway that created the state.
    pub creator: u32,
}

/// What becomes of a packet that met its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Track {
    /// It passes.
    Pass,
    /// It is dropped.
    Drop(DropReason),
    /// It begins a new connection on the ports of a finished one: the state is to
    /// be removed and the packet decided anew.
    Reopen,
    /// It is dropped, and an ACK with these numbers is sent to its sender in the
    /// name of the other end (RFC 5961 §4).
    ChallengeAck {
        /// The sequence number.
        seq: u32,
        /// The acknowledgement number.
        ack: u32,
    },
    /// It is dropped for [`DropReason::StateMismatch`], and a reset with this
    /// sequence number is sent to its sender in the name of the other end.
    Reset {
        /// The sequence number.
        seq: u32,
    },
}

/// What is known of both ends, by side.
#[derive(Clone, Copy, Debug)]
enum Peers {
    Tcp([TcpPeer; 2]),
    Datagram([Traffic; 2]),
}

/// One tracked connection or exchange, at most 128 bytes: a table holds a million.
///
/// What a packet changes comes first, then what it reads, then what is for people
/// and peers: of many states most are not in any cache, and each line costs.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct State {
    last_seen: Timestamp,
    bytes: [u64; 2],
    peers: Peers,
    packets: [Count40; 2],
    timeout: Timeout,
    flags: Flags,
    key: StateKey,
    numbers: Numbers,
    creator: u32,
    created: CoarseTime,
    id: u64,
}

impl State {
    /// Begins the state of a packet that `side` of `key` sent and that was let
    /// pass at `now`.
    ///
    /// # Errors
    /// `StateMismatch` if such a packet may not begin a state: a TCP segment other
    /// than a SYN or the reply to an ICMP query, unless the tracking allows it; an
    /// ICMP error or neighbour discovery. `Fragment` for a fragment.
    pub fn create(
        id: StateId,
        now: Timestamp,
        key: StateKey,
        side: Side,
        packet: &Parsed,
        options: StateOptions,
    ) -> Result<Self, DropReason> {
        let (peers, timeout) = first_peers(side, packet, options.tracking)?;
        let mut state = Self {
            key,
            peers,
            numbers: options.into(),
            flags: Flags::new(&options, side),
            packets: [Count40::default(); 2],
            bytes: [0; 2],
            last_seen: now,
            created: CoarseTime::new(now),
            creator: id.creator,
            id: id.id,
            timeout,
        };
        state.count(side, packet);
        Ok(state)
    }

    /// Judges a further packet, which `side` sent, and updates the state by it.
    /// A packet that does not pass changes no counter and does not refresh.
    pub fn track(&mut self, now: Timestamp, side: Side, packet: &Parsed) -> Track {
        let outcome = match (&mut self.peers, &packet.l4) {
            (Peers::Tcp(peers), L4::Tcp(tcp)) => match self.flags.tracking() {
                Tracking::Sloppy => {
                    let other_seen = self.packets[side.other().index()].value() > 0;
                    tcp::track_sloppy(peers, side, tcp, other_seen)
                }
                tracking @ (Tracking::Strict | Tracking::Loose) => {
                    tcp::track_windows(peers, side, tcp, tracking)
                }
            },
            (Peers::Datagram(ends), L4::Udp(_) | L4::Icmp(_) | L4::Other) => {
                datagram::track(ends, side);
                Outcome::Accept
            }
            (Peers::Tcp(_), L4::Udp(_) | L4::Icmp(_) | L4::Other | L4::Fragment)
            | (Peers::Datagram(_), L4::Tcp(_) | L4::Fragment) => Outcome::Reject,
        };
        match outcome {
            Outcome::Accept => self.refresh(now),
            Outcome::AcceptLoosely => {}
            Outcome::Reject => return Track::Drop(DropReason::StateMismatch),
            Outcome::Reset { seq } => return Track::Reset { seq },
            Outcome::Reopen => return Track::Reopen,
            Outcome::ChallengeAck { seq, ack } => return Track::ChallengeAck { seq, ack },
        }
        self.count(side, packet);
        Track::Pass
    }

    /// Whether an ICMP error that quotes a packet of this state, sent by
    /// `quoted_side`, is to be believed: a quoted TCP segment must lie where that
    /// end may have sent one, unless the state is sloppy. The caller has found the
    /// state by [`quoted_key`](crate::quoted_key). Errors never refresh a state.
    pub fn matches_error(&self, quoted_side: Side, quoted: &Quoted) -> bool {
        match (&self.peers, quoted.l4) {
            (Peers::Tcp(peers), QuotedL4::Tcp { seq, .. }) => {
                self.flags.tracking() == Tracking::Sloppy
                    || tcp::may_have_sent(peers, quoted_side, seq)
            }
            (
                Peers::Datagram(_),
                QuotedL4::Udp { .. } | QuotedL4::Icmp { .. } | QuotedL4::Other,
            ) => true,
            (Peers::Tcp(_), QuotedL4::Udp { .. } | QuotedL4::Icmp { .. } | QuotedL4::Other)
            | (Peers::Datagram(_), QuotedL4::Tcp { .. }) => false,
        }
    }

    /// The timeout that it is under.
    pub const fn timeout_kind(&self) -> Timeout {
        self.timeout
    }

    /// Whether it is to be purged at `now`, by the timeouts of its own set and the
    /// number of states that exist.
    pub fn expired(&self, now: Timestamp, timeouts: &Timeouts, states: u64) -> bool {
        now.since(self.last_seen) >= timeouts.scaled(self.timeout, states)
    }

    /// How long it has left; zero once it has expired.
    pub fn expires_in(&self, now: Timestamp, timeouts: &Timeouts, states: u64) -> Duration {
        timeouts.scaled(self.timeout, states).saturating_sub(now.since(self.last_seen))
    }

    /// The key.
    pub const fn key(&self) -> &StateKey {
        &self.key
    }

    /// Its name among gateways.
    pub const fn id(&self) -> StateId {
        StateId { id: self.id, creator: self.creator }
    }

    /// The end that sent the first packet.
    pub const fn initiator(&self) -> Side {
        self.flags.initiator()
    }

    /// The properties that its verdict gave it.
    pub const fn options(&self) -> StateOptions {
        let Numbers { timeouts, label, tag, policy, rule, in_if, out_if } = self.numbers;
        StateOptions {
            tracking: self.flags.tracking(),
            timeouts,
            label,
            tag,
            policy,
            rule,
            in_if,
            out_if,
            log: self.flags.has(Flags::LOG),
            allow_options: self.flags.has(Flags::ALLOW_OPTIONS),
        }
    }

    /// Whether its policy has yet to see payload before the verdict is final.
    pub const fn is_inspected(&self) -> bool {
        self.flags.has(Flags::INSPECTED)
    }

    /// Says whether its policy has yet to see payload. Of this gateway only: a state that is
    /// exported does not tell.
    pub const fn set_inspected(&mut self, inspected: bool) {
        if inspected {
            self.flags.0 |= Flags::INSPECTED;
        } else {
            self.flags.0 &= !Flags::INSPECTED;
        }
    }

    /// Replaces policy, rule, tag and label by those of the final verdict.
    pub const fn set_verdict(&mut self, policy: u16, rule: u16, tag: u16, label: u16) {
        self.numbers.policy = policy;
        self.numbers.rule = rule;
        self.numbers.tag = tag;
        self.numbers.label = label;
    }

    /// Which set of timeouts it lives by.
    pub const fn timeout_set(&self) -> TimeoutSet {
        self.numbers.timeouts
    }

    /// When it began, up to 67 ms too early.
    pub const fn created(&self) -> Timestamp {
        self.created.timestamp()
    }

    /// When a packet last refreshed it.
    pub const fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// The packets that `side` sent and that passed, the first included; a
    /// super-packet is one. Saturates at 2^40 - 1.
    pub const fn packets(&self, side: Side) -> u64 {
        self.packets[side.index()].value()
    }

    /// The bytes of those packets, with their IP headers.
    pub const fn bytes(&self, side: Side) -> u64 {
        self.bytes[side.index()]
    }

    /// What is known of one end of a TCP connection; `None` for other protocols.
    pub const fn tcp_peer(&self, side: Side) -> Option<TcpPeer> {
        match &self.peers {
            Peers::Tcp(peers) => Some(peers[side.index()]),
            Peers::Datagram(_) => None,
        }
    }

    /// What one end has sent; `None` for TCP.
    pub const fn traffic(&self, side: Side) -> Option<Traffic> {
        match &self.peers {
            Peers::Tcp(_) => None,
            Peers::Datagram(ends) => Some(ends[side.index()]),
        }
    }

    /// pf's name for the state of one end, such as `ESTABLISHED` or `SINGLE`.
    pub const fn peer_name(&self, side: Side) -> &'static str {
        match &self.peers {
            Peers::Tcp(peers) => peers[side.index()].state.name(),
            Peers::Datagram(ends) => ends[side.index()].name(),
        }
    }

    fn refresh(&mut self, now: Timestamp) {
        // Workers read the clock before they wait for the state.
        self.last_seen = self.last_seen.max(now);
        self.timeout = match &self.peers {
            Peers::Tcp(peers) => tcp::timeout(peers),
            Peers::Datagram(ends) => datagram::timeout(self.key.proto, *ends),
        };
    }

    fn count(&mut self, side: Side, packet: &Parsed) {
        self.packets[side.index()].increment();
        let bytes = &mut self.bytes[side.index()];
        *bytes = bytes.saturating_add(u64::from(packet.total_len));
    }
}

fn first_peers(
    side: Side,
    packet: &Parsed,
    tracking: Tracking,
) -> Result<(Peers, Timeout), DropReason> {
    let datagram =
        || (Peers::Datagram(datagram::create(side)), datagram::first_timeout(packet.proto));
    match &packet.l4 {
        L4::Tcp(tcp) => Ok((Peers::Tcp(tcp::create(side, tcp, tracking)?), Timeout::TcpFirst)),
        L4::Udp(_) | L4::Other => Ok(datagram()),
        L4::Icmp(icmp) => match icmp.kind {
            IcmpKind::Query { is_request: true, .. } | IcmpKind::Other => Ok(datagram()),
            IcmpKind::Query { is_request: false, .. } if tracking == Tracking::Sloppy => {
                Ok(datagram())
            }
            IcmpKind::Query { is_request: false, .. }
            | IcmpKind::Error { .. }
            | IcmpKind::NeighbourDiscovery => Err(DropReason::StateMismatch),
        },
        L4::Fragment => Err(DropReason::Fragment),
    }
}

/// The flags of [`StateOptions`], the initiator, and whether payload is inspected, in one byte.
#[derive(Clone, Copy, Debug)]
struct Flags(u8);

impl Flags {
    const TRACKING: u8 = 0b0011;
    const LOG: u8 = 0b0100;
    const INITIATOR_HI: u8 = 0b1000;
    const ALLOW_OPTIONS: u8 = 0b1_0000;
    const INSPECTED: u8 = 0b10_0000;

    const fn new(options: &StateOptions, initiator: Side) -> Self {
        let mut flags = options.tracking as u8;
        if options.log {
            flags |= Self::LOG;
        }
        if options.allow_options {
            flags |= Self::ALLOW_OPTIONS;
        }
        if matches!(initiator, Side::Hi) {
            flags |= Self::INITIATOR_HI;
        }
        Self(flags)
    }

    const fn tracking(self) -> Tracking {
        Tracking::from_bits(self.0 & Self::TRACKING)
    }

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    const fn initiator(self) -> Side {
        if self.0 & Self::INITIATOR_HI == 0 { Side::Lo } else { Side::Hi }
    }
}

/// The numbers of [`StateOptions`], apart from the flags so that nothing is padded.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    timeouts: TimeoutSet,
    label: u16,
    tag: u16,
    policy: u16,
    rule: u16,
    in_if: u16,
    out_if: u16,
}

impl From<StateOptions> for Numbers {
    fn from(options: StateOptions) -> Self {
        let StateOptions { timeouts, label, tag, policy, rule, in_if, out_if, .. } = options;
        Self { timeouts, label, tag, policy, rule, in_if, out_if }
    }
}

#[cfg(test)]
mod tests;
