//! What a decision costs in each language: the five policies of the SDKs, asked about the packets
//! of the conformance corpus, beside the same Rust compiled for this machine.
//!
//! `cargo bench -p evergate-policy --bench languages` prints a table: nanoseconds a packet, the
//! median of batches, with all that the gateway does around the call. Natively only the policy's
//! own code runs, with settings and names as a test's gateway has them.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]
#![allow(dead_code, unreachable_pub, reason = "tests use the rest of these")]

#[path = "../tests/conformance/corpus.rs"]
mod corpus;
#[path = "../tests/conformance/languages.rs"]
mod languages;

#[path = "../../../guest-sdk/rust/examples/port-list.rs"]
mod port_list;
#[path = "../../../guest-sdk/rust/examples/time-of-day.rs"]
mod time_of_day;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use corpus::{Corpus, INTERFACES, Packet, Suite};
use evergate_guest::{Policy, testing};
use evergate_policy::{
    Action, Chain, Compiler, CompilerConfig, Entry, Environment, Payload, Request, Runner,
    SharedChain, Tables, Value,
};
use languages::{LANGUAGES, Language, POLICIES};

/// Packets timed together, and how often.
const BATCH: usize = 512;
const ROUNDS: usize = 400;

/// The packets of a suite, in turn, and their payload if they have any.
fn packets(suite: &Suite) -> Vec<(Request, Option<Vec<u8>>)> {
    let packet = |text: &str| {
        let Packet { request, payload, .. } = Packet::parse(text);
        (request, payload.into_iter().next_back().map(|shown| shown.bytes))
    };
    let packets = suite.cases.iter().map(|(text, ..)| packet(text)).cycle();
    packets.take(BATCH).collect()
}

/// The median of what a packet costs, in nanoseconds.
fn median(mut batch: impl FnMut(u64)) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS as u64)
        .map(|round| {
            let begun = Instant::now();
            batch(round);
            begun.elapsed().as_nanos() as f64 / BATCH as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn environment(tables: &BTreeMap<String, Vec<String>>) -> Arc<Environment> {
    let interfaces = INTERFACES.map(str::to_owned).to_vec();
    let environment = Environment::new(Arc::new(Tables::default()), interfaces, 1);
    for (name, entries) in tables {
        environment.tables.create(name).unwrap();
        let entries: Vec<Entry> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        environment.tables.add(name, &entries).unwrap();
    }
    Arc::new(environment)
}

fn wasm(compiler: &Compiler, language: &Language, policy: &str, suite: &Suite) -> f64 {
    let environment = environment(&suite.tables);
    let settings = language.settings(policy, &suite.settings);
    let module = language.module(policy);
    let policy =
        compiler.load(policy, &module, language.limits(), &settings, &environment).unwrap();
    let chain = Chain::new(vec![policy]).unwrap();
    let mut runner = Runner::new(Arc::new(SharedChain::new(chain)));
    let packets = packets(suite);
    median(|round| {
        let now_ns = round * 1_000_000;
        for (request, payload) in &packets {
            let mut request = *request;
            let mut decision = runner.decide(now_ns, 0, &mut request);
            if let (Action::Inspect { .. }, Some(bytes)) = (decision.action, payload) {
                let payload = Payload { bytes, end: true };
                decision = runner.inspect(now_ns, 0, &mut request, 0, payload);
            }
            black_box(decision);
        }
    })
}

fn native<P: Policy>(suite: &Suite) -> f64 {
    let value = |value: &Value| match value {
        Value::Int(n) => testing::Value::Int(*n),
        Value::Text(text) => testing::Value::Text(text.clone().leak()),
        Value::Bool(yes) => testing::Value::Bool(*yes),
    };
    let config: Vec<(&'static str, &'static [testing::Value])> = suite
        .settings
        .iter()
        .map(|(name, values)| {
            let values: Vec<testing::Value> = values.iter().map(value).collect();
            (&*name.to_owned().leak(), &*values.leak())
        })
        .collect();
    let gateway = testing::Suite {
        name: "native",
        interfaces: &INTERFACES,
        tables: &[],
        config: config.leak(),
        cases: Vec::new(),
    };
    let mut policy = testing::start::<P>(&gateway).unwrap_or_else(|e| panic!("{}", e.text()));
    let packets = packets(suite);
    median(|_| {
        for (request, _) in &packets {
            let bytes = request.encode();
            let _ = black_box(policy.decide(&evergate_guest::Packet::new(&bytes)));
        }
    })
}

fn main() {
    // `cargo test --benches` only wants to see that it builds and starts.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let compiler = Compiler::new(CompilerConfig::default()).unwrap();
    print!("| policy | native Rust |");
    LANGUAGES.iter().for_each(|language| print!(" {} |", language.name));
    println!("\n| --- | ---: |{}", " ---: |".repeat(LANGUAGES.len()));
    for (name, text) in POLICIES {
        let corpus = Corpus::parse(text);
        let suite = &corpus.suites[0];
        // The others call the gateway, which natively is a test's.
        let native = match name {
            "port-list" => format!("{:.0}", native::<port_list::PortList>(suite)),
            "time-of-day" => format!("{:.0}", native::<time_of_day::TimeOfDay>(suite)),
            _ => "-".to_owned(),
        };
        print!("| {name} | {native} |");
        for language in &LANGUAGES {
            print!(" {:.0} |", wasm(&compiler, language, name, suite));
        }
        println!();
    }
}
