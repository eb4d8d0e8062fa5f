//! Verdicts that take payload: streams, datagrams, and who tries to get around it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
mod common;

use common::{Net, client, frame, server};
use etherparse::{IpFragOffset, PacketBuilder, PacketBuilderStep, TcpHeader};
use evergate_engine::{Outcome, Purge};
use evergate_wire::{DropReason, Timestamp, VNET_HDR_LEN, VnetHdr};
use std::time::Duration;

/// Wants four bytes, then decides by the first: `G` passes as rule 7, `R` resets, `L` loops, all
/// else is blocked.
const BY_FIRST_BYTE: &str = r#"(module (memory (export "memory") 1)
    (data (i32.const 64) "\00\02\00\00\00\01\00\00")
    (func (export "evergate_abi_v1") (result i32) (i32.const 0))
    (func (export "decide") (param i32) (result i64) (i64.const 5))
    (func (export "evergate_payload_v1") (result i32) (i32.const 64))
    (func (export "inspect") (param i32 i32) (result i64) (local $first i32)
      (if (i32.lt_u (local.get 1) (i32.const 4)) (then
        (if (i32.eqz (i32.and (i32.load8_u (i32.const 54)) (i32.const 8)))
          (then (return (i64.const 5))))
        (return (i64.const 2))))
      (local.set $first (i32.load8_u (i32.const 512)))
      (if (i32.eq (local.get $first) (i32.const 71)) (then (return (i64.const 0x70001))))
      (if (i32.eq (local.get $first) (i32.const 82)) (then (return (i64.const 3))))
      (if (i32.eq (local.get $first) (i32.const 76)) (then (loop (br 0))))
      (i64.const 2)))"#;

type Tcp = PacketBuilderStep<TcpHeader>;

const PORT: u16 = 40_000;

fn up(offset: u32, payload: &[u8]) -> Vec<u8> {
    up_with(offset, payload, |tcp| tcp)
}

/// A segment of the client's, `offset` bytes into its stream.
fn up_with(offset: u32, payload: &[u8], with: impl FnOnce(Tcp) -> Tcp) -> Vec<u8> {
    let (from, to) = (client(PORT), server(80));
    let step = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, 1_001 + offset, 4_096);
    frame(with(step.ack(9_001)), payload)
}

fn down(payload: &[u8]) -> Vec<u8> {
    let (from, to) = (server(80), client(PORT));
    let step = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, 9_001, 4_096).ack(1_001);
    frame(step, payload)
}

/// A net under [`BY_FIRST_BYTE`] with a connection whose handshake has passed.
fn connected() -> Net {
    let mut net = Net::with_text(BY_FIRST_BYTE);
    let (from, to) = (client(PORT), server(80));
    let syn = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, 1_000, 4_096).syn();
    assert_eq!(net.lan(&mut frame(syn, &[])), Outcome::Forward);
    let (from, to) = (to, from);
    let answer = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, 9_000, 60_000);
    assert_eq!(net.wan(&mut frame(answer.syn().ack(1_001), &[])), Outcome::Forward);
    assert_eq!(net.lan(&mut up(0, b"")), Outcome::Forward);
    net
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let (from, to) = (client(5_000), server(53));
    frame(PacketBuilder::ipv4(from.0, to.0, 63).udp(from.1, to.1), payload)
}

#[test]
fn a_stream_passes_once_its_beginning_is_seen() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up(0, b"GE")), Outcome::Forward, "undecided");
    assert_eq!(net.wan(&mut down(b"hello")), Outcome::Forward, "the other end may speak");
    assert_eq!(net.lan(&mut up(2, b"T /")), Outcome::Forward);
    let mut rules = Vec::new();
    net.gateway.table().page(Default::default(), usize::MAX, &mut |s| rules.push(s.options().rule));
    assert_eq!(rules, [7], "the state has the final verdict's rule");
    let decisions = net.totals().0.decisions;
    assert_eq!(net.lan(&mut up(5, b"more")), Outcome::Forward);
    let totals = net.totals().0;
    assert_eq!((totals.decisions, totals.inspections), (decisions, 1), "nobody is asked any more");
}

#[test]
fn the_segment_that_decides_to_block_does_not_pass_nor_does_anything_after_it() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up(0, b"B")), Outcome::Forward);
    assert_eq!(net.lan(&mut up(1, b"AD!")), Outcome::Drop);
    assert_eq!(net.gateway.table().len(), 0, "the state is gone");
    assert_eq!(net.lan(&mut up(1, b"AD!")), Outcome::Drop, "a retransmission");
    assert_eq!(net.wan(&mut down(b"x")), Outcome::Drop);
    assert_eq!(net.drops(DropReason::Match), 1);
}

#[test]
fn return_rst_resets_both_ends_with_numbers_that_they_believe() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up(0, b"RE")), Outcome::Forward);
    assert_eq!(net.lan(&mut up(2, b"SET")), Outcome::Emit);
    let resets: Vec<_> = net
        .lan
        .emitted()
        .iter()
        .map(|frame| {
            let (ip, rest) = etherparse::Ipv4Header::from_slice(&frame[VNET_HDR_LEN..]).unwrap();
            let (tcp, _) = TcpHeader::from_slice(rest).unwrap();
            assert!(tcp.rst && tcp.ack);
            assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, &[]).unwrap());
            (ip.destination, tcp.destination_port, tcp.sequence_number, tcp.acknowledgment_number)
        })
        .collect();
    let to_server = (server(80).0, 80, 1_003, 9_001);
    let to_client = (client(PORT).0, PORT, 9_001, 1_006);
    assert_eq!(resets, [to_server, to_client]);
}

#[test]
fn order_gaps_and_retransmissions_make_no_difference() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up(2, b"AD")), Outcome::Drop, "behind a gap");
    assert_eq!(net.lan(&mut up(0, b"BA")), Outcome::Forward);
    assert_eq!(net.lan(&mut up(0, b"BA")), Outcome::Forward, "once more");
    assert_eq!(net.lan(&mut up(0, b"GA")), Outcome::Drop, "once more, but not the same");
    assert_eq!(net.drops(DropReason::Normalize), 1);
    assert_eq!(net.lan(&mut up(1, b"ADC")), Outcome::Drop, "the verdict");
    assert_eq!(net.totals().0.inspections_withheld, 2);
}

#[test]
fn a_segment_that_the_other_end_would_not_take_is_not_looked_at() {
    let mut net = connected();
    let mut wrong = up(0, b"GET ");
    let last = wrong.len() - 1;
    wrong[last] ^= 0x20;
    assert_eq!(net.lan(&mut wrong), Outcome::Drop);
    assert_eq!(net.drops(DropReason::ProtoCksum), 1);
    assert_eq!(net.lan(&mut up(0, b"BAD ")), Outcome::Drop, "the true one");
    assert_eq!(net.drops(DropReason::Match), 1);
}

#[test]
fn a_super_packet_is_looked_into_whole() {
    let mut net = connected();
    let mut payload = vec![b'x'; 40_000];
    payload[0] = b'G';
    let mut whole = up(0, &payload);
    let vnet = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 40,
        gso_size: 1_448,
        csum_start: 20,
        csum_offset: 16,
    };
    vnet.write(&mut whole);
    assert_eq!(net.lan(&mut whole), Outcome::Forward);
    assert_eq!(net.lan(&mut up(40_000, b"more")), Outcome::Forward);
}

#[test]
fn a_stream_that_ends_early_is_decided_by_what_there_was() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up_with(0, b"GE", |tcp| tcp.fin())), Outcome::Drop);
    assert_eq!(net.gateway.table().len(), 0);
}

#[test]
fn a_policy_that_loops_over_payload_blocks_its_connection() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up(0, b"LOOP")), Outcome::Drop);
    assert_eq!(net.drops(DropReason::Policy), 1);
    assert_eq!(net.gateway.table().len(), 0);
}

#[test]
fn a_datagram_is_decided_at_once_whole_or_in_fragments() {
    let mut net = Net::with_text(BY_FIRST_BYTE);
    assert_eq!(net.lan(&mut udp(b"BAD!")), Outcome::Drop);
    assert_eq!(net.gateway.table().len(), 0);
    assert_eq!(net.lan(&mut udp(b"GOOD")), Outcome::Forward);
    assert_eq!(net.lan(&mut udp(b"BAD!")), Outcome::Forward, "of the same state");
    net.gateway.kill(&|_| true);

    let whole = udp(&[b'B'; 64]);
    let body = &whole[VNET_HDR_LEN + 20..];
    let (mut header, _) = etherparse::Ipv4Header::from_slice(&whole[VNET_HDR_LEN..]).unwrap();
    let mut outcomes = Vec::new();
    for (offset, part) in [(0usize, &body[..40]), (40, &body[40..])] {
        header.dont_fragment = false;
        header.more_fragments = offset == 0;
        header.fragment_offset = IpFragOffset::try_new((offset / 8) as u16).unwrap();
        header.total_len = 20 + part.len() as u16;
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = vec![0; VNET_HDR_LEN];
        header.write(&mut bytes).unwrap();
        bytes.extend_from_slice(part);
        outcomes.push(net.lan(&mut bytes));
    }
    assert_eq!(outcomes, [Outcome::Drop, Outcome::Drop]);
    assert_eq!(net.totals().0.inspections, 3, "put together, it was looked into");
    assert_eq!(net.gateway.table().len(), 0);
}

#[test]
fn what_is_killed_or_purged_is_not_under_inspection_any_more() {
    for purge in [false, true] {
        let mut net = connected();
        if purge {
            let later = Timestamp::from_nanos(net.now.as_nanos() + 100_000 * 1_000_000_000);
            Purge::default().step(&net.gateway, later, Duration::from_secs(100));
        } else {
            net.gateway.kill(&|_| true);
        }
        assert_eq!(net.gateway.inspections(), 0);
        assert_eq!(net.lan(&mut up(0, b"GET ")), Outcome::Drop, "it has no state");
    }
}

#[test]
fn more_than_the_bound_are_blocked_and_those_before_live_on() {
    let mut net = Net::with_limit(2, 10_000);
    net.swap_text(BY_FIRST_BYTE);
    let syn = |n: u16| {
        let (from, to) = (client(1_000 + n), server(80));
        frame(PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, 1_000, 4_096).syn(), &[])
    };
    for n in 0..4_096 {
        assert_eq!(net.lan(&mut syn(n)), Outcome::Forward, "{n}");
    }
    assert_eq!(net.lan(&mut syn(4_096)), Outcome::Drop);
    assert_eq!(net.totals().0.inspections_refused, 1);
    assert_eq!(net.drops(DropReason::Memory), 1);
    assert_eq!((net.gateway.table().len(), net.gateway.inspections()), (4_096, 4_096));
    net.gateway.kill(&|_| true);
    assert_eq!(net.lan(&mut syn(4_096)), Outcome::Forward);
}

#[test]
fn a_module_that_takes_over_goes_on_with_connections_under_inspection() {
    let mut net = connected();
    assert_eq!(net.lan(&mut up(0, b"GE")), Outcome::Forward);
    net.swap_text(&BY_FIRST_BYTE.replace("0x70001", "0x80001"));
    assert_eq!(net.lan(&mut up(2, b"T ")), Outcome::Forward);
    let mut rules = Vec::new();
    net.gateway.table().page(Default::default(), usize::MAX, &mut |s| rules.push(s.options().rule));
    assert_eq!(rules, [8]);
}

#[test]
fn each_datagram_of_a_state_is_decided_where_the_policy_wants_so() {
    let mut net = Net::with_text(&BY_FIRST_BYTE.replace("0x70001", "0x70401"));
    let (from, to) = (server(53), client(5_000));
    let answer = PacketBuilder::ipv4(from.0, to.0, 63).udp(from.1, to.1);
    assert_eq!(net.lan(&mut udp(b"GOOD")), Outcome::Forward);
    assert_eq!(net.wan(&mut frame(answer, b"BAD!")), Outcome::Forward, "answers pass");
    assert_eq!(net.lan(&mut udp(b"BAD!")), Outcome::Drop);
    assert_eq!(net.lan(&mut udp(b"GOOD")), Outcome::Forward);
    assert_eq!(net.gateway.table().len(), 1, "it is one state");
    assert_eq!(net.totals().0.decisions, 3);
}

/// Always wants one byte more than it was shown.
const ONE_MORE: &str = r#"(module (memory (export "memory") 2)
    (data (i32.const 64) "\00\02\00\00\00\40\00\00")
    (data (i32.const 128) "\40\00")
    (func (export "evergate_abi_v1") (result i32) (i32.const 0))
    (func (export "evergate_payload_v1") (result i32) (i32.const 64))
    (func (export "decide") (param i32) (result i64)
      (i32.store16 (i32.const 138) (i32.const 1)) (i64.const 0x8000000005))
    (func (export "inspect") (param i32 i32) (result i64)
      (i32.store16 (i32.const 138) (i32.add (local.get 1) (i32.const 1)))
      (i64.const 0x8000000005)))"#;

#[test]
fn a_policy_that_never_has_seen_enough_cannot_stall_its_worker() {
    let mut net = connected();
    net.swap_text(ONE_MORE);
    net.gateway.kill(&|_| true);
    let (from, to) = (client(PORT), server(80));
    let syn = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, 1_000, 4_096).syn();
    assert_eq!(net.lan(&mut frame(syn, &[])), Outcome::Forward);
    let answer = PacketBuilder::ipv4(to.0, from.0, 63).tcp(to.1, from.1, 9_000, 60_000);
    assert_eq!(net.wan(&mut frame(answer.syn().ack(1_001), &[])), Outcome::Forward);
    let before = net.totals().0.decisions;
    assert_eq!(net.lan(&mut up(0, &[7; 1_400])), Outcome::Drop, "blocked, for it asked too often");
    assert_eq!(net.totals().0.decisions - before, 16);
    assert_eq!((net.drops(DropReason::Policy), net.gateway.inspections()), (1, 0));
}

/// Byte by byte, a policy that wants all is asked once a segment and blocked at the bound.
#[test]
fn a_stream_in_single_bytes_is_inspected_to_its_bound_and_no_further() {
    let mut net = connected();
    net.swap_text(&ONE_MORE.replace("(i32.add (local.get 1) (i32.const 1))", "(i32.const 0)"));
    for n in 0..300 {
        assert_eq!(net.lan(&mut up(n, b"G")), Outcome::Forward, "{n}");
    }
    assert_eq!(net.gateway.inspections(), 1);
    let bound = 16_384;
    for n in 0..(bound / 1_400 + 1) {
        let at = 300 + n * 1_400;
        let outcome = net.lan(&mut up(at, &[7; 1_400]));
        let over = at + 1_400 >= bound;
        assert_eq!(outcome, if over { Outcome::Drop } else { Outcome::Forward }, "{at}");
        let from = PacketBuilder::ipv4(server(80).0, client(PORT).0, 63);
        let ack = from.tcp(80, PORT, 9_001, 60_000).ack(1_001 + at + 1_400);
        net.wan(&mut frame(ack, &[]));
        if over {
            break;
        }
    }
    assert_eq!((net.gateway.table().len(), net.gateway.inspections()), (0, 0));
}
