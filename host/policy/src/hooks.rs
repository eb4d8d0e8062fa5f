//! The hooks of the chain's policies, run apart from packets.
//!
//! Each policy that has a hook gets one more instance here, which decides nothing. Whoever owns
//! [`Hooks`] runs them from a thread of their own; nothing here waits for packets or makes them
//! wait.

use std::sync::Arc;

use evergate_abi::export;

use crate::chain::SharedChain;
use crate::error::Failure;
use crate::instance::{Instance, Moment};
use crate::policy::Policy;
use crate::runner::InstanceRate;

/// Ended states that one run passes on at most; the rest wait for the next.
const ENDS_A_RUN: usize = 1024;
/// Time between two ticks.
const TICK_NS: u64 = 1_000_000_000;

/// The hooks of a chain and their instances.
#[derive(Debug)]
pub struct Hooks {
    chain: Arc<SharedChain>,
    generation: Option<u64>,
    seats: Vec<Seat>,
    next_tick_ns: u64,
}

struct Seat {
    policy: Arc<Policy>,
    instance: Option<Instance>,
    rate: InstanceRate,
}

impl Hooks {
    /// Creates the hooks of the chain in force; the first run calls `on_load`.
    pub fn new(chain: Arc<SharedChain>) -> Self {
        Self { chain, generation: None, seats: Vec::new(), next_tick_ns: 0 }
    }

    /// Calls what is due: `on_unload` and `on_load` after a replacement, `on_state_end` for what
    /// has ended, `on_tick` once a second. `now_ns` is monotonic, `wall_s` counts from 1970.
    pub fn run(&mut self, now_ns: u64, wall_s: u64) {
        let moment = Moment { now_ns, wall_s };
        if self.generation != Some(self.chain.generation()) {
            self.refresh(moment);
        }
        for (place, ended) in self.chain.ends().take(ENDS_A_RUN) {
            if let Some(seat) = self.seats.get_mut(usize::from(place)) {
                seat.call(moment, |instance, policy| instance.state_ended(policy, moment, &ended));
            }
        }
        if now_ns >= self.next_tick_ns {
            self.next_tick_ns = now_ns.saturating_add(TICK_NS);
            for seat in &mut self.seats {
                seat.call(moment, |instance, policy| instance.tick(policy, moment));
            }
        }
    }

    /// Calls `on_unload` of all; to be called when the gateway stops.
    pub fn finish(&mut self, now_ns: u64, wall_s: u64) {
        let moment = Moment { now_ns, wall_s };
        for seat in &mut self.seats {
            seat.turn(moment, export::ON_UNLOAD);
        }
        self.seats.clear();
    }

    fn refresh(&mut self, moment: Moment) {
        self.generation = Some(self.chain.generation());
        let chain = self.chain.load();
        let mut old = std::mem::take(&mut self.seats);
        for policy in chain.policies() {
            let same = old.iter().position(|seat| Arc::ptr_eq(&seat.policy, policy));
            if let Some(index) = same {
                self.seats.push(old.swap_remove(index));
                continue;
            }
            let mut seat =
                Seat { policy: Arc::clone(policy), instance: None, rate: InstanceRate::default() };
            let replaced = old.iter().position(|seat| seat.policy.name() == policy.name());
            if let Some(mut replaced) = replaced.map(|index| old.swap_remove(index)) {
                let blob = replaced.call(moment, |instance, policy| instance.save(policy, moment));
                replaced.turn(moment, export::ON_UNLOAD);
                if let Some(blob) = blob.flatten() {
                    seat.call(moment, |instance, policy| instance.restore(policy, moment, &blob));
                }
            }
            seat.turn(moment, export::ON_LOAD);
            self.seats.push(seat);
        }
        for mut seat in old {
            seat.turn(moment, export::ON_UNLOAD);
        }
    }
}

impl Seat {
    fn turn(&mut self, moment: Moment, name: &str) {
        self.call(moment, |instance, policy| instance.turn(policy, moment, name));
    }

    /// Calls into the policy's instance, which is made if need be; a policy without hooks has none.
    fn call<R>(
        &mut self,
        moment: Moment,
        call: impl FnOnce(&mut Instance, &Policy) -> Result<R, Failure>,
    ) -> Option<R> {
        if !self.policy.has_hooks() {
            return None;
        }
        if self.instance.is_none() {
            self.instance = self.rate.make(&self.policy, moment);
        }
        match call(self.instance.as_mut()?, &self.policy) {
            Ok(result) => Some(result),
            Err(failure) => {
                self.instance = None;
                self.policy.count_failure(failure);
                None
            }
        }
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("policy", &self.policy).finish_non_exhaustive()
    }
}
