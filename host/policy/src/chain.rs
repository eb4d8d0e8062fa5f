//! The policies in their order, and their replacement while packets are decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use evergate_abi::Ended;

use crate::ends::Ends;
use crate::policy::Policy;

/// The most policies of a chain.
pub const CHAIN_MAX: usize = 64;

/// Policies in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    policies: Vec<Arc<Policy>>,
}

/// A chain would be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain takes at most {CHAIN_MAX} policies, not {0}")]
pub struct ChainTooLong(pub usize);

impl Chain {
    /// Creates a chain.
    ///
    /// # Errors
    /// There are more than [`CHAIN_MAX`] policies.
    pub fn new(policies: Vec<Arc<Policy>>) -> Result<Self, ChainTooLong> {
        if policies.len() > CHAIN_MAX {
            return Err(ChainTooLong(policies.len()));
        }
        Ok(Self { policies })
    }

    /// Returns the policies in their order.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }
}

/// The chain in force, shared by all workers.
#[derive(Debug, Default)]
pub struct SharedChain {
    chain: ArcSwap<Chain>,
    generation: AtomicU64,
    ends: Ends,
}

impl SharedChain {
    /// Creates it with a first chain.
    pub fn new(chain: Chain) -> Self {
        let ends = Ends::default();
        ends.set_wanted(chain.policies.iter().map(AsRef::as_ref));
        Self { chain: ArcSwap::from_pointee(chain), generation: AtomicU64::new(0), ends }
    }

    /// Returns the chain in force.
    pub fn load(&self) -> Arc<Chain> {
        self.chain.load_full()
    }

    /// Puts another chain in force; every decision begun afterwards is its.
    pub fn store(&self, chain: Chain) {
        self.ends.set_wanted(chain.policies.iter().map(AsRef::as_ref));
        self.chain.store(Arc::new(chain));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Tells whether the policy at this place of the chain wants to know of ended states.
    pub fn wants_ends(&self, policy: u16) -> bool {
        self.ends.is_wanted(policy)
    }

    /// Passes on to [`crate::Hooks`] that a state of the policy at this place has ended. Never
    /// waits: what there is no room for is dropped and counted.
    pub fn state_ended(&self, policy: u16, ended: Ended) {
        if self.ends.is_wanted(policy) {
            self.ends.push(policy, ended);
        }
    }

    /// Returns how many ended states were dropped for want of room.
    pub fn ends_dropped(&self) -> u64 {
        self.ends.dropped()
    }

    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Returns a number that grows with every [`SharedChain::store`].
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
