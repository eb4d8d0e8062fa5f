//! `filter_local = true`: the gateway's own traffic passes its policy, too.

use std::time::Duration;

use anyhow::ensure;
use evergate_e2e::streams::{self, Server, connect_and_echo, ensure_blocked, try_connect};
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_e2e::world::{World, at, builtin, ensure_same, fingerprint, pings};

use crate::traffic::{curl, nginx};

crate::claims![
    the_gateways_own_servers_are_reached_where_the_policy_passes,
    the_gateway_opens_connections_of_its_own,
    the_gateway_is_pinged_and_pings,
    neighbours_are_found_anew,
    without_filter_local_the_gateway_itself_is_left_alone,
    a_crash_closes_the_gateway_and_a_stop_restores_it,
];

fn world(settings: &str) -> anyhow::Result<World> {
    let mut world = World::new()?;
    world.start("filter_local = true", &builtin("home", settings, ""))?;
    Ok(world)
}

fn the_gateways_own_servers_are_reached_where_the_policy_passes() -> anyhow::Result<()> {
    let world = world("tcp_in = [8080]")?;
    let (client, gateway, server) = (&world.net.client, &world.net.gateway, &world.net.server);
    let _open = Server::echo(gateway, 8080)?;
    let shut = Server::echo(gateway, 9090)?;
    for family in 0..2 {
        let inside = connect_and_echo(client, at::LAN[family], 9090)?;
        let port = inside.local_addr()?.port();
        let states = world.states_of_port(port)?;
        let state = states.first().map(|s| (&*s.ingress, &*s.egress, s.destination));
        ensure!(state == Some(("lan", "self", at::LAN[family])), "{states:?}");
        // Its address on the other side is its own as well.
        connect_and_echo(client, at::WAN[family], 9090)?;

        connect_and_echo(server, at::WAN[family], 8080)?;
        let reached = shut.arrived();
        let before = world.drops("match")?;
        ensure_blocked(server, at::WAN[family], 9090, SILENCE)?;
        ensure!(world.drops("match")? > before, "blocked for another reason");
        ensure!(shut.arrived() == reached, "the shut port was reached");
    }
    Ok(())
}

fn the_gateway_opens_connections_of_its_own() -> anyhow::Result<()> {
    let world = world("")?;
    let gateway = &world.net.gateway;
    let page = streams::beginning(5_000_000);
    let _nginx = nginx(&world, &world.net.server, &page)?;
    let _echo = Server::udp_echo(&world.net.server, 5000)?;
    for to in at::SERVER {
        ensure!(curl(&world, gateway, to)? == page, "{to}: another page");
        let socket = streams::udp(gateway, to, 5000, LIMIT)?;
        socket.send(b"hello")?;
        ensure!(socket.recv(&mut [0; 16])? == 5, "{to}: no answer over UDP");
        let states = world.states_of_port(80)?;
        let ours = |s: &&evergate::control::StateRow| s.destination == to;
        let state = states.iter().find(ours).map(|s| (&*s.ingress, &*s.egress));
        ensure!(state == Some(("self", "wan")), "{states:?}");
    }
    // What nobody has asked for does not come in as an answer.
    ensure_blocked(&world.net.server, at::WAN[0], 80, SILENCE)
}

fn the_gateway_is_pinged_and_pings() -> anyhow::Result<()> {
    let world = world("")?;
    let (client, gateway, server) = (&world.net.client, &world.net.gateway, &world.net.server);
    for family in 0..2 {
        for (from, to) in [
            (client, at::LAN[family]),
            (client, at::WAN[family]),
            (server, at::WAN[family]),
            (gateway, at::CLIENT[family]),
            (gateway, at::SERVER[family]),
            (gateway, at::LAN[family]),
            (client, at::SERVER[family]),
        ] {
            ensure!(pings(from, to)?, "{} to {to}", from.name());
        }
    }
    Ok(())
}

fn neighbours_are_found_anew() -> anyhow::Result<()> {
    let world = world("")?;
    let (client, gateway, server) = (&world.net.client, &world.net.gateway, &world.net.server);
    for _ in 0..2 {
        for (host, device) in
            [(client, "eth0"), (gateway, "lan0"), (gateway, "wan0"), (server, "eth0")]
        {
            host.flush_neighbours(device)?;
        }
        for family in 0..2 {
            for (from, to) in [
                (client, at::LAN[family]),
                (server, at::WAN[family]),
                (gateway, at::SERVER[family]),
                (client, at::SERVER[family]),
            ] {
                ensure!(pings(from, to)?, "{} to {to}", from.name());
            }
        }
    }
    Ok(())
}

fn without_filter_local_the_gateway_itself_is_left_alone() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.gateway, 9090)?;
    for to in at::WAN {
        connect_and_echo(&world.net.server, to, 9090)?;
    }
    ensure!(world.info()?.searches == 0, "the gateway has seen packets to itself");
    Ok(())
}

fn a_crash_closes_the_gateway_and_a_stop_restores_it() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let before = fingerprint(&world.net.gateway)?;
    let config = builtin("home", "tcp_in = [8080]", "");
    world.start("filter_local = true", &config)?;
    let _server = Server::echo(&world.net.gateway, 8080)?;
    let _beyond = Server::echo(&world.net.server, 80)?;
    world.kill();
    for family in 0..2 {
        for (from, to, port) in [
            (&world.net.client, at::LAN[family], 8080),
            (&world.net.server, at::WAN[family], 8080),
            (&world.net.gateway, at::SERVER[family], 80),
        ] {
            let result = try_connect(from, to, port, SILENCE)?;
            ensure!(result.is_err(), "{} to {to}", from.name());
        }
    }
    for own in ["127.0.0.1", "::1"] {
        connect_and_echo(&world.net.gateway, own.parse()?, 8080)?;
    }
    world.start("filter_local = true", &config)?;
    for family in 0..2 {
        // A neighbour that was looked for in vain is only asked again after a while.
        let to = at::LAN[family];
        until(&format!("a ping of {to}"), || pings(&world.net.client, to))?;
        connect_and_echo(&world.net.client, at::LAN[family], 8080)?;
        connect_and_echo(&world.net.gateway, at::SERVER[family], 80)?;
    }
    world.stop()?;
    ensure_same("the gateway", &before, &fingerprint(&world.net.gateway)?)?;
    let rules = tools::must(&world.net.gateway, &["ip", "rule"], Duration::from_secs(5))?;
    ensure!(rules.starts_with("0:\tfrom all lookup local\n"), "{rules}");
    for to in at::LAN {
        connect_and_echo(&world.net.client, to, 8080)?;
    }
    Ok(())
}
