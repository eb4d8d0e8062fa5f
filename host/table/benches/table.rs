//! Hits, misses, inserts, sweeps and memory of tables of up to a million states.
//!
//! `cargo bench -p evergate-table`; a name after `--` chooses criterion's benches.
//! Before them come figures that criterion cannot give: `memory`, `holds`, and as
//! `floor` the fastest and the median of many short runs, which a busy machine
//! disturbs less than averages over seconds.
#![allow(missing_docs, reason = "criterion's macros define undocumented functions")]

use std::fs;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evergate_state::{Side, State, StateId, StateKey, StateOptions, Track, key_of};
use evergate_table::{Cursor, Table, TableConfig};
use evergate_wire::{Af, IpOptions, L4, Parsed, Tcp, TcpFlags, Timestamp, protocol};

const MILLION: u32 = 1_000_000;
const SIZES: [u32; 3] = [1_000, 100_000, MILLION];

/// An ACK of the `number`th of many connections to one server, or its SYN.
fn packet(number: u32, flags: TcpFlags) -> Parsed {
    Parsed {
        af: Af::V4,
        proto: protocol::TCP,
        src: Ipv4Addr::from(0x0a00_0000 + number / 50_000).into(),
        dst: Ipv4Addr::new(192, 0, 2, 1).into(),
        ttl: 64,
        tos: 0,
        l4_offset: 20,
        total_len: 40,
        fragment: None,
        options: IpOptions::None,
        l4: L4::Tcp(Tcp {
            sport: (1024 + number % 50_000) as u16,
            dport: 443,
            seq: number,
            ack: 0,
            flags,
            window: 65_535,
            data_offset: 20,
            data_len: 0,
            wscale: None,
            mss: None,
        }),
    }
}

fn key(number: u32) -> (StateKey, Side) {
    key_of(&packet(number, TcpFlags::ACK)).expect("TCP has a key")
}

fn state(number: u32) -> State {
    let syn = packet(number, TcpFlags::SYN);
    let (key, side) = key(number);
    let id = StateId { id: number.into(), creator: 1 };
    State::create(id, Timestamp::ZERO, key, side, &syn, StateOptions::default())
        .expect("a SYN begins a state")
}

fn empty() -> Table {
    Table::new(TableConfig::new(0x1234_5678_9abc_def0, u64::MAX))
}

fn table(states: u32) -> Table {
    let table = empty();
    for number in 0..states {
        table.insert(state(number)).expect("the keys differ");
    }
    table
}

/// Numbers below `bound` in an order that no prefetcher follows.
struct Shuffle(u64, u32);

impl Shuffle {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32 % self.1
    }
}

/// What a packet does: finds its state and is tracked.
fn track(table: &Table, number: u32) -> Option<Track> {
    let packet = packet(number, TcpFlags::ACK);
    let (key, side) = key_of(&packet)?;
    table.hit(&key, |state| state.track(Timestamp::from_nanos(1), side, &packet))
}

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    for states in SIZES {
        let table = table(states);
        let mut order = Shuffle(88_172_645_463_325_252, states);
        group.bench_function(BenchmarkId::new("hit", states), |b| {
            b.iter(|| table.hit(&key(order.next()).0, |state| black_box(state.last_seen())));
        });
        group.bench_function(BenchmarkId::new("hit+track", states), |b| {
            b.iter(|| track(&table, order.next()));
        });
        group.bench_function(BenchmarkId::new("miss", states), |b| {
            b.iter(|| table.hit(&key(order.next() + 2 * MILLION).0, |_| ()));
        });
        group.bench_function(BenchmarkId::new("hit+track, 2 threads", states), |b| {
            b.iter_custom(|iterations| two_threads(&table, states, iterations, None));
        });
        group.bench_function(BenchmarkId::new("hit+track, 2 threads on 1 state", states), |b| {
            b.iter_custom(|iterations| two_threads(&table, states, iterations, Some(5)));
        });
    }
    group.finish();
}

/// The time in which each of two threads does `iterations` hits.
fn two_threads(table: &Table, states: u32, iterations: u64, only: Option<u32>) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for seed in [88_172_645_463_325_252, 0x9e37_79b9_7f4a_7c15] {
            scope.spawn(move || {
                let mut order = Shuffle(seed, states);
                for _ in 0..iterations {
                    let number = order.next();
                    black_box(track(table, only.unwrap_or(number)));
                }
            });
        }
    });
    start.elapsed()
}

fn changes(c: &mut Criterion) {
    let mut group = c.benchmark_group("change");
    for states in SIZES {
        let table = table(states);
        let mut order = Shuffle(88_172_645_463_325_252, states);
        group.bench_function(BenchmarkId::new("remove+insert", states), |b| {
            b.iter_batched(
                || state(order.next()),
                |state| table.remove(state.key()) && table.insert(state).is_ok(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn sweeps(c: &mut Criterion) {
    let mut group = c.benchmark_group("sweep");
    group.sample_size(10).throughput(Throughput::Elements(MILLION.into()));
    let table = table(MILLION);
    group.bench_function("nothing dead of a million", |b| {
        b.iter(|| sweep(&table, 64, &|state| state.last_seen() > Timestamp::from_nanos(9)));
    });
    group.finish();
}

/// Sweeps all in steps of `shards`; tells how many died.
fn sweep(table: &Table, shards: usize, dead: &dyn Fn(&State) -> bool) -> u64 {
    let (mut gone, mut next) = (0, Some(Cursor::START));
    while let Some(cursor) = next {
        next = table.sweep(cursor, shards, dead, &mut |_| gone += 1);
    }
    gone
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Prints what a million states weigh. Must run before anything else has left
/// free memory behind.
fn memory(_: &mut Criterion) {
    let before = resident_kib();
    let start = Instant::now();
    let table = table(MILLION);
    let built = start.elapsed();
    let after = resident_kib();
    println!(
        "memory: {} states in {} MB, {} B each; the process {} MB; built in {built:?}",
        table.len(),
        (after - before) / 1024,
        (after - before) * 1024 / table.len(),
        after / 1024,
    );
    holds(&table);
}

/// Prints how long packets wait while every second state of a million is purged:
/// the longest hit and insert beside the sweep, which cover the longest hold of a
/// lock, and the same without a sweep, for what the machine itself adds.
fn holds(table: &Table) {
    for sweeping in [false, true, false] {
        let (mut hits, mut inserts) = (Vec::new(), Vec::new());
        let mut swept = None;
        thread::scope(|scope| {
            let sweeper = scope.spawn(|| {
                let start = Instant::now();
                if sweeping {
                    let gone = sweep(table, 64, &|state| {
                        state.id().id < u64::from(MILLION) && state.id().id % 2 == 1
                    });
                    return Some((gone, start.elapsed()));
                }
                thread::sleep(Duration::from_millis(400));
                None
            });
            let mut order = Shuffle(88_172_645_463_325_252, MILLION / 2);
            let mut number = 2 * MILLION;
            while !sweeper.is_finished() {
                let start = Instant::now();
                black_box(track(table, order.next() * 2));
                hits.push(start.elapsed());
                let state = state(number);
                let start = Instant::now();
                table.insert(state).ok();
                inserts.push(start.elapsed());
                number += 1;
            }
            (2 * MILLION..number).for_each(|number| assert!(table.remove(&key(number).0)));
            swept = sweeper.join().ok().flatten();
        });
        report(if sweeping { "beside a sweep" } else { "alone" }, "hit", &mut hits);
        report(if sweeping { "beside a sweep" } else { "alone" }, "insert", &mut inserts);
        if let Some((gone, took)) = swept {
            println!("holds: the sweep removed {gone} of a million states in {took:?}");
        }
    }
}

/// Prints the fastest and the median of runs of a thousand lookups.
fn floors(_: &mut Criterion) {
    const RUN: u32 = 1_000;
    for states in SIZES {
        let table = table(states);
        let mut order = Shuffle(88_172_645_463_325_252, states);
        let mut run = |what: &str,
                       lookup: &dyn Fn(&Parsed, &StateKey, Side) -> bool,
                       offset: u32| {
            let mut times = Vec::new();
            for _ in 0..500 {
                let numbers = (0..RUN).map(|_| packet(order.next() + offset, TcpFlags::ACK));
                let packets: Vec<_> = numbers.filter_map(|p| Some((p, key_of(&p)?))).collect();
                let start = Instant::now();
                let found = packets.iter().filter(|(p, (key, side))| lookup(p, key, *side)).count();
                times.push(start.elapsed() / RUN);
                assert_eq!(found, if offset == 0 { RUN as usize } else { 0 });
            }
            times.sort_unstable();
            println!("floor: {what} of {states}: min {:?}, median {:?}", times[0], times[250]);
        };
        let hit = |_: &Parsed, key: &StateKey, _| {
            table.hit(key, |state| black_box(state.last_seen())).is_some()
        };
        let tracked = |packet: &Parsed, key: &StateKey, side| {
            let now = Timestamp::from_nanos(1);
            table.hit(key, |state| state.track(now, side, packet)) == Some(Track::Pass)
        };
        run("hit", &hit, 0);
        run("hit and track", &tracked, 0);
        run("miss", &hit, 2 * MILLION);
    }
}

fn report(when: &str, what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    println!(
        "holds: {what} {when}: median {:?}, 99.9 % {:?}, longest {:?} of {}",
        at(500),
        at(999),
        at(1_000),
        times.len(),
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = memory, floors, lookups, changes, sweeps
}
criterion_main!(benches);
