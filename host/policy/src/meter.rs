//! Rate meters: a token bucket per key, in a table of fixed size.
//!
//! The table is set-associative: a seeded hash chooses a set of [`WAYS`] buckets, and a new key
//! takes the place of the set's longest unused one. So every call costs the same, memory never
//! grows, and a flood of keys can only make others forgotten, which gives them a full bucket.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::FixedState;

/// The longest key in bytes: two addresses.
pub const METER_KEY_MAX: usize = 32;
/// Buckets per set.
const WAYS: usize = 8;
/// Sets per meter; 4096 keys are remembered.
const SETS: usize = 512;
/// One token in the unit of the buckets' arithmetic (rate is in 1/1000 per second, time in ns).
const TOKEN: u128 = 1000 * 1_000_000_000;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    key: [u8; METER_KEY_MAX],
    key_len: u8,
    used: bool,
    level: u128,
    last_ns: u64,
}

/// One named meter.
#[derive(Debug)]
pub struct Meter {
    hasher: FixedState,
    sets: Box<[Mutex<[Bucket; WAYS]>]>,
}

impl Meter {
    fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Takes a token from the key's bucket and tells whether there was one.
    ///
    /// The bucket holds `burst` tokens and gains `rate_milli` thousandths of a token per second;
    /// it starts full. A key longer than [`METER_KEY_MAX`] has no bucket and never a token.
    pub fn take(&self, now_ns: u64, key: &[u8], rate_milli: u32, burst: u32) -> bool {
        let mut stored = [0; METER_KEY_MAX];
        let Some(place) = stored.get_mut(..key.len()) else {
            return false;
        };
        place.copy_from_slice(key);
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let index =
            usize::try_from(hasher.finish() % SETS as u64).expect("invariant: less than SETS");
        let mut set = self.sets[index].lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = u128::from(burst) * TOKEN;
        let known = set
            .iter()
            .position(|b| b.used && usize::from(b.key_len) == key.len() && b.key == stored);
        let way = known.unwrap_or_else(|| oldest(&set));
        let bucket = &mut set[way];
        if known.is_none() {
            let key_len = u8::try_from(key.len()).expect("invariant: at most METER_KEY_MAX");
            *bucket = Bucket { key: stored, key_len, used: true, level: capacity, last_ns: now_ns };
        }
        let gained = u128::from(now_ns.saturating_sub(bucket.last_ns)) * u128::from(rate_milli);
        bucket.level = bucket.level.saturating_add(gained).min(capacity);
        bucket.last_ns = bucket.last_ns.max(now_ns);
        let Some(rest) = bucket.level.checked_sub(TOKEN) else {
            return false;
        };
        bucket.level = rest;
        true
    }
}

fn oldest(set: &[Bucket; WAYS]) -> usize {
    let mut best = 0;
    for (way, bucket) in set.iter().enumerate() {
        if !bucket.used {
            return way;
        }
        if bucket.last_ns < set[best].last_ns {
            best = way;
        }
    }
    best
}

/// The meters of all policies, named `policy/meter`; they outlive a policy's replacement.
#[derive(Debug)]
pub struct Meters {
    limit: usize,
    seed: u64,
    inner: Mutex<HashMap<String, Arc<Meter>>>,
}

impl Meters {
    /// Creates an empty set that takes at most `limit` meters; the seed hides which keys collide.
    pub fn new(limit: usize, seed: u64) -> Self {
        Self { limit, seed, inner: Mutex::default() }
    }

    /// Returns the meter of this name, made empty if it is new; `None` if there is no room.
    pub(crate) fn resolve(&self, name: String) -> Option<Arc<Meter>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = inner.get(&name) {
            return Some(Arc::clone(meter));
        }
        if inner.len() >= self.limit {
            return None;
        }
        let meter = Arc::new(Meter::new(self.seed));
        inner.insert(name, Arc::clone(&meter));
        Some(meter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let meter = Meter::new(1);
        let taken = (0..10).filter(|_| meter.take(0, b"a", 2000, 3)).count();
        assert_eq!(taken, 3);
        assert!(!meter.take(SECOND / 2 - 1, b"a", 2000, 3));
        assert!(meter.take(SECOND / 2, b"a", 2000, 3));
        assert!(!meter.take(SECOND / 2, b"a", 2000, 3));
        assert!(meter.take(0, b"b", 2000, 3), "another key has its own bucket");
    }

    #[test]
    fn rates_below_one_a_second_are_exact() {
        let meter = Meter::new(1);
        assert!(meter.take(0, b"a", 1, 1));
        assert!(!meter.take(1000 * SECOND - 1, b"a", 1, 1));
        assert!(meter.take(1000 * SECOND, b"a", 1, 1));
    }

    #[test]
    fn no_burst_and_too_long_keys_never_have_a_token() {
        let meter = Meter::new(1);
        assert!(!meter.take(0, b"a", u32::MAX, 0));
        assert!(!meter.take(0, &[0; METER_KEY_MAX + 1], 1000, 1));
        assert!(meter.take(0, b"", 1000, 1));
        assert!(meter.take(0, b"\0", 1000, 1), "a key of one zero byte is not the empty key");
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let meter = Meter::new(1);
        assert!(meter.take(0, b"a", u32::MAX, u32::MAX));
        assert!(meter.take(u64::MAX, b"a", u32::MAX, u32::MAX));
        assert!(meter.take(0, b"a", u32::MAX, u32::MAX), "time going back is no time gone");
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_table_and_spares_recent_ones() {
        let meter = Meter::new(7);
        for n in 0..100_000u32 {
            meter.take(u64::from(n), &n.to_le_bytes(), 0, 1);
        }
        assert!(!meter.take(100_000, &99_999u32.to_le_bytes(), 0, 1), "the last one is known");
        assert!(meter.take(100_000, &0u32.to_le_bytes(), 0, 1), "the first one is forgotten");
    }
}
