//! A policy looks into payload: the calls, their bounds, and what goes wrong.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use common::{CONTINUE, Gateway, PASS, ask, module, runner, says};
use evergate_policy::{Action, Failure, Payload, Request, Runner};

const INSPECT: i64 = 5;

/// A module whose payload record at 128 names a buffer; `decide` says inspect, `inspect` has this
/// body with the length in local 1.
fn looks_at(address: i64, capacity: i64, inspect: &str) -> String {
    let fields = format!(
        r#"(func $fill
             (i32.store (i32.const 128) (i32.const {address}))
             (i32.store (i32.const 132) (i32.const {capacity})))
           (func (export "evergate_payload_v1") (result i32) (call $fill) (i32.const 128))
           (func (export "inspect") (param i32 i32) (result i64) {inspect})"#
    );
    module("", &fields, "(i64.const 5)")
}

/// Passes what begins with `G`, wants two bytes, blocks the rest.
const FIRST_IS_G: &str = "(if (i32.lt_u (local.get 1) (i32.const 2)) (then (return (i64.const 5))))
    (if (i32.eq (i32.load8_u (i32.const 256)) (i32.const 71)) (then (return (i64.const 0x10001))))
    (i64.const 2)";

fn show(runner: &mut Runner, bytes: &[u8], end: bool) -> Action {
    runner.inspect(0, 0, &mut Request::default(), 0, Payload { bytes, end }).action
}

#[test]
fn a_policy_is_asked_again_with_what_it_wanted_to_see() {
    let gateway = Gateway::new();
    let policy = gateway.load("looks", looks_at(256, 64, FIRST_IS_G)).unwrap();
    let mut runner = runner(&[&policy]);
    assert_eq!(ask(&mut runner).action, Action::Inspect { bytes: 64 });
    assert_eq!(show(&mut runner, b"G", false), Action::Inspect { bytes: 64 });
    assert_eq!(show(&mut runner, b"GE", false), Action::Pass);
    assert_eq!(show(&mut runner, b"PUT", false), Action::Block);
    assert_eq!(show(&mut runner, b"G", true), Action::Failed, "there is no more");
    assert_eq!(show(&mut runner, b"GE", true), Action::Pass);
    let last = policy.stats().last_failure.unwrap().to_string();
    assert!(last.contains("more payload than it can be shown"), "{last}");
}

#[test]
fn the_end_is_told_by_a_flag_and_by_a_full_buffer() {
    let gateway = Gateway::new();
    // Passes where flag 8 is set.
    let tells = "(if (i32.and (i32.load8_u (i32.const 54)) (i32.const 8))
        (then (return (i64.const 1)))) (i64.const 5)";
    let policy = gateway.load("tells", looks_at(256, 16, tells)).unwrap();
    let mut runner = runner(&[&policy]);
    assert_eq!(show(&mut runner, &[0; 15], false), Action::Inspect { bytes: 16 });
    assert_eq!(show(&mut runner, &[0; 15], true), Action::Pass);
    assert_eq!(show(&mut runner, &[0; 16], false), Action::Pass, "the buffer is full");
    assert_eq!(show(&mut runner, &[0; 9000], false), Action::Pass, "and takes no more");
}

#[test]
fn after_continue_the_policies_behind_are_asked() {
    let gateway = Gateway::new();
    let first = gateway.load("first", looks_at(256, 64, "(i64.const 0)")).unwrap();
    let plain = gateway.load("plain", says(CONTINUE)).unwrap();
    let second = gateway.load("second", looks_at(256, 64, FIRST_IS_G)).unwrap();
    let mut runner = runner(&[&first, &plain, &second]);
    let decision =
        runner.inspect(0, 0, &mut Request::default(), 0, Payload { bytes: b"G", end: false });
    assert_eq!((decision.action, decision.policy), (Action::Inspect { bytes: 64 }, 2));
    let decision =
        runner.inspect(0, 0, &mut Request::default(), 2, Payload { bytes: b"GE", end: false });
    assert_eq!((decision.action, decision.policy, decision.rule), (Action::Pass, 2, 1));
    let last = runner.inspect(0, 0, &mut Request::default(), 9, Payload { bytes: b"", end: true });
    assert_eq!(last.action, Action::Default, "behind the chain's end is its default");
}

#[test]
fn a_module_that_cannot_look_may_not_ask_to() {
    let gateway = Gateway::new();
    let policy = gateway.load("blind", says(INSPECT)).unwrap();
    let mut runner = runner(&[&policy]);
    assert_eq!(ask(&mut runner).action, Action::Failed);
    assert_eq!(show(&mut runner, b"G", false), Action::Failed);
    assert_eq!(policy.stats().bad_verdicts, 2);
    let last = policy.stats().last_failure.unwrap().to_string();
    assert!(last.contains("does not export `inspect`"), "{last}");
}

#[test]
fn a_module_from_before_may_have_an_export_named_inspect() {
    let fields = "(func (export \"inspect\") (param f64))";
    assert!(Gateway::new().load("old", module("", fields, "(i64.const 1)")).is_ok());
}

#[test]
fn half_of_the_exports_or_another_type_is_refused_in_words() {
    let buffer = "(func (export \"evergate_payload_v1\") (result i32) (i32.const 0))";
    for (fields, reason) in [
        (buffer.to_owned(), "it does not export `inspect` (i32, i32) -> i64"),
        (
            format!("{buffer} (func (export \"inspect\") (param i32) (result i64) (i64.const 1))"),
            "it exports `inspect` as (i32) -> i64, expected (i32, i32) -> i64",
        ),
        (
            "(func (export \"evergate_state_end_v1\") (result i32) (i32.const 0))".to_owned(),
            "it does not export `on_state_end` (i32) -> ()",
        ),
        (
            "(func (export \"save_version\") (result i32) (i32.const 0))".to_owned(),
            "it does not export `save` () -> i64",
        ),
        ("(func (export \"on_tick\"))".to_owned(), "it exports `on_tick` as () -> ()"),
    ] {
        let error = Gateway::new().load("half", module("", &fields, "(i64.const 1)")).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_buffer_outside_the_memory_is_refused_at_load() {
    for (address, capacity) in [(65_000, 1_000), (256, 0), (256, 65_536), (-8, 16), (0, -1)] {
        let text = looks_at(address, capacity, "(i64.const 1)");
        let error = Gateway::new().load("wild", text).unwrap_err().to_string();
        assert!(error.contains("its payload record at 0x80"), "{address} {capacity}: {error}");
    }
    let record = looks_at(256, 64, "(i64.const 1)")
        .replace("(call $fill) (i32.const 128)", "(i32.const 65532)");
    let error = Gateway::new().load("wild", record).unwrap_err().to_string();
    assert!(error.contains("its payload record at 0xfffc"), "{error}");
}

#[test]
fn a_policy_that_loops_or_traps_over_payload_blocks_and_harms_nobody() {
    for (body, failure) in [
        ("(loop $l (br $l)) (i64.const 1)", Failure::Fuel(30_000)),
        ("(i64.const 6)", Failure::BadVerdict(bad_action(6))),
    ] {
        let gateway = Gateway::new();
        let bad = gateway.load("bad", looks_at(256, 64, body)).unwrap();
        let good = gateway.load("good", says(PASS)).unwrap();
        let mut chain = runner(&[&bad]);
        let mut apart = runner(&[&good]);
        for _ in 0..3 {
            assert_eq!(show(&mut chain, b"abc", false), Action::Failed);
            assert_eq!(ask(&mut apart).action, Action::Pass);
        }
        assert_eq!(bad.stats().last_failure, Some(failure));
    }
}

fn bad_action(n: u8) -> evergate_abi::BadVerdict {
    evergate_abi::BadVerdict::Action(n)
}
