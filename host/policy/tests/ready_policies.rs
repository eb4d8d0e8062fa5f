//! The ready policies and the one by hand: native code, committed wasm and claims agree.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Gateway, runner};
use evergate_guest::testing::{
    self, Suite, forwarded, from_gateway, icmp, icmp6, tcp, to_gateway, udp,
};
use evergate_guest::{Policy, Verdict};
use evergate_home::Home;
use evergate_policy::{
    Action, Decision, Entry, Keep, Limits, LoadError, Params, Request, Runner, TimeoutOverrides,
    Value,
};
use evergate_strict_web::StrictWeb;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn params(suite: &Suite) -> Params {
    let mut params = Params::new();
    for (name, values) in suite.config {
        let value = |value: &testing::Value| match value {
            testing::Value::Int(n) => Value::Int(*n),
            testing::Value::Text(text) => Value::from(*text),
            testing::Value::Bool(yes) => Value::Bool(*yes),
        };
        params.insert(name, values.iter().map(value).collect()).unwrap();
    }
    params
}

/// Starts the committed wasm of a policy on the suite's gateway.
fn start(name: &str, suite: &Suite) -> Runner {
    let path = repository().join(format!("policies/{name}/{name}.wasm"));
    let wasm = std::fs::read(path).unwrap();
    let gateway = Gateway::with_interfaces(suite.interfaces);
    for (table, entries) in suite.tables {
        gateway.environment.tables.create(table).unwrap();
        let entries: Vec<Entry> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        gateway.environment.tables.add(table, &entries).unwrap();
    }
    let policy = gateway.load_with(name, wasm, Limits::default(), &params(suite)).unwrap();
    runner(&[&policy])
}

/// The decision that a chain of one policy makes of its verdict.
fn expected(verdict: Verdict) -> Decision {
    let verdict = verdict.into_abi();
    let action = match verdict.action {
        evergate_guest::Action::Continue => Action::Default,
        evergate_guest::Action::Pass => Action::Pass,
        evergate_guest::Action::Block => Action::Block,
        evergate_guest::Action::ReturnRst => Action::ReturnRst,
        evergate_guest::Action::ReturnIcmp => Action::ReturnIcmp { code: verdict.icmp_code },
        evergate_guest::Action::Inspect => Action::Inspect { bytes: verdict.inspect },
    };
    let timeouts = (verdict.timeouts != TimeoutOverrides::NONE).then_some(verdict.timeouts);
    Decision {
        action,
        policy: 0,
        rule: verdict.rule,
        keep: verdict.keep,
        tag: verdict.tag,
        label: verdict.label,
        log: verdict.log,
        timeouts,
        allow_options: verdict.allow_options,
        each: verdict.each,
    }
}

fn native_and_wasm_agree<P: Policy>(name: &str, suites: &[Suite]) {
    for suite in suites {
        let native = testing::run::<P>(suite).unwrap_or_else(|e| panic!("{}", e.text()));
        let mut wasm = start(name, suite);
        for (case, native) in suite.cases.iter().zip(native) {
            let mut request = case.request;
            let decision = wasm.decide(case.at_ms * 1_000_000, 0, &mut request);
            let claim = format!("{name}, {}: {}", suite.name, case.claim);
            assert_eq!(native, case.verdict, "native: {claim}");
            assert_eq!(decision, expected(native), "wasm: {claim}");
        }
    }
}

#[test]
fn home_says_the_same_natively_and_in_wasm() {
    native_and_wasm_agree::<Home>("home", &evergate_home::cases::suites());
}

#[test]
fn strict_web_says_the_same_natively_and_in_wasm() {
    native_and_wasm_agree::<StrictWeb>("strict-web", &evergate_strict_web::cases::suites());
}

/// Packets that nobody thought of: the two builds agree on them too.
#[test]
fn native_and_wasm_agree_on_odd_packets() {
    let suite = &evergate_home::cases::suites()[0];
    let strict = &evergate_strict_web::cases::suites()[0];
    let (mut home, mut web) = (start("home", suite), start("strict-web", strict));
    let mut requests = Vec::new();
    for case in suite.cases.iter().chain(&strict.cases) {
        for proto in [0, 1, 6, 17, 58, 132] {
            for port in [0, 22, 53, 80, 113, 123, 443, 6005, 65535] {
                for in_if in [0, 1, 2, 3, 0xffff] {
                    requests.push(Request { proto, dport: port, in_if, ..case.request });
                }
            }
        }
    }
    let mut native_home = testing::start::<Home>(suite).ok().unwrap();
    for (second, request) in requests.iter().enumerate() {
        let ms = second as u64 * 1000;
        let native = testing::decide(&mut native_home, ms, request);
        let wasm = home.decide(ms * 1_000_000, 0, &mut { *request });
        assert_eq!(wasm, expected(native), "{request:?}");
    }
    let mut native_web = testing::start::<StrictWeb>(strict).ok().unwrap();
    for request in &requests {
        let native = testing::decide(&mut native_web, 0, request);
        let wasm = web.decide(0, 0, &mut { *request });
        assert_eq!(wasm, expected(native), "{request:?}");
    }
    assert!(requests.len() > 10_000);
}

#[test]
fn a_refusal_of_init_reaches_the_operator_in_words() {
    let wasm = std::fs::read(repository().join("policies/home/home.wasm")).unwrap();
    let gateway = Gateway::with_interfaces(&["self", "lan"]);
    let error = gateway.load("home", wasm).unwrap_err();
    assert!(matches!(error, LoadError::Start { .. }));
    assert_eq!(
        error.to_string(),
        "policy home: does not start: init returned 1: setting `outside`: there is no interface `wan`"
    );
}

#[test]
fn a_setting_that_a_policy_does_not_know_is_noticed() {
    let gateway = Gateway::new();
    for (name, known) in [("home", "tcp_in"), ("strict-web", "gateway_tcp")] {
        let wasm =
            std::fs::read(repository().join(format!("policies/{name}/{name}.wasm"))).unwrap();
        let mut params = Params::new();
        params.insert(known, vec![Value::Int(22)]).unwrap();
        params.insert("tcp_inn", vec![Value::Int(22)]).unwrap();
        let policy = gateway.load_with(name, wasm, Limits::default(), &params).unwrap();
        assert_eq!(policy.unread_settings(), ["tcp_inn"]);
    }
}

#[test]
fn the_committed_wasm_is_what_the_source_builds_to() {
    let script = repository().join("policies/build");
    let probe = Command::new(&script).arg("--probe").output().unwrap();
    if !probe.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&probe.stderr).trim());
        return;
    }
    let output = Command::new(&script).arg("--check").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_policy_by_hand_does_what_its_readme_says() {
    let text = std::fs::read(repository().join("examples/wat-policy/policy.wat")).unwrap();
    let gateway = Gateway::new();
    gateway.environment.tables.create("resolvers").unwrap();
    gateway.environment.tables.add("resolvers", &["9.9.9.9".parse().unwrap()]).unwrap();
    let policy = gateway.load("office", text).unwrap();
    let mut runner = runner(&[&policy]);
    const HOST: &str = "10.0.0.5:4000";
    let out = |packet| forwarded(1, 2, packet);
    let prohibited = Action::ReturnIcmp { code: Some(13) };
    for (claim, request, action, rule) in [
        ("the gateway itself", from_gateway(2, tcp(HOST, "1.1.1.1:25")), Action::Pass, 1),
        ("neighbours", to_gateway(2, icmp6("fe80::1", "fe80::2", 136, 255)), Action::Pass, 2),
        (
            "neighbours from afar",
            to_gateway(2, icmp6("2a00::1", "fe80::2", 136, 64)),
            Action::Block,
            3,
        ),
        ("from outside", forwarded(2, 1, tcp("1.1.1.1:80", HOST)), Action::Block, 3),
        ("from anywhere", forwarded(0xffff, 1, tcp("1.1.1.1:80", HOST)), Action::Block, 3),
        ("HTTP", out(tcp(HOST, "1.1.1.1:80")), Action::Pass, 4),
        ("HTTPS", out(tcp("[fd00::5]:4000", "[2a00::1]:443")), Action::Pass, 4),
        ("no HTTP/3", out(udp(HOST, "1.1.1.1:443")), prohibited, 7),
        ("DNS", out(udp(HOST, "9.9.9.9:53")), Action::Pass, 5),
        ("DNS over TCP", out(tcp(HOST, "9.9.9.9:53")), Action::Pass, 5),
        ("DNS to others", out(udp(HOST, "8.8.8.8:53")), prohibited, 7),
        ("DNS over TCP to others", out(tcp(HOST, "8.8.8.8:53")), Action::ReturnRst, 7),
        ("a ping", out(icmp("10.0.0.5", "1.1.1.1", 8, 0)), Action::Pass, 6),
        ("an IPv6 ping", out(icmp6("fd00::5", "2a00::1", 128, 64)), Action::Pass, 6),
        (
            "IPv6 errors",
            out(udp("[fd00::5]:9", "[2a00::1]:9")),
            Action::ReturnIcmp { code: None },
            7,
        ),
    ] {
        let decision = runner.decide(0, 0, &mut { request });
        assert_eq!((decision.action, decision.rule), (action, rule), "{claim}");
        let keep = if rule == 2 { Keep::None } else { Keep::State };
        assert_eq!(decision.keep, keep, "{claim}");
    }
    let mut flood = || runner.decide(0, 0, &mut out(icmp("10.0.0.6", "1.1.1.1", 8, 0))).rule == 6;
    assert_eq!((0..30).filter(|_| flood()).count(), 10, "ten pings at once");
    assert_eq!(gateway.environment.counters.value("office/refused"), Some(24));
}
