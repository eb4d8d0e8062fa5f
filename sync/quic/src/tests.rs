//! A peer whose key is pinned and who breaks the rules all the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evergate_sync_transport::{Channel, DownReason, Event, PeerId, PeerName, RefusedReason};
use quinn::{Connection, Endpoint, SendStream};

use crate::endpoint::{client_config, transport_config};
use crate::hello::{DATAGRAM_MESSAGE, Hello, STREAM_CONTROL, STREAM_LANE_0};
use crate::trust::{SERVER_NAME, Verdict, client};
use crate::{NodeKey, PeerConfig, QuicConfig, QuicTransport};

const MESSAGE_MAX: usize = 1000;

fn hello() -> Hello {
    Hello { incarnation: 1, lanes: 8, message_max: 1000, heartbeat: Duration::from_millis(100) }
}

/// A node, and somebody with its peer's key and no manners. The node is the arbiter, so it
/// waits for the other's hello.
struct Scene {
    node: QuicTransport,
    key: NodeKey,
    config: QuicConfig,
}

impl Scene {
    fn new() -> Self {
        let mut keys = [0; 2].map(|_| NodeKey::ephemeral().expect("randomness"));
        keys.sort_by_key(NodeKey::fingerprint);
        let [own, key] = keys;
        let peer = PeerConfig {
            name: PeerName::new("rude").expect("legal"),
            fingerprints: vec![key.fingerprint()],
            addresses: Vec::new(),
        };
        let config = QuicConfig {
            message_max: MESSAGE_MAX,
            misses: 100,
            setup: Duration::from_millis(500),
            ..QuicConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), vec![peer])
        };
        let node = QuicTransport::start(config.clone(), own).expect("started");
        Self { node, key, config }
    }

    /// Lets `act` do what it likes with an authenticated connection, and hold it for a while.
    fn act<F: Future<Output = ()>>(&mut self, act: impl FnOnce(Connection) -> F) -> Vec<Event> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (address, fingerprint) = (self.node.local_address(), self.node.fingerprint());
        runtime.expect("a runtime").block_on(async {
            let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
            let endpoint = Endpoint::client(loopback).expect("a socket");
            let tls = client(&self.key, vec![fingerprint], &Arc::new(Verdict::default()));
            // It takes more than it should, so that it can give more than it should.
            let mut generous = self.config.clone();
            generous.lanes = 64;
            let transport = transport_config(&generous);
            let config = client_config(tls.expect("TLS"), &transport);
            let dial = endpoint.connect_with(config, address, SERVER_NAME).expect("dialled");
            let connection = dial.await.expect("let in");
            act(connection.clone()).await;
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.closed()).await;
            let _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
        });
        let mut events = Vec::new();
        while let Some(event) = self.node.recv_timeout(Duration::from_millis(200)) {
            events.push(event);
        }
        events
    }
}

async fn open(connection: &Connection, words: &[u8]) -> SendStream {
    let mut stream = connection.open_uni().await.expect("a stream");
    stream.write_all(words).await.expect("written");
    stream
}

async fn greet(connection: &Connection) -> SendStream {
    open(connection, &[&[STREAM_CONTROL], &hello().encode()[..]].concat()).await
}

/// What ended the link that came up.
fn ended(events: &[Event]) -> &'static str {
    match events {
        [Event::LinkUp { .. }, Event::LinkDown { reason: DownReason::Misbehaved { what }, .. }] => {
            what
        }
        other => panic!("{other:?}"),
    }
}

fn refused(events: &[Event]) -> &RefusedReason {
    match events {
        [Event::Refused { reason, fingerprint: Some(_), .. }] => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_version_is_refused_by_its_number() {
    let events = Scene::new().act(async |connection| {
        let mut words = hello().encode();
        words[4] = 2;
        open(&connection, &[&[STREAM_CONTROL], &words[..]].concat()).await;
    });
    assert_eq!(*refused(&events), RefusedReason::Version { version: 2 });
}

#[test]
fn nonsense_for_a_hello_is_refused() {
    let events = Scene::new().act(async |connection| {
        open(&connection, &[0xff; 200]).await;
    });
    assert!(matches!(refused(&events), RefusedReason::Misbehaved { .. }));
}

#[test]
fn who_says_nothing_is_closed_and_nothing_of_it_is_handed_up() {
    let mut scene = Scene::new();
    let began = Instant::now();
    let events = scene.act(async |connection| {
        // A lane and a datagram without a hello before.
        let datagram = [DATAGRAM_MESSAGE, 1, 2, 3];
        connection.send_datagram(datagram.to_vec().into()).expect("sent");
        let mut stream = connection.open_uni().await.expect("a stream");
        let waits = connection.closed().await;
        drop(stream.finish());
        assert!(waits.to_string().contains("not chosen in time"), "{waits}");
    });
    assert_eq!(events, []);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_message_over_the_bound_ends_the_link() {
    for channel in [STREAM_CONTROL, STREAM_LANE_0] {
        let events = Scene::new().act(async |connection| {
            let mut control = greet(&connection).await;
            let long = u32::MAX.to_le_bytes();
            if channel == STREAM_CONTROL {
                control.write_all(&long).await.expect("written");
            } else {
                open(&connection, &[&[channel], &long[..]].concat()).await;
            }
            connection.closed().await;
        });
        assert_eq!(ended(&events), "it sent a message over the bound");
    }
}

#[test]
fn lanes_that_are_not_lanes_end_the_link() {
    let cases: [(&[u8], &str); 4] = [
        (&[STREAM_CONTROL], "it opened a lane that there is not"),
        (&[STREAM_LANE_0 + 8], "it opened a lane that there is not"),
        (&[0xff], "it opened a lane that there is not"),
        (&[STREAM_LANE_0, STREAM_LANE_0], "it opened a lane twice"),
    ];
    for (heads, why) in cases {
        let events = Scene::new().act(async |connection| {
            let _control = greet(&connection).await;
            let mut held = Vec::new();
            for head in heads {
                held.push(open(&connection, &[*head]).await);
            }
            connection.closed().await;
        });
        assert_eq!(ended(&events), why, "{heads:?}");
    }
}

#[test]
fn a_stream_that_ends_ends_the_link() {
    let events = Scene::new().act(async |connection| {
        let mut control = greet(&connection).await;
        control.finish().expect("finished");
        connection.closed().await;
    });
    assert_eq!(ended(&events), "it finished a stream");
    let events = Scene::new().act(async |connection| {
        let mut control = greet(&connection).await;
        let _ = control.write_all(&[1]).await;
        // The hello has to be there first, or there is no link.
        connection.accept_uni().await.expect("chosen");
        control.reset(0u32.into()).expect("reset");
        connection.closed().await;
    });
    assert_eq!(ended(&events), "it reset a stream");
}

#[test]
fn datagrams_that_are_not_understood_are_passed_over() {
    let mut scene = Scene::new();
    let events = scene.act(async |connection| {
        let _control = greet(&connection).await;
        connection.accept_uni().await.expect("chosen");
        for datagram in [&[][..], &[9, 9], &[DATAGRAM_MESSAGE], &[DATAGRAM_MESSAGE, 5]] {
            connection.send_datagram(datagram.to_vec().into()).expect("sent");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.close(0u32.into(), b"bye");
    });
    let message = |bytes: &[u8]| Event::Message {
        peer: PeerId(0),
        channel: Channel::Datagram,
        bytes: bytes.to_vec(),
    };
    let down = Event::LinkDown { peer: PeerId(0), reason: DownReason::ClosedByPeer };
    assert_eq!(events[1..], [message(&[]), message(&[5]), down]);
}

#[test]
fn who_broke_the_rules_is_let_in_again_when_it_keeps_them() {
    let mut scene = Scene::new();
    scene.act(async |connection| {
        open(&connection, &[0xff; 200]).await;
    });
    let again = scene.act(async |connection| {
        let _control = greet(&connection).await;
        connection.accept_uni().await.expect("chosen");
        connection.close(0u32.into(), b"bye");
    });
    assert!(matches!(again[..], [Event::LinkUp { .. }, Event::LinkDown { .. }]), "{again:?}");
}
