//! The lines that policies log: a bounded queue that never blocks a worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use evergate_abi::LogLevel;

/// The longest line in bytes; longer ones are cut.
pub const LOG_LINE_MAX: usize = 256;
/// Lines that wait for the daemon; further ones are dropped and counted.
const QUEUE_MAX: usize = 1024;
/// Lines per second and policy over a longer time.
const LINES_PER_S: u64 = 20;
/// Lines that a policy may log at once.
const BURST: u64 = 50;
const LINE_NS: u64 = 1_000_000_000 / LINES_PER_S;

/// One line that a policy logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The policy's name.
    pub policy: Arc<str>,
    /// How grave it is.
    pub level: LogLevel,
    /// The text, at most [`LOG_LINE_MAX`] bytes, without control characters.
    pub text: String,
}

/// The lines that wait for the daemon.
#[derive(Debug, Default)]
pub struct LogQueue {
    lines: Mutex<VecDeque<LogLine>>,
    dropped: AtomicU64,
}

impl LogQueue {
    /// Takes all waiting lines out.
    pub fn drain(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Returns how many lines were dropped so far, by rate or for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn push(&self, line: LogLine) {
        let queue = match self.lines.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match queue {
            Some(mut queue) if queue.len() < QUEUE_MAX => queue.push_back(line),
            Some(_) | None => self.count_dropped(),
        }
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// The log rate limit of one policy, shared by its instances (the virtual scheduling form of the
/// generic cell rate algorithm).
#[derive(Debug, Default)]
pub(crate) struct LogRate {
    next_ns: AtomicU64,
}

impl LogRate {
    pub(crate) fn allow(&self, now_ns: u64) -> bool {
        let limit = now_ns.saturating_add(BURST * LINE_NS);
        self.next_ns
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                let after = next.max(now_ns).saturating_add(LINE_NS);
                (after <= limit).then_some(after)
            })
            .is_ok()
    }
}

/// Makes a guest's bytes fit for a log: valid, bounded, and of one line.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(LOG_LINE_MAX)];
    let mut text = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        let c = if c.is_control() { ' ' } else { c };
        if text.len() + c.len_utf8() > LOG_LINE_MAX {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_a_flood() {
        let rate = LogRate::default();
        let at_once = (0..1000).filter(|_| rate.allow(5)).count();
        assert_eq!(at_once as u64, BURST);
        let within_a_second = (1..=1000u64).filter(|ms| rate.allow(5 + ms * 1_000_000)).count();
        assert_eq!(within_a_second as u64, LINES_PER_S);
    }

    #[test]
    fn the_queue_is_bounded_and_counts_what_it_drops() {
        let queue = LogQueue::default();
        let line = LogLine { policy: "p".into(), level: LogLevel::Info, text: "x".into() };
        for _ in 0..QUEUE_MAX + 3 {
            queue.push(line.clone());
        }
        assert_eq!(queue.dropped(), 3);
        assert_eq!(queue.drain().len(), QUEUE_MAX);
        assert!(queue.drain().is_empty());
    }

    #[test]
    fn lines_are_cut_and_cleaned() {
        assert_eq!(clean(b"a\nb\x1b[2J\0"), "a b [2J ");
        assert_eq!(clean(&[0xff; 1000]).len(), LOG_LINE_MAX / 3 * 3);
        assert_eq!(clean(&[b'x'; 1000]).len(), LOG_LINE_MAX);
    }
}
