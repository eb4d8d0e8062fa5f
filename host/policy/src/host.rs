//! The functions that guests may call, and what they see of the gateway.
//!
//! Every address that a guest gives is checked against its memory; every call is counted against
//! [`crate::Limits::host_calls`]. A call that breaks a rule traps the guest with a sentence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use evergate_abi::{IMPORT_MODULE, LogLevel, ResolveKind};
use wasmtime::{Caller, Linker, Memory, StoreLimits};

use crate::environment::Environment;
use crate::log::{LOG_LINE_MAX, LogLine, LogRate, clean};
use crate::meter::{METER_KEY_MAX, Meter};
use crate::names::{NAME_LEN_MAX, is_name};
use crate::params::{Params, Value};
use crate::tables::Table;

/// The most tables, counters and meters each that one instance can resolve.
const HANDLES_MAX: usize = 256;

/// What a policy's instances share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) environment: Arc<Environment>,
    pub(crate) params: Params,
    pub(crate) log_rate: LogRate,
}

/// The data of one instance's store.
pub(crate) struct HostState {
    pub(crate) limits: StoreLimits,
    /// Set right after instantiation; a start function has no memory to point into yet.
    pub(crate) memory: Option<Memory>,
    pub(crate) now_ns: u64,
    pub(crate) wall_s: u64,
    pub(crate) calls_left: u32,
    pub(crate) in_init: bool,
    /// Until the instance is proved; lines are then kept for the error message too.
    pub(crate) loading: bool,
    /// The last line logged while loading, for the error message.
    pub(crate) last_line: Option<String>,
    /// The settings that were asked for while loading.
    pub(crate) read: BTreeSet<String>,
    /// What was written to the standard streams since the last line's end.
    pub(crate) line: Vec<u8>,
    /// Why the guest's runtime is about to end it.
    pub(crate) cause: Option<String>,
    shared: Arc<Shared>,
    tables: Vec<Arc<Table>>,
    counters: Vec<Arc<AtomicU64>>,
    meters: Vec<Arc<Meter>>,
    random: u64,
}

impl HostState {
    pub(crate) fn new(shared: Arc<Shared>, limits: StoreLimits, random: u64) -> Self {
        Self {
            limits,
            memory: None,
            now_ns: 0,
            wall_s: 0,
            calls_left: 0,
            in_init: false,
            loading: true,
            last_line: None,
            read: BTreeSet::new(),
            line: Vec::new(),
            cause: None,
            shared,
            tables: Vec::new(),
            counters: Vec::new(),
            meters: Vec::new(),
            random,
        }
    }

    pub(crate) fn next_random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A guest broke a rule of a host function; it is trapped with this sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostError(pub(crate) String);

type Result<T> = wasmtime::Result<T>;

pub(crate) fn wrong<T>(message: String) -> Result<T> {
    Err(wasmtime::Error::new(HostError(message)))
}

/// Offers all of [`evergate_abi::IMPORTS`] to guests.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> Result<()> {
    let m = IMPORT_MODULE;
    linker.func_wrap(m, "resolve", resolve)?;
    linker.func_wrap(m, "config_int", config_int)?;
    linker.func_wrap(m, "config_str", config_str)?;
    linker.func_wrap(m, "table_match", table_match)?;
    linker.func_wrap(m, "count", count)?;
    linker.func_wrap(m, "meter", meter)?;
    linker.func_wrap(m, "log", log)?;
    linker.func_wrap(m, "clock", clock)?;
    linker.func_wrap(m, "random", random)?;
    Ok(())
}

/// Takes the guest's memory and the host's data apart and counts the call.
#[inline]
pub(crate) fn enter<'a>(
    caller: &'a mut Caller<'_, HostState>,
) -> Result<(&'a mut [u8], &'a mut HostState)> {
    let state = caller.data_mut();
    let Some(left) = state.calls_left.checked_sub(1) else {
        return wrong("it called host functions more often than it may".to_owned());
    };
    state.calls_left = left;
    let Some(memory) = state.memory else {
        return wrong("a start function cannot call host functions; use init".to_owned());
    };
    Ok(memory.data_and_store_mut(caller))
}

/// Returns so many bytes of the guest's memory at this address.
#[inline]
pub(crate) fn bytes<'a>(
    memory: &'a [u8],
    function: &str,
    address: i32,
    len: usize,
) -> Result<&'a [u8]> {
    let start = usize::try_from(address.cast_unsigned()).unwrap_or(usize::MAX);
    match start.checked_add(len).and_then(|end| memory.get(start..end)) {
        Some(bytes) => Ok(bytes),
        None => wrong(format!(
            "{function}: {len} bytes at {start:#x} are outside its memory of {} bytes",
            memory.len()
        )),
    }
}

/// Returns a name in the guest's memory, or `None` if the bytes cannot be one.
fn name<'a>(memory: &'a [u8], function: &str, address: i32, len: i32) -> Result<Option<&'a str>> {
    let len = usize::try_from(len.cast_unsigned()).unwrap_or(usize::MAX);
    let bytes = bytes(memory, function, address, len)?;
    if len > NAME_LEN_MAX {
        return Ok(None);
    }
    Ok(std::str::from_utf8(bytes).ok().filter(|name| is_name(name)))
}

fn resolve(mut caller: Caller<'_, HostState>, kind: i32, at: i32, len: i32) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    if !state.in_init {
        return wrong("resolve: may only be called within init".to_owned());
    }
    let Some(kind) = ResolveKind::from_i32(kind) else {
        return wrong(format!("resolve: there is no kind {kind}"));
    };
    let Some(name) = name(memory, "resolve", at, len)? else {
        return Ok(-1);
    };
    let shared = &state.shared;
    let environment = &shared.environment;
    let scoped = || format!("{}/{name}", shared.name);
    Ok(match kind {
        ResolveKind::Table => hold(&mut state.tables, || environment.tables.table(name)),
        ResolveKind::Counter => {
            hold(&mut state.counters, || environment.counters.resolve(scoped()))
        }
        ResolveKind::Meter => hold(&mut state.meters, || environment.meters.resolve(scoped())),
        ResolveKind::Tag => environment.tags.intern(name).map_or(-1, i32::from),
        ResolveKind::Label => environment.labels.intern(name).map_or(-1, i32::from),
        ResolveKind::Interface => environment
            .interfaces
            .iter()
            .position(|interface| interface == name)
            .and_then(|index| u16::try_from(index).ok())
            .map_or(-1, i32::from),
    })
}

/// Keeps a thing for the instance and returns its handle, -1 if there is none or no room.
fn hold<T>(handles: &mut Vec<T>, find: impl FnOnce() -> Option<T>) -> i32 {
    if handles.len() >= HANDLES_MAX {
        return -1;
    }
    let Some(found) = find() else {
        return -1;
    };
    handles.push(found);
    i32::try_from(handles.len() - 1).unwrap_or(-1)
}

fn held<'a, T>(handles: &'a [T], function: &str, id: i32) -> Result<&'a T> {
    match usize::try_from(id).ok().and_then(|index| handles.get(index)) {
        Some(thing) => Ok(thing),
        None => wrong(format!("{function}: {id} is not an id that resolve returned")),
    }
}

fn setting<'a>(
    memory: &[u8],
    state: &'a mut HostState,
    function: &str,
    (key, key_len, index): (i32, i32, i32),
) -> Result<Option<&'a Value>> {
    let Some(key) = name(memory, function, key, key_len)? else {
        return Ok(None);
    };
    let params = &state.shared.params;
    if state.loading && params.contains(key) && !state.read.contains(key) {
        state.read.insert(key.to_owned());
    }
    Ok(usize::try_from(index).ok().and_then(|index| params.value(key, index)))
}

fn config_int(mut caller: Caller<'_, HostState>, key: i32, len: i32, index: i32) -> Result<i64> {
    let (memory, state) = enter(&mut caller)?;
    Ok(match setting(memory, state, "config_int", (key, len, index))? {
        Some(Value::Int(n)) => *n,
        Some(Value::Bool(yes)) => i64::from(*yes),
        Some(Value::Text(_)) | None => i64::MIN,
    })
}

fn config_str(
    mut caller: Caller<'_, HostState>,
    key: i32,
    key_len: i32,
    index: i32,
    out: i32,
    out_cap: i32,
) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    let text = match setting(memory, state, "config_str", (key, key_len, index))? {
        Some(Value::Text(text)) => text.as_bytes(),
        Some(Value::Int(_) | Value::Bool(_)) | None => return Ok(-1),
    };
    let cap = usize::try_from(out_cap.cast_unsigned()).unwrap_or(usize::MAX);
    bytes(memory, "config_str", out, cap)?;
    let start = usize::try_from(out.cast_unsigned()).unwrap_or(usize::MAX);
    if text.len() <= cap
        && let Some(place) = memory.get_mut(start..).and_then(|rest| rest.get_mut(..text.len()))
    {
        place.copy_from_slice(text);
    }
    Ok(i32::try_from(text.len()).unwrap_or(-1))
}

fn table_match(mut caller: Caller<'_, HostState>, table: i32, address: i32) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    let table = held(&state.tables, "table_match", table)?;
    let octets = bytes(memory, "table_match", address, 16)?;
    let Ok(octets) = octets.try_into() else {
        return Ok(0);
    };
    Ok(i32::from(table.contains(octets)))
}

fn count(mut caller: Caller<'_, HostState>, counter: i32, n: i64) -> Result<()> {
    let (_, state) = enter(&mut caller)?;
    let counter = held(&state.counters, "count", counter)?;
    counter.fetch_add(n.cast_unsigned(), Ordering::Relaxed);
    Ok(())
}

fn meter(
    mut caller: Caller<'_, HostState>,
    meter: i32,
    key: i32,
    key_len: i32,
    rate_milli: i32,
    burst: i32,
) -> Result<i32> {
    let (memory, state) = enter(&mut caller)?;
    let meter = held(&state.meters, "meter", meter)?;
    let len = usize::try_from(key_len.cast_unsigned()).unwrap_or(usize::MAX);
    if len > METER_KEY_MAX {
        return wrong(format!("meter: a key of {len} bytes is longer than {METER_KEY_MAX}"));
    }
    let key = bytes(memory, "meter", key, len)?;
    let (rate, burst) = (rate_milli.cast_unsigned(), burst.cast_unsigned());
    Ok(i32::from(meter.take(state.now_ns, key, rate, burst)))
}

fn log(mut caller: Caller<'_, HostState>, level: i32, text: i32, len: i32) -> Result<()> {
    let (memory, state) = enter(&mut caller)?;
    let Some(level) = LogLevel::from_i32(level) else {
        return wrong(format!("log: there is no level {level}"));
    };
    let len = usize::try_from(len.cast_unsigned()).unwrap_or(usize::MAX);
    let text = bytes(memory, "log", text, len)?;
    write_line(state, level, text);
    Ok(())
}

/// Puts a line into the gateway's log, if the policy may write another.
pub(crate) fn write_line(state: &mut HostState, level: LogLevel, text: &[u8]) {
    let shared = &state.shared;
    if state.loading {
        state.last_line = Some(clean(&text[..text.len().min(LOG_LINE_MAX)]));
    }
    let queue = &shared.environment.log;
    if !shared.log_rate.allow(state.now_ns) {
        queue.count_dropped();
        return;
    }
    queue.push(LogLine { policy: Arc::clone(&shared.name), level, text: clean(text) });
}

fn clock(mut caller: Caller<'_, HostState>, kind: i32) -> Result<i64> {
    let (_, state) = enter(&mut caller)?;
    match kind {
        0 => Ok(i64::try_from(state.now_ns).unwrap_or(i64::MAX)),
        1 => Ok(i64::try_from(state.wall_s).unwrap_or(i64::MAX)),
        _ => wrong(format!("clock: there is no kind {kind}")),
    }
}

fn random(mut caller: Caller<'_, HostState>) -> Result<i64> {
    let (_, state) = enter(&mut caller)?;
    Ok(state.next_random().cast_signed())
}
