//! What carries replication between gateways.
//!
//! [`Transport`] is all that the rest of a gateway knows of the link to its peers: named
//! peers, authenticated before anything of theirs is handed up; one control stream, some
//! ordered lanes and datagrams to each; and a link that is up or down. What is behind it
//! (QUIC, memory, something else) does not show. What every implementation must keep is
//! written down as executable claims in [`contract`].
//!
//! [`memory`] is the implementation for simulations: whole clusters in one process, with
//! loss, delay, cuts, crashes and restarts, and no clock but the time it is given.
//!
//! # What a user can rely on
//!
//! - Messages of one channel of one link arrive in order, whole, at most once, and, but for
//!   datagrams, without a gap for as long as the link is up. Channels do not wait for each
//!   other.
//! - After [`Event::LinkDown`] nothing of that link arrives any more. What was accepted but
//!   had not arrived when the link went down is lost: to notice and heal that is the work of
//!   the replication above.
//! - The two sides see a link come and go at different times.
//! - Nothing blocks, nothing grows: a full channel answers [`SendError::WouldBlock`].

pub mod contract;
mod event;
mod identity;
pub mod inbox;
pub mod memory;
mod random;

pub use event::{Channel, DownReason, Event, LinkStatus, Pressure, RefusedReason, SendError};
pub use identity::{Fingerprint, FingerprintError, Peer, PeerId, PeerName, PeerNameError};
pub use random::{Backoff, Random};

/// Most lanes that any link has; a lane's number is below it.
pub const LANES_MAX: u8 = 64;

/// Lanes of a link unless configured otherwise.
pub const LANES_DEFAULT: u8 = 8;

/// One gateway's end of its links to all its peers.
///
/// All calls return at once.
pub trait Transport {
    /// Queues a copy of `message` for `peer`.
    ///
    /// [`Pressure::Full`] means: accepted, but send nothing more on this channel until
    /// [`Event::Writable`]. A user that heeds it is never refused with
    /// [`SendError::WouldBlock`].
    ///
    /// # Errors
    /// When the message was not accepted; then nothing of it will arrive.
    fn try_send(
        &mut self,
        peer: PeerId,
        channel: Channel,
        message: &[u8],
    ) -> Result<Pressure, SendError>;

    /// The next thing that happened, if any.
    ///
    /// What happened to links comes first, then control messages, then datagrams; lanes take
    /// turns. Messages that are not taken hold back their sender, lane by lane.
    fn poll(&mut self) -> Option<Event>;

    /// Ends the link to `peer`, telling it; a new one is set up after a while.
    ///
    /// Comes back as [`Event::LinkDown`] on both sides; without a link nothing happens.
    fn disconnect(&mut self, peer: PeerId);

    /// How the link to `peer` does; `None` while there is none.
    fn status(&self, peer: PeerId) -> Option<LinkStatus>;

    /// The peers as they are configured now.
    fn peers(&self) -> Vec<Peer>;

    /// The number of the peer with this name.
    fn peer(&self, name: &str) -> Option<PeerId> {
        self.peers().into_iter().find(|peer| peer.name.as_str() == name).map(|peer| peer.id)
    }
}
