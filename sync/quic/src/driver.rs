//! The transport's own thread: who is dialled, who is let in, which connection is the link.
//!
//! Everything here runs on one thread, and only [`Driver`] changes a peer's state; tasks of
//! single connections report to it.

mod peer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evergate_sync_transport::inbox::{Introduction, LinkNumber};
use evergate_sync_transport::{DownReason, Fingerprint, PeerId, Random, RefusedReason};
use quinn::{Connection, Endpoint, Incoming, TransportConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::config::{PeerConfig, QuicConfig};
use crate::endpoint::{client_config, server_config};
use crate::hello::Hello;
use crate::key::NodeKey;
use crate::link::{self, Link};
use crate::meet::{Met, Role, Unmet, code, dismiss, meet};
use crate::pulse::{Patience, Probe};
use crate::shared::{NewLink, Reload, Shared, lock};
use crate::trust::{self, SERVER_NAME, Verdict, identity};
use peer::{Live, Peers};

/// Handshakes under way with addresses of peers, and with all others.
const HANDSHAKES_PEERS: usize = 32;
const HANDSHAKES_OTHERS: usize = 16;

/// Reports of connections' tasks that wait.
const NOTES_MAX: usize = 64;

/// How long the peers' hosts are given to hear that this node stops.
const GOODBYE: Duration = Duration::from_millis(100);

/// What a connection's task reports.
enum Note {
    /// This connection's other side has proved to be this peer.
    Proved { peer: PeerId, connection: Connection, dial: Option<u64> },
    /// It can become the link.
    Met { peer: PeerId, met: Box<Met> },
    /// An attempt to dial is over; whether it met the peer.
    Dialled { peer: PeerId, dial: u64, met: bool },
    /// A link has ended.
    Ended { peer: PeerId, number: LinkNumber },
}

/// The state of the transport's thread.
pub(crate) struct Driver {
    config: QuicConfig,
    key: NodeKey,
    incarnation: u64,
    shared: Arc<Shared>,
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
    peers: Peers,
    notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    random: Random,
    dials: u64,
}

/// What a task that sets up a connection needs.
struct Setup {
    shared: Arc<Shared>,
    notes: mpsc::Sender<Note>,
    own: Fingerprint,
    hello: Hello,
    patience: Duration,
}

impl Driver {
    pub(crate) fn new(
        config: QuicConfig,
        key: NodeKey,
        secrets: [u64; 2],
        shared: Arc<Shared>,
        endpoint: Endpoint,
        transport: Arc<TransportConfig>,
        peers: Vec<(PeerId, PeerConfig)>,
    ) -> Self {
        let [incarnation, seed] = secrets;
        Self {
            peers: Peers::new(peers, Instant::now()),
            config,
            key,
            incarnation,
            shared,
            endpoint,
            transport,
            notes: mpsc::channel(NOTES_MAX),
            known: Arc::new(Semaphore::new(HANDSHAKES_PEERS)),
            strangers: Arc::new(Semaphore::new(HANDSHAKES_OTHERS)),
            random: Random::new(seed),
            dials: 0,
        }
    }

    /// Runs until asked to stop.
    pub(crate) async fn run(mut self) {
        loop {
            let shared = Arc::clone(&self.shared);
            let endpoint = self.endpoint.clone();
            let due = self.peers.next_dial();
            tokio::select! {
                biased;
                () = shared.requested.notified() => {
                    if self.requests() {
                        break;
                    }
                }
                Some(note) = self.notes.1.recv() => self.note(note).await,
                () = at(due) => self.dial_due(),
                Some(incoming) = endpoint.accept() => self.admit(incoming),
            }
        }
        self.endpoint.close(code::CLOSED, b"stopping");
        // Whoever does not hear it will notice.
        let _ = timeout(GOODBYE, self.endpoint.wait_idle()).await;
    }

    /// Does what the user asked for; tells whether that is to stop.
    fn requests(&mut self) -> bool {
        let asked = std::mem::take(&mut *lock(&self.shared.requests));
        if let Some(reload) = asked.reload {
            self.reload(reload);
        }
        for peer in asked.disconnect {
            self.end(peer, DownReason::ClosedHere);
        }
        asked.stop
    }

    fn reload(&mut self, Reload { key, peers }: Reload) {
        if let Some(key) = key {
            self.key = key;
        }
        for peer in self.peers.replace(peers, Instant::now()) {
            self.end(peer, DownReason::KeyWithdrawn);
        }
        self.peers.forget_removed();
    }

    async fn note(&mut self, note: Note) {
        match note {
            Note::Proved { peer, connection, dial } => self.proved(peer, connection, dial),
            Note::Met { peer, met } => self.met(peer, *met).await,
            Note::Dialled { peer, dial, met } => self.dialled(peer, dial, met),
            Note::Ended { peer, number } => self.ended(peer, number).await,
        }
    }

    fn dialled(&mut self, peer: PeerId, dial: u64, met: bool) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        if state.dialling.as_ref().is_none_or(|(_, id)| *id != dial) {
            return;
        }
        state.dialling = None;
        state.failures = if met { 0 } else { state.failures.saturating_add(1) };
        let wait = self.config.backoff.wait(state.failures, &mut self.random);
        state.next_dial = Instant::now() + wait;
    }

    fn proved(&mut self, peer: PeerId, connection: Connection, dial: Option<u64>) {
        let Some(state) = self.peers.get_mut(peer) else {
            return dismiss(&connection, code::KEY_WITHDRAWN, "no such peer");
        };
        let current = state.dialling.as_ref().map(|(_, id)| *id);
        if dial.is_some() && dial != current {
            // A link has come up meanwhile, and this attempt was given up for it.
            return dismiss(&connection, code::SUPERSEDED, "another one is the link");
        }
        state.remember(connection);
    }

    /// A connection can become the link: the arbiter decides, the follower obeys.
    async fn met(&mut self, peer: PeerId, met: Met) {
        let Some(state) = self.peers.get_mut(peer) else {
            return dismiss(&met.connection, code::KEY_WITHDRAWN, "no such peer");
        };
        if !state.config.fingerprints.contains(&met.fingerprint) {
            return dismiss(&met.connection, code::KEY_WITHDRAWN, "the key was withdrawn");
        }
        if let Some(live) = &state.live {
            let restarted = live.incarnation != met.hello.incarnation;
            if met.role == Role::Arbiter && !restarted {
                // Either it has dialled at the same time, or it has lost the link and this
                // side is about to notice.
                return state.hold(met);
            }
            let reason = if restarted { DownReason::PeerRestarted } else { DownReason::Replaced };
            self.end(peer, reason);
        }
        self.choose(peer, met).await;
    }

    /// Makes a connection the link.
    async fn choose(&mut self, peer: PeerId, met: Met) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.chosen(&met.connection);
        let Met { connection, fingerprint, hello, control_in, control_out, .. } = met;
        let own = own_hello(&self.config, self.incarnation);
        let introduction = Introduction {
            name: state.config.name.clone(),
            fingerprint,
            incarnation: hello.incarnation,
            lanes: self.config.lanes.min(hello.lanes),
        };
        let new = NewLink {
            introduction,
            message_max: self.config.message_max.min(hello.message_max as usize),
            queue_bytes: self.config.queue_bytes,
            datagram_max: connection.max_datagram_size().unwrap_or(0).saturating_sub(1),
            rtt: connection.rtt(),
        };
        let probe = match self.config.probe {
            true => Probe::new(self.config.listen, connection.remote_address()).await,
            false => None,
        };
        let link = self.shared.up(peer, new);
        let (end, ends) = oneshot::channel();
        let number = link.number;
        let incarnation = hello.incarnation;
        let connecting = connection.clone();
        state.live = Some(Live { number, incarnation, fingerprint, connection: connecting, end });
        let parts = Link {
            shared: Arc::clone(&self.shared),
            link,
            connection,
            control_in,
            control_out: control_out.ok_or(own),
            message_max: self.config.message_max,
            patience: Patience::new(self.config.heartbeat, hello.heartbeat, self.config.misses),
            probe,
        };
        let notes = self.notes.0.clone();
        tokio::spawn(async move {
            link::run(parts, ends).await;
            // Nobody is there to hear it when the transport stops.
            let _ = notes.send(Note::Ended { peer, number }).await;
        });
    }

    /// Ends a peer's link, if there is one.
    fn end(&mut self, peer: PeerId, reason: DownReason) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        let Some(live) = state.live.take() else { return };
        state.let_go();
        self.shared.down(peer, live.number, reason.clone());
        // If its task has ended by itself, that is as well.
        let _ = live.end.send(reason);
    }

    async fn ended(&mut self, peer: PeerId, number: LinkNumber) {
        let wait = self.config.backoff.wait(0, &mut self.random);
        let Some(state) = self.peers.get_mut(peer) else { return };
        state.failures = 0;
        state.next_dial = Instant::now() + wait;
        if state.live.as_ref().is_none_or(|live| live.number != number) {
            // It was ended from here, or there is another one already.
            return;
        }
        let met = state.held();
        state.live = None;
        if let Some(met) = met {
            self.choose(peer, met).await;
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            shared: Arc::clone(&self.shared),
            notes: self.notes.0.clone(),
            own: self.key.fingerprint(),
            hello: own_hello(&self.config, self.incarnation),
            patience: self.config.setup,
        }
    }

    fn dial_due(&mut self) {
        let now = Instant::now();
        let due: Vec<PeerId> = self.peers.due(now).collect();
        for peer in due {
            let setup = self.setup();
            self.dials += 1;
            let dial = self.dials;
            let Some(state) = self.peers.get_mut(peer) else { continue };
            let Some(address) = state.next_address() else { continue };
            let verdict = Arc::new(Verdict::default());
            let pinned = state.config.fingerprints.clone();
            let name = state.config.name.clone();
            let connecting = trust::client(&self.key, pinned, &verdict)
                .map_err(|error| error.to_string())
                .and_then(|tls| {
                    let config = client_config(tls, &self.transport);
                    let connecting = self.endpoint.connect_with(config, address, SERVER_NAME);
                    connecting.map_err(|error| error.to_string())
                });
            let task = async move {
                let met = match connecting {
                    Ok(connecting) => {
                        let unknown = || RefusedReason::WrongKey { expected: name };
                        setup
                            .connect(
                                connecting,
                                &verdict,
                                address,
                                unknown,
                                |_| Some(peer),
                                Ok(dial),
                            )
                            .await
                    }
                    Err(error) => {
                        debug!(%address, error, "cannot dial");
                        false
                    }
                };
                let _ = setup.notes.send(Note::Dialled { peer, dial, met }).await;
            };
            state.dialling = Some((tokio::spawn(task).abort_handle(), dial));
        }
    }

    /// Looks at one that comes; nothing of it is kept before its address is proved.
    fn admit(&mut self, incoming: Incoming) {
        if !incoming.remote_address_validated() {
            // It is stateless, so a flood from forged addresses costs an answer each.
            if let Err(error) = incoming.retry() {
                error.into_incoming().ignore();
            }
            return;
        }
        let address = incoming.remote_address();
        let room = match self.peers.lives_at(address.ip()) {
            true => Arc::clone(&self.known),
            false => Arc::clone(&self.strangers),
        };
        let Ok(permit) = room.try_acquire_owned() else {
            self.shared.refused(Some(address), None, RefusedReason::Busy);
            return incoming.refuse();
        };
        let verdict = Arc::new(Verdict::default());
        let pinned = self.peers.fingerprints();
        let tls = match trust::server(&self.key, pinned.keys().copied().collect(), &verdict) {
            Ok(tls) => tls,
            Err(error) => {
                debug!(%error, "no TLS");
                return incoming.refuse();
            }
        };
        let config = Arc::new(server_config(tls, &self.transport));
        let Ok(connecting) = incoming.accept_with(config) else { return };
        let setup = self.setup();
        tokio::spawn(async move {
            let unknown = || RefusedReason::UnknownKey;
            let who = |shown: Fingerprint| pinned.get(&shown).copied();
            setup.connect(connecting, &verdict, address, unknown, who, Err(permit)).await;
        });
    }
}

impl Setup {
    /// Brings a connection to where it can become the link; tells whether it came so far.
    async fn connect(
        &self,
        connecting: quinn::Connecting,
        verdict: &Verdict,
        address: SocketAddr,
        unknown: impl FnOnce() -> RefusedReason,
        who: impl FnOnce(Fingerprint) -> Option<PeerId>,
        origin: Result<u64, OwnedSemaphorePermit>,
    ) -> bool {
        let connection = match timeout(self.patience, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                match (verdict.refused(), Unmet::from(error)) {
                    (Some(shown), _) => self.shared.refused(Some(address), Some(shown), unknown()),
                    (None, Unmet::Refused(why)) => self.shared.refused(Some(address), None, why),
                    (None, Unmet::Quiet) => debug!(%address, "no handshake"),
                }
                return false;
            }
            Err(_) => {
                debug!(%address, "no handshake in time");
                return false;
            }
        };
        // A dial has its number; one that was let in gives its place to the next.
        let dial = origin.ok();
        let Some(shown) = identity(&connection) else { return false };
        let Some(peer) = who(shown) else { return false };
        let known = Note::Proved { peer, connection: connection.clone(), dial };
        let _ = self.notes.send(known).await;
        let role = Role::of(self.own, shown);
        match meet(connection, role, shown, self.hello, self.patience).await {
            Ok(met) => self.notes.send(Note::Met { peer, met: Box::new(met) }).await.is_ok(),
            Err(Unmet::Quiet) => false,
            Err(Unmet::Refused(why)) => {
                self.shared.refused(Some(address), Some(shown), why);
                false
            }
        }
    }
}

fn own_hello(config: &QuicConfig, incarnation: u64) -> Hello {
    Hello {
        incarnation,
        lanes: config.lanes,
        message_max: config.message_max as u32,
        heartbeat: config.heartbeat,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
