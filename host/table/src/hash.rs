//! The hash that spreads keys over shards and slots.

use std::hash::Hasher;

use evergate_state::StateKey;
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

/// A keyed hash: who does not know the seed cannot aim at one shard.
#[derive(Clone, Debug)]
pub(crate) struct KeyHash {
    seed: u64,
    shared: SharedSeed,
}

impl KeyHash {
    pub(crate) const fn new(seed: u64) -> Self {
        let seed = spread(seed);
        Self { seed, shared: SharedSeed::from_u64(spread(seed)) }
    }

    /// Hashes a key in three words; half the time of the derived `Hash`.
    pub(crate) fn of(&self, key: &StateKey) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        let [lo, hi] = key.addr;
        hasher.write_u128(u128::from_ne_bytes(lo.octets()));
        hasher.write_u128(u128::from_ne_bytes(hi.octets()));
        let [lo, hi] = key.port;
        let ports = u64::from(lo) << 32 | u64::from(hi) << 16;
        hasher.write_u64(ports | u64::from(key.proto) << 8 | key.af as u64);
        hasher.finish()
    }
}

/// Spreads a seed over all bits (the finalizer of SplitMix64). Multiplying by a
/// small seed, or one of ones alone, would hardly mix the keys.
const fn spread(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use evergate_wire::{Addr, Af};

    use super::*;

    fn key() -> StateKey {
        let addr = [Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(192, 0, 2, 1).into()];
        StateKey { addr, port: [1024, 443], proto: 6, af: Af::V4 }
    }

    #[test]
    fn every_field_and_the_seed_count() {
        for seed in [0, 1, 2, u64::MAX] {
            check_seed(seed);
        }
    }

    fn check_seed(seed: u64) {
        let hash = KeyHash::new(seed);
        let [lo, hi] = key().addr;
        let other: Addr = Ipv4Addr::new(10, 0, 0, 2).into();
        let keys = [
            key(),
            StateKey { addr: [other, hi], ..key() },
            StateKey { addr: [lo, other], ..key() },
            StateKey { addr: [hi, lo], ..key() },
            StateKey { port: [1025, 443], ..key() },
            StateKey { port: [1024, 444], ..key() },
            StateKey { port: [443, 1024], ..key() },
            StateKey { proto: 17, ..key() },
            StateKey { af: Af::V6, ..key() },
        ];
        let mut hashes: Vec<u64> = keys.iter().map(|key| hash.of(key)).collect();
        hashes.push(KeyHash::new(seed ^ 4).of(&key()));
        assert_eq!(hash.of(&key()), KeyHash::new(seed).of(&key()));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), keys.len() + 1, "seed {seed}");
    }
}
