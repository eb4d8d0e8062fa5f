//! A loaded policy: a compiled module with its settings, limits and statistics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use evergate_abi::export;
use wasmtime::{Engine, InstancePre, Store, StoreLimitsBuilder};

use crate::environment::Environment;
use crate::error::Failure;
use crate::host::{HostState, Shared};
use crate::instance::{Instance, Moment};
use crate::limits::Limits;
use crate::params::Params;
use crate::times::{CallTimes, Times};

/// A policy that was compiled, checked and once started; workers make their instances of it.
pub struct Policy {
    engine: Engine,
    pre: InstancePre<HostState>,
    shared: Arc<Shared>,
    limits: Limits,
    deadline_ticks: u64,
    hash: [u8; 32],
    size: usize,
    instances: AtomicU64,
    counts: Counts,
    last_failure: Mutex<Option<Failure>>,
    times: Times,
    unread_settings: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    decisions: AtomicU64,
    out_of_time: AtomicU64,
    bad_verdicts: AtomicU64,
    traps: AtomicU64,
    held_off: AtomicU64,
}

/// What a policy did since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyStats {
    /// Verdicts given; workers report them in batches of up to 64.
    pub decisions: u64,
    /// Calls that ran out of fuel or past their deadline.
    pub out_of_time: u64,
    /// Calls with a bad verdict.
    pub bad_verdicts: u64,
    /// Calls that failed in any other way.
    pub traps: u64,
    /// Packets blocked without a call because the policy had failed too often.
    pub held_off: u64,
    /// Instances made, of all workers.
    pub instances: u64,
    /// How long its calls took.
    pub times: CallTimes,
    /// The last failure.
    pub last_failure: Option<Failure>,
}

pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) shared: Shared,
    pub(crate) limits: Limits,
    pub(crate) deadline_ticks: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) size: usize,
}

impl Policy {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            engine: parts.engine,
            pre: parts.pre,
            shared: Arc::new(parts.shared),
            limits: parts.limits,
            deadline_ticks: parts.deadline_ticks,
            hash: parts.hash,
            size: parts.size,
            instances: AtomicU64::new(0),
            counts: Counts::default(),
            last_failure: Mutex::default(),
            times: Times::default(),
            unread_settings: Vec::new(),
        }
    }

    /// Returns the name it was loaded under.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the SHA-256 of the file it was loaded from.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Returns the hash in lower-case hexadecimal digits.
    pub fn hash_hex(&self) -> String {
        use std::fmt::Write as _;
        self.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Returns the size in bytes of the file it was loaded from.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the version of the ABI it speaks.
    pub fn abi_version(&self) -> u32 {
        evergate_abi::ABI_VERSION
    }

    /// Returns its limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns its settings.
    pub fn params(&self) -> &Params {
        &self.shared.params
    }

    /// Returns the settings that the module did not ask for when it was loaded: misspelt ones,
    /// most likely.
    pub fn unread_settings(&self) -> &[String] {
        &self.unread_settings
    }

    /// Tells whether it has a hook to be run.
    pub(crate) fn has_hooks(&self) -> bool {
        [export::STATE_END, export::ON_TICK, export::ON_LOAD, export::ON_UNLOAD]
            .iter()
            .any(|name| self.exports(name))
    }

    /// Tells whether it wants to know of ended states.
    pub(crate) fn wants_ends(&self) -> bool {
        self.exports(export::STATE_END)
    }

    fn exports(&self, name: &str) -> bool {
        self.pre.module().get_export(name).is_some()
    }

    /// Fuel of one call that saves or restores: it may happen between two packets.
    pub(crate) fn save_fuel(&self) -> u64 {
        self.limits.init_fuel / 4
    }

    pub(crate) fn count_time(&self, time: std::time::Duration) {
        self.times.add(time);
    }

    /// Starts the policy once.
    pub(crate) fn prove(&mut self) -> Result<(), Failure> {
        let mut instance = Instance::new(self, Moment { now_ns: 0, wall_s: 0 })?;
        instance.self_test(self)?;
        let read = instance.settings_read();
        let unread =
            self.params().iter().map(|(name, _)| name).filter(|name| !read.contains(*name));
        self.unread_settings = unread.map(str::to_owned).collect();
        Ok(())
    }

    /// Returns what it did so far.
    pub fn stats(&self) -> PolicyStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PolicyStats {
            decisions: read(&self.counts.decisions),
            out_of_time: read(&self.counts.out_of_time),
            bad_verdicts: read(&self.counts.bad_verdicts),
            traps: read(&self.counts.traps),
            held_off: read(&self.counts.held_off),
            instances: read(&self.instances),
            times: self.times.summary(),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    pub(crate) fn deadline_ticks(&self) -> u64 {
        self.deadline_ticks
    }

    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        &self.pre
    }

    pub(crate) fn new_store(&self) -> Store<HostState> {
        let number = self.instances.fetch_add(1, Ordering::Relaxed);
        let limits = StoreLimitsBuilder::new()
            .memory_size(self.limits.memory)
            .table_elements(self.limits.table_elements)
            .memories(1)
            .tables(1)
            .instances(1)
            .trap_on_grow_failure(true)
            .build();
        let seed = u64::from_le_bytes([
            self.hash[0],
            self.hash[1],
            self.hash[2],
            self.hash[3],
            self.hash[4],
            self.hash[5],
            self.hash[6],
            self.hash[7],
        ]);
        // An odd factor keeps the instances' seeds apart.
        let random =
            self.shared.environment.seed ^ seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Store::new(&self.engine, HostState::new(Arc::clone(&self.shared), limits, random))
    }

    pub(crate) fn count_decisions(&self, n: u64) {
        self.counts.decisions.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn count_held_off(&self) {
        self.counts.held_off.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self, failure: Failure) {
        let counter = match &failure {
            Failure::Fuel(_) | Failure::Deadline => &self.counts.out_of_time,
            Failure::BadVerdict(_) => &self.counts.bad_verdicts,
            Failure::Stack
            | Failure::Room(_)
            | Failure::Host(_)
            | Failure::Trap(_)
            | Failure::RequestAddress(_)
            | Failure::PayloadAddress(_)
            | Failure::EndedAddress(_)
            | Failure::Blob(_)
            | Failure::Init { .. }
            | Failure::SelfTest { .. } => &self.counts.traps,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name())
            .field("hash", &self.hash_hex())
            .finish()
    }
}
