//! The kernel's routes, addresses and devices change while the gateway runs.

use std::net::IpAddr;

use anyhow::ensure;
use evergate_e2e::streams::{Server, connect_and_echo, ensure_blocked};
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_e2e::world::{INTERFACES, World, at, builtin, pings};
use evergate_lab::{Host, LinkOptions};

crate::claims![
    a_route_that_moves_is_followed,
    a_new_address_is_the_gateways_own,
    a_link_that_was_down_works_again,
    an_interface_that_is_made_anew_is_attached_again,
];

fn ip(host: &Host, words: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = words.split(' ').collect();
    tools::must(host, &words, LIMIT)
}

/// Opens connections until the state of one has this egress interface.
fn until_egress(world: &World, to: IpAddr, port: u16, egress: &str) -> anyhow::Result<()> {
    until(&format!("a state to {to} that leaves by {egress}"), || {
        let stream = connect_and_echo(&world.net.client, to, port)?;
        let states = world.states_of_port(stream.local_addr()?.port())?;
        Ok(states.iter().any(|state| state.egress == egress))
    })
}

fn a_route_that_moves_is_followed() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let dmz = world.net.lab.host("dmz")?;
    world.net.lab.link((&world.net.gateway, "dmz0"), (&dmz, "eth0"), LinkOptions::default())?;
    for (host, device, v4, v6) in [
        (&world.net.gateway, "dmz0", "10.0.3.1/24", "fd00:3::1/64"),
        (&dmz, "eth0", "10.0.3.2/24", "fd00:3::2/64"),
        (&dmz, "lo", "10.9.0.1/32", "fd00:9::1/128"),
        (&world.net.server, "lo", "10.9.0.1/32", "fd00:9::1/128"),
    ] {
        host.address(device, v4)?;
        host.address(device, v6)?;
    }
    dmz.route("default", "10.0.3.1")?;
    dmz.route("default", "fd00:3::1")?;
    let third = "[[interface]]\nname = \"dmz\"\ndevice = \"dmz0\"\n";
    let config = builtin("home", "", "").replace(INTERFACES, &format!("{INTERFACES}\n{third}"));
    world.start("", &config)?;

    let (at_server, at_dmz) = (Server::echo(&world.net.server, 80)?, Server::echo(&dmz, 80)?);
    for (to, prefix, wan, dmz) in [
        (IpAddr::from([10, 9, 0, 1]), "10.9.0.0/24", "10.0.2.2", "10.0.3.2"),
        ("fd00:9::1".parse()?, "fd00:9::/64", "fd00:2::2", "fd00:3::2"),
    ] {
        ip(&world.net.gateway, &format!("ip route add {prefix} via {wan}"))?;
        until_egress(&world, to, 80, "wan")?;
        let (before_server, before_dmz) = (at_server.arrived(), at_dmz.arrived());
        ensure!(before_server > 0, "nothing came to the server");
        // A route with a better metric, another prefix: each moves what is new.
        ip(&world.net.gateway, &format!("ip route replace {prefix} via {dmz}"))?;
        until_egress(&world, to, 80, "dmz")?;
        ensure!(at_dmz.arrived() > before_dmz, "nothing came to the other server");
        let narrow = format!("{to}/{}", if to.is_ipv4() { 32 } else { 128 });
        ip(&world.net.gateway, &format!("ip route add {narrow} via {wan}"))?;
        until_egress(&world, to, 80, "wan")?;
        ip(&world.net.gateway, &format!("ip route del {narrow}"))?;
        until_egress(&world, to, 80, "dmz")?;
    }
    Ok(())
}

fn a_new_address_is_the_gateways_own() -> anyhow::Result<()> {
    let mut world = World::new()?;
    world.start("filter_local = true", &builtin("home", "tcp_in = [8080]", ""))?;
    let _open = Server::echo(&world.net.gateway, 8080)?;
    let _inside = Server::echo(&world.net.gateway, 9090)?;
    for (address, lan, wan) in [
        (IpAddr::from([10, 0, 1, 99]), "10.0.1.99/24", "10.0.2.99/24"),
        ("fd00:1::99".parse()?, "fd00:1::99/64", "fd00:2::99/64"),
    ] {
        world.net.gateway.address("lan0", lan)?;
        until_egress(&world, address, 9090, "self")?;
        world.net.gateway.address("wan0", wan)?;
        let outside = wan.split('/').next().unwrap_or_default().parse()?;
        connect_and_echo(&world.net.server, outside, 8080)?;
        ensure_blocked(&world.net.server, outside, 9090, SILENCE)?;
    }
    Ok(())
}

fn a_link_that_was_down_works_again() -> anyhow::Result<()> {
    let world = World::home("")?;
    let gateway = &world.net.gateway;
    for (device, v6) in [("wan0", "fd00:2::1/64"), ("lan0", "fd00:1::1/64")] {
        gateway.set_down(device)?;
        ensure!(!pings(&world.net.client, at::SERVER[0])?, "{device} is down");
        gateway.set_up(device)?;
        // The kernel forgets IPv6 addresses of a link that goes down.
        gateway.address(device, v6)?;
        for to in at::SERVER {
            until(&format!("a ping of {to}"), || pings(&world.net.client, to))?;
        }
    }
    Ok(())
}

fn an_interface_that_is_made_anew_is_attached_again() -> anyhow::Result<()> {
    let world = World::home("")?;
    let (client, gateway) = (&world.net.client, &world.net.gateway);
    ip(gateway, "ip link del lan0")?;
    world.net.lab.link((client, "eth0"), (gateway, "lan0"), LinkOptions::default())?;
    for (host, device, v4, v6) in [
        (client, "eth0", "10.0.1.2/24", "fd00:1::2/64"),
        (gateway, "lan0", "10.0.1.1/24", "fd00:1::1/64"),
    ] {
        host.address(device, v4)?;
        host.address(device, v6)?;
    }
    client.route("default", "10.0.1.1")?;
    client.route("default", "fd00:1::1")?;
    let _server = Server::echo(&world.net.server, 80)?;
    for to in at::SERVER {
        until(&format!("a ping of {to}"), || pings(client, to))?;
        until_egress(&world, to, 80, "wan")?;
    }
    let states = world.states_of_port(80)?;
    ensure!(states.iter().all(|s| s.ingress == "lan" && s.egress == "wan"), "{states:?}");
    Ok(())
}
