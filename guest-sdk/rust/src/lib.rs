//! The Rust SDK for Evergate policies.
//!
//! A policy is a type that implements [`Policy`], in a crate of the types `cdylib` and `rlib`:
//!
//! ```
//! use evergate_guest::{Packet, Policy, Refused, Setup, Verdict, policy};
//!
//! struct WebOnly;
//!
//! impl Policy for WebOnly {
//!     fn init(_: &Setup) -> Result<Self, Refused> {
//!         Ok(Self)
//!     }
//!
//!     fn decide(&mut self, packet: &Packet<'_>) -> Verdict {
//!         if packet.is_tcp() && packet.dport() == 443 {
//!             Verdict::pass().rule(1)
//!         } else {
//!             Verdict::go_on()
//!         }
//!     }
//! }
//!
//! policy!(WebOnly);
//! ```
//!
//! For wasm32 the macro exports what the ABI asks for. For any other target it exports nothing,
//! and the functions of the gateway are those of [`testing`], so that a policy's tests run natively.

#![cfg_attr(target_arch = "wasm32", no_std)]

mod handles;
mod packet;
mod sets;
mod setup;
mod verdict;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod raw;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
use raw::host;
#[cfg(not(target_arch = "wasm32"))]
use testing::host;

pub use evergate_abi::{Action, Direction, Keep, LogLevel, TimeoutOverrides};
pub use handles::{Counter, Label, Meter, Table, Tag, log, monotonic_ns, random, wall_s};
pub use packet::{Packet, icmp, icmp6, proto};
pub use sets::{Addresses, Interfaces, Ports};
pub use setup::{Refused, Setup, Text};
pub use verdict::Verdict;

/// A policy: made once per instance, then asked about every packet without a state.
pub trait Policy: Sized {
    /// Reads the settings and resolves names.
    ///
    /// # Errors
    /// Whatever makes it better not to run; the gateway then refuses to load the policy.
    fn init(setup: &Setup) -> Result<Self, Refused>;

    /// Decides about one packet.
    fn decide(&mut self, packet: &Packet<'_>) -> Verdict;

    /// Tests the policy when the gateway loads it; `false` refuses it.
    fn self_test(&mut self) -> bool {
        true
    }
}

/// Exports the ABI's symbols for a type that implements [`Policy`].
#[macro_export]
macro_rules! policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "an export needs a name that nothing else has")]
        const _: () = {
            static SLOT: $crate::raw::Slot<$policy> = $crate::raw::Slot::new();

            #[unsafe(no_mangle)]
            extern "C" fn evergate_abi_v1() -> i32 {
                SLOT.request_address()
            }

            #[unsafe(no_mangle)]
            extern "C" fn init() -> i32 {
                SLOT.init()
            }

            #[unsafe(no_mangle)]
            extern "C" fn self_test() -> i32 {
                SLOT.self_test()
            }

            #[unsafe(no_mangle)]
            extern "C" fn decide(_request: i32) -> i64 {
                SLOT.decide()
            }
        };
    };
}

#[cfg(all(target_arch = "wasm32", feature = "panic-handler"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
