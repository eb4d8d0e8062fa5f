//! The ready policies that look into payload: native code, committed wasm and claims agree.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::path::Path;

use common::{Gateway, runner};
use evergate_dns_filter::DnsFilter;
use evergate_guest::testing::{self, Request, Suite};
use evergate_guest::{Inspect, Verdict};
use evergate_policy::{Action, Decision, Limits, Params, Payload, Runner, Value};
use evergate_tls_sni::TlsSni;

fn start(name: &str, suite: &Suite) -> Runner {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../policies/{name}/{name}.wasm"));
    let mut params = Params::new();
    for (key, values) in suite.config {
        let value = |value: &testing::Value| match value {
            testing::Value::Int(n) => Value::Int(*n),
            testing::Value::Text(text) => Value::from(*text),
            testing::Value::Bool(yes) => Value::Bool(*yes),
        };
        params.insert(key, values.iter().map(value).collect()).unwrap();
    }
    let gateway = Gateway::with_interfaces(suite.interfaces);
    let wasm = std::fs::read(path).unwrap();
    runner(&[&gateway.load_with(name, wasm, Limits::default(), &params).unwrap()])
}

/// Shows a payload to both builds of a policy; what wasm says is compared with the claim.
fn both_say<P: Inspect>(
    (native, wasm): (&mut P, &mut Runner),
    request: &Request,
    (bytes, end): (&[u8], bool),
    expected: Option<Verdict>,
    claim: &str,
) {
    let said = testing::inspect(native, request, bytes, end);
    if let Some(expected) = expected {
        assert_eq!(said, expected, "native: {claim}");
    }
    let said = said.into_abi();
    let action = match said.action {
        evergate_guest::Action::Continue => Action::Default,
        evergate_guest::Action::Pass => Action::Pass,
        evergate_guest::Action::Block => Action::Block,
        evergate_guest::Action::ReturnRst => Action::ReturnRst,
        evergate_guest::Action::ReturnIcmp => Action::ReturnIcmp { code: said.icmp_code },
        evergate_guest::Action::Inspect => return,
    };
    let decision = wasm.inspect(0, 0, &mut { *request }, 0, Payload { bytes, end });
    let Decision { action: found, rule, each, log, .. } = decision;
    let expected_rule = if action == Action::Default { 0 } else { said.rule };
    assert_eq!((found, rule, each, log), (action, expected_rule, said.each, said.log), "{claim}");
}

#[test]
fn tls_sni_says_the_same_natively_and_in_wasm() {
    let request = testing::forwarded(1, 2, testing::tcp("10.0.0.5:4000", "192.0.2.1:443"));
    for (suite, streams) in evergate_tls_sni::cases::suites() {
        let mut native = testing::start::<TlsSni>(&suite).ok().unwrap();
        let mut wasm = start("tls-sni", &suite);
        for case in streams {
            let shown = (case.payload.as_slice(), case.end);
            let both = (&mut native, &mut wasm);
            both_say(both, &request, shown, Some(case.verdict), case.claim);
            for at in 0..case.payload.len() {
                let mut broken = case.payload.clone();
                broken[at] ^= 0x5a;
                both_say((&mut native, &mut wasm), &request, (&broken, true), None, case.claim);
            }
        }
    }
}

#[test]
fn dns_filter_says_the_same_natively_and_in_wasm() {
    for (suite, messages) in evergate_dns_filter::cases::suites() {
        let mut native = testing::start::<DnsFilter>(&suite).ok().unwrap();
        let mut wasm = start("dns-filter", &suite);
        for case in messages {
            let shown = (case.payload.as_slice(), case.end);
            let both = (&mut native, &mut wasm);
            both_say(both, &case.request, shown, Some(case.verdict), case.claim);
            for at in 0..case.payload.len() {
                let mut broken = case.payload.clone();
                broken[at] ^= 0x5a;
                let both = (&mut native, &mut wasm);
                both_say(both, &case.request, (&broken, true), None, case.claim);
            }
        }
    }
}

/// Lists as long as they may be are gone through within the fuel of one decision.
#[test]
fn the_longest_list_fits_the_default_fuel() {
    let mut params = Params::new();
    let names = (0..200).map(|n| Value::Text(format!("*.host-{n:03}.example.com")));
    let names: Vec<Value> = names.take(4096 / (5 + 21)).collect();
    params.insert("deny", names.clone()).unwrap();
    params.insert("allow", vec![Value::from("*.com")]).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/tls-sni/tls-sni.wasm");
    let gateway = Gateway::new();
    let wasm = std::fs::read(path).unwrap();
    let policy = gateway.load_with("tls-sni", wasm, Limits::default(), &params).unwrap();
    let hello = evergate_tls_sni::cases::hello(Some("www.host-999.example.com"), 16_384);
    let request = testing::forwarded(1, 2, testing::tcp("10.0.0.5:4000", "192.0.2.1:443"));
    let payload = Payload { bytes: &hello, end: false };
    let decision = runner(&[&policy]).inspect(0, 0, &mut { request }, 0, payload);
    assert_eq!(decision.action, Action::Default, "{:?}", policy.stats().last_failure);
}
