//! Policies that look into payload, against real clients: curl, openssl and dig.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use evergate_e2e::streams;
use evergate_e2e::tools::{self, Said};
use evergate_e2e::wait::LIMIT;
use evergate_e2e::world::{INTERFACES, World, at, until_listening};
use evergate_lab::{Host, Process};

crate::claims![
    a_tls_server_is_reached_by_its_allowed_name_only,
    a_server_name_in_small_segments_is_found,
    what_is_not_tls_does_not_pass_its_port,
    a_denied_name_is_not_resolved,
    each_question_of_one_socket_is_looked_at,
];

/// A running gateway whose chain is this filter and then `home`.
fn filtered(filter: &str, settings: &str) -> anyhow::Result<World> {
    let mut world = World::new()?;
    let chain = format!(
        "{INTERFACES}\n[[policy]]\nname = \"filter\"\nbuiltin = \"{filter}\"\n\
         [policy.config]\n{settings}\n\n\
         [[policy]]\nname = \"home\"\nbuiltin = \"home\"\n[policy.config]\noutside = \"wan\"\n"
    );
    world.start("", &chain)?;
    Ok(world)
}

/// `openssl s_server` with a certificate of its own, which answers every GET.
fn tls_server(world: &World) -> anyhow::Result<Process> {
    let path = |name: &str| -> anyhow::Result<String> {
        let path: PathBuf = world.place.path(name);
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    };
    let (key, certificate) = (path("key.pem")?, path("certificate.pem")?);
    let host = &world.net.server;
    let make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    tools::must(host, &make, LIMIT)?;
    let serve = [
        "openssl",
        "s_server",
        "-quiet",
        "-accept",
        "*:443",
        "-key",
        &key,
        "-cert",
        &certificate,
        "-www",
    ];
    let server = tools::start(host, &serve)?;
    until_listening(host, 443)?;
    Ok(server)
}

fn fetch(client: &Host, name: &str, to: IpAddr) -> anyhow::Result<Said> {
    let address = if to.is_ipv6() { format!("[{to}]") } else { to.to_string() };
    let resolve = format!("{name}:443:{address}");
    let url = format!("https://{name}/");
    let words = ["curl", "-sS", "-k", "--max-time", "10", "--resolve", &resolve, &url];
    tools::run(client, &words, Duration::from_secs(20))
}

fn a_tls_server_is_reached_by_its_allowed_name_only() -> anyhow::Result<()> {
    let world = filtered("tls-sni", "allow = [\"*.good.test\", \"good.test\"]")?;
    let _server = tls_server(&world)?;
    let client = &world.net.client;
    for to in at::SERVER {
        for name in ["good.test", "www.good.test"] {
            let said = fetch(client, name, to)?;
            ensure!(said.ok && said.out.contains("Cipher"), "{name} at {to}: {said:?}");
        }
        for name in ["bad.test", "good.test.bad.test", "notgood.test"] {
            let said = fetch(client, name, to)?;
            // curl's words for a reset: 35 (in the handshake) or 56 (receiving).
            ensure!(matches!(said.code, Some(35 | 56)), "{name} at {to}: {said:?}");
        }
        let address = SocketAddr::new(to, 443).to_string();
        let unnamed = ["openssl", "s_client", "-noservername", "-connect", &address];
        let said = tools::run(client, &unnamed, Duration::from_secs(20))?;
        ensure!(!said.out.contains("CN = test") && !said.out.contains("CN=test"), "{said:?}");
    }
    let info = world.info()?;
    ensure!(info.inspections >= 12, "{} were looked into", info.inspections);
    ensure!(info.inspections_under_way == 0, "some are left over");
    Ok(())
}

/// A ClientHello in segments of a few bytes each: the server gets its beginning, never its end.
fn a_server_name_in_small_segments_is_found() -> anyhow::Result<()> {
    let world = filtered("tls-sni", "deny = [\"bad.test\"]")?;
    let server = streams::Server::echo(&world.net.server, 443)?;
    for to in at::SERVER {
        for (name, passes) in [("good.test", true), ("bad.test", false)] {
            let mut stream = streams::connect(&world.net.client, to, 443)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LIMIT))?;
            let hello = hello(name);
            for part in hello.chunks(7) {
                // Once it is reset, writing fails.
                let _ = stream.write_all(part);
                std::thread::sleep(Duration::from_millis(2));
            }
            let mut back = vec![0; hello.len()];
            let echoed = stream.read_exact(&mut back);
            ensure!(echoed.is_ok() == passes, "{name} at {to}: {echoed:?}");
            ensure!(!passes || back == hello, "{name} at {to}: other bytes came back");
        }
    }
    ensure!(server.arrived() == 4, "handshakes pass");
    Ok(())
}

/// A ClientHello with nothing but a server name.
fn hello(name: &str) -> Vec<u8> {
    let length = name.len() as u16;
    let mut extensions = vec![0, 0];
    for number in [length + 5, length + 3] {
        extensions.extend_from_slice(&number.to_be_bytes());
    }
    extensions.push(0);
    extensions.extend_from_slice(&length.to_be_bytes());
    extensions.extend_from_slice(name.as_bytes());
    let mut body = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let size = (body.len() as u32).to_be_bytes();
    let record = ((body.len() + 4) as u16).to_be_bytes();
    [&[22, 3, 1, record[0], record[1], 1, size[1], size[2], size[3]], body.as_slice()].concat()
}

fn what_is_not_tls_does_not_pass_its_port() -> anyhow::Result<()> {
    let world = filtered("tls-sni", "")?;
    let _server = streams::Server::echo(&world.net.server, 443)?;
    let _other = streams::Server::echo(&world.net.server, 80)?;
    for to in at::SERVER {
        let mut stream = streams::connect(&world.net.client, to, 443)?;
        let said = streams::echoes(&mut stream, b"SSH-2.0-x\r\n", LIMIT);
        ensure!(!matches!(said, Ok(true)), "{to}: {said:?}");
        streams::connect_and_echo(&world.net.client, to, 80)?;
    }
    ensure!(world.states_of_port(443)?.is_empty(), "a state is left over");
    Ok(())
}

/// Answers every question with an address.
struct Resolver {
    stop: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    fn start(host: &Host) -> anyhow::Result<Resolver> {
        let socket = host.run(|| UdpSocket::bind("[::]:53"))??;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (stop, asked) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while stopped.load(Ordering::Relaxed) == 0 {
                let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                // Whoever asks is answered; one that is gone is not our concern.
                let _ = socket.send_to(&answer(&bytes[..length]), from);
            }
        });
        Ok(Resolver { stop, asked, thread: Some(thread) })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a query for an A record: 192.0.2.7 (RFC 1035 §4.1).
fn answer(query: &[u8]) -> Vec<u8> {
    let Some(end) = query.iter().skip(12).position(|b| *b == 0) else { return Vec::new() };
    let question = &query[12..(12 + end + 5).min(query.len())];
    let header = [query[0], query[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7];
    [&header[..], question, &record].concat()
}

fn a_denied_name_is_not_resolved() -> anyhow::Result<()> {
    let world = filtered("dns-filter", "deny = [\"*.ads.test\", \"ads.test\"]")?;
    let resolver = Resolver::start(&world.net.server)?;
    for to in at::SERVER {
        let server = format!("@{to}");
        let dig = |name: &str| {
            let words = ["dig", "+tries=1", "+time=3", "+noedns", "+short", &server, name, "A"];
            tools::run(&world.net.client, &words, Duration::from_secs(20))
        };
        let said = dig("www.example.test")?;
        ensure!(said.ok && said.out.trim() == "192.0.2.7", "{to}: {said:?}");
        let before = resolver.asked.load(Ordering::Relaxed);
        for name in ["ads.test", "x.ADS.test"] {
            let said = dig(name)?;
            ensure!(!said.ok && !said.out.contains("192.0.2.7"), "{name} at {to}: {said:?}");
        }
        ensure!(resolver.asked.load(Ordering::Relaxed) == before, "{to}: it was asked");
    }
    Ok(())
}

fn each_question_of_one_socket_is_looked_at() -> anyhow::Result<()> {
    let world = filtered("dns-filter", "deny = [\"ads.test\"]")?;
    let resolver = Resolver::start(&world.net.server)?;
    let question = |name: &str| {
        let mut message = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.extend_from_slice(&[0, 0, 1, 0, 1]);
        message
    };
    for to in at::SERVER {
        let socket = streams::udp(&world.net.client, to, 53, LIMIT)?;
        let mut bytes = [0; 512];
        socket.send(&question("good.test"))?;
        ensure!(socket.recv(&mut bytes)? > 12, "no answer");
        let before = resolver.asked.load(Ordering::Relaxed);
        socket.send(&question("ads.test"))?;
        ensure!(socket.recv(&mut bytes).is_err(), "{to}: it was answered");
        socket.send(&question("good.test"))?;
        ensure!(socket.recv(&mut bytes)? > 12, "no second answer");
        ensure!(resolver.asked.load(Ordering::Relaxed) == before + 1, "{to}: it was asked");
    }
    Ok(())
}
