//! Packets of simulated connections, as the parser would describe them.

use std::net::Ipv4Addr;

use evergate_state::{Side, State, StateId, StateKey, StateOptions, Track, Tracking, key_of};
use evergate_sync_proto::Held;
use evergate_wire::{Addr, Af, IpOptions, L4, Parsed, Tcp, TcpFlags, Timestamp, Udp, protocol};

fn addr(last: u8) -> Addr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn packet(proto: u8, l4: L4, from_client: bool) -> Parsed {
    let (src, dst) = if from_client { (addr(1), addr(2)) } else { (addr(2), addr(1)) };
    Parsed {
        af: Af::V4,
        proto,
        src,
        dst,
        ttl: 64,
        tos: 0,
        l4_offset: 20,
        total_len: 100,
        fragment: None,
        options: IpOptions::None,
        l4,
    }
}

/// A datagram of the exchange with this number.
pub(crate) fn udp(port: u16, from_client: bool) -> Parsed {
    let (sport, dport) = if from_client { (port, 53) } else { (53, port) };
    packet(protocol::UDP, L4::Udp(Udp { sport, dport, data_len: 72 }), from_client)
}

/// Before all keys with this lower port.
pub(crate) const fn first_key(port: u16) -> StateKey {
    let addr = [Addr::from_v4_octets([192, 0, 2, 1]), Addr::from_v4_octets([192, 0, 2, 2])];
    StateKey { addr, port: [port, 0], proto: 0, af: Af::V4 }
}

/// A state that begins with `packet`.
pub(crate) fn begin(now: Timestamp, id: StateId, packet: &Parsed, options: StateOptions) -> State {
    let (key, side) = key_of(packet).unwrap();
    State::create(id, now, key, side, packet, options).unwrap()
}

pub(crate) fn udp_state(now: Timestamp, id: StateId, port: u16) -> State {
    begin(now, id, &udp(port, true), StateOptions::default())
}

/// A TCP connection between two ends that do as they are told.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub(crate) port: u16,
    /// The next number of each end: client, server.
    next: [u32; 2],
    /// How far the handshake and the end have come.
    pub(crate) step: u8,
}

pub(crate) const ESTABLISHED: u8 = 3;
pub(crate) const CLOSED: u8 = 7;

impl Conn {
    pub(crate) const fn new(port: u16, numbers: [u32; 2]) -> Self {
        Self { port, next: numbers, step: 0 }
    }

    pub(crate) fn key(&self) -> StateKey {
        key_of(&self.segment(TcpFlags::SYN, true, 0)).unwrap().0
    }

    fn segment(&self, flags: TcpFlags, from_client: bool, data_len: u32) -> Parsed {
        let (own, other) = if from_client { (0, 1) } else { (1, 0) };
        let (sport, dport) = if from_client { (self.port, 80) } else { (80, self.port) };
        let ack = if flags == TcpFlags::SYN { 0 } else { self.next[other] };
        let tcp = Tcp {
            sport,
            dport,
            seq: self.next[own],
            ack,
            flags,
            window: 65_535,
            data_offset: 20,
            data_len,
            wscale: None,
            mss: None,
        };
        packet(protocol::TCP, L4::Tcp(tcp), from_client)
    }

    /// The next packet that one of the ends sends, and whether the client does.
    /// `data`: in the middle, who sends how much.
    pub(crate) fn packet(&self, data: (bool, u32)) -> (Parsed, bool) {
        let ack = TcpFlags::ACK;
        let (flags, from_client, len) = match self.step {
            0 => (TcpFlags::SYN, true, 0),
            1 => (TcpFlags::SYN.union(ack), false, 0),
            2 => (ack, true, 0),
            3 => (ack, data.0, data.1),
            4 => (TcpFlags::FIN.union(ack), true, 0),
            5 => (TcpFlags::FIN.union(ack), false, 0),
            _ => (ack, true, 0),
        };
        (self.segment(flags, from_client, len), from_client)
    }

    /// The packet has reached the other end.
    pub(crate) fn advance(&mut self, packet: &Parsed, from_client: bool) {
        let L4::Tcp(tcp) = packet.l4 else { return };
        let control = tcp.flags.contains(TcpFlags::SYN) || tcp.flags.contains(TcpFlags::FIN);
        let next = &mut self.next[usize::from(!from_client)];
        *next = next.wrapping_add(tcp.data_len).wrapping_add(control.into());
        if self.step != ESTABLISHED {
            self.step += 1;
        }
    }

    pub(crate) const fn close(&mut self) {
        if self.step == ESTABLISHED {
            self.step += 1;
        }
    }
}

/// Shows a packet to a state.
pub(crate) fn track(held: &mut Held, now: Timestamp, packet: &Parsed) -> Track {
    let side = key_of(packet).map_or(Side::Lo, |(_, side)| side);
    held.track(now, side, packet)
}

pub(crate) fn loose() -> StateOptions {
    StateOptions { tracking: Tracking::Loose, ..StateOptions::default() }
}
