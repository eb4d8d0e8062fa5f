//! What the transport's thread knows of each peer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use evergate_sync_transport::inbox::LinkNumber;
use evergate_sync_transport::{DownReason, Fingerprint, PeerId};
use quinn::Connection;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::PeerConfig;
use crate::meet::{Met, code, dismiss};
use crate::pulse::heard;

/// Connections of one peer that are not the link; the oldest gives way.
const OTHERS_MAX: usize = 4;

/// What may still be heard on a link after the peer has given it up: frames that were on their
/// way.
const FRAMES_UNDER_WAY: u64 = 4;

/// All peers.
pub(super) struct Peers(BTreeMap<PeerId, PeerState>);

/// One peer.
pub(super) struct PeerState {
    pub(super) config: PeerConfig,
    pub(super) live: Option<Live>,
    /// Met, but there is a link; for an arbiter to fall back on.
    held: Option<Held>,
    /// Connections that have proved to lead to it and are not the link.
    others: Vec<Connection>,
    pub(super) dialling: Option<(AbortHandle, u64)>,
    pub(super) next_dial: Instant,
    pub(super) failures: u32,
    /// Whose turn it is among the addresses.
    turn: usize,
    removed: bool,
}

/// A connection that is kept beside the link.
struct Held {
    met: Met,
    /// What had been heard on the link when the peer said hello on this one.
    heard: u64,
}

/// A link that is up.
pub(super) struct Live {
    pub(super) number: LinkNumber,
    pub(super) incarnation: u64,
    pub(super) fingerprint: Fingerprint,
    pub(super) connection: Connection,
    pub(super) end: oneshot::Sender<DownReason>,
}

impl Peers {
    pub(super) fn new(peers: Vec<(PeerId, PeerConfig)>, now: Instant) -> Self {
        let state = |(id, config)| (id, PeerState::new(config, now));
        Self(peers.into_iter().map(state).collect())
    }

    /// Takes over a new list; tells whose links are to end.
    pub(super) fn replace(
        &mut self,
        peers: Vec<(PeerId, PeerConfig)>,
        now: Instant,
    ) -> Vec<PeerId> {
        for state in self.0.values_mut() {
            state.removed = true;
        }
        for (id, config) in peers {
            let state = self.0.entry(id).or_insert_with(|| PeerState::new(config.clone(), now));
            state.removed = false;
            if state.config != config {
                state.config = config;
                state.failures = 0;
                state.next_dial = now;
            }
        }
        let ends = self.0.iter().filter(|(_, state)| state.removed || state.is_withdrawn());
        ends.map(|(&id, _)| id).collect()
    }

    /// Forgets the peers that the last [`replace`](Self::replace) had not.
    pub(super) fn forget_removed(&mut self) {
        self.0.retain(|_, state| {
            if state.removed {
                state.dismiss_others(code::KEY_WITHDRAWN, "no such peer");
            }
            !state.removed
        });
    }

    pub(super) fn get_mut(&mut self, peer: PeerId) -> Option<&mut PeerState> {
        self.0.get_mut(&peer)
    }

    /// All pinned keys and whose they are.
    pub(super) fn fingerprints(&self) -> BTreeMap<Fingerprint, PeerId> {
        let of = |(&id, state): (&PeerId, &PeerState)| {
            state.config.fingerprints.iter().map(move |&f| (f, id)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Tells whether one of the peers is expected at this address.
    pub(super) fn lives_at(&self, ip: IpAddr) -> bool {
        let mut addresses = self.0.values().flat_map(|state| &state.config.addresses);
        addresses.any(|address| address.ip() == ip.to_canonical())
    }

    pub(super) fn next_dial(&self) -> Option<Instant> {
        self.0.values().filter(|state| state.is_to_be_dialled()).map(|state| state.next_dial).min()
    }

    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = PeerId> {
        let due = move |state: &PeerState| state.is_to_be_dialled() && state.next_dial <= now;
        self.0.iter().filter(move |(_, state)| due(state)).map(|(&id, _)| id)
    }
}

impl PeerState {
    fn new(config: PeerConfig, now: Instant) -> Self {
        Self {
            config,
            live: None,
            held: None,
            others: Vec::new(),
            dialling: None,
            next_dial: now,
            failures: 0,
            turn: 0,
            removed: false,
        }
    }

    fn is_to_be_dialled(&self) -> bool {
        self.live.is_none() && self.dialling.is_none() && !self.config.addresses.is_empty()
    }

    /// Tells whether the link is by a key that is not pinned any more.
    fn is_withdrawn(&self) -> bool {
        let pinned = &self.config.fingerprints;
        self.live.as_ref().is_some_and(|live| !pinned.contains(&live.fingerprint))
    }

    pub(super) fn next_address(&mut self) -> Option<SocketAddr> {
        let count = self.config.addresses.len().max(1);
        let address = self.config.addresses.get(self.turn % count).copied();
        self.turn = (self.turn + 1) % count;
        address
    }

    /// Remembers a connection that leads to this peer.
    pub(super) fn remember(&mut self, connection: Connection) {
        self.others.retain(|other| other.close_reason().is_none());
        if self.others.len() >= OTHERS_MAX {
            dismiss(&self.others.remove(0), code::SUPERSEDED, "there are newer ones");
        }
        self.others.push(connection);
    }

    /// Keeps a connection for when the link has ended.
    pub(super) fn hold(&mut self, met: Met) {
        let heard = self.live.as_ref().map_or(0, |live| heard(&live.connection));
        if let Some(old) = self.held.replace(Held { met, heard }) {
            dismiss(&old.met.connection, code::SUPERSEDED, "there is a newer one");
        }
    }

    /// The connection that was kept, if the peer wants it in place of the link that has ended:
    /// if it said hello on it because it had given up the link, and so was silent on that.
    pub(super) fn held(&mut self) -> Option<Met> {
        let Held { met, heard: before } = self.held.take()?;
        let since = self.live.as_ref().map_or(0, |live| heard(&live.connection) - before);
        if since > FRAMES_UNDER_WAY {
            dismiss(&met.connection, code::SUPERSEDED, "it was not needed");
            return None;
        }
        met.connection.close_reason().is_none().then_some(met)
    }

    /// Gives up the connection that was kept.
    pub(super) fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            dismiss(&held.met.connection, code::SUPERSEDED, "it was not needed");
        }
    }

    /// One connection is to be the link; all others end.
    pub(super) fn chosen(&mut self, connection: &Connection) {
        let chosen = connection.stable_id();
        self.others.retain(|other| other.stable_id() != chosen);
        self.dismiss_others(code::SUPERSEDED, "another one is the link");
        self.failures = 0;
    }

    fn dismiss_others(&mut self, code: quinn::VarInt, why: &str) {
        if let Some((dialling, _)) = self.dialling.take() {
            dialling.abort();
        }
        if let Some(held) = self.held.take() {
            dismiss(&held.met.connection, code, why);
        }
        for other in self.others.drain(..) {
            dismiss(&other, code, why);
        }
    }
}
