//! A bare relay between two links of a laboratory gateway, and traffic to try it with.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use evergate_io::divert::{
    Attached, Divert, DivertConfig, DivertError, Leftovers, OnCrash, PRIORITY_BASE, SelfTun,
    TABLE_BASE,
};
use evergate_io::netlink::Netlink;
use evergate_io::netns::become_root_in_userns;
use evergate_io::stop::Stop;
use evergate_io::tun::{FRAME_MAX, MTU_MAX, TunDevice, VNET_HDR_LEN, pump};
use evergate_lab::{Gateway, Host, Lab};
use evergate_wire::{Af, increment_ttl};
use libtest_mimic::{Arguments, Trial};

/// Runs tests in networks of their own, also as an ordinary user: the rights for them can only
/// be had before the process has a second thread, which the standard harness does not allow.
/// Where they cannot be had every test fails with the sentence that says why.
pub fn run_tests(tests: Vec<(&'static str, fn())>) {
    let refused = become_root_in_userns().err().map(|error| error.to_string());
    let trial = |(name, test): (&'static str, fn())| {
        let refused = refused.clone();
        Trial::test(name, move || {
            if let Some(sentence) = refused {
                return Err(sentence.into());
            }
            test();
            Ok(())
        })
    };
    let trials = tests.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Names functions after themselves.
macro_rules! tests {
    ($($name:ident),* $(,)?) => { vec![$((stringify!($name), $name as fn())),*] };
}
pub(crate) use tests;

/// Nothing in a healthy laboratory takes longer.
pub const LIMIT: Duration = Duration::from_secs(20);
/// Long enough to be sure that nothing comes any more.
pub const SILENCE: Duration = Duration::from_millis(400);

pub const CLIENT_V4: &str = "10.0.1.2";
pub const CLIENT_V6: &str = "fd00:1::2";
pub const LAN_V4: &str = "10.0.1.1";
pub const LAN_V6: &str = "fd00:1::1";
pub const SERVER_V4: &str = "10.0.2.2";
pub const SERVER_V6: &str = "fd00:2::2";

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

/// A directory that goes with its test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("evergate-io-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("scratch directory");
        Self(path)
    }

    pub fn state_file(&self) -> PathBuf {
        self.0.join("state.json")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the relay does and saw; shared with its threads.
#[derive(Debug)]
pub struct Switches {
    pub pass: AtomicBool,
    pub hide_hop: AtomicBool,
    pub longest: AtomicUsize,
    pub frames: AtomicU64,
    pub refused: AtomicU64,
}

/// One tun with its relay threads.
#[derive(Debug)]
pub struct Relay {
    pub name: String,
    pub index: u32,
    pub seen: Arc<Switches>,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Makes the tun `name` in the calling thread's namespace and relays what comes by it.
    pub fn start(name: &str, queues: u16) -> Self {
        let tun = TunDevice::create(name, queues, MTU_MAX).expect("tun");
        let seen = Arc::new(Switches {
            pass: AtomicBool::new(true),
            hide_hop: AtomicBool::new(true),
            longest: AtomicUsize::new(0),
            frames: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let stop = Stop::new().expect("eventfd");
        let index = tun.index();
        let run = |queue| {
            let (seen, stop) = (Arc::clone(&seen), stop.clone());
            thread::spawn(move || {
                let mut buffer = vec![0; FRAME_MAX];
                let report = pump(&queue, &stop, &mut buffer, |frame| seen.relay(frame));
                seen.refused.fetch_add(report.expect("pump").refused, Ordering::Relaxed);
            })
        };
        let threads = tun.into_queues().into_iter().map(run).collect();
        Self { name: name.to_owned(), index, seen, stop, threads }
    }

    pub fn frames(&self) -> u64 {
        self.seen.frames.load(Ordering::Relaxed)
    }

    pub fn longest(&self) -> usize {
        self.seen.longest.load(Ordering::Relaxed)
    }

    /// Ends the threads and with them the tun; returns the frames the kernel refused.
    pub fn stop(&mut self) -> u64 {
        self.stop.signal();
        for thread in self.threads.drain(..) {
            thread.join().expect("relay thread");
        }
        self.seen.refused.load(Ordering::Relaxed)
    }
}

impl Switches {
    fn relay(&self, frame: &mut [u8]) -> bool {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.longest.fetch_max(frame.len(), Ordering::Relaxed);
        if self.hide_hop.load(Ordering::Relaxed) {
            let af = if frame[VNET_HDR_LEN] >> 4 == 6 { Af::V6 } else { Af::V4 };
            increment_ttl(&mut frame[VNET_HDR_LEN..], af);
        }
        self.pass.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.signal();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The topology with a bare relay on its gateway.
pub struct Router {
    pub relays: Vec<Relay>,
    divert: Option<Divert>,
    pub world: Gateway,
    pub scratch: Scratch,
}

impl Router {
    pub fn new(filter_local: bool) -> Self {
        Self::on(world(), filter_local, OnCrash::Closed)
    }

    pub fn on(world: Gateway, filter_local: bool, on_crash: OnCrash) -> Self {
        let scratch = Scratch::new();
        let state_file = scratch.state_file();
        let (relays, divert) = world
            .gateway
            .run(|| {
                let relays = start_relays(filter_local);
                let config = config(&relays, on_crash, &state_file);
                (relays, Divert::set_up(config).expect("divert"))
            })
            .expect("gateway");
        Self { relays, divert: Some(divert), world, scratch }
    }

    pub fn lan(&self) -> &Relay {
        &self.relays[0]
    }

    pub fn wan(&self) -> &Relay {
        &self.relays[1]
    }

    pub fn own(&self) -> &Relay {
        &self.relays[2]
    }

    pub fn refresh(&mut self) -> bool {
        let divert = self.divert.as_mut().expect("set up");
        self.world.gateway.run(|| divert.refresh()).expect("gateway").expect("refresh")
    }

    pub fn set_pass(&self, pass: bool) {
        for relay in &self.relays {
            relay.seen.pass.store(pass, Ordering::Relaxed);
        }
    }

    pub fn set_hide_hop(&self, hide: bool) {
        for relay in &self.relays {
            relay.seen.hide_hop.store(hide, Ordering::Relaxed);
        }
    }

    /// A clean stop.
    pub fn tear_down(&mut self) -> Leftovers {
        let divert = self.divert.take().expect("set up");
        let found =
            self.world.gateway.run(|| divert.tear_down()).expect("gateway").expect("tear down");
        for relay in &mut self.relays {
            relay.stop();
        }
        found
    }

    /// What SIGKILL leaves: the descriptors are closed, nothing else happens.
    pub fn crash(&mut self) {
        drop(self.divert.take());
        for relay in &mut self.relays {
            relay.stop();
        }
    }

    /// Starts again after a crash.
    pub fn restart(&mut self, filter_local: bool) -> Result<(), DivertError> {
        self.start_again(filter_local, true)
    }

    /// Starts again after a crash with relays that drop all.
    pub fn restart_dropping(&mut self, filter_local: bool) {
        self.start_again(filter_local, false).expect("restart");
    }

    fn start_again(&mut self, filter_local: bool, pass: bool) -> Result<(), DivertError> {
        let state_file = self.scratch.state_file();
        let (relays, divert) = self
            .world
            .gateway
            .run(|| {
                let relays = start_relays(filter_local);
                for relay in &relays {
                    relay.seen.pass.store(pass, Ordering::Relaxed);
                }
                let config = config(&relays, OnCrash::Closed, &state_file);
                (relays, Divert::set_up(config))
            })
            .expect("gateway");
        self.relays = relays;
        self.divert = Some(divert?);
        Ok(())
    }
}

/// The topology; a failure is the sentence that says what is missing.
pub fn world() -> Gateway {
    let world = Lab::gateway().unwrap_or_else(|error| panic!("{error}"));
    // The kernel makes the link-local addresses when it has noticed the carrier.
    let deadline = Instant::now() + LIMIT;
    for device in ["lan0", "wan0"] {
        let index = world.gateway.device(device).expect("device").index;
        let ready = |netlink: &mut Netlink| {
            let addresses = netlink.addresses().expect("addresses");
            addresses.iter().any(|own| {
                own.index == index && own.address.to_string().starts_with("fe80") && !own.tentative
            })
        };
        while !world.gateway.run(|| ready(&mut Netlink::open().expect("open"))).expect("host") {
            assert!(Instant::now() < deadline, "{device} never got a link-local address");
            thread::sleep(Duration::from_millis(10));
        }
    }
    world
}

pub fn start_relays(filter_local: bool) -> Vec<Relay> {
    let mut relays = vec![Relay::start("eg-lan0", 2), Relay::start("eg-wan0", 2)];
    if filter_local {
        relays.push(Relay::start("eg-self", 1));
    }
    relays
}

pub fn config(relays: &[Relay], on_crash: OnCrash, state_file: &Path) -> DivertConfig {
    let attached = ["lan0", "wan0"].iter().zip(relays).map(|(name, relay)| Attached {
        name: (*name).to_owned(),
        tun: relay.name.clone(),
        tun_index: relay.index,
    });
    DivertConfig {
        attached: attached.collect(),
        self_tun: relays
            .get(2)
            .map(|relay| SelfTun { name: relay.name.clone(), index: relay.index }),
        on_crash,
        table_base: TABLE_BASE,
        priority_base: PRIORITY_BASE,
        state_file: state_file.to_owned(),
    }
}

/// Sends `megabytes` from one host to another over TCP and checks every byte.
pub fn transfer(from: &Host, to: &Host, address: &str, megabytes: usize) {
    let listener = to.run(|| TcpListener::bind(SocketAddr::new(ip(address), 0))).expect("host");
    let listener = listener.expect("bind");
    let target = listener.local_addr().expect("address");
    let receiver = thread::spawn(move || {
        let (mut stream, _) = accept(&listener);
        stream.set_read_timeout(Some(LIMIT)).expect("timeout");
        let (mut buffer, mut total) = (vec![0; 1 << 16], 0usize);
        loop {
            let len = stream.read(&mut buffer).expect("receive");
            if len == 0 {
                return total;
            }
            for (offset, byte) in buffer[..len].iter().enumerate() {
                assert_eq!(*byte, pattern(total + offset), "at {}", total + offset);
            }
            total += len;
        }
    });
    let mut stream = connect(from, target).expect("connect");
    stream.set_write_timeout(Some(LIMIT)).expect("timeout");
    let chunk: Vec<u8> = (0..1 << 20).map(pattern).collect();
    for _ in 0..megabytes {
        stream.write_all(&chunk).expect("send");
    }
    drop(stream);
    assert_eq!(receiver.join().expect("receiver"), megabytes << 20);
}

/// Repeats with the megabyte, so that one chunk serves for all.
fn pattern(at: usize) -> u8 {
    let at = at % (1 << 20);
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    listener.set_nonblocking(true).expect("nonblocking");
    let deadline = Instant::now() + LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(false).expect("blocking");
                return (stream, peer);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                assert!(Instant::now() < deadline, "nobody connected");
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("accept: {error}"),
        }
    }
}

pub fn connect(from: &Host, target: SocketAddr) -> std::io::Result<TcpStream> {
    from.run(|| TcpStream::connect_timeout(&target, LIMIT)).expect("host")
}

/// Opens a TCP connection to a listener on `to` and sends a word both ways; false when it did
/// not come about in `limit`.
pub fn talks(from: &Host, to: &Host, address: &str, limit: Duration) -> bool {
    let listener = to.run(|| TcpListener::bind(SocketAddr::new(ip(address), 0))).expect("host");
    let listener = listener.expect("bind");
    let target = listener.local_addr().expect("address");
    let Ok(mut stream) = from.run(|| TcpStream::connect_timeout(&target, limit)).expect("host")
    else {
        return false;
    };
    let (mut other, _) = accept(&listener);
    let mut word = [0; 5];
    other.set_read_timeout(Some(limit)).expect("timeout");
    stream.set_read_timeout(Some(limit)).expect("timeout");
    stream.write_all(b"hello").expect("send");
    other.read_exact(&mut word).is_ok_and(|()| &word == b"hello")
        && other.write_all(b"there").is_ok()
        && stream.read_exact(&mut word).is_ok_and(|()| &word == b"there")
}

/// Sends a datagram and tells whether it was received within `limit`.
pub fn datagram_arrives(from: &Host, to: &Host, address: &str, limit: Duration) -> bool {
    let receiver =
        to.run(|| UdpSocket::bind(SocketAddr::new(ip(address), 0))).expect("host").expect("bind");
    let target = receiver.local_addr().expect("address");
    let any = if target.is_ipv4() { "0.0.0.0" } else { "::" };
    let sender =
        from.run(|| UdpSocket::bind(SocketAddr::new(ip(any), 0))).expect("host").expect("bind");
    // A refusal by the network is an answer too.
    let _ = sender.send_to(b"a datagram", target);
    receiver.set_read_timeout(Some(limit)).expect("timeout");
    let mut buffer = [0; 64];
    receiver.recv(&mut buffer).is_ok_and(|len| &buffer[..len] == b"a datagram")
}

/// Pings once; true when the answer came within a second.
pub fn ping(from: &Host, address: &str) -> bool {
    let mut command = std::process::Command::new("ping");
    command.args(["-n", "-c", "1", "-W", "1", address]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let process = from.spawn(command).expect("ping(8) of iputils");
    process.wait(LIMIT).expect("wait").is_some_and(|status| status.success())
}

/// Everything that says where packets go in one namespace, a line each.
pub fn dump(host: &Host) -> Vec<String> {
    let keys = [
        "ipv4/conf/lan0/forwarding",
        "ipv4/conf/wan0/forwarding",
        "ipv4/ip_early_demux",
        "ipv4/neigh/lan0/proxy_delay",
        "ipv4/neigh/wan0/proxy_delay",
        "ipv6/conf/all/forwarding",
        "ipv6/conf/lan0/forwarding",
        "ipv6/conf/lan0/force_forwarding",
        "ipv6/conf/wan0/force_forwarding",
    ];
    let read = || {
        let mut netlink = Netlink::open().expect("netlink");
        let value = |key: &&str| {
            format!("{key} = {:?}", evergate_io::sysctl::read_optional(key).expect("sysctl"))
        };
        let mut lines = Vec::new();
        lines.extend(netlink.rules().expect("rules").iter().map(|rule| format!("{rule:?}")));
        lines.extend(netlink.routes().expect("routes").iter().map(|route| format!("{route:?}")));
        lines.extend(netlink.proxies().expect("proxies").iter().map(|proxy| format!("{proxy:?}")));
        lines.extend(keys.iter().map(value));
        lines
    };
    host.run(read).expect("host")
}

/// Compares two dumps; a failure shows the lines that differ.
#[track_caller]
pub fn assert_same(now: &[String], before: &[String], what: &str) {
    let missing: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
    let surplus: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
    assert!(now == before, "{what}: missing {missing:#?}, surplus {surplus:#?}");
}
