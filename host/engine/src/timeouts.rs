//! The sets of timeouts that states refer to by number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use evergate_abi::TimeoutOverrides;
use evergate_state::{Timeout, TimeoutSet, Timeouts};

/// The most different sets that policies can ask for; one more gets the gateway's own.
const SETS_MAX: usize = 256;

/// Set 0 is the gateway's; the others are made of it and what a policy's verdict overrides.
pub(crate) struct TimeoutSets {
    sets: Arc<ArcSwap<Vec<Timeouts>>>,
    known: Mutex<HashMap<TimeoutOverrides, TimeoutSet>>,
}

impl TimeoutSets {
    pub(crate) fn new(base: Timeouts) -> TimeoutSets {
        TimeoutSets {
            sets: Arc::new(ArcSwap::from_pointee(vec![base])),
            known: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn shared(&self) -> Arc<ArcSwap<Vec<Timeouts>>> {
        Arc::clone(&self.sets)
    }

    /// The number of the set with these overrides, made if it is new.
    pub(crate) fn intern(&self, overrides: &TimeoutOverrides) -> TimeoutSet {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = known.get(overrides) {
            return *set;
        }
        let mut sets = Vec::clone(&self.sets.load());
        if sets.len() >= SETS_MAX {
            return TimeoutSet(0);
        }
        let set = TimeoutSet(u16::try_from(sets.len()).unwrap_or(0));
        sets.push(overridden(&sets[0], overrides));
        self.sets.store(Arc::new(sets));
        known.insert(*overrides, set);
        set
    }
}

/// The set a state refers to; a number that is not there means the gateway's.
pub(crate) fn of(sets: &[Timeouts], set: TimeoutSet) -> &Timeouts {
    sets.get(usize::from(set.0)).unwrap_or(&sets[0])
}

/// The kinds of timeouts that each field of a verdict record stands for.
fn overridden(base: &Timeouts, overrides: &TimeoutOverrides) -> Timeouts {
    use Timeout as T;
    let fields: [(u32, &[Timeout]); 6] = [
        (overrides.first_s, &[T::TcpFirst, T::UdpFirst, T::IcmpFirst, T::OtherFirst]),
        (overrides.opening_s, &[T::TcpOpening, T::UdpSingle, T::OtherSingle]),
        (overrides.established_s, &[T::TcpEstablished, T::UdpMultiple, T::OtherMultiple]),
        (overrides.closing_s, &[T::TcpClosing]),
        (overrides.finwait_s, &[T::TcpFinwait]),
        (overrides.closed_s, &[T::TcpClosed]),
    ];
    let mut timeouts = base.clone();
    for (seconds, kinds) in fields.into_iter().filter(|(seconds, _)| *seconds != 0) {
        for kind in kinds {
            timeouts.set(*kind, Duration::from_secs(u64::from(seconds)));
        }
    }
    timeouts
}
