//! Packets that no honest stack sends, and blind attacks on connections.

use std::net::{IpAddr, TcpStream};

use anyhow::{Context, ensure};
use evergate_e2e::frames::{self, Injector, Sniffer};
use evergate_e2e::streams::{Server, connect_and_echo, echoes};
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_e2e::world::{World, at};

crate::claims![
    malformed_tcp_is_dropped_with_its_reason,
    malformed_udp_and_icmp_are_dropped_with_their_reason,
    bad_options_and_headers_are_dropped_with_their_reason,
    bad_fragments_are_dropped_with_their_reason,
    icmp_errors_about_nothing_known_are_dropped,
    blind_resets_and_icmp_errors_do_not_end_a_connection,
];

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;

/// A network with hands on both links.
struct Bench {
    world: World,
    client: Injector,
    server: Injector,
}

impl Bench {
    fn new() -> anyhow::Result<Bench> {
        let world = World::home("")?;
        let net = &world.net;
        let client = Injector::new((&net.client, "eth0"), (&net.gateway, "lan0"))?;
        let server = Injector::new((&net.server, "eth0"), (&net.gateway, "wan0"))?;
        Ok(Bench { world, client, server })
    }

    /// Sends packets, of which exactly one is dropped, for `reason`.
    fn dropped(
        &self,
        from: &Injector,
        what: &str,
        reason: &str,
        packets: &[Vec<u8>],
    ) -> anyhow::Result<()> {
        let all = || anyhow::Ok(self.world.info()?.drops.values().sum::<u64>());
        let (before, sum) = (self.world.drops(reason)?, all()?);
        for packet in packets {
            from.send(packet)?;
        }
        until(what, || Ok(all()? > sum))?;
        let (after, drops) = (self.world.drops(reason)?, self.world.info()?.drops);
        ensure!((after, all()?) == (before + 1, sum + 1), "{what}: not {reason} but {drops:?}");
        Ok(())
    }

    /// Sends cases from the client, each a packet; none of them may come to the server, and a
    /// well-formed packet sent afterwards does.
    fn none_passes(&self, cases: &[(&str, &str, Vec<u8>)]) -> anyhow::Result<()> {
        let sniffer = Sniffer::on(&self.world.net.server, "eth0")?;
        for (what, reason, packet) in cases {
            self.dropped(&self.client, what, reason, std::slice::from_ref(packet))?;
        }
        for family in 0..2 {
            let ends = ends(family);
            let good = frames::tcp(ends, (4_000, 81), SYN, 1, b"");
            self.client.send(&frames::ip(ends.0, ends.1, 6, &good))?;
            let packet = sniffer.expect("a well-formed packet", |_, parsed| {
                at::CLIENT.contains(&parsed.src.to_ip())
            })?;
            let parsed = evergate_wire::parse(&packet).map_err(|e| anyhow::anyhow!("{e}"))?;
            let port = parsed.tcp().map(|tcp| (tcp.sport, tcp.dport));
            ensure!(port == Some((4_000, 81)), "something malformed passed: {parsed:?}");
        }
        Ok(())
    }
}

/// Client and server.
fn ends(family: usize) -> (IpAddr, IpAddr) {
    (at::CLIENT[family], at::SERVER[family])
}

/// A copy with some bytes replaced.
fn with(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

fn malformed_tcp_is_dropped_with_its_reason() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    let mut cases = Vec::new();
    for family in 0..2 {
        let ends = ends(family);
        let tcp = |flags| frames::tcp(ends, (3_000, 80), flags, 1, b"");
        for (what, reason, segment) in [
            ("SYN and RST", "normalize", tcp(SYN | RST)),
            ("no flags", "normalize", tcp(0)),
            ("FIN alone", "normalize", tcp(FIN)),
            ("URG alone", "normalize", tcp(URG)),
            ("offset 4", "short", with(tcp(SYN), 12, &[0x40])),
            ("offset beyond the end", "short", with(tcp(SYN), 12, &[0x60])),
            ("half a header", "short", tcp(SYN)[..10].to_vec()),
            ("port 0", "short", with(tcp(SYN), 2, &[0, 0])),
            ("ACK without a state", "state-mismatch", tcp(ACK)),
            ("RST without a state", "state-mismatch", tcp(RST)),
            ("SYN-ACK without a state", "state-mismatch", tcp(SYN | ACK)),
        ] {
            cases.push((what, reason, frames::ip(ends.0, ends.1, 6, &segment)));
        }
    }
    bench.none_passes(&cases)
}

fn malformed_udp_and_icmp_are_dropped_with_their_reason() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    let mut cases = Vec::new();
    for family in 0..2 {
        let ends = ends(family);
        let udp = || frames::udp(ends, (3_000, 53), b"data");
        let (icmp, other, echo) = if family == 0 { (1, 58, 8) } else { (58, 1, 128) };
        let message = frames::icmp(ends, echo, 0, &[0; 8]);
        for (what, reason, proto, payload) in [
            ("UDP length 7", "short", 17, with(udp(), 4, &[0, 7])),
            ("UDP length beyond the end", "short", 17, with(udp(), 4, &[0, 13])),
            ("UDP port 0", "short", 17, with(udp(), 2, &[0, 0])),
            ("half a UDP header", "short", 17, udp()[..5].to_vec()),
            ("ICMP cut off", "short", icmp, message[..6].to_vec()),
            ("ICMP of the other family", "normalize", other, message.clone()),
        ] {
            cases.push((what, reason, frames::ip(ends.0, ends.1, proto, &payload)));
        }
    }
    bench.none_passes(&cases)
}

fn bad_options_and_headers_are_dropped_with_their_reason() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    let (v4, v6) = (ends(0), ends(1));
    let syn4 = frames::tcp(v4, (3_000, 80), SYN, 1, b"");
    let syn6 = frames::tcp(v6, (3_000, 80), SYN, 1, b"");
    // Next header TCP, no more words, then the type and what it holds.
    let extension = |kind: u8| [&[6, 0, kind, 0, 0, 0, 0, 0], &syn6[..]].concat();
    let padded = [&[6, 0, 1, 4, 0, 0, 0, 0], &syn6[..]].concat();
    let twice = [&[43, 0, 4, 0, 0, 0, 0, 0], &extension(4)[..]].concat();
    bench.none_passes(&[
        (
            "record route",
            "ip-option",
            frames::ip4(v4.0, v4.1, 6, 0, &[7, 7, 4, 0, 0, 0, 0, 0], &syn4),
        ),
        ("destination options", "ip-option", frames::ip(v6.0, v6.1, 60, &padded)),
        ("routing header type 0", "ip-option", frames::ip(v6.0, v6.1, 43, &extension(0))),
        ("two routing headers", "ip-option", frames::ip(v6.0, v6.1, 43, &twice)),
        ("an extension header cut off", "short", frames::ip(v6.0, v6.1, 60, &[6, 9])),
    ])
}

fn bad_fragments_are_dropped_with_their_reason() -> anyhow::Result<()> {
    const MORE: u16 = 0x2000;
    const DONT_FRAGMENT: u16 = 0x4000;
    let bench = Bench::new()?;
    let (v4, v6) = (ends(0), ends(1));
    let data = frames::udp(v4, (3_000, 53), &[0; 56]);
    let four = |field: u16, data: &[u8]| frames::ip4(v4.0, v4.1, 17, field, &[], data);
    bench.none_passes(&[
        ("DF in a fragment", "fragment", four(MORE | DONT_FRAGMENT, &data)),
        ("an odd length before more", "fragment", four(MORE, &data[..61])),
        ("an end beyond 64 KiB", "fragment", four(MORE | 0x1fff, &data)),
    ])?;
    let six = |at, data: &[u8]| frames::ip6_fragment(v6.0, v6.1, 17, at, data);
    let whole = frames::udp(v6, (3_000, 53), &[0; 56]);
    let first = six((0, true), &whole[..32]);
    let second = six((32, false), &whole[32..]);
    let overlapping = six((24, true), &[0xff; 16]);
    // RFC 5722: the overlap discards the datagram, its other fragments and itself.
    let sniffer = Sniffer::on(&bench.world.net.server, "eth0")?;
    let packets = [first.clone(), overlapping, second.clone()];
    bench.dropped(&bench.client, "an overlap", "fragment", &packets)?;
    let is_ours = |_: &[u8], parsed: &evergate_wire::Parsed| parsed.src.to_ip() == v6.0;
    ensure!(sniffer.find(SILENCE, is_ours)?.is_none(), "an overlapped datagram passed");
    // The second fragment of above still waits; together with a first one it is whole.
    bench.client.send(&first)?;
    sniffer.expect("a whole datagram", is_ours)?;
    Ok(())
}

/// The first bytes of a packet, as routers quote them.
fn quote(packet: &[u8]) -> Vec<u8> {
    [&[0; 4][..], &packet[..packet.len().min(120)]].concat()
}

fn icmp_errors_about_nothing_known_are_dropped() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    for family in 0..2 {
        let (client, server) = ends(family);
        let (icmp, unreachable) = if family == 0 { (1, 3) } else { (58, 1) };
        let error = |quoted: &[u8]| {
            let message = frames::icmp((server, client), unreachable, 1, &quote(quoted));
            frames::ip(server, client, icmp, &message)
        };
        let unknown = frames::udp((client, server), (3_000, 53), b"data");
        let unknown = frames::ip(client, server, 17, &unknown);
        let foreign = frames::udp((at::LAN[family], server), (3_000, 53), b"data");
        let foreign = frames::ip(at::LAN[family], server, 17, &foreign);
        for (what, reason, packet) in [
            ("about an unknown packet", "match", error(&unknown)),
            ("about a packet of another host", "normalize", error(&foreign)),
            ("about half a header", "short", error(&unknown[..16])),
        ] {
            bench.dropped(&bench.server, what, reason, &[packet])?;
        }
    }
    Ok(())
}

fn blind_resets_and_icmp_errors_do_not_end_a_connection() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    let _server = Server::echo(&bench.world.net.server, 80)?;
    for family in 0..2 {
        let (client, server) = ends(family);
        let mut stream: TcpStream = connect_and_echo(&bench.world.net.client, server, 80)?;
        let port = stream.local_addr()?.port();
        let far = bench.world.states_of_port(port)?.into_iter().next().context("no state")?;
        ensure!(far.peers == "ESTABLISHED:ESTABLISHED", "{far:?}");
        // Far outside any window, for nobody can guess a place within.
        let seq = sequence(&bench, &mut stream, server)?.wrapping_add(1 << 30);
        let reset = frames::tcp((server, client), (80, port), RST | ACK, seq, b"");
        let reset = frames::ip(server, client, 6, &reset);
        bench.dropped(&bench.server, "a blind reset", "state-mismatch", &[reset])?;

        let (icmp, unreachable) = if family == 0 { (1, 3) } else { (58, 1) };
        let segment = frames::tcp((client, server), (port, 80), ACK, seq, b"");
        let quoted = quote(&frames::ip(client, server, 6, &segment));
        let message = frames::icmp((server, client), unreachable, 1, &quoted);
        let error = frames::ip(server, client, icmp, &message);
        bench.dropped(&bench.server, "a blind ICMP error", "state-mismatch", &[error])?;
        ensure!(echoes(&mut stream, b"still there", LIMIT)?, "the connection has ended");
    }
    Ok(())
}

/// The sequence number of the next segment that the server sends.
fn sequence(bench: &Bench, stream: &mut TcpStream, server: IpAddr) -> anyhow::Result<u32> {
    let sniffer = Sniffer::on(&bench.world.net.client, "eth0")?;
    ensure!(echoes(stream, b"sequence?", LIMIT)?, "no echo");
    let packet = sniffer.expect("an echo", |_, parsed| {
        parsed.src.to_ip() == server && parsed.tcp().is_some_and(|tcp| tcp.data_len > 0)
    })?;
    let parsed = evergate_wire::parse(&packet).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(parsed.tcp().context("no TCP")?.seq)
}
