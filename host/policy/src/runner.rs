//! One worker's way through the chain: its instances, and what happens when one fails.

use std::sync::Arc;
use std::time::Instant;

use evergate_abi::{Request, Verdict};

use crate::chain::SharedChain;
use crate::decision::{Action, Decision, Payload};
use crate::error::Failure;
use crate::instance::{Instance, Moment};
use crate::policy::Policy;

/// Instances that a worker may make of one policy in quick succession.
const INSTANCES_BURST: u64 = 8;
/// Time in which a worker may make one more instance of a policy: 20 ms. Making one costs up to
/// [`crate::Limits::init_fuel`], so whoever makes a policy fail with every packet takes a few
/// percent of a core at most.
const INSTANCE_NS: u64 = 20_000_000;
/// Decisions that a worker counts before it tells the policy.
const DECISIONS_BATCH: u64 = 64;

/// A worker's view of the chain. Each worker thread has its own; it is not shared.
#[derive(Debug)]
pub struct Runner {
    chain: Arc<SharedChain>,
    generation: u64,
    slots: Vec<Slot>,
}

struct Slot {
    policy: Arc<Policy>,
    instance: Option<Instance>,
    decisions: u64,
    /// Counts calls up to the next that is timed.
    asked: u8,
    rate: InstanceRate,
}

/// How often instances of a policy are made.
#[derive(Debug, Default)]
pub(crate) struct InstanceRate {
    /// Virtual scheduling time.
    next_ns: u64,
}

impl Runner {
    /// Creates a runner of the chain in force; instances are made when they are first needed.
    pub fn new(chain: Arc<SharedChain>) -> Self {
        let mut runner = Self { chain, generation: 0, slots: Vec::new() };
        runner.refresh(Moment { now_ns: 0, wall_s: 0 });
        runner
    }

    /// Asks the chain about one packet. `now_ns` is monotonic, `wall_s` counts from 1970.
    ///
    /// The request's tag becomes the tag after the chain. Any failure of a policy is
    /// [`Action::Failed`]; this never waits, and never takes longer than the limits of the chain's
    /// policies together.
    pub fn decide(&mut self, now_ns: u64, wall_s: u64, request: &mut Request) -> Decision {
        let moment = Moment { now_ns, wall_s };
        if self.chain.generation() != self.generation {
            self.refresh(moment);
        }
        let (mut log, mut each) = (false, false);
        let mut index = 0;
        for slot in &mut self.slots {
            let verdict = match slot.decide(moment, request) {
                Some(verdict) => verdict,
                None => return Decision::of(Action::Failed, index, request.tag, log),
            };
            if verdict.tag != 0 {
                request.tag = verdict.tag;
            }
            log |= verdict.log;
            each |= verdict.each;
            if let Some(decision) = Decision::from_verdict(&verdict, index, request.tag, log) {
                return Decision { each, ..decision };
            }
            index += 1;
        }
        Decision { each, ..Decision::of(Action::Default, index, request.tag, log) }
    }

    /// Asks the chain again about a packet whose policy, at this place of the chain, wanted to see
    /// payload: that policy by `inspect`, after its `continue` those behind it by `decide`, and
    /// by `inspect` where they want payload too.
    ///
    /// The decision may be [`Action::Inspect`] again, of the same policy or of one behind it, but
    /// not when the payload has ended. Bounds and failures are as in [`Runner::decide`].
    pub fn inspect(
        &mut self,
        now_ns: u64,
        wall_s: u64,
        request: &mut Request,
        policy: u16,
        payload: Payload<'_>,
    ) -> Decision {
        let moment = Moment { now_ns, wall_s };
        if self.chain.generation() != self.generation {
            self.refresh(moment);
        }
        let (mut log, mut each) = (false, false);
        let mut index = policy;
        for slot in self.slots.iter_mut().skip(usize::from(policy)) {
            let mut verdict = match index == policy {
                true => slot.inspect(moment, request, payload),
                false => slot.decide(moment, request),
            };
            if index != policy
                && let Some(first) = &verdict
                && first.action == evergate_abi::Action::Inspect
            {
                log |= first.log;
                each |= first.each;
                verdict = slot.inspect(moment, request, payload);
            }
            let Some(verdict) = verdict else {
                return Decision::of(Action::Failed, index, request.tag, log);
            };
            if verdict.tag != 0 {
                request.tag = verdict.tag;
            }
            log |= verdict.log;
            each |= verdict.each;
            if let Some(decision) = Decision::from_verdict(&verdict, index, request.tag, log) {
                return Decision { each, ..decision };
            }
            index += 1;
        }
        Decision { each, ..Decision::of(Action::Default, index, request.tag, log) }
    }

    /// Takes the chain in force; instances of policies that stay are kept, and what one saves
    /// whose policy is replaced goes to the next.
    #[cold]
    fn refresh(&mut self, moment: Moment) {
        self.generation = self.chain.generation();
        let chain = self.chain.load();
        let mut old = std::mem::take(&mut self.slots);
        self.slots = chain
            .policies()
            .iter()
            .map(|policy| match old.iter().position(|slot| Arc::ptr_eq(&slot.policy, policy)) {
                Some(index) => old.swap_remove(index),
                None => {
                    let mut slot = Slot::new(Arc::clone(policy));
                    let named = old.iter().position(|slot| slot.policy.name() == policy.name());
                    if let Some(index) = named {
                        slot.inherit(old.swap_remove(index), moment);
                    }
                    slot
                }
            })
            .collect();
    }
}

impl Slot {
    fn new(policy: Arc<Policy>) -> Self {
        Self { policy, instance: None, decisions: 0, asked: 0, rate: InstanceRate::default() }
    }

    /// Takes over what the instance of the policy before has saved, if both agree on it.
    fn inherit(&mut self, mut old: Slot, moment: Moment) {
        let Some(instance) = old.instance.as_mut() else { return };
        let blob = match instance.save(&old.policy, moment) {
            Ok(Some(blob)) => blob,
            Ok(None) => return,
            Err(failure) => return old.fail(failure),
        };
        self.instance = self.rate.make(&self.policy, moment);
        let Some(instance) = self.instance.as_mut() else { return };
        match instance.restore(&self.policy, moment, &blob) {
            Ok(true) => {}
            // What was half restored must not decide.
            Ok(false) => self.instance = None,
            Err(failure) => self.fail(failure),
        }
    }

    #[inline]
    fn decide(&mut self, moment: Moment, request: &Request) -> Option<Verdict> {
        self.ask(moment, |instance, policy| instance.decide(policy, moment, request))
    }

    fn inspect(
        &mut self,
        moment: Moment,
        request: &Request,
        payload: Payload<'_>,
    ) -> Option<Verdict> {
        self.ask(moment, |instance, policy| instance.inspect(policy, moment, request, payload))
    }

    #[inline]
    fn ask(
        &mut self,
        moment: Moment,
        call: impl FnOnce(&mut Instance, &Policy) -> Result<Verdict, Failure>,
    ) -> Option<Verdict> {
        if self.instance.is_none() {
            self.instance = self.rate.make(&self.policy, moment);
        }
        let instance = self.instance.as_mut()?;
        self.asked = self.asked.wrapping_add(1);
        let result = if self.asked == 0 {
            let begun = Instant::now();
            let result = call(instance, &self.policy);
            self.policy.count_time(begun.elapsed());
            result
        } else {
            call(instance, &self.policy)
        };
        match result {
            Ok(verdict) => {
                self.decisions += 1;
                if self.decisions == DECISIONS_BATCH {
                    self.report();
                }
                Some(verdict)
            }
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    /// A failed call may have left the guest's memory half changed: the instance is not used again.
    #[cold]
    fn fail(&mut self, failure: Failure) {
        self.instance = None;
        self.policy.count_failure(failure);
    }

    fn report(&mut self) {
        self.policy.count_decisions(std::mem::take(&mut self.decisions));
    }
}

impl InstanceRate {
    /// Makes an instance, if it is not too soon after others; a failure is counted.
    #[cold]
    pub(crate) fn make(&mut self, policy: &Policy, moment: Moment) -> Option<Instance> {
        let after = self.next_ns.max(moment.now_ns).saturating_add(INSTANCE_NS);
        if after > moment.now_ns.saturating_add(INSTANCES_BURST * INSTANCE_NS) {
            policy.count_held_off();
            return None;
        }
        self.next_ns = after;
        match Instance::new(policy, moment) {
            Ok(instance) => Some(instance),
            Err(failure) => {
                policy.count_failure(failure);
                None
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.report();
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("policy", &self.policy).finish_non_exhaustive()
    }
}
