//! An echo request from a host.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evergate_lab::Host;
use socket2::{Domain, Protocol, Socket, Type};

/// Type of an echo request and of its reply, by family (RFC 792, RFC 4443).
const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// Pings an address; returns the round-trip time, or none when no answer came in time.
pub(super) fn ping(
    host: &Host,
    to: IpAddr,
    sequence: u16,
    patience: Duration,
) -> anyhow::Result<Option<Duration>> {
    Ok(host.run(|| once(to, sequence, patience))??)
}

fn once(to: IpAddr, sequence: u16, patience: Duration) -> std::io::Result<Option<Duration>> {
    let (domain, protocol, (request, reply)) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, ECHO_V4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, ECHO_V6),
    };
    // The kernel fills in id and checksum of such a socket.
    let mut socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let [high, low] = sequence.to_be_bytes();
    let message = [request, 0, 0, 0, 0, 0, high, low, b'e', b'v', b'e', b'r'];
    let sent = Instant::now();
    socket.send(&message)?;
    let mut answer = [0; 64];
    loop {
        match socket.read(&mut answer) {
            Ok(n) if n >= 8 && answer[0] == reply && answer[6..8] == [high, low] => {
                return Ok(Some(sent.elapsed()));
            }
            Ok(_) if sent.elapsed() < patience => {}
            Ok(_) => return Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(None);
            }
            // An ICMP error came back: no answer.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::HostUnreachable
                        | ErrorKind::NetworkUnreachable
                        | ErrorKind::PermissionDenied
                        | ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
    }
}
