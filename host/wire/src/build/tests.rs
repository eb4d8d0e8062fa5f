use std::net::IpAddr;

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::testing::{self, golden, goldens, hostile_bytes, udp, v4, v6};
use crate::{Icmp, QuotedL4, parse, parse_quoted};

const UNKNOWN: ChecksumStatus = ChecksumStatus::Unknown;
const TRUSTED: ChecksumStatus = ChecksumStatus::Trusted;

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn router(af: Af) -> Addr {
    match af {
        Af::V4 => addr("203.0.113.1"),
        Af::V6 => addr("2001:db8:1::1"),
    }
}

fn reset_for(packet: &[u8], status: ChecksumStatus) -> Option<Vec<u8>> {
    tcp_reset_for(packet, &parse(packet).unwrap(), status)
}

fn error_about(packet: &[u8]) -> Option<Vec<u8>> {
    let parsed = parse(packet).unwrap();
    icmp_error(router(parsed.af), IcmpErrorKind::port_unreachable(parsed.af), packet, &parsed)
}

/// Both checksums verified by the other implementation.
fn checksums_hold(packet: &[u8]) {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    match (sliced.net.unwrap(), sliced.transport.unwrap()) {
        (NetSlice::Ipv4(ip), transport) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            match transport {
                TransportSlice::Tcp(tcp) => {
                    let expected = tcp.calc_checksum_ipv4(header.source, header.destination);
                    assert_eq!(tcp.checksum(), expected.unwrap());
                }
                TransportSlice::Icmpv4(icmp) => {
                    let expected = icmp.icmp_type().calc_checksum(icmp.payload());
                    assert_eq!(icmp.checksum(), expected);
                }
                other @ (TransportSlice::Icmpv6(_)
                | TransportSlice::Igmp(_)
                | TransportSlice::Udp(_)) => panic!("{other:?}"),
            }
        }
        (NetSlice::Ipv6(ip), transport) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            match transport {
                TransportSlice::Tcp(tcp) => {
                    assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv6(src, dst).unwrap());
                }
                TransportSlice::Icmpv6(icmp) => assert!(icmp.is_checksum_valid(src, dst)),
                other @ (TransportSlice::Icmpv4(_)
                | TransportSlice::Igmp(_)
                | TransportSlice::Udp(_)) => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn resets_are_those_that_linux_sends() {
    assert_eq!(reset_for(&golden("v4-syn-refused"), UNKNOWN), Some(golden("v4-reset")));
    let mut reset6 = golden("v6-reset");
    // But for the flow label, which Linux makes up.
    reset6[1..4].fill(0);
    assert_eq!(reset_for(&golden("v6-syn-refused"), UNKNOWN), Some(reset6));
}

#[test]
fn a_reset_acknowledges_all_of_the_segment() {
    for (flags, data, ack) in [
        (0x02, &b""[..], 0x1001),
        (0x10, b"", 0x1000),
        (0x10, b"12345", 0x1005),
        (0x11, b"12345", 0x1006),
        (0x03, b"", 0x1001),
        (0x12, b"123", 0x1004),
    ] {
        let packet = v6(6, &testing::tcp(flags, &[], data));
        let reset = reset_for(&packet, TRUSTED).unwrap();
        let parsed = parse(&reset).unwrap();
        let tcp = parsed.tcp().unwrap();
        assert_eq!(tcp.flags, TcpFlags::RST | TcpFlags::ACK);
        assert_eq!((tcp.seq, tcp.ack, tcp.window), (0x2000, ack, 0), "{flags:#x}");
        assert_eq!((tcp.sport, tcp.dport), (80, 40_000));
        assert_eq!((parsed.src, parsed.dst), (addr("2001:db8::2"), addr("2001:db8::1")));
        checksums_hold(&reset);
    }
}

#[test]
fn sequence_numbers_wrap() {
    let mut packet = v4(6, &testing::tcp(0x11, &[], b"12345"));
    packet[24..28].fill(0xff);
    let reset = parse(&reset_for(&packet, TRUSTED).unwrap()).unwrap();
    assert_eq!(reset.tcp().unwrap().ack, 5);
}

#[test]
fn what_must_not_be_reset_is_not() {
    let syn = golden("v4-syn");
    let mut damaged = syn.clone();
    damaged[22] ^= 1;
    assert_eq!(reset_for(&damaged, UNKNOWN), None);
    assert!(reset_for(&damaged, TRUSTED).is_some());
    assert_eq!(reset_for(&golden("v4-reset"), TRUSTED), None);
    assert_eq!(reset_for(&golden("v4-udp"), TRUSTED), None);
    let mut from_port_0 = syn.clone();
    from_port_0[20..22].fill(0);
    assert_eq!(reset_for(&from_port_0, TRUSTED), None);
    for (at, bytes) in
        [(16, [224, 0, 0, 1]), (16, [255; 4]), (12, [224, 0, 0, 1]), (12, [255; 4]), (12, [0; 4])]
    {
        let mut packet = syn.clone();
        packet[at..at + 4].copy_from_slice(&bytes);
        assert_eq!(reset_for(&packet, TRUSTED), None, "{bytes:?}");
    }
    for at in [8, 24] {
        let mut packet = golden("v6-syn");
        packet[at] = 0xff;
        assert_eq!(reset_for(&packet, TRUSTED), None);
    }
}

#[test]
fn errors_are_those_that_linux_sends() {
    for (cause, error, header_len) in
        [("v4-udp", "v4-unreachable", 20), ("v6-udp", "v6-unreachable", 40)]
    {
        let (packet, expected) = (golden(cause), golden(error));
        let parsed = parse(&packet).unwrap();
        let kind = IcmpErrorKind::port_unreachable(parsed.af);
        let built = icmp_error(parsed.dst, kind, &packet, &parsed).unwrap();
        assert_eq!(built[header_len..], expected[header_len..], "{cause}");
        assert_eq!((built[0], built.len()), (expected[0], expected.len()));
        checksums_hold(&built);
    }
}

#[test]
fn a_quote_is_as_long_as_allowed_and_not_longer() {
    for (packet, whole, max) in [
        (v4(17, &udp(&[7; 520])), true, 576),
        (v4(17, &udp(&[7; 521])), false, 576),
        (v4(17, &udp(&[7; 65_507])), false, 576),
        (v6(17, &udp(&[7; 1184])), true, 1280),
        (v6(17, &udp(&[7; 1185])), false, 1280),
    ] {
        let error = error_about(&packet).unwrap();
        assert_eq!(error.len(), max);
        let parsed = parse(&error).unwrap();
        let L4::Icmp(Icmp { kind: IcmpKind::Error { quoted_offset }, .. }) = parsed.l4 else {
            panic!("{parsed:?}")
        };
        let quote = &error[usize::from(quoted_offset)..];
        assert!(packet.starts_with(quote));
        assert_eq!(quote.len() == packet.len(), whole);
        let quoted = parse_quoted(parsed.af, quote).unwrap();
        assert_eq!(quoted.l4, QuotedL4::Udp { sport: 40_000, dport: 53 });
        checksums_hold(&error);
    }
    // Nor does it go beyond the packet.
    let mut trailing = v4(17, &udp(b"data"));
    let expected = error_about(&trailing);
    trailing.extend([0xff; 8]);
    assert_eq!(error_about(&trailing), expected);
}

#[test]
fn the_mtu_is_where_each_family_has_it() {
    for (packet, mtu, expected) in [
        (v4(17, &udp(b"x")), 1400, [0, 0, 0x05, 0x78]),
        (v4(17, &udp(b"x")), 70_000, [0, 0, 0xff, 0xff]),
        (v6(17, &udp(b"x")), 70_000, [0, 1, 0x11, 0x70]),
    ] {
        let parsed = parse(&packet).unwrap();
        let kind = IcmpErrorKind::packet_too_big(parsed.af, mtu);
        let error = icmp_error(router(parsed.af), kind, &packet, &parsed).unwrap();
        let at = usize::from(parse(&error).unwrap().l4_offset);
        assert_eq!(error[at + 4..at + 8], expected);
        match SlicedPacket::from_ip(&error).unwrap().transport.unwrap() {
            TransportSlice::Icmpv4(icmp) => {
                let Icmpv4Type::DestinationUnreachable(header) = icmp.icmp_type() else {
                    panic!("{icmp:?}")
                };
                assert_eq!(header.code_u8(), 4);
            }
            TransportSlice::Icmpv6(icmp) => {
                assert_eq!(icmp.icmp_type(), Icmpv6Type::PacketTooBig { mtu });
            }
            other @ (TransportSlice::Igmp(_) | TransportSlice::Udp(_) | TransportSlice::Tcp(_)) => {
                panic!("{other:?}")
            }
        }
    }
}

#[test]
fn nothing_is_said_about_errors_later_fragments_and_groups() {
    for name in [
        "v4-unreachable",
        "v6-unreachable",
        "v4-fragment-2",
        "v6-fragment-3",
        "v6-mld-report",
        "v6-neighbour-solicitation",
    ] {
        assert_eq!(error_about(&golden(name)), None, "{name}");
    }
    for name in ["v4-fragment-1", "v6-fragment-1", "v4-echo-request", "v6-echo-reply", "v4-syn"] {
        assert!(error_about(&golden(name)).is_some(), "{name}");
    }
    for (what, at, bytes) in [
        ("to broadcast", 16, [255; 4]),
        ("to a group", 16, [239, 1, 2, 3]),
        ("from nobody", 12, [0; 4]),
        ("from loopback", 12, [127, 0, 0, 1]),
        ("from a group", 12, [224, 0, 0, 9]),
        ("from broadcast", 12, [255; 4]),
    ] {
        let mut packet = golden("v4-udp");
        packet[at..at + 4].copy_from_slice(&bytes);
        assert_eq!(error_about(&packet), None, "{what}");
    }
    let redirect = v4(1, &[5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(error_about(&redirect), None);
    let mut redirect6 = v6(58, &[137, 0, 0, 0, 0, 0, 0, 0]);
    redirect6[7] = 255;
    assert_eq!(error_about(&redirect6), None);
    let mut first_of_icmp = golden("v4-fragment-1");
    first_of_icmp[9] = 1;
    assert_eq!(error_about(&first_of_icmp), None);
}

#[test]
fn an_error_is_of_the_family_of_its_cause() {
    let packet = golden("v6-udp");
    let parsed = parse(&packet).unwrap();
    let kind = IcmpErrorKind::port_unreachable(Af::V6);
    assert_eq!(icmp_error(router(Af::V4), kind, &packet, &parsed), None);
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(
        is_v6 in any::<bool>(),
        (sport, dport) in (any::<u16>(), 1..=u16::MAX),
        (seq, ack, window, ttl) in any::<(u32, u32, u16, u8)>(),
        flags in prop::sample::select(vec![0x10_u8, 0x14, 0x12, 0x02, 0x04, 0xd0]),
        host in any::<u8>(),
    ) {
        let (src, dst) = if is_v6 {
            (Addr::from_octets([0x20; 16]), Addr::from_octets([host | 0x20; 16]))
        } else {
            (Addr::from_v4_octets([10, 0, 0, host]), Addr::from_v4_octets([10, host, 0, 1]))
        };
        let flags = TcpFlags::from_raw(flags);
        let reply = TcpReply { src, dst, sport, dport, seq, ack, flags, window, ttl };
        let packet = tcp(&reply);
        let parsed = parse(&packet).unwrap();
        prop_assert_eq!(parsed.total_len as usize, packet.len());
        let tcp = parsed.tcp().unwrap();
        let back = TcpReply {
            src: parsed.src,
            dst: parsed.dst,
            sport: tcp.sport,
            dport: tcp.dport,
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags,
            window: tcp.window,
            ttl: parsed.ttl,
        };
        prop_assert_eq!(back, reply);
        prop_assert!(checksum::verify(&packet, &parsed));
        checksums_hold(&packet);
    }

    #[test]
    fn answers_to_hostile_bytes_are_sound_packets(bytes in hostile_bytes()) {
        let Ok(parsed) = parse(&bytes) else { return Ok(()) };
        let answers = [
            tcp_reset_for(&bytes, &parsed, TRUSTED),
            icmp_error(
                router(parsed.af),
                IcmpErrorKind::packet_too_big(parsed.af, 1280),
                &bytes,
                &parsed,
            ),
        ];
        for answer in answers.into_iter().flatten() {
            let answered = parse(&answer).unwrap();
            prop_assert!(checksum::verify(&answer, &answered));
            prop_assert_eq!(answered.dst, parsed.src);
            prop_assert!(answered.total_len <= 1280);
            // An answer is never answered.
            prop_assert_eq!(tcp_reset_for(&answer, &answered, TRUSTED), None);
        }
    }
}

#[test]
fn a_buffer_shorter_than_its_packet_is_not_answered() {
    for (name, packet) in goldens() {
        let parsed = parse(&packet).unwrap();
        let kind = IcmpErrorKind::port_unreachable(parsed.af);
        let cut = &packet[..packet.len() - 1];
        assert_eq!(icmp_error(router(parsed.af), kind, cut, &parsed), None, "{name}");
        assert_eq!(tcp_reset_for(cut, &parsed, UNKNOWN), None, "{name}");
    }
}
