//! Waiting for several descriptors and a moment at once, and being woken by another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::clock;

/// The most descriptors waited for at a time; more are a mistake of the caller.
pub const DESCRIPTORS_MAX: usize = 512;

/// Waits until one of the descriptors can be read (or has failed), or the monotonic clock has
/// reached `until_ns`, whichever is first; `None` waits for the descriptors alone. It may come
/// back early: look again.
///
/// # Errors
/// Fails for more than [`DESCRIPTORS_MAX`] descriptors, or where memory runs out.
pub fn readable(descriptors: &[BorrowedFd<'_>], until_ns: Option<u64>) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let mut fds: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let left = until_ns.map(|until| until.saturating_sub(clock::monotonic_ns()));
    let timeout = left.and_then(|left| Timespec::try_from(Duration::from_nanos(left)).ok());
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Wakes a thread that waits for it; clones share it. Several calls before the other thread
/// looks are one.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// Makes a waker that was not called yet.
    ///
    /// # Errors
    /// Fails when no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Makes the descriptor readable until the next [`Self::clear`].
    pub fn wake(&self) {
        // It fails only when it is readable already.
        let _ = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }

    /// Takes the calls so far; to be done before looking at what they were about.
    pub fn clear(&self) {
        let _ = rustix::io::read(&*self.event, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_seen_until_it_is_taken() {
        let waker = Waker::new().expect("eventfd");
        waker.clone().wake();
        waker.wake();
        // Without an end to the waiting: it would hang if the call were lost.
        readable(&[waker.as_fd()], None).expect("poll");
        waker.clear();
        waker.clear();
        let soon = clock::monotonic_ns() + 1_000_000;
        readable(&[waker.as_fd()], Some(soon)).expect("poll");
        assert!(clock::monotonic_ns() >= soon, "a call that was taken woke again");
    }
}
