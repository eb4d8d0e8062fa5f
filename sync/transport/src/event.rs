//! What goes through a transport and what it tells.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::{Fingerprint, PeerId, PeerName};

/// One of the ways beside each other in a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The one control stream: in order, without loss, ahead of all lanes.
    Control,
    /// An ordered lane by its number: in order within itself, without loss.
    Ordered(u8),
    /// Small messages that may be lost, overtake each other, and overtake everything else.
    Datagram,
}

/// What a channel thinks of more, after a message was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    Clear,
    /// The message was accepted, but no more is wanted before [`Event::Writable`].
    Full,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is full; [`Event::Writable`] tells when it is not any more.
    #[error("the channel is full")]
    WouldBlock,
    /// There is no link to the peer.
    #[error("there is no link to the peer")]
    NoLink,
    /// The transport does not know the peer.
    #[error("there is no such peer")]
    NoPeer,
    /// The link does not have that many lanes.
    #[error("the link has {lanes} lanes")]
    NoLane {
        /// How many it has.
        lanes: u8,
    },
    /// The message is longer than the channel can carry now. What is too long for a datagram
    /// may fit a lane.
    #[error("the message is longer than {limit} bytes")]
    TooBig {
        /// The most it can carry, in bytes.
        limit: usize,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a link to `peer`, authenticated from both sides.
    LinkUp {
        /// Whom it leads to.
        peer: PeerId,
        /// The name the peer proved to have.
        name: PeerName,
        /// The key it proved that with.
        fingerprint: Fingerprint,
        /// Drawn anew whenever the peer's transport starts: another one than last time means
        /// that it remembers nothing.
        incarnation: u64,
        /// Lanes that both sides have.
        lanes: u8,
    },
    /// The link to `peer` is gone, and with it what was under way.
    LinkDown {
        /// Whom it led to.
        peer: PeerId,
        /// Why it went.
        reason: DownReason,
    },
    /// A message arrived.
    Message {
        /// From whom.
        peer: PeerId,
        /// The channel it was sent on.
        channel: Channel,
        /// Its bytes, as they were sent.
        bytes: Vec<u8>,
    },
    /// A channel that was full has room again.
    Writable {
        /// To whom.
        peer: PeerId,
        /// Which channel.
        channel: Channel,
    },
    /// Somebody was not let in, or did not let us in. At most a few of these a second are
    /// told.
    Refused {
        /// Where it came from, or went to.
        address: Option<SocketAddr>,
        /// The key that was shown, if it came to that.
        fingerprint: Option<Fingerprint>,
        /// Why.
        reason: RefusedReason,
        /// How many more were refused and not told since the last that was.
        untold: u64,
    },
}

/// Why a link went down.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DownReason {
    /// Nothing was heard from the peer for `silence`.
    #[error("nothing heard for {silence:?}")]
    Silent {
        /// How long nothing was heard, at least.
        silence: Duration,
    },
    /// The peer's host says that nobody listens there any more.
    #[error("the peer's process is gone")]
    Gone,
    /// The peer ended it.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// This side ended it.
    #[error("closed from here")]
    ClosedHere,
    /// The peer has started anew and knows nothing of the old link.
    #[error("the peer has restarted")]
    PeerRestarted,
    /// The peer says that it does not know the link: it has restarted, or what it said when it
    /// ended the link was lost.
    #[error("the peer does not know the link any more")]
    Forgotten,
    /// The peer had given it up and has set up another.
    #[error("replaced by a newer link")]
    Replaced,
    /// The peer's key is not in the configuration any more.
    #[error("the peer's key is trusted no longer")]
    KeyWithdrawn,
    /// The peer broke the transport's rules.
    #[error("the peer broke the protocol: {what}")]
    Misbehaved {
        /// Which rule.
        what: &'static str,
    },
    /// The link broke some other way.
    #[error("the link broke: {what}")]
    Broken {
        /// In the words of what carries the link.
        what: String,
    },
}

/// Why a link did not come to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RefusedReason {
    /// A stranger: its key is pinned to no peer.
    #[error("its key belongs to no configured peer")]
    UnknownKey,
    /// The node at a peer's address has a key that is not that peer's.
    #[error("its key is not the one pinned to {expected}")]
    WrongKey {
        /// The peer that was expected there.
        expected: PeerName,
    },
    /// The other side does not let us in; it is likely not to know our key.
    #[error("it does not let us in: {what}")]
    RefusedThere {
        /// In its words, shortened.
        what: String,
    },
    /// It speaks another version of the protocol.
    #[error("it speaks version {version} of the transport's protocol")]
    Version {
        /// The version it announced.
        version: u16,
    },
    /// Too many set-ups are under way.
    #[error("too many handshakes are under way")]
    Busy,
    /// It did something else that no peer does.
    #[error("it broke the protocol: {what}")]
    Misbehaved {
        /// What.
        what: String,
    },
}

/// How a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Round-trip time, smoothed.
    pub rtt: Duration,
    /// Lanes that both sides have.
    pub lanes: u8,
    /// Longest datagram that can be sent now, in bytes.
    pub datagram_max: usize,
    /// Longest message of the control stream and the lanes, in bytes.
    pub message_max: usize,
    /// Bytes that were accepted and are not handed to the network yet, all channels together.
    pub queued: usize,
    /// Datagrams that were accepted and then dropped on this side.
    pub datagrams_dropped: u64,
}
