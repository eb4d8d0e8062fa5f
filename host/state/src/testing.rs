//! Packets for tests, as the parser would describe them.

use std::net::{Ipv4Addr, Ipv6Addr};

use evergate_wire::{
    Addr, Af, Icmp, IcmpKind, IpOptions, L4, Parsed, Tcp, TcpFlags, Timestamp, Udp, protocol,
};

use crate::{Side, State, StateId, StateOptions, Tracking, key_of};

pub(crate) const SYN: TcpFlags = TcpFlags::SYN;
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;
pub(crate) const RST: TcpFlags = TcpFlags::RST;
pub(crate) const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
pub(crate) const FIN_ACK: TcpFlags = TcpFlags::FIN.union(TcpFlags::ACK);
pub(crate) const RST_ACK: TcpFlags = TcpFlags::RST.union(TcpFlags::ACK);

pub(crate) const ID: StateId = StateId { id: 7, creator: 9 };

pub(crate) fn v4(last: u8) -> Addr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

pub(crate) fn v6(last: u16) -> Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

pub(crate) fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

pub(crate) fn packet(src: Addr, dst: Addr, proto: u8, l4: L4) -> Parsed {
    let af = src.af();
    let l4_offset = match af {
        Af::V4 => 20,
        Af::V6 => 40,
    };
    let total_len = u32::from(l4_offset)
        + match &l4 {
            L4::Tcp(tcp) => u32::from(tcp.data_offset) + tcp.data_len,
            L4::Udp(udp) => 8 + udp.data_len,
            L4::Icmp(_) | L4::Other | L4::Fragment => 8,
        };
    Parsed {
        af,
        proto,
        src,
        dst,
        ttl: 64,
        tos: 0,
        l4_offset,
        total_len,
        fragment: None,
        options: IpOptions::None,
        l4,
    }
}

/// A segment without data and options; a whole window.
pub(crate) fn segment(flags: TcpFlags, seq: u32, ack: u32) -> Tcp {
    Tcp {
        sport: 0,
        dport: 0,
        seq,
        ack,
        flags,
        window: 65_535,
        data_offset: 20,
        data_len: 0,
        wscale: None,
        mss: None,
    }
}

/// A segment between 192.0.2.1 port 1000 (the lower end) and 192.0.2.2 port 80.
pub(crate) fn tcp(side: Side, segment: Tcp) -> Parsed {
    let ends = [(v4(1), 1000), (v4(2), 80)];
    let (src, dst) = (ends[side.index()], ends[side.other().index()]);
    let l4 = L4::Tcp(Tcp { sport: src.1, dport: dst.1, ..segment });
    packet(src.0, dst.0, protocol::TCP, l4)
}

pub(crate) fn udp(side: Side, data_len: u32) -> Parsed {
    let ends = [(v4(1), 1000), (v4(2), 53)];
    let (src, dst) = (ends[side.index()], ends[side.other().index()]);
    let l4 = L4::Udp(Udp { sport: src.1, dport: dst.1, data_len });
    packet(src.0, dst.0, protocol::UDP, l4)
}

pub(crate) fn echo(src: Addr, dst: Addr, id: u16, is_request: bool) -> Parsed {
    let (proto, request_type, reply_type) = match src.af() {
        Af::V4 => (protocol::ICMP, 8, 0),
        Af::V6 => (protocol::ICMPV6, 128, 129),
    };
    let kind = IcmpKind::Query { id, request_type, is_request };
    let type_ = if is_request { request_type } else { reply_type };
    packet(src, dst, proto, L4::Icmp(Icmp { type_, code: 0, kind }))
}

pub(crate) fn other(src: Addr, dst: Addr, proto: u8) -> Parsed {
    packet(src, dst, proto, L4::Other)
}

pub(crate) fn options(tracking: Tracking) -> StateOptions {
    StateOptions { tracking, ..StateOptions::default() }
}

/// The state that begins with this packet.
///
/// # Panics
/// If the packet may not begin one.
pub(crate) fn begin(now: Timestamp, packet: &Parsed, tracking: Tracking) -> State {
    let (key, side) = key_of(packet).unwrap();
    State::create(ID, now, key, side, packet, options(tracking)).unwrap()
}
