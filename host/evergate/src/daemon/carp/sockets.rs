//! The sockets of one device: adverts in and out, announcements out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use evergate_carp::{Datagram, Refused, packet};
use evergate_io::netlink::Family;
use evergate_io::packet_socket::PacketSocket;
use evergate_io::raw_socket::{RawSocket, Received};
use evergate_wire::{Addr, Af};

/// Adverts taken from a socket in one go: so many fit into one run of the shortest interval.
const BATCH: usize = 64;
/// An advert with the longest trailer is shorter.
pub(super) const BUFFER: usize = 2048;

/// The open sockets of a device.
#[derive(Debug)]
pub(super) struct Sockets {
    v4: Option<RawSocket>,
    v6: Option<RawSocket>,
    frames: PacketSocket,
}

impl Sockets {
    /// Opens those of the families in use and listens to CARP's groups.
    pub(super) fn open(name: &str, index: u32, v4: bool, v6: bool) -> io::Result<Sockets> {
        let open = |family: Family, af: Af| -> io::Result<RawSocket> {
            let socket = RawSocket::open(family, packet::PROTOCOL, name, index)?;
            socket.join(packet::group(af).to_ip())?;
            Ok(socket)
        };
        Ok(Sockets {
            v4: v4.then(|| open(Family::V4, Af::V4)).transpose()?,
            v6: v6.then(|| open(Family::V6, Af::V6)).transpose()?,
            frames: PacketSocket::sender(name)?,
        })
    }

    /// Sends one advert.
    pub(super) fn send(&self, from: Addr, to: Addr, id: u16, payload: &[u8]) -> io::Result<()> {
        let socket = match to.af() {
            Af::V4 => &self.v4,
            Af::V6 => &self.v6,
        };
        let (Some(socket), Some(bytes)) = (socket, packet::build(from, to, id, payload)) else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        socket.send(&bytes, to.to_ip())
    }

    /// Sends Ethernet frames.
    pub(super) fn announce(&self, frames: &[Vec<u8>]) -> io::Result<()> {
        let sent = self.frames.send(frames)?;
        if sent == frames.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Hands over what has arrived; true if nothing is left.
    pub(super) fn receive(
        &self,
        buffer: &mut [u8; BUFFER],
        each: &mut dyn FnMut(Result<Datagram<'_>, Refused>),
    ) -> bool {
        let mut drained = true;
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            drained &= receive(socket, buffer, each);
        }
        drained
    }

    /// What becomes readable with an advert.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.v4, &self.v6].into_iter().flatten().map(|socket| socket.as_fd())
    }
}

fn receive(
    socket: &RawSocket,
    buffer: &mut [u8; BUFFER],
    each: &mut dyn FnMut(Result<Datagram<'_>, Refused>),
) -> bool {
    for _ in 0..BATCH {
        match socket.receive(buffer) {
            Ok(Some(Received::Packet { len })) => each(Datagram::parse(&buffer[..len.min(BUFFER)])),
            Ok(Some(Received::Payload { from, to, hop_limit, len })) => each(Ok(Datagram {
                from: from.into(),
                to: to.into(),
                ttl: hop_limit,
                payload: &buffer[..len.min(BUFFER)],
            })),
            // A failure is told once and taken with it; the device's state is followed elsewhere.
            Ok(None) | Err(_) => return true,
        }
    }
    false
}
