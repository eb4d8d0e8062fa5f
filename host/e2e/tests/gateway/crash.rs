//! Death and rebirth, and what is left behind.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::ensure;
use evergate_e2e::frames::Sniffer;
use evergate_e2e::streams::{Download, Server, connect_and_echo, echoes};
use evergate_e2e::tools;
use evergate_e2e::wait::LIMIT;
use evergate_e2e::world::{World, at, builtin, ensure_same, fingerprint, pings};
use evergate_lab::{Forwarding, Gateway, Host, LinkOptions};

crate::claims![
    after_sigkill_in_mid_transfer_nothing_passes_until_it_runs_again,
    a_clean_stop_leaves_no_trace,
    a_stop_after_a_crash_leaves_no_trace,
    open_on_crash_lets_the_kernel_carry_on,
    a_second_gateway_is_refused,
    a_broken_configuration_changes_nothing,
];

/// Rules and routes of somebody else, near to ours.
fn add_foreign(gateway: &Host) -> anyhow::Result<()> {
    for words in [
        "ip rule add pref 5200 from 192.0.2.0/24 lookup 77",
        "ip rule add pref 5201 iif lan0 to 192.0.2.0/24 lookup 77",
        "ip -6 rule add pref 5201 from 2001:db8::/32 lookup 77",
        "ip route add 198.51.100.0/24 via 10.0.2.2",
        "ip route add 198.51.100.0/24 via 10.0.2.2 table 77",
        "ip -6 route add 2001:db8::/32 via fd00:2::2",
        "ip -6 route add 2001:db8::/32 via fd00:2::2 table 77",
        "ip addr add 192.0.2.1/24 dev lo",
    ] {
        tools::must(gateway, &words.split(' ').collect::<Vec<_>>(), LIMIT)?;
    }
    Ok(())
}

/// What of foreign things a text of [`fingerprint`] tells.
fn foreign(text: &str) -> Vec<&str> {
    let ours = ["192.0.2.", "198.51.100.", "2001:db8:"];
    text.lines().filter(|line| ours.iter().any(|part| line.contains(part))).collect()
}

/// How many packets from `source` a sniffer sees in a while, and how many to it.
fn seen(sniffer: &Sniffer, source: IpAddr) -> anyhow::Result<(u32, u32)> {
    let (mut from, mut to) = (0, 0);
    sniffer.find(Duration::from_millis(1_200), |_, parsed| {
        from += u32::from(parsed.src.to_ip() == source);
        to += u32::from(parsed.dst.to_ip() == source);
        false
    })?;
    Ok((from, to))
}

fn after_sigkill_in_mid_transfer_nothing_passes_until_it_runs_again() -> anyhow::Result<()> {
    for family in 0..2 {
        let mut world = World::home("")?;
        add_foreign(&world.net.gateway)?;
        let _server = Server::download(&world.net.server, 80)?;
        let download = Download::start(&world.net.client, at::SERVER[family], 80, 1 << 40)?;
        download.wait_for(50 << 20)?;
        let running = fingerprint(&world.net.gateway)?;
        world.kill();

        // Both ends still try; nothing of it comes to the other.
        let at_server = Sniffer::on(&world.net.server, "eth0")?;
        let at_client = Sniffer::on(&world.net.client, "eth0")?;
        let received = download.received();
        let (from, to) = seen(&at_server, at::CLIENT[family])?;
        ensure!(from == 0, "{from} packets of the client came to the server");
        ensure!(to > 0, "the server should have tried again");
        let (from, _) = seen(&at_client, at::SERVER[family])?;
        ensure!(from == 0, "{from} packets of the server came to the client");
        // What had arrived before may have been read after the kill, no more.
        ensure!(download.received() - received <= 16 << 20, "bytes came after the kill");
        drop(download);
        ensure!(!pings(&world.net.client, at::SERVER[family])?, "a ping passed");
        let dead = fingerprint(&world.net.gateway)?;
        ensure!(foreign(&running) == foreign(&dead), "foreign things were touched: {dead}");

        world.start("", &builtin("home", "", ""))?;
        Download::start(&world.net.client, at::SERVER[family], 80, 1 << 20)?.finish()?;
        ensure!(foreign(&running) == foreign(&fingerprint(&world.net.gateway)?), "foreign things");
    }
    Ok(())
}

fn a_clean_stop_leaves_no_trace() -> anyhow::Result<()> {
    for (local, kernel) in [(false, false), (false, true), (true, false)] {
        let forwarding = if kernel { Forwarding::Kernel } else { Forwarding::Off };
        let net = Gateway::build(forwarding, LinkOptions::default(), LinkOptions::default())?;
        let mut world = World::over(net)?;
        add_foreign(&world.net.gateway)?;
        let before = fingerprint(&world.net.gateway)?;
        world.start(&format!("filter_local = {local}"), &builtin("home", "", ""))?;
        ensure!(pings(&world.net.client, at::SERVER[0])?, "no traffic");
        let during = fingerprint(&world.net.gateway)?;
        ensure!(before != during, "a fingerprint that sees nothing");
        world.stop()?;
        let after = fingerprint(&world.net.gateway)?;
        ensure_same(&format!("filter_local = {local}, kernel = {kernel}"), &before, &after)?;
        ensure!(!world.place.control().exists(), "the control socket is left");
        ensure!(pings(&world.net.client, at::SERVER[1])? == kernel, "forwarding is as before");
    }
    Ok(())
}

fn a_stop_after_a_crash_leaves_no_trace() -> anyhow::Result<()> {
    for local in [false, true] {
        let mut world = World::new()?;
        add_foreign(&world.net.gateway)?;
        let before = fingerprint(&world.net.gateway)?;
        let gateway = format!("filter_local = {local}");
        for _ in 0..2 {
            world.start(&gateway, &builtin("home", "", ""))?;
            world.kill();
        }
        world.start(&gateway, &builtin("home", "", ""))?;
        for to in at::SERVER {
            ensure!(pings(&world.net.client, to)?, "{to}: no traffic after a crash");
        }
        world.stop()?;
        ensure_same(&gateway, &before, &fingerprint(&world.net.gateway)?)?;
    }
    Ok(())
}

fn open_on_crash_lets_the_kernel_carry_on() -> anyhow::Result<()> {
    let net = Gateway::build(Forwarding::Kernel, LinkOptions::default(), LinkOptions::default())?;
    let mut world = World::over(net)?;
    world.start("on_crash = \"open\"", &builtin("home", "", ""))?;
    let _server = Server::echo(&world.net.server, 80)?;
    let mut streams = Vec::new();
    for to in at::SERVER {
        streams.push(connect_and_echo(&world.net.client, to, 80)?);
    }
    ensure!(world.info()?.inserts >= 2, "it went around the gateway");
    world.kill();
    for mut stream in streams {
        ensure!(echoes(&mut stream, b"still there", LIMIT)?, "an old connection has suffered");
    }
    for to in at::SERVER {
        connect_and_echo(&world.net.client, to, 80)?;
    }
    Ok(())
}

fn a_second_gateway_is_refused() -> anyhow::Result<()> {
    let world = World::home("")?;
    let running = fingerprint(&world.net.gateway)?;
    let pid = world.info()?.pid;
    let text = std::fs::read_to_string(world.place.path("gateway.toml"))?;
    let text = text.replace("control.sock", "other.sock");
    let config = world.place.write("second.toml", &text)?;
    let said = world.start_in_vain(&config, &[])?;
    let sentence = format!("evergate: a gateway runs already (pid {pid}, ");
    ensure!(said.code == Some(1) && said.err.contains(&sentence), "{said:?}");
    ensure!(said.err.contains("mend: "), "{said:?}");
    ensure_same("the network", &running, &fingerprint(&world.net.gateway)?)?;
    for to in at::SERVER {
        ensure!(pings(&world.net.client, to)?, "{to}: the first one has suffered");
    }
    Ok(())
}

fn a_broken_configuration_changes_nothing() -> anyhow::Result<()> {
    let world = World::new()?;
    let before = fingerprint(&world.net.gateway)?;
    let place = world.place.path("");
    let head = format!(
        "[gateway]\ncontrol = {:?}\nstate_dir = {:?}\n",
        world.place.control().display().to_string(),
        place.display().to_string()
    );
    let good = builtin("home", "", "");
    for (what, text, says) in [
        ("no TOML", "[gateway\n".to_owned(), "bad.toml:1:"),
        ("an unknown key", head.clone() + "quues = 2\n" + &good, "queues"),
        ("no interface", head.clone(), "[[interface]]"),
        ("a bare number", head.clone() + &good + "[timeouts]\nfrag = 5\n", "unit"),
        ("no built-in", head.clone() + &good.replace("\"home\"", "\"hoem\""), "home"),
        ("a setting of the policy", head.clone() + &good + "tcp_in = [70000]\n", "port"),
        ("a table's entry", head.clone() + &good + "[tables]\nt = [\"10.0.0\"]\n", "10.0.0"),
    ] {
        let config = world.place.write("bad.toml", &text)?;
        let said = world.start_in_vain(&config, &[])?;
        let good = said.code == Some(1) && said.err.contains(says);
        ensure!(good && said.err.contains("bad.toml"), "{what}: {said:?}");
        ensure!(!said.err.contains("panicked"), "{what}: {said:?}");
        ensure_same(what, &before, &fingerprint(&world.net.gateway)?)?;
    }
    Ok(())
}
