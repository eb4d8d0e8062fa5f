//! The only unsafe code: the gateway's functions, and the memory shared with it.
//!
//! Everything here relies on one fact: a guest of this ABI has one thread, and the gateway calls
//! it only while it is not running.

#![allow(unsafe_code, reason = "foreign functions and the buffers shared with the gateway")]

use core::cell::UnsafeCell;

use crate::layout::{IMAGE_WORDS_MAX, MAGIC};
use crate::{Facts, Host, RECORD_SIZE, REQUEST_SIZE, decide, resolve_names};

#[link(wasm_import_module = "evergate")]
unsafe extern "C" {
    fn resolve(kind: i32, name: *const u8, name_len: usize) -> i32;
    fn table_match(table: i32, address: *const u8) -> i32;
    #[link_name = "log"]
    fn log_line(level: i32, text: *const u8, text_len: usize);
    #[link_name = "random"]
    fn random_bits() -> i64;
}

/// A thing that the gateway and the guest write in turn.
#[repr(C, align(8))]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: a guest has one thread.
unsafe impl<T> Sync for Shared<T> {}

// Not zero at first, so that the linker puts them before the image, whose end is cut off.
static REQUEST: Shared<[u8; REQUEST_SIZE]> = Shared(UnsafeCell::new([64; REQUEST_SIZE]));
static RECORD: Shared<[u8; RECORD_SIZE]> = Shared(UnsafeCell::new([64; RECORD_SIZE]));

/// The compiler of rules writes a data segment over this; its name tells where.
#[unsafe(no_mangle)]
static IMAGE: Shared<[u32; IMAGE_WORDS_MAX]> = Shared(UnsafeCell::new([0; IMAGE_WORDS_MAX]));

struct Gateway<'a>(&'a [u8; REQUEST_SIZE]);

impl Host for Gateway<'_> {
    #[inline]
    fn table(&mut self, handle: u32, source: bool) -> bool {
        let address = &self.0[if source { 8 } else { 24 }];
        // SAFETY: the gateway only reads the 16 bytes from there on, within the request.
        unsafe { table_match(handle as i32, address) != 0 }
    }

    fn random(&mut self) -> u64 {
        // SAFETY: no memory is involved.
        unsafe { random_bits() as u64 }
    }
}

#[unsafe(no_mangle)]
extern "C" fn evergate_abi_v1() -> i32 {
    REQUEST.0.get() as i32
}

#[unsafe(no_mangle)]
extern "C" fn init() -> i32 {
    // SAFETY: no other reference to the image lives while this call runs.
    let image = unsafe { &mut *IMAGE.0.get() };
    if image[0] != MAGIC {
        return 2;
    }
    let resolved = resolve_names(image, |kind, name| {
        // SAFETY: the gateway only reads the name's bytes, before it returns.
        unsafe { resolve(kind as i32, name.as_ptr(), name.len()) }
    });
    let Err((name, len)) = resolved else { return 0 };
    let mut line = *b"no room in the gateway, or no such table: ________________________________________________________________";
    let start = line.len() - name.len();
    line[start..].copy_from_slice(&name);
    // SAFETY: the gateway only reads the line's bytes, before it returns.
    unsafe { log_line(0, line.as_ptr(), start + len) };
    1
}

#[unsafe(export_name = "decide")]
extern "C" fn decide_export(_request: i32) -> i64 {
    // SAFETY: the gateway writes the request only between calls.
    let request = unsafe { &*REQUEST.0.get() };
    // SAFETY: only `init` writes the image, and it does not run now.
    let image = unsafe { &*IMAGE.0.get() };
    let verdict = decide(image, &Facts::read(request), &mut Gateway(request));
    if !verdict.needs_record() {
        return verdict.word(0);
    }
    // SAFETY: no other reference to the record lives while this call runs.
    verdict.write(unsafe { &mut *RECORD.0.get() });
    verdict.word(RECORD.0.get() as u32)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
