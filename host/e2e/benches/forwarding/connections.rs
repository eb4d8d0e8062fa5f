//! Short TCP connections: open, one byte each way, reset.
//!
//! The client ends each one with a reset, so that no end has to remember it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use evergate_lab::Gateway;
use socket2::SockRef;

use crate::subject::SERVER;

/// Connections open at a time, each to a port and so to a thread of its own.
const AT_A_TIME: u16 = 8;
const FIRST_PORT: u16 = 7_000;
/// How long one byte may take; far more than a lost SYN costs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The servers' ports; their threads last as long as the process.
pub(crate) struct Servers {
    addresses: Vec<SocketAddr>,
}

impl Servers {
    pub(crate) fn start(net: &Gateway) -> anyhow::Result<Servers> {
        let addresses: Vec<_> = (FIRST_PORT..FIRST_PORT + AT_A_TIME)
            .map(|port| Ok(SocketAddr::new(SERVER.parse()?, port)))
            .collect::<anyhow::Result<_>>()?;
        for address in &addresses {
            let listener = net.server.run(|| TcpListener::bind(address))?.context("listening")?;
            thread::Builder::new().spawn(move || serve(&listener))?;
        }
        Ok(Servers { addresses })
    }
}

fn serve(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {
            // Until the reset, so that it is always the client who ends a connection.
            let _ = stream.read(&mut byte);
        }
    }
}

/// Connections per second.
pub(crate) fn measure(net: &Gateway, servers: &Servers, time: Duration) -> anyhow::Result<f64> {
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let count = net.client.run(|| {
        thread::scope(|scope| {
            let stop = &stop;
            let client = |address| scope.spawn(move || connect_until(address, stop));
            let clients: Vec<_> = servers.addresses.iter().map(client).collect();
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            let counts = clients.into_iter().map(|client| {
                client.join().unwrap_or_else(|_| anyhow::bail!("a client has panicked"))
            });
            counts.sum::<anyhow::Result<u64>>()
        })
    })??;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

fn connect_until(address: &SocketAddr, stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        connect(address).context("a short connection")?;
        count += 1;
    }
    Ok(count)
}

fn connect(address: &SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(address, TIMEOUT)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut byte = [1];
    stream.write_all(&byte)?;
    stream.read_exact(&mut byte)
}
