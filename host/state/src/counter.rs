//! Counters packed so that a state stays within 128 bytes.

use evergate_wire::Timestamp;

/// A saturating count of 40 bits: a million packets a second for 12 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count40([u8; 5]);

impl Count40 {
    const MAX: u64 = (1 << 40) - 1;

    pub(crate) fn new(value: u64) -> Self {
        let [a, b, c, d, e, ..] = value.min(Self::MAX).to_le_bytes();
        Self([a, b, c, d, e])
    }

    pub(crate) const fn value(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }

    pub(crate) fn increment(&mut self) {
        *self = Self::new(self.value() + 1);
    }
}

/// A point in time kept to 2^26 ns (67 ms), enough for an age that people read.
/// Saturates after 9 years of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoarseTime(u32);

impl CoarseTime {
    const SHIFT: u32 = 26;
    /// How far the kept time may lie before the true one.
    #[cfg(test)]
    pub(crate) const RESOLUTION: std::time::Duration =
        std::time::Duration::from_nanos(1 << Self::SHIFT);

    pub(crate) fn new(time: Timestamp) -> Self {
        Self(u32::try_from(time.as_nanos() >> Self::SHIFT).unwrap_or(u32::MAX))
    }

    pub(crate) const fn timestamp(self) -> Timestamp {
        Timestamp::from_nanos((self.0 as u64) << Self::SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_saturate_at_40_bits() {
        let mut count = Count40::default();
        count.increment();
        assert_eq!(count.value(), 1);
        count = Count40([0xff, 0xff, 0, 0, 0]);
        count.increment();
        assert_eq!(count.value(), 0x1_0000);
        count = Count40([0xff; 5]);
        count.increment();
        assert_eq!(count.value(), Count40::MAX);
    }

    #[test]
    fn coarse_time_is_never_late_and_early_by_less_than_its_resolution() {
        for nanos in [0, 1, 1 << 26, (1 << 26) - 1, 123_456_789_012_345, 1 << 57] {
            let true_time = Timestamp::from_nanos(nanos);
            let kept = CoarseTime::new(true_time).timestamp();
            assert!(kept <= true_time);
            assert!(true_time.since(kept) < CoarseTime::RESOLUTION);
        }
        assert_eq!(CoarseTime::new(Timestamp::from_nanos(u64::MAX)).0, u32::MAX);
    }
}
