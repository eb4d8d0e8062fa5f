//! What the ready policies pass and refuse, seen from both sides.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::ensure;
use evergate_e2e::frames::{self, Injector, Sniffer};
use evergate_e2e::streams::{self, Server, ensure_blocked};
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, SILENCE};
use evergate_e2e::world::{World, at, builtin};

crate::claims![
    a_listed_port_is_reached_from_outside_and_no_other,
    ident_is_refused_at_once,
    pings_from_outside_are_limited,
    strict_web_refuses_quickly_what_it_does_not_pass,
    without_a_policy_nothing_passes,
];

fn a_listed_port_is_reached_from_outside_and_no_other() -> anyhow::Result<()> {
    let world = World::home("tcp_in = [8080, \"9000-9001\"]")?;
    let _open = Server::echo(&world.net.client, 8080)?;
    let _ranged = Server::echo(&world.net.client, 9001)?;
    let shut = Server::echo(&world.net.client, 9090)?;
    for client in at::CLIENT {
        for port in [8080, 9001] {
            streams::connect_and_echo(&world.net.server, client, port)?;
        }
        let before = world.drops("match")?;
        ensure_blocked(&world.net.server, client, 9090, SILENCE)?;
        ensure!(world.drops("match")? > before, "{client}: it was not blocked by the policy");
    }
    ensure!(shut.arrived() == 0, "the shut port was reached");
    Ok(())
}

fn ident_is_refused_at_once() -> anyhow::Result<()> {
    let world = World::home("")?;
    let ident = Server::echo(&world.net.client, 113)?;
    for client in at::CLIENT {
        let result = streams::try_connect(&world.net.server, client, 113, LIMIT)?;
        let kind = result.as_ref().err().map(std::io::Error::kind);
        ensure!(kind == Some(ErrorKind::ConnectionRefused), "{client}: {result:?}");
    }
    let info = world.info()?;
    ensure!(ident.arrived() == 0 && info.replies == 2, "{} replies", info.replies);
    Ok(())
}

fn pings_from_outside_are_limited() -> anyhow::Result<()> {
    let world = World::home("pings_per_s = 2")?;
    let net = &world.net;
    let hand = Injector::new((&net.server, "eth0"), (&net.gateway, "wan0"))?;
    for ((client, server), echo) in at::CLIENT.into_iter().zip(at::SERVER).zip([8, 128]) {
        let before = world.drops("match")?;
        let proto = if client.is_ipv4() { 1 } else { 58 };
        let arriving = Sniffer::on(&net.client, "eth0")?;
        for id in 0..20 {
            // Each id is a ping of its own; what follows with the same one belongs to its state.
            let message = frames::icmp((server, client), echo, 0, &[0, id, 0, 1]);
            hand.send(&frames::ip(server, client, proto, &message))?;
        }
        let mut passed = 0;
        arriving.find(SILENCE, |_, parsed| {
            passed += u64::from(parsed.src.to_ip() == server && parsed.proto == proto);
            false
        })?;
        // The burst, and what a slow machine takes longer for.
        ensure!((2..=5).contains(&passed), "{client}: {passed} of 20 passed");
        ensure!(world.drops("match")? == before + 20 - passed, "{client}: lost otherwise");
    }
    Ok(())
}

fn strict_web_refuses_quickly_what_it_does_not_pass() -> anyhow::Result<()> {
    let mut world = World::new()?;
    world.start("", &builtin("strict-web", "resolvers = [\"10.0.2.2\", \"fd00:2::2\"]", ""))?;
    let (client, server) = (&world.net.client, &world.net.server);
    let _web = Server::echo(server, 80)?;
    let _mail = Server::echo(server, 25)?;
    let _names = Server::udp_echo(server, 53)?;
    let _other = Server::udp_echo(server, 54)?;
    for (family, to) in at::SERVER.into_iter().enumerate() {
        streams::connect_and_echo(client, to, 80)?;
        let refused = streams::try_connect(client, to, 25, LIMIT)?;
        let kind = refused.as_ref().err().map(std::io::Error::kind);
        ensure!(kind == Some(ErrorKind::ConnectionRefused), "port 25 of {to}: {refused:?}");

        let names = streams::udp(client, to, 53, LIMIT)?;
        names.send(b"name?")?;
        ensure!(names.recv(&mut [0; 16])? == 5, "no answer to a name");
        let other = streams::udp(client, to, 54, LIMIT)?;
        other.send(b"hello")?;
        let refused = other.recv(&mut [0; 16]);
        // "Administratively prohibited" as Linux tells it to sockets.
        let expected = [ErrorKind::HostUnreachable, ErrorKind::PermissionDenied][family];
        let kind = refused.as_ref().err().map(std::io::Error::kind);
        ensure!(kind == Some(expected), "UDP 54 of {to}: {refused:?}");

        let target = to.to_string();
        let words = ["ping", "-n", "-c", "1", "-W", "5", &target];
        let said = tools::run(client, &words, Duration::from_secs(10))?;
        let from = format!("From {} ", at::LAN[family]);
        ensure!(!said.ok && said.out.contains(&from), "{said:?}");
    }
    for to in at::CLIENT {
        let _web = Server::echo(client, 80)?;
        ensure_blocked(server, to, 80, SILENCE)?;
    }
    Ok(())
}

fn without_a_policy_nothing_passes() -> anyhow::Result<()> {
    let mut world = World::new()?;
    world.start("", evergate_e2e::world::INTERFACES)?;
    let server = Server::echo(&world.net.server, 80)?;
    for to in at::SERVER {
        ensure_blocked(&world.net.client, to, 80, SILENCE)?;
    }
    ensure!(server.arrived() == 0 && world.drops("match")? >= 2, "something passed");
    Ok(())
}
