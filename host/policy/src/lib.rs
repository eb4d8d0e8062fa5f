//! Policies: WebAssembly modules that decide about new states.
//!
//! [`Compiler::load`] makes a [`Policy`] of a module; a [`Chain`] of them is put in force through
//! a [`SharedChain`]; every worker asks it through its own [`Runner`].
//!
//! Invariants: nothing that a module does can stall, crash or grow the gateway. Whatever it takes
//! has a bound ([`Limits`] and the constants of the modules here), and a policy that breaks one
//! blocks that packet, is counted, and gets a fresh instance. This is the only crate that knows
//! the wasm engine. Time comes with each decision; a clock is read
//! only to sample how long calls take.

mod chain;
mod compiler;
mod counters;
mod decision;
mod describe;
mod ends;
mod environment;
mod error;
mod hooks;
mod host;
mod instance;
mod limits;
mod log;
mod meter;
mod names;
mod params;
mod policy;
mod runner;
mod tables;
mod times;
mod validate;
mod wasi;

pub use chain::{CHAIN_MAX, Chain, ChainTooLong, SharedChain};
pub use compiler::{Compiler, CompilerConfig, Ticker};
pub use counters::Counters;
pub use decision::{Action, Decision, Payload};
pub use describe::Description;
pub use environment::Environment;
pub use error::{CompilerError, Failure, LoadError};
pub use evergate_abi::{Direction, EndCause, Ended, Keep, LogLevel, Request, TimeoutOverrides};
pub use hooks::Hooks;
pub use limits::{Limits, STACK_BYTES};
pub use log::{LOG_LINE_MAX, LogLine, LogQueue};
pub use meter::{METER_KEY_MAX, Meter, Meters};
pub use names::{NAME_LEN_MAX, Names, is_name};
pub use params::{ParamError, Params, SETTINGS_MAX, TEXT_MAX, VALUES_MAX, Value};
pub use policy::{Policy, PolicyStats};
pub use runner::Runner;
pub use tables::{Entry, EntryError, Table, TableChange, TableError, TableLimits, Tables};
pub use times::CallTimes;
pub use validate::{
    EXPORTS_MAX, FUNCTION_BYTES_MAX, FUNCTIONS_MAX, GLOBALS_MAX, LOCALS_BYTES_MAX, LOCALS_MAX,
    LOCALS_TOTAL_MAX, Refusal, TYPE_ARITY_MAX, TYPES_MAX,
};
