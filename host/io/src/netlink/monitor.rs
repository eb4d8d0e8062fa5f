//! Notice of changes to devices, addresses, routes and rules.
//!
//! The notice says that something changed, not what: the holder dumps anew. So a lost
//! notification costs nothing but a dump.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::NetlinkError;
use crate::stop::Stop;

/// `RTMGRP_LINK | IPV4_IFADDR | IPV4_ROUTE | IPV4_RULE | IPV6_IFADDR | IPV6_ROUTE`, and
/// `RTNLGRP_IPV6_RULE` (19) as a bit (linux/rtnetlink.h).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18;
/// `RTMGRP_LINK | IPV4_IFADDR | IPV6_IFADDR`.
const DEVICE_GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// One notification fits; a longer one is cut, which does not matter.
const RECEIVE_BUFFER: usize = 8 * 1024;
/// Changes that go on and on are told at last after this many debounce times.
const DEBOUNCE_ROUNDS: u32 = 10;

/// What [`Monitor::wait`] came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Something changed (or notifications were lost): dump anew.
    Changed,
    /// The stop signal was given.
    Stopped,
}

/// A subscription to the changes in one network namespace.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Subscribes in the calling thread's network namespace.
    ///
    /// # Errors
    /// Fails when no file descriptor is left.
    pub fn open() -> Result<Self, NetlinkError> {
        Self::subscribe(GROUPS)
    }

    /// Subscribes to changes of devices and addresses alone.
    ///
    /// # Errors
    /// Fails when no file descriptor is left.
    pub fn of_devices() -> Result<Self, NetlinkError> {
        Self::subscribe(DEVICE_GROUPS)
    }

    fn subscribe(groups: u32) -> Result<Self, NetlinkError> {
        let failed = |source| NetlinkError::new("subscribing to network changes", source);
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind(&SocketAddr::new(0, groups)).map_err(failed)?;
        socket.set_non_blocking(true).map_err(failed)?;
        Ok(Self { socket, buffer: vec![0; RECEIVE_BUFFER] })
    }

    /// Waits for a change, then until none came for `debounce` (but at most ten times that).
    ///
    /// # Errors
    /// Fails when the socket does.
    pub fn wait(&mut self, stop: &Stop, debounce: Duration) -> io::Result<Changes> {
        if !self.poll(stop, None)? {
            return Ok(Changes::Stopped);
        }
        self.drain()?;
        let deadline = Instant::now() + debounce * DEBOUNCE_ROUNDS;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(debounce);
            if left.is_zero() || !self.poll(stop, Some(left))? {
                break;
            }
            if self.drain()? == 0 {
                break;
            }
        }
        Ok(if stop.is_signalled() { Changes::Stopped } else { Changes::Changed })
    }

    /// Takes all waiting notifications, without blocking; returns how many there were.
    /// A loss counts as one.
    ///
    /// # Errors
    /// Fails when the socket does.
    pub fn drain(&mut self) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            match rustix::net::recv(self.socket.as_fd(), &mut self.buffer[..], RecvFlags::empty()) {
                Ok(_) | Err(Errno::NOBUFS) => taken += 1,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(taken),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// True when there is something to read, false on a stop or when the time is over.
    fn poll(&self, stop: &Stop, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        loop {
            let mut fds =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) if !fds[1].revents().is_empty() => return Ok(false),
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
