//! Packets in one line.

use std::net::{IpAddr, SocketAddr};

use evergate_abi::{Direction, IF_SELF, Request};

use crate::proto;

const SYN: u8 = 2;

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn base(proto: u8, src: IpAddr, dst: IpAddr) -> Request {
    Request {
        af: if src.is_ipv4() { 4 } else { 6 },
        proto,
        src: octets(src),
        dst: octets(dst),
        length: 60,
        ttl: 64,
        ..Request::default()
    }
}

fn with_ports(proto: u8, src: &str, dst: &str) -> Request {
    let src: SocketAddr = src.parse().expect("address:port");
    let dst: SocketAddr = dst.parse().expect("address:port");
    Request { sport: src.port(), dport: dst.port(), ..base(proto, src.ip(), dst.ip()) }
}

/// Returns a TCP SYN; addresses like `192.0.2.1:80` or `[2001:db8::1]:80`.
///
/// # Panics
/// An address does not parse.
pub fn tcp(src: &str, dst: &str) -> Request {
    Request { tcp_flags: SYN, ..with_ports(proto::TCP, src, dst) }
}

/// Returns a UDP packet.
///
/// # Panics
/// An address does not parse.
pub fn udp(src: &str, dst: &str) -> Request {
    with_ports(proto::UDP, src, dst)
}

/// Returns an ICMP packet.
///
/// # Panics
/// An address does not parse.
pub fn icmp(src: &str, dst: &str, icmp_type: u8, icmp_code: u8) -> Request {
    let (src, dst) = (src.parse().expect("address"), dst.parse().expect("address"));
    Request { icmp_type, icmp_code, ..base(proto::ICMP, src, dst) }
}

/// Returns an ICMPv6 packet with this hop limit.
///
/// # Panics
/// An address does not parse.
pub fn icmp6(src: &str, dst: &str, icmp_type: u8, hop_limit: u8) -> Request {
    let (src, dst) = (src.parse().expect("address"), dst.parse().expect("address"));
    Request { icmp_type, ttl: hop_limit, ..base(proto::ICMP6, src, dst) }
}

/// Sends the packet from one interface to another.
pub fn forwarded(in_if: u16, out_if: u16, packet: Request) -> Request {
    Request { direction: Direction::Forwarded, in_if, out_if, ..packet }
}

/// Sends the packet to the gateway itself.
pub fn to_gateway(in_if: u16, packet: Request) -> Request {
    Request { direction: Direction::ToGateway, in_if, out_if: IF_SELF, ..packet }
}

/// Sends the packet from the gateway itself.
pub fn from_gateway(out_if: u16, packet: Request) -> Request {
    Request { direction: Direction::FromGateway, in_if: IF_SELF, out_if, ..packet }
}
