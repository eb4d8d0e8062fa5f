use std::net::IpAddr;

use etherparse::err::packet::SliceError;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;

use crate::testing::{golden, goldens, hostile_bytes, tcp, udp, v4, v4_with_options, v6};
use crate::*;

const A: u8 = 0x10;

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

/// An extension header of 8 bytes with `options` after its length.
fn extension(next: u8, options: [u8; 6]) -> Vec<u8> {
    [&[next, 0], &options[..]].concat()
}

fn with(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

#[test]
fn a_captured_syn_is_read_in_full() {
    let parsed = parse(&golden("v4-syn")).unwrap();
    assert_eq!((parsed.af, parsed.proto, parsed.ttl, parsed.tos), (Af::V4, 6, 64, 0));
    assert_eq!((parsed.src, parsed.dst), (addr("192.0.2.1"), addr("192.0.2.2")));
    assert_eq!((parsed.l4_offset, parsed.total_len, parsed.header_len()), (20, 60, 60));
    assert_eq!((parsed.fragment, parsed.options), (None, IpOptions::None));
    let L4::Tcp(tcp) = parsed.l4 else { panic!("{parsed:?}") };
    // As tcpdump printed it.
    assert_eq!((tcp.sport, tcp.dport, tcp.seq, tcp.ack), (59_292, 8080, 2_318_591_269, 0));
    assert_eq!((tcp.flags, tcp.window, tcp.data_offset), (TcpFlags::SYN, 64_240, 40));
    assert_eq!((tcp.data_len, tcp.mss, tcp.wscale), (0, Some(1460), Some(10)));
}

#[test]
fn captured_packets_are_what_tcpdump_says() {
    let query = |id, request_type, is_request| IcmpKind::Query { id, request_type, is_request };
    for (name, type_, kind) in [
        ("v4-echo-request", 8, query(14_396, 8, true)),
        ("v4-echo-reply", 0, query(14_396, 8, false)),
        ("v6-echo-request", 128, query(14_397, 128, true)),
        ("v6-echo-reply", 129, query(14_397, 128, false)),
        ("v4-unreachable", 3, IcmpKind::Error { quoted_offset: 28 }),
        ("v6-unreachable", 1, IcmpKind::Error { quoted_offset: 48 }),
        ("v6-neighbour-solicitation", 135, IcmpKind::NeighbourDiscovery),
        ("v6-router-solicitation", 133, IcmpKind::NeighbourDiscovery),
        ("v6-mld-report", 143, IcmpKind::Other),
    ] {
        let L4::Icmp(icmp) = parse(&golden(name)).unwrap().l4 else { panic!("{name}") };
        assert_eq!((icmp.type_, icmp.kind), (type_, kind), "{name}");
    }
    for (name, sport, dport, data_len, options, offset) in [
        ("v4-udp", 53_302, 5353, 11, IpOptions::None, 20),
        ("v6-udp", 44_100, 5353, 11, IpOptions::None, 40),
        ("v4-router-alert", 54_399, 5355, 2, IpOptions::RouterAlertOnly, 24),
        ("v4-record-route", 54_306, 5356, 2, IpOptions::Other, 28),
        ("v6-destination-options", 55_749, 5357, 3, IpOptions::Other, 48),
        ("v6-hop-by-hop", 54_441, 5358, 3, IpOptions::RouterAlertOnly, 48),
    ] {
        let parsed = parse(&golden(name)).unwrap();
        assert_eq!(parsed.l4, L4::Udp(Udp { sport, dport, data_len }), "{name}");
        assert_eq!((parsed.options, parsed.l4_offset), (options, offset), "{name}");
        assert_eq!(parsed.needs_allow_opts(), options != IpOptions::None, "{name}");
    }
}

#[test]
fn captured_fragments_are_not_looked_into() {
    for (name, id, offset, more, unfragmentable_len, next_header) in [
        ("v4-fragment-1", 0x1b6c, 0, true, 20, 17),
        ("v4-fragment-2", 0x1b6c, 1480, true, 20, 17),
        ("v4-fragment-3", 0x1b6c, 2960, false, 20, 17),
        ("v6-fragment-1", 0xc828_6be1, 0, true, 40, 17),
        ("v6-fragment-3", 0xc828_6be1, 2896, false, 40, 17),
        ("v6-options-fragment-2", 0x8ef1_caf7, 1432, true, 56, 17),
    ] {
        let parsed = parse(&golden(name)).unwrap();
        let info = FragmentInfo {
            id,
            offset,
            more,
            dont_fragment: false,
            unfragmentable_len,
            next_header,
        };
        assert_eq!(parsed.fragment, Some(info), "{name}");
        assert_eq!((parsed.l4, parsed.proto), (L4::Fragment, 17), "{name}");
        let data_at = unfragmentable_len + if parsed.af == Af::V6 { 8 } else { 0 };
        assert_eq!(parsed.l4_offset, data_at, "{name}");
    }
}

#[test]
fn lengths_that_cannot_be_are_short() {
    let syn = v4(6, &tcp(2, &[], &[]));
    let datagram = v4(17, &udp(b"data"));
    let tcp6 = v6(6, &tcp(2, &[], &[]));
    for (what, packet) in [
        ("nothing", vec![]),
        ("half a header", syn[..19].to_vec()),
        ("half an IPv6 header", tcp6[..39].to_vec()),
        ("IHL 4", with(syn.clone(), 0, &[0x44])),
        ("IHL beyond total length", with(syn.clone(), 2, &[0, 19])),
        ("total length below IHL", with(v4_with_options(6, &[1; 4], &[]), 2, &[0, 20])),
        ("total length beyond buffer", with(syn.clone(), 2, &[0, 41])),
        ("payload length beyond buffer", with(tcp6.clone(), 4, &[0, 21])),
        ("IPv6 TCP without payload", v6(6, &[])),
        ("payload length 0", with(tcp6.clone(), 4, &[0, 0])),
        ("TCP cut", v4(6, &tcp(2, &[], &[])[..19])),
        ("TCP offset 4", with(syn.clone(), 32, &[0x40])),
        ("TCP offset beyond end", with(syn.clone(), 32, &[0x60])),
        ("TCP port 0", with(syn, 22, &[0, 0])),
        ("UDP cut", v4(17, &udp(b"")[..7])),
        ("UDP length 7", with(datagram.clone(), 24, &[0, 7])),
        ("UDP length beyond end", with(datagram.clone(), 24, &[0, 13])),
        ("UDP port 0", with(datagram, 22, &[0, 0])),
        ("ICMP cut", v4(1, &[8, 0, 0, 0, 0, 0, 0])),
        ("ICMPv6 cut", v6(58, &[128, 0, 0, 0, 0, 0, 0])),
        ("extension header cut", v6(60, &[6])),
        ("extension header beyond end", v6(60, &[59, 1, 1, 4, 0, 0, 0, 0])),
        ("fragment header cut", v6(44, &[6, 0, 0, 1, 0, 0, 0])),
        ("AH beyond end", v4(51, &[6, 1, 0, 0, 0, 0, 0, 0])),
    ] {
        assert_eq!(parse(&packet), Err(DropReason::Short), "{what}");
    }
}

#[test]
fn what_follows_the_packet_is_ignored() {
    for packet in [v4(17, &udp(b"data")), v6(17, &udp(b"data"))] {
        let mut longer = packet.clone();
        longer.extend([0xff; 30]);
        assert_eq!(parse(&longer), parse(&packet));
    }
    // A datagram may also be shorter than its packet.
    let padded = v4(17, &[&udp(b"data")[..], &[0; 9]].concat());
    let L4::Udp(udp) = parse(&padded).unwrap().l4 else { panic!() };
    assert_eq!(udp.data_len, 4);
}

#[test]
fn flags_that_no_stack_sends_are_dropped() {
    for flags in 0..=0xff_u8 {
        let has = |flag: TcpFlags| flags & flag.raw() != 0;
        let (syn, ack) = (has(TcpFlags::SYN), has(TcpFlags::ACK));
        let rst = has(TcpFlags::RST);
        let bad = if syn { rst } else { !ack && (!rst || has(TcpFlags::FIN)) }
            || (!ack && (has(TcpFlags::PSH) || has(TcpFlags::URG)));
        let result = parse(&v6(6, &tcp(flags, &[], b"data")));
        match result {
            Err(reason) => assert!(bad && reason == DropReason::Normalize, "{flags:#x}"),
            Ok(parsed) => {
                assert!(!bad, "{flags:#x}");
                assert_eq!(parsed.tcp().unwrap().flags.raw(), flags);
            }
        }
    }
}

#[test]
fn syn_options_are_read_as_far_as_they_are_sound() {
    let read = |flags, options: &[u8]| {
        let parsed = parse(&v4(6, &tcp(flags, options, b"x"))).unwrap();
        let tcp = *parsed.tcp().unwrap();
        (tcp.mss, tcp.wscale)
    };
    assert_eq!(read(2, &[2, 4, 5, 0xb4, 1, 3, 3, 7]), (Some(1460), Some(7)));
    assert_eq!(read(2, &[3, 3, 15, 0]), (None, Some(14)));
    assert_eq!(read(2, &[8, 4, 0, 0, 3, 3, 2, 0]), (None, Some(2)));
    // After the end, of a wrong length, cut off, or behind a broken one: nothing.
    assert_eq!(read(2, &[0, 3, 3, 7]), (None, None));
    assert_eq!(read(2, &[3, 4, 7, 0]), (None, None));
    assert_eq!(read(2, &[1, 1, 3, 3]), (None, None));
    assert_eq!(read(2, &[8, 1, 1, 1, 3, 3, 7, 0]), (None, None));
    assert_eq!(read(2, &[8, 9, 1, 1, 3, 3, 7, 0]), (None, None));
    // Only a SYN says them.
    assert_eq!(read(A, &[2, 4, 5, 0xb4, 1, 3, 3, 7]), (None, None));
}

#[test]
fn ipv4_options_are_sorted() {
    let parsed = |options: &[u8]| parse(&v4_with_options(17, options, &udp(b"")));
    for (options, expected) in [
        (&[148, 4, 0, 0][..], IpOptions::RouterAlertOnly),
        (&[1, 148, 4, 0, 0, 0, 0, 0], IpOptions::RouterAlertOnly),
        (&[148, 4, 0, 0, 7, 3, 4, 0], IpOptions::Other),
        (&[1, 1, 1, 1], IpOptions::Other),
        (&[0, 0, 0, 0], IpOptions::Other),
        // After the end of options nothing counts.
        (&[0, 148, 4, 0], IpOptions::Other),
    ] {
        assert_eq!(parsed(options).unwrap().options, expected, "{options:?}");
    }
    for bad in [[148, 1, 0, 0], [148, 0, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
        assert_eq!(parsed(&bad), Err(DropReason::IpOption), "{bad:?}");
    }
}

#[test]
fn extension_headers_follow_the_rules() {
    let alert = [5, 2, 0, 0, 1, 0];
    let pad = [1, 4, 0, 0, 0, 0];
    let segment = udp(b"");
    let chain = |first, parts: &[&[u8]]| parse(&v6(first, &parts.concat()));
    let (hop, dst) = (extension(60, alert), extension(17, pad));
    let parsed = chain(0, &[&hop, &dst, &segment]).unwrap();
    assert_eq!((parsed.options, parsed.l4_offset), (IpOptions::Other, 56));
    let padding_only = chain(0, &[&extension(17, pad), &segment]).unwrap();
    assert_eq!(padding_only.options, IpOptions::Other);
    // AH counts in words of four: 24 bytes here.
    let ah = [&[17, 4, 0, 0], &[0; 20][..]].concat();
    assert_eq!(chain(51, &[&ah, &segment]).unwrap().l4_offset, 64);
    assert_eq!(parse(&v4(51, &[&ah[..], &segment].concat())).unwrap().l4_offset, 44);
    // Segment routing (type 4) passes once.
    let routing = extension(17, [4, 0, 0, 0, 0, 0]);
    assert_eq!(chain(43, &[&routing, &segment]).unwrap().options, IpOptions::Other);

    for (what, first, parts) in [
        ("hop-by-hop second", 60, vec![extension(0, pad), extension(17, alert)]),
        ("routing type 0", 43, vec![extension(17, [0; 6])]),
        ("two routing headers", 43, vec![extension(43, [4, 0, 0, 0, 0, 0]), routing.clone()]),
        ("jumbogram", 0, vec![extension(17, [0xc2, 4, 0, 1, 0, 0])]),
        ("option beyond its header", 0, vec![extension(17, [5, 5, 0, 0, 0, 0])]),
        ("option without length", 0, vec![extension(17, [1, 3, 0, 0, 0, 5])]),
    ] {
        let packet = v6(first, &[parts.concat(), segment.clone()].concat());
        assert_eq!(parse(&packet), Err(DropReason::IpOption), "{what}");
    }
    let jumbo = with(v6(0, &extension(17, [0xc2, 4, 0, 1, 0, 0])), 4, &[0, 0]);
    assert_eq!(parse(&jumbo), Err(DropReason::Short));
}

#[test]
fn chains_end_after_twenty_headers() {
    let chain = |count: usize| {
        let mut payload = extension(60, [1, 4, 0, 0, 0, 0]).repeat(count - 1);
        payload.extend(extension(17, [1, 4, 0, 0, 0, 0]));
        payload.extend(udp(b""));
        parse(&v6(60, &payload))
    };
    assert_eq!(chain(19).unwrap().l4_offset, 40 + 19 * 8);
    assert_eq!(chain(20), Err(DropReason::IpOption));
    let ah = |count: usize| {
        let mut payload = [51, 0, 0, 0, 0, 0, 0, 0].repeat(count - 1);
        payload.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend(udp(b""));
        parse(&v4(51, &payload))
    };
    assert!(ah(19).is_ok());
    assert_eq!(ah(20), Err(DropReason::IpOption));
}

#[test]
fn fragment_headers_of_whole_datagrams_are_stepped_over() {
    let atomic = [&[17, 0, 0, 0, 1, 2, 3, 4][..], &udp(b"data")].concat();
    let parsed = parse(&v6(44, &atomic)).unwrap();
    assert_eq!((parsed.fragment, parsed.l4_offset), (None, 48));
    assert!(matches!(parsed.l4, L4::Udp(_)));
    let twice = [&[44, 0, 0, 0, 1, 2, 3, 4][..], &atomic].concat();
    assert_eq!(parse(&v6(44, &twice)), Err(DropReason::Fragment));
}

#[test]
fn each_family_has_its_own_icmp() {
    let echo = [8, 0, 0, 0, 0, 1, 0, 1];
    assert_eq!(parse(&v6(1, &echo)), Err(DropReason::Normalize));
    assert_eq!(parse(&v4(58, &echo)), Err(DropReason::Normalize));
    assert_eq!(parse(&with(v4(1, &echo), 0, &[0x55])), Err(DropReason::Normalize));
}

#[test]
fn every_icmp_type_has_its_kind() {
    let kinds = |af: Af| {
        (0..=255_u8).filter_map(move |type_| {
            let message = [type_, 0, 0, 0, 0xab, 0xcd, 0, 0];
            let packet = match af {
                Af::V4 => v4(1, &message),
                Af::V6 => with(v6(58, &message), 7, &[255]),
            };
            // MLD's types want a hop limit of 1.
            let L4::Icmp(icmp) = parse(&packet).ok()?.l4 else { panic!() };
            (icmp.kind != IcmpKind::Other).then_some((type_, icmp.kind))
        })
    };
    let query = |request_type, is_request| IcmpKind::Query { id: 0xabcd, request_type, is_request };
    let error = |quoted_offset| IcmpKind::Error { quoted_offset };
    let v4_kinds: Vec<_> = kinds(Af::V4).collect();
    assert_eq!(
        v4_kinds,
        [
            (0, query(8, false)),
            (3, error(28)),
            (4, error(28)),
            (5, error(28)),
            (8, query(8, true)),
            (11, error(28)),
            (12, error(28)),
            (13, query(13, true)),
            (14, query(13, false)),
            (15, query(15, true)),
            (16, query(15, false)),
            (17, query(17, true)),
            (18, query(17, false)),
        ]
    );
    let mut expected: Vec<_> = (1..=4).map(|type_| (type_, error(48))).collect();
    expected.extend([(128, query(128, true)), (129, query(128, false))]);
    expected.extend((133..=137).map(|type_| (type_, IcmpKind::NeighbourDiscovery)));
    assert_eq!(kinds(Af::V6).collect::<Vec<_>>(), expected);
}

#[test]
fn messages_of_the_link_must_not_have_been_routed() {
    for name in ["v6-neighbour-solicitation", "v6-router-solicitation"] {
        let routed = with(golden(name), 7, &[254]);
        assert_eq!(parse(&routed), Err(DropReason::Normalize), "{name}");
    }
    for type_ in 133..=137 {
        let message = v6(58, &[type_, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&message), Err(DropReason::Normalize), "{type_}");
    }
    let report = golden("v6-mld-report");
    assert!(!parse(&report).unwrap().needs_allow_opts());
    assert_eq!(parse(&with(report.clone(), 7, &[2])), Err(DropReason::IpOption));
    assert_eq!(parse(&with(report.clone(), 8, &[0x20, 1])), Err(DropReason::IpOption));
    assert!(parse(&with(report, 8, &[0xfe, 0x80])).is_ok());
}

#[test]
fn igmp_to_all_hosts_has_ttl_1() {
    let query = with(v4_with_options(2, &[148, 4, 0, 0], &[0x11; 8]), 16, &[224, 0, 0, 1]);
    assert_eq!(parse(&query), Err(DropReason::IpOption));
    let local = parse(&with(query.clone(), 8, &[1])).unwrap();
    assert_eq!((local.l4, local.options), (L4::Other, IpOptions::RouterAlertOnly));
    assert!(!local.needs_allow_opts());
    assert!(parse(&with(query, 19, &[2])).is_ok());
}

#[test]
fn mapped_addresses_do_not_come_in_ipv6_packets() {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    for at in [8, 24] {
        let packet = with(v6(17, &udp(b"")), at, &mapped);
        assert_eq!(parse(&packet), Err(DropReason::Normalize));
    }
}

#[test]
fn super_packets_are_ordinary() {
    let data = vec![7; 65_535 - 40];
    let parsed = parse(&v4(6, &tcp(A, &[], &data))).unwrap();
    assert_eq!(parsed.total_len, 65_535);
    assert_eq!(parsed.tcp().unwrap().data_len, 65_495);
    let longest6 = parse(&v6(17, &udp(&vec![7; 65_527]))).unwrap();
    assert_eq!(longest6.total_len, 65_575);
    assert_eq!(longest6.l4, L4::Udp(Udp { sport: 40_000, dport: 53, data_len: 65_527 }));
}

#[test]
fn the_longest_chain_fits_its_offset() {
    let mut longest = vec![60, 255];
    longest.resize(2048, 0);
    let mut payload = longest.repeat(18);
    longest[0] = 17;
    payload.extend(longest);
    payload.extend(udp(b""));
    assert_eq!(parse(&v6(60, &payload)).unwrap().l4_offset, 40 + 19 * 2048);
}

/// Whatever we make of a packet, the other parser makes the same of it, but that
/// it refuses what it does not like in fragments, ICMP, IGMP, and AH below 12 bytes.
fn agrees_with_etherparse(bytes: &[u8], parsed: &Parsed) {
    let sliced = match SlicedPacket::from_ip(&bytes[..parsed.total_len as usize]) {
        Ok(sliced) => sliced,
        Err(_) if !matches!(parsed.l4, L4::Tcp(_) | L4::Udp(_)) => return,
        Err(SliceError::Ipv4Exts(_) | SliceError::Ipv6Exts(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let (src, dst): (IpAddr, IpAddr) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!((header.ttl(), parsed.af), (parsed.ttl, Af::V4));
            assert_eq!(ip.is_payload_fragmented(), parsed.fragment.is_some());
            (header.source_addr().into(), header.destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            assert_eq!((header.hop_limit(), header.traffic_class()), (parsed.ttl, parsed.tos));
            assert_eq!(ip.is_payload_fragmented(), parsed.fragment.is_some());
            (header.source_addr().into(), header.destination_addr().into())
        }
        NetSlice::Arp(_) => panic!("not IP"),
    };
    assert_eq!((src, dst), (parsed.src.to_ip(), parsed.dst.to_ip()));
    match (&parsed.l4, sliced.transport) {
        (L4::Tcp(ours), Some(TransportSlice::Tcp(theirs))) => {
            assert_eq!((ours.sport, ours.dport), (theirs.source_port(), theirs.destination_port()));
            assert_eq!(ours.seq, theirs.sequence_number());
            assert_eq!(ours.ack, theirs.acknowledgment_number());
            assert_eq!(ours.window, theirs.window_size());
            assert_eq!(ours.data_len as usize, theirs.payload().len());
            assert_eq!(usize::from(ours.data_offset), theirs.header_slice().len());
            assert_eq!(ours.flags.contains(TcpFlags::SYN), theirs.syn());
            assert_eq!(ours.flags.contains(TcpFlags::CWR), theirs.cwr());
        }
        (L4::Udp(ours), Some(TransportSlice::Udp(theirs))) => {
            assert_eq!((ours.sport, ours.dport), (theirs.source_port(), theirs.destination_port()));
            assert_eq!(ours.data_len as usize, theirs.payload().len());
        }
        (L4::Icmp(ours), Some(TransportSlice::Icmpv4(theirs))) => {
            assert_eq!((ours.type_, ours.code), (theirs.type_u8(), theirs.code_u8()));
        }
        (L4::Icmp(ours), Some(TransportSlice::Icmpv6(theirs))) => {
            assert_eq!((ours.type_, ours.code), (theirs.type_u8(), theirs.code_u8()));
        }
        (L4::Fragment | L4::Other, None) | (L4::Other, Some(TransportSlice::Igmp(_))) => {}
        (ours, theirs) => panic!("{ours:?} is to the other {theirs:?}"),
    }
}

#[test]
fn captured_packets_are_the_same_to_another_parser() {
    for (_, bytes) in goldens() {
        agrees_with_etherparse(&bytes, &parse(&bytes).unwrap());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_none_are_read_beyond_the_end(bytes in hostile_bytes()) {
        let Ok(parsed) = parse(&bytes) else { return Ok(()) };
        prop_assert!(parsed.total_len as usize <= bytes.len());
        prop_assert!(u32::from(parsed.l4_offset) <= parsed.total_len);
        prop_assert_eq!(parse(&bytes[..parsed.total_len as usize]), Ok(parsed));
        match parsed.l4 {
            L4::Tcp(tcp) => prop_assert_eq!(
                u32::from(parsed.l4_offset) + u32::from(tcp.data_offset) + tcp.data_len,
                parsed.total_len
            ),
            L4::Udp(udp) => prop_assert!(
                u32::from(parsed.l4_offset) + 8 + udp.data_len <= parsed.total_len
            ),
            L4::Icmp(Icmp { kind: IcmpKind::Error { quoted_offset }, .. }) => {
                prop_assert!(u32::from(quoted_offset) <= parsed.total_len);
            }
            L4::Icmp(_) | L4::Other | L4::Fragment => {}
        }
    }

    #[test]
    fn hostile_bytes_that_parse_are_the_same_to_another_parser(bytes in hostile_bytes()) {
        let Ok(parsed) = parse(&bytes) else { return Ok(()) };
        agrees_with_etherparse(&bytes, &parsed);
    }

    #[test]
    fn segments_of_another_builder_are_read_back(
        v6 in any::<bool>(),
        (sport, dport) in (any::<u16>(), 1..=u16::MAX),
        (seq, ack, window) in any::<(u32, u32, u16)>(),
        (mss, wscale) in (any::<u16>(), 0..=14_u8),
        data in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let ip = if v6 {
            PacketBuilder::ipv6([0x20; 16], [0x21; 16], 17)
        } else {
            PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 17)
        };
        let options = [
            TcpOptionElement::MaximumSegmentSize(mss),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::WindowScale(wscale),
        ];
        let step = ip.tcp(sport, dport, seq, window).syn().ack(ack).options(&options).unwrap();
        let mut bytes = Vec::new();
        step.write(&mut bytes, &data).unwrap();
        let parsed = parse(&bytes).unwrap();
        agrees_with_etherparse(&bytes, &parsed);
        let tcp = parsed.tcp().unwrap();
        prop_assert_eq!((tcp.mss, tcp.wscale), (Some(mss), Some(wscale)));
        prop_assert!(checksum::verify(&bytes, &parsed));
    }
}
