//! The laboratory itself: what it builds works, and nothing of it stays.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use evergate_io::netlink::Netlink;
use evergate_io::netns::become_root_in_userns;
use evergate_lab::{Forwarding, Gateway, Host, Lab, LabError, LinkOptions};
use libtest_mimic::{Arguments, Trial};

const LIMIT: Duration = Duration::from_secs(20);

/// The rights can only be had before the process has a second thread.
fn main() {
    let refused = become_root_in_userns().err().map(|error| error.to_string());
    let tests: [(&str, fn()); 7] = [
        ("neighbours_reach_each_other_at_once", neighbours_reach_each_other_at_once),
        ("a_plain_router_forwards_both_families", a_plain_router_forwards_both_families),
        ("the_gateway_does_not_forward_by_itself", the_gateway_does_not_forward_by_itself),
        ("nothing_shows_outside_and_nothing_stays", nothing_shows_outside_and_nothing_stays),
        ("processes_end_with_the_lab_also_in_a_panic", processes_end_with_the_lab_also_in_a_panic),
        ("processes_can_be_waited_for", processes_can_be_waited_for),
        ("errors_are_sentences", errors_are_sentences),
    ];
    let trials = tests.map(|(name, test)| {
        let refused = refused.clone();
        Trial::test(name, move || {
            if let Some(sentence) = refused {
                return Err(sentence.into());
            }
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

fn talks(from: &Host, to: &Host, address: &str) -> bool {
    let any = format!("[::]:{}", 5000);
    let listener = to.run(|| TcpListener::bind(&any)).expect("host").expect("bind");
    let target =
        if address.contains(':') { format!("[{address}]:5000") } else { format!("{address}:5000") };
    let target = target.parse().expect("address");
    let connect = || TcpStream::connect_timeout(&target, Duration::from_millis(500));
    let Ok(mut stream) = from.run(connect).expect("host") else {
        return false;
    };
    let (mut other, _) = listener.accept().expect("accept");
    let mut word = [0; 5];
    stream.write_all(b"hello").expect("send");
    other.read_exact(&mut word).expect("receive");
    &word == b"hello"
}

fn neighbours_reach_each_other_at_once() {
    let lab = Lab::new().expect("lab");
    let (one, other) = (lab.host("one").expect("host"), lab.host("other").expect("host"));
    let options = LinkOptions { mtu: Some(1400) };
    lab.link((&one, "eth0"), (&other, "eth0"), options).expect("link");
    for (host, v4, v6) in
        [(&one, "10.0.0.1/24", "fd00::1/64"), (&other, "10.0.0.2/24", "fd00::2/64")]
    {
        host.address("eth0", v4).expect("address");
        host.address("eth0", v6).expect("address");
        assert_eq!(host.device("eth0").expect("device").mtu, 1400);
        assert!(talks(host, host, "127.0.0.1") && talks(host, host, "::1"), "its own loop");
    }
    assert!(talks(&one, &other, "10.0.0.2") && talks(&one, &other, "fd00::2"));
    let counters = other.counters("eth0").expect("counters");
    assert!(counters.rx_packets > 0 && counters.tx_packets > 0, "{counters:?}");
    one.remove_address("eth0", "10.0.0.1/24").expect("remove");
    assert!(!talks(&one, &other, "10.0.0.2"));
    other.set_down("eth0").expect("down");
    assert!(!talks(&one, &other, "fd00::2"));
}

fn a_plain_router_forwards_both_families() {
    let links = LinkOptions::default();
    let world = Gateway::build(Forwarding::Kernel, links, links).expect("lab");
    for address in ["10.0.2.2", "fd00:2::2"] {
        assert!(talks(&world.client, &world.server, address), "{address}");
    }
    for address in ["10.0.1.2", "fd00:1::2"] {
        assert!(talks(&world.server, &world.client, address), "{address}");
    }
    world.client.remove_route("default", "10.0.1.1").expect("remove");
    assert!(!talks(&world.client, &world.server, "10.0.2.2"));
    world.client.route("10.0.2.0/24", "10.0.1.1").expect("add");
    assert!(talks(&world.client, &world.server, "10.0.2.2"));
}

fn the_gateway_does_not_forward_by_itself() {
    let world = Lab::gateway().expect("lab");
    assert!(!talks(&world.client, &world.server, "10.0.2.2"));
    assert!(!talks(&world.client, &world.server, "fd00:2::2"));
    assert!(talks(&world.client, &world.gateway, "10.0.1.1"));
    assert_eq!(world.gateway.read_sysctl("ipv4/ip_forward").expect("sysctl"), "0");
}

/// The devices, rules and routes of this thread's own namespace.
fn outside() -> Vec<String> {
    let mut netlink = Netlink::open().expect("netlink");
    let mut lines: Vec<_> =
        netlink.links().expect("links").iter().map(|link| link.name.clone()).collect();
    lines.extend(netlink.rules().expect("rules").iter().map(|rule| format!("{rule:?}")));
    lines.extend(netlink.routes().expect("routes").iter().map(|route| format!("{route:?}")));
    lines
}

fn nothing_shows_outside_and_nothing_stays() {
    let before = outside();
    let world = Lab::gateway().expect("lab");
    assert_eq!(outside(), before);
    drop(world);
    assert_eq!(outside(), before);
}

fn proc_of(id: u32) -> PathBuf {
    Path::new("/proc").join(id.to_string())
}

fn sleeper(host: &Host) -> evergate_lab::Process {
    let mut command = Command::new("sleep");
    command.arg("1000");
    host.spawn(command).expect("sleep(1)")
}

fn processes_end_with_the_lab_also_in_a_panic() {
    let lab = Lab::new().expect("lab");
    let host = lab.host("one").expect("host");
    let held = sleeper(&host);
    let id = held.id();
    let inside = std::fs::read_link(proc_of(id).join("ns/net")).expect("running");
    let outside = std::fs::read_link("/proc/thread-self/ns/net").expect("this thread");
    assert_ne!(inside, outside, "it runs in the host's namespace");
    drop(lab);
    assert!(!proc_of(id).exists(), "killed and waited for, although a handle is left");
    drop(held);

    let mut id = 0;
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let lab = Lab::new().expect("lab");
        let host = lab.host("one").expect("host");
        let process = sleeper(&host);
        id = process.id();
        assert!(proc_of(id).exists());
        std::mem::forget(process);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err() && id != 0 && !proc_of(id).exists());
}

fn processes_can_be_waited_for() {
    let lab = Lab::new().expect("lab");
    let host = lab.host("one").expect("host");
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exit 3"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = host.spawn(command).expect("sh").output(LIMIT).expect("output");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    let process = sleeper(&host);
    assert!(process.wait(Duration::from_millis(20)).expect("wait").is_none(), "it still runs");
    process.kill();
    assert!(process.try_wait().expect("wait").is_some());
}

fn errors_are_sentences() {
    let lab = Lab::new().expect("lab");
    let host = lab.host("one").expect("host");
    let text = host.address("eth7", "10.0.0.1/24").expect_err("no device").to_string();
    assert_eq!(text, "one has no device eth7");
    let error = host.address("lo", "10.0.0.1").expect_err("no prefix");
    assert!(matches!(error, LabError::BadAddress { .. }), "{error}");
    let text = host.spawn(Command::new("/no/such/program")).expect_err("missing").to_string();
    assert!(text.starts_with("/no/such/program: No such file or directory"), "{text}");
    let text = host.sysctl("ipv4/no_such_setting", "1").expect_err("missing").to_string();
    assert!(text.starts_with("setting sysctl net/ipv4/no_such_setting to 1: "), "{text}");
    let text = host.route("default", "10.9.9.9").expect_err("no way there").to_string();
    assert!(text.starts_with("adding route 0.0.0.0/0 via 10.9.9.9"), "{text}");
}
