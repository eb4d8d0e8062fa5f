//! What the workers of one gateway share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use evergate_abi::EndCause;
use evergate_policy::SharedChain;
use evergate_state::{State, StateId, Timeout, Timeouts};
use evergate_table::{Cursor, Table, TableConfig};
use evergate_wire::Timestamp;
use evergate_wire::fragment::{FragmentLimits, Reassembler};

use crate::Fib;
use crate::ended;
use crate::inspection::{INSPECTIONS_MAX, Inspections};
use crate::timeouts::{self, TimeoutSets};

/// The verdict when no policy has an opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultVerdict {
    /// The packet is dropped with reason `match`.
    Block,
    /// The packet passes and makes a state.
    Pass,
}

/// How a gateway is made.
pub struct GatewayConfig {
    /// Size and seed of the state table.
    pub table: TableConfig,
    /// Bounds of reassembly.
    pub fragments: FragmentLimits,
    /// The verdict when no policy has an opinion.
    pub default: DefaultVerdict,
    /// The gateway's own timeouts.
    pub timeouts: Timeouts,
    /// Creator id of the states made here; unique among gateways that share states.
    pub creator: u32,
}

/// The shared half of a gateway: state table, policies, routes, fragments.
pub struct Gateway {
    pub(crate) table: Table,
    pub(crate) chain: Arc<SharedChain>,
    pub(crate) fib: ArcSwap<Fib>,
    pub(crate) reassembler: Mutex<Reassembler>,
    pub(crate) timeouts: TimeoutSets,
    pub(crate) default: DefaultVerdict,
    pub(crate) inspections: Inspections,
    creator: u32,
    next_id: AtomicU64,
}

impl Gateway {
    /// Makes a gateway that knows no routes yet.
    #[must_use]
    pub fn new(config: GatewayConfig, chain: Arc<SharedChain>) -> Gateway {
        Gateway {
            inspections: Inspections::new(config.table.seed, INSPECTIONS_MAX),
            table: Table::new(config.table),
            chain,
            fib: ArcSwap::from_pointee(Fib::default()),
            reassembler: Mutex::new(Reassembler::new(config.fragments)),
            timeouts: TimeoutSets::new(config.timeouts),
            default: config.default,
            creator: config.creator,
            next_id: AtomicU64::new(1),
        }
    }

    /// The state table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How many connections are under inspection: their policies have yet to see payload.
    #[must_use]
    pub fn inspections(&self) -> usize {
        self.inspections.len()
    }

    /// Replaces the snapshot of the kernel's routes.
    pub fn set_fib(&self, fib: Fib) {
        self.fib.store(Arc::new(fib));
    }

    /// In how long a state will be purged if nothing more is seen of it.
    #[must_use]
    pub fn expires_in(&self, state: &State, now: Timestamp) -> Duration {
        let sets = self.timeouts.shared().load_full();
        let set = timeouts::of(&sets, state.options().timeouts);
        state.expires_in(now, set, self.table.len())
    }

    /// Removes every state that `dead` names; returns how many.
    pub fn kill(&self, dead: &dyn Fn(&State) -> bool) -> u64 {
        let mut killed = 0;
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            cursor = self.table.sweep(at, usize::MAX, dead, &mut |state| {
                killed += 1;
                self.ended(state, EndCause::Killed);
            });
        }
        killed
    }

    /// To be told of every state that is gone from the table.
    pub(crate) fn ended(&self, state: &State, cause: EndCause) {
        if state.is_inspected() {
            self.inspections.forget(state.key(), state.id());
        }
        let policy = state.options().policy;
        if self.chain.wants_ends(policy) {
            self.chain.state_ended(policy, ended::describe(state, cause));
        }
    }

    pub(crate) fn state_id(&self) -> StateId {
        StateId { id: self.next_id.fetch_add(1, Ordering::Relaxed), creator: self.creator }
    }
}

/// Steps through the table again and again and removes what has expired, as pf's purge does:
/// the whole table once in the `interval` timeout.
#[derive(Default)]
pub struct Purge {
    cursor: Cursor,
}

impl Purge {
    /// Removes what has expired in the next part of the table; `elapsed` since the last step
    /// says how large that part is. Also forgets datagrams that were never completed. Returns
    /// the number of states removed.
    pub fn step(&mut self, gateway: &Gateway, now: Timestamp, elapsed: Duration) -> u64 {
        let sets = gateway.timeouts.shared().load_full();
        let states = gateway.table.len();
        let interval = sets[0].scaled(Timeout::Interval, 0).max(Duration::from_millis(1));
        let share = elapsed.as_secs_f64() / interval.as_secs_f64();
        let shards = (share * gateway.table.shards() as f64).ceil().max(1.0) as usize;
        let dead = |s: &State| s.expired(now, timeouts::of(&sets, s.options().timeouts), states);
        let mut removed = 0;
        let next = gateway.table.sweep(self.cursor, shards, &dead, &mut |state| {
            removed += 1;
            gateway.ended(state, EndCause::Expired);
        });
        self.cursor = next.unwrap_or_default();
        if let Ok(mut reassembler) = gateway.reassembler.try_lock() {
            reassembler.expire(now);
        }
        removed
    }
}
