//! How long calls of a policy take, from samples.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets: four to each doubling, from 16 ns to over a second.
const BUCKETS: usize = 112;
/// Buckets to a doubling.
const STEPS: u64 = 4;
/// The first doubling: 2^4 ns.
const FIRST: u64 = 4;

/// A histogram of sampled times; its error is at most a quarter.
#[derive(Debug)]
pub(crate) struct Times([AtomicU64; BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// Times of calls as far as they were sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTimes {
    /// How many calls were timed.
    pub samples: u64,
    /// What half of them took at most, in nanoseconds.
    pub p50_ns: u64,
    /// What 99 of 100 took at most, in nanoseconds.
    pub p99_ns: u64,
}

impl Times {
    pub(crate) fn add(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1 << FIRST);
        self.0[bucket(ns)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn summary(&self) -> CallTimes {
        let counts = self.0.each_ref().map(|n| n.load(Ordering::Relaxed));
        let samples: u64 = counts.iter().sum();
        let at = |percent: u64| {
            let rank = (samples * percent).div_ceil(100).max(1);
            let mut sum = 0;
            let found = counts.iter().position(|n| {
                sum += n;
                sum >= rank
            });
            found.map_or(0, upper)
        };
        CallTimes { samples, p50_ns: at(50), p99_ns: at(99) }
    }
}

/// The bucket of a time of at least 2^FIRST ns.
fn bucket(ns: u64) -> usize {
    let doubling = u64::from(ns.ilog2());
    let step = (ns >> (doubling - 2)) & (STEPS - 1);
    usize::try_from((doubling - FIRST) * STEPS + step).map_or(BUCKETS - 1, |n| n.min(BUCKETS - 1))
}

/// The largest time of a bucket.
fn upper(bucket: usize) -> u64 {
    let (doubling, step) = (bucket as u64 / STEPS + FIRST, bucket as u64 % STEPS);
    ((STEPS + step + 1) << (doubling - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_times_and_are_ordered() {
        for ns in [16, 17, 20, 31, 32, 100, 1_000, 123_456, 1 << 30] {
            let b = bucket(ns);
            assert!(ns <= upper(b) && (b == 0 || upper(b - 1) < ns), "{ns}: bucket {b}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let times = Times::default();
        assert_eq!(times.summary(), CallTimes::default());
        for _ in 0..99 {
            times.add(Duration::from_nanos(100));
        }
        times.add(Duration::from_micros(50));
        let summary = times.summary();
        assert_eq!((summary.samples, summary.p50_ns, summary.p99_ns), (100, 111, 111));
        times.add(Duration::from_micros(50));
        assert_eq!(times.summary().p99_ns, 57_343);
    }
}
