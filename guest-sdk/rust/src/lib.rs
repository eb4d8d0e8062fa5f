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
mod hooks;
mod names;
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

pub use evergate_abi::{Action, Direction, EndCause, Ended, Keep, LogLevel, TimeoutOverrides};
pub use handles::{Counter, Label, Meter, Table, Tag, log, monotonic_ns, random, wall_s};
pub use hooks::{Inspect, Lifecycle, Save, StateEnd, Tick};
pub use names::HostNames;
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

/// Exports the ABI's symbols for a type that implements [`Policy`], and those of what it does
/// beside: `inspect = BYTES` with the size of its payload buffer ([`Inspect`]), `state_end`
/// ([`StateEnd`]), `tick` ([`Tick`]), `lifecycle` ([`Lifecycle`]), `save = BYTES` with the size
/// of its largest blob ([`Save`]).
///
/// ```
/// # use evergate_guest::{Inspect, Packet, Policy, Refused, Setup, Tick, Verdict, policy};
/// # struct Names;
/// # impl Policy for Names {
/// #     fn init(_: &Setup) -> Result<Self, Refused> { Ok(Self) }
/// #     fn decide(&mut self, _: &Packet<'_>) -> Verdict { Verdict::inspect(0) }
/// # }
/// impl Inspect for Names {
///     fn inspect(&mut self, _: &Packet<'_>, payload: &[u8]) -> Verdict {
///         if payload.starts_with(b"GET ") { Verdict::pass() } else { Verdict::block() }
///     }
/// }
/// # impl Tick for Names { fn tick(&mut self, _: u64, _: u64) {} }
///
/// policy!(Names, inspect = 512, tick);
/// ```
#[macro_export]
macro_rules! policy {
    ($policy:ty $(, $part:ident $(= $bytes:expr)?)* $(,)?) => {
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

            $($crate::policy_part!(SLOT, $part $(= $bytes)?);)*
        };
    };
}

/// Exports the symbols of one part of a policy.
#[doc(hidden)]
#[macro_export]
macro_rules! policy_part {
    ($slot:ident, inspect = $bytes:expr) => {
        static PAYLOAD: $crate::raw::Area<{ $bytes }> = $crate::raw::Area::new();

        #[unsafe(no_mangle)]
        extern "C" fn evergate_payload_v1() -> i32 {
            PAYLOAD.record_address()
        }

        #[unsafe(no_mangle)]
        extern "C" fn inspect(_request: i32, length: i32) -> i64 {
            $slot.inspect(&PAYLOAD, length)
        }
    };
    ($slot:ident, state_end) => {
        static ENDED: $crate::raw::Area<96> = $crate::raw::Area::new();

        #[unsafe(no_mangle)]
        extern "C" fn evergate_state_end_v1() -> i32 {
            ENDED.address()
        }

        #[unsafe(no_mangle)]
        extern "C" fn on_state_end(_record: i32) {
            $slot.state_ended(&ENDED)
        }
    };
    ($slot:ident, tick) => {
        #[unsafe(no_mangle)]
        extern "C" fn on_tick(now_ns: i64, wall_s: i64) {
            $slot.tick(now_ns, wall_s)
        }
    };
    ($slot:ident, lifecycle) => {
        #[unsafe(no_mangle)]
        extern "C" fn on_load() {
            $slot.loaded()
        }

        #[unsafe(no_mangle)]
        extern "C" fn on_unload() {
            $slot.unloaded()
        }
    };
    ($slot:ident, save = $bytes:expr) => {
        static SAVED: $crate::raw::Area<{ $bytes }> = $crate::raw::Area::new();

        #[unsafe(no_mangle)]
        extern "C" fn save_version() -> i32 {
            $slot.save_version()
        }

        #[unsafe(no_mangle)]
        extern "C" fn save() -> i64 {
            $slot.save(&SAVED)
        }

        #[unsafe(no_mangle)]
        extern "C" fn restore_buffer(length: i32) -> i32 {
            SAVED.room_for(length)
        }

        #[unsafe(no_mangle)]
        extern "C" fn restore(_address: i32, length: i32) -> i32 {
            $slot.restore(&SAVED, length)
        }
    };
}

#[cfg(all(target_arch = "wasm32", feature = "panic-handler"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
