//! The transport between gateways over QUIC.
//!
//! TLS 1.3 only, both sides with a pinned Ed25519 key ([`keygen`] makes one). Nothing of what
//! carries the link shows outside: it is a [`Transport`] like any other.
//!
//! It runs in a thread of its own, on a runtime of its own, so nothing else can hold it up; the
//! user's calls only copy into and out of bounded queues. Whoever does not want to wait in
//! [`QuicTransport::wait`] is called when something has arrived ([`QuicTransport::set_waker`]).
//!
//! A link is one connection, with one unidirectional stream each way for control and for each
//! lane, and datagrams. Control goes ahead of lanes, heartbeats and datagrams ahead of both.

mod config;
mod congestion;
mod driver;
mod endpoint;
mod frame;
mod hello;
mod key;
mod link;
mod meet;
mod outbox;
mod pulse;
mod shared;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evergate_sync_transport::{
    Channel, Event, Fingerprint, LinkStatus, Peer, PeerId, PeerName, Pressure, SendError, Transport,
};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;
use tracing::error;

pub use config::{
    ConfigError, MESSAGE_MAX, PEER_LIST_MAX, PEERS_MAX, PeerConfig, QuicConfig, ThreadHook,
};
pub use key::{KeyError, NodeKey, keygen};

use driver::Driver;
use shared::{Reload, Shared, lock};
use trust::Verdict;

/// Names that are remembered with their numbers over reloads.
const NAMES_MAX: usize = 4096;

/// Why the transport does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The socket cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Socket {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the transport's thread: {0}")]
    Thread(io::Error),
    /// TLS does not take the key.
    #[error("TLS: {0}")]
    Tls(String),
    /// The system's random number generator does not work.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// A gateway's end of its links, over QUIC. Dropping it tells the peers and ends its thread.
pub struct QuicTransport {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    local: SocketAddr,
    fingerprint: Fingerprint,
    ids: BTreeMap<PeerName, PeerId>,
}

impl QuicTransport {
    /// Listens, and begins to dial the peers.
    ///
    /// # Errors
    /// When the configuration, the socket or the system does not allow it.
    pub fn start(config: QuicConfig, key: NodeKey) -> Result<Self, StartError> {
        config.validate()?;
        check_own_key(&config.peers, key.fingerprint())?;
        let listen = config.listen;
        let failed = move |source| StartError::Socket { address: listen, source };
        let socket = endpoint::bind(listen).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let incarnation = random()?;
        let seed = config.seed.map_or_else(random, Ok)?;
        let shared = Arc::new(Shared::new(config.inbox));
        let mut ids = BTreeMap::new();
        let peers = number(&mut ids, config.peers.clone())?;
        *lock(&shared.peers) = listed(&peers);
        let fingerprint = key.fingerprint();
        let start = {
            let shared = Arc::clone(&shared);
            move || {
                if let Some(hook) = &config.on_thread {
                    (hook.0)();
                }
                let tls = trust::server(&key, Vec::new(), &Arc::new(Verdict::default()))
                    .map_err(|error| StartError::Tls(error.to_string()))?;
                let transport = endpoint::transport_config(&config);
                let endpoint = endpoint::open(socket, &key, tls, &transport).map_err(failed)?;
                let secrets = [incarnation, seed];
                Ok(Driver::new(config, key, secrets, shared, endpoint, transport, peers))
            }
        };
        let thread = spawn(start)?;
        Ok(Self { shared, thread: Some(thread), local, fingerprint, ids })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The fingerprint of this node's key, which the peers have pinned.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Waits until there is an event to [`poll`](Transport::poll); tells whether there is.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        self.shared.wait(timeout)
    }

    /// The next event, waited for up to `timeout`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.shared.take() {
                return Some(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.shared.wait(left) {
                return None;
            }
        }
    }

    /// Has `waker` called when events have arrived: once, then not again before
    /// [`poll`](Transport::poll) has returned `None`.
    ///
    /// It is called on the transport's thread, so it must be quick: to write to an eventfd, say.
    pub fn set_waker(&self, waker: impl Fn() + Send + Sync + 'static) {
        self.shared.set_waker(Box::new(waker));
    }

    /// Takes over another list of peers and, if given, another key of this node.
    ///
    /// Links stay up, but for those whose peer is not listed any more or not with the key it has
    /// proved. A new key of this node is used for the links to come.
    ///
    /// # Errors
    /// When the list cannot be used; then nothing has changed.
    pub fn reload(
        &mut self,
        key: Option<NodeKey>,
        peers: Vec<PeerConfig>,
    ) -> Result<(), ConfigError> {
        let own = key.as_ref().map_or(self.fingerprint, NodeKey::fingerprint);
        config::validate_peers(&peers)?;
        check_own_key(&peers, own)?;
        let peers = number(&mut self.ids, peers)?;
        self.fingerprint = own;
        *lock(&self.shared.peers) = listed(&peers);
        self.shared.request(|requests| {
            let key = key.or_else(|| requests.reload.take().and_then(|earlier| earlier.key));
            requests.reload = Some(Reload { key, peers });
        });
        Ok(())
    }
}

impl Transport for QuicTransport {
    fn try_send(
        &mut self,
        peer: PeerId,
        channel: Channel,
        message: &[u8],
    ) -> Result<Pressure, SendError> {
        let Some(link) = self.shared.link(peer) else {
            let known = lock(&self.shared.peers).iter().any(|known| known.id == peer);
            return Err(if known { SendError::NoLink } else { SendError::NoPeer });
        };
        let limit = match channel {
            Channel::Datagram => link.datagram_max.load(std::sync::atomic::Ordering::Relaxed),
            Channel::Control | Channel::Ordered(_) => link.message_max,
        };
        if message.len() > limit {
            return Err(SendError::TooBig { limit });
        }
        link.outbox.put(channel, message)
    }

    fn poll(&mut self) -> Option<Event> {
        self.shared.take()
    }

    fn disconnect(&mut self, peer: PeerId) {
        self.shared.request(|requests| {
            requests.disconnect.insert(peer);
        });
    }

    fn status(&self, peer: PeerId) -> Option<LinkStatus> {
        self.shared.status(peer)
    }

    fn peers(&self) -> Vec<Peer> {
        lock(&self.shared.peers).clone()
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        self.shared.request(|requests| requests.stop = true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the transport's thread has panicked");
        }
    }
}

/// Runs a driver in a thread of its own, once `start` has made it there.
fn spawn(
    start: impl FnOnce() -> Result<Driver, StartError> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let (started, waiting) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(StartError::Thread)?;
    let run = move || {
        runtime.block_on(async move {
            let driver = match start() {
                Ok(driver) => driver,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(()));
            driver.run().await;
        });
    };
    let thread = std::thread::Builder::new()
        .name("evergate-sync".to_owned())
        .spawn(run)
        .map_err(StartError::Thread)?;
    match waiting.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Thread(io::Error::other("it ended at once"))),
    }
}

fn check_own_key(peers: &[PeerConfig], own: Fingerprint) -> Result<(), ConfigError> {
    match peers.iter().find(|peer| peer.fingerprints.contains(&own)) {
        Some(peer) => Err(ConfigError::OwnKey { name: peer.name.clone() }),
        None => Ok(()),
    }
}

/// Gives each peer the number its name has, or the next one.
fn number(
    ids: &mut BTreeMap<PeerName, PeerId>,
    peers: Vec<PeerConfig>,
) -> Result<Vec<(PeerId, PeerConfig)>, ConfigError> {
    let numbered = |peer: PeerConfig| {
        let next = PeerId(ids.len() as u16);
        if !ids.contains_key(&peer.name) && ids.len() >= NAMES_MAX {
            return Err(ConfigError::Peers);
        }
        Ok((*ids.entry(peer.name.clone()).or_insert(next), peer))
    };
    peers.into_iter().map(numbered).collect()
}

fn listed(peers: &[(PeerId, PeerConfig)]) -> Vec<Peer> {
    let listed = |(id, config): &(PeerId, PeerConfig)| Peer {
        id: *id,
        name: config.name.clone(),
        fingerprints: config.fingerprints.clone(),
    };
    peers.iter().map(listed).collect()
}

fn random() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StartError::NoRandomness)?;
    Ok(u64::from_le_bytes(bytes))
}
