//! Packets made and seen byte by byte.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use evergate_io::packet_socket::PacketSocket;
use evergate_lab::Host;
use evergate_wire::{Addr, Parsed, checksum};

/// Bytes of an ethernet header.
const ETHERNET: usize = 14;
/// The longest frame, a super-packet.
const FRAME_MAX: usize = 1 << 17;
/// How long one look at a socket takes at most, in milliseconds.
const LOOK_MS: u16 = 20;

/// Writes packets onto a link, as they are.
#[derive(Debug)]
pub struct Injector {
    socket: PacketSocket,
    macs: Vec<u8>,
}

impl Injector {
    /// From a device of a host to a device of its neighbour.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn new(from: (&Host, &str), to: (&Host, &str)) -> anyhow::Result<Injector> {
        let socket = from.0.run(|| PacketSocket::sender(from.1))??;
        let macs = [to.0.device(to.1)?.mac, from.0.device(from.1)?.mac].concat();
        Ok(Injector { socket, macs })
    }

    /// Sends one IP packet.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn send(&self, packet: &[u8]) -> anyhow::Result<()> {
        let ethertype: [u8; 2] = match packet.first().map(|first| first >> 4) {
            Some(4) => [0x08, 0x00],
            _ => [0x86, 0xdd],
        };
        let frame = [&self.macs[..], &ethertype, packet].concat();
        anyhow::ensure!(self.socket.send(&[frame])? == 1, "the frame was not taken");
        Ok(())
    }
}

/// Sees all packets that come to or leave a device.
#[derive(Debug)]
pub struct Sniffer {
    socket: PacketSocket,
}

impl Sniffer {
    /// On a device of a host, from now on.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn on(host: &Host, device: &str) -> anyhow::Result<Sniffer> {
        Ok(Sniffer { socket: host.run(|| PacketSocket::receiver(device))?? })
    }

    /// Waits for a packet that is `wanted`, at most `limit`.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn find(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[u8], &Parsed) -> bool,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let begun = Instant::now();
        let mut frame = vec![0; FRAME_MAX];
        while begun.elapsed() < limit {
            let Some(length) = self.socket.receive(&mut frame, LOOK_MS)? else { continue };
            let packet = frame[..length].get(ETHERNET..).unwrap_or(&[]);
            if evergate_wire::parse(packet).is_ok_and(|parsed| wanted(packet, &parsed)) {
                return Ok(Some(packet.to_vec()));
            }
        }
        Ok(None)
    }

    /// As [`Sniffer::find`], for a packet that must come.
    ///
    /// # Errors
    /// When it does not; `what` names it.
    pub fn expect(
        &self,
        what: &str,
        wanted: impl FnMut(&[u8], &Parsed) -> bool,
    ) -> anyhow::Result<Vec<u8>> {
        self.find(crate::wait::LIMIT, wanted)?.with_context(|| format!("never seen: {what}"))
    }
}

/// An IP packet of either family with a payload of protocol `proto`.
#[must_use]
pub fn ip(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(_), _) => ip4(src, dst, proto, 0, &[], payload),
        (IpAddr::V6(_), _) => {
            let mut packet = [0x60, 0, 0, 0, 0, 0, proto, 64];
            packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
            [&packet[..], &octets(src), &octets(dst), payload].concat()
        }
    }
}

/// An IPv4 packet with a fragment field (flags and offset) and options.
#[must_use]
pub fn ip4(
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    fragment: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0, 0, 0, 0x12, 0x34, 0, 0, 64, proto, 0, 0];
    packet[2..4].copy_from_slice(&((header + payload.len()) as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet.extend([octets(src), octets(dst)].concat());
    packet.extend(options);
    let sum = checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet of one fragment; `offset` in bytes.
#[must_use]
pub fn ip6_fragment(
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    (offset, more): (u16, bool),
    data: &[u8],
) -> Vec<u8> {
    let field = offset | u16::from(more);
    let mut header = [proto, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef];
    header[2..4].copy_from_slice(&field.to_be_bytes());
    ip(src, dst, 44, &[&header[..], data].concat())
}

/// A TCP segment with these flags and a checksum; `ports` are source and destination.
#[must_use]
pub fn tcp(
    (src, dst): (IpAddr, IpAddr),
    ports: (u16, u16),
    flags: u8,
    seq: u32,
    data: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment.extend(data);
    let sum = checksum::transport(Addr::from(src), Addr::from(dst), 6, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// A UDP datagram without a checksum over IPv4, with one over IPv6.
#[must_use]
pub fn udp((src, dst): (IpAddr, IpAddr), ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ports.0.to_be_bytes());
    datagram.extend(ports.1.to_be_bytes());
    datagram.extend(((8 + data.len()) as u16).to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(data);
    if src.is_ipv6() {
        let sum = checksum::transport(Addr::from(src), Addr::from(dst), 17, &datagram);
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    datagram
}

/// An ICMP message of the family of `src`; `rest` follows the checksum.
#[must_use]
pub fn icmp((src, dst): (IpAddr, IpAddr), type_: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[type_, code, 0, 0], rest].concat();
    let sum = match src {
        IpAddr::V4(_) => checksum::checksum(&message),
        IpAddr::V6(_) => checksum::transport(Addr::from(src), Addr::from(dst), 58, &message),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
