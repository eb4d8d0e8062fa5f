//! A bare relay between two links: real kernels' traffic through real tuns.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use common::*;
use evergate_io::packet_socket::PacketSocket;
use evergate_lab::Host;

const ETHERNET: usize = 14;

fn main() {
    common::run_tests(common::tests![
        tcp_passes_both_ways_in_whole_super_packets_v4,
        tcp_passes_both_ways_in_whole_super_packets_v6,
        datagrams_and_pings_pass,
        nothing_passes_when_the_relay_drops_all,
        the_hop_is_hidden_only_when_the_relay_adds_it_back,
        a_smaller_mtu_behind_the_gateway_is_told_to_the_client_v4,
        a_smaller_mtu_behind_the_gateway_is_told_to_the_client_v6,
    ]);
}

fn tcp_passes_both_ways_in_whole_super_packets_v4() {
    super_packets(CLIENT_V4, SERVER_V4);
}

fn tcp_passes_both_ways_in_whole_super_packets_v6() {
    super_packets(CLIENT_V6, SERVER_V6);
}

fn super_packets(client: &str, server: &str) {
    let mut router = Router::new(false);
    transfer(&router.world.client, &router.world.server, server, 16);
    assert!(router.lan().longest() > 20_000, "upload: {} bytes", router.lan().longest());
    transfer(&router.world.server, &router.world.client, client, 16);
    assert!(router.wan().longest() > 20_000, "download: {} bytes", router.wan().longest());
    for relay in &mut router.relays {
        assert_eq!(relay.stop(), 0, "the kernel took every frame back");
    }
}

fn datagrams_and_pings_pass() {
    let router = Router::new(false);
    for server in [SERVER_V4, SERVER_V6] {
        assert!(datagram_arrives(&router.world.client, &router.world.server, server, LIMIT));
        assert!(ping(&router.world.client, server), "ping {server}");
    }
    for client in [CLIENT_V4, CLIENT_V6] {
        assert!(datagram_arrives(&router.world.server, &router.world.client, client, LIMIT));
    }
}

fn nothing_passes_when_the_relay_drops_all() {
    let router = Router::new(false);
    router.set_pass(false);
    for server in [SERVER_V4, SERVER_V6] {
        let before = router.lan().frames();
        assert!(!datagram_arrives(&router.world.client, &router.world.server, server, SILENCE));
        assert!(!talks(&router.world.client, &router.world.server, server, SILENCE));
        assert!(router.lan().frames() > before, "it was the relay that dropped");
    }
}

fn the_hop_is_hidden_only_when_the_relay_adds_it_back() {
    let router = Router::new(false);
    let (client, server) = (&router.world.client, &router.world.server);
    for (address, ttl_at) in [(SERVER_V4, 8), (SERVER_V6, 7)] {
        router.set_hide_hop(true);
        assert_eq!(ttl_seen(client, server, address, ttl_at), 63, "one hop to {address}");
        router.set_hide_hop(false);
        assert_eq!(ttl_seen(client, server, address, ttl_at), 62, "two hops to {address}");
    }
}

/// The TTL, at `offset` in the IP header, with which a datagram reaches the server's wire.
fn ttl_seen(client: &Host, server: &Host, address: &str, offset: usize) -> u8 {
    let wire = server.run(|| PacketSocket::receiver("eth0")).expect("host").expect("socket");
    let any = if ip(address).is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = client.run(|| UdpSocket::bind(any)).expect("host").expect("bind");
    socket.send_to(b"how far is it?", SocketAddr::new(ip(address), 9)).expect("send");
    let found = |packet: &[u8]| packet.ends_with(b"how far is it?").then(|| packet[offset]);
    wait_for_packet(&wire, found).expect("the datagram")
}

/// The first answer of `look` at the IP packets of a wire.
fn wait_for_packet<T>(wire: &PacketSocket, look: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + LIMIT;
    let mut frame = vec![0; 1 << 17];
    while Instant::now() < deadline {
        if let Some(len) = wire.receive(&mut frame, 100).expect("receive")
            && let Some(found) = look(frame.get(ETHERNET..len).unwrap_or_default())
        {
            return Some(found);
        }
    }
    None
}

fn a_smaller_mtu_behind_the_gateway_is_told_to_the_client_v4() {
    let is_need_frag = |packet: &[u8]| {
        let icmp = packet.get(20..28)?;
        (packet[0] == 0x45 && packet[9] == 1 && icmp[..2] == [3, 4])
            .then(|| (packet[12..16].to_vec(), u16::from_be_bytes([icmp[6], icmp[7]])))
    };
    path_mtu(SERVER_V4, |packet| {
        is_need_frag(packet).map(|(from, mtu)| (from == [10, 0, 1, 1], mtu.into()))
    });
}

fn a_smaller_mtu_behind_the_gateway_is_told_to_the_client_v6() {
    path_mtu(SERVER_V6, |packet| {
        let icmp = packet.get(40..48)?;
        (packet[0] >> 4 == 6 && packet[6] == 58 && icmp[0] == 2).then(|| {
            let from = u128::from_be_bytes(packet[8..24].try_into().expect("16 bytes"));
            let lan = u128::from_be_bytes([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            (from == lan, u32::from_be_bytes([icmp[4], icmp[5], icmp[6], icmp[7]]))
        })
    });
}

/// `look` finds the message: whether it comes from the gateway, and the MTU it tells.
fn path_mtu(address: &str, look: impl Fn(&[u8]) -> Option<(bool, u32)>) {
    let router = Router::new(false);
    // The server's own end stays at 1500, so that the client is not warned by its MSS.
    router.world.gateway.set_mtu("wan0", 1400).expect("mtu");
    let client = &router.world.client;
    let wire = client.run(|| PacketSocket::receiver("eth0")).expect("host").expect("socket");
    transfer(client, &router.world.server, address, 2);
    let (from_gateway, mtu) = wait_for_packet(&wire, look).expect("the gateway's message");
    assert!(from_gateway, "it comes from the gateway's address on the client's link");
    assert_eq!(mtu, 1400);
}
