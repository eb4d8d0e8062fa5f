//! Connections whose bytes are known, so that none can be lost, doubled or changed unseen.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_lab::Host;

use crate::wait::{LIMIT, until};

/// A prime, so that no loss of a power of two bytes goes unseen.
const PERIOD: usize = 65_521;
/// How long a server blocks before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// Size of reads and writes in bytes.
const CHUNK: usize = 128 * 1024;

/// The bytes of every stream, again and again.
#[must_use]
pub fn pattern() -> &'static [u8; PERIOD] {
    static PATTERN: OnceLock<Box<[u8; PERIOD]>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut bytes = Box::new([0; PERIOD]);
        // Xorshift: bytes that look like noise, the same in every run.
        let mut noise = 0x9e37_79b9_u32;
        for byte in bytes.iter_mut() {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            *byte = noise.to_le_bytes()[0];
        }
        bytes
    })
}

/// The first bytes of a stream.
#[must_use]
pub fn beginning(length: usize) -> Vec<u8> {
    pattern().iter().copied().cycle().take(length).collect()
}

/// Whether `bytes` are what a stream has from `offset` on.
fn is_stream(offset: u64, bytes: &[u8]) -> bool {
    let mut at = (offset % PERIOD as u64) as usize;
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = rest.len().min(PERIOD - at);
        if rest[..n] != pattern()[at..at + n] {
            return false;
        }
        (rest, at) = (&rest[n..], 0);
    }
    true
}

/// A server on a host; it ends with this handle.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Serves TCP on a port, both families: each connection sends eight bytes, the number of
    /// bytes it wants, and gets that many of the stream.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn download(host: &Host, port: u16) -> anyhow::Result<Server> {
        Server::tcp(host, port, send)
    }

    /// Serves TCP on a port, both families: what comes goes back.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn echo(host: &Host, port: u16) -> anyhow::Result<Server> {
        Server::tcp(host, port, echo)
    }

    /// Serves UDP on a port, both families: what comes goes back.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn udp_echo(host: &Host, port: u16) -> anyhow::Result<Server> {
        let socket = host.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)))??;
        socket.set_read_timeout(Some(LOOK))?;
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&accepted));
        let thread = std::thread::Builder::new().spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = socket.send_to(&datagram[..length], from);
                }
            }
        })?;
        Ok(Server { stop, accepted, threads: vec![thread] })
    }

    fn tcp(
        host: &Host,
        port: u16,
        serve: fn(TcpStream, &AtomicBool) -> io::Result<()>,
    ) -> anyhow::Result<Server> {
        let listener = host.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))??;
        listener.set_nonblocking(true)?;
        let (stop, accepted) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&accepted));
        let thread = std::thread::Builder::new().spawn(move || {
            let mut connections: Vec<JoinHandle<()>> = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                count.fetch_add(1, Ordering::Relaxed);
                let stopped = Arc::clone(&stopped);
                connections.push(std::thread::spawn(move || {
                    // A connection that breaks is the business of the other end.
                    let _ = serve(stream, &stopped);
                }));
            }
            for connection in connections {
                let _ = connection.join();
            }
        })?;
        Ok(Server { stop, accepted, threads: vec![thread] })
    }

    /// How many connections or datagrams have arrived.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(LOOK))
}

/// Reads some bytes; none at the end of the stream or when it is to stop.
fn read_some(stream: &mut TcpStream, stop: &AtomicBool, to: &mut [u8]) -> io::Result<usize> {
    while !stop.load(Ordering::Relaxed) {
        match stream.read(to) {
            Err(error) if is_pause(&error) => {}
            other => return other,
        }
    }
    Ok(0)
}

/// Writes some bytes; none when it is to stop.
fn write_some(stream: &mut TcpStream, stop: &AtomicBool, bytes: &[u8]) -> io::Result<usize> {
    while !stop.load(Ordering::Relaxed) {
        match stream.write(bytes) {
            Err(error) if is_pause(&error) => {}
            other => return other,
        }
    }
    Ok(0)
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> io::Result<()> {
    prepare(&stream)?;
    let mut wanted = [0; 8];
    let mut filled = 0;
    while filled < wanted.len() {
        match read_some(&mut stream, stop, &mut wanted[filled..])? {
            0 => return Ok(()),
            n => filled += n,
        }
    }
    let wanted = u64::from_be_bytes(wanted);
    let twice = [&pattern()[..], &pattern()[..]].concat();
    let mut sent = 0;
    while sent < wanted {
        let at = (sent % PERIOD as u64) as usize;
        let length = (PERIOD as u64).min(wanted - sent) as usize;
        match write_some(&mut stream, stop, &twice[at..at + length])? {
            0 => return Ok(()),
            n => sent += n as u64,
        }
    }
    Ok(())
}

fn echo(mut stream: TcpStream, stop: &AtomicBool) -> io::Result<()> {
    prepare(&stream)?;
    let mut bytes = vec![0; CHUNK];
    loop {
        let length = read_some(&mut stream, stop, &mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            match write_some(&mut stream, stop, rest)? {
                0 => return Ok(()),
                n => rest = &rest[n..],
            }
        }
    }
}

/// Opens a TCP connection from a host; the inner result is the kernel's.
///
/// # Errors
/// When the host cannot be entered.
pub fn try_connect(
    host: &Host,
    to: IpAddr,
    port: u16,
    patience: Duration,
) -> anyhow::Result<io::Result<TcpStream>> {
    Ok(host.run(|| TcpStream::connect_timeout(&SocketAddr::new(to, port), patience))?)
}

/// Opens a TCP connection from a host that must come about.
///
/// # Errors
/// When it does not.
pub fn connect(host: &Host, to: IpAddr, port: u16) -> anyhow::Result<TcpStream> {
    let stream = try_connect(host, to, port, LIMIT)?;
    let stream = stream.with_context(|| format!("{} to {to} port {port}", host.name()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Fails unless a connection attempt gets no answer at all.
///
/// # Errors
/// When it is answered in whichever way.
pub fn ensure_blocked(
    host: &Host,
    to: IpAddr,
    port: u16,
    patience: Duration,
) -> anyhow::Result<()> {
    let result = try_connect(host, to, port, patience)?;
    let silent = result.as_ref().err().is_some_and(|e| e.kind() == ErrorKind::TimedOut);
    anyhow::ensure!(silent, "{} to {to} port {port}: {result:?}", host.name());
    Ok(())
}

/// Whether what is said on a connection comes back from an echo server within `patience`.
///
/// # Errors
/// When something else comes back, or the connection breaks.
pub fn echoes(stream: &mut TcpStream, words: &[u8], patience: Duration) -> anyhow::Result<bool> {
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(words)?;
    let mut answer = vec![0; words.len()];
    match stream.read_exact(&mut answer) {
        Ok(()) => {
            anyhow::ensure!(answer == words, "an echo that is none");
            Ok(true)
        }
        Err(error) if is_pause(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a connection and says something that must come back.
///
/// # Errors
/// When it does not.
pub fn connect_and_echo(host: &Host, to: IpAddr, port: u16) -> anyhow::Result<TcpStream> {
    let mut stream = connect(host, to, port)?;
    anyhow::ensure!(echoes(&mut stream, b"hello", LIMIT)?, "no echo from {to} port {port}");
    Ok(stream)
}

/// A download that runs by itself and checks every byte.
#[derive(Debug)]
pub struct Download {
    received: Arc<AtomicU64>,
    problem: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    wanted: u64,
}

impl Download {
    /// Asks a server made by [`Server::download`] for `wanted` bytes.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn start(host: &Host, to: IpAddr, port: u16, wanted: u64) -> anyhow::Result<Download> {
        let mut stream = connect(host, to, port)?;
        stream.write_all(&wanted.to_be_bytes())?;
        prepare(&stream)?;
        let received = Arc::<AtomicU64>::default();
        let problem = Arc::<Mutex<Option<String>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (count, told, stopped) =
            (Arc::clone(&received), Arc::clone(&problem), Arc::clone(&stop));
        let thread = std::thread::Builder::new().spawn(move || {
            if let Err(problem) = receive(stream, &stopped, &count) {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
            }
        })?;
        Ok(Download { received, problem, stop, thread: Some(thread), wanted })
    }

    /// Bytes received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until `more` bytes have come.
    ///
    /// # Errors
    /// When they do not, or others than those of the stream.
    pub fn wait_for(&self, more: u64) -> anyhow::Result<()> {
        let goal = self.received() + more;
        until(&format!("{more} more bytes of a download"), || {
            let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
            anyhow::ensure!(problem.is_none(), "{problem:?} after {} bytes", self.received());
            Ok(self.received() >= goal)
        })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come, or with too few or wrong bytes.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.wait_for(self.wanted - self.received())?;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).take();
        anyhow::ensure!(problem.is_none(), "{problem:?} at the end");
        anyhow::ensure!(self.received() == self.wanted, "{} bytes came", self.received());
        Ok(())
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn receive(mut stream: TcpStream, stop: &AtomicBool, count: &AtomicU64) -> Result<(), String> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = read_some(&mut stream, stop, &mut chunk).map_err(|error| error.to_string())?;
        if length == 0 {
            return Ok(());
        }
        let before = count.load(Ordering::Relaxed);
        if !is_stream(before, &chunk[..length]) {
            return Err(format!("wrong bytes after {before}"));
        }
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// A UDP socket on a host that talks to one address.
///
/// # Errors
/// When there is no way to it.
pub fn udp(host: &Host, to: IpAddr, port: u16, patience: Duration) -> anyhow::Result<UdpSocket> {
    let socket = host.run(|| {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(SocketAddr::new(to, port))?;
        socket.set_read_timeout(Some(patience))?;
        io::Result::Ok(socket)
    })??;
    Ok(socket)
}
