//! What a module that insists on a WASI gets: nothing that it could do harm with.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use common::{Gateway, module, runner};
use evergate_policy::{Action, Failure, LogLevel, Request};

/// A module with one imported function of WASI, here `$f`.
fn with(name: &str, params: &str, result: &str, fields: &str, decide: &str) -> String {
    let import = format!(
        r#"(import "wasi_snapshot_preview1" "{name}" (func $f (param {params}) {result}))"#
    );
    module(&import, fields, decide)
}

/// A module whose rule is what the function returns, plus 1.
fn rule_of(name: &str, params: &str, call: &str) -> String {
    let decide = format!(
        "(i64.or (i64.const 1)
           (i64.shl (i64.extend_i32_u (i32.add (i32.const 1) (call $f {call}))) (i64.const 16)))"
    );
    with(name, params, "(result i32)", "", &decide)
}

fn decide(
    gateway: &Gateway,
    text: &str,
    now_ns: u64,
    wall_s: u64,
) -> (Action, u16, Option<Failure>) {
    let policy = gateway.load("guest", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let decision = runner(&[&policy]).decide(now_ns, wall_s, &mut Request::default());
    (decision.action, decision.rule, policy.stats().last_failure)
}

#[test]
fn files_sockets_and_signals_are_refused_by_number() {
    const BADF: u16 = 8;
    const NOSYS: u16 = 52;
    let zeros = |n: usize| "(i32.const 0)".repeat(n);
    let gateway = Gateway::new();
    for (name, params, call, number) in [
        ("fd_read", "i32 i32 i32 i32", zeros(4), BADF),
        ("fd_close", "i32", zeros(1), BADF),
        ("fd_prestat_get", "i32 i32", "(i32.const 3)(i32.const 0)".to_owned(), BADF),
        ("fd_fdstat_get", "i32 i32", "(i32.const 1)(i32.const 0)".to_owned(), BADF),
        ("fd_write", "i32 i32 i32 i32", "(i32.const 3)".to_owned() + &zeros(3), BADF),
        ("path_unlink_file", "i32 i32 i32", zeros(3), BADF),
        ("sock_accept", "i32 i32 i32", zeros(3), BADF),
        ("proc_raise", "i32", zeros(1), NOSYS),
        ("args_get", "i32 i32", zeros(2), 0),
        ("sched_yield", "", String::new(), 0),
        ("poll_oneoff", "i32 i32 i32 i32", zeros(4), 0),
    ] {
        let (action, rule, failure) = decide(&gateway, &rule_of(name, params, &call), 0, 0);
        assert_eq!((action, rule), (Action::Pass, number + 1), "{name}: {failure:?}");
    }
}

#[test]
fn the_clock_tells_the_packets_time_and_never_0() {
    let clock = |id: u32| {
        with(
            "clock_time_get",
            "i32 i64 i32",
            "(result i32)",
            "",
            &format!(
                "(drop (call $f (i32.const {id}) (i64.const 0) (i32.const 64)))
                 (i64.or (i64.const 1) (i64.shl
                   (i64.rem_u (i64.load (i32.const 64)) (i64.const 60000)) (i64.const 16)))"
            ),
        )
    };
    let gateway = Gateway::new();
    let rule = |id, now_ns, wall_s| decide(&gateway, &clock(id), now_ns, wall_s).1;
    assert_eq!(rule(1, 4711, 0), 4711);
    assert_eq!(rule(0, 4711, 3), 3_000_000_000u64.rem_euclid(60_000) as u16);
    assert_eq!((rule(0, 0, 0), rule(1, 0, 0)), (1, 1));
    assert_eq!(rule(0, 0, u64::MAX), (u64::MAX % 60_000) as u16);
}

#[test]
fn random_bytes_come_from_a_seed_and_are_bounded() {
    let random = |len: u32| {
        with(
            "random_get",
            "i32 i32",
            "(result i32)",
            "",
            &format!(
                "(if (call $f (i32.const 64) (i32.const {len})) (then (return (i64.const 2))))
                 (i64.or (i64.const 1) (i64.shl
                   (i64.and (i64.load (i32.const 64)) (i64.const 0xffff)) (i64.const 16)))"
            ),
        )
    };
    let once = || decide(&Gateway::new(), &random(8), 0, 0);
    assert_eq!(once(), once(), "the same instance of the same gateway");
    assert_ne!(once().1, 0);
    assert_eq!(decide(&Gateway::new(), &random(4096), 0, 0).0, Action::Pass);
    assert_eq!(decide(&Gateway::new(), &random(4097), 0, 0).0, Action::Block);
}

#[test]
fn the_standard_streams_are_lines_of_the_log() {
    let text = with(
        "fd_write",
        "i32 i32 i32 i32",
        "(result i32)",
        r#"(data (i32.const 64) "\60\00\00\00\06\00\00\00\66\00\00\00\05\00\00\00")
           (data (i32.const 96) "hello world")"#,
        "(drop (call $f (i32.const 2) (i32.const 64) (i32.const 2) (i32.const 128)))
         (i32.store8 (i32.const 106) (i32.const 10))
         (drop (call $f (i32.const 2) (i32.const 64) (i32.const 2) (i32.const 128)))
         (i64.shl (i64.load32_u (i32.const 128)) (i64.const 16))",
    );
    let gateway = Gateway::new();
    let policy = gateway.load("guest", &text).unwrap();
    runner(&[&policy]).decide(0, 0, &mut Request::default());
    let lines = gateway.environment.log.drain();
    let lines: Vec<_> = lines.iter().map(|line| (line.level, line.text.as_str())).collect();
    assert_eq!(lines, [(LogLevel::Warn, "hello worldhello worl")]);
}

#[test]
fn a_program_that_ends_itself_fails_with_what_it_said() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
          (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "\60\00\00\00\1c\00\00\00")
        (data (i32.const 96) "panic: no route\0agoroutine 1\0a")
        (func (export "evergate_abi_v1") (result i32) (i32.const 0))
        (func (export "decide") (param i32) (result i64)
          (drop (call $write (i32.const 2) (i32.const 64) (i32.const 1) (i32.const 128)))
          (call $exit (i32.const 2))
          (unreachable)))"#;
    let (action, _, failure) = decide(&Gateway::new(), text, 0, 0);
    assert_eq!(action, Action::Failed);
    let sentence = "it ended itself with code 2: panic: no route";
    assert_eq!(failure, Some(Failure::Host(sentence.to_owned())));
}

#[test]
fn addresses_outside_of_memory_are_named() {
    let gateway = Gateway::new();
    for (name, params, call) in [
        ("random_get", "i32 i32", "(i32.const 65530) (i32.const 16)"),
        ("clock_time_get", "i32 i64 i32", "(i32.const 0) (i64.const 0) (i32.const -1)"),
        ("args_sizes_get", "i32 i32", "(i32.const 0) (i32.const 65533)"),
        ("fd_write", "i32 i32 i32 i32", "(i32.const 1) (i32.const -4) (i32.const 1) (i32.const 0)"),
    ] {
        let (action, _, failure) = decide(&gateway, &rule_of(name, params, call), 0, 0);
        assert_eq!(action, Action::Failed, "{name}");
        let text = failure.unwrap().to_string();
        assert!(text.contains(name) && text.contains("outside its memory"), "{text}");
    }
}

#[test]
fn calls_count_against_the_bound_and_a_start_function_has_none() {
    let gateway = Gateway::new();
    let endless = with(
        "sched_yield",
        "",
        "(result i32)",
        "",
        "(loop $l (drop (call $f)) (br $l)) (unreachable)",
    );
    let (_, _, failure) = decide(&gateway, &endless, 0, 0);
    assert!(failure.unwrap().to_string().contains("host functions more often than it may"));
    let starts = with(
        "sched_yield",
        "",
        "(result i32)",
        "(func $start (drop (call $f))) (start $start)",
        "(i64.const 1)",
    );
    let error = gateway.load("guest", starts).unwrap_err().to_string();
    assert!(error.contains("a start function cannot call host functions"), "{error}");
}
