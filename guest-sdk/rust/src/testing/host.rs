//! The gateway's functions for native tests: plain lists, one gateway per thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use evergate_abi::{LogLevel, ResolveKind};

use super::{Suite, Value};

#[derive(Default)]
struct Gateway {
    interfaces: Vec<&'static str>,
    tables: Vec<(&'static str, Vec<Prefix>)>,
    config: Vec<(&'static str, &'static [Value])>,
    counters: Vec<(String, u64)>,
    meters: Vec<String>,
    buckets: HashMap<(i32, Vec<u8>), (f64, u64)>,
    tags: Vec<String>,
    labels: Vec<String>,
    lines: Vec<String>,
    now_ms: u64,
    wall_s: u64,
    random: u64,
}

struct Prefix {
    bits: u128,
    len: u32,
    negated: bool,
}

thread_local! {
    static GATEWAY: RefCell<Gateway> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Gateway) -> R) -> R {
    GATEWAY.with_borrow_mut(f)
}

pub(super) fn install(suite: &Suite) {
    let prefixes = |entries: &[&str]| entries.iter().map(|entry| prefix(entry)).collect();
    let gateway = Gateway {
        interfaces: suite.interfaces.to_vec(),
        tables: suite.tables.iter().map(|(name, entries)| (*name, prefixes(entries))).collect(),
        config: suite.config.to_vec(),
        ..Gateway::default()
    };
    with(|current| *current = gateway);
}

pub(super) fn set_time(at_ms: u64) {
    with(|gateway| gateway.now_ms = at_ms);
}

pub(super) fn set_wall(wall_s: u64) {
    with(|gateway| gateway.wall_s = wall_s);
}

pub(super) fn counted(name: &str) -> u64 {
    with(|gateway| gateway.counters.iter().filter(|(known, _)| known == name).map(|(_, n)| n).sum())
}

pub(super) fn logged() -> Vec<String> {
    with(|gateway| gateway.lines.clone())
}

fn prefix(entry: &str) -> Prefix {
    let (negated, rest) = entry.strip_prefix('!').map_or((false, entry), |rest| (true, rest));
    let (address, len) = rest.split_once('/').unwrap_or((rest, ""));
    let address: IpAddr = address.parse().expect("a suite's table holds addresses");
    let (bits, host, above) = match address {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), 32, 96),
        IpAddr::V6(v6) => (v6.to_bits(), 128, 0),
    };
    let len = if len.is_empty() { host } else { len.parse().expect("a prefix length") };
    Prefix { bits, len: len + above, negated }
}

fn intern(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

pub(crate) fn resolve(kind: ResolveKind, name: &str) -> i32 {
    let index = with(|gateway| match kind {
        ResolveKind::Table => gateway.tables.iter().position(|(known, _)| *known == name),
        ResolveKind::Counter => {
            gateway.counters.push((name.to_owned(), 0));
            Some(gateway.counters.len() - 1)
        }
        ResolveKind::Meter => Some(intern(&mut gateway.meters, name)),
        ResolveKind::Tag => Some(intern(&mut gateway.tags, name) + 1),
        ResolveKind::Label => Some(intern(&mut gateway.labels, name) + 1),
        ResolveKind::Interface => gateway.interfaces.iter().position(|known| *known == name),
    });
    index.and_then(|index| i32::try_from(index).ok()).unwrap_or(-1)
}

fn setting(key: &str, index: i32) -> Option<Value> {
    let index = usize::try_from(index).ok()?;
    with(|gateway| gateway.config.iter().find(|(known, _)| *known == key)?.1.get(index).copied())
}

pub(crate) fn config_int(key: &str, index: i32) -> i64 {
    match setting(key, index) {
        Some(Value::Int(n)) => n,
        Some(Value::Bool(yes)) => i64::from(yes),
        Some(Value::Text(_)) | None => i64::MIN,
    }
}

pub(crate) fn config_str(key: &str, index: i32, out: &mut [u8]) -> i32 {
    let Some(Value::Text(text)) = setting(key, index) else {
        return -1;
    };
    if let Some(place) = out.get_mut(..text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
    i32::try_from(text.len()).unwrap_or(-1)
}

pub(crate) fn table_match(table: i32, address: &[u8; 16]) -> bool {
    let bits = Ipv6Addr::from_octets(*address).to_bits();
    let covers = |p: &&Prefix| p.len == 0 || (p.bits ^ bits) >> (128 - p.len) == 0;
    with(|gateway| {
        let (_, prefixes) = &gateway.tables[usize::try_from(table).expect("a resolved table")];
        prefixes.iter().filter(covers).max_by_key(|p| p.len).is_some_and(|p| !p.negated)
    })
}

pub(crate) fn count(counter: i32, n: u64) {
    with(|gateway| {
        gateway.counters[usize::try_from(counter).expect("a resolved counter")].1 += n;
    });
}

pub(crate) fn meter(meter: i32, key: &[u8], rate_milli: u32, burst: u32) -> bool {
    with(|gateway| {
        let now = gateway.now_ms;
        let full = (f64::from(burst), now);
        let (level, last) = gateway.buckets.entry((meter, key.to_vec())).or_insert(full);
        *level = (*level + (now - *last) as f64 * f64::from(rate_milli) / 1e6).min(full.0);
        *last = now;
        let taken = *level >= 1.0;
        if taken {
            *level -= 1.0;
        }
        taken
    })
}

pub(crate) fn log(level: LogLevel, text: &str) {
    with(|gateway| gateway.lines.push(format!("{}: {text}", level.name())));
}

pub(crate) fn clock(kind: i32) -> i64 {
    with(|gateway| match kind {
        0 => gateway.now_ms.cast_signed() * 1_000_000,
        _ => gateway.wall_s.cast_signed(),
    })
}

pub(crate) fn random() -> i64 {
    with(|gateway| {
        gateway.random = gateway.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        gateway.random.cast_signed()
    })
}
