//! What all policies of a gateway share, and the bounds of it.

use std::sync::Arc;

use crate::counters::Counters;
use crate::log::LogQueue;
use crate::meter::Meters;
use crate::names::Names;
use crate::tables::Tables;

/// The most counters of all policies.
const COUNTERS_MAX: usize = 4096;
/// The most meters of all policies; each takes about 0.3 MB.
const METERS_MAX: usize = 64;
/// The most tags, and the most labels.
const NAMES_MAX: u16 = 4096;

/// What the policies of a gateway share; it outlives every one of them.
#[derive(Debug)]
pub struct Environment {
    /// The address tables.
    pub tables: Arc<Tables>,
    /// The policies' counters.
    pub counters: Arc<Counters>,
    /// The policies' rate meters.
    pub meters: Arc<Meters>,
    /// The tags; a [`crate::Decision::tag`] is an id of these.
    pub tags: Arc<Names>,
    /// The labels; a [`crate::Decision::label`] is an id of these.
    pub labels: Arc<Names>,
    /// The interfaces' names; the index is the id in requests, 0 is the gateway itself.
    pub interfaces: Vec<String>,
    /// What policies logged; the daemon drains it.
    pub log: Arc<LogQueue>,
    /// Seed of the policies' random numbers and of the meters' hash.
    pub seed: u64,
}

impl Environment {
    /// Creates an environment with default bounds; interface 0 has to be the gateway itself.
    pub fn new(tables: Arc<Tables>, interfaces: Vec<String>, seed: u64) -> Self {
        Self {
            tables,
            counters: Arc::new(Counters::new(COUNTERS_MAX)),
            meters: Arc::new(Meters::new(METERS_MAX, seed)),
            tags: Arc::new(Names::new(NAMES_MAX)),
            labels: Arc::new(Names::new(NAMES_MAX)),
            interfaces,
            log: Arc::default(),
            seed,
        }
    }

    /// Returns an environment with the same tables, counters, meters, names and log but other
    /// interfaces, for policies loaded after the configuration changed.
    pub fn with_interfaces(&self, interfaces: Vec<String>) -> Self {
        Self {
            tables: Arc::clone(&self.tables),
            counters: Arc::clone(&self.counters),
            meters: Arc::clone(&self.meters),
            tags: Arc::clone(&self.tags),
            labels: Arc::clone(&self.labels),
            interfaces,
            log: Arc::clone(&self.log),
            seed: self.seed,
        }
    }
}
