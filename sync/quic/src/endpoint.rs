//! The socket, and QUIC's own settings.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    ServerConfig, TokioRuntime, TransportConfig, ValidationTokenConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::QuicConfig;
use crate::congestion::BoundedConfig;
use crate::key::NodeKey;

/// What the socket's buffers are asked to hold, in bytes; the system may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// Connections that wait for a first look; whoever comes then is refused.
const INCOMING_MAX: usize = 64;

/// Bytes that are kept for one that waits, and for all.
const INCOMING_BYTES: u64 = 8 * 1024;
const INCOMING_BYTES_ALL: u64 = 256 * 1024;

/// Datagrams that wait to be sent or read, in bytes.
const DATAGRAM_BUFFER: usize = 128 * 1024;

/// UDP payload that any path is taken to carry until more is found out: leaves a datagram 1200
/// bytes. A narrower one is noticed by its losses (RFC 8899).
const INITIAL_MTU: u16 = 1300;

/// Binds the socket that is listened on and dialled from.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Smaller buffers only cost retransmissions.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The endpoint; must be called on the runtime that drives it.
pub(crate) fn open(
    socket: UdpSocket,
    key: &NodeKey,
    server: QuicServerConfig,
    transport: &Arc<TransportConfig>,
) -> io::Result<Endpoint> {
    // Both last as long as the key: so a restarted node still recognises connection ids of its
    // earlier life, and can tell the peer at once that it knows them no longer (RFC 9000 §10.3).
    let reset = hmac::Key::new(hmac::HMAC_SHA256, &key.derive("evergate stateless reset"));
    let ids = key.derive("evergate connection ids");
    let ids = ids.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    let server = server_config(server, transport);
    Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
}

/// QUIC's settings for being dialled.
pub(crate) fn server_config(
    tls: QuicServerConfig,
    transport: &Arc<TransportConfig>,
) -> ServerConfig {
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::clone(transport))
        .validation_token_config(tokens)
        .migration(false)
        .retry_token_lifetime(Duration::from_secs(5))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL);
    config
}

/// QUIC's settings for dialling.
pub(crate) fn client_config(
    tls: QuicClientConfig,
    transport: &Arc<TransportConfig>,
) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::clone(transport));
    config
}

/// QUIC's settings for each connection.
pub(crate) fn transport_config(config: &QuicConfig) -> Arc<TransportConfig> {
    let streams = u32::from(config.lanes) + 1;
    // More than all streams' windows together: so stalled lanes never take the connection's
    // credit, or the send buffer, from the others and from the control stream.
    let all = config.window.saturating_mul(streams + 1);
    let mut acks = AckFrequencyConfig::default();
    acks.max_ack_delay(Some(Duration::from_millis(2))).ack_eliciting_threshold(VarInt::from_u32(8));
    let bounded = BoundedConfig { in_flight_max: u64::from(config.in_flight) };
    let silence = config.heartbeat.saturating_mul(config.misses).saturating_mul(4);
    let idle = silence.max(config.setup).max(Duration::from_secs(2));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(streams))
        .stream_receive_window(VarInt::from_u32(config.window))
        .receive_window(VarInt::from_u32(all))
        .send_window(u64::from(all))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .initial_mtu(INITIAL_MTU)
        .initial_rtt(config.initial_rtt)
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .keep_alive_interval(None)
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(bounded))
        .mtu_discovery_config(Some(MtuDiscoveryConfig::default()));
    Arc::new(transport)
}
