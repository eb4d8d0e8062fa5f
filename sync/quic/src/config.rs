//! What an operator may set, checked before it is used.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evergate_sync_transport::inbox::InboxLimits;
use evergate_sync_transport::{Backoff, Fingerprint, LANES_DEFAULT, LANES_MAX, PeerName};
use thiserror::Error;

/// Most peers of one node.
pub const PEERS_MAX: usize = 64;

/// Most keys and addresses of one peer.
pub const PEER_LIST_MAX: usize = 16;

/// Most bytes of a message, whatever is configured.
pub const MESSAGE_MAX: usize = 1 << 20;

/// One gateway to have a link with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// What it is called; stays when its key changes.
    pub name: PeerName,
    /// The keys that are its; two while one replaces another.
    pub fingerprints: Vec<Fingerprint>,
    /// Where it listens; tried in turn. Without any it is waited for.
    pub addresses: Vec<SocketAddr>,
}

/// What the transport's thread does first.
#[derive(Clone)]
pub struct ThreadHook(pub Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for ThreadHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadHook")
    }
}

/// How the transport works.
#[derive(Clone, Debug)]
pub struct QuicConfig {
    /// Where to listen, and from where to dial.
    pub listen: SocketAddr,
    /// The peers.
    pub peers: Vec<PeerConfig>,
    /// Ordered lanes, 1 to [`LANES_MAX`]; a link has as many as both sides want.
    pub lanes: u8,
    /// Longest message on control and lanes, in bytes, up to [`MESSAGE_MAX`]; the lower one of
    /// both sides counts.
    pub message_max: usize,
    /// Bytes that may wait in each channel to be sent.
    pub queue_bytes: usize,
    /// Bytes of one lane that may be on their way, and wait at the receiver's socket.
    pub window: u32,
    /// Bytes of all channels that may be on their way together. A link fills a path up to this
    /// many bytes a round trip; what is over waits here, behind control and heartbeats.
    pub in_flight: u32,
    /// What may wait to be taken.
    pub inbox: InboxLimits,
    /// How often a sign of life is sent; 1 ms to 10 s.
    pub heartbeat: Duration,
    /// After how many intervals without one the link is given up, 2 to 1000; the longer
    /// interval of both sides counts.
    pub misses: u32,
    /// Whether the peer's host is asked whether the peer's port is still open, so that a killed
    /// process is noticed before the heartbeats are.
    pub probe: bool,
    /// How long a link may take to be set up.
    pub setup: Duration,
    /// When the next attempt at a link is made.
    pub backoff: Backoff,
    /// The round-trip time to assume before it is measured.
    pub initial_rtt: Duration,
    /// Called on the transport's thread before anything else: to raise its priority, say, so that
    /// heartbeats are in time on a busy machine.
    pub on_thread: Option<ThreadHook>,
    /// Seed of the back-off's randomness; drawn from the system if not given.
    pub seed: Option<u64>,
}

impl QuicConfig {
    /// The defaults, for a LAN: noticed within 40 ms.
    #[must_use]
    pub fn new(listen: SocketAddr, peers: Vec<PeerConfig>) -> Self {
        Self {
            listen,
            peers,
            lanes: LANES_DEFAULT,
            message_max: 64 * 1024,
            queue_bytes: 512 * 1024,
            window: 256 * 1024,
            in_flight: 512 * 1024,
            inbox: InboxLimits::default(),
            heartbeat: Duration::from_millis(10),
            misses: 4,
            probe: true,
            setup: Duration::from_secs(1),
            backoff: Backoff::default(),
            initial_rtt: Duration::from_millis(10),
            on_thread: None,
            seed: None,
        }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// The first that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |name, ok: bool| if ok { Ok(()) } else { Err(ConfigError::Range { name }) };
        range("lanes", (1..=LANES_MAX).contains(&self.lanes))?;
        range("message_max", (1..=MESSAGE_MAX).contains(&self.message_max))?;
        range("queue_bytes", (self.message_max..=1 << 28).contains(&self.queue_bytes))?;
        range("window", (16 * 1024..=1 << 26).contains(&self.window))?;
        range("in_flight", (16 * 1024..=1 << 28).contains(&self.in_flight))?;
        range("inbox.messages", (1..=1 << 20).contains(&self.inbox.messages))?;
        range("inbox.bytes", (1..=1 << 28).contains(&self.inbox.bytes))?;
        range("heartbeat", HEARTBEATS.contains(&self.heartbeat))?;
        range("misses", (2..=1000).contains(&self.misses))?;
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(60));
        range("setup", (short..=long).contains(&self.setup))?;
        range("backoff", !self.backoff.first.is_zero() && self.backoff.most <= long)?;
        let rtts = Duration::from_micros(10)..=Duration::from_secs(1);
        range("initial_rtt", rtts.contains(&self.initial_rtt))?;
        validate_peers(&self.peers)
    }
}

/// The intervals that heartbeats may have.
pub(crate) const HEARTBEATS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(10);

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is out of its range.
    #[error("{name} is out of its range")]
    Range {
        /// The setting.
        name: &'static str,
    },
    /// Too many peers.
    #[error("more than {PEERS_MAX} peers")]
    Peers,
    /// Two peers have the same name.
    #[error("two peers are called {name}")]
    SameName {
        /// The name.
        name: PeerName,
    },
    /// Two peers have the same key, so neither could prove which it is.
    #[error("two peers have the key {fingerprint}")]
    SameKey {
        /// The key.
        fingerprint: Fingerprint,
    },
    /// A peer has no key.
    #[error("{name} has no fingerprint")]
    NoKey {
        /// The peer.
        name: PeerName,
    },
    /// A peer has too many keys or addresses.
    #[error("{name} has more than {PEER_LIST_MAX} fingerprints or addresses")]
    TooMany {
        /// The peer.
        name: PeerName,
    },
    /// A peer has this node's own key.
    #[error("{name} has this node's own key")]
    OwnKey {
        /// The peer.
        name: PeerName,
    },
}

pub(crate) fn validate_peers(peers: &[PeerConfig]) -> Result<(), ConfigError> {
    if peers.len() > PEERS_MAX {
        return Err(ConfigError::Peers);
    }
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for peer in peers {
        let name = || peer.name.clone();
        if !names.insert(&peer.name) {
            return Err(ConfigError::SameName { name: name() });
        }
        if peer.fingerprints.is_empty() {
            return Err(ConfigError::NoKey { name: name() });
        }
        if peer.fingerprints.len().max(peer.addresses.len()) > PEER_LIST_MAX {
            return Err(ConfigError::TooMany { name: name() });
        }
        for &fingerprint in &peer.fingerprints {
            if !keys.insert(fingerprint) {
                return Err(ConfigError::SameKey { fingerprint });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, key: u8) -> PeerConfig {
        PeerConfig {
            name: PeerName::new(name).expect("legal"),
            fingerprints: vec![Fingerprint::from_bytes([key; 32])],
            addresses: Vec::new(),
        }
    }

    fn config(peers: Vec<PeerConfig>) -> QuicConfig {
        QuicConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), peers)
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(config(vec![peer("a", 1), peer("b", 2)]).validate(), Ok(()));
    }

    #[test]
    fn peers_are_told_apart_by_name_and_key() {
        let same_name = config(vec![peer("a", 1), peer("a", 2)]).validate();
        assert!(matches!(same_name, Err(ConfigError::SameName { .. })));
        let same_key = config(vec![peer("a", 1), peer("b", 1)]).validate();
        assert!(matches!(same_key, Err(ConfigError::SameKey { .. })));
        let mut keyless = peer("a", 1);
        keyless.fingerprints.clear();
        assert!(matches!(config(vec![keyless]).validate(), Err(ConfigError::NoKey { .. })));
    }

    #[test]
    fn values_have_ranges() {
        let mut wrong = config(Vec::new());
        wrong.heartbeat = Duration::ZERO;
        assert_eq!(wrong.validate(), Err(ConfigError::Range { name: "heartbeat" }));
        let mut wrong = config(Vec::new());
        wrong.lanes = 65;
        assert_eq!(wrong.validate(), Err(ConfigError::Range { name: "lanes" }));
    }
}
