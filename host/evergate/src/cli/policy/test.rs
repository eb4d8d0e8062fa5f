//! `evergate policy test`: a table of packets, without a gateway or a network.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use evergate_abi::{Keep, Request};
use evergate_policy::{
    Action, Chain, Compiler, Decision, Environment, Names, Payload, Policy, Runner, SharedChain,
};
use serde_json::json;

use super::cases::{self, Packet, Shown, Suite};
use super::module::{self, ModuleArgs};

/// What one case came to.
struct Outcome {
    suite: String,
    claim: String,
    packet: String,
    expected: String,
    found: String,
}

/// Runs all suites; exit code 1 if a claim does not hold.
pub(super) fn run(args: &ModuleArgs, file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let place = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(place)?;
    let table = cases::parse(&text).with_context(place)?;
    let bytes = args.bytes()?;
    let compiler = module::compiler()?;
    let _ticker = compiler.start_ticker()?;
    let (mut good, mut bad) = (0, Vec::new());
    for suite in &table.suites {
        for outcome in run_suite(args, &compiler, &bytes, suite).with_context(place)? {
            let holds = outcome.expected == outcome.found;
            if as_json {
                println!("{}", value(&outcome, holds));
            }
            if holds {
                good += 1;
            } else {
                bad.push(outcome);
            }
        }
    }
    anyhow::ensure!(good + bad.len() > 0, "{}: no case in it", place());
    if !as_json {
        for outcome in &bad {
            println!("{}: {}", outcome.suite, outcome.claim);
            println!("  packet    {}", outcome.packet);
            println!("  expected  {}", outcome.expected);
            println!("  found     {}", outcome.found);
        }
        println!("{good} of {} claims hold", good + bad.len());
    }
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn value(outcome: &Outcome, holds: bool) -> serde_json::Value {
    json!({
        "suite": outcome.suite, "claim": outcome.claim, "packet": outcome.packet,
        "expected": outcome.expected, "found": outcome.found, "holds": holds,
    })
}

fn run_suite(
    args: &ModuleArgs,
    compiler: &Compiler,
    bytes: &[u8],
    suite: &Suite,
) -> anyhow::Result<Vec<Outcome>> {
    let environment = module::environment(&suite.tables)?;
    let mut params = suite.settings.clone();
    for (name, values) in args.settings()?.iter() {
        params.insert(name, values.to_vec())?;
    }
    let policy = module::load(args, compiler, bytes, &params, &environment)
        .with_context(|| format!("suite {}", suite.name))?;
    let chain = Chain::new(vec![Arc::clone(&policy)])?;
    let mut runner = Runner::new(Arc::new(SharedChain::new(chain)));
    let (mut at_ms, mut wall_s) = (0, 0);
    let mut outcomes = Vec::new();
    for (text, expected, claim) in &suite.cases {
        let packet = cases::packet(text).with_context(|| format!("{}: {claim}", suite.name))?;
        at_ms = packet.at_ms.unwrap_or(at_ms);
        wall_s = packet.wall_s.unwrap_or(wall_s);
        let decision = decide(&mut runner, &environment, &packet, (at_ms * 1_000_000, wall_s));
        outcomes.push(Outcome {
            suite: suite.name.clone(),
            claim: claim.clone(),
            packet: text.clone(),
            expected: sorted(expected),
            found: found(&decision, &environment, &policy),
        });
    }
    for (counter, expected) in &suite.counters {
        let value = environment.counters.value(&format!("{}/{counter}", policy.name()));
        outcomes.push(Outcome {
            suite: suite.name.clone(),
            claim: format!("counter {counter}"),
            packet: "all".to_owned(),
            expected: expected.to_string(),
            found: value.map_or_else(|| "no such counter".to_owned(), |n| n.to_string()),
        });
    }
    Ok(outcomes)
}

/// Asks the policy, and shows it the payload if it wants to see it and there is any.
fn decide(
    runner: &mut Runner,
    environment: &Environment,
    packet: &Packet,
    (now_ns, wall_s): (u64, u64),
) -> Decision {
    let tag = packet.tag.as_deref().and_then(|tag| environment.tags.intern(tag)).unwrap_or(0);
    let mut request = Request { tag, ..packet.request };
    let mut decision = runner.decide(now_ns, wall_s, &mut request);
    for Shown { bytes, end } in &packet.payload {
        if !matches!(decision.action, Action::Inspect { .. }) {
            break;
        }
        let payload = Payload { bytes, end: *end };
        decision = runner.inspect(now_ns, wall_s, &mut request, decision.policy, payload);
    }
    decision
}

/// A decision in the words of a table.
fn found(decision: &Decision, environment: &Environment, policy: &Policy) -> String {
    let action = match decision.action {
        Action::Default => "continue".to_owned(),
        Action::Pass => "pass".to_owned(),
        Action::Block => "block".to_owned(),
        Action::ReturnRst => "rst".to_owned(),
        Action::ReturnIcmp { code: None } => "icmp".to_owned(),
        Action::ReturnIcmp { code: Some(code) } => format!("icmp={code}"),
        Action::Inspect { .. } => "inspect".to_owned(),
        Action::Failed => {
            let why = policy.stats().last_failure.map(|failure| failure.to_string());
            return format!("failed: {}", why.unwrap_or_else(|| "it failed too often".to_owned()));
        }
    };
    let name =
        |names: &Names, key: &str, id: u16| names.name(id).map(|name| format!("{key}={name}"));
    let keep = match decision.keep {
        Keep::State => None,
        Keep::None | Keep::Sloppy | Keep::Loose => Some(format!("keep={}", decision.keep.name())),
    };
    let words = [
        Some(action),
        (decision.rule != 0).then(|| format!("rule={}", decision.rule)),
        name(&environment.labels, "label", decision.label),
        name(&environment.tags, "tag", decision.tag),
        decision.log.then(|| "log".to_owned()),
        keep,
        decision.allow_options.then(|| "options".to_owned()),
        decision.each.then(|| "each".to_owned()),
    ];
    sorted(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// The words of a verdict, those after the action in one order.
fn sorted(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.first().is_some_and(|word| *word == "failed:") {
        return text.to_owned();
    }
    if let Some((_, rest)) = words.split_first_mut() {
        rest.sort_unstable();
    }
    words.join(" ")
}
