//! Chains, their replacement under traffic, and what host functions give to guests.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{BLOCK, CONTINUE, Gateway, PASS, ask, module, runner, says};
use evergate_abi::{IMPORTS, ValueType, Verdict};
use evergate_policy::{
    Action, Chain, ChainTooLong, Compiler, CompilerConfig, Keep, Limits, LogLevel, Params, Policy,
    Request, Runner, SharedChain, TimeoutOverrides, Value,
};

/// A module that answers with this verdict, record and all.
fn answers(fields: &str, verdict: &Verdict) -> String {
    let record: String = verdict.encode_record().iter().map(|b| format!("\\{b:02x}")).collect();
    let word = verdict.encode_word(64);
    module(
        "",
        &format!("(data (i32.const 64) \"{record}\") {fields}"),
        &format!("(i64.const {word})"),
    )
}

#[test]
fn an_empty_chain_leaves_the_default() {
    let decision = ask(&mut runner(&[]));
    assert_eq!((decision.action, decision.policy), (Action::Default, 0));
}

#[test]
fn policies_are_asked_in_order_until_one_decides() {
    let gateway = Gateway::new();
    let log_and_go_on = gateway.load("a", says(0x0007_0100)).unwrap();
    let pass = gateway.load("b", says(0x0009_0001)).unwrap();
    let block = gateway.load("c", says(BLOCK)).unwrap();
    let decision = ask(&mut runner(&[&log_and_go_on, &pass, &block]));
    assert_eq!((decision.action, decision.policy, decision.rule), (Action::Pass, 1, 9));
    assert!(decision.log, "the first policy asked to log");
    let decision = ask(&mut runner(&[&log_and_go_on]));
    assert_eq!((decision.action, decision.policy, decision.rule), (Action::Default, 1, 0));
}

#[test]
fn every_part_of_a_verdict_reaches_the_decision() {
    let gateway = Gateway::new();
    for name in ["one", "two"] {
        gateway.environment.tags.intern(name).unwrap();
        gateway.environment.labels.intern(name).unwrap();
    }
    let timeouts = TimeoutOverrides { first_s: 1, closed_s: 6, ..TimeoutOverrides::NONE };
    let verdict = Verdict {
        action: evergate_abi::Action::ReturnIcmp,
        log: true,
        allow_options: true,
        each: true,
        rule: 77,
        keep: Keep::Loose,
        icmp_code: Some(13),
        tag: 2,
        label: 1,
        timeouts,
        inspect: 0,
    };
    let policy = gateway.load("full", answers("", &verdict)).unwrap();
    let mut request = Request::default();
    let decision = runner(&[&policy]).decide(0, 0, &mut request);
    assert_eq!(decision.action, Action::ReturnIcmp { code: Some(13) });
    assert_eq!(
        (decision.rule, decision.keep, decision.tag, decision.label),
        (77, Keep::Loose, 2, 1)
    );
    assert_eq!(
        (decision.log, decision.allow_options, decision.each, decision.timeouts),
        (true, true, true, Some(timeouts))
    );
    assert_eq!(request.tag, 2);
}

#[test]
fn a_tag_is_carried_to_later_policies() {
    let gateway = Gateway::new();
    let tag = gateway.environment.tags.intern("guest").unwrap();
    let set = Verdict { tag, ..Verdict::new(evergate_abi::Action::Continue) };
    let set = gateway.load("set", answers("", &set)).unwrap();
    let read = "(i64.or (i64.const 1) (i64.shl (i64.load16_u (i32.const 56)) (i64.const 16)))";
    let read = gateway.load("read", module("", "", read)).unwrap();
    let decision = ask(&mut runner(&[&set, &read]));
    assert_eq!((decision.rule, decision.tag), (tag, tag));
}

#[test]
fn a_failure_ends_the_chain() {
    let gateway = Gateway::new();
    let trap = gateway.load("trap", module("", "", "(unreachable)")).unwrap();
    let pass = gateway.load("pass", says(PASS)).unwrap();
    let decision = ask(&mut runner(&[&trap, &pass]));
    assert_eq!((decision.action, decision.policy), (Action::Failed, 0));
}

#[test]
fn a_chain_is_bounded() {
    let gateway = Gateway::new();
    let policy = gateway.load("p", says(PASS)).unwrap();
    assert!(Chain::new(vec![Arc::clone(&policy); 64]).is_ok());
    assert_eq!(Chain::new(vec![policy; 65]).unwrap_err(), ChainTooLong(65));
}

#[test]
fn a_swap_is_seen_by_the_next_decision_and_keeps_unchanged_instances() {
    let gateway = Gateway::new();
    let counting = "(global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i64.shl (i64.extend_i32_u (global.get $n)) (i64.const 16))";
    let counting = module("", "(global $n (mut i32) (i32.const 0))", counting);
    let kept =
        gateway.load("kept", counting.replace("(i64.shl", "(i64.or (i64.const 1) (i64.shl") + ")");
    let kept = kept.unwrap_or_else(|e| panic!("{e}"));
    let go_on = gateway.load("go-on", says(CONTINUE)).unwrap();
    let block = gateway.load("block", says(BLOCK)).unwrap();
    let chain = |policies: Vec<&Arc<Policy>>| {
        Chain::new(policies.into_iter().map(Arc::clone).collect()).unwrap()
    };
    let shared = Arc::new(SharedChain::new(chain(vec![&kept])));
    let mut runner = Runner::new(Arc::clone(&shared));
    assert_eq!(ask(&mut runner).rule, 1);
    shared.store(chain(vec![&go_on, &kept]));
    let decision = ask(&mut runner);
    assert_eq!((decision.policy, decision.rule), (1, 2), "the same instance went on counting");
    shared.store(chain(vec![&block, &kept]));
    assert_eq!(ask(&mut runner).action, Action::Block);
    assert_eq!(shared.load().policies()[0].name(), "block");
    assert_eq!(shared.generation(), 2);
}

#[test]
fn chains_are_swapped_under_traffic_of_several_workers() {
    let gateway = Gateway::new();
    let first = gateway.load("first", says(0x0001_0001)).unwrap();
    let second = gateway.load("second", says(0x0002_0002)).unwrap();
    let chain = |policy: &Arc<Policy>| Chain::new(vec![Arc::clone(policy)]).unwrap();
    let shared = Arc::new(SharedChain::new(chain(&first)));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let mut runner = Runner::new(Arc::clone(&shared));
                let stop = &stop;
                scope.spawn(move || {
                    let mut seen = [0u64; 2];
                    while !stop.load(Ordering::Relaxed) || seen.contains(&0) {
                        match ask(&mut runner) {
                            d if d.action == Action::Pass && d.rule == 1 => seen[0] += 1,
                            d if d.action == Action::Block && d.rule == 2 => seen[1] += 1,
                            other => panic!("{other:?}"),
                        }
                    }
                    seen
                })
            })
            .collect();
        for n in 0..200 {
            shared.store(chain(if n % 2 == 0 { &second } else { &first }));
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        // A worker that has not seen both yet needs more swaps.
        while workers.iter().any(|worker| !worker.is_finished()) {
            shared.store(chain(&second));
            std::thread::yield_now();
            shared.store(chain(&first));
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_policy_knows_its_name_hash_and_size() {
    let gateway = Gateway::new();
    let text = says(PASS);
    let policy = gateway.load("who", &text).unwrap();
    assert_eq!((policy.name(), policy.size(), policy.abi_version()), ("who", text.len(), 1));
    assert_eq!(policy.hash_hex().len(), 64);
    assert_eq!(policy.hash_hex(), gateway.load("other", &text).unwrap().hash_hex());
    assert_ne!(policy.hash_hex(), gateway.load("other", says(BLOCK)).unwrap().hash_hex());
    let error = gateway.load("no name", &text).unwrap_err();
    assert!(error.to_string().starts_with("`no name` cannot name a policy"), "{error}");
}

#[test]
fn decisions_are_counted_in_batches_and_at_the_end() {
    let gateway = Gateway::new();
    let policy = gateway.load("p", says(PASS)).unwrap();
    let mut runner = runner(&[&policy]);
    for _ in 0..100 {
        ask(&mut runner);
    }
    assert_eq!(policy.stats().decisions, 64);
    drop(runner);
    assert_eq!(policy.stats().decisions, 100);
}

/// The linker offers exactly what the ABI lists, with those types.
#[test]
fn every_listed_import_is_offered() {
    let wat_type = |ty: &ValueType| match ty {
        ValueType::I32 => "i32",
        ValueType::I64 => "i64",
    };
    let imports: String = IMPORTS
        .iter()
        .map(|function| {
            let params: Vec<_> = function.params.iter().map(|(_, ty)| wat_type(ty)).collect();
            let result = function.result.as_ref().map(wat_type);
            format!(
                "(import \"evergate\" \"{}\" (func (param {}) (result {})))",
                function.name,
                params.join(" "),
                result.unwrap_or("")
            )
        })
        .collect();
    Gateway::new().load("all", module(&imports, "", "(i64.const 1)")).unwrap();
}

#[test]
fn settings_are_read_by_index_and_kind() {
    let mut params = Params::new();
    let values = vec![Value::Int(-5), Value::Bool(true), Value::from("text")];
    params.insert("key", values).unwrap();
    let imports = r#"
        (import "evergate" "config_int" (func $int (param i32 i32 i32) (result i64)))
        (import "evergate" "config_str" (func $str (param i32 i32 i32 i32 i32) (result i32)))
        (import "evergate" "log" (func $log (param i32 i32 i32)))"#;
    let check = |condition: &str, code: u32| {
        format!("(if (i32.eqz {condition}) (then (return (i32.const {code}))))")
    };
    let int = |index: i32, value: i64| {
        format!(
            "(i64.eq (call $int (i32.const 64) (i32.const 3) (i32.const {index})) (i64.const {value}))"
        )
    };
    let text = |index: i32, cap: u32, len: i32| {
        format!(
            "(i32.eq (call $str (i32.const 64) (i32.const 3) (i32.const {index}) \
             (i32.const 128) (i32.const {cap})) (i32.const {len}))"
        )
    };
    let body = [
        check(&int(0, -5), 1),
        check(&int(1, 1), 2),
        check(&int(2, i64::MIN), 3),
        check(&int(3, i64::MIN), 4),
        check(&int(-1, i64::MIN), 5),
        check(&text(0, 9, -1), 6),
        check(&text(2, 3, 4), 7),
        check("(i32.eqz (i32.load (i32.const 128)))", 8),
        check(&text(2, 4, 4), 9),
        check("(i32.eq (i32.load (i32.const 128)) (i32.const 0x74786574))", 10),
        "(call $log (i32.const 2) (i32.const 128) (i32.const 4)) (i32.const 0)".to_owned(),
    ]
    .concat();
    let fields =
        format!("(data (i32.const 64) \"key\") (func (export \"init\") (result i32) {body})");
    let gateway = Gateway::new();
    let text = module(imports, &fields, "(i64.const 1)");
    gateway.load_with("reader", text, Limits::default(), &params).unwrap();
    let lines = gateway.environment.log.drain();
    assert_eq!((lines[0].level, lines[0].text.as_str()), (LogLevel::Info, "text"));
}

#[test]
fn tables_counters_clock_and_chance_reach_the_guest() {
    let gateway = Gateway::new();
    gateway.environment.tables.create("t").unwrap();
    let imports = r#"
        (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
        (import "evergate" "table_match" (func $match (param i32 i32) (result i32)))
        (import "evergate" "count" (func $count (param i32 i64)))
        (import "evergate" "clock" (func $clock (param i32) (result i64)))
        (import "evergate" "random" (func $random (result i64)))"#;
    let fields = r#"(data (i32.const 64) "t")
        (func (export "init") (result i32)
          (i32.or (call $resolve (i32.const 0) (i32.const 64) (i32.const 1))
                  (call $resolve (i32.const 1) (i32.const 64) (i32.const 1))))"#;
    let body = "
        (if (i64.eq (call $random) (call $random)) (then (unreachable)))
        (call $count (i32.const 0) (call $clock (i32.const 1)))
        (i64.or (i64.extend_i32_u (i32.add (i32.const 1)
                  (call $match (i32.const 0) (i32.const 8))))
                (i64.shl (call $clock (i32.const 0)) (i64.const 16)))";
    let policy = gateway.load("p", module(imports, fields, body)).unwrap();
    let mut runner = runner(&[&policy]);
    let mut request = Request::default();
    request.src[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
    let decision = runner.decide(1234, 1000, &mut request);
    assert_eq!((decision.action, decision.rule), (Action::Pass, 1234));
    gateway.environment.tables.add("t", &["10.0.0.0/8".parse().unwrap()]).unwrap();
    assert_eq!(runner.decide(1, 1, &mut request).action, Action::Block, "tables change at once");
    assert_eq!(gateway.environment.counters.value("p/t"), Some(1001));
}

#[test]
fn the_cache_directory_is_used_and_a_bad_one_is_named() {
    let directory = std::env::temp_dir().join(format!("evergate-cache-{}", std::process::id()));
    let config = CompilerConfig { cache_dir: Some(directory.clone()), ..CompilerConfig::default() };
    let gateway = Gateway::new();
    for _ in 0..2 {
        let compiler = Compiler::new(config.clone()).unwrap();
        let (limits, params) = (Limits::default(), Params::new());
        let loaded =
            compiler.load("p", says(PASS).as_bytes(), limits, &params, &gateway.environment);
        assert_eq!(ask(&mut runner(&[&loaded.unwrap()])).action, Action::Pass);
        assert!(std::fs::read_dir(&directory).unwrap().next().is_some(), "something is cached");
    }
    // The cache's own thread may still be writing its statistics there.
    while std::fs::remove_dir_all(&directory).is_err() && directory.exists() {
        std::thread::yield_now();
    }
    let config = CompilerConfig { cache_dir: Some("relative".into()), ..CompilerConfig::default() };
    let error = Compiler::new(config).unwrap_err().to_string();
    assert!(error.starts_with("cannot use relative as cache of compiled policies"), "{error}");
}

#[test]
fn the_ticker_stops_when_it_is_dropped() {
    let config = CompilerConfig { tick: Duration::ZERO, ..CompilerConfig::default() };
    let compiler = Compiler::new(config).unwrap();
    drop(compiler.start_ticker().unwrap());
    drop(compiler.start_ticker().unwrap());
}
