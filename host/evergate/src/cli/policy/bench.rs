//! `evergate policy bench`: what a decision of a module costs on this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use evergate_abi::Request;
use evergate_policy::{Action, Chain, Environment, Payload, Policy, Runner, SharedChain};
use serde_json::json;

use super::cases::{self, Packet, Suite};
use super::module::{self, ModuleArgs};
use crate::render::Grid;

/// Calls timed together: the clock's own cost is spread over them.
const BATCH: u64 = 64;
/// What is asked about where no file says.
const PACKETS: [&str; 6] = [
    "tcp 10.0.0.5:40000 192.0.2.1:443",
    "tcp [fd00::5]:40000 [2001:db8::1]:22",
    "udp 10.0.0.5:40000 192.0.2.1:53",
    "udp 192.0.2.1:40000 10.0.0.1:6000 in=wan dir=to",
    "icmp 10.0.0.5 192.0.2.1 type=8",
    "icmp6 fd00::5 2001:db8::1 type=128",
];

/// What was measured, in nanoseconds a call.
struct Figures {
    suite: String,
    calls: u64,
    least: f64,
    median: f64,
    p99: f64,
    mean: f64,
    failed: u64,
}

/// Measures each suite of a file, or some common packets.
pub(super) fn run(
    args: &ModuleArgs,
    file: Option<&Path>,
    calls: u64,
    as_json: bool,
) -> anyhow::Result<()> {
    let bytes = args.bytes()?;
    let compiler = module::compiler()?;
    let _ticker = compiler.start_ticker()?;
    let mut all = Vec::new();
    for suite in suites(file)? {
        let environment = module::environment(&suite.tables)?;
        let mut params = suite.settings.clone();
        for (name, values) in args.settings()?.iter() {
            params.insert(name, values.to_vec())?;
        }
        let policy = module::load(args, &compiler, &bytes, &params, &environment)?;
        let packets: anyhow::Result<Vec<Packet>> =
            suite.cases.iter().map(|(text, ..)| cases::packet(text)).collect();
        all.push(measure(&suite.name, &policy, &environment, &packets?, calls));
    }
    if as_json {
        for one in &all {
            println!("{}", value(one));
        }
        return Ok(());
    }
    if cfg!(debug_assertions) {
        println!("This is a debug build: the gateway's part is slower than it will be.");
    }
    let mut grid = Grid::new(&["suite", ">calls", ">least", ">median", ">p99", ">mean", "ns"]);
    for one in &all {
        let ns = |n: f64| format!("{n:.0}");
        let failed = if one.failed > 0 { format!("{} failed", one.failed) } else { String::new() };
        let times = [ns(one.least), ns(one.median), ns(one.p99), ns(one.mean)];
        let mut row = vec![one.suite.clone(), one.calls.to_string()];
        row.extend(times);
        row.push(failed);
        grid.row(row);
    }
    print!("{}", grid.render());
    Ok(())
}

fn value(one: &Figures) -> serde_json::Value {
    json!({
        "suite": one.suite, "calls": one.calls, "least_ns": one.least, "median_ns": one.median,
        "p99_ns": one.p99, "mean_ns": one.mean, "failed": one.failed,
    })
}

fn suites(file: Option<&Path>) -> anyhow::Result<Vec<Suite>> {
    if let Some(file) = file {
        let place = || file.display().to_string();
        let text = std::fs::read_to_string(file).with_context(place)?;
        return Ok(cases::parse(&text).with_context(place)?.suites);
    }
    let case = |packet: &&str| ((*packet).to_owned(), String::new(), String::new());
    Ok(vec![Suite {
        name: "common packets".to_owned(),
        settings: Default::default(),
        tables: Default::default(),
        cases: PACKETS.iter().map(case).collect(),
        counters: Default::default(),
    }])
}

fn measure(
    suite: &str,
    policy: &Arc<Policy>,
    environment: &Arc<Environment>,
    packets: &[Packet],
    calls: u64,
) -> Figures {
    let chain = Chain::new(vec![Arc::clone(policy)]).unwrap_or_default();
    let mut runner = Runner::new(Arc::new(SharedChain::new(chain)));
    let requests: Vec<(Request, &Packet)> = packets
        .iter()
        .map(|packet| {
            let tag = packet.tag.as_deref().and_then(|tag| environment.tags.intern(tag));
            (Request { tag: tag.unwrap_or(0), ..packet.request }, packet)
        })
        .collect();
    let mut times: Vec<f64> = Vec::new();
    let (mut failed, mut now_ns) = (0, 1_000_000_000);
    let mut next = requests.iter().cycle();
    // The first batch makes the instance.
    for _ in 0..=calls.div_ceil(BATCH) {
        let begun = Instant::now();
        for (request, packet) in next.by_ref().take(BATCH as usize) {
            let mut request = *request;
            let mut decision = runner.decide(now_ns, 0, &mut request);
            if let (Action::Inspect { .. }, Some(shown)) = (decision.action, packet.payload.last())
            {
                let payload = Payload { bytes: &shown.bytes, end: shown.end };
                decision = runner.inspect(now_ns, 0, &mut request, decision.policy, payload);
            }
            failed += u64::from(decision.action == Action::Failed);
        }
        times.push(begun.elapsed().as_nanos() as f64 / BATCH as f64);
        now_ns += 1_000_000;
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    Figures {
        suite: suite.to_owned(),
        calls: times.len() as u64 * BATCH,
        least: times.first().copied().unwrap_or_default(),
        median: at(0.5).unwrap_or_default(),
        p99: at(0.99).unwrap_or_default(),
        mean: times.iter().sum::<f64>() / times.len().max(1) as f64,
        failed,
    }
}
