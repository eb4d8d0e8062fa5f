//! States on their way between gateways: plain facts out, plain facts in, merged.
//!
//! Times leave as ages and come back as points on the receiver's own clock, so
//! that no two clocks are compared.
//!
//! Merging never goes back. For one and the same state ([`State::id`]) it is a
//! join: each direction alone, and in each direction the state, the sequence
//! numbers and the window alone, because with asymmetric routing one gateway sees
//! the data of a direction and the other its acknowledgements. It is commutative,
//! associative and idempotent as long as the numbers of one direction lie within
//! half the sequence space.

use std::time::Duration;

use evergate_wire::{Addr, Timestamp, protocol};

use crate::counter::{CoarseTime, Count40};
use crate::tcp::{self, TcpState, WindowScale, later};
use crate::{Side, State, StateId, StateKey, StateOptions, TcpPeer, Timeout, Traffic, datagram};

use super::{Flags, Peers};

/// What is known of both ends of a state, by [`Side::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Of a TCP connection.
    Tcp([TcpPeer; 2]),
    /// Of any other protocol.
    Datagram([Traffic; 2]),
}

/// Everything that a state knows, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The key.
    pub key: StateKey,
    /// Its name among gateways.
    pub id: StateId,
    /// The end that sent the first packet.
    pub initiator: Side,
    /// What is known of the ends.
    pub ends: Ends,
    /// Packets that passed, by the side that sent them; below 2^40.
    pub packets: [u64; 2],
    /// The bytes of those packets.
    pub bytes: [u64; 2],
    /// How long ago it began.
    pub age: Duration,
    /// How long ago a packet last refreshed it.
    pub idle: Duration,
    /// The timeout that it is under.
    pub timeout: Timeout,
    /// The properties that its verdict gave it, in the exporter's numbers.
    pub options: StateOptions,
}

/// Why facts do not make a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// The key is not one that a packet could have: ends out of order, or an
    /// address of the other family.
    Key,
    /// The ends are of another protocol than the key.
    Ends,
    /// No state of this protocol can be under this timeout.
    Timeout,
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "the key is not canonical",
            Self::Ends => "the ends do not fit the protocol",
            Self::Timeout => "the timeout does not fit the protocol",
        })
    }
}

impl std::error::Error for ImportError {}

/// What merging has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Merge {
    /// The state knows something that it did not know before.
    pub learned: bool,
    /// The other side lacks something that the state knows.
    pub stale: bool,
}

impl Exported {
    /// Whether a state can be made of these facts, whoever told them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), ImportError> {
        let key = &self.key;
        if key.addr.iter().any(|addr: &Addr| addr.af() != key.af) || !is_ordered(key) {
            return Err(ImportError::Key);
        }
        if matches!(self.ends, Ends::Tcp(_)) != (key.proto == protocol::TCP) {
            return Err(ImportError::Ends);
        }
        if !timeouts_of(key.proto).contains(&self.timeout) {
            return Err(ImportError::Timeout);
        }
        Ok(())
    }

    /// Whether the connection is over for both ends, so that its ports may be in
    /// use for another one.
    pub fn is_finished(&self) -> bool {
        self.ends.are_finished()
    }
}

impl Ends {
    /// What both know together; `None` if they are of different protocols.
    pub fn join(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                Some(Self::Tcp([join_tcp(&a[0], &b[0]), join_tcp(&a[1], &b[1])]))
            }
            (Self::Datagram(a), Self::Datagram(b)) => {
                Some(Self::Datagram([a[0].max(b[0]), a[1].max(b[1])]))
            }
            (Self::Tcp(_), Self::Datagram(_)) | (Self::Datagram(_), Self::Tcp(_)) => None,
        }
    }

    fn are_finished(&self) -> bool {
        match self {
            Self::Tcp(peers) => peers.iter().all(|peer| peer.state >= TcpState::FinWait2),
            Self::Datagram(_) => false,
        }
    }
}

impl State {
    /// The state as of `now`.
    pub fn export(&self, now: Timestamp) -> Exported {
        Exported {
            key: self.key,
            id: self.id(),
            initiator: self.initiator(),
            ends: self.ends(),
            packets: self.packets.map(Count40::value),
            bytes: self.bytes,
            age: now.since(self.created()),
            idle: now.since(self.last_seen),
            timeout: self.timeout,
            options: self.options(),
        }
    }

    /// The state that these facts describe at `now`. A moment before the origin of
    /// the clock becomes the origin.
    ///
    /// # Errors
    /// As [`Exported::check`].
    pub fn import(facts: &Exported, now: Timestamp) -> Result<Self, ImportError> {
        facts.check()?;
        Ok(Self {
            key: facts.key,
            peers: facts.ends.into(),
            numbers: facts.options.into(),
            flags: Flags::new(&facts.options, facts.initiator),
            packets: facts.packets.map(Count40::new),
            bytes: facts.bytes,
            last_seen: before(now, facts.idle),
            created: CoarseTime::new(before(now, facts.age)),
            creator: facts.id.creator,
            id: facts.id.id,
            timeout: facts.timeout,
        })
    }

    /// Merges what another gateway knows of the state with this key.
    ///
    /// If the names differ, two gateways have created a state for one key: the
    /// greater (id, creator) is kept with its options, and what is known of the
    /// ends is joined, unless the lesser one is finished: then the ports are in use
    /// again, and nothing of it is kept.
    ///
    /// # Errors
    /// As [`Exported::check`], and [`ImportError::Key`] for another key. Nothing is
    /// changed then.
    pub fn merge(&mut self, facts: &Exported, now: Timestamp) -> Result<Merge, ImportError> {
        facts.check()?;
        if facts.key != self.key {
            return Err(ImportError::Key);
        }
        let (own_id, other_id) = (self.id(), facts.id);
        let finished = self.ends().are_finished();
        if other_id < own_id && facts.is_finished() && !finished {
            return Ok(Merge { learned: false, stale: true });
        }
        if other_id > own_id {
            if finished && !facts.is_finished() {
                *self = Self::import(facts, now)?;
                return Ok(Merge { learned: true, stale: false });
            }
            self.id = facts.id.id;
            self.creator = facts.id.creator;
            self.numbers = facts.options.into();
            self.flags = Flags::new(&facts.options, facts.initiator);
            self.created = CoarseTime::new(before(now, facts.age));
        }
        for side in Side::BOTH {
            let slot = side.index();
            let packets = self.packets[slot].value().max(facts.packets[slot]);
            self.packets[slot] = Count40::new(packets);
            self.bytes[slot] = self.bytes[slot].max(facts.bytes[slot]);
        }
        let seen = Seen { timeout: Some(facts.timeout), idle: facts.idle };
        let mut merge = self.merge_ends_as(&facts.ends, seen, now).ok_or(ImportError::Ends)?;
        merge.learned |= other_id > own_id;
        merge.stale |= other_id < own_id;
        Ok(merge)
    }

    /// Merges what another gateway knows of the ends of this very state, which a
    /// packet refreshed there `idle` ago. `None` if they are of another protocol.
    pub fn merge_ends(&mut self, ends: &Ends, idle: Duration, now: Timestamp) -> Option<Merge> {
        self.merge_ends_as(ends, Seen { timeout: None, idle }, now)
    }

    /// What is known of both ends.
    pub const fn ends(&self) -> Ends {
        match self.peers {
            Peers::Tcp(peers) => Ends::Tcp(peers),
            Peers::Datagram(ends) => Ends::Datagram(ends),
        }
    }

    fn merge_ends_as(&mut self, other: &Ends, seen: Seen, now: Timestamp) -> Option<Merge> {
        let own = self.ends();
        let joined = own.join(other)?;
        let merge = Merge { learned: joined != own, stale: joined != *other };
        self.peers = joined.into();
        self.last_seen = self.last_seen.max(before(now, seen.idle));
        self.timeout = match (seen.timeout, merge.learned, merge.stale) {
            (Some(other), false, false) => self.timeout.max(other),
            (Some(other), true, false) => other,
            (_, false, _) => self.timeout,
            (None, true, _) | (Some(_), true, true) => match &joined {
                Ends::Tcp(peers) => tcp::timeout(peers),
                Ends::Datagram(ends) => datagram::timeout(self.key.proto, *ends),
            },
        };
        Some(merge)
    }
}

/// When and under which timeout the other gateway last saw a packet.
struct Seen {
    timeout: Option<Timeout>,
    idle: Duration,
}

impl From<Ends> for Peers {
    fn from(ends: Ends) -> Self {
        match ends {
            Ends::Tcp(peers) => Self::Tcp(peers),
            Ends::Datagram(ends) => Self::Datagram(ends),
        }
    }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(now.as_nanos().saturating_sub(nanos))
}

/// An end that was not seen has no numbers: whoever has seen it knows better.
fn join_tcp(a: &TcpPeer, b: &TcpPeer) -> TcpPeer {
    match (a.state, b.state) {
        (TcpState::Closed, TcpState::Closed) => {}
        (TcpState::Closed, _) => return *b,
        (_, TcpState::Closed) => return *a,
        _ => {}
    }
    let widest = if width(a) >= width(b) { a } else { b };
    TcpPeer {
        seqlo: later(a.seqlo, b.seqlo),
        seqhi: later(a.seqhi, b.seqhi),
        max_win: widest.max_win,
        wscale: widest.wscale,
        state: a.state.max(b.state),
    }
}

/// Orders windows by how well their scale is known: a window counts only among
/// those of the same scale.
const fn width(peer: &TcpPeer) -> (u8, u16) {
    let rank = match (peer.wscale, peer.wscale.known()) {
        (WindowScale::AWAITED, _) => 0,
        (WindowScale::UNKNOWN, _) => 1,
        (_, Some(shift)) => 2 + shift,
        (_, None) => u8::MAX,
    };
    (rank, peer.max_win)
}

/// Whether the ends stand where [`key_of`](crate::key_of) would put them. ICMP may
/// have either order: the asking end comes first.
fn is_ordered(key: &StateKey) -> bool {
    let [lo, hi] = [(key.addr[0], key.port[0]), (key.addr[1], key.port[1])];
    match key.proto {
        protocol::TCP | protocol::UDP => lo <= hi,
        protocol::ICMP | protocol::ICMPV6 => true,
        _ => key.port == [0, 0] && lo <= hi,
    }
}

const fn timeouts_of(proto: u8) -> &'static [Timeout] {
    match proto {
        protocol::TCP => &[
            Timeout::TcpFirst,
            Timeout::TcpOpening,
            Timeout::TcpEstablished,
            Timeout::TcpClosing,
            Timeout::TcpFinwait,
            Timeout::TcpClosed,
        ],
        protocol::UDP => &[Timeout::UdpFirst, Timeout::UdpSingle, Timeout::UdpMultiple],
        protocol::ICMP | protocol::ICMPV6 => &[Timeout::IcmpFirst, Timeout::IcmpError],
        _ => &[Timeout::OtherFirst, Timeout::OtherSingle, Timeout::OtherMultiple],
    }
}

#[cfg(test)]
mod tests;
