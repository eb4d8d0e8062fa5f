//! How often a vhost advertises and how long silence may last.
//!
//! Classic CARP counts in advbase seconds and advskew 256ths of a second. Between
//! Evergates an interval of microseconds may stand for the second, and the skew
//! counts in 256ths of that.

use std::time::Duration;

use crate::ConfigError;

/// The shortest interval of its own.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest, which is advbase's.
pub(crate) const INTERVAL_MAX: Duration = Duration::from_secs(255);
/// Adverts that may be missed: CARP's 3.
const DOWN_INTERVALS: u32 = 3;
const SECOND: Duration = Duration::from_secs(1);

/// The time between two adverts and the rank that comes with it: of two equally
/// demoted gateways the one that advertises more often wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    advbase: u8,
    advskew: u8,
    /// Set in the fast mode.
    interval: Option<Duration>,
}

impl Pace {
    /// CARP's own pace: `advbase` seconds and `advskew` 256ths of a second.
    ///
    /// # Errors
    ///
    /// An advskew of 255 belongs to the bow-out.
    pub fn classic(advbase: u8, advskew: u8) -> Result<Self, ConfigError> {
        if advskew == u8::MAX {
            return Err(ConfigError::Advskew(advskew));
        }
        Ok(Self { advbase, advskew, interval: None })
    }

    /// An own `interval` of 10 ms to 255 s in whole microseconds, and `advskew`
    /// 256ths of it. On the wire such adverts say an advbase of 1.
    ///
    /// # Errors
    ///
    /// Other intervals, and an advskew of 255.
    pub fn fast(interval: Duration, advskew: u8) -> Result<Self, ConfigError> {
        let whole = interval.subsec_nanos().is_multiple_of(1000);
        if !whole || !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            return Err(ConfigError::Interval);
        }
        Ok(Self { interval: Some(interval), ..Self::classic(1, advskew)? })
    }

    /// The advbase on the wire, in seconds.
    pub fn advbase(self) -> u8 {
        self.advbase
    }

    /// The advskew on the wire, in 256ths.
    pub fn advskew(self) -> u8 {
        self.advskew
    }

    /// The interval of the fast mode, without the skew.
    pub fn own_interval(self) -> Option<Duration> {
        self.interval
    }

    /// The time between two adverts.
    pub fn interval(self) -> Duration {
        match self.weight() {
            // OpenBSD: advbase 0 and advskew 0 are 1/256 s.
            Duration::ZERO => skew_of(SECOND, 1),
            interval => interval,
        }
    }

    /// The silence after which the MASTER is taken for dead.
    pub fn down_time(self) -> Duration {
        match (self.interval, self.advbase) {
            (None, 0) => skew_of(SECOND, self.advskew.max(1)) * DOWN_INTERVALS,
            (None | Some(_), _) => self.base() * DOWN_INTERVALS + self.skew(),
        }
    }

    /// What is compared in the election: less is better. For classic paces this
    /// orders as (advbase, advskew) does.
    pub(crate) fn weight(self) -> Duration {
        self.base() + self.skew()
    }

    /// What a peer's weight must exceed to be too slow for us; `None` with an
    /// advbase of 0, as OpenBSD has it.
    pub(crate) fn patience(self) -> Option<Duration> {
        let counts = self.interval.is_some() || self.advbase > 0;
        counts.then(|| self.down_time())
    }

    fn base(self) -> Duration {
        self.interval.unwrap_or(SECOND * u32::from(self.advbase))
    }

    fn skew(self) -> Duration {
        skew_of(self.interval.unwrap_or(SECOND), self.advskew)
    }
}

/// `skew` 256ths of `unit`, in whole microseconds.
pub(crate) fn skew_of(unit: Duration, skew: u8) -> Duration {
    let micros = unit.as_micros() * u128::from(skew) / 256;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn classic_times_are_those_of_openbsd() {
        for (advbase, advskew, interval, down) in [
            (1, 0, 1_000_000, 3_000_000),
            (1, 100, 1_390_625, 3_390_625),
            (1, 254, 1_992_187, 3_992_187),
            (4, 3, 4_011_718, 12_011_718),
            (0, 128, 500_000, 1_500_000),
            (0, 26, 101_562, 304_686),
            (0, 0, 3_906, 11_718),
            (255, 254, 255_992_187, 765_992_187),
        ] {
            let pace = Pace::classic(advbase, advskew).unwrap();
            assert_eq!(pace.interval(), micros(interval), "{pace:?}");
            assert_eq!(pace.down_time(), micros(down), "{pace:?}");
        }
    }

    #[test]
    fn fast_times_scale_the_skew() {
        for (interval, advskew, between, down) in [
            (10_000, 0, 10_000, 30_000),
            (10_000, 128, 15_000, 35_000),
            (100_000, 100, 139_062, 339_062),
            (255_000_000, 0, 255_000_000, 765_000_000),
        ] {
            let pace = Pace::fast(micros(interval), advskew).unwrap();
            assert_eq!((pace.interval(), pace.down_time()), (micros(between), micros(down)));
            assert_eq!(pace.advbase(), 1);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Pace::classic(1, 255), Err(ConfigError::Advskew(255)));
        assert_eq!(Pace::fast(micros(10_000), 255), Err(ConfigError::Advskew(255)));
        for interval in [micros(9_999), micros(255_000_001), Duration::from_nanos(10_000_500)] {
            assert_eq!(Pace::fast(interval, 0), Err(ConfigError::Interval));
        }
    }

    #[test]
    fn classic_weights_order_as_advbase_then_advskew() {
        let mut paces = Vec::new();
        for advbase in [0, 1, 2, 254, 255] {
            paces.extend((0..255).map(|advskew| Pace::classic(advbase, advskew).unwrap()));
        }
        assert!(paces.windows(2).all(|pair| pair[0].weight() < pair[1].weight()));
    }

    #[test]
    fn no_patience_is_asked_for_with_an_advbase_of_zero() {
        assert_eq!(Pace::classic(0, 10).unwrap().patience(), None);
        assert_eq!(Pace::classic(1, 0).unwrap().patience(), Some(micros(3_000_000)));
        assert_eq!(Pace::fast(micros(10_000), 0).unwrap().patience(), Some(micros(30_000)));
    }
}
