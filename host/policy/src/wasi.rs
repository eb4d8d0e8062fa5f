//! A WASI that denies everything, for languages whose runtime does not start without one (Go).
//!
//! There are no files, no arguments, no environment and no sockets. A clock tells the packet's
//! time and does not move within a call, random bytes come from the instance's seed, and what is
//! written to the standard streams becomes lines of the policy's log. Everything else fails with
//! an error number. Nothing here waits. Only modules that import these functions have them.
//!
//! Types and error numbers are those of WASI preview 1 (`wasi_snapshot_preview1`).

use evergate_abi::{Function, LogLevel, ValueType};
use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use crate::host::{HostState, bytes, enter, write_line, wrong};
use crate::log::{LOG_LINE_MAX, clean};

/// The module name of the imports.
pub(crate) const WASI_MODULE: &str = "wasi_snapshot_preview1";
/// The most bytes that one call of `random_get` gives; no fuel bounds a host function.
const RANDOM_MAX: usize = 4096;
/// The most pieces that one call of `fd_write` takes.
const PIECES_MAX: i32 = 16;

/// What the line begins with in which Go's runtime says why it ends a program.
const CAUSES: [&[u8]; 2] = [b"panic: ", b"fatal error: "];

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const INVAL: i32 = 28;
const NOSYS: i32 = 52;

type Result<T> = wasmtime::Result<T>;

const I: ValueType = ValueType::I32;
const L: ValueType = ValueType::I64;

const fn function(name: &'static str, params: &'static [(&'static str, ValueType)]) -> Function {
    Function { name, params, result: Some(I), doc: "" }
}

macro_rules! wasi {
    ($($name:ident($($ty:ident),*))*) => {
        [$(function(stringify!($name), &[$(("", $ty)),*])),*]
    };
}

/// What returns an error number; the addresses of results are among the parameters.
const FUNCTIONS: [Function; 45] = wasi! {
    args_get(I, I)
    args_sizes_get(I, I)
    clock_res_get(I, I)
    clock_time_get(I, L, I)
    environ_get(I, I)
    environ_sizes_get(I, I)
    fd_advise(I, L, L, I)
    fd_allocate(I, L, L)
    fd_close(I)
    fd_datasync(I)
    fd_fdstat_get(I, I)
    fd_fdstat_set_flags(I, I)
    fd_fdstat_set_rights(I, L, L)
    fd_filestat_get(I, I)
    fd_filestat_set_size(I, L)
    fd_filestat_set_times(I, L, L, I)
    fd_pread(I, I, I, L, I)
    fd_prestat_dir_name(I, I, I)
    fd_prestat_get(I, I)
    fd_pwrite(I, I, I, L, I)
    fd_read(I, I, I, I)
    fd_readdir(I, I, I, L, I)
    fd_renumber(I, I)
    fd_seek(I, L, I, I)
    fd_sync(I)
    fd_tell(I, I)
    fd_write(I, I, I, I)
    path_create_directory(I, I, I)
    path_filestat_get(I, I, I, I, I)
    path_filestat_set_times(I, I, I, I, L, L, I)
    path_link(I, I, I, I, I, I, I)
    path_open(I, I, I, I, I, L, L, I, I)
    path_readlink(I, I, I, I, I, I)
    path_remove_directory(I, I, I)
    path_rename(I, I, I, I, I, I)
    path_symlink(I, I, I, I, I)
    path_unlink_file(I, I, I)
    poll_oneoff(I, I, I, I)
    proc_raise(I)
    random_get(I, I)
    sched_yield()
    sock_accept(I, I, I)
    sock_recv(I, I, I, I, I, I)
    sock_send(I, I, I, I, I)
    sock_shutdown(I, I)
};

/// The one function without a result: it does not return.
const PROC_EXIT: Function =
    Function { name: "proc_exit", params: &[("", I)], result: None, doc: "" };

/// Returns the function of this name.
pub(crate) fn function_named(name: &str) -> Option<&'static Function> {
    if name == PROC_EXIT.name {
        return Some(&PROC_EXIT);
    }
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Offers all of them to guests.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> Result<()> {
    let m = WASI_MODULE;
    linker.func_wrap(m, "args_sizes_get", nothing_of_it)?;
    linker.func_wrap(m, "environ_sizes_get", nothing_of_it)?;
    linker.func_wrap(m, "clock_res_get", clock_res_get)?;
    linker.func_wrap(m, "clock_time_get", clock_time_get)?;
    linker.func_wrap(m, "fd_write", fd_write)?;
    linker.func_wrap(m, "poll_oneoff", poll_oneoff)?;
    linker.func_wrap(m, "proc_exit", proc_exit)?;
    linker.func_wrap(m, "random_get", random_get)?;
    for function in &FUNCTIONS {
        let answer = match function.name {
            "args_get" | "environ_get" | "sched_yield" => SUCCESS,
            "proc_raise" => NOSYS,
            // Files and sockets: there is no descriptor that a guest could name.
            name if !is_ours(name) => BADF,
            _ => continue,
        };
        let params = function.params.iter().map(|(_, ty)| match ty {
            ValueType::I32 => ValType::I32,
            ValueType::I64 => ValType::I64,
        });
        let ty = FuncType::new(linker.engine(), params, [ValType::I32]);
        linker.func_new(m, function.name, ty, move |mut caller, _, results| {
            enter(&mut caller)?;
            if let Some(result) = results.first_mut() {
                *result = Val::I32(answer);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Tells whether a function has a body here, and not just an answer.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "args_sizes_get"
            | "environ_sizes_get"
            | "clock_res_get"
            | "clock_time_get"
            | "fd_write"
            | "poll_oneoff"
            | "random_get"
    )
}

fn put<const N: usize>(memory: &mut [u8], name: &str, address: i32, value: [u8; N]) -> Result<()> {
    bytes(memory, name, address, N)?;
    let start = usize::try_from(address.cast_unsigned()).unwrap_or(usize::MAX);
    if let Some(place) = memory.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = value;
    }
    Ok(())
}

fn number(memory: &[u8], name: &str, address: i32) -> Result<i32> {
    let bytes = bytes(memory, name, address, 4)?;
    Ok(bytes.first_chunk().map_or(0, |four| i32::from_le_bytes(*four)))
}

/// How many arguments, or variables, there are, and the bytes that they take.
fn nothing_of_it(mut caller: Caller<'_, HostState>, count: i32, size: i32) -> Result<i32> {
    let (memory, _) = enter(&mut caller)?;
    put(memory, "args_sizes_get", count, [0; 4])?;
    put(memory, "args_sizes_get", size, [0; 4])?;
    Ok(SUCCESS)
}

fn clock_res_get(mut caller: Caller<'_, HostState>, _: i32, out: i32) -> Result<i32> {
    let (memory, _) = enter(&mut caller)?;
    put(memory, "clock_res_get", out, 1u64.to_le_bytes())?;
    Ok(SUCCESS)
}

/// 0 is the time since 1970, others are monotonic; never 0, which Go takes for a broken clock.
fn clock_time_get(mut caller: Caller<'_, HostState>, clock: i32, _: i64, out: i32) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    let now = match clock {
        0 => state.wall_s.saturating_mul(1_000_000_000),
        _ => state.now_ns,
    };
    put(memory, "clock_time_get", out, now.max(1).to_le_bytes())?;
    Ok(SUCCESS)
}

fn random_get(mut caller: Caller<'_, HostState>, out: i32, len: i32) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    let len = usize::try_from(len.cast_unsigned()).unwrap_or(usize::MAX);
    if len > RANDOM_MAX {
        return Ok(INVAL);
    }
    bytes(memory, "random_get", out, len)?;
    let start = usize::try_from(out.cast_unsigned()).unwrap_or(usize::MAX);
    for place in memory.iter_mut().skip(start).take(len) {
        *place = state.next_random().to_le_bytes()[7];
    }
    Ok(SUCCESS)
}

/// There is nothing to wait for.
fn poll_oneoff(
    mut caller: Caller<'_, HostState>,
    _: i32,
    _: i32,
    _: i32,
    events: i32,
) -> Result<i32> {
    let (memory, _) = enter(&mut caller)?;
    put(memory, "poll_oneoff", events, [0; 4])?;
    Ok(SUCCESS)
}

/// Standard output and errors go to the log, a line when it ends or is long enough.
fn fd_write(
    mut caller: Caller<'_, HostState>,
    fd: i32,
    pieces: i32,
    count: i32,
    written: i32,
) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    if fd != 1 && fd != 2 {
        return Ok(BADF);
    }
    let mut total = 0i32;
    for index in 0..count.clamp(0, PIECES_MAX) {
        let piece = pieces.wrapping_add(index * 8);
        let address = number(memory, "fd_write", piece)?;
        let len = number(memory, "fd_write", piece.wrapping_add(4))?;
        let len_bytes = usize::try_from(len.cast_unsigned()).unwrap_or(usize::MAX);
        let text = bytes(memory, "fd_write", address, len_bytes)?;
        print(state, &text[..text.len().min(LOG_LINE_MAX)]);
        total = total.wrapping_add(len);
    }
    put(memory, "fd_write", written, total.to_le_bytes())?;
    Ok(SUCCESS)
}

fn print(state: &mut HostState, text: &[u8]) {
    for &byte in text {
        if byte != b'\n' {
            state.line.push(byte);
        }
        if byte == b'\n' || state.line.len() >= LOG_LINE_MAX {
            let line = std::mem::take(&mut state.line);
            say(state, &line);
        }
    }
}

fn say(state: &mut HostState, line: &[u8]) {
    if line.is_empty() {
        return;
    }
    write_line(state, LogLevel::Warn, line);
    if CAUSES.iter().any(|cause| line.starts_with(cause)) {
        state.cause = Some(clean(line));
    }
}

fn proc_exit(mut caller: Caller<'_, HostState>, code: i32) -> Result<()> {
    let (_, state) = enter(&mut caller)?;
    let line = std::mem::take(&mut state.line);
    say(state, &line);
    let cause = state.cause.take().map(|cause| format!(": {cause}")).unwrap_or_default();
    wrong(format!("it ended itself with code {code}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_offered_once_with_its_type() {
        let engine = wasmtime::Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).unwrap();
        for function in FUNCTIONS.iter().chain([&PROC_EXIT]) {
            assert_eq!(function_named(function.name), Some(function));
            assert!(FUNCTIONS.iter().filter(|f| f.name == function.name).count() <= 1);
        }
        assert_eq!(function_named("fd_open"), None);
    }
}
