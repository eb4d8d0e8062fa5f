//! How long states live.
//!
//! A state stores only which timeout it is under and when it was last refreshed;
//! the duration is looked up at the time of the check. So a change of the
//! settings acts on all states at once.

use std::time::Duration;

macro_rules! timeouts {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal, $normal:literal;)+) => {
        /// What a state, a fragment or a source entry is waiting for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Timeout {
            $($(#[$doc])+ $variant,)+
        }

        impl Timeout {
            /// Every timeout, in the order of its index.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];

            /// How many there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The name in configurations, such as `tcp.established`, as in pf.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Seconds in the profile `normal`: OpenBSD pf's defaults.
            const NORMAL_S: [u64; Self::COUNT] = [$($normal,)+];
        }
    };
}

timeouts! {
    /// TCP: after the first packet.
    TcpFirst = "tcp.first", 120;
    /// TCP: before both ends have established.
    TcpOpening = "tcp.opening", 30;
    /// TCP: established.
    TcpEstablished = "tcp.established", 86_400;
    /// TCP: one end has sent a FIN.
    TcpClosing = "tcp.closing", 900;
    /// TCP: both ends have sent a FIN.
    TcpFinwait = "tcp.finwait", 45;
    /// TCP: both FINs are acknowledged, or a reset was seen.
    TcpClosed = "tcp.closed", 90;
    /// TCP: how far timestamps may drift from the clock.
    TcpTsDiff = "tcp.tsdiff", 30;
    /// UDP: after the first packet.
    UdpFirst = "udp.first", 60;
    /// UDP: only one end sends more than one packet.
    UdpSingle = "udp.single", 30;
    /// UDP: both ends send.
    UdpMultiple = "udp.multiple", 60;
    /// ICMP: after the first packet.
    IcmpFirst = "icmp.first", 20;
    /// ICMP: from the second packet on.
    IcmpError = "icmp.error", 10;
    /// Other protocols: after the first packet.
    OtherFirst = "other.first", 60;
    /// Other protocols: only one end sends more than one packet.
    OtherSingle = "other.single", 30;
    /// Other protocols: both ends send.
    OtherMultiple = "other.multiple", 60;
    /// How long fragments wait for the rest of their datagram.
    Frag = "frag", 60;
    /// The time in which the purge sees every state once.
    Interval = "interval", 10;
    /// How long a source's entry outlives its last state.
    SrcTrack = "src.track", 0;
}

impl Timeout {
    /// The timeout with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timeout| timeout.name() == name)
    }

    /// The index in [`Timeout::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A ready set of TCP timeouts: pf's `set optimization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The defaults.
    #[default]
    Normal,
    /// For satellite links and the like.
    HighLatency,
    /// Drops idle states early.
    Aggressive,
    /// Keeps idle states long.
    Conservative,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] =
        [Self::Normal, Self::HighLatency, Self::Aggressive, Self::Conservative];

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::HighLatency => "high-latency",
            Self::Aggressive => "aggressive",
            Self::Conservative => "conservative",
        }
    }

    /// The profile with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Seconds of tcp.first to tcp.tsdiff, where they differ from `normal`:
    /// OpenBSD pfctl's optimization hints.
    const fn tcp_s(self) -> Option<[u64; 7]> {
        match self {
            Self::Normal => None,
            Self::HighLatency => Some([180, 35, 86_400, 905, 50, 95, 60]),
            Self::Aggressive => Some([30, 5, 18_000, 60, 30, 30, 10]),
            Self::Conservative => Some([3600, 900, 432_000, 3600, 600, 180, 60]),
        }
    }
}

/// A duration for every [`Timeout`], and when they begin to shrink.
///
/// While more than `adaptive_start` states exist, every duration is multiplied
/// by (`adaptive_end` - states) / (`adaptive_end` - `adaptive_start`); at
/// `adaptive_end` it is zero. An `adaptive_end` of 0 switches that off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    durations: [Duration; Timeout::COUNT],
    /// States above which the timeouts shrink.
    pub adaptive_start: u64,
    /// States at which they are zero.
    pub adaptive_end: u64,
}

impl Default for Timeouts {
    /// pf's defaults, adaptive for pf's default limit of 100,000 states.
    fn default() -> Self {
        Self::from(Profile::Normal)
    }
}

impl From<Profile> for Timeouts {
    fn from(profile: Profile) -> Self {
        let mut seconds = Timeout::NORMAL_S;
        if let Some(tcp) = profile.tcp_s() {
            seconds[..tcp.len()].copy_from_slice(&tcp);
        }
        let mut timeouts = Self {
            durations: seconds.map(Duration::from_secs),
            adaptive_start: 0,
            adaptive_end: 0,
        };
        timeouts.adapt_to_limit(Self::DEFAULT_LIMIT);
        timeouts
    }
}

impl Timeouts {
    /// pf's default limit of states.
    const DEFAULT_LIMIT: u64 = 100_000;

    /// The duration as set, not adapted.
    pub const fn of(&self, timeout: Timeout) -> Duration {
        self.durations[timeout.index()]
    }

    /// Sets one duration.
    pub const fn set(&mut self, timeout: Timeout, duration: Duration) {
        self.durations[timeout.index()] = duration;
    }

    /// Lets the timeouts shrink from 60 % of `limit` states on, to zero at 120 %:
    /// pf's defaults.
    pub const fn adapt_to_limit(&mut self, limit: u64) {
        self.adaptive_start = limit / 5 * 3 + limit % 5 * 3 / 5;
        self.adaptive_end = self.adaptive_start.saturating_mul(2);
    }

    /// The duration while there are `states` states.
    pub fn scaled(&self, timeout: Timeout, states: u64) -> Duration {
        let duration = self.of(timeout);
        let (start, end) = (self.adaptive_start, self.adaptive_end);
        if states <= start || end <= start {
            return duration;
        }
        if states >= end {
            return Duration::ZERO;
        }
        scale(duration, end - states, end - start)
    }
}

/// `duration` * `numerator` / `denominator`, where the fraction is below one.
fn scale(duration: Duration, numerator: u64, denominator: u64) -> Duration {
    debug_assert!(numerator < denominator);
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let scaled = u128::from(nanos) * u128::from(numerator) / u128::from(denominator);
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for timeout in Timeout::ALL {
            assert_eq!(Timeout::from_name(timeout.name()), Some(timeout));
            assert_eq!(Timeout::ALL[timeout.index()], timeout);
        }
        assert_eq!(Timeout::from_name("tcp.never"), None);
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
        assert_eq!(Profile::from_name(""), None);
    }

    /// pf.conf(5), `set optimization` and `set timeout`.
    #[test]
    fn profiles_are_those_of_pf() {
        let tcp = [
            Timeout::TcpFirst,
            Timeout::TcpOpening,
            Timeout::TcpEstablished,
            Timeout::TcpClosing,
            Timeout::TcpFinwait,
            Timeout::TcpClosed,
            Timeout::TcpTsDiff,
        ];
        for (profile, seconds) in [
            (Profile::Normal, [120, 30, 86_400, 900, 45, 90, 30]),
            (Profile::HighLatency, [180, 35, 86_400, 905, 50, 95, 60]),
            (Profile::Aggressive, [30, 5, 18_000, 60, 30, 30, 10]),
            (Profile::Conservative, [3600, 900, 432_000, 3600, 600, 180, 60]),
        ] {
            let timeouts = Timeouts::from(profile);
            assert_eq!(tcp.map(|kind| timeouts.of(kind).as_secs()), seconds, "{profile:?}");
            let same = [
                (Timeout::UdpFirst, 60),
                (Timeout::UdpSingle, 30),
                (Timeout::UdpMultiple, 60),
                (Timeout::IcmpFirst, 20),
                (Timeout::IcmpError, 10),
                (Timeout::OtherFirst, 60),
                (Timeout::OtherSingle, 30),
                (Timeout::OtherMultiple, 60),
                (Timeout::Frag, 60),
                (Timeout::Interval, 10),
                (Timeout::SrcTrack, 0),
            ];
            for (kind, seconds) in same {
                assert_eq!(timeouts.of(kind), Duration::from_secs(seconds), "{}", kind.name());
            }
            assert_eq!((timeouts.adaptive_start, timeouts.adaptive_end), (60_000, 120_000));
        }
    }

    #[test]
    fn timeouts_shrink_linearly_between_start_and_end() {
        let mut timeouts = Timeouts::default();
        timeouts.set(Timeout::UdpSingle, Duration::from_secs(30));
        for (states, expected_ms) in [
            (0, 30_000),
            (60_000, 30_000),
            (60_001, 29_999), // 29,999.5 ms
            (80_000, 20_000),
            (90_000, 15_000),
            (119_999, 0), // 0.5 ms
            (120_000, 0),
            (u64::MAX, 0),
        ] {
            let scaled = timeouts.scaled(Timeout::UdpSingle, states);
            assert_eq!(scaled.as_millis(), expected_ms, "{states} states");
        }
        assert_eq!(timeouts.scaled(Timeout::UdpSingle, 119_999), Duration::from_micros(500));
        assert_eq!(timeouts.scaled(Timeout::UdpSingle, 120_000), Duration::ZERO);
    }

    #[test]
    fn adaptation_can_be_off_and_extremes_do_not_overflow() {
        let mut timeouts = Timeouts { adaptive_start: 0, adaptive_end: 0, ..Timeouts::default() };
        assert_eq!(timeouts.scaled(Timeout::UdpFirst, u64::MAX), Duration::from_secs(60));
        timeouts.set(Timeout::UdpFirst, Duration::MAX);
        timeouts.adapt_to_limit(u64::MAX);
        assert_eq!(timeouts.scaled(Timeout::UdpFirst, 5), Duration::MAX);
        let most = timeouts.adaptive_end - 1;
        assert!(timeouts.scaled(Timeout::UdpFirst, most) < Duration::from_secs(60));
    }
}
