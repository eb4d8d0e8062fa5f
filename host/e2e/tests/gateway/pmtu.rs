//! Path MTU discovery, where the gateway's own link and a later one are the narrow ones.

use std::net::IpAddr;

use anyhow::ensure;
use evergate_e2e::streams::{self, Download, Server};
use evergate_e2e::tools;
use evergate_e2e::wait::LIMIT;
use evergate_e2e::world::{World, at, builtin};
use evergate_lab::{Gateway, Host, Lab, LinkOptions};

use crate::traffic::{curl, nginx};

crate::claims![
    too_large_packets_are_answered_with_the_mtu_of_the_narrow_link,
    tcp_finds_the_mtu_of_the_path_both_ways,
];

const SERVER: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 4, 2)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 4, 0, 0, 0, 0, 0, 2)),
];

/// ```text
/// client ─1500─ gateway ─1400─ near ─1300─ far ─1500─ server
///          10.0.1      10.0.2       10.0.3      10.0.4
/// ```
/// The ends see links of 1500 bytes only, so nothing but discovery tells them of the others.
fn world() -> anyhow::Result<World> {
    let lab = Lab::new()?;
    let host = |name| lab.host(name);
    let (client, gateway, near, far, server) =
        (host("client")?, host("gateway")?, host("near")?, host("far")?, host("server")?);
    let mtu = |mtu| LinkOptions { mtu: Some(mtu) };
    let links = [
        ((&client, "eth0"), (&gateway, "lan0"), 1500, 1),
        ((&gateway, "wan0"), (&near, "left"), 1400, 2),
        ((&near, "right"), (&far, "left"), 1300, 3),
        ((&far, "right"), (&server, "eth0"), 1500, 4),
    ];
    for (left, right, size, net) in links {
        lab.link(left, right, mtu(size))?;
        // The client has the greater address on its link, as in the ready topology.
        let (a, b) = if net == 1 { (2, 1) } else { (1, 2) };
        for ((host, device), last) in [(left, a), (right, b)] {
            host.address(device, &format!("10.0.{net}.{last}/24"))?;
            host.address(device, &format!("fd00:{net}::{last}/64"))?;
        }
    }
    let routes: [(&Host, &str, u8, u8); 6] = [
        (&client, "default", 1, 1),
        (&gateway, "default", 2, 2),
        (&near, "default", 3, 2),
        (&near, "1", 2, 1),
        (&far, "default", 3, 1),
        (&server, "default", 4, 1),
    ];
    for (host, to, net, last) in routes {
        let (v4, v6) = match to {
            "default" => ("default".to_owned(), "default".to_owned()),
            n => (format!("10.0.{n}.0/24"), format!("fd00:{n}::/64")),
        };
        host.route(&v4, &format!("10.0.{net}.{last}"))?;
        host.route(&v6, &format!("fd00:{net}::{last}"))?;
    }
    for router in [&near, &far] {
        router.sysctl("ipv4/ip_forward", "1")?;
        router.sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    gateway.sysctl("ipv4/ip_forward", "0")?;
    gateway.sysctl("ipv6/conf/all/forwarding", "0")?;
    let mut world = World::over(Gateway { client, gateway, server, lab })?;
    world.start("", &builtin("home", "tcp_in = [8080]", ""))?;
    Ok(world)
}

/// Pings with a packet of `size` bytes that must not be cut; returns all that was said.
fn ping(host: &Host, to: IpAddr, size: u32) -> anyhow::Result<tools::Said> {
    let headers = if to.is_ipv4() { 28 } else { 48 };
    let (payload, to) = ((size - headers).to_string(), to.to_string());
    let words = ["ping", "-n", "-M", "do", "-c", "1", "-W", "2", "-s", &payload, &to];
    tools::run(host, &words, LIMIT)
}

fn too_large_packets_are_answered_with_the_mtu_of_the_narrow_link() -> anyhow::Result<()> {
    let world = world()?;
    let client = &world.net.client;
    for (family, server) in SERVER.into_iter().enumerate() {
        let near = if family == 0 { "10.0.2.2" } else { "fd00:2::2" };
        let gateway = at::LAN[family].to_string();
        let words = if family == 0 { "(mtu = " } else { "mtu=" };
        for (size, from, mtu) in [(1500, &*gateway, 1400), (1400, near, 1300)] {
            let said = ping(client, server, size)?;
            let told = [format!("From {from} "), format!("{words}{mtu}")];
            let all_told = told.iter().all(|part| said.out.contains(part));
            ensure!(!said.ok && all_told, "{size} to {server}: {said:?}");
        }
        let said = ping(client, server, 1300)?;
        ensure!(said.ok, "{server}: {said:?}");
        let route = tools::must(client, &["ip", "route", "get", &server.to_string()], LIMIT)?;
        ensure!(route.contains("mtu 1300"), "the client has not learned it: {route}");
    }
    Ok(())
}

fn tcp_finds_the_mtu_of_the_path_both_ways() -> anyhow::Result<()> {
    let world = world()?;
    let (client, server) = (&world.net.client, &world.net.server);
    let page = streams::beginning(10_000_000);
    let _nginx = nginx(&world, server, &page)?;
    let _upload = Server::download(client, 8080)?;
    let narrowed = |host: &Host, to: IpAddr| {
        let route = tools::must(host, &["ip", "route", "get", &to.to_string()], LIMIT)?;
        ensure!(route.contains("mtu 1300"), "{} has not learned it: {route}", host.name());
        // It would be told to the next connection, which then had nothing to find.
        for family in ["-4", "-6"] {
            tools::must(host, &["ip", family, "route", "flush", "cache"], LIMIT)?;
        }
        anyhow::Ok(())
    };
    for (family, to) in SERVER.into_iter().enumerate() {
        ensure!(curl(&world, client, to)? == page, "{to}: another page");
        narrowed(server, at::CLIENT[family])?;
        Download::start(server, at::CLIENT[family], 8080, 10_000_000)?.finish()?;
        narrowed(client, to)?;
    }
    Ok(())
}
