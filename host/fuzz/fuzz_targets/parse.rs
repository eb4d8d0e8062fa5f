//! Any bytes as a packet: parsed, scrubbed, answered; and as a quoted packet.
#![no_main]

use evergate_wire::build::{ChecksumStatus, IcmpErrorKind, icmp_error, tcp_reset_for};
use evergate_wire::{
    Addr, Af, IcmpKind, L4, Parsed, checksum, increment_ttl, parse, parse_quoted, scrub_tcp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for af in [Af::V4, Af::V6] {
        if let Ok(quoted) = parse_quoted(af, bytes) {
            assert!(usize::from(quoted.l4_offset) <= bytes.len());
        }
        increment_ttl(&mut bytes.to_vec(), af);
    }
    let Ok(parsed) = parse(bytes) else { return };
    assert!(parsed.total_len as usize <= bytes.len());
    assert!(u32::from(parsed.l4_offset) <= parsed.total_len);
    scrubbed(bytes, parsed);
    answered(bytes, &parsed);
    if let L4::Icmp(icmp) = parsed.l4
        && let IcmpKind::Error { quoted_offset } = icmp.kind
    {
        let quote = &bytes[usize::from(quoted_offset)..parsed.total_len as usize];
        let _ = parse_quoted(parsed.af, quote);
    }
});

/// Scrubbing leaves a packet that is read back as said, and its checksum as right
/// or wrong as it was.
fn scrubbed(bytes: &[u8], parsed: Parsed) {
    for partial_checksum in [false, true] {
        let (mut packet, mut after) = (bytes.to_vec(), parsed);
        scrub_tcp(&mut packet, &mut after, partial_checksum);
        assert_eq!(parse(&packet), Ok(after));
        if !partial_checksum {
            assert!(!checksum::verify(bytes, &parsed) || checksum::verify(&packet, &after));
        }
    }
}

/// Answers are sound packets to whoever sent the packet, and short.
fn answered(bytes: &[u8], parsed: &Parsed) {
    let from = match parsed.af {
        Af::V4 => Addr::from_v4_octets([203, 0, 113, 1]),
        Af::V6 => Addr::from_octets([0x20; 16]),
    };
    let too_big = IcmpErrorKind::packet_too_big(parsed.af, 1280);
    let answers = [
        tcp_reset_for(bytes, parsed, ChecksumStatus::Unknown),
        tcp_reset_for(bytes, parsed, ChecksumStatus::Trusted),
        icmp_error(from, too_big, bytes, parsed),
    ];
    for answer in answers.into_iter().flatten() {
        let answered = parse(&answer).expect("an answer is a packet");
        assert!(checksum::verify(&answer, &answered));
        assert_eq!(answered.dst, parsed.src);
        assert!(answer.len() <= 1280);
    }
}
