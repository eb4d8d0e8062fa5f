//! Any sequence of packets and fragments into one small reassembler.
//!
//! The input is a list of steps. A step begins with a byte whose two low bits say
//! what follows: a packet as it is (length in two bytes), or a fragment of IPv4 or
//! IPv6 (identification, offset in words of 8 bytes, length in the same, flags),
//! or time passing (seconds). Whatever is left over ends the run.
#![no_main]

use std::time::Duration;

use evergate_wire::fragment::{FragmentLimits, Reassembler, Reassembly, refragment_v6};
use evergate_wire::{Af, Timestamp, checksum, parse};
use libfuzzer_sys::fuzz_target;

const LIMITS: FragmentLimits = FragmentLimits {
    datagrams: 8,
    bytes: 16 << 10,
    per_datagram_fragments: 16,
    timeout: Duration::from_secs(60),
};

fuzz_target!(|input: &[u8]| {
    let mut reassembler = Reassembler::new(LIMITS);
    let mut now = Timestamp::ZERO;
    let mut rest = input;
    while let Some(step) = next_step(&mut rest) {
        match step {
            Step::Packet(packet) => push(&mut reassembler, now, &packet),
            Step::Wait(seconds) => {
                now = now.saturating_add(Duration::from_secs(seconds));
                reassembler.expire(now);
            }
        }
        assert!(reassembler.len() <= LIMITS.datagrams);
        assert!(reassembler.bytes() <= LIMITS.bytes);
    }
    reassembler.expire(now.saturating_add(LIMITS.timeout));
    assert_eq!((reassembler.len(), reassembler.bytes()), (0, 0));
});

fn push(reassembler: &mut Reassembler, now: Timestamp, packet: &[u8]) {
    let Ok(parsed) = parse(packet) else { return };
    let Reassembly::Complete(datagram) = reassembler.push(now, packet, &parsed) else { return };
    let whole = &datagram.packet;
    let header_len = usize::from(whole[0] & 0x0f) * 4;
    assert!(parsed.af == Af::V6 || checksum::verify_header(&whole[..header_len]));
    let Ok(parsed) = parse(whole) else { return };
    assert_eq!((parsed.fragment, parsed.total_len as usize), (None, whole.len()));
    let size = datagram.largest_fragment;
    if let Ok(fragments) = refragment_v6(whole, &parsed, datagram.id, size) {
        assert!(fragments.iter().all(|fragment| fragment.len() <= usize::from(size)));
    }
}

enum Step {
    Packet(Vec<u8>),
    Wait(u64),
}

fn next_step(rest: &mut &[u8]) -> Option<Step> {
    match take::<1>(rest)?[0] & 3 {
        0 => {
            let len = u16::from_be_bytes(take::<2>(rest)?);
            let (packet, after) = rest.split_at_checked(len.into())?;
            *rest = after;
            Some(Step::Packet(packet.to_vec()))
        }
        1 => take::<4>(rest).map(|fragment| Step::Packet(fragment_v4(fragment))),
        2 => take::<4>(rest).map(|fragment| Step::Packet(fragment_v6(fragment))),
        _ => take::<1>(rest).map(|[seconds]| Step::Wait(seconds.into())),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

/// The data of a fragment: its length in words, less up to seven bytes by flags.
fn data([id, _, len, flags]: [u8; 4]) -> Vec<u8> {
    vec![id ^ flags; (usize::from(len) * 8).saturating_sub(usize::from(flags >> 5))]
}

fn fragment_v4(fragment: [u8; 4]) -> Vec<u8> {
    let [id, offset, _, flags] = fragment;
    let data = data(fragment);
    let total_len = (20 + data.len() as u16).to_be_bytes();
    let field = [(flags & 3) << 5, offset];
    let mut packet = vec![0x45, 0, total_len[0], total_len[1], 0, id & 7, field[0], field[1]];
    packet.extend([64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(data);
    packet
}

fn fragment_v6(fragment: [u8; 4]) -> Vec<u8> {
    let [id, offset, _, flags] = fragment;
    let data = data(fragment);
    let payload_len = (8 + data.len() as u16).to_be_bytes();
    let field = (u16::from(offset) << 3 | u16::from(flags & 1)).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, payload_len[0], payload_len[1], 44, 64];
    packet.extend([[0x20; 16], [0x21; 16]].as_flattened());
    packet.extend([17, 0, field[0], field[1], 0, 0, 0, id & 7]);
    packet.extend(data);
    packet
}
