//! The only unsafe code: the gateway's functions, and the memory shared with the gateway.
//!
//! Everything here relies on one fact: a guest of this ABI has one thread, and the gateway calls
//! it only while it is not running.

#![allow(unsafe_code, reason = "foreign functions and the buffers shared with the gateway")]

use core::cell::UnsafeCell;

use evergate_abi::{ENDED_SIZE, Ended, PAYLOAD_SIZE, PayloadBuffer, RECORD_SIZE, REQUEST_SIZE};

use crate::{
    Inspect, Lifecycle, LogLevel, Packet, Policy, Save, Setup, StateEnd, Tick, Verdict, log,
};

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
        self.verdict(|policy, packet| policy.decide(packet))
    }

    fn verdict(&'static self, ask: impl FnOnce(&mut P, &Packet<'_>) -> Verdict) -> i64 {
        // SAFETY: no other reference into the slot lives while the gateway's call runs.
        let policy = unsafe { &mut *self.policy.get() };
        // SAFETY: as above; the gateway writes the buffer only between calls.
        let buffers = unsafe { &mut *self.buffers.get() };
        let Some(policy) = policy else { core::arch::wasm32::unreachable() };
        let verdict = ask(policy, &Packet::new(&buffers.request)).into_abi();
        if !verdict.needs_record() {
            return verdict.encode_word(0);
        }
        buffers.record = verdict.encode_record();
        verdict.encode_word(&raw const buffers.record as u32)
    }
}

impl<P: Policy> Slot<P> {
    /// Runs a hook.
    fn hook<R>(&'static self, call: impl FnOnce(&mut P) -> R) -> R {
        // SAFETY: no other reference into the slot lives while the gateway's call runs.
        let policy = unsafe { &mut *self.policy.get() };
        let Some(policy) = policy else { core::arch::wasm32::unreachable() };
        call(policy)
    }
}

impl<P: Inspect> Slot<P> {
    /// Decides by the payload in an area and returns the verdict word.
    pub fn inspect<const N: usize>(&'static self, area: &'static Area<N>, length: i32) -> i64 {
        self.verdict(|policy, packet| policy.inspect(packet, area.bytes(length)))
    }
}

impl<P: StateEnd> Slot<P> {
    /// Takes note of the ended state in an area.
    pub fn state_ended(&'static self, area: &'static Area<ENDED_SIZE>) {
        let record = area.bytes(ENDED_SIZE as i32).first_chunk();
        if let Some(Ok(ended)) = record.map(Ended::decode) {
            self.hook(|policy| policy.state_ended(&ended));
        }
    }
}

impl<P: Tick> Slot<P> {
    /// Passes on a tick.
    pub fn tick(&'static self, now_ns: i64, wall_s: i64) {
        self.hook(|policy| policy.tick(now_ns.cast_unsigned(), wall_s.cast_unsigned()));
    }
}

impl<P: Lifecycle> Slot<P> {
    /// Passes on that the policy is in force.
    pub fn loaded(&'static self) {
        self.hook(P::loaded);
    }

    /// Passes on that the policy is not in force any more.
    pub fn unloaded(&'static self) {
        self.hook(P::unloaded);
    }
}

impl<P: Save> Slot<P> {
    /// Returns the version of the policy's blob.
    pub fn save_version(&'static self) -> i32 {
        P::VERSION.cast_signed()
    }

    /// Saves into an area and returns address and length.
    pub fn save<const N: usize>(&'static self, area: &'static Area<N>) -> i64 {
        // SAFETY: no other reference into the area lives while the gateway's call runs.
        let bytes = unsafe { &mut (*area.0.get()).bytes };
        let length = self.hook(|policy| policy.save(bytes)).min(N);
        ((length as u64) << 32 | u64::from(area.address().cast_unsigned())).cast_signed()
    }

    /// Restores from an area; 0 is success.
    pub fn restore<const N: usize>(&'static self, area: &'static Area<N>, length: i32) -> i32 {
        i32::from(!self.hook(|policy| policy.restore(area.bytes(length))))
    }
}

#[repr(C, align(8))]
struct AreaBytes<const N: usize> {
    bytes: [u8; N],
    record: [u8; PAYLOAD_SIZE],
}

/// A buffer that the gateway writes between calls.
pub struct Area<const N: usize>(UnsafeCell<AreaBytes<N>>);

// SAFETY: a guest has one thread (see the module's head).
unsafe impl<const N: usize> Sync for Area<N> {}

impl<const N: usize> Area<N> {
    /// Creates an area of zeroes; its size has to be a multiple of 8.
    #[expect(clippy::new_without_default, reason = "a static needs a const fn")]
    pub const fn new() -> Self {
        const { assert!(N % 8 == 0 && N > 0, "the size has to be a multiple of 8") };
        Self(UnsafeCell::new(AreaBytes { bytes: [0; N], record: [0; PAYLOAD_SIZE] }))
    }

    /// Returns where it is.
    pub fn address(&'static self) -> i32 {
        self.0.get() as i32
    }

    /// Returns where the record is that says where it is and how large.
    pub fn record_address(&'static self) -> i32 {
        let record = PayloadBuffer { address: self.0.get() as u32, capacity: N as u32 }.encode();
        // SAFETY: no reference into the area lives between two calls of the gateway.
        unsafe { (*self.0.get()).record = record };
        // SAFETY: the area lives for ever.
        let record = unsafe { &raw const (*self.0.get()).record };
        record as i32
    }

    /// Returns where to put so many bytes; 0 if they do not fit.
    pub fn room_for(&'static self, length: i32) -> i32 {
        let fits = usize::try_from(length).is_ok_and(|length| length <= N);
        if fits { self.address() } else { 0 }
    }

    /// Returns the first bytes, as many as there can be.
    fn bytes(&'static self, length: i32) -> &'static [u8] {
        let length = usize::try_from(length).unwrap_or(0).min(N);
        // SAFETY: the gateway writes the area only between calls, and the slice lives in one.
        unsafe { &(&(*self.0.get()).bytes)[..length] }
    }
}
