//! The packet that an ICMP error quotes.

use crate::packet::protocol;
use crate::parse::{is_error, query_of, read_u16, read_u32, walk_quoted};
use crate::{Addr, Af, DropReason};

/// Bytes of the upper layer that every ICMP error quotes (RFC 792).
const UPPER_LAYER: usize = 8;

/// Facts about a quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The family of the quoted packet.
    pub af: Af,
    /// Its upper-layer protocol.
    pub proto: u8,
    /// Its source address.
    pub src: Addr,
    /// Its destination address.
    pub dst: Addr,
    /// Where its upper-layer header begins, in bytes from the start of the quote.
    pub l4_offset: u16,
    /// What is known of its upper layer.
    pub l4: QuotedL4,
}

/// The upper layer of a quoted packet: what its first 8 bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedL4 {
    /// TCP.
    Tcp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
        /// Sequence number.
        seq: u32,
    },
    /// UDP.
    Udp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// An ICMP query or reply of the quoted packet's family.
    Icmp {
        /// The identifier.
        id: u16,
        /// The type that the request of this kind has.
        request_type: u8,
        /// Whether the quoted packet was the request.
        is_request: bool,
    },
    /// Anything else.
    Other,
}

/// Parses the packet quoted in an ICMP error of family `icmp_af`. It may be cut
/// off anywhere after 8 bytes of its upper layer; its own length is ignored.
///
/// # Errors
///
/// As [`parse`](crate::parse) for the IP headers; `short` if fewer than 8 bytes
/// of a TCP, UDP or ICMP header are there; `fragment` for a later fragment;
/// `normalize` for a quoted ICMP error, to which no error may be sent, and for
/// ICMP of the other family.
pub fn parse_quoted(icmp_af: Af, bytes: &[u8]) -> Result<Quoted, DropReason> {
    let network = walk_quoted(icmp_af, bytes)?;
    if network.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Err(DropReason::Fragment);
    }
    let upper = bytes.get(network.offset..).ok_or(DropReason::Short)?;
    Ok(Quoted {
        af: icmp_af,
        proto: network.proto,
        src: network.src,
        dst: network.dst,
        l4_offset: u16::try_from(network.offset).map_err(|_| DropReason::IpOption)?,
        l4: upper_layer(icmp_af, network.proto, upper)?,
    })
}

fn upper_layer(af: Af, proto: u8, upper: &[u8]) -> Result<QuotedL4, DropReason> {
    if !matches!(proto, protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6) {
        return Ok(QuotedL4::Other);
    }
    let header = upper.first_chunk::<UPPER_LAYER>().ok_or(DropReason::Short)?;
    let (sport, dport) = (read_u16(header, 0), read_u16(header, 2));
    match (proto, af) {
        (protocol::TCP, _) => Ok(QuotedL4::Tcp { sport, dport, seq: read_u32(header, 4) }),
        (protocol::UDP, _) => Ok(QuotedL4::Udp { sport, dport }),
        (protocol::ICMP, Af::V4) | (protocol::ICMPV6, Af::V6) => icmp(af, header),
        _ => Err(DropReason::Normalize),
    }
}

fn icmp(af: Af, header: &[u8; UPPER_LAYER]) -> Result<QuotedL4, DropReason> {
    let type_ = header[0];
    if is_error(af, type_) {
        return Err(DropReason::Normalize);
    }
    Ok(query_of(af, type_).map_or(QuotedL4::Other, |(request_type, is_request)| QuotedL4::Icmp {
        id: read_u16(header, 4),
        request_type,
        is_request,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{golden, hostile_bytes, tcp, udp, v4, v6};
    use crate::{IcmpKind, L4, parse};

    /// The quote in a captured ICMP error.
    fn quote_of(name: &str) -> (Af, Vec<u8>) {
        let error = golden(name);
        let parsed = parse(&error).unwrap();
        let L4::Icmp(icmp) = parsed.l4 else { panic!("{name}") };
        let IcmpKind::Error { quoted_offset } = icmp.kind else { panic!("{name}") };
        (parsed.af, error[usize::from(quoted_offset)..].to_vec())
    }

    #[test]
    fn captured_errors_quote_the_captured_packets() {
        for (error, cause, l4_offset) in [
            ("v4-unreachable", "v4-udp", 20),
            ("v6-unreachable", "v6-udp", 40),
            ("v4-unreachable-record-route", "v4-record-route", 28),
            ("v6-unreachable-destination-options", "v6-destination-options", 48),
        ] {
            let (af, quote) = quote_of(error);
            let quoted = parse_quoted(af, &quote).unwrap();
            let parsed = parse(&golden(cause)).unwrap();
            let L4::Udp(udp) = parsed.l4 else { panic!("{cause}") };
            assert_eq!((quoted.src, quoted.dst), (parsed.src, parsed.dst), "{error}");
            assert_eq!(quoted.l4, QuotedL4::Udp { sport: udp.sport, dport: udp.dport });
            assert_eq!((quoted.l4_offset, quoted.proto), (l4_offset, 17), "{error}");
        }
    }

    #[test]
    fn eight_bytes_of_the_upper_layer_are_enough_and_needed() {
        let data = [0; 1000];
        for (af, packet) in
            [(Af::V4, v4(6, &tcp(0x10, &[], &data))), (Af::V6, v6(6, &tcp(0x10, &[], &data)))]
        {
            let header = if af == Af::V4 { 20 } else { 40 };
            let quoted = parse_quoted(af, &packet[..header + 8]).unwrap();
            let expected = QuotedL4::Tcp { sport: 40_000, dport: 80, seq: 0x1000 };
            assert_eq!(quoted.l4, expected);
            for len in 0..header + 8 {
                assert_eq!(parse_quoted(af, &packet[..len]), Err(DropReason::Short), "{len}");
            }
        }
        // Nothing is wanted of what has no ports.
        assert_eq!(parse_quoted(Af::V4, &v4(47, &[])).unwrap().l4, QuotedL4::Other);
    }

    #[test]
    fn queries_are_quoted_with_their_direction_and_errors_never() {
        let quoted = |type_| parse_quoted(Af::V4, &v4(1, &[type_, 0, 0, 0, 0, 9, 0, 1]));
        for (type_, request_type, is_request) in [(8, 8, true), (0, 8, false), (14, 13, false)] {
            let expected = QuotedL4::Icmp { id: 9, request_type, is_request };
            assert_eq!(quoted(type_).unwrap().l4, expected);
        }
        assert_eq!(quoted(9).unwrap().l4, QuotedL4::Other);
        for type_ in [3, 4, 5, 11, 12] {
            assert_eq!(quoted(type_), Err(DropReason::Normalize), "{type_}");
        }
        let error6 = v6(58, &[1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse_quoted(Af::V6, &error6), Err(DropReason::Normalize));
    }

    #[test]
    fn a_quote_is_of_the_family_of_its_error() {
        assert_eq!(parse_quoted(Af::V6, &v4(17, &udp(&[0; 40]))), Err(DropReason::Short));
        assert_eq!(parse_quoted(Af::V4, &v6(17, &udp(b""))), Err(DropReason::Short));
        let echo = [8, 0, 0, 0, 0, 1, 0, 1];
        assert_eq!(parse_quoted(Af::V4, &v4(58, &echo)), Err(DropReason::Normalize));
    }

    #[test]
    fn only_first_fragments_can_be_matched() {
        for (af, name, more) in [
            (Af::V4, "v4-fragment", 20),
            (Af::V6, "v6-fragment", 48),
            (Af::V6, "v6-options-fragment", 64),
        ] {
            let first = golden(&format!("{name}-1"));
            let quoted = parse_quoted(af, &first[..more + 8]).unwrap();
            assert!(matches!(quoted.l4, QuotedL4::Udp { .. }), "{name}");
            assert_eq!(usize::from(quoted.l4_offset), more, "{name}");
            let later = golden(&format!("{name}-2"));
            assert_eq!(parse_quoted(af, &later), Err(DropReason::Fragment), "{name}");
        }
        // Destination options behind the fragment header hide nothing.
        let options = [17, 0, 1, 4, 0, 0, 0, 0];
        let first = v6(44, &[&[60, 0, 0, 1, 0, 0, 0, 1], &options[..], &udp(b"data")].concat());
        assert_eq!(
            parse_quoted(Af::V6, &first).unwrap().l4,
            QuotedL4::Udp { sport: 40_000, dport: 53 }
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_offsets_stay_inside(bytes in hostile_bytes(), v4 in any::<bool>()) {
            let af = if v4 { Af::V4 } else { Af::V6 };
            if let Ok(quoted) = parse_quoted(af, &bytes) {
                prop_assert!(usize::from(quoted.l4_offset) <= bytes.len());
            }
        }

        #[test]
        fn whatever_parses_is_the_same_when_quoted(bytes in hostile_bytes()) {
            let Ok(parsed) = parse(&bytes) else { return Ok(()) };
            let Ok(quoted) = parse_quoted(parsed.af, &bytes) else { return Ok(()) };
            prop_assert_eq!((quoted.src, quoted.dst), (parsed.src, parsed.dst));
            match (quoted.l4, parsed.l4) {
                (QuotedL4::Tcp { sport, dport, seq }, L4::Tcp(tcp)) => {
                    prop_assert_eq!((sport, dport, seq), (tcp.sport, tcp.dport, tcp.seq));
                }
                (QuotedL4::Udp { sport, dport }, L4::Udp(udp)) => {
                    prop_assert_eq!((sport, dport), (udp.sport, udp.dport));
                }
                (QuotedL4::Icmp { id, request_type, is_request }, L4::Icmp(icmp)) => {
                    let kind = IcmpKind::Query { id, request_type, is_request };
                    prop_assert_eq!(icmp.kind, kind);
                }
                (QuotedL4::Other, L4::Other | L4::Icmp(_)) | (_, L4::Fragment) => {}
                (quoted, parsed) => prop_assert!(false, "{:?} {:?}", quoted, parsed),
            }
        }
    }
}
