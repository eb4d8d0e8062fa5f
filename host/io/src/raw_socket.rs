//! Raw IP sockets of one protocol on one device, for protocols that the kernel does not speak.
//!
//! Packets are sent whole, IP header included, so that source, TTL and type of service are the
//! sender's choice. What is received is told with its destination and its TTL or hop limit.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::c_int;
use socket2::{
    Domain, InterfaceIndexOrAddress, MaybeUninitSlice, MsgHdrMut, Protocol, SockAddr, Socket, Type,
};

use crate::netlink::Family;

/// Room for a hop limit and a packet info, with their headers: 24 and 40 bytes.
const CONTROL_LEN: usize = 128;
/// The head of a control message: its length, level and type (`struct cmsghdr`).
const CONTROL_HEAD: usize = size_of::<usize>() + 2 * size_of::<c_int>();
/// Waiting packets beyond this many bytes are lost; some hundred adverts.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// A packet that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// IPv4: the buffer holds a whole IP packet of this length.
    Packet {
        /// Its bytes.
        len: usize,
    },
    /// IPv6: the buffer holds what follows the IP headers.
    Payload {
        /// The source.
        from: Ipv6Addr,
        /// The destination.
        to: Ipv6Addr,
        /// The hop limit.
        hop_limit: u8,
        /// Bytes of the payload.
        len: usize,
    },
}

/// A raw socket of one family and protocol, tied to a device; it never blocks.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    family: Family,
    index: u32,
}

impl RawSocket {
    /// Opens a socket of IP protocol `protocol` on the device `name` with the number `index`.
    ///
    /// # Errors
    /// Fails without the device, the family or `CAP_NET_RAW`.
    pub fn open(family: Family, protocol: u8, name: &str, index: u32) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(
            domain,
            Type::RAW.cloexec().nonblocking(),
            Some(Protocol::from(i32::from(protocol))),
        )?;
        socket.bind_device(Some(name.as_bytes()))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        match family {
            Family::V4 => {
                socket.set_header_included_v4(true)?;
                socket.set_multicast_loop_v4(false)?;
            }
            Family::V6 => {
                socket.set_header_included_v6(true)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_recv_hoplimit_v6(true)?;
                receive_destination(&socket)?;
            }
        }
        Ok(Self { socket, family, index })
    }

    /// Listens to a multicast group on the device.
    ///
    /// # Errors
    /// Fails for an address that is no group of the socket's family.
    pub fn join(&self, group: IpAddr) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.index))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, self.index),
        }
    }

    /// Sends a whole IP packet to `to`, which is the destination in its header.
    ///
    /// # Errors
    /// Fails where the kernel does not take it, such as with the device down.
    pub fn send(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        let to = match to {
            IpAddr::V4(to) => SockAddr::from(SocketAddrV4::new(to, 0)),
            IpAddr::V6(to) => SockAddr::from(SocketAddrV6::new(to, 0, 0, self.index)),
        };
        self.socket.send_to(packet, &to).map(|_all| ())
    }

    /// Takes the next packet; `None` when none waits. A longer one than `buffer` is cut off.
    ///
    /// # Errors
    /// Fails where the socket does, such as once after the device went down.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut control = [MaybeUninit::new(0_u8); CONTROL_LEN];
        let mut from = SockAddr::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
        let mut parts = [MaybeUninitSlice::new(uninit(buffer))];
        let mut message = MsgHdrMut::new()
            .with_addr(&mut from)
            .with_buffers(&mut parts)
            .with_control(&mut control);
        let len = match self.socket.recvmsg(&mut message, 0) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let told = message.control_len().min(CONTROL_LEN);
        if self.family == Family::V4 {
            return Ok(Some(Received::Packet { len }));
        }
        // SAFETY: every byte was initialised above, and the kernel writes only whole ones.
        let control = control.map(|byte| unsafe { byte.assume_init() });
        let (to, hop_limit) = destination(&control[..told]);
        let from = from.as_socket_ipv6().map_or(Ipv6Addr::UNSPECIFIED, |from| *from.ip());
        Ok(Some(Received::Payload { from, to, hop_limit, len }))
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The same bytes as memory to be written to.
fn uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let (start, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: same memory, same layout, borrowed as long; only the kernel writes to it, and it
    // writes initialised bytes.
    unsafe { std::slice::from_raw_parts_mut(start, len) }
}

/// Destination and hop limit from control messages (RFC 3542 §6.1, §6.3); what is not told is
/// unspecified and 0, which no receiver takes for good.
fn destination(mut control: &[u8]) -> (Ipv6Addr, u8) {
    let (mut to, mut hop_limit) = (Ipv6Addr::UNSPECIFIED, 0);
    while let Some((head, rest)) = control.split_first_chunk::<CONTROL_HEAD>() {
        let word = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map_or(0, |bytes| c_int::from_ne_bytes(*bytes))
        };
        let (level, kind) = (word(CONTROL_HEAD - 8), word(CONTROL_HEAD - 4));
        let Some(len) = head.first_chunk().map(|len| usize::from_ne_bytes(*len)) else { break };
        let Some(data) = len.checked_sub(CONTROL_HEAD).and_then(|len| rest.get(..len)) else {
            break;
        };
        match (level, kind) {
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let octets = data.first_chunk::<16>();
                to = octets.map_or(to, |octets| Ipv6Addr::from(*octets));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                let told = data.first_chunk().map(|told| c_int::from_ne_bytes(*told));
                hop_limit = told.and_then(|told| u8::try_from(told).ok()).unwrap_or(0);
            }
            _ => {}
        }
        control = control.get(len.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
    }
    (to, hop_limit)
}

fn receive_destination(socket: &Socket) -> io::Result<()> {
    let on: c_int = 1;
    let len = size_of::<c_int>() as libc::socklen_t;
    let (fd, value) = (socket.as_raw_fd(), std::ptr::from_ref(&on).cast());
    // SAFETY: the descriptor is open, and value and length describe an integer that lives for
    // the call.
    let code =
        unsafe { libc::setsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, value, len) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: c_int, data: &[u8]) -> Vec<u8> {
        let mut bytes = (CONTROL_HEAD + data.len()).to_ne_bytes().to_vec();
        bytes.extend(libc::IPPROTO_IPV6.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn destination_and_hop_limit_are_read_in_any_order() {
        let group: Ipv6Addr = "ff02::12".parse().expect("address");
        let info = message(libc::IPV6_PKTINFO, &[&group.octets()[..], &[3, 0, 0, 0]].concat());
        let hops = message(libc::IPV6_HOPLIMIT, &255_i32.to_ne_bytes());
        for control in [[info.clone(), hops.clone()].concat(), [hops, info].concat()] {
            assert_eq!(destination(&control), (group, 255));
        }
    }

    #[test]
    fn cut_off_and_impossible_messages_tell_nothing() {
        let nothing = (Ipv6Addr::UNSPECIFIED, 0);
        let mut hops = message(libc::IPV6_HOPLIMIT, &255_i32.to_ne_bytes());
        assert_eq!(destination(&hops[..CONTROL_HEAD + 3]), nothing);
        hops[0] = 1;
        assert_eq!(destination(&hops), nothing);
        assert_eq!(destination(&message(libc::IPV6_HOPLIMIT, &300_i32.to_ne_bytes())), nothing);
        assert_eq!(destination(&[]), nothing);
    }
}
