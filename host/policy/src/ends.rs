//! Ended states that wait for the hooks of the policies that made them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use evergate_abi::Ended;

use crate::policy::Policy;

/// Ended states that wait; further ones are dropped and counted.
const QUEUE_MAX: usize = 4096;

/// A queue that never makes those wait who add to it.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// A bit for each place of the chain whose policy wants to know.
    wanted: AtomicU64,
    queue: Mutex<VecDeque<(u16, Ended)>>,
    dropped: AtomicU64,
}

impl Ends {
    /// Notes which policies of a chain want to know.
    pub(crate) fn set_wanted<'a>(&self, policies: impl Iterator<Item = &'a Policy>) {
        let bits = policies.enumerate().map(|(n, policy)| u64::from(policy.wants_ends()) << n);
        self.wanted.store(bits.fold(0, |all, bit| all | bit), Ordering::Release);
    }

    /// Tells whether the policy at this place wants to know.
    pub(crate) fn is_wanted(&self, policy: u16) -> bool {
        let bit = 1u64.checked_shl(u32::from(policy)).unwrap_or(0);
        self.wanted.load(Ordering::Acquire) & bit != 0
    }

    pub(crate) fn push(&self, policy: u16, ended: Ended) {
        let queue = match self.queue.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match queue {
            Some(mut queue) if queue.len() < QUEUE_MAX => queue.push_back((policy, ended)),
            Some(_) | None => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes up to so many out, oldest first.
    pub(crate) fn take(&self, most: usize) -> Vec<(u16, Ended)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let most = queue.len().min(most);
        queue.drain(..most).collect()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
