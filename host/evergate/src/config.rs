//! The one configuration file: TOML, read whole and checked before anything is done with it.
//!
//! Unknown keys are refused with a suggestion, values carry their units ("20ms", "1MiB"), and
//! every error names file, line, column, key and the mend. Nothing here touches the system.

mod carp;
mod error;
mod raw;
mod security;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use carp::CarpConfig;
pub use error::ConfigError;
pub use units::{ByteSize, Span};

use crate::Security;
use evergate_policy::Params;
use evergate_state::Timeouts;
use raw::Raw;

pub(crate) use raw::DEFAULT_CONTROL;

/// What happens to traffic of attached interfaces when the daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCrash {
    /// Nothing is forwarded until the daemon runs again.
    Closed,
    /// The kernel forwards as if there were no gateway.
    Open,
}

/// What happens to a packet about which no policy had an opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultVerdict {
    /// It is dropped with reason `match`.
    Block,
    /// It passes and makes a state.
    Pass,
}

/// An attached interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The name policies and people use: "lan".
    pub name: String,
    /// The kernel's name of the device: "eth1".
    pub device: String,
}

/// Where a policy's module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// A `.wasm` or `.wat` file.
    File(PathBuf),
    /// One of the policies that come with Evergate.
    Builtin(String),
    /// A rules file in pf's language.
    Rules(PathBuf),
}

/// One policy of the chain.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// Its name in commands and counters.
    pub name: String,
    /// Where its module is.
    pub source: PolicySource,
    /// Fuel for one decision, in wasmtime's units (about one per instruction).
    pub fuel: u64,
    /// The largest linear memory, in bytes.
    pub memory: usize,
    /// The longest one decision may take, as a backstop behind fuel.
    pub deadline: Duration,
    /// The policy's own settings.
    pub params: Params,
    /// Whether it is loaded anew when its file changes.
    pub watch: bool,
}

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// Name of this gateway.
    pub name: String,
    /// Tun queues, and so threads, an interface.
    pub queues: u16,
    /// Whether traffic to and from the gateway's own addresses is filtered too.
    pub filter_local: bool,
    /// What happens when the daemon dies.
    pub on_crash: OnCrash,
    /// The verdict when no policy has an opinion.
    pub default: DefaultVerdict,
    /// Path of the control socket.
    pub control: PathBuf,
    /// Directory of what a start after a crash must know.
    pub state_dir: PathBuf,
    /// Directory of compiled modules; none: modules are compiled at each start.
    pub cache_dir: Option<PathBuf>,
    /// First of the routing tables that are ours.
    pub route_table: u32,
    /// Priority of the first of our routing rules.
    pub rule_priority: u32,
    /// The attached interfaces, in the order of the file.
    pub interfaces: Vec<Interface>,
    /// The chain of policies, in order.
    pub policies: Vec<PolicyConfig>,
    /// Which modules may be run.
    pub security: Security,
    /// Address tables: name and entries.
    pub tables: BTreeMap<String, Vec<String>>,
    /// The most states at a time.
    pub states: u64,
    /// The most datagrams in reassembly at a time.
    pub fragments: usize,
    /// The most memory of datagrams in reassembly, in bytes.
    pub fragment_memory: usize,
    /// The timeouts of states.
    pub timeouts: Timeouts,
    /// Virtual addresses shared with other gateways.
    pub carp: Vec<CarpConfig>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, or says something that makes no sense; the
    /// message names file, line, column and the mend.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::unreadable(path, &e))?;
        Config::parse(path, &text)
    }

    /// Checks a configuration given as text; `path` is for messages and relative file names.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|e| ConfigError::toml(path, text, &e))?;
        raw.check(path, text)
    }

    /// The id of an interface in policy records and counters: its place in the file from 1, 0
    /// being the gateway itself.
    #[must_use]
    pub fn interface_names(&self) -> Vec<String> {
        std::iter::once("self".to_owned())
            .chain(self.interfaces.iter().map(|i| i.name.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
