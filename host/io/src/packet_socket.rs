//! Raw ethernet frames: sent in batches, received one by one.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{
    AddressFamily, MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType,
    bind, netdevice, recv, sendmmsg, socket_with,
};

/// Frames handed to the kernel in one call; it takes at most 1024.
const BATCH_MAX: usize = 256;
/// `ETH_P_ALL`, linux/if_ether.h.
const EVERY_PROTOCOL: u16 = 0x0003;

/// `struct sockaddr_ll`, packet(7).
#[repr(C)]
#[derive(Clone, Copy)]
struct LinkAddress {
    family: u16,
    protocol_be: u16,
    index: i32,
    hardware_type: u16,
    packet_type: u8,
    address_len: u8,
    address: [u8; 8],
}

// SAFETY: the pointer is to a whole `sockaddr_ll` that lives for the call, and the length is
// its size.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let len = size_of::<Self>() as SocketAddrLen;
        call(std::ptr::from_ref(self).cast(), len)
    }
}

/// A socket for whole ethernet frames on one device.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket that sends on the device `name` and receives nothing.
    ///
    /// # Errors
    /// Fails without the device or `CAP_NET_RAW`.
    pub fn sender(name: &str) -> io::Result<Self> {
        Self::open(name, 0)
    }

    /// Opens a socket that also receives every frame that comes to or leaves the device `name`.
    ///
    /// # Errors
    /// Fails without the device or `CAP_NET_RAW`.
    pub fn receiver(name: &str) -> io::Result<Self> {
        Self::open(name, EVERY_PROTOCOL)
    }

    /// Opens a socket that also receives the frames of one Ethernet type that come to the device
    /// `name`.
    ///
    /// # Errors
    /// Fails without the device or `CAP_NET_RAW`.
    pub fn listener(name: &str, ethertype: u16) -> io::Result<Self> {
        Self::open(name, ethertype)
    }

    fn open(name: &str, protocol: u16) -> io::Result<Self> {
        // Opened without a protocol: nothing is received before the socket is bound to its device.
        let fd = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let index = netdevice::name_to_index(&fd, name)?;
        let address = LinkAddress {
            family: AddressFamily::PACKET.as_raw(),
            protocol_be: protocol.to_be(),
            index: i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?,
            hardware_type: 0,
            packet_type: 0,
            address_len: 0,
            address: [0; 8],
        };
        bind(&fd, &address)?;
        Ok(Self { fd })
    }

    /// Sends frames as fast as the device takes them; returns how many it took. A full device
    /// queue ends the sending early, so a short count is loss that was seen.
    ///
    /// # Errors
    /// Fails when not even the first frame was taken.
    pub fn send(&self, frames: &[impl AsRef<[u8]>]) -> io::Result<usize> {
        let mut sent = 0;
        for batch in frames.chunks(BATCH_MAX) {
            match self.send_batch(batch) {
                Ok(count) => sent += count,
                Err(_) if sent > 0 => return Ok(sent),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(sent)
    }

    fn send_batch(&self, frames: &[impl AsRef<[u8]>]) -> Result<usize, Errno> {
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame.as_ref())]).collect();
        let mut control: Vec<_> = frames.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<_> = slices
            .iter()
            .zip(&mut control)
            .map(|(slice, none)| MMsgHdr::new(slice, none))
            .collect();
        let mut sent = 0;
        while sent < messages.len() {
            match sendmmsg(&self.fd, &mut messages[sent..], SendFlags::empty()) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(_) if sent > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(sent)
    }

    /// Receives one frame, waiting up to `timeout_ms`; `None` when none came.
    ///
    /// # Errors
    /// Fails when the socket does.
    pub fn receive(&self, frame: &mut [u8], timeout_ms: u16) -> io::Result<Option<usize>> {
        let time = Timespec {
            tv_sec: i64::from(timeout_ms / 1000),
            tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000,
        };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut fds, Some(&time)) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let (len, _) = recv(&self.fd, frame, RecvFlags::empty())?;
        Ok(Some(len))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
