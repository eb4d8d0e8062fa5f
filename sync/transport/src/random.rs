//! The randomness of back-off and of simulated networks: seeded, and no secret.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence that is the same for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// True `ppm` times in a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }

    /// A time from `least` to `most`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_nanos().min(u128::from(u64::MAX)) as u64;
        least.saturating_add(Duration::from_nanos(self.below(span.saturating_add(1))))
    }
}

/// How long to wait before the next attempt to reach a peer: doubles from `first` to `most`,
/// and of that a random part between a half and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(40), most: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// The wait after `failures` attempts have failed in a row.
    pub fn wait(&self, failures: u32, random: &mut Random) -> Duration {
        let factor = 1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX);
        let longest = self.first.saturating_mul(factor).min(self.most);
        random.between(longest / 2, longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        // SplitMix64's published first output for seed 0.
        assert_eq!(Random::new(0).bits(), 0xe220_a839_7b1d_cdaf);
    }

    proptest! {
        #[test]
        fn waits_stay_between_half_and_all_of_the_doubled_bound(seed: u64, failures in 0u32..100) {
            let backoff = Backoff::default();
            let longest = (backoff.first * 2u32.pow(failures.min(20))).min(backoff.most);
            let wait = backoff.wait(failures, &mut Random::new(seed));
            prop_assert!(wait >= longest / 2 && wait <= longest, "{:?}", wait);
        }
    }
}
