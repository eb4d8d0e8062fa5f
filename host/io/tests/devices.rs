//! Tuns, links, addresses, rules, namespaces and raw sockets against the real kernel.

mod common;

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use common::*;
use evergate_io::netlink::{
    AddressOptions, Changes, Family, Monitor, Netlink, NextHop, Route, RouteKind, Rule, RuleAction,
    VethEnd,
};
use evergate_io::netns::NetNs;
use evergate_io::packet_socket::PacketSocket;
use evergate_io::raw_socket::{RawSocket, Received};
use evergate_io::stop::Stop;
use evergate_io::sysctl;
use evergate_io::tun::{FRAME_MAX, MTU_MAX, TunDevice, TunError, Wake};
use evergate_io::wait;

/// Names the process that makes a tun with few descriptors left.
const FEW_DESCRIPTORS: &str = "EVERGATE_TEST_FEW_DESCRIPTORS";

fn main() {
    if std::env::var(FEW_DESCRIPTORS).is_ok() {
        let error = alone(|_| TunDevice::create("eg0", 256, 1500).expect_err("too many"));
        println!("{error}");
        return;
    }
    common::run_tests(common::tests![
        a_tun_is_set_up_for_forwarding,
        a_tun_goes_with_its_last_queue,
        a_name_that_is_taken_is_refused_and_left_alone,
        queue_counts_out_of_range_are_refused,
        running_out_of_descriptors_is_said_plainly,
        a_queue_waits_for_frames_and_for_the_stop_signal,
        malformed_frames_are_refused_and_the_queue_goes_on,
        links_show_their_state_and_counters,
        addresses_come_back_as_they_were_added,
        routes_come_back_as_they_were_added,
        rules_come_back_as_they_were_added,
        errors_say_what_was_asked,
        deleting_a_rule_spares_its_twin_of_another_owner,
        the_monitor_reports_changes_and_the_stop,
        the_monitor_survives_an_overflow,
        a_panic_inside_a_namespace_reaches_the_caller,
        sysctls_follow_the_namespace,
        a_batch_of_frames_arrives_in_order,
        whole_packets_of_one_protocol_arrive_with_ttl_and_destination,
        an_added_address_remembers_who_added_it,
        ports_of_a_bridge_reach_each_other,
    ]);
}

/// Runs `work` in a namespace of its own.
fn alone<T: Send>(work: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    let netns = NetNs::new().unwrap_or_else(|error| panic!("{error}"));
    netns.run(|| work(&mut Netlink::open().expect("netlink"))).expect("namespace")
}

/// Makes the pair `a` and `b`, both up, and returns their numbers.
fn pair(netlink: &mut Netlink) -> (u32, u32) {
    let end = |name| VethEnd { name, netns: None, mtu: Some(1500) };
    netlink.add_veth(end("a"), end("b")).expect("veth");
    let mut index = |name| {
        let index = netlink.link(name).expect("links").expect(name).index;
        netlink.set_up(index).expect("up");
        index
    };
    let indices = (index("a"), index("b"));
    while !netlink
        .links()
        .expect("links")
        .iter()
        .all(|link| link.operational || link.loopback || !link.up)
    {
        thread::sleep(Duration::from_millis(1));
    }
    indices
}

fn a_tun_is_set_up_for_forwarding() {
    alone(|netlink| {
        let tun = TunDevice::create("eg-lan.5", 3, MTU_MAX).expect("tun");
        let link = netlink.link("eg-lan.5").expect("links").expect("there");
        assert_eq!((link.index, link.mtu, link.up), (tun.index(), MTU_MAX, true));
        assert_eq!(link.kind.as_deref(), Some("tun"));
        assert_eq!(tun.name(), "eg-lan.5");
        assert_eq!(tun.into_queues().len(), 3);
        assert!(netlink.addresses().expect("addresses").is_empty(), "no address by itself");
    });
    alone(|_| {
        let _tun = TunDevice::create("eg-lan.5", 1, MTU_MAX).expect("tun");
        for (key, value) in [
            ("ipv4/conf/eg-lan.5/forwarding", "1"),
            ("ipv4/conf/eg-lan.5/accept_local", "1"),
            ("ipv4/conf/eg-lan.5/rp_filter", "0"),
            ("ipv6/conf/eg-lan.5/accept_ra", "0"),
            ("ipv6/conf/eg-lan.5/addr_gen_mode", "1"),
        ] {
            assert_eq!(sysctl::read(key).expect(key), value, "{key}");
        }
    });
}

fn a_tun_goes_with_its_last_queue() {
    alone(|netlink| {
        let mut queues = TunDevice::create("eg0", 2, 1500).expect("tun").into_queues();
        queues.pop();
        assert!(netlink.link("eg0").expect("links").is_some());
        queues.pop();
        assert!(netlink.link("eg0").expect("links").is_none());
    });
}

fn a_name_that_is_taken_is_refused_and_left_alone() {
    alone(|netlink| {
        let (a, _) = pair(netlink);
        let first = TunDevice::create("eg0", 1, 1500).expect("tun");
        for taken in ["eg0", "a"] {
            let error = TunDevice::create(taken, 2, 1500).expect_err("refused");
            assert!(matches!(error, TunError::NameTaken { .. }), "{error}");
        }
        assert!(netlink.link("a").expect("links").is_some_and(|link| link.index == a));
        assert!(netlink.link("eg0").expect("links").is_some_and(|l| l.index == first.index()));
    });
}

fn queue_counts_out_of_range_are_refused() {
    alone(|_| {
        for queues in [0, 257] {
            let error = TunDevice::create("eg0", queues, 1500).expect_err("refused");
            assert!(matches!(error, TunError::BadQueues { .. }), "{error}");
        }
    });
}

fn running_out_of_descriptors_is_said_plainly() {
    // The limit is the process's: it is lowered in one of its own.
    let program = std::env::current_exe().expect("this test");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 40; exec \"$0\""]).arg(program).env(FEW_DESCRIPTORS, "1");
    let output = command.output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("out of file descriptors while making the tun device eg0"), "{text}");
}

fn a_queue_waits_for_frames_and_for_the_stop_signal() {
    alone(|netlink| {
        let tun = TunDevice::create("eg0", 1, 1500).expect("tun");
        let index = tun.index();
        let queue = tun.into_queues().pop().expect("one");
        let stop = Stop::new().expect("eventfd");
        let mut frame = vec![0; FRAME_MAX];
        while queue.read(&mut frame).expect("read").is_some() {}
        let options = AddressOptions::default();
        netlink.add_address(index, ip("10.9.0.1"), 24, options).expect("address");
        let socket = std::net::UdpSocket::bind("10.9.0.1:0").expect("bind");
        socket.send_to(b"into the tun", "10.9.0.2:9").expect("send");
        assert_eq!(queue.wait(&stop).expect("wait"), Wake::Readable);
        let len = queue.read(&mut frame).expect("read").expect("a frame");
        assert_eq!(len, 10 + 20 + 8 + 12);
        assert!(frame[..len].ends_with(b"into the tun"));
        let other = stop.clone();
        let waiter = thread::spawn(move || queue.wait(&other).expect("wait"));
        stop.signal();
        assert_eq!(waiter.join().expect("waiter"), Wake::Stopped);
    });
}

fn malformed_frames_are_refused_and_the_queue_goes_on() {
    alone(|_| {
        let tun = TunDevice::create("eg0", 1, 1500).expect("tun");
        let queue = tun.into_queues().pop().expect("one");
        for malformed in [&[][..], &[0; 9], &[0xff; 64], &[0; 11]] {
            assert!(queue.write(malformed).is_err(), "{malformed:?}");
        }
        let mut good = vec![0; 10 + 20];
        good[10] = 0x45;
        queue.write(&good).expect("a packet is taken, whatever becomes of it");
    });
}

fn links_show_their_state_and_counters() {
    alone(|netlink| {
        let (a, _) = pair(netlink);
        netlink.set_mtu(a, 1400).expect("mtu");
        let link = netlink.link("a").expect("links").expect("a");
        assert_eq!((link.mtu, link.up, link.mac.len()), (1400, true, 6));
        assert_eq!(link.kind.as_deref(), Some("veth"));
        let before = link.counters.tx_packets;
        let sender = PacketSocket::sender("a").expect("socket");
        assert_eq!(sender.send(&vec![[0xffu8; 60]; 700]).expect("send"), 700);
        let after = netlink.link("a").expect("links").expect("a").counters.tx_packets;
        assert!(after >= before + 700, "{before} to {after}");
        netlink.set_down(a).expect("down");
        assert!(!netlink.link("a").expect("links").expect("a").up);
        netlink.delete_link(a).expect("delete");
        assert!(netlink.link("b").expect("links").is_none(), "the other end goes too");
    });
}

fn addresses_come_back_as_they_were_added() {
    alone(|netlink| {
        let (a, _) = pair(netlink);
        for (address, prefix) in [("10.1.2.3", 24), ("fd00::3", 64), ("10.9.9.9", 32)] {
            netlink.add_address(a, ip(address), prefix, AddressOptions::default()).expect("add");
            let all = netlink.addresses().expect("addresses");
            let own = all.iter().find(|own| own.address == ip(address)).expect(address);
            assert_eq!((own.index, own.prefix, own.tentative), (a, prefix, false));
            let broadcast = (address == "10.1.2.3").then(|| "10.1.2.255".parse().expect("v4"));
            assert_eq!(own.broadcast, broadcast);
            netlink.delete_address(a, ip(address), prefix).expect("delete");
        }
    });
}

fn routes_come_back_as_they_were_added() {
    alone(|netlink| {
        let (a, b) = pair(netlink);
        for (address, prefix) in [("10.1.0.1", 16), ("fd00::1", 64)] {
            netlink.add_address(a, ip(address), prefix, AddressOptions::default()).expect("add");
        }
        let base = |destination: &str, prefix| Route {
            table: 70_000,
            protocol: 99,
            priority: 7,
            ..Route::to(ip(destination), prefix)
        };
        let hop = |oif, weight| NextHop { oif, gateway: None, weight, dead: false };
        for route in [
            Route {
                oif: Some(a),
                prefsrc: Some(ip("10.1.0.1")),
                scope: 253,
                ..base("10.5.0.0", 16)
            },
            Route {
                oif: Some(a),
                gateway: Some(ip("10.1.0.9")),
                mtu: Some(1300),
                ..base("10.6.0.0", 15)
            },
            Route { kind: RouteKind::Throw, ..base("10.7.0.0", 16) },
            Route { kind: RouteKind::Unreachable, ..base("0.0.0.0", 0) },
            Route { next_hops: vec![hop(a, 1), hop(b, 5)], scope: 253, ..base("10.8.0.0", 16) },
            Route {
                oif: Some(a),
                gateway: Some(ip("fd00::9")),
                mtu: Some(1300),
                ..base("fd05::", 16)
            },
            Route { kind: RouteKind::Blackhole, ..base("fd06::", 16) },
        ] {
            netlink.add_route(&route).expect("add");
            let all = netlink.routes().expect("routes");
            let found = all.iter().find(|other| other.table == 70_000).expect("it is there");
            let mut found = found.clone();
            found.other.clear();
            if route.kind != RouteKind::Unicast {
                found.oif = None;
            }
            assert_eq!(found, route);
            assert!(netlink.add_route(&route).expect_err("twice").is_exists());
            netlink.delete_route(&route).expect("delete");
            assert!(netlink.delete_route(&route).expect_err("twice").is_missing());
        }
    });
}

fn rules_come_back_as_they_were_added() {
    alone(|netlink| {
        let before = netlink.rules().expect("rules");
        let base = |family| {
            let mut rule = Rule::new(family, 6000, RuleAction::Lookup(70_000));
            rule.protocol = 99;
            rule
        };
        let mut rules = Vec::new();
        for family in Family::BOTH {
            let to = match family {
                Family::V4 => (ip("224.0.0.0"), 4),
                Family::V6 => (ip("ff00::"), 8),
            };
            rules.push(base(family));
            rules.push(Rule { iif: Some("eg-lan.5".into()), ..base(family) });
            rules.push(Rule { to: Some(to), ip_proto: Some(58), ..base(family) });
            rules.push(Rule { action: RuleAction::Nop, ..base(family) });
            rules.push(Rule { action: RuleAction::Goto(32_766), ..base(family) });
        }
        for rule in rules {
            netlink.add_rule(&rule).expect("add");
            let all = netlink.rules().expect("rules");
            let mut found = all.iter().find(|other| other.priority == 6000).expect("there").clone();
            assert_eq!(found.selects_all(), rule.selects_all());
            found.other.clear();
            assert_eq!(found, rule);
            netlink.delete_rule(&rule).expect("delete");
        }
        assert_eq!(netlink.rules().expect("rules"), before);
    });
}

fn errors_say_what_was_asked() {
    alone(|netlink| {
        let route = Route { oif: Some(1), table: 5200, ..Route::to(ip("10.0.0.0"), 8) };
        netlink.set_up(1).expect("lo");
        netlink.add_route(&route).expect("add");
        let text = netlink.add_route(&route).expect_err("twice").to_string();
        assert!(text.starts_with("adding route 10.0.0.0/8 dev 1 table 5200 metric 0: "), "{text}");
        assert!(text.contains("File exists"), "{text}");
        let bad = Route { gateway: Some(ip("192.0.2.1")), ..Route::to(ip("10.9.0.0"), 16) };
        let text = netlink.add_route(&bad).expect_err("no way there").to_string();
        assert!(text.contains("gateway"), "the kernel's own words are there: {text}");
        let text = netlink.set_up(4711).expect_err("no device").to_string();
        assert!(text.starts_with("setting device 4711 up: "), "{text}");
    });
}

fn deleting_a_rule_spares_its_twin_of_another_owner() {
    alone(|netlink| {
        let owned = |protocol| {
            let mut rule = Rule::new(Family::V4, 6000, RuleAction::Lookup(77));
            rule.protocol = protocol;
            rule.iif = Some("x".into());
            rule
        };
        netlink.add_rule(&owned(99)).expect("theirs");
        netlink.add_rule(&owned(231)).expect("ours");
        netlink.delete_rule(&owned(231)).expect("delete");
        let left: Vec<_> = netlink.rules().expect("rules");
        let left: Vec<_> = left.iter().filter(|rule| rule.priority == 6000).collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].protocol, 99);
    });
}

fn the_monitor_reports_changes_and_the_stop() {
    alone(|netlink| {
        let mut monitor = Monitor::open().expect("monitor");
        let stop = Stop::new().expect("eventfd");
        let (a, _) = pair(netlink);
        let wait = |monitor: &mut Monitor| monitor.wait(&stop, Duration::from_millis(20));
        assert_eq!(wait(&mut monitor).expect("wait"), Changes::Changed);
        assert_eq!(monitor.drain().expect("drain"), 0, "nothing is left after the debounce");
        netlink.add_address(a, ip("fd00::1"), 64, AddressOptions::default()).expect("address");
        assert_eq!(wait(&mut monitor).expect("wait"), Changes::Changed);
        stop.signal();
        assert_eq!(wait(&mut monitor).expect("wait"), Changes::Stopped);
    });
}

fn the_monitor_survives_an_overflow() {
    alone(|netlink| {
        let mut monitor = Monitor::open().expect("monitor");
        netlink.set_up(1).expect("lo");
        // More than the socket's buffer holds; each change notifies.
        for number in 0..1000u32 {
            let address = IpAddr::V4((0x0a00_0000 + number * 256).into());
            netlink.add_route(&Route { oif: Some(1), ..Route::to(address, 24) }).expect("route");
        }
        assert!(monitor.drain().expect("a loss is no failure") > 0);
        assert_eq!(monitor.drain().expect("drain"), 0);
    });
}

fn a_panic_inside_a_namespace_reaches_the_caller() {
    let netns = NetNs::new().unwrap_or_else(|error| panic!("{error}"));
    let result = std::panic::catch_unwind(|| netns.run(|| panic!("inside")));
    let payload = result.expect_err("it went on");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"inside"));
}

fn sysctls_follow_the_namespace() {
    let (one, other) = (NetNs::new().expect("one"), NetNs::new().expect("other"));
    let key = "ipv4/conf/lo/forwarding";
    for netns in [&one, &other] {
        netns.run(|| sysctl::write(key, "0")).expect("namespace").expect("write");
    }
    one.run(|| sysctl::write(key, "1")).expect("namespace").expect("write");
    let read = |netns: &NetNs| netns.run(|| sysctl::read(key)).expect("in").expect("read");
    assert_eq!((read(&one), read(&other)), ("1".to_owned(), "0".to_owned()));
    let refused = one.run(|| sysctl::write(key, "not a number")).expect("namespace");
    let text = refused.expect_err("refused").to_string();
    assert!(text.starts_with("setting sysctl net/ipv4/conf/lo/forwarding to not a number: "));
}

fn a_batch_of_frames_arrives_in_order() {
    alone(|netlink| {
        pair(netlink);
        let receiver = PacketSocket::receiver("b").expect("socket");
        let sender = PacketSocket::sender("a").expect("socket");
        let frames: Vec<Vec<u8>> = (0..100u32)
            .map(|number| {
                let mut frame = vec![0xff; 60];
                // An ethertype for local experiments, IEEE 802.
                frame[12..14].copy_from_slice(&[0x88, 0xb5]);
                frame[14..18].copy_from_slice(&number.to_be_bytes());
                frame
            })
            .collect();
        assert_eq!(sender.send(&frames).expect("send"), 100);
        let (mut buffer, mut next) = (vec![0; 2048], 0usize);
        while next < frames.len() {
            let len = receiver.receive(&mut buffer, 2000).expect("receive").expect("a frame");
            if buffer[12..14] == [0x88, 0xb5] {
                assert_eq!(&buffer[..len], &frames[next][..]);
                next += 1;
            }
        }
        assert!(PacketSocket::sender("nothing").is_err());
    });
}

/// Waits for the next packet of a raw socket.
fn next(socket: &RawSocket, buffer: &mut [u8]) -> Received {
    let deadline = evergate_io::clock::monotonic_ns() + 5_000_000_000;
    while evergate_io::clock::monotonic_ns() < deadline {
        if let Some(received) = socket.receive(buffer).expect("receive") {
            return received;
        }
        wait::readable(&[std::os::fd::AsFd::as_fd(socket)], Some(deadline)).expect("poll");
    }
    panic!("nothing came");
}

fn whole_packets_of_one_protocol_arrive_with_ttl_and_destination() {
    const PROTOCOL: u8 = 112;
    alone(|netlink| {
        let (a, b) = pair(netlink);
        // The sender of the packets is nobody here, but could be a neighbour of b.
        netlink.add_address(b, ip("10.0.0.2"), 24, AddressOptions::default()).expect("address");
        let open =
            |family, name, index| RawSocket::open(family, PROTOCOL, name, index).expect("open");
        let mut buffer = [0; 256];

        let (sender, receiver) = (open(Family::V4, "a", a), open(Family::V4, "b", b));
        receiver.join(ip("224.0.0.18")).expect("join");
        let mut packet = vec![0x45, 0x10, 0, 24, 0, 1, 0x40, 0, 254, PROTOCOL, 0, 0];
        packet.extend([10, 0, 0, 77, 224, 0, 0, 18, 1, 2, 3, 4]);
        sender.send(&packet, ip("224.0.0.18")).expect("send");
        assert_eq!(next(&receiver, &mut buffer), Received::Packet { len: 24 });
        // The kernel fills in the checksum alone.
        assert_eq!((buffer[8], &buffer[12..24]), (254, &packet[12..24]));
        assert_eq!(receiver.receive(&mut buffer).expect("receive"), None);

        // Without any usable address the kernel sends nothing.
        netlink.add_address(a, ip("fd00::1"), 64, AddressOptions::default()).expect("address");
        let (sender, receiver) = (open(Family::V6, "a", a), open(Family::V6, "b", b));
        receiver.join(ip("ff02::12")).expect("join");
        let (IpAddr::V6(from), IpAddr::V6(to)) = (ip("fe80::1"), ip("ff02::12")) else { panic!() };
        let mut packet = vec![0x60, 0, 0, 0, 0, 4, PROTOCOL, 253];
        packet.extend([&from.octets()[..], &to.octets(), &[1, 2, 3, 4]].concat());
        sender.send(&packet, to.into()).expect("send");
        let expected = Received::Payload { from, to, hop_limit: 253, len: 4 };
        assert_eq!(next(&receiver, &mut buffer), expected);
        assert_eq!(buffer[..4], [1, 2, 3, 4]);
    });
}

fn an_added_address_remembers_who_added_it() {
    alone(|netlink| {
        let (a, _) = pair(netlink);
        let options = AddressOptions { protocol: 0xe7, ..AddressOptions::default() };
        for address in ["10.0.0.1", "fd00::1"] {
            netlink.add_address(a, ip(address), 24, options).expect("address");
        }
        let addresses = netlink.addresses().expect("addresses");
        // Kernels before 5.18 say it of none.
        let told = addresses.iter().any(|address| address.protocol != 0);
        let ours = addresses.iter().filter(|address| address.protocol == 0xe7).count();
        assert_eq!(ours, if told { 2 } else { 0 });
    });
}

fn ports_of_a_bridge_reach_each_other() {
    alone(|netlink| {
        netlink.add_bridge("br0").expect("bridge");
        let index = |netlink: &mut Netlink, name: &str| {
            netlink.link(name).expect("links").unwrap_or_else(|| panic!("no {name}")).index
        };
        let bridge = index(netlink, "br0");
        netlink.set_up(bridge).expect("up");
        for (port, end) in [("p", "x"), ("q", "y")] {
            let veth = |name| VethEnd { name, netns: None, mtu: None };
            netlink.add_veth(veth(port), veth(end)).expect("veth");
            let port = index(netlink, port);
            netlink.add_port(bridge, port).expect("port");
            netlink.set_up(port).expect("up");
            let end = index(netlink, end);
            netlink.set_up(end).expect("up");
        }
        let (x, y) = (PacketSocket::sender("x"), PacketSocket::receiver("y"));
        let frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], &[7; 46]].concat();
        let (x, y) = (x.expect("socket"), y.expect("socket"));
        let mut buffer = [0; 2048];
        for _ in 0..200 {
            x.send(&[&frame]).expect("send");
            while let Some(len) = y.receive(&mut buffer, 20).expect("receive") {
                if buffer[..len] == frame {
                    return;
                }
            }
        }
        panic!("the frame did not cross the bridge");
    });
}
