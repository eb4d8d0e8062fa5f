use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use evergate_state::{
    Ends, Exported, Side, StateOptions, TcpPeer, TcpState, Timeout, TimeoutSet, Tracking, Traffic,
    WindowScale,
};
use evergate_wire::{Addr, Af, protocol};
use proptest::prelude::*;

use super::*;
use crate::record::{EntryKey, EntryKind, Name, NameKind};

const KEY: StateKey = StateKey {
    addr: [Addr::from_v4_octets([10, 0, 0, 1]), Addr::from_v4_octets([192, 0, 2, 7])],
    port: [0x1234, 443],
    proto: protocol::TCP,
    af: Af::V4,
};
const ID: StateId = StateId { id: 0x0102_0304_0506_0708, creator: 0x0a0b_0c0d };

fn ends() -> Ends {
    let client = TcpPeer {
        seqlo: 0x1111_1111,
        seqhi: 0x1111_2222,
        max_win: 0x3333,
        wscale: WindowScale::shift_by(7),
        state: TcpState::Established,
    };
    let wscale = WindowScale::UNKNOWN;
    let server = TcpPeer { seqlo: 0x4444_4444, wscale, state: TcpState::Closing, ..client };
    Ends::Tcp([client, server])
}

fn told() -> Told {
    let state = Exported {
        key: KEY,
        id: ID,
        initiator: Side::Hi,
        ends: ends(),
        packets: [3, 200],
        bytes: [180, 100_000],
        age: Duration::from_millis(5000),
        idle: Duration::from_millis(7),
        timeout: Timeout::TcpClosing,
        options: StateOptions {
            tracking: Tracking::Loose,
            timeouts: TimeoutSet(6),
            label: 3,
            tag: 4,
            policy: 1,
            rule: 2,
            in_if: 5,
            out_if: 0,
            log: true,
            allow_options: false,
        },
    };
    let claim = Claim { epoch: 9, owner: 0x0a0b_0c0d };
    let record = Record { state, claim, revision: 1, extra: None };
    Told { record, is_insert: true, wants_ack: true, bulk: false }
}

fn bytes_of(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out);
    out
}

fn read_one(bytes: &[u8]) -> Result<Option<Message>, Malformed> {
    Message::read(&mut Reader::new(bytes))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// What 14 bytes of every message about `KEY` are, after the flags.
const KEY_HEX: &str = "06 0a000001 c0000207 1234 01bb";
const ID_HEX: &str = "0102030405060708 0a0b0c0d";

/// Written by hand from PROTOCOL.md; frozen with version 1.
fn goldens() -> Vec<(Message, String)> {
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let progress =
        Progress { key: KEY, tag: 0xdead_beef, idle: Duration::from_millis(0x0102), ends: ends() };
    let delete = Delete {
        key: KEY,
        id: ID,
        epoch: 9,
        is_final: true,
        ago: Duration::from_millis(1),
        idle: Duration::from_millis(300),
    };
    let hello = Hello {
        version_min: 1,
        version_max: 2,
        node: 3,
        instance: 4,
        features: 5,
        clock: 6,
        floor: Claim { epoch: 7, owner: 8 },
        kept_for: 9,
        lanes: 10,
    };
    let entry = Entry {
        key: EntryKey {
            kind: EntryKind::Meter,
            name: name("bad"),
            addr: KEY.addr[0],
            prefix_len: 128,
        },
        removed: false,
        ttl: Some(Duration::from_millis(1000)),
        value: 5,
    };
    let peers = "11111111 11112222 3333 07 44444444 11112222 3333 fd";
    vec![
        (
            Message::Told(Box::new(told())),
            format!(
                "0d 0056 36 {KEY_HEX} {ID_HEX} 00000009 0a0b0c0d 0001 01 03
                 0001 0002 0003 0004 0005 0000 0006 74 {peers} 8827 07 03 c801 b401 a08d06"
            ),
        ),
        (Message::Progress(progress), format!("04 002b 02 {KEY_HEX} deadbeef 0102 74 {peers}")),
        (Message::Delete(delete), format!("07 0021 04 {KEY_HEX} {ID_HEX} 00000009 01 ac02")),
        (Message::InsertAck { key: KEY, id: ID }, format!("02 001a 00 {KEY_HEX} {ID_HEX}")),
        (Message::Request { key: KEY }, format!("05 000e 00 {KEY_HEX}")),
        (Message::Gone { key: KEY }, format!("44 000e 00 {KEY_HEX}")),
        (Message::Clear(Clear { creator: 1, upto: 2 }), "00 000c 00000001 0000000000000002".into()),
        (Message::Owner(Claim { epoch: 1, owner: 2 }), "45 0008 00000001 00000002".into()),
        (
            Message::Hello(hello),
            "40 0029 0001 0002 00000003 00000004 0000000000000005 0000000000000006
             00000007 00000008 00000009 0a"
                .into(),
        ),
        (
            Message::Welcome(Welcome { version: 1, session: 2, features: 3 }),
            "41 000e 0001 00000002 0000000000000003".into(),
        ),
        (
            Message::Bulk(Bulk::Request { request: 1, mode: BulkMode::Delta }),
            "0a 0006 00 00000001 02".into(),
        ),
        (
            Message::Bulk(Bulk::Start { request: 1, total: 2 }),
            "0a 000d 01 00000001 0000000000000002".into(),
        ),
        (
            Message::Bulk(Bulk::End { request: 1, count: 2, marks: vec![3] }),
            "0a 0016 02 00000001 0000000000000002 01 0000000000000003".into(),
        ),
        (Message::Bulk(Bulk::Lost), "0a 0005 03 00000000".into()),
        (
            Message::Ack(Ack { lane: 255, from: 1, upto: 4, missing: vec![1, 2] }),
            "42 0014 ff 0000000000000001 0000000000000004 02 0102".into(),
        ),
        (
            Message::Define(Define { kind: NameKind::Label, number: 7, name: name("web") }),
            "43 0007 01 0007 03 776562".into(),
        ),
        (
            Message::Entry(entry),
            "46 001a 02 01 00000000000000000000ffff0a000001 80 03 626164 e807 05".into(),
        ),
        (Message::Digest(Digest::Done { round: 3 }), "47 0005 02 00000003".into()),
        (
            Message::Digest(Digest::Exchange { round: 3, leaves: vec![1, 0x3fff] }),
            "47 000b 03 00000003 0002 0001 3fff".into(),
        ),
    ]
}

#[test]
fn messages_are_written_and_read_as_documented() {
    for (message, bytes) in goldens() {
        let bytes = hex(&bytes);
        assert_eq!(bytes_of(&message), bytes, "{message:?}");
        assert_eq!(read_one(&bytes), Ok(Some(message)));
    }
}

#[test]
fn packets_begin_as_documented() {
    let header = Header { len: 0, version: 1, lane: 3, session: 5, seq: 6 };
    let packet = write_packet(header, &[Message::Gone { key: KEY }]);
    let start = hex("0023 0001 03 00 00000005 0000000000000006 44");
    assert_eq!(packet[..start.len()], start);
    assert_eq!(packet_len(&packet), Ok(Some(packet.len())));
    let (read, messages) = read_packet(&packet).unwrap();
    assert_eq!((read, messages.len()), (Header { len: 35, ..header }, 1));
    assert_eq!(Header::read(&packet[..34]).unwrap_err(), Malformed::Length);
    assert_eq!(packet_len(&[0]), Ok(None));
    assert_eq!(packet_len(&[0, 17]), Err(Malformed::Length));
    assert_eq!(packet_len(&[0xff, 0xff]), Err(Malformed::Length));
}

/// The goal is 48 bytes; IPv6 addresses alone are 32.
#[test]
fn compressed_updates_are_small() {
    let size = |key: StateKey, ends| {
        let idle = Duration::from_secs(59);
        bytes_of(&Message::Progress(Progress { key, tag: !0, idle, ends })).len()
    };
    let datagram = Ends::Datagram([Traffic::Multiple; 2]);
    let udp = StateKey { proto: protocol::UDP, ..KEY };
    let v6 = Addr::from(Ipv6Addr::LOCALHOST);
    let (v6, v6_udp) = (
        StateKey { addr: [v6; 2], af: Af::V6, ..KEY },
        StateKey { addr: [v6; 2], af: Af::V6, ..udp },
    );
    assert_eq!((size(KEY, ends()), size(udp, datagram)), (46, 24));
    assert_eq!((size(v6, ends()), size(v6_udp, datagram)), (70, 48));
}

#[test]
fn unknown_messages_are_stepped_over_unless_they_must_be_understood() {
    let mut bytes = hex("7f 0003 010203");
    Message::Gone { key: KEY }.write(&mut bytes);
    let mut reader = Reader::new(&bytes);
    assert_eq!(Message::read(&mut reader), Ok(None));
    assert_eq!(Message::read(&mut reader), Ok(Some(Message::Gone { key: KEY })));
    assert!(reader.is_empty());
    assert_eq!(read_one(&hex("80 0000")), Err(Malformed::Critical));
}

#[test]
fn unknown_fields_are_stepped_over_everywhere_and_kept_with_states() {
    let field = hex("21 02 cafe");
    for (message, bytes) in goldens() {
        let mut bytes = hex(&bytes);
        bytes.extend(&field);
        let len = (bytes.len() - MESSAGE_HEADER_LEN) as u16;
        bytes[1..3].copy_from_slice(&len.to_be_bytes());
        let read = read_one(&bytes).unwrap().unwrap();
        if let Message::Told(told) = &read {
            assert_eq!(told.record.extra.as_ref().unwrap().as_bytes(), field);
            assert_eq!(bytes_of(&read), bytes, "handed on as they came");
        } else {
            assert_eq!(read, message);
        }
    }
}

#[test]
fn kept_fields_are_bounded_and_whole() {
    let mut bytes = bytes_of(&Message::Told(Box::new(told())));
    for number in 0..100 {
        bytes.extend([number, 10]);
        bytes.extend([0; 10]);
    }
    let len = (bytes.len() - MESSAGE_HEADER_LEN) as u16;
    bytes[1..3].copy_from_slice(&len.to_be_bytes());
    let Ok(Some(Message::Told(read))) = read_one(&bytes) else { panic!() };
    assert_eq!(read.record.extra.unwrap().as_bytes().len(), 120);
    bytes.pop();
    bytes[1..3].copy_from_slice(&(len - 1).to_be_bytes());
    assert_eq!(read_one(&bytes), Err(Malformed::Short));
}

#[test]
fn every_cut_of_every_message_is_refused() {
    for (message, bytes) in goldens() {
        let bytes = hex(&bytes);
        for len in 0..bytes.len() {
            assert_eq!(read_one(&bytes[..len]), Err(Malformed::Short), "{message:?}");
            // The same with a length that fits: a body that is too short.
            if let Some(body) = len.checked_sub(MESSAGE_HEADER_LEN) {
                let mut cut = bytes[..len].to_vec();
                cut[1..3].copy_from_slice(&(body as u16).to_be_bytes());
                assert_eq!(read_one(&cut), Err(Malformed::Short), "{message:?} {len}");
            }
        }
    }
}

#[test]
fn undefined_values_are_refused() {
    let at = |message: &Message, index: usize, byte: u8| {
        let mut bytes = bytes_of(message);
        bytes[index] = byte;
        read_one(&bytes)
    };
    let insert = Message::Told(Box::new(told()));
    let body = MESSAGE_HEADER_LEN;
    for (case, index, byte, error) in [
        ("protocol and ends", 1, 17, Malformed::Facts),
        ("ends out of order", 2, 0xff, Malformed::Facts),
        ("an id out of bounds", 14, 0x40, Malformed::Value),
        ("an epoch out of bounds", 26, 0x80, Malformed::Value),
        ("tracking", 36, 3, Malformed::Value),
        ("a timeout that does not exist", 37, 200, Malformed::Value),
        ("a timeout of another protocol", 37, 7, Malformed::Facts),
        ("states of TCP", 52, 0x11, Malformed::Value),
        ("a window scale", 63, 15, Malformed::Value),
    ] {
        assert_eq!(at(&insert, body + index, byte), Err(error), "{case}");
    }
    let v4_in_v6 = StateKey { af: Af::V6, ..KEY };
    assert_eq!(read_one(&bytes_of(&Message::Gone { key: v4_in_v6 })), Err(Malformed::Facts));
}

fn any_addr(af: Af) -> BoxedStrategy<Addr> {
    match af {
        Af::V4 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()).boxed(),
        Af::V6 => {
            any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits | 1 << 127).into()).boxed()
        }
    }
}

fn any_key(proto: u8) -> impl Strategy<Value = StateKey> {
    prop_oneof![Just(Af::V4), Just(Af::V6)]
        .prop_flat_map(move |af| (any_addr(af), any_addr(af), any::<[u16; 2]>(), Just(af)))
        .prop_map(move |(a, b, port, af)| {
            let mut ends = [(a, port[0]), (b, port[1])];
            ends.sort_unstable();
            let [lo, hi] = ends;
            StateKey { addr: [lo.0, hi.0], port: [lo.1, hi.1], proto, af }
        })
}

fn any_peer() -> impl Strategy<Value = TcpPeer> {
    let wscale = prop_oneof![
        Just(WindowScale::AWAITED),
        Just(WindowScale::ABSENT),
        Just(WindowScale::UNKNOWN),
        (0_u8..=14).prop_map(WindowScale::shift_by),
    ];
    (prop::sample::select(&TcpState::ALL[..]), any::<[u32; 2]>(), any::<u16>(), wscale).prop_map(
        |(state, [seqlo, seqhi], max_win, wscale)| TcpPeer { seqlo, seqhi, max_win, wscale, state },
    )
}

fn any_ends() -> impl Strategy<Value = (Ends, u8, Timeout)> {
    let traffic = prop::sample::select(&[Traffic::None, Traffic::Single, Traffic::Multiple][..]);
    prop_oneof![
        [any_peer(), any_peer()].prop_map(|e| (Ends::Tcp(e), protocol::TCP, Timeout::TcpFinwait)),
        [traffic.clone(), traffic].prop_map(|e| (
            Ends::Datagram(e),
            protocol::UDP,
            Timeout::UdpMultiple
        )),
    ]
}

fn any_told() -> impl Strategy<Value = Told> {
    let counts = (any::<[u64; 2]>(), any::<[u64; 2]>(), any::<u32>(), any::<u32>());
    let bits = any::<[bool; 5]>();
    (any_ends(), (0..crate::ID_MAX, any::<u32>()), counts, bits, any::<[u16; 8]>())
        .prop_flat_map(|(ends, id, counts, bits, numbers)| {
            (any_key(ends.1), Just((ends, id, counts, bits, numbers)))
        })
        .prop_map(|(key, ((ends, _, timeout), (id, creator), counts, bits, numbers))| {
            let (packets, bytes, age, idle) = counts;
            let [policy, rule, label, tag, in_if, out_if, set, revision] = numbers;
            let options = StateOptions {
                tracking: Tracking::Sloppy,
                timeouts: TimeoutSet(set),
                label,
                tag,
                policy,
                rule,
                in_if,
                out_if,
                log: bits[0],
                allow_options: bits[1],
            };
            let state = Exported {
                key,
                id: StateId { id, creator },
                initiator: if bits[2] { Side::Hi } else { Side::Lo },
                ends,
                packets,
                bytes,
                age: Duration::from_millis(age.into()),
                idle: Duration::from_millis(idle.into()),
                timeout,
                options,
            };
            let claim = Claim { epoch: age >> 1, owner: idle };
            let record = Record { state, claim, revision, extra: None };
            Told { record, is_insert: bits[3], wants_ack: bits[4], bulk: bits[0] }
        })
}

proptest! {
    #[test]
    fn records_survive_the_wire(told in any_told()) {
        let message = Message::Told(Box::new(told));
        let bytes = bytes_of(&message);
        prop_assert!(bytes.len() <= 192);
        prop_assert_eq!(read_one(&bytes), Ok(Some(message)));
    }

    #[test]
    fn news_of_ends_survive_the_wire(
        (key, ends) in any_ends().prop_flat_map(|e| (any_key(e.1), Just(e.0))),
        tag: u32, idle: u16,
    ) {
        let idle = Duration::from_millis(idle.into());
        let message = Message::Progress(Progress { key, tag, idle, ends });
        prop_assert_eq!(read_one(&bytes_of(&message)), Ok(Some(message)));
    }

    /// Whatever is read can be written and is read the same again.
    #[test]
    fn any_bytes_are_survived(kind: u8, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        if let Ok(Some(message)) = read_one(&bytes) {
            prop_assert_eq!(read_one(&bytes_of(&message)), Ok(Some(message)));
        }
        let _ = read_packet(&bytes);
    }

    #[test]
    fn a_bent_record_is_survived(told in any_told(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = bytes_of(&Message::Told(Box::new(told)));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(Some(message)) = read_one(&bytes) {
            prop_assert_eq!(read_one(&bytes_of(&message)), Ok(Some(message)));
        }
    }
}
