//! Broken and hostile modules: each is refused at load or contained, with its reason in words,
//! and another policy of the gateway still answers.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::time::{Duration, Instant};

use common::{BLOCK, CONTINUE, Gateway, PASS, ask, module, runner, says};
use evergate_policy::{Action, Failure, Limits, Params, Refusal, Request};
use proptest::prelude::*;

/// Far more than any of these takes here, far less than a stall.
const BOUND: Duration = Duration::from_secs(20);

/// Loads a module that has to be refused, and returns the sentence.
#[track_caller]
fn refused(module: impl AsRef<[u8]>) -> String {
    let gateway = Gateway::new();
    let start = Instant::now();
    let error = gateway.load("bad", module).expect_err("it was taken");
    assert!(start.elapsed() < BOUND, "refusing it took {:?}", start.elapsed());
    let good = gateway.load("good", says(PASS)).unwrap();
    assert_eq!(ask(&mut runner(&[&good])).action, Action::Pass);
    let text = error.to_string();
    assert!(text.starts_with("policy bad: "), "{text}");
    assert!(text.len() < 600, "{text}");
    text
}

#[track_caller]
fn refused_for(module: impl AsRef<[u8]>, reason: &str) {
    let text = refused(module);
    assert!(text.contains(reason), "expected `{reason}` in `{text}`");
}

/// Runs a module whose calls have to fail, beside good ones, and returns how they failed.
#[track_caller]
fn contained(module: impl AsRef<[u8]>) -> Failure {
    let gateway = Gateway::new();
    let good = gateway.load("good", says(CONTINUE)).unwrap();
    let other = gateway.load("other", says(BLOCK)).unwrap();
    let bad = gateway.load("bad", module).unwrap();
    let mut chain = runner(&[&good, &bad]);
    let mut apart = runner(&[&other]);
    for _ in 0..3 {
        let start = Instant::now();
        let decision = ask(&mut chain);
        assert!(start.elapsed() < BOUND, "a call took {:?}", start.elapsed());
        assert_eq!((decision.action, decision.policy), (Action::Failed, 1));
        assert_eq!(ask(&mut apart).action, Action::Block);
    }
    drop(chain);
    assert_eq!(good.stats().decisions, 3);
    let stats = bad.stats();
    assert_eq!(stats.traps + stats.out_of_time + stats.bad_verdicts, 3);
    assert_eq!(stats.instances, 4, "one to prove it, and a fresh one after each failure");
    stats.last_failure.unwrap()
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let failure = contained(module("", "", "(loop $l (br $l)) (i64.const 1)"));
    assert_eq!(failure, Failure::Fuel(30_000));
}

#[test]
fn an_endless_loop_with_endless_fuel_meets_its_deadline() {
    let gateway = Gateway::new();
    let _ticker = gateway.compiler.start_ticker().unwrap();
    let limits = Limits { fuel: u64::MAX / 2, ..Limits::default() };
    let text = module("", "", "(loop $l (br $l)) (i64.const 1)");
    let policy = gateway.load_with("slow", text, limits, &Params::new()).unwrap();
    let start = Instant::now();
    assert_eq!(ask(&mut runner(&[&policy])).action, Action::Failed);
    assert!(start.elapsed() < BOUND);
    assert_eq!(policy.stats().last_failure, Some(Failure::Deadline));
    assert_eq!(policy.stats().out_of_time, 1);
}

#[test]
fn an_endless_start_function_is_refused() {
    let text = module("", "(func $s (loop $l (br $l))) (start $s)", "(i64.const 1)");
    refused_for(text, "does not start: it ran out of fuel");
    let endless_init = "(func (export \"init\") (result i32) (loop $l (br $l)) (i32.const 0))";
    refused_for(module("", endless_init, "(i64.const 1)"), "it ran out of fuel");
    let endless_version = r#"(module (memory (export "memory") 1)
        (func (export "evergate_abi_v1") (result i32) (loop $l (br $l)) (i32.const 0))
        (func (export "decide") (param i32) (result i64) (i64.const 1)))"#;
    refused_for(endless_version, "it ran out of fuel");
}

#[test]
fn a_start_function_cannot_use_the_gateway() {
    let import = r#"(import "evergate" "random" (func $r (result i64)))"#;
    let text = module(import, "(func $s (drop (call $r))) (start $s)", "(i64.const 1)");
    refused_for(text, "a start function cannot call host functions; use init");
}

#[test]
fn endless_recursion_uses_up_its_stack() {
    let text = module("", "(func $f (result i64) (i64.add (call $f) (call $f)))", "(call $f)");
    let limits = Limits { fuel: u64::MAX / 2, ..Limits::default() };
    let gateway = Gateway::new();
    let policy = gateway.load_with("deep", text, limits, &Params::new()).unwrap();
    assert_eq!(ask(&mut runner(&[&policy])).action, Action::Failed);
    assert_eq!(policy.stats().last_failure, Some(Failure::Stack));
}

#[test]
fn growing_memory_in_a_loop_traps_at_the_limit() {
    let text = module("", "", "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (i64.const 1)");
    let Failure::Room(message) = contained(text) else { panic!("another failure") };
    assert_eq!(message, "growing memory to 1114112 bytes");
}

#[test]
fn growing_a_table_traps_at_the_limit() {
    let text = module(
        "",
        "(table 1 funcref)",
        "(drop (table.grow (ref.null func) (i32.const 20000))) (i64.const 1)",
    );
    let Failure::Room(message) = contained(text) else { panic!("another failure") };
    assert_eq!(message, "growing table to 20001 elements");
}

#[test]
fn huge_initial_memory_and_tables_are_refused_unmade() {
    let memory = module("", "", "(i64.const 1)").replace("\"memory\") 1", "\"memory\") 65536");
    refused_for(memory, "it has 4294967296 bytes of memory, the limit is 1048576");
    let table = module("", "(table 4000000000 funcref)", "(i64.const 1)");
    refused_for(table, "it has 4000000000 table elements, the limit is 10000");
}

#[test]
fn a_wild_verdict_record_is_a_bad_verdict() {
    for (address, reason) in [
        (0xffff_fff8_u32, "lies outside the memory"),
        (0x0001_0000, "lies outside the memory"),
        (0x0000_ffc8, "lies outside the memory"),
        (0x0000_0004, "is not a multiple of 8"),
        (0x0000_8000, "verdict record size is 0, not 64"),
    ] {
        let word = (u64::from(address) << 32 | 1).cast_signed();
        let failure = contained(says(word));
        assert!(matches!(failure, Failure::BadVerdict(_)), "{failure}");
        assert!(failure.to_string().contains(reason), "{failure}");
    }
    for (word, reason) in [(6, "there is no action 6"), (0x0800, "unknown verdict flags")] {
        assert!(contained(says(word)).to_string().contains(reason));
    }
    let tag = r#"(data (i32.const 64) "\40\00\00\00\00\00\07\00")"#;
    let failure = contained(module("", tag, &format!("(i64.const {})", 64i64 << 32 | 1)));
    assert_eq!(failure.to_string(), "its verdict is bad: tag 7 was never resolved");
}

#[test]
fn a_wild_request_buffer_is_refused() {
    for address in [-8, 65536, 65536 - 56, 4] {
        let text = says(PASS).replace("(i32.const 0)", &format!("(i32.const {address})"));
        refused_for(text, "is not 64 bytes of its memory, aligned to 8");
    }
    let gateway = Gateway::new();
    let last = says(PASS).replace("(i32.const 0)", "(i32.const 65472)");
    assert!(gateway.load("edge", last).is_ok(), "the last 64 bytes are fine");
}

#[test]
fn missing_and_wrong_exports_are_named() {
    let good = says(PASS);
    for (from, to, reason) in [
        ("(export \"memory\")", "", "it does not export `memory` (the linear memory)"),
        ("(export \"decide\")", "", "it does not export `decide` (i32) -> i64"),
        ("evergate_abi_v1", "abi", "it does not export `evergate_abi_v1` () -> i32"),
        (
            "evergate_abi_v1",
            "evergate_abi_v2",
            "it speaks version 2 of the ABI, this gateway speaks version 1",
        ),
        (
            "(param i32) (result i64)",
            "(param i64) (result i64)",
            "it exports `decide` as (i64) -> i64, expected (i32) -> i64",
        ),
        (
            "(memory (export \"memory\") 1)",
            "(memory 1) (global (export \"memory\") i32 (i32.const 0))",
            "it exports `memory` as a global, expected the linear memory",
        ),
        (
            "(memory (export",
            "(global (export \"init\") i32 (i32.const 0)) (memory (export",
            "it exports `init` as something that is no function, expected () -> i32",
        ),
    ] {
        assert!(good.contains(from));
        refused_for(good.replace(from, to), reason);
    }
}

#[test]
fn imports_that_are_not_offered_are_named() {
    for (import, reason) in [
        (
            r#"(import "wasi_snapshot_preview2" "fd_write" (func (param i32)))"#,
            "it imports `wasi_snapshot_preview2.fd_write`, which the gateway does not offer",
        ),
        (
            r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32)))"#,
            "it imports `fd_write` as (i32) -> (), the gateway offers (i32, i32, i32, i32) -> i32",
        ),
        (r#"(import "evergate" "format_disk" (func))"#, "it imports `evergate.format_disk`"),
        (
            r#"(import "evergate" "random" (func (result i32)))"#,
            "it imports `random` as () -> i32, the gateway offers () -> i64",
        ),
        (
            r#"(import "evergate" "clock" (global i64))"#,
            "it imports `clock` as something that is no function, the gateway offers (i32) -> i64",
        ),
        (r#"(import "evergate" "memory" (memory 1))"#, "it imports `evergate.memory`"),
    ] {
        refused_for(module(import, "", "(i64.const 1)"), reason);
    }
}

#[test]
fn features_that_are_off_are_refused() {
    for field in [
        "(memory 1)",
        "(memory i64 1)",
        "(func $t (return_call $t))",
        "(global (ref null any) (ref.null any))",
        "(tag)",
    ] {
        let text = format!(
            r#"(module {field} (func (export "evergate_abi_v1") (result i32) (i32.const 0))
               (memory (export "memory") 1)
               (func (export "decide") (param i32) (result i64) (i64.const 1)))"#
        );
        refused(text);
    }
    refused_for("(component)", "it is a component; components need the component model");
}

const LOG: &str = r#"(import "evergate" "log" (func $log (param i32 i32 i32)))"#;
const RESOLVE: &str =
    r#"(import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))"#;

#[test]
fn bad_pointers_for_the_gateway_trap_the_guest() {
    let init = |body: &str| {
        let init = format!("(func (export \"init\") (result i32) {body})");
        module(RESOLVE, &init, "(i64.const 1)")
    };
    let call = |args: &str| init(&format!("(drop (call $resolve {args})) (i32.const 0)"));
    refused_for(
        call("(i32.const 1) (i32.const 65530) (i32.const 10)"),
        "resolve: 10 bytes at 0xfffa are outside its memory of 65536 bytes",
    );
    refused_for(
        call("(i32.const 1) (i32.const -1) (i32.const -1)"),
        "resolve: 4294967295 bytes at 0xffffffff are outside its memory",
    );
    refused_for(call("(i32.const 6) (i32.const 0) (i32.const 1)"), "resolve: there is no kind 6");
    let late = module(
        RESOLVE,
        "",
        "(i64.extend_i32_s (call $resolve (i32.const 1) (i32.const 0) (i32.const 1)))",
    );
    assert_eq!(
        contained(late),
        Failure::Host("resolve: may only be called within init".to_owned())
    );
    for (import, call, reason) in [
        (
            r#"(import "evergate" "table_match" (func $f (param i32 i32) (result i32)))"#,
            "(drop (call $f (i32.const 0) (i32.const 0)))",
            "table_match: 0 is not an id that resolve returned",
        ),
        (
            r#"(import "evergate" "count" (func $f (param i32 i64)))"#,
            "(call $f (i32.const -1) (i64.const 1))",
            "count: -1 is not an id that resolve returned",
        ),
        (LOG, "(call $log (i32.const 9) (i32.const 0) (i32.const 0))", "log: there is no level 9"),
        (
            LOG,
            "(call $log (i32.const 0) (i32.const 65536) (i32.const 1))",
            "log: 1 bytes at 0x10000 are outside its memory of 65536 bytes",
        ),
    ] {
        let failure = contained(module(import, "", &format!("{call} (i64.const 1)")));
        assert_eq!(failure, Failure::Host(reason.to_owned()));
    }
}

#[test]
fn a_flood_of_log_lines_is_bounded() {
    let line = "(call $log (i32.const 1) (i32.const 0) (i32.const 60000))";
    let gateway = Gateway::new();
    let text = module(LOG, "", &format!("{} (i64.const 1)", line.repeat(100)));
    let policy = gateway.load("chatty", text).unwrap();
    let mut runner = runner(&[&policy]);
    for _ in 0..100 {
        assert_eq!(ask(&mut runner).action, Action::Pass, "logging too much is no crime");
    }
    let lines = gateway.environment.log.drain();
    assert_eq!(lines.len() as u64 + gateway.environment.log.dropped(), 10_000);
    assert!(lines.len() <= 50, "{}", lines.len());
    assert!(lines.iter().all(|line| line.text.len() <= 256 && &*line.policy == "chatty"));
    let flood = format!("(loop $l {line} (br $l)) (i64.const 1)");
    assert_eq!(
        contained(module(LOG, "", &flood)),
        Failure::Host("it called host functions more often than it may".to_owned())
    );
}

#[test]
fn names_and_handles_are_bounded() {
    let body = "(local $n i32)
        (loop $l
          (i32.store (i32.const 1024)
            (i32.add (i32.const 0x30303030)
              (i32.or (i32.and (local.get $n) (i32.const 7))
                (i32.or (i32.shl (i32.and (local.get $n) (i32.const 0x38)) (i32.const 5))
                  (i32.shl (i32.and (local.get $n) (i32.const 0x1c0)) (i32.const 10))))))
          (drop (call $resolve (i32.const 2) (i32.const 1024) (i32.const 4)))
          (drop (call $resolve (i32.const 1) (i32.const 1024) (i32.const 4)))
          (drop (call $resolve (i32.const 3) (i32.const 1024) (i32.const 4)))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $n) (i32.const 5000))))
        (i32.const 0)";
    let init = format!("(func (export \"init\") (result i32) {body})");
    let gateway = Gateway::new();
    gateway.load("greedy", module(RESOLVE, &init, "(i64.const 1)")).unwrap();
    assert_eq!(gateway.environment.counters.snapshot().len(), 256);
    assert!(gateway.environment.tags.len() <= 512);
}

#[test]
fn what_makes_compilation_slow_is_refused_before_it() {
    let functions = module("", &"(func)".repeat(9_000), "(i64.const 1)");
    refused_for(functions, "functions, the limit is 8192");
    let targets = "0 ".repeat(300_000);
    let giant = module("", &format!("(func (br_table {targets} (i32.const 0)))"), "(i64.const 1)");
    refused_for(giant, "bytes in one function, the limit is 131072");
    let locals = format!("(func (local {}))", "i64 ".repeat(6_000));
    refused_for(module("", &locals, "(i64.const 1)"), "locals in one function, the limit is 5000");
    let locals = format!("(func (local {}))", "i64 ".repeat(4_999)).repeat(50);
    refused_for(
        module("", &locals, "(i64.const 1)"),
        "locals in all functions, the limit is 200000",
    );
    let branchy = format!(
        "(func (param i32) (local {}) {})",
        "i64 ".repeat(4_900),
        "(if (local.get 0) (then (local.set 1 (i64.const 1))))".repeat(7_000)
    );
    refused_for(
        module("", &branchy, "(i64.const 1)"),
        "locals times bytes in all functions, the limit is 256000000",
    );
    let wide = format!("(func (param {}))", "i32 ".repeat(65));
    refused_for(module("", &wide, "(i64.const 1)"), "parameters in one type, the limit is 64");
    let gateway = Gateway::new();
    let padded = [b"\0asm\x01\0\0\0".as_slice(), &vec![0; 5 << 20]].concat();
    let error = gateway.load("bad", padded).unwrap_err().to_string();
    assert!(error.ends_with("it has 5242888 bytes, the limit is 4194304"), "{error}");
}

/// The slowest modules that the bounds let through.
#[test]
fn what_the_bounds_let_through_compiles_in_time() {
    let gateway = Gateway::new();
    let targets = "0 1 ".repeat(30_000);
    let table = format!("(func (block (block (br_table {targets} (i32.const 7)))))");
    let nested = format!(
        "(func (local i32) {} {})",
        "(block ".repeat(500),
        "(br_if 0 (local.get 0)) )".repeat(500)
    );
    let many = "(func (result i32) (i32.const 1))".repeat(1_000);
    for (name, fields) in [("br_table", table), ("nested", nested), ("functions", many)] {
        let start = Instant::now();
        let loaded = gateway.load(name, module("", &fields, "(i64.const 1)"));
        assert!(loaded.is_ok(), "{name}: {loaded:?}");
        assert!(start.elapsed() < BOUND, "{name} took {:?}", start.elapsed());
    }
}

#[test]
fn text_errors_have_a_place() {
    let text = refused("(module\n  (func $f\n    (i32.bogus)))");
    assert!(text.contains("unknown operator") && text.contains(":3:6"), "{text}");
    refused_for("hello", "neither a wasm module nor its text form");
    refused_for("", "neither a wasm module nor its text form");
    refused_for([0xff, 0xfe, 0], "neither a wasm module nor its text form");
}

#[test]
fn a_self_test_that_fails_refuses_the_module() {
    let say = r#"(data (i32.const 256) "the sky is green")
        (func (export "self_test") (result i32)
          (call $log (i32.const 0) (i32.const 256) (i32.const 16)) (i32.const 3))"#;
    refused_for(module(LOG, say, "(i64.const 1)"), "self_test returned 3: the sky is green");
    let trap = "(func (export \"self_test\") (result i32) (unreachable))";
    refused_for(module("", trap, "(i64.const 1)"), "it trapped: wasm trap: wasm `unreachable`");
}

#[test]
fn an_instance_that_failed_is_never_used_again() {
    let text = module(
        "",
        "(global $seen (mut i32) (i32.const 0))",
        "(if (i32.eqz (i32.load16_u (i32.const 42))) (then (global.set $seen (i32.const 1)) (unreachable)))
         (if (global.get $seen) (then (return (i64.const 2))))
         (i64.const 1)",
    );
    let gateway = Gateway::new();
    let policy = gateway.load("tainted", text).unwrap();
    let mut runner = runner(&[&policy]);
    let mut ask = |dport| runner.decide(0, 0, &mut Request { dport, ..Request::default() }).action;
    assert_eq!(ask(1), Action::Pass);
    assert_eq!(ask(0), Action::Failed);
    assert_eq!(ask(1), Action::Pass);
}

#[test]
fn a_policy_that_fails_on_and_on_is_held_off_and_comes_back() {
    let text = module(
        "",
        "",
        "(if (i32.eqz (i32.load16_u (i32.const 42))) (then (unreachable))) (i64.const 1)",
    );
    let gateway = Gateway::new();
    let policy = gateway.load("flaky", text).unwrap();
    let mut runner = runner(&[&policy]);
    let mut ask = |ms: u64, dport| {
        let mut request = Request { dport, ..Request::default() };
        runner.decide(1_000_000_000 + ms * 1_000_000, 0, &mut request).action
    };
    for _ in 0..1000 {
        assert_eq!(ask(0, 0), Action::Failed);
    }
    assert_eq!(policy.stats().traps, 8);
    assert_eq!(policy.stats().held_off, 992);
    assert_eq!(ask(19, 1), Action::Failed, "held off");
    assert_eq!(ask(20, 1), Action::Pass, "an instance every 20 ms");
    for ms in 21..1021 {
        assert_eq!(ask(ms, 1), Action::Pass, "a good instance stays");
    }
    let made = policy.stats().instances;
    for ms in 1021..2021 {
        ask(ms, 0);
    }
    assert!(policy.stats().instances - made <= 8 + 50, "bounded over a second of failures");
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let good = wat::parse_str(module(
        LOG,
        r#"(table 2 funcref) (data (i32.const 64) "abcdefgh")
           (func (export "init") (result i32) (i32.const 0))"#,
        "(call $log (i32.const 1) (i32.const 64) (i32.const 8))
         (i64.extend_i32_u (i32.load (local.get 0)))",
    ))
    .unwrap();
    let len = good.len();
    (prop::collection::vec((0..len, any::<u8>()), 0..4), 0..=len).prop_map(move |(edits, cut)| {
        let mut bytes = good.clone();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        if cut % 3 == 0 {
            bytes.truncate(cut);
        }
        bytes
    })
}

thread_local! {
    static GATEWAY: Gateway = Gateway::new();
}

fn loads_and_answers_or_is_refused(bytes: &[u8]) {
    GATEWAY.with(|gateway| {
        if let Ok(policy) = gateway.load("random", bytes) {
            ask(&mut runner(&[&policy]));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), header: bool) {
        let bytes = if header { [b"\0asm\x01\0\0\0".to_vec(), bytes].concat() } else { bytes };
        loads_and_answers_or_is_refused(&bytes);
    }

    #[test]
    fn damaged_modules_are_refused_or_contained(bytes in mutated()) {
        loads_and_answers_or_is_refused(&bytes);
    }

    #[test]
    fn any_verdict_word_gives_a_decision(word: i64) {
        loads_and_answers_or_is_refused(says(word).as_bytes());
    }
}

#[test]
fn a_truncated_module_is_refused_at_every_length() {
    let whole = wat::parse_str(says(PASS)).unwrap();
    let gateway = Gateway::new();
    for len in 0..whole.len() {
        assert!(gateway.load("cut", &whole[..len]).is_err(), "{len} bytes were taken");
    }
    assert!(gateway.load("whole", &whole).is_ok());
}

#[test]
fn refusals_are_typed() {
    let gateway = Gateway::new();
    let error = gateway.load("bad", "(module)").unwrap_err();
    let evergate_policy::LoadError::Refused { refusal, .. } = error else { panic!("{error}") };
    assert!(matches!(refusal, Refusal::MissingExport { name: "memory", .. }), "{refusal}");
}
