//! The gateway is one hop, as any router is.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use evergate_e2e::frames::Sniffer;
use evergate_e2e::tools;
use evergate_e2e::wait::LIMIT;
use evergate_e2e::world::{World, at, builtin};
use evergate_lab::{Forwarding, Gateway, Host, LinkOptions};

crate::claims![
    traceroute_shows_the_gateway_once,
    the_ttl_falls_by_one_in_all,
    a_ttl_of_one_ends_at_the_gateway,
];

/// The addresses that answer on the way, in order; none for a hop that is silent.
fn hops(host: &Host, to: IpAddr, method: &[&str]) -> anyhow::Result<Vec<String>> {
    let to = to.to_string();
    let words = [&["traceroute", "-n", "-q", "1", "-w", "2", "-m", "6"], method, &[&to]].concat();
    let said = tools::must(host, &words, Duration::from_secs(20))?;
    let hop = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    said.lines().skip(1).map(|line| hop(line).context("a line without a hop")).collect()
}

fn traceroute_shows_the_gateway_once() -> anyhow::Result<()> {
    const METHODS: [&[&str]; 3] = [&["-U"], &["-I"], &["-T", "-p", "80"]];
    let net = Gateway::build(Forwarding::Kernel, LinkOptions::default(), LinkOptions::default())?;
    let mut world = World::over(net)?;
    for host in [&world.net.gateway, &world.net.server] {
        // Else the kernel answers the later of several traceroutes with silence.
        host.sysctl("ipv4/icmp_ratelimit", "0")?;
        host.sysctl("ipv6/icmp/ratelimit", "0")?;
    }
    let all = |world: &World| -> anyhow::Result<Vec<Vec<String>>> {
        let cases = at::SERVER.iter().flat_map(|to| METHODS.map(|method| (*to, method)));
        cases.map(|(to, method)| hops(&world.net.client, to, method)).collect()
    };
    let plain = all(&world)?;
    world.start("", &builtin("home", "", ""))?;
    let through = all(&world)?;
    let expected = [at::LAN, at::SERVER].map(|pair| pair.map(|address| address.to_string()));
    for (n, hops) in through.iter().enumerate() {
        let family = n / METHODS.len();
        ensure!(*hops == [&*expected[0][family], &*expected[1][family]], "{hops:?}");
    }
    ensure!(plain == through, "a plain router shows {plain:?}, this gateway {through:?}");
    ensure!(world.info()?.passed_packets.v6 > 0, "it went around the gateway");
    Ok(())
}

/// The TTL that echo requests sent with `ttl` have when they arrive, and that of the replies.
fn ttls(world: &World, to: IpAddr, from: IpAddr, ttl: &str) -> anyhow::Result<(u8, u8)> {
    let server = Sniffer::on(&world.net.server, "eth0")?;
    let client = Sniffer::on(&world.net.client, "eth0")?;
    let target = to.to_string();
    let words = ["ping", "-n", "-c", "1", "-W", "2", "-t", ttl, &target];
    tools::must(&world.net.client, &words, LIMIT)?;
    let is = |src: IpAddr| {
        move |_: &[u8], parsed: &evergate_wire::Parsed| {
            parsed.src.to_ip() == src && matches!(parsed.proto, 1 | 58)
        }
    };
    let ttl_of = |packet: &[u8]| packet[if to.is_ipv4() { 8 } else { 7 }];
    let request = server.expect("the request", is(from))?;
    let reply = client.expect("the reply", is(to))?;
    Ok((ttl_of(&request), ttl_of(&reply)))
}

fn the_ttl_falls_by_one_in_all() -> anyhow::Result<()> {
    let world = World::home("")?;
    for (server, client) in at::SERVER.into_iter().zip(at::CLIENT) {
        for (sent, arrived) in [("2", 1), ("7", 6), ("64", 63), ("255", 254)] {
            let seen = ttls(&world, server, client, sent)?;
            ensure!(seen == (arrived, 63), "{server}: {sent} became {seen:?}");
        }
    }
    Ok(())
}

fn a_ttl_of_one_ends_at_the_gateway() -> anyhow::Result<()> {
    let world = World::home("")?;
    for (server, gateway, says) in [
        (at::SERVER[0], at::LAN[0], "Time to live exceeded"),
        (at::SERVER[1], at::LAN[1], "Time exceeded: Hop limit"),
    ] {
        let target = server.to_string();
        let words = ["ping", "-n", "-c", "1", "-W", "2", "-t", "1", &target];
        let said = tools::run(&world.net.client, &words, LIMIT)?;
        let from = format!("From {gateway} ");
        ensure!(!said.ok && said.out.contains(&from) && said.out.contains(says), "{said:?}");
    }
    Ok(())
}
