//! What a decision costs: writing the request, the call, reading the verdict.
//!
//! `cargo bench -p evergate-policy`. Each policy is asked about 4096 packets in turn, so branches
//! are not learnt by heart; the figures are per packet.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evergate_guest::testing;
use evergate_home::Home;
use evergate_policy::{
    Chain, Compiler, CompilerConfig, Environment, Limits, Params, Request, Runner, SharedChain,
    Tables, Value,
};

const PACKETS: usize = 4096;
const RULES: usize = 20;

/// One rule of the filter that is written in both languages.
struct Rule {
    proto: u8,
    net: u32,
    mask: u32,
    first: u16,
    last: u16,
    action: i64,
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn rules() -> Vec<Rule> {
    let mut random = Random(1);
    (0..RULES)
        .map(|_| {
            let bits = 8 + u32::try_from(random.next(17)).unwrap();
            let mask = u32::MAX << (32 - bits);
            let first = u16::try_from(random.next(60_000)).unwrap();
            Rule {
                proto: if random.next(2) == 0 { 6 } else { 17 },
                net: 0x0a00_0000 | u32::try_from(random.next(1 << 24)).unwrap() & mask,
                mask,
                first,
                last: first + u16::try_from(random.next(2000)).unwrap(),
                action: 1 + i64::try_from(random.next(2)).unwrap(),
            }
        })
        .collect()
}

/// Most packets are aimed at a rule chosen at random: a list is walked half through.
fn packets(rules: &[Rule]) -> Vec<Request> {
    let mut random = Random(2);
    (0..PACKETS)
        .map(|_| {
            let rule = &rules[usize::try_from(random.next(RULES as u64)).unwrap()];
            let host = u32::try_from(random.next(1 << 24)).unwrap();
            let (net, mask) = if random.next(100) < 85 { (rule.net, rule.mask) } else { (0, 0) };
            let mut dst = [0; 16];
            dst[10..12].fill(0xff);
            dst[12..].copy_from_slice(&(net & mask | host & !mask).to_be_bytes());
            let span = u64::from(rule.last - rule.first) + 1;
            Request {
                proto: rule.proto,
                dst,
                dport: rule.first + u16::try_from(random.next(span)).unwrap(),
                in_if: 1 + u16::try_from(random.next(2)).unwrap(),
                ..Request::default()
            }
        })
        .collect()
}

fn native(rules: &[Rule], request: &Request) -> i64 {
    let dst =
        u32::from_be_bytes([request.dst[12], request.dst[13], request.dst[14], request.dst[15]]);
    for (index, rule) in rules.iter().enumerate() {
        if request.proto == rule.proto
            && (dst ^ rule.net) & rule.mask == 0
            && (rule.first..=rule.last).contains(&request.dport)
        {
            return rule.action | i64::try_from(index).unwrap() << 16;
        }
    }
    2
}

fn wasm(rules: &[Rule]) -> String {
    let tests: String = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            // The address is big-endian in memory; the constants are turned instead.
            let (net, mask) = (rule.net.swap_bytes(), rule.mask.swap_bytes());
            format!(
                "(if (i32.and (i32.and (i32.eq (local.get $proto) (i32.const {proto}))
                    (i32.eqz (i32.and (i32.xor (local.get $dst) (i32.const {net})) (i32.const {mask}))))
                    (i32.le_u (i32.sub (local.get $port) (i32.const {first})) (i32.const {span})))
                   (then (return (i64.const {word}))))",
                proto = rule.proto,
                net = net.cast_signed(),
                mask = mask.cast_signed(),
                first = rule.first,
                span = rule.last - rule.first,
                word = rule.action | i64::try_from(index).unwrap() << 16,
            )
        })
        .collect();
    guest(&format!(
        "(local $proto i32) (local $dst i32) (local $port i32)
         (local.set $proto (i32.load8_u (i32.const 3)))
         (local.set $dst (i32.load (i32.const 36)))
         (local.set $port (i32.load16_u (i32.const 42)))
         {tests} (i64.const 2)"
    ))
}

fn guest(decide: &str) -> String {
    format!(
        "(module (memory (export \"memory\") 1)
           (func (export \"evergate_abi_v1\") (result i32) (i32.const 0))
           (func (export \"decide\") (param i32) (result i64) {decide}))"
    )
}

struct Bench {
    compiler: Compiler,
    environment: Arc<Environment>,
}

impl Bench {
    fn new() -> Self {
        let interfaces = ["self", "lan", "wan"].map(str::to_owned).to_vec();
        Self {
            compiler: Compiler::new(CompilerConfig::default()).unwrap(),
            environment: Arc::new(Environment::new(Arc::new(Tables::default()), interfaces, 1)),
        }
    }

    fn runner(&self, module: &[u8], params: &Params) -> Runner {
        let limits = Limits::default();
        let policy =
            self.compiler.load("bench", module, limits, params, &self.environment).unwrap();
        Runner::new(Arc::new(SharedChain::new(Chain::new(vec![policy]).unwrap())))
    }
}

fn ask_all(runner: &mut Runner, packets: &mut [Request]) -> u32 {
    packets.iter_mut().fold(0, |sum, request| {
        sum.wrapping_add(u32::from(runner.decide(0, 0, black_box(request)).rule))
    })
}

fn decisions(c: &mut Criterion) {
    let bench = Bench::new();
    let _ticker = bench.compiler.start_ticker().unwrap();
    let rules = rules();
    let mut packets = packets(&rules);
    let mut group = c.benchmark_group("decide");
    group.throughput(Throughput::Elements(PACKETS as u64));

    group.bench_function("20 rules, native", |b| {
        b.iter(|| {
            let sum = |sum: i64, request| sum.wrapping_add(native(&rules, black_box(request)));
            packets.iter().fold(0, sum)
        });
    });
    let mut trivial = bench.runner(guest("(i64.const 1)").as_bytes(), &Params::new());
    group.bench_function("trivial", |b| b.iter(|| ask_all(&mut trivial, &mut packets)));

    let mut twenty = bench.runner(wasm(&rules).as_bytes(), &Params::new());
    for request in &mut packets {
        let decision = twenty.decide(0, 0, request);
        assert_eq!(i64::from(decision.rule), native(&rules, request) >> 16);
    }
    group.bench_function("20 rules", |b| b.iter(|| ask_all(&mut twenty, &mut packets)));

    let mut params = Params::new();
    params
        .insert("tcp_in", vec![22.into(), 80.into(), 443.into(), Value::from("6000-6010")])
        .unwrap();
    let home_wasm = include_bytes!("../../../policies/home/home.wasm");
    let mut home = bench.runner(home_wasm, &params);
    group.bench_function("home", |b| b.iter(|| ask_all(&mut home, &mut packets)));

    let suite = testing::Suite {
        name: "bench",
        interfaces: &["self", "lan", "wan"],
        tables: &[],
        config: &[(
            "tcp_in",
            &[testing::Value::Int(22), testing::Value::Int(80), testing::Value::Int(443)],
        )],
        cases: vec![],
    };
    let mut native_home = testing::start::<Home>(&suite).ok().unwrap();
    group.bench_function("home, native", |b| {
        b.iter(|| {
            packets.iter().fold(0u32, |sum, request| {
                let verdict = testing::decide(&mut native_home, 0, black_box(request));
                sum.wrapping_add(u32::from(verdict.into_abi().rule))
            })
        });
    });
    group.finish();
}

fn failures(c: &mut Criterion) {
    let bench = Bench::new();
    let mut runner = bench.runner(guest("(unreachable)").as_bytes(), &Params::new());
    let mut request = Request::default();
    let mut now = 0;
    c.bench_function("trap and fresh instance", |b| {
        b.iter(|| {
            now += 20_000_000;
            runner.decide(now, 0, black_box(&mut request))
        });
    });
    c.bench_function("held off", |b| b.iter(|| runner.decide(0, 0, black_box(&mut request))));
    let mut runner =
        bench.runner(guest("(loop $l (br $l)) (i64.const 1)").as_bytes(), &Params::new());
    c.bench_function("endless loop until its fuel ends", |b| {
        b.iter(|| {
            now += 20_000_000;
            runner.decide(now, 0, black_box(&mut request))
        });
    });
}

fn loads(c: &mut Criterion) {
    let home = include_bytes!("../../../policies/home/home.wasm");
    c.bench_function("compile and start home", |b| {
        b.iter(|| Bench::new().runner(home, &Params::new()));
    });
    let many = format!(
        "(module {} {}",
        "(func (result i32) (i32.const 1))".repeat(8_000),
        guest("(i64.const 1)").trim_start_matches("(module")
    );
    c.bench_function("compile 8000 functions", |b| {
        b.iter(|| Bench::new().runner(many.as_bytes(), &Params::new()));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decisions, failures, loads
}
criterion_main!(benches);
