//! What a decision by compiled rules costs, and what compiling them costs.
//!
//! `cargo bench -p evergate-rules`. Each set is asked about 4096 packets in turn, so branches are
//! not learnt by heart; the figures are per packet. `native` is the kernel as Rust on the same
//! image, `hand-written` a loop over structs that knows just these rules.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evergate_policy::{
    Chain, Compiler, CompilerConfig, Environment, Limits, Params, Request, Runner, SharedChain,
    Tables,
};
use evergate_rules::{CompiledRules, NoFiles, Options, compile};
use evergate_rules_kernel::{Facts, Host, decide, resolve_names};

const PACKETS: usize = 4096;
const INTERFACES: [&str; 3] = ["self", "lan", "wan"];

struct Random(u64);

impl Random {
    fn next(&mut self, below: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(below)).unwrap()
    }
}

/// What the hand-written loop knows of a rule.
#[derive(Clone, Copy)]
struct Rule {
    proto: u8,
    net: u32,
    mask: u32,
    port: u16,
    pass: bool,
}

fn rules(count: usize) -> Vec<Rule> {
    let mut random = Random(1);
    (0..count)
        .map(|_| {
            let mask = u32::MAX << (32 - (16 + random.next(17)));
            Rule {
                proto: if random.next(2) == 0 { 6 } else { 17 },
                net: (0x0a00_0000 | random.next(1 << 24)) & mask,
                mask,
                port: u16::try_from(1 + random.next(1024)).unwrap(),
                pass: random.next(4) != 0,
            }
        })
        .collect()
}

/// `pass in` for all, one rule a line; what leaves passes.
fn text(rules: &[Rule]) -> String {
    let mut text = "block in all\npass out all\n".to_owned();
    for rule in rules {
        let action = if rule.pass { "pass" } else { "block" };
        let proto = if rule.proto == 6 { "tcp" } else { "udp" };
        let net = std::net::Ipv4Addr::from_bits(rule.net);
        let (len, port) = (rule.mask.count_ones(), rule.port);
        writeln!(text, "{action} in proto {proto} to {net}/{len} port {port}").unwrap();
    }
    text
}

fn packets(rules: &[Rule]) -> Vec<Request> {
    let mut random = Random(2);
    (0..PACKETS)
        .map(|_| {
            let rule = rules[random.next(u32::try_from(rules.len()).unwrap()) as usize];
            let host = random.next(1 << 24);
            let hit = random.next(100) < 80;
            let dst = if hit { rule.net | host & !rule.mask } else { 0x0a00_0000 | host };
            Request {
                proto: rule.proto,
                tcp_flags: if rule.proto == 6 { 2 } else { 0 },
                src: std::net::Ipv4Addr::from_bits(0xc0a8_0000 | random.next(65_536))
                    .to_ipv6_mapped()
                    .octets(),
                dst: std::net::Ipv4Addr::from_bits(dst).to_ipv6_mapped().octets(),
                sport: 40_000,
                dport: rule.port,
                in_if: 1,
                out_if: 2,
                ..Request::default()
            }
        })
        .collect()
}

fn hand_written(rules: &[Rule], request: &Request) -> bool {
    let dst = u32::from_be_bytes(request.dst[12..].try_into().unwrap());
    let mut pass = false;
    for rule in rules {
        let matches = rule.proto == request.proto
            && dst & rule.mask == rule.net
            && rule.port == request.dport
            && (request.proto != 6 || !rule.pass || request.tcp_flags & 18 == 2);
        if matches {
            pass = rule.pass;
        }
    }
    pass
}

struct NoHost;

impl Host for NoHost {
    fn table(&mut self, _: u32, _: bool) -> bool {
        false
    }
    fn random(&mut self) -> u64 {
        0
    }
}

fn compiled(text: &str) -> CompiledRules {
    compile("rules", text, &Options::default(), &NoFiles).unwrap_or_else(|d| panic!("{}", d[0]))
}

fn decisions(c: &mut Criterion) {
    let compiler = Compiler::new(CompilerConfig::default()).unwrap();
    for count in [20, 200, 1_000, 10_000] {
        let list = rules(count);
        let compiled = compiled(&text(&list));
        println!(
            "{count} rules: {} bytes of wasm, {} of memory, {} nodes, longest leaf {}, fuel {}",
            compiled.wasm.len(),
            compiled.memory,
            compiled.nodes,
            compiled.longest,
            compiled.fuel
        );
        let interfaces = INTERFACES.map(str::to_owned).to_vec();
        let environment = Arc::new(Environment::new(Arc::new(Tables::default()), interfaces, 1));
        let policy = compiler
            .load("rules", &compiled.wasm, Limits::default(), &Params::new(), &environment)
            .unwrap();
        let chain = SharedChain::new(Chain::new(vec![policy]).unwrap());
        let mut runner = Runner::new(Arc::new(chain));
        let packets = packets(&list);
        let mut image = compiled.image().to_vec();
        resolve_names(&mut image, |_, name| {
            INTERFACES.iter().position(|n| n.as_bytes() == name).map_or(0, |n| n as i32)
        })
        .unwrap();
        let mut group = c.benchmark_group(format!("{count}-rules"));
        group.throughput(Throughput::Elements(1));
        let mut at = 0;
        let mut next = move || {
            at = (at + 1) % PACKETS;
            at
        };
        group.bench_function("wasm", |b| {
            b.iter(|| runner.decide(0, 0, &mut packets[next()].clone()));
        });
        group.bench_function("native", |b| {
            b.iter(|| decide(&image, &Facts::read(&packets[next()].encode()), &mut NoHost));
        });
        group.bench_function("hand-written", |b| {
            b.iter(|| hand_written(black_box(&list), &packets[next()]));
        });
        group.finish();
    }
}

fn compiling(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for count in [20, 10_000] {
        let text = text(&rules(count));
        group.bench_function(format!("{count}-rules"), |b| b.iter(|| compiled(black_box(&text))));
        let wasm = compiled(&text).wasm;
        group.bench_function(format!("{count}-rules-load"), |b| {
            b.iter(|| {
                // A compiler of its own: it keeps what it has compiled.
                let compiler = Compiler::new(CompilerConfig::default()).unwrap();
                let interfaces = INTERFACES.map(str::to_owned).to_vec();
                let tables = Arc::new(Tables::default());
                let environment = Arc::new(Environment::new(tables, interfaces, 1));
                compiler
                    .load("rules", &wasm, Limits::default(), &Params::new(), &environment)
                    .unwrap()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots();
    targets = decisions, compiling
}
criterion_main!(benches);
