//! Diverting traffic, and leaving everything of others as it was.

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::*;
use evergate_io::divert::{Divert, DivertError, OnCrash, PRIORITY_BASE, clean_leftovers};
use evergate_io::netlink::{
    Family, Monitor, Netlink, PROTOCOL_BOOT, Route, RouteKind, Rule, RuleAction, TABLE_LOCAL,
};
use evergate_lab::{Gateway, Host};

/// Names the state file for the process that is to be killed, and its `filter_local`.
const VICTIM: &str = "EVERGATE_TEST_VICTIM";

fn main() {
    if let Ok(instruction) = std::env::var(VICTIM) {
        victim(&instruction);
    }
    common::run_tests(common::tests![
        a_clean_stop_takes_back_exactly_what_was_set_up,
        a_crash_fails_closed_and_a_restart_heals_it,
        a_restart_with_another_configuration_restores_what_it_no_longer_needs,
        leftovers_are_cleaned_without_touching_others,
        the_host_can_be_reached_after_cleaning_without_the_state_file,
        nothing_slips_past_while_a_crash_is_taken_over,
        open_on_crash_lets_everything_pass_when_the_tun_is_gone,
        forwarding_that_was_on_stays_on_and_passes_no_tun_afterwards,
        a_killed_process_leaves_the_gateway_closed,
        a_table_that_others_use_is_refused_and_left_alone,
        strict_reverse_path_filtering_is_refused_with_filter_local_and_works_without,
        reverse_path_filtering_for_all_devices_does_not_stop_the_tun,
        without_filter_local_traffic_of_the_gateway_itself_stays_out_of_the_tuns,
        filter_local_takes_connections_to_the_gateway_through_the_tuns,
        filter_local_takes_the_gateways_own_connections_through_the_tuns,
        filter_local_leaves_pings_and_the_hosts_own_loop_working,
        filter_local_passes_nothing_when_the_relay_drops_all,
        filter_local_closes_the_gateway_itself_when_the_process_dies,
        filter_local_finds_neighbours_anew,
        filter_local_answers_arp_for_its_own_addresses_only,
        rules_that_others_take_away_are_put_back,
        filter_local_follows_addresses_and_routes,
        filter_local_leads_only_attached_routes_into_the_self_tun,
    ]);
}

fn netlink<T: Send>(host: &Host, work: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    host.run(|| work(&mut Netlink::open().expect("netlink"))).expect("host")
}

/// Rules and routes of somebody else, as close to ours as they come.
fn add_foreign(world: &Gateway) {
    netlink(&world.gateway, |netlink| {
        let lan = netlink.link("lan0").expect("links").expect("lan0").index;
        for family in Family::BOTH {
            for priority in [PRIORITY_BASE - 1, PRIORITY_BASE, PRIORITY_BASE + 1, PRIORITY_BASE + 2]
            {
                let mut rule = Rule::new(family, priority, RuleAction::Lookup(77));
                rule.protocol = 99;
                rule.iif = Some("wan0".to_owned());
                rule.to = Some(match family {
                    Family::V4 => (ip("10.77.0.0"), 16),
                    Family::V6 => (ip("fd77::"), 16),
                });
                netlink.add_rule(&rule).expect("foreign rule");
            }
        }
        let foreign: [(&str, u8, u32, u8); 4] = [
            ("10.78.0.0", 16, 77, 99),
            ("10.79.0.0", 16, 254, PROTOCOL_BOOT),
            ("fd78::", 16, 77, 99),
            ("fd79::", 16, 254, PROTOCOL_BOOT),
        ];
        for (destination, prefix, table, protocol) in foreign {
            let mut route = Route::to(ip(destination), prefix);
            route.table = table;
            route.protocol = protocol;
            route.oif = Some(lan);
            route.priority = 5;
            netlink.add_route(&route).expect("foreign route");
        }
    });
}

fn everything_passes(router: &Router) -> bool {
    let (client, server) = (&router.world.client, &router.world.server);
    [SERVER_V4, SERVER_V6].iter().all(|address| talks(client, server, address, LIMIT))
}

fn nothing_passes(world: &Gateway) -> bool {
    [SERVER_V4, SERVER_V6].iter().all(|address| {
        !talks(&world.client, &world.server, address, SILENCE)
            && !datagram_arrives(&world.client, &world.server, address, SILENCE)
    })
}

fn a_clean_stop_takes_back_exactly_what_was_set_up() {
    for filter_local in [false, true] {
        let world = world();
        add_foreign(&world);
        let before = dump(&world.gateway);
        let mut router = Router::on(world, filter_local, OnCrash::Closed);
        assert_ne!(dump(&router.world.gateway), before);
        assert!(everything_passes(&router));
        router.tear_down();
        assert_same(
            &dump(&router.world.gateway),
            &before,
            &format!("filter_local = {filter_local}"),
        );
        assert!(!router.scratch.state_file().exists());
        assert!(nothing_passes(&router.world), "forwarding was off before");
    }
}

fn a_crash_fails_closed_and_a_restart_heals_it() {
    for filter_local in [false, true] {
        let world = world();
        add_foreign(&world);
        let before = dump(&world.gateway);
        let mut router = Router::on(world, filter_local, OnCrash::Closed);
        router.crash();
        assert!(nothing_passes(&router.world));
        router.restart(filter_local).expect("restart");
        assert!(everything_passes(&router));
        router.tear_down();
        assert_same(
            &dump(&router.world.gateway),
            &before,
            &format!("filter_local = {filter_local}"),
        );
    }
}

fn a_restart_with_another_configuration_restores_what_it_no_longer_needs() {
    let world = world();
    let before = dump(&world.gateway);
    let mut router = Router::on(world, true, OnCrash::Closed);
    router.crash();
    router.restart(false).expect("restart");
    let rules = netlink(&router.world.gateway, |netlink| netlink.rules().expect("rules"));
    let local = |rule: &&Rule| rule.action == RuleAction::Lookup(TABLE_LOCAL);
    let local: Vec<_> = rules.iter().filter(local).map(|rule| rule.priority).collect();
    assert_eq!(local, [0, 0], "the local rules are back in their places");
    router.tear_down();
    assert_same(&dump(&router.world.gateway), &before, "after all");
}

fn leftovers_are_cleaned_without_touching_others() {
    for filter_local in [false, true] {
        let world = world();
        add_foreign(&world);
        let before = dump(&world.gateway);
        let mut router = Router::on(world, filter_local, OnCrash::Closed);
        router.crash();
        let state_file = router.scratch.state_file();
        let clean = || clean_leftovers(&state_file);
        let found = router.world.gateway.run(clean).expect("host").expect("clean");
        assert!(found.rules >= 4 && found.routes >= 4 && found.settings >= 2, "{found:?}");
        assert_eq!(found.local_rules, if filter_local { 2 } else { 0 });
        assert_same(&dump(&router.world.gateway), &before, "after all");
        let again = router.world.gateway.run(clean).expect("host").expect("clean");
        assert!(again.is_empty(), "{again:?}");
    }
}

fn the_host_can_be_reached_after_cleaning_without_the_state_file() {
    let mut router = Router::new(true);
    router.crash();
    std::fs::remove_file(router.scratch.state_file()).expect("state file");
    let state_file = router.scratch.state_file();
    let clean = || clean_leftovers(&state_file);
    router.world.gateway.run(clean).expect("host").expect("clean");
    assert!(ping(&router.world.client, LAN_V4) && ping(&router.world.client, LAN_V6));
}

/// On a gateway that forwards by itself any gap would show at once.
fn nothing_slips_past_while_a_crash_is_taken_over() {
    let world = world();
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        world.gateway.sysctl(key, "1").expect("sysctl");
    }
    let mut router = Router::on(world, true, OnCrash::Closed);
    router.set_pass(false);
    let stop = Arc::new(AtomicBool::new(false));
    let sent = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    let floods: Vec<_> = [("0.0.0.0:0", SERVER_V4), ("[::]:0", SERVER_V6)]
        .into_iter()
        .zip(&sent)
        .map(|((any, to), sent)| {
            let bind = |host: &Host, at: String| {
                host.run(|| UdpSocket::bind(at)).expect("host").expect("bind")
            };
            let receiver = bind(&router.world.server, any.to_owned());
            let target = SocketAddr::new(ip(to), receiver.local_addr().expect("address").port());
            let sender = bind(&router.world.client, any.to_owned());
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(sent));
            let flood = thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Refusals by the closed gateway are told to the socket, too.
                    let taken = sender.send_to(b"past", target).is_ok();
                    sent.fetch_add(u32::from(taken), Ordering::Relaxed);
                    thread::sleep(Duration::from_micros(50));
                }
            });
            (receiver, flood)
        })
        .collect();
    let enough = || sent.iter().all(|sent| sent.load(Ordering::Relaxed) > 1000);
    for round in 0..60 {
        router.crash();
        router.restart_dropping(round % 2 == 0);
        if round >= 5 && enough() {
            break;
        }
    }
    assert!(enough(), "too few datagrams to hit a gap: {sent:?}");
    stop.store(true, Ordering::Relaxed);
    for (receiver, flood) in floods {
        flood.join().expect("flood");
        receiver.set_read_timeout(Some(SILENCE)).expect("timeout");
        assert!(receiver.recv(&mut [0; 16]).is_err(), "a datagram slipped past");
    }
}

fn open_on_crash_lets_everything_pass_when_the_tun_is_gone() {
    let mut router = Router::on(world(), false, OnCrash::Open);
    assert!(everything_passes(&router));
    router.crash();
    assert!(everything_passes(&router));
}

fn forwarding_that_was_on_stays_on_and_passes_no_tun_afterwards() {
    let world = world();
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        world.gateway.sysctl(key, "1").expect("sysctl");
    }
    let before = dump(&world.gateway);
    let mut router = Router::on(world, false, OnCrash::Closed);
    let frames = router.lan().frames();
    assert!(everything_passes(&router));
    assert!(router.lan().frames() > frames);
    router.tear_down();
    assert_same(&dump(&router.world.gateway), &before, "after all");
    assert!(everything_passes(&router), "as a plain router");
}

fn a_killed_process_leaves_the_gateway_closed() {
    for filter_local in ["", "+local"] {
        let world = world();
        add_foreign(&world);
        let before = dump(&world.gateway);
        let scratch = Scratch::new();
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.env(VICTIM, format!("{}{filter_local}", scratch.state_file().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let process = world.gateway.spawn(command).expect("victim");
        let (client, server) = (&world.client, &world.server);
        let deadline = std::time::Instant::now() + LIMIT;
        while !talks(client, server, SERVER_V4, SILENCE) {
            assert!(std::time::Instant::now() < deadline, "the victim never relayed");
            assert!(process.try_wait().expect("wait").is_none(), "the victim ended by itself");
        }
        process.kill();
        let status = process.try_wait().expect("wait").expect("dead");
        assert_eq!(status.signal(), Some(9));
        assert!(nothing_passes(&world));
        let state_file = scratch.state_file();
        world.gateway.run(|| clean_leftovers(&state_file)).expect("host").expect("clean");
        assert_same(&dump(&world.gateway), &before, "after all");
    }
}

/// The process that is killed: relays until then.
fn victim(instruction: &str) -> ! {
    let (state_file, filter_local) = match instruction.strip_suffix("+local") {
        Some(path) => (path, true),
        None => (instruction, false),
    };
    let relays = start_relays(filter_local);
    let config = config(&relays, OnCrash::Closed, &PathBuf::from(state_file));
    let _divert = Divert::set_up(config).expect("divert");
    loop {
        thread::park();
    }
}

fn a_table_that_others_use_is_refused_and_left_alone() {
    let world = world();
    netlink(&world.gateway, |netlink| {
        let lan = netlink.link("lan0").expect("links").expect("lan0").index;
        let mut route = Route::default_of(Family::V4);
        route.table = evergate_io::divert::TABLE_BASE + 1;
        route.oif = Some(lan);
        route.priority = 16;
        netlink.add_route(&route).expect("foreign route");
    });
    let before = dump(&world.gateway);
    let scratch = Scratch::new();
    let state_file = scratch.state_file();
    let result = world.gateway.run(|| {
        let relays = start_relays(false);
        Divert::set_up(config(&relays, OnCrash::Closed, &state_file)).map(|_| ())
    });
    let error = result.expect("host").expect_err("refused");
    assert!(matches!(error, DivertError::TableInUse { table: 5201 }), "{error}");
    assert_same(&dump(&world.gateway), &before, "what was begun is taken back");
}

fn strict_reverse_path_filtering_is_refused_with_filter_local_and_works_without() {
    let world = world();
    world.gateway.sysctl("ipv4/conf/lan0/rp_filter", "1").expect("sysctl");
    let scratch = Scratch::new();
    let state_file = scratch.state_file();
    let result = world.gateway.run(|| {
        let relays = start_relays(true);
        Divert::set_up(config(&relays, OnCrash::Closed, &state_file)).map(|_| ())
    });
    let error = result.expect("host").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "net.ipv4.conf.lan0.rp_filter is 1 (strict), which cannot work with filter_local: set \
         it to 2 (loose) or 0"
    );
    let router = Router::on(world, false, OnCrash::Closed);
    assert!(everything_passes(&router));
}

fn reverse_path_filtering_for_all_devices_does_not_stop_the_tun() {
    for (value, filter_local) in [("1", false), ("2", false), ("2", true)] {
        let world = world();
        world.gateway.sysctl("ipv4/conf/all/rp_filter", value).expect("sysctl");
        let before = dump(&world.gateway);
        let mut router = Router::on(world, filter_local, OnCrash::Closed);
        assert!(everything_passes(&router), "all.rp_filter = {value}");
        if filter_local {
            assert!(talks(&router.world.client, &router.world.gateway, LAN_V4, LIMIT));
        }
        router.tear_down();
        assert_same(&dump(&router.world.gateway), &before, "after all");
    }
}

fn without_filter_local_traffic_of_the_gateway_itself_stays_out_of_the_tuns() {
    let router = Router::new(false);
    router.set_pass(false);
    let (client, gateway) = (&router.world.client, &router.world.gateway);
    assert!(talks(client, gateway, LAN_V4, LIMIT) && talks(client, gateway, LAN_V6, LIMIT));
    assert!(talks(gateway, client, CLIENT_V4, LIMIT) && talks(gateway, client, CLIENT_V6, LIMIT));
    assert_eq!(router.lan().frames() + router.wan().frames(), 0);
}

fn filter_local_takes_connections_to_the_gateway_through_the_tuns() {
    let router = Router::new(true);
    let (client, gateway) = (&router.world.client, &router.world.gateway);
    for address in [LAN_V4, LAN_V6] {
        let (arriving, own) = (router.lan().frames(), router.own().frames());
        assert!(talks(client, gateway, address, LIMIT), "{address}");
        assert!(router.lan().frames() >= arriving + 3, "SYN, ACK and data of {address}");
        assert!(router.own().frames() >= own + 2, "SYN-ACK and data of {address}");
    }
    transfer(client, gateway, LAN_V4, 4);
    transfer(gateway, client, CLIENT_V6, 4);
    assert!(router.own().longest() > 20_000, "its own super-packets stay whole");
}

fn filter_local_takes_the_gateways_own_connections_through_the_tuns() {
    let router = Router::new(true);
    let (gateway, server) = (&router.world.gateway, &router.world.server);
    for address in [SERVER_V4, SERVER_V6] {
        let (arriving, own) = (router.wan().frames(), router.own().frames());
        assert!(talks(gateway, server, address, LIMIT), "{address}");
        assert!(router.own().frames() >= own + 3, "SYN, ACK and data to {address}");
        assert!(router.wan().frames() >= arriving + 2, "SYN-ACK and data from {address}");
    }
}

fn filter_local_leaves_pings_and_the_hosts_own_loop_working() {
    let router = Router::new(true);
    let (client, gateway) = (&router.world.client, &router.world.gateway);
    let before = router.lan().frames();
    assert!(ping(client, LAN_V4), "client to gateway, IPv4");
    assert!(router.lan().frames() > before, "and it was seen");
    assert!(ping(client, LAN_V6), "client to gateway, IPv6");
    let before = router.own().frames();
    assert!(ping(gateway, CLIENT_V4), "gateway to client, IPv4");
    assert!(router.own().frames() > before, "and it was seen");
    assert!(ping(gateway, CLIENT_V6), "gateway to client, IPv6");
    for own in ["127.0.0.1", "::1", LAN_V4, LAN_V6, "10.0.2.1", "fd00:2::1"] {
        assert!(talks(gateway, gateway, own, LIMIT), "gateway to itself at {own}");
    }
}

fn filter_local_passes_nothing_when_the_relay_drops_all() {
    let router = Router::new(true);
    router.set_pass(false);
    let (client, gateway) = (&router.world.client, &router.world.gateway);
    for (from, to, address) in [
        (client, gateway, LAN_V4),
        (client, gateway, LAN_V6),
        (gateway, client, CLIENT_V4),
        (gateway, client, CLIENT_V6),
    ] {
        assert!(!talks(from, to, address, SILENCE), "TCP to {address}");
        assert!(!datagram_arrives(from, to, address, SILENCE), "UDP to {address}");
    }
    assert!(!ping(client, LAN_V4), "ping to the gateway");
    assert!(!ping(gateway, CLIENT_V4), "ping from the gateway");
    assert!(nothing_passes(&router.world));
}

fn filter_local_closes_the_gateway_itself_when_the_process_dies() {
    let mut router = Router::new(true);
    router.crash();
    let (client, gateway) = (&router.world.client, &router.world.gateway);
    for (from, to, address) in [
        (client, gateway, LAN_V4),
        (client, gateway, LAN_V6),
        (gateway, client, CLIENT_V4),
        (gateway, client, CLIENT_V6),
    ] {
        assert!(!talks(from, to, address, SILENCE), "TCP to {address}");
    }
    assert!(talks(gateway, gateway, "127.0.0.1", LIMIT), "its own loop stays");
}

fn filter_local_finds_neighbours_anew() {
    let router = Router::new(true);
    let (client, gateway) = (&router.world.client, &router.world.gateway);
    for address in [LAN_V4, LAN_V6, SERVER_V4, SERVER_V6] {
        client.flush_neighbours("eth0").expect("flush");
        gateway.flush_neighbours("lan0").expect("flush");
        let to = if address.contains('2') && address.starts_with("10.0.2")
            || address.starts_with("fd00:2")
        {
            &router.world.server
        } else {
            gateway
        };
        let begun = std::time::Instant::now();
        assert!(talks(client, to, address, LIMIT), "{address}");
        let took = begun.elapsed();
        assert!(took.as_millis() < 700, "answered without the proxy's delay: {took:?}");
    }
}

fn filter_local_answers_arp_for_its_own_addresses_only() {
    let router = Router::new(true);
    // On the client's link, but nobody has it: a gateway that answered for everything would
    // draw its neighbours' traffic.
    assert!(!ping(&router.world.client, "10.0.1.77"));
    let known = netlink(&router.world.client, |netlink| netlink.neighbours().expect("list"));
    let stranger = known.iter().find(|neighbour| neighbour.address == ip("10.0.1.77"));
    assert!(stranger.is_none_or(|neighbour| neighbour.mac.is_empty()), "{stranger:?}");
}

fn filter_local_follows_addresses_and_routes() {
    let mut router = Router::new(true);
    assert!(!router.refresh(), "nothing changed yet");
    let gateway = router.world.gateway.clone();
    gateway.address("lan0", "10.0.9.1/24").expect("address");
    router.world.client.address("eth0", "10.0.9.2/24").expect("address");
    assert!(router.refresh());
    assert!(!router.refresh(), "our own changes are no changes");
    let own = router.own().frames();
    assert!(talks(&gateway, &router.world.client, "10.0.9.2", LIMIT));
    assert!(router.own().frames() >= own + 3, "the new prefix leads through the tun");
    let arriving = router.lan().frames();
    assert!(talks(&router.world.client, &gateway, "10.0.9.1", LIMIT), "ARP for the new address");
    assert!(router.lan().frames() >= arriving + 3);
    gateway.remove_address("lan0", "10.0.9.1/24").expect("address");
    assert!(router.refresh());
    let leftover = netlink(&gateway, |netlink| {
        let routes = netlink.routes().expect("routes").into_iter();
        let within = |address: IpAddr| address.to_string().starts_with("10.0.9.");
        routes.filter(|route| within(route.destination)).count()
            + netlink.proxies().expect("proxies").iter().filter(|p| within(p.address)).count()
    });
    assert_eq!(leftover, 0);
}

fn rules_that_others_take_away_are_put_back() {
    for filter_local in [false, true] {
        let mut router = Router::new(filter_local);
        let gateway = router.world.gateway.clone();
        let set_up = dump(&gateway);
        let mut monitor = gateway.run(Monitor::open).expect("host").expect("monitor");
        netlink(&gateway, |netlink| {
            for rule in netlink.rules().expect("rules") {
                if rule.protocol == evergate_io::divert::PROTOCOL {
                    netlink.delete_rule(&rule).expect("delete");
                }
            }
            if filter_local {
                let local = Rule::new(Family::V4, 0, RuleAction::Lookup(TABLE_LOCAL));
                netlink.add_rule(&local).expect("add");
            }
        });
        assert!(monitor.drain().expect("drain") >= 4, "the monitor sees rules");
        assert!(router.refresh());
        let mut now = dump(&gateway);
        now.sort();
        let mut before = set_up;
        before.sort();
        assert_same(&now, &before, "after the refresh");
        assert!(everything_passes(&router));
    }
}

fn filter_local_leads_only_attached_routes_into_the_self_tun() {
    let world = world();
    let extra = world.lab.host("extra").expect("host");
    let link = ((&world.gateway, "mgmt0"), (&extra, "eth0"));
    world.lab.link(link.0, link.1, evergate_lab::LinkOptions::default()).expect("link");
    world.gateway.address("mgmt0", "10.0.8.1/24").expect("address");
    extra.address("eth0", "10.0.8.2/24").expect("address");
    let router = Router::on(world, true, OnCrash::Closed);
    router.set_pass(false);
    assert!(talks(&router.world.gateway, &extra, "10.0.8.2", LIMIT), "not attached: untouched");
    assert!(talks(&extra, &router.world.gateway, "10.0.8.1", LIMIT), "not attached: untouched");
    let routes = netlink(&router.world.gateway, |netlink| netlink.routes().expect("routes"));
    let shadow = routes.iter().find(|route| {
        route.table == evergate_io::divert::TABLE_BASE + 2 && route.destination == ip("10.0.8.0")
    });
    assert_eq!(shadow.expect("a shadow").kind, RouteKind::Throw);
}
