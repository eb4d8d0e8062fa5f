//! The two ends of the demo's traffic: a server that sends what it is asked for, and downloads.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use evergate_lab::Host;

/// How long a connection may be silent before a download gives up.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Size of reads and writes in bytes.
const CHUNK: usize = 256 * 1024;

/// Serves on a port of a host, both families, until the process ends: each connection sends
/// eight bytes, the number of bytes it wants, and gets them.
pub(super) fn serve(host: &Host, port: u16) -> anyhow::Result<()> {
    let listener = host.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))??;
    std::thread::Builder::new().name(format!("serve {port}")).spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::thread::Builder::new().spawn(move || send(stream));
        }
    })?;
    Ok(())
}

fn send(mut stream: TcpStream) -> io::Result<()> {
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted)?;
    let mut left = u64::from_be_bytes(wanted);
    let chunk = vec![0x55; CHUNK];
    while left > 0 {
        let n = left.min(CHUNK as u64) as usize;
        stream.write_all(&chunk[..n])?;
        left -= n as u64;
    }
    Ok(())
}

/// Opens a connection from a host.
pub(super) fn connect(
    host: &Host,
    to: IpAddr,
    port: u16,
    patience: Duration,
) -> anyhow::Result<io::Result<TcpStream>> {
    Ok(host.run(|| TcpStream::connect_timeout(&SocketAddr::new(to, port), patience))?)
}

/// A download that runs by itself.
pub(super) struct Download {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Download {
    /// Asks for `bytes` over a connection and counts what comes.
    pub(super) fn start(mut stream: TcpStream, bytes: u64) -> io::Result<Download> {
        stream.write_all(&bytes.to_be_bytes())?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let received = Arc::<AtomicU64>::default();
        let stop = Arc::<AtomicBool>::default();
        let (count, stopped) = (Arc::clone(&received), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("download".into()).spawn(move || {
            let mut chunk = vec![0; CHUNK];
            while !stopped.load(Ordering::Relaxed) {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => return,
                    Ok(n) => count.fetch_add(n as u64, Ordering::Relaxed),
                };
            }
        })?;
        Ok(Download { received, stop, thread: Some(thread) })
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether it is still under way.
    pub(super) fn runs(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Bytes that came within a span of time.
    pub(super) fn received_in(&self, span: Duration) -> u64 {
        let before = self.received();
        std::thread::sleep(span);
        self.received() - before
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It ends with its next bytes or its silence; nobody waits for that.
        self.thread.take();
    }
}
