//! Hooks and saved state: when they are called, what they get, and those that misbehave.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::sync::Arc;

use common::{Gateway, PASS, module, says};
use evergate_policy::{
    Action, Chain, EndCause, Ended, Failure, Hooks, Policy, Request, Runner, SharedChain,
};

const SECOND: u64 = 1_000_000_000;

/// Counts what is called, each hook in a counter of its name; ended states by their source port.
const COUNTS: &str = r#"(module
    (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
    (import "evergate" "count" (func $count (param i32 i64)))
    (memory (export "memory") 1)
    (data (i32.const 64) "loadunloadtickend")
    (global $load (mut i32) (i32.const 0)) (global $unload (mut i32) (i32.const 0))
    (global $tick (mut i32) (i32.const 0)) (global $end (mut i32) (i32.const 0))
    (func (export "evergate_abi_v1") (result i32) (i32.const 0))
    (func (export "init") (result i32)
      (global.set $load (call $resolve (i32.const 1) (i32.const 64) (i32.const 4)))
      (global.set $unload (call $resolve (i32.const 1) (i32.const 68) (i32.const 6)))
      (global.set $tick (call $resolve (i32.const 1) (i32.const 74) (i32.const 4)))
      (global.set $end (call $resolve (i32.const 1) (i32.const 78) (i32.const 3)))
      (i32.const 0))
    (func (export "decide") (param i32) (result i64) (i64.const 1))
    (func (export "evergate_state_end_v1") (result i32) (i32.const 128))
    (func (export "on_state_end") (param i32)
      (call $count (global.get $end) (i64.extend_i32_u (i32.load16_u (i32.const 168)))))
    (func (export "on_tick") (param i64 i64)
      (call $count (global.get $tick) (local.get 1)))
    (func (export "on_load") (call $count (global.get $load) (i64.const 1)))
    (func (export "on_unload") (call $count (global.get $unload) (i64.const 1))))"#;

fn shared(policies: &[&Arc<Policy>]) -> Arc<SharedChain> {
    let policies = policies.iter().map(|policy| Arc::clone(policy)).collect();
    Arc::new(SharedChain::new(Chain::new(policies).unwrap()))
}

fn store(chain: &SharedChain, policies: &[&Arc<Policy>]) {
    let policies = policies.iter().map(|policy| Arc::clone(policy)).collect();
    chain.store(Chain::new(policies).unwrap());
}

fn counts(gateway: &Gateway) -> [u64; 4] {
    ["load", "unload", "tick", "end"]
        .map(|name| gateway.environment.counters.value(&format!("acc/{name}")).unwrap())
}

fn ended(sport: u16) -> Ended {
    Ended { af: 4, proto: 6, cause: EndCause::Expired, sport, ..Ended::default() }
}

#[test]
fn each_hook_is_called_when_it_is_due() {
    let gateway = Gateway::new();
    let plain = gateway.load("plain", says(PASS)).unwrap();
    let policy = gateway.load("acc", COUNTS).unwrap();
    let chain = shared(&[&plain, &policy]);
    let mut hooks = Hooks::new(Arc::clone(&chain));
    assert_eq!(counts(&gateway), [0; 4]);
    hooks.run(SECOND, 5);
    assert_eq!(counts(&gateway), [1, 0, 5, 0], "loaded and ticked");
    hooks.run(SECOND + 1, 5);
    assert_eq!(counts(&gateway), [1, 0, 5, 0], "a second has not passed");
    assert!(chain.wants_ends(1) && !chain.wants_ends(0) && !chain.wants_ends(64));
    chain.state_ended(1, ended(40));
    chain.state_ended(0, ended(1_000));
    chain.state_ended(99, ended(1_000));
    hooks.run(2 * SECOND + 1, 7);
    assert_eq!(counts(&gateway), [1, 0, 12, 40]);

    let next = gateway.load("acc", COUNTS).unwrap();
    store(&chain, &[&plain, &next]);
    hooks.run(2 * SECOND + 2, 7);
    assert_eq!(counts(&gateway), [2, 1, 12, 40], "replaced");
    hooks.finish(2 * SECOND + 3, 7);
    assert_eq!(counts(&gateway)[1], 2);
    assert_eq!(policy.stats().instances, 2, "one to prove it and one for the hooks");
}

#[test]
fn what_nobody_takes_out_in_time_is_dropped_and_counted() {
    let gateway = Gateway::new();
    let policy = gateway.load("acc", COUNTS).unwrap();
    let chain = shared(&[&policy]);
    for _ in 0..5_000 {
        chain.state_ended(0, ended(1));
    }
    assert_eq!(chain.ends_dropped(), 5_000 - 4_096);
    let mut hooks = Hooks::new(Arc::clone(&chain));
    for n in 1..=4 {
        hooks.run(1, 0);
        assert_eq!(counts(&gateway)[3], 1_024 * n, "so many a run");
    }
}

#[test]
fn hooks_that_loop_or_trap_are_counted_and_others_are_called() {
    let gateway = Gateway::new();
    let bad = gateway
        .load(
            "bad",
            module(
                "",
                "(func (export \"on_tick\") (param i64 i64) (loop (br 0)))
                 (func (export \"on_load\") (unreachable))",
                "(i64.const 1)",
            ),
        )
        .unwrap();
    let policy = gateway.load("acc", COUNTS).unwrap();
    let chain = shared(&[&bad, &policy]);
    let mut hooks = Hooks::new(Arc::clone(&chain));
    for n in 1..=20 {
        hooks.run(n * SECOND, 1);
    }
    assert_eq!(counts(&gateway)[2], 20);
    let stats = bad.stats();
    assert_eq!((stats.traps, stats.out_of_time), (1, 20));
    assert_eq!(stats.last_failure, Some(Failure::Fuel(2_000_000)));
    let mut runner = Runner::new(chain);
    let decision = runner.decide(0, 0, &mut Request::default());
    assert_eq!(decision.action, Action::Pass, "decisions know nothing of it");
}

/// Remembers how often it was asked: the rule of its verdict. `fields` replace parts of it.
fn remembers(version: i32, save: &str, restore: &str) -> String {
    let fields = format!(
        r#"(func (export "save_version") (result i32) (i32.const {version}))
           (func (export "save") (result i64) {save})
           (func (export "restore_buffer") (param i32) (result i32) {restore})
           (func (export "restore") (param i32 i32) (result i32)
             (i32.ne (local.get 1) (i32.const 4)))"#
    );
    let decide = "(i32.store (i32.const 256) (i32.add (i32.load (i32.const 256)) (i32.const 1)))
        (i64.or (i64.const 1) (i64.shl (i64.extend_i32_u (i32.load (i32.const 256)))
          (i64.const 16)))";
    module("", &fields, decide)
}

/// Four bytes at 256.
const SAVES: &str = "(i64.const 0x400000100)";
const TAKES: &str = "(i32.const 256)";

fn rule(runner: &mut Runner) -> u16 {
    let decision = runner.decide(SECOND, 0, &mut Request::default());
    assert_eq!(decision.action, Action::Pass);
    decision.rule
}

/// The rule before a replacement and after it.
fn replaced(old: &str, new: &str) -> (u16, u16, Arc<Policy>, Arc<Policy>) {
    let gateway = Gateway::new();
    let old = gateway.load("memory", old).unwrap();
    let new = gateway.load("memory", new).unwrap();
    let chain = shared(&[&old]);
    let mut runner = Runner::new(Arc::clone(&chain));
    rule(&mut runner);
    let before = rule(&mut runner);
    store(&chain, &[&new]);
    (before, rule(&mut runner), old, new)
}

#[test]
fn what_both_modules_agree_on_survives_a_replacement() {
    let module = remembers(3, SAVES, TAKES);
    let (before, after, ..) = replaced(&module, &module);
    assert_eq!((before, after), (2, 3));
    let other = remembers(4, SAVES, TAKES);
    assert_eq!(replaced(&module, &other).1, 1, "another version");
    let refuses = remembers(3, SAVES, "(i32.const 0)");
    assert_eq!(replaced(&module, &refuses).1, 1, "it does not want it");
    assert_eq!(replaced(&module, &says(0x10001)).1, 1, "it knows of no blob");
    assert_eq!(replaced(&says(0x20001), &module).1, 1);
}

#[test]
fn a_blob_that_is_too_large_or_outside_is_a_failure_and_the_next_begins_anew() {
    let good = remembers(3, SAVES, TAKES);
    for (save, words) in [
        ("(i64.const 0x1000100000000)", "it saves 65537 bytes, the most is 65536"),
        ("(i64.const 0xffffffff00000000)", "the most is 65536"),
        ("(i64.const 0x40000fffe)", "the 4 bytes that it saves at 0xfffe are outside"),
        ("(loop (br 0)) (unreachable)", "it ran out of fuel"),
        ("(unreachable)", "it trapped"),
    ] {
        let (_, after, old, _) = replaced(&remembers(3, save, TAKES), &good);
        assert_eq!(after, 1, "{save}");
        let said = old.stats().last_failure.map(|failure| failure.to_string());
        assert!(said.as_deref().is_some_and(|s| s.contains(words)), "{save}: {said:?}");
    }
    for (place, words) in [
        ("(i32.const 65534)", "its buffer for 4 saved bytes at 0xfffe is outside its memory"),
        ("(i32.const -4)", "is outside its memory"),
        ("(loop (br 0)) (unreachable)", "it ran out of fuel"),
    ] {
        let (_, after, _, new) = replaced(&good, &remembers(3, SAVES, place));
        assert_eq!(after, 1, "{place}");
        let said = new.stats().last_failure.unwrap().to_string();
        assert!(said.contains(words), "{place}: {said}");
    }
}

#[test]
fn a_sample_of_calls_is_timed() {
    let gateway = Gateway::new();
    let policy = gateway.load("p", says(PASS)).unwrap();
    let mut runner = common::runner(&[&policy]);
    for _ in 0..1024 {
        common::ask(&mut runner);
    }
    let times = policy.stats().times;
    assert_eq!(times.samples, 4);
    assert!(times.p50_ns > 0 && times.p50_ns <= times.p99_ns);
}

#[test]
fn a_buffer_for_ended_states_outside_the_memory_is_refused_at_load() {
    for address in [65_536 - 95, 65_536 - 88, 4, -8] {
        let fields = format!(
            "(func (export \"evergate_state_end_v1\") (result i32) (i32.const {address}))
             (func (export \"on_state_end\") (param i32))"
        );
        let error = Gateway::new().load("wild", module("", &fields, "(i64.const 1)")).unwrap_err();
        assert!(error.to_string().contains("its buffer for ended states at"), "{error}");
    }
}

#[test]
fn a_hook_may_not_resolve_names_nor_call_the_gateway_without_end() {
    let imports = r#"(import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
        (import "evergate" "random" (func $random (result i64)))"#;
    for (body, words) in [
        (
            "(drop (call $resolve (i32.const 1) (i32.const 0) (i32.const 1)))",
            "resolve: may only be called within init",
        ),
        ("(loop (drop (call $random)) (br 0))", "it called host functions more often than it may"),
    ] {
        let gateway = Gateway::new();
        let fields = format!("(func (export \"on_tick\") (param i64 i64) {body})");
        let bad = gateway.load("bad", module(imports, &fields, "(i64.const 1)")).unwrap();
        Hooks::new(shared(&[&bad])).run(SECOND, 0);
        let said = bad.stats().last_failure.unwrap().to_string();
        assert!(said.contains(words), "{said}");
    }
}
