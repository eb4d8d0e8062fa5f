//! The codecs, the layout tables, the C header and the document say the same.

use std::path::Path;

use evergate_abi::{
    Action, BadEnded, BadVerdict, Direction, ENDED_FIELDS, ENDED_SIZE, EndCause, Ended, Field,
    IMPORTS, INSPECT_MAX, Keep, PAYLOAD_FIELDS, PAYLOAD_SIZE, PayloadBuffer, RECORD_FIELDS,
    RECORD_SIZE, REQUEST_FIELDS, REQUEST_SIZE, Request, TIMEOUT_MAX_S, TimeoutOverrides, Verdict,
    VerdictWord, write_c_header,
};
use proptest::prelude::*;

fn offset(fields: &[Field], name: &str) -> usize {
    fields.iter().find(|field| field.name == name).expect("the field exists").offset
}

#[test]
fn fields_cover_their_record_without_gap() {
    for (fields, size) in [
        (&REQUEST_FIELDS[..], REQUEST_SIZE),
        (&RECORD_FIELDS[..], RECORD_SIZE),
        (&PAYLOAD_FIELDS[..], PAYLOAD_SIZE),
        (&ENDED_FIELDS[..], ENDED_SIZE),
    ] {
        let mut at = 0;
        for field in fields {
            assert_eq!(field.offset, at, "{}", field.name);
            at += field.ty.size();
        }
        assert_eq!(at, size);
    }
}

#[test]
fn a_request_lies_in_memory_as_documented() {
    let mut src = [0; 16];
    src[15] = 0xaa;
    let mut dst = [0; 16];
    dst[0] = 0xbb;
    let request = Request {
        af: 6,
        proto: 17,
        direction: Direction::FromGateway,
        tcp_flags: 0x12,
        icmp_type: 8,
        icmp_code: 3,
        src,
        dst,
        sport: 0x0102,
        dport: 0x0304,
        in_if: 0x0506,
        out_if: 0x0708,
        length: 0x090a_0b0c,
        ttl: 64,
        tos: 0x10,
        flags: 5,
        tag: 0x0d0e,
    };
    #[rustfmt::skip]
    let expected: [u8; 64] = [
        64, 0, 6, 17, 2, 0x12, 8, 3,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa,
        0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        2, 1, 4, 3, 6, 5, 8, 7,
        0x0c, 0x0b, 0x0a, 0x09, 64, 0x10, 5, 0,
        0x0e, 0x0d, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(request.encode(), expected);
    assert_eq!(expected[offset(&REQUEST_FIELDS, "dport")], 4);
    assert_eq!(expected[offset(&REQUEST_FIELDS, "src") + 15], 0xaa);
    assert_eq!(Request::decode(&expected), Ok(request));
}

#[test]
fn a_verdict_word_has_its_documented_bits() {
    let word = VerdictWord { action: Action::Block, flags: 1, rule: 0x1234, record: 0x100 };
    assert_eq!(word.encode(), 0x0000_0100_1234_0102);
    assert_eq!(VerdictWord::decode(6), Err(BadVerdict::Action(6)));
    assert_eq!(VerdictWord::decode(0x0801), Err(BadVerdict::Flags(8)));
    assert_eq!(VerdictWord::decode(0x4_0000_0001), Err(BadVerdict::RecordAddress(4)));
}

#[test]
fn a_record_with_an_unknown_value_is_named() {
    let word = VerdictWord { action: Action::Pass, flags: 0, rule: 0, record: 8 };
    let good = Verdict::new(Action::Pass).encode_record();
    let with = |name: &str, value: u8| {
        let mut bytes = good;
        bytes[offset(&RECORD_FIELDS, name)] = value;
        Verdict::decode(word, &bytes)
    };
    assert!(Verdict::decode(word, &good).is_ok());
    assert_eq!(with("size", 63), Err(BadVerdict::RecordSize(63)));
    assert_eq!(with("keep", 4), Err(BadVerdict::Keep(4)));
    assert_eq!(with("fields", 2), Err(BadVerdict::Fields(2)));
    assert_eq!(with("icmp_code", 1), Err(BadVerdict::Reserved));
    assert_eq!(with("inspect", 1), Err(BadVerdict::Reserved), "only for inspect");
    assert_eq!(with("reserved", 1), Err(BadVerdict::Reserved));
    let mut bytes = good;
    bytes[offset(&RECORD_FIELDS, "inspect")..][..2].copy_from_slice(&16_385u16.to_le_bytes());
    let inspect = VerdictWord { action: Action::Inspect, ..word };
    assert_eq!(Verdict::decode(inspect, &bytes), Err(BadVerdict::Inspect(16_385)));
    let mut bytes = good;
    let at = offset(&RECORD_FIELDS, "closing_s");
    bytes[at..at + 4].copy_from_slice(&(TIMEOUT_MAX_S + 1).to_le_bytes());
    assert_eq!(Verdict::decode(word, &bytes), Err(BadVerdict::Timeout(TIMEOUT_MAX_S + 1)));
}

#[test]
fn an_ended_state_lies_in_memory_as_documented() {
    let ended = Ended {
        af: 4,
        proto: 6,
        cause: EndCause::Killed,
        src: [1; 16],
        dst: [2; 16],
        sport: 0x0102,
        dport: 0x0304,
        in_if: 0x0506,
        out_if: 0x0708,
        rule: 9,
        tag: 10,
        label: 11,
        duration_s: 12,
        packets: [13, 14],
        bytes: [15, 16],
    };
    let bytes = ended.encode();
    assert_eq!(bytes[..8], [96, 0, 4, 6, 1, 0, 0, 0]);
    assert_eq!(bytes[offset(&ENDED_FIELDS, "dport")..][..2], [4, 3]);
    assert_eq!(bytes[offset(&ENDED_FIELDS, "bytes_back")], 16);
    assert_eq!(Ended::decode(&bytes), Ok(ended));
    let with = |name: &str, value: u8| {
        let mut bytes = bytes;
        bytes[offset(&ENDED_FIELDS, name)] = value;
        Ended::decode(&bytes)
    };
    assert_eq!(with("size", 95), Err(BadEnded::Size(95)));
    assert_eq!(with("cause", 4), Err(BadEnded::Cause(4)));
}

#[test]
fn a_payload_buffer_is_an_address_and_a_capacity() {
    let bytes = [0, 16, 0, 0, 0, 8, 0, 0];
    assert_eq!(PayloadBuffer::decode(&bytes), PayloadBuffer { address: 4096, capacity: 2048 });
    assert_eq!(PayloadBuffer { address: 4096, capacity: 2048 }.encode(), bytes);
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    let timeout = 0..=TIMEOUT_MAX_S;
    (
        (0u8..6, any::<[bool; 3]>(), any::<u16>()),
        (0u8..4, any::<Option<u8>>(), any::<u16>(), any::<u16>(), 0..=INSPECT_MAX),
        [
            timeout.clone(),
            timeout.clone(),
            timeout.clone(),
            timeout.clone(),
            timeout.clone(),
            timeout,
        ],
    )
        .prop_map(
            |(
                (action, [log, allow_options, each], rule),
                (keep, icmp_code, tag, label, inspect),
                t,
            )| {
                Verdict {
                    action: Action::from_u8(action).expect("in range"),
                    log,
                    allow_options,
                    each,
                    rule,
                    keep: Keep::from_u8(keep).expect("in range"),
                    icmp_code,
                    tag,
                    label,
                    timeouts: TimeoutOverrides {
                        first_s: t[0],
                        opening_s: t[1],
                        established_s: t[2],
                        closing_s: t[3],
                        finwait_s: t[4],
                        closed_s: t[5],
                    },
                    inspect: if action == Action::Inspect as u8 { inspect } else { 0 },
                }
            },
        )
}

proptest! {
    #[test]
    fn verdicts_survive_the_trip(verdict in any_verdict(), address in 1u32..0x1000) {
        let word = VerdictWord::decode(verdict.encode_word(address * 8)).unwrap();
        prop_assert_eq!(word.record, address * 8);
        prop_assert_eq!(Verdict::decode(word, &verdict.encode_record()), Ok(verdict));
        if !verdict.needs_record() {
            prop_assert_eq!(Verdict::from_word(word), verdict);
        }
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(bytes in any::<[[u8; 32]; 2]>(), word in any::<i64>()) {
        let mut all = [0; 64];
        all[..32].copy_from_slice(&bytes[0]);
        all[32..].copy_from_slice(&bytes[1]);
        if let Ok(request) = Request::decode(&all) {
            prop_assert_eq!(request.encode(), all);
        }
        if let Ok(parts) = VerdictWord::decode(word) {
            prop_assert_eq!(parts.encode(), word);
            if let Ok(verdict) = Verdict::decode(parts, &all) {
                prop_assert_eq!(verdict.encode_record(), all);
            }
        }
    }

    #[test]
    fn nearly_right_records_encode_to_the_same_bytes(at in 0usize..64, value in any::<u8>()) {
        let mut record = Verdict::new(Action::Pass).encode_record();
        record[at] = value;
        let word = VerdictWord { action: Action::Pass, flags: 0, rule: 0, record: 8 };
        if let Ok(verdict) = Verdict::decode(word, &record) {
            prop_assert_eq!(verdict.encode_record(), record);
        }
        let mut request = Request::default().encode();
        request[at] = value;
        if let Ok(decoded) = Request::decode(&request) {
            prop_assert_eq!(decoded.encode(), request);
        }
    }
}

/// `EVERGATE_REGENERATE=1 cargo test -p evergate-abi` writes the header anew.
#[test]
fn the_c_header_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../evergate.h");
    let mut header = String::new();
    write_c_header(&mut header).unwrap();
    if std::env::var_os("EVERGATE_REGENERATE").is_some() {
        std::fs::write(&path, &header).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == header, "guest-sdk/evergate.h is stale: set EVERGATE_REGENERATE=1");
}

#[test]
fn the_document_lists_every_field_and_import() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ABI.md");
    let document = std::fs::read_to_string(path).unwrap_or_default();
    for field in
        REQUEST_FIELDS.iter().chain(&RECORD_FIELDS).chain(&PAYLOAD_FIELDS).chain(&ENDED_FIELDS)
    {
        let row = format!("| {} | {} | {} |", field.offset, field.ty.size(), field.name);
        assert!(document.contains(&row), "ABI.md lacks the row {row}");
    }
    for function in IMPORTS {
        assert!(document.contains(&format!("### `{}(", function.name)), "{}", function.name);
    }
}
