//! The only unsafe code: the gateway's functions, and the memory shared with the gateway.
//!
//! Everything here relies on one fact: a guest of this ABI has one thread, and the gateway calls
//! it only while it is not running.

#![allow(unsafe_code, reason = "foreign functions and the buffers shared with the gateway")]

use core::cell::UnsafeCell;

use evergate_abi::{RECORD_SIZE, REQUEST_SIZE};

use crate::{LogLevel, Packet, Policy, Setup, log};

#[link(wasm_import_module = "evergate")]
unsafe extern "C" {
    fn resolve(kind: i32, name: *const u8, name_len: usize) -> i32;
    fn config_int(key: *const u8, key_len: usize, index: i32) -> i64;
    fn config_str(key: *const u8, key_len: usize, index: i32, out: *mut u8, cap: usize) -> i32;
    fn table_match(table: i32, address: *const u8) -> i32;
    fn count(counter: i32, n: i64);
    fn meter(meter: i32, key: *const u8, key_len: usize, rate_milli: u32, burst: u32) -> i32;
    #[link_name = "log"]
    fn log_line(level: i32, text: *const u8, text_len: usize);
    fn clock(kind: i32) -> i64;
    fn random() -> i64;
}

/// The gateway's functions, with slices for their pointers.
pub(crate) mod host {
    use evergate_abi::{LogLevel, ResolveKind};

    pub(crate) fn resolve(kind: ResolveKind, name: &str) -> i32 {
        // SAFETY: the gateway only reads the name's bytes, before it returns.
        unsafe { super::resolve(kind as i32, name.as_ptr(), name.len()) }
    }

    pub(crate) fn config_int(key: &str, index: i32) -> i64 {
        // SAFETY: the gateway only reads the key's bytes, before it returns.
        unsafe { super::config_int(key.as_ptr(), key.len(), index) }
    }

    pub(crate) fn config_str(key: &str, index: i32, out: &mut [u8]) -> i32 {
        let (at, cap) = (out.as_mut_ptr(), out.len());
        // SAFETY: the gateway writes at most `cap` bytes to `at`, which is borrowed exclusively.
        unsafe { super::config_str(key.as_ptr(), key.len(), index, at, cap) }
    }

    pub(crate) fn table_match(table: i32, address: &[u8; 16]) -> bool {
        // SAFETY: the gateway only reads the 16 bytes, before it returns.
        unsafe { super::table_match(table, address.as_ptr()) != 0 }
    }

    pub(crate) fn count(counter: i32, n: u64) {
        // SAFETY: no memory is involved.
        unsafe { super::count(counter, n.cast_signed()) }
    }

    pub(crate) fn meter(meter: i32, key: &[u8], rate_milli: u32, burst: u32) -> bool {
        // SAFETY: the gateway only reads the key's bytes, before it returns.
        unsafe { super::meter(meter, key.as_ptr(), key.len(), rate_milli, burst) != 0 }
    }

    pub(crate) fn log(level: LogLevel, text: &str) {
        // SAFETY: the gateway only reads the text's bytes, before it returns.
        unsafe { super::log_line(level as i32, text.as_ptr(), text.len()) }
    }

    pub(crate) fn clock(kind: i32) -> i64 {
        // SAFETY: no memory is involved.
        unsafe { super::clock(kind) }
    }

    pub(crate) fn random() -> i64 {
        // SAFETY: no memory is involved.
        unsafe { super::random() }
    }
}

#[repr(C, align(8))]
struct Buffers {
    request: [u8; REQUEST_SIZE],
    record: [u8; RECORD_SIZE],
}

/// The one policy of a module, and the buffers that it shares with the gateway.
pub struct Slot<P> {
    buffers: UnsafeCell<Buffers>,
    policy: UnsafeCell<Option<P>>,
}

// SAFETY: a guest has one thread (see the module's head).
unsafe impl<P> Sync for Slot<P> {}

impl<P: Policy> Slot<P> {
    /// Creates an empty slot.
    #[expect(clippy::new_without_default, reason = "a static needs a const fn")]
    pub const fn new() -> Self {
        let buffers = Buffers { request: [0; REQUEST_SIZE], record: [0; RECORD_SIZE] };
        Self { buffers: UnsafeCell::new(buffers), policy: UnsafeCell::new(None) }
    }

    /// Returns where the gateway shall write requests.
    pub fn request_address(&'static self) -> i32 {
        self.buffers.get() as i32
    }

    /// Makes the policy; 0 is success.
    pub fn init(&'static self) -> i32 {
        match P::init(&Setup::new()) {
            Ok(policy) => {
                // SAFETY: no reference into the slot lives between two calls of the gateway.
                unsafe { *self.policy.get() = Some(policy) };
                0
            }
            Err(refused) => {
                log(LogLevel::Error, refused.text());
                1
            }
        }
    }

    /// Runs the policy's own test; 0 is success.
    pub fn self_test(&'static self) -> i32 {
        // SAFETY: no other reference into the slot lives while the gateway's call runs.
        let policy = unsafe { &mut *self.policy.get() };
        i32::from(!policy.as_mut().is_some_and(P::self_test))
    }

    /// Decides about the packet in the request buffer and returns the verdict word.
    pub fn decide(&'static self) -> i64 {
        // SAFETY: no other reference into the slot lives while the gateway's call runs.
        let policy = unsafe { &mut *self.policy.get() };
        // SAFETY: as above; the gateway writes the buffer only between calls.
        let buffers = unsafe { &mut *self.buffers.get() };
        let Some(policy) = policy else { core::arch::wasm32::unreachable() };
        let verdict = policy.decide(&Packet::new(&buffers.request)).into_abi();
        if !verdict.needs_record() {
            return verdict.encode_word(0);
        }
        buffers.record = verdict.encode_record();
        verdict.encode_word(&raw const buffers.record as u32)
    }
}
