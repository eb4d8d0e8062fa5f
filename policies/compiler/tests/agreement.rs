//! The interpreter and the compiled module say the same to random packets under random rules.
//!
//! `EVERGATE_RULES_PAIRS=1000000` asks for that many pairs of rules and packets; `EVERGATE_RULES_SEED`
//! begins elsewhere.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::collections::BTreeSet;

use common::random::{Random, packet, rules};
use common::{Gateway, options};
use evergate_rules::interpret::{Decision, Outcome};
use evergate_rules::{NoFiles, compile};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn shown(diagnostics: &[evergate_rules::Diagnostic]) -> String {
    diagnostics.iter().map(|d| format!("{d}\n")).collect()
}

/// Remembers what kinds of answers there were.
fn note(seen: &mut BTreeSet<String>, outcome: &Outcome) {
    seen.insert(format!("{:?}", outcome.decision));
    if outcome.decision == Decision::Pass {
        seen.insert(format!("{:?}", outcome.keep));
        seen.insert(format!("options {}", outcome.allow_options));
        seen.insert(format!("timeouts {}", outcome.timeouts != [0; 6]));
    }
    seen.insert(format!("log {}", outcome.log));
    seen.insert(format!("tag {}", outcome.tag.is_some()));
    seen.insert(format!("label {}", outcome.label.is_some()));
    seen.insert(format!("rule {}", outcome.rule != 0));
}

#[test]
fn module_and_interpreter_agree() {
    const PACKETS: u64 = 1_000;
    let pairs = number("EVERGATE_RULES_PAIRS", 16_000);
    let first = number("EVERGATE_RULES_SEED", 0);
    let gateway = Gateway::new();
    let mut seen = BTreeSet::new();
    let mut longest = 0;
    for seed in first..first + pairs.div_ceil(PACKETS) {
        let mut random = Random::new(seed);
        let count = [5, 12, 40, 150][usize::try_from(seed % 4).unwrap()];
        let text = rules(&mut random, count);
        let options = evergate_rules::Options { fuel: 1_000_000, ..options() };
        let compiled = compile("rules", &text, &options, &NoFiles)
            .unwrap_or_else(|d| panic!("seed {seed}\n{text}\n{}", shown(&d)));
        let mut loaded = gateway.load(compiled).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        longest = longest.max(loaded.rules.longest);
        for n in 0..PACKETS {
            let request = packet(&mut random);
            if let Err(message) = loaded.compare(&request) {
                panic!("seed {seed}, packet {n}\n{text}\n{message}");
            }
            note(&mut seen, &loaded.interpret(&request));
        }
    }
    // Rules that never do anything would agree too.
    assert_eq!(seen.len(), 22, "{seen:?}");
    assert!(longest > 10, "{longest}");
}
