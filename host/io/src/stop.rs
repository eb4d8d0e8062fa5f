//! A one-way signal that ends threads which block on file descriptors.
//!
//! Once signalled it stays signalled: every holder of a clone sees it, however late it looks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// The signal; clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    event: OwnedFd,
    signalled: AtomicBool,
}

impl Stop {
    /// Creates a signal that is not yet given.
    ///
    /// # Errors
    /// Fails when no file descriptor is left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { shared: Arc::new(Shared { event, signalled: AtomicBool::new(false) }) })
    }

    /// Gives the signal; everything that polls on it wakes, now and in future.
    pub fn signal(&self) {
        self.shared.signalled.store(true, Ordering::Release);
        // The counter is never read, so it can only be full after 2^64 signals: then it is
        // readable, which is all that is wanted.
        let _ = rustix::io::write(&self.shared.event, &1u64.to_ne_bytes());
    }

    /// Tells whether the signal was given; costs one load.
    #[must_use]
    pub fn is_signalled(&self) -> bool {
        self.shared.signalled.load(Ordering::Acquire)
    }
}

impl AsFd for Stop {
    /// The descriptor becomes readable with the signal and stays so; it must not be read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn readable(stop: &Stop) -> bool {
        let mut fds = [PollFd::new(stop, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll") == 1
    }

    #[test]
    fn every_clone_sees_the_signal_and_it_stays() {
        let stop = Stop::new().expect("eventfd");
        let clone = stop.clone();
        assert!(!clone.is_signalled() && !readable(&clone));
        stop.signal();
        stop.signal();
        assert!(clone.is_signalled());
        assert!(readable(&clone) && readable(&clone));
    }
}
