//! Frames in, outcomes out: the way of a packet through the engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Net, client, frame, ipv4, server};
use etherparse::{IpFragOffset, PacketBuilder};
use evergate_engine::{DefaultVerdict, Outcome, Purge};
use evergate_wire::{Af, DropReason, Timestamp, VNET_HDR_LEN};
use proptest::prelude::*;
use std::time::Duration;

/// Verdict words of the ABI.
const PASS: i64 = 1;
const BLOCK: i64 = 2;
const RETURN_RST: i64 = 3;
const RETURN_ICMP: i64 = 4;
const ALLOW_OPTIONS: i64 = 2 << 8;
const LOG: i64 = 1 << 8;

fn syn() -> Vec<u8> {
    tcp(client(40_000), server(80), 1_000, None, |b| b.syn())
}

type Tcp = etherparse::PacketBuilderStep<etherparse::TcpHeader>;

fn tcp(
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    seq: u32,
    ack: Option<u32>,
    with: impl FnOnce(Tcp) -> Tcp,
) -> Vec<u8> {
    let step = PacketBuilder::ipv4(from.0, to.0, 63).tcp(from.1, to.1, seq, 4_096);
    let step = match ack {
        Some(ack) => step.ack(ack),
        None => step,
    };
    frame(with(step), &[])
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let (from, to) = (client(5_000), server(53));
    frame(PacketBuilder::ipv4(from.0, to.0, 63).udp(from.1, to.1), payload)
}

#[test]
fn a_connection_is_decided_once_and_then_lives_by_its_state() {
    let mut net = Net::new(PASS);
    assert_eq!(net.lan(&mut syn()), Outcome::Forward);
    let mut answer = tcp(server(80), client(40_000), 9_000, Some(1_001), |b| b.syn());
    assert_eq!(net.wan(&mut answer), Outcome::Forward);
    let mut ack = tcp(client(40_000), server(80), 1_001, Some(9_001), |b| b);
    assert_eq!(net.lan(&mut ack), Outcome::Forward);
    assert_eq!(net.gateway.table().len(), 1);
    let (lan, wan) = net.totals();
    assert_eq!((lan.decisions, lan.inserts, wan.decisions), (1, 1, 0));
}

#[test]
fn the_hop_into_the_tun_is_undone_and_the_checksum_right() {
    let mut net = Net::new(PASS);
    let mut packet = syn();
    net.lan(&mut packet);
    let (header, _) = etherparse::Ipv4Header::from_slice(&packet[VNET_HDR_LEN..]).unwrap();
    assert_eq!(header.time_to_live, 64);
    assert_eq!(header.header_checksum, header.calc_header_checksum());
}

#[test]
fn what_is_in_no_state_and_begins_none_is_dropped_even_if_the_policy_passes_it() {
    let mut net = Net::new(PASS);
    let mut stray = tcp(client(40_000), server(80), 5, Some(6), |b| b);
    assert_eq!(net.lan(&mut stray), Outcome::Drop);
    assert_eq!(net.drops(DropReason::StateMismatch), 1);
}

#[test]
fn blocked_packets_count_as_pf_counts_them() {
    let mut net = Net::new(BLOCK);
    assert_eq!(net.lan(&mut syn()), Outcome::Drop);
    assert_eq!(net.drops(DropReason::Match), 1);
    assert_eq!(net.totals().0.blocked_packets, [1, 0]);
}

#[test]
fn a_chain_without_an_opinion_ends_in_the_default() {
    let mut net = Net::without_policy(DefaultVerdict::Block);
    assert_eq!(net.lan(&mut syn()), Outcome::Drop);
    let mut net = Net::without_policy(DefaultVerdict::Pass);
    assert_eq!(net.lan(&mut syn()), Outcome::Forward);
}

#[test]
fn return_rst_answers_in_the_name_of_the_other_end() {
    let mut net = Net::new(RETURN_RST);
    assert_eq!(net.lan(&mut syn()), Outcome::Emit);
    let reply = &net.lan.emitted()[0][VNET_HDR_LEN..];
    let sliced = etherparse::SlicedPacket::from_ip(reply).unwrap();
    let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
    assert!(tcp.rst() && tcp.ack());
    assert_eq!((tcp.source_port(), tcp.destination_port()), (80, 40_000));
    assert_eq!(tcp.acknowledgment_number(), 1_001);
    assert_eq!(ipv4(reply).source, server(80).0);
}

#[test]
fn return_icmp_answers_from_the_gateways_own_address() {
    let mut net = Net::new(RETURN_ICMP);
    assert_eq!(net.lan(&mut udp(b"query")), Outcome::Emit);
    let reply = &net.lan.emitted()[0][VNET_HDR_LEN..];
    assert_eq!(ipv4(reply).source, [10, 0, 1, 1]);
    assert_eq!(ipv4(reply).destination, client(0).0);
    // Type 3 code 3: port unreachable.
    assert_eq!(reply[20..22], [3, 3]);
}

#[test]
fn replies_are_limited() {
    let mut net = Net::new(RETURN_RST);
    let sent = (0..3_000).filter(|_| net.lan(&mut syn()) == Outcome::Emit).count();
    assert_eq!(sent, 1_000);
    assert_eq!(net.totals().0.replies_limited, 2_000);
}

#[test]
fn a_full_table_refuses_new_states_and_keeps_old_ones() {
    let mut net = Net::with_limit(PASS, 1);
    assert_eq!(net.lan(&mut syn()), Outcome::Forward);
    let mut other = tcp(client(40_001), server(80), 1, None, |b| b.syn());
    assert_eq!(net.lan(&mut other), Outcome::Drop);
    assert_eq!(net.drops(DropReason::StateLimit), 1);
    let mut answer = tcp(server(80), client(40_000), 9_000, Some(1_001), |b| b.syn());
    assert_eq!(net.wan(&mut answer), Outcome::Forward);
}

#[test]
fn a_policy_that_fails_blocks_and_is_counted_apart() {
    let mut net = Net::with_text(
        r#"(module (memory (export "memory") 1)
             (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
             (func (export "decide") (param i32) (result i64) unreachable))"#,
    );
    assert_eq!(net.lan(&mut syn()), Outcome::Drop);
    assert_eq!(net.drops(DropReason::Policy), 1);
}

#[test]
fn a_swapped_policy_decides_new_connections_and_leaves_states_alone() {
    let mut net = Net::new(PASS);
    net.lan(&mut syn());
    net.swap(BLOCK);
    let mut answer = tcp(server(80), client(40_000), 9_000, Some(1_001), |b| b.syn());
    assert_eq!(net.wan(&mut answer), Outcome::Forward);
    let mut other = tcp(client(40_001), server(80), 1, None, |b| b.syn());
    assert_eq!(net.lan(&mut other), Outcome::Drop);
}

#[test]
fn an_icmp_error_passes_with_the_state_of_the_packet_it_quotes() {
    let mut net = Net::new(PASS);
    let mut sent = udp(b"query");
    net.lan(&mut sent);
    net.swap(BLOCK);
    let quote = sent[VNET_HDR_LEN..].to_vec();
    let error = |to: [u8; 4]| {
        let unreachable = etherparse::Icmpv4Type::DestinationUnreachable(
            etherparse::icmpv4::DestUnreachableHeader::Port,
        );
        frame(PacketBuilder::ipv4(server(0).0, to, 63).icmpv4(unreachable), &quote)
    };
    assert_eq!(net.wan(&mut error(client(0).0)), Outcome::Forward);
    // To a host that did not send the quoted packet: a lie.
    assert_eq!(net.wan(&mut error([10, 0, 1, 9])), Outcome::Drop);
    assert_eq!(net.drops(DropReason::Normalize), 1);
}

#[test]
fn an_icmp_error_about_nothing_known_is_for_the_policy() {
    let mut net = Net::new(BLOCK);
    let quote = udp(b"never seen")[VNET_HDR_LEN..].to_vec();
    let unreachable = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::Host,
    );
    let mut error =
        frame(PacketBuilder::ipv4(server(0).0, client(0).0, 63).icmpv4(unreachable), &quote);
    assert_eq!(net.wan(&mut error), Outcome::Drop);
    assert_eq!(net.totals().1.decisions, 1);
}

fn with_record_route() -> Vec<u8> {
    let mut packet = udp(b"optional")[VNET_HDR_LEN..].to_vec();
    // Four bytes of options: record route (7), padded by hand.
    packet.splice(20..20, [7, 3, 4, 0]);
    packet[0] = 0x46;
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    let (mut header, rest) = etherparse::Ipv4Header::from_slice(&packet).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = vec![0; VNET_HDR_LEN];
    header.write(&mut bytes).unwrap();
    bytes.extend_from_slice(rest);
    bytes
}

#[test]
fn ip_options_pass_only_where_the_policy_allows_them() {
    let mut net = Net::new(PASS);
    assert_eq!(net.lan(&mut with_record_route()), Outcome::Drop);
    assert_eq!(net.drops(DropReason::IpOption), 1);
    // A state made by a packet without options does not let them in either.
    assert_eq!(net.lan(&mut udp(b"plain")), Outcome::Forward);
    assert_eq!(net.lan(&mut with_record_route()), Outcome::Drop);
    let mut net = Net::new(PASS | ALLOW_OPTIONS);
    assert_eq!(net.lan(&mut with_record_route()), Outcome::Forward);
    assert_eq!(net.lan(&mut with_record_route()), Outcome::Forward);
    assert_eq!(net.totals().0.decisions, 1);
}

#[test]
fn fragments_are_decided_as_one_datagram() {
    let mut net = Net::new(PASS);
    let whole = udp(&[7; 1_600]);
    let payload = &whole[VNET_HDR_LEN + 20..];
    let mut fragment = |offset: usize, end: usize| {
        let (mut header, _) = etherparse::Ipv4Header::from_slice(&whole[VNET_HDR_LEN..]).unwrap();
        header.identification = 77;
        header.dont_fragment = false;
        header.more_fragments = end < payload.len();
        header.fragment_offset = IpFragOffset::try_new((offset / 8) as u16).unwrap();
        header.total_len = (20 + end - offset) as u16;
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = vec![0; VNET_HDR_LEN];
        header.write(&mut bytes).unwrap();
        bytes.extend_from_slice(&payload[offset..end]);
        net.lan(&mut bytes)
    };
    assert_eq!(fragment(800, payload.len()), Outcome::Drop);
    assert_eq!(fragment(0, 800), Outcome::Emit);
    let emitted = &net.lan.emitted()[0];
    assert_eq!(emitted.len(), whole.len());
    assert_eq!(emitted[VNET_HDR_LEN + 20..], whole[VNET_HDR_LEN + 20..]);
    assert_eq!(net.gateway.table().len(), 1);
    assert_eq!(net.totals().0.decisions, 1);
}

#[test]
fn expired_states_do_not_match_and_are_purged() {
    let mut net = Net::new(PASS);
    net.lan(&mut udp(b"a"));
    // pf: udp.first is 60 s.
    net.now = Timestamp::from_nanos(66_000_000_000);
    let purged = Purge::default().step(&net.gateway, net.now, Duration::from_secs(60));
    assert_eq!((purged, net.gateway.table().len()), (1, 0));
    net.lan(&mut udp(b"b"));
    net.now = Timestamp::from_nanos(140_000_000_000);
    net.lan(&mut udp(b"c"));
    assert_eq!(net.totals().0.decisions, 3, "an expired state that is not yet purged is none");
}

#[test]
fn only_what_a_verdict_asks_for_is_logged_and_never_without_bound() {
    let mut net = Net::new(PASS | LOG);
    net.lan(&mut syn());
    let event = net.lan.take_log().unwrap();
    assert!(event.passed);
    assert_eq!((event.src.1, event.dst.1), (40_000, 80));
    net.swap(BLOCK | LOG);
    for port in 0..2_000 {
        net.lan(&mut tcp(client(port + 1), server(80), 1, None, |b| b.syn()));
    }
    assert_eq!(std::iter::from_fn(|| net.lan.take_log()).count(), 1_024);
    assert_eq!(net.totals().0.log_lost, 976);
}

#[test]
fn an_unknown_syn_to_an_established_connection_is_challenged() {
    let mut net = Net::new(PASS);
    net.lan(&mut syn());
    net.wan(&mut tcp(server(80), client(40_000), 9_000, Some(1_001), |b| b.syn()));
    net.lan(&mut tcp(client(40_000), server(80), 1_001, Some(9_001), |b| b));
    let mut again = tcp(client(40_000), server(80), 77, None, |b| b.syn());
    assert_eq!(net.lan(&mut again), Outcome::Emit);
    let reply = &net.lan.emitted()[0][VNET_HDR_LEN..];
    let sliced = etherparse::SlicedPacket::from_ip(reply).unwrap();
    let Some(etherparse::TransportSlice::Tcp(ack)) = sliced.transport else { panic!("no TCP") };
    assert!(ack.ack() && !ack.rst() && !ack.syn());
    assert_eq!((ack.sequence_number(), ack.acknowledgment_number()), (9_001, 1_001));
}

#[test]
fn policies_are_told_where_a_packet_comes_from_and_goes() {
    // Passes only what comes from interface 1, goes to interface 2, and has TTL 64.
    let mut net = Net::with_text(
        r#"(module (memory (export "memory") 1)
             (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
             (func (export "decide") (param $r i32) (result i64)
               (select (i64.const 1) (i64.const 2)
                 (i32.and (i32.eq (i32.load offset=44 (local.get $r)) (i32.const 0x20001))
                          (i32.eq (i32.load8_u offset=52 (local.get $r)) (i32.const 64))))))"#,
    );
    assert_eq!(net.lan(&mut syn()), Outcome::Forward);
    let mut back = tcp(server(1), client(1), 1, None, |b| b.syn());
    assert_eq!(net.wan(&mut back), Outcome::Drop);
}

proptest! {
    #[test]
    fn no_frame_can_hurt(
        mut frame in proptest::collection::vec(any::<u8>(), 0..200),
        versioned in any::<bool>(),
        four in any::<bool>(),
    ) {
        if versioned && frame.len() > VNET_HDR_LEN {
            frame[VNET_HDR_LEN] = if four { 0x45 } else { 0x60 };
        }
        let mut net = Net::new(PASS);
        let _ = net.lan(&mut frame);
        let (lan, _) = net.totals();
        let drops: u64 = lan.drops.iter().sum();
        let counted = lan.passed_packets.iter().sum::<u64>() + drops + lan.fragments;
        prop_assert!(counted >= 1, "a packet left no trace");
    }
}

#[test]
fn families_are_counted_apart() {
    let mut net = Net::new(PASS);
    let six = PacketBuilder::ipv6([0xfd; 16], [0xfc; 16], 63).udp(5, 6);
    net.lan(&mut frame(six, b"six"));
    net.lan(&mut udp(b"four"));
    assert_eq!(net.totals().0.passed_packets, [1, 1]);
    assert_eq!(net.gateway_address(Af::V6), None);
}
