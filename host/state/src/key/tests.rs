use evergate_wire::{Icmp, Quoted, Tcp, Udp};
use proptest::prelude::*;

use super::*;
use crate::testing::{echo, other, packet, segment, v4, v6};

fn tcp_packet(src: (Addr, u16), dst: (Addr, u16)) -> Parsed {
    let tcp = Tcp { sport: src.1, dport: dst.1, ..segment(evergate_wire::TcpFlags::ACK, 1, 1) };
    packet(src.0, dst.0, protocol::TCP, L4::Tcp(tcp))
}

fn both(forward: &Parsed, backward: &Parsed) -> [(StateKey, Side); 2] {
    [key_of(forward).unwrap(), key_of(backward).unwrap()]
}

#[test]
fn a_key_is_at_most_40_bytes() {
    assert!(size_of::<StateKey>() <= 40, "{}", size_of::<StateKey>());
}

#[test]
fn tcp_and_udp_keys_are_ordered_by_address_and_port() {
    let (low, high) = ((v4(1), 5000), (v4(2), 80));
    let [(key, side), (back, back_side)] = both(&tcp_packet(low, high), &tcp_packet(high, low));
    assert_eq!((key, side), (back, back_side.other()));
    assert_eq!(side, Side::Lo);
    assert_eq!((key.addr, key.port), ([low.0, high.0], [5000, 80]));
    // The address decides first, the port only between equal addresses.
    let (low, high) = ((v4(1), 80), (v4(1), 5000));
    let [(key, side), (back, back_side)] = both(&tcp_packet(high, low), &tcp_packet(low, high));
    assert_eq!((key, side), (back, back_side.other()));
    assert_eq!((side, key.port), (Side::Hi, [80, 5000]));
    assert_eq!((key.port_of(side), key.addr_of(side)), (5000, v4(1)));
}

#[test]
fn protocols_and_families_do_not_share_keys() {
    let (a, b) = ((v4(1), 53), (v4(2), 53));
    let udp = Udp { sport: 53, dport: 53, data_len: 0 };
    let udp = packet(a.0, b.0, protocol::UDP, L4::Udp(udp));
    assert_ne!(key_of(&udp).unwrap().0, key_of(&tcp_packet(a, b)).unwrap().0);
    // A mapped address in an IPv6 packet is not the IPv4 address.
    let mut mapped = udp;
    mapped.af = Af::V6;
    assert_ne!(key_of(&udp).unwrap().0, key_of(&mapped).unwrap().0);
}

#[test]
fn a_query_and_its_reply_share_a_key_but_queries_of_both_ends_do_not() {
    for (a, b) in [(v4(1), v4(2)), (v4(2), v4(1)), (v6(1), v6(2))] {
        let request = echo(a, b, 1, true);
        let reply = echo(b, a, 1, false);
        let [(key, side), (back, back_side)] = both(&request, &reply);
        assert_eq!((key, side), (back, back_side.other()));
        assert_eq!(key.addr[side.index()], a);
        let (theirs, _) = key_of(&echo(b, a, 1, true)).unwrap();
        assert_ne!(key, theirs);
        // What looks like a reply from the asking end is none of this key.
        let (forged, _) = key_of(&echo(a, b, 1, false)).unwrap();
        assert_eq!(forged, theirs);
        assert_ne!(key, key_of(&echo(a, b, 2, true)).unwrap().0);
    }
}

#[test]
fn an_echo_key_has_the_identifier_and_the_type_of_the_request() {
    let (key, _) = key_of(&echo(v4(2), v4(1), 77, false)).unwrap();
    assert_eq!(key.port, [77, 8]);
    let (key, _) = key_of(&echo(v6(1), v6(2), 77, true)).unwrap();
    assert_eq!(key.port, [77, 128]);
}

#[test]
fn other_protocols_have_no_ports_and_other_icmp_has_its_type() {
    let [(key, side), (back, back_side)] = both(&other(v4(2), v4(1), 47), &other(v4(1), v4(2), 47));
    assert_eq!((key, side), (back, back_side.other()));
    assert_eq!((key.port, key.proto, side), ([0, 0], 47, Side::Hi));
    let mld = Icmp { type_: 143, code: 0, kind: IcmpKind::Other };
    let (key, _) = key_of(&packet(v6(1), v6(2), protocol::ICMPV6, L4::Icmp(mld))).unwrap();
    assert_eq!(key.port, [0, 143]);
}

#[test]
fn errors_discovery_and_fragments_have_no_key() {
    for kind in [IcmpKind::Error { quoted_offset: 28 }, IcmpKind::NeighbourDiscovery] {
        let icmp = Icmp { type_: 3, code: 0, kind };
        assert_eq!(key_of(&packet(v4(1), v4(2), protocol::ICMP, L4::Icmp(icmp))), None);
    }
    assert_eq!(key_of(&packet(v4(1), v4(2), protocol::UDP, L4::Fragment)), None);
}

fn quote(of: &Parsed, l4: QuotedL4) -> Quoted {
    Quoted { af: of.af, proto: of.proto, src: of.src, dst: of.dst, l4_offset: of.l4_offset, l4 }
}

#[test]
fn a_quoted_packet_has_the_key_and_side_of_the_packet_itself() {
    let tcp = tcp_packet((v4(2), 80), (v4(1), 5000));
    let quoted = quote(&tcp, QuotedL4::Tcp { sport: 80, dport: 5000, seq: 0 });
    assert_eq!(quoted_key(&quoted), key_of(&tcp));
    let udp = Udp { sport: 53, dport: 5353, data_len: 0 };
    let udp = packet(v6(9), v6(3), protocol::UDP, L4::Udp(udp));
    let quoted = quote(&udp, QuotedL4::Udp { sport: 53, dport: 5353 });
    assert_eq!(quoted_key(&quoted), key_of(&udp));
    for is_request in [true, false] {
        let echo = echo(v4(5), v4(4), 11, is_request);
        let l4 = QuotedL4::Icmp { id: 11, request_type: 8, is_request };
        assert_eq!(quoted_key(&quote(&echo, l4)), key_of(&echo));
    }
    let gre = other(v4(5), v4(4), 47);
    assert_eq!(quoted_key(&quote(&gre, QuotedL4::Other)), key_of(&gre));
    // Too little of a known protocol is no key of "other".
    assert_eq!(quoted_key(&quote(&tcp, QuotedL4::Other)), None);
}

proptest! {
    #[test]
    fn both_directions_always_build_one_key_with_opposite_sides(
        a: [u8; 16], b: [u8; 16], ports: (u16, u16), same_addr: bool,
    ) {
        let a = Addr::from_octets(a);
        let b = if same_addr { a } else { Addr::from_octets(b) };
        prop_assume!((a, ports.0) != (b, ports.1));
        let (there, back) = ((a, ports.0), (b, ports.1));
        let [forward, backward] = both(&tcp_packet(there, back), &tcp_packet(back, there));
        // The helper derives the family from the source.
        prop_assume!(forward.0.af == backward.0.af);
        prop_assert_eq!(forward, (backward.0, backward.1.other()));
        prop_assert_eq!(forward.0.addr_of(forward.1), a);
        prop_assert_eq!(forward.0.port_of(forward.1), ports.0);
    }
}
