//! How much a policy may take.

use std::time::Duration;

/// The wasm stack of a call in bytes, for all policies.
pub const STACK_BYTES: usize = 64 * 1024;

/// What one policy may take; every bound that is reached blocks that packet and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Fuel of one decision; 30,000 is at most about 50 us.
    pub fuel: u64,
    /// Fuel of making one instance: start function, `_initialize`, version symbol and `init`
    /// together; also of `self_test`.
    pub init_fuel: u64,
    /// Memory of one instance in bytes.
    pub memory: usize,
    /// Table elements of one instance.
    pub table_elements: usize,
    /// Calls of host functions in one decision.
    pub host_calls: u32,
    /// Wall time of one decision, kept only to the grain of the ticker; the backstop behind fuel.
    pub deadline: Duration,
}

impl Default for Limits {
    /// Returns bounds that fit modules written in C, Rust, Zig, AssemblyScript or by hand.
    fn default() -> Self {
        Self {
            fuel: 30_000,
            init_fuel: 2_000_000,
            memory: 1024 * 1024,
            table_elements: 10_000,
            host_calls: 256,
            deadline: Duration::from_millis(10),
        }
    }
}
