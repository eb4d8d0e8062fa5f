//! Decides packets by compiled rules: the fixed code of every rules policy.
//!
//! The compiler lays rules, decision trees and names out as an *image* of 32-bit words
//! ([`layout`]); this crate, compiled to wasm once, walks it. So a reload compiles nothing that
//! grows with the rules. On any other target it is an ordinary library over a slice of words.
//!
//! Invariants: no allocation, no panic on an image the compiler made, and a cost per packet that
//! the compiler knows in advance. It has no dependencies, so its bytes depend on its source only.

#![cfg_attr(target_arch = "wasm32", no_std)]

mod decide;
mod facts;
pub mod layout;
mod matching;
mod names;
#[cfg(target_arch = "wasm32")]
mod raw;
mod verdict;

pub use decide::decide;
pub use facts::{Facts, REQUEST_SIZE};
pub use names::resolve_names;
pub use verdict::{RECORD_SIZE, Verdict};

/// What the kernel asks of the gateway while it decides.
pub trait Host {
    /// Tells whether the packet's source (or destination) is in the table with this handle.
    fn table(&mut self, handle: u32, source: bool) -> bool;
    /// Returns random bits.
    fn random(&mut self) -> u64;
}
