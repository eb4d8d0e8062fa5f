//! One queue of a tun: plain non-blocking reads and writes of frames.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::stop::Stop;

/// A busy queue is left for a look at the stop signal after this many frames.
const FRAMES_PER_LOOK: u32 = 64;

/// One queue of a tun device. Any number of queues may be used by as many threads.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
}

/// Why [`Queue::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is something to read, or an error to be met by reading.
    Readable,
    /// The stop signal was given.
    Stopped,
}

impl Queue {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Reads one frame (header and packet) and returns its length in bytes, or `None` when
    /// none is waiting. A frame longer than `frame` is cut: give [`super::FRAME_MAX`] bytes.
    ///
    /// # Errors
    /// Fails when the device is gone.
    #[inline]
    pub fn read(&self, frame: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.fd, &mut *frame) {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes one frame (header and packet): the kernel receives it from this device.
    ///
    /// # Errors
    /// `InvalidInput` when the kernel finds the frame malformed (it is dropped, the queue goes
    /// on); other failures when the device is down or gone.
    #[inline]
    pub fn write(&self, frame: &[u8]) -> io::Result<()> {
        loop {
            match rustix::io::write(&self.fd, frame) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Blocks until a frame is waiting or the stop signal is given; the signal comes first.
    ///
    /// # Errors
    /// Fails when polling does.
    pub fn wait(&self, stop: &Stop) -> io::Result<Wake> {
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[1].revents().is_empty() => return Ok(Wake::Stopped),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(Wake::Readable),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a [`pump`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PumpReport {
    /// Frames read.
    pub read: u64,
    /// Frames written back.
    pub written: u64,
    /// Frames the kernel would not take back.
    pub refused: u64,
    /// The length of the longest frame read, in bytes.
    pub longest: usize,
}

/// Reads frames and writes those back that `relay` says true to, until the stop signal.
/// `frame` is the buffer, of [`super::FRAME_MAX`] bytes.
///
/// # Errors
/// Fails when the device is gone.
pub fn pump(
    queue: &Queue,
    stop: &Stop,
    frame: &mut [u8],
    mut relay: impl FnMut(&mut [u8]) -> bool,
) -> io::Result<PumpReport> {
    let mut report = PumpReport::default();
    while queue.wait(stop)? == Wake::Readable {
        for _ in 0..FRAMES_PER_LOOK {
            let Some(len) = queue.read(frame)? else { break };
            report.read += 1;
            report.longest = report.longest.max(len);
            if relay(&mut frame[..len]) {
                match queue.write(&frame[..len]) {
                    Ok(()) => report.written += 1,
                    Err(_) => report.refused += 1,
                }
            }
        }
    }
    Ok(report)
}
