//! The policies in Rust, compiled for this machine: they say what the corpus says as well.

#![allow(unreachable_pub, reason = "the policies are crates of their own elsewhere")]

use evergate_guest::testing;
use evergate_guest::{Action, Keep, Policy};
use evergate_policy::{Params, Request, Value};

use crate::corpus::{Corpus, INTERFACES, Packet, Shown, Suite, Verdict};

#[path = "../../../../guest-sdk/rust/examples/blocklist.rs"]
mod blocklist;
#[path = "../../../../guest-sdk/rust/examples/dns-labels.rs"]
mod dns_labels;
#[path = "../../../../guest-sdk/rust/examples/port-list.rs"]
mod port_list;
#[path = "../../../../guest-sdk/rust/examples/rate-limit.rs"]
mod rate_limit;
#[path = "../../../../guest-sdk/rust/examples/time-of-day.rs"]
mod time_of_day;

type Config = Vec<(&'static str, &'static [testing::Value])>;
type Tables = Vec<(&'static str, &'static [&'static str])>;

/// Gives a suite the lifetime that the test kit's suites have; tests are short.
fn suite(suite: &Suite) -> testing::Suite {
    let text = |text: &str| &*text.to_owned().leak();
    let tables: Tables = suite
        .tables
        .iter()
        .map(|(name, entries)| {
            let entries: Vec<&'static str> = entries.iter().map(|entry| text(entry)).collect();
            (text(name), &*entries.leak())
        })
        .collect();
    testing::Suite {
        name: text(&suite.name),
        interfaces: &INTERFACES,
        tables: tables.leak(),
        config: config(&suite.settings).leak(),
        cases: Vec::new(),
    }
}

fn config(settings: &Params) -> Config {
    let value = |value: &Value| match value {
        Value::Int(n) => testing::Value::Int(*n),
        Value::Text(text) => testing::Value::Text(text.clone().leak()),
        Value::Bool(yes) => testing::Value::Bool(*yes),
    };
    let one = |(name, values): (&str, &[Value])| {
        let values: Vec<testing::Value> = values.iter().map(value).collect();
        (&*name.to_owned().leak(), &*values.leak())
    };
    settings.iter().map(one).collect()
}

fn told<'a>(verdict: evergate_guest::Verdict, names: &Verdict<'a>, tag: u16) -> Verdict<'a> {
    let verdict = verdict.into_abi();
    let action = match verdict.action {
        Action::Continue => "continue",
        Action::Pass => "pass",
        Action::Block => "block",
        Action::ReturnRst => "rst",
        Action::ReturnIcmp => "icmp",
        Action::Inspect => "inspect",
    };
    let keep = match verdict.keep {
        Keep::State => None,
        Keep::None => Some("none"),
        Keep::Sloppy => Some("sloppy"),
        Keep::Loose => Some("loose"),
    };
    let tag = if verdict.tag == 0 { tag } else { verdict.tag };
    Verdict {
        action,
        icmp_code: verdict.icmp_code,
        rule: verdict.rule,
        label: if verdict.label == names.label.map_or(0, testing::label) {
            names.label
        } else {
            Some("?")
        },
        tag: if tag == names.tag.map_or(0, testing::tag) { names.tag } else { Some("?") },
        log: verdict.log,
        each: verdict.each,
        keep,
        allow_options: verdict.allow_options,
    }
}

/// How a policy is asked about payload, if it can be.
type Ask<P> = fn(&mut P, &Request, &[u8], bool) -> evergate_guest::Verdict;

fn check<P: Policy>(name: &str, inspect: Option<Ask<P>>) {
    let (_, text) = crate::POLICIES.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = Corpus::parse(text);
    for suite in &corpus.suites {
        check_suite::<P>(name, suite, inspect);
    }
    for refusal in &corpus.refusals {
        let settings = refusal.settings();
        let suite = self::suite(&Suite {
            name: "refusal".to_owned(),
            settings: settings.clone(),
            tables: refusal.tables.clone(),
            cases: Vec::new(),
            counters: Default::default(),
        });
        let Err(refused) = testing::start::<P>(&suite) else {
            panic!("{name} took {settings:?}");
        };
        assert!(refused.text().contains(&refusal.says), "{name}: {}", refused.text());
    }
}

fn check_suite<P: Policy>(name: &str, suite: &Suite, inspect: Option<Ask<P>>) {
    let mut policy = testing::start::<P>(&self::suite(suite)).unwrap_or_else(|e| {
        panic!("{name}, {}: {}", suite.name, e.text());
    });
    let mut at_ms = 0;
    for (packet, verdict, claim) in &suite.cases {
        let (packet, expected) = (Packet::parse(packet), Verdict::parse(verdict));
        at_ms = packet.at_ms.unwrap_or(at_ms);
        if let Some(wall_s) = packet.wall_s {
            testing::set_wall_s(wall_s);
        }
        let tag = packet.tag.map_or(0, testing::tag);
        let request = Request { tag, ..packet.request };
        let mut verdict = testing::decide(&mut policy, at_ms, &request);
        for Shown { bytes, end } in &packet.payload {
            assert_eq!(verdict.into_abi().action, Action::Inspect, "{name}: {claim}");
            verdict = inspect.unwrap()(&mut policy, &request, bytes, *end);
        }
        assert_eq!(told(verdict, &expected, tag), expected, "{name}, {}: {claim}", suite.name);
    }
    for (counter, expected) in &suite.counters {
        assert_eq!(testing::counted(counter), *expected, "{name}, {}: {counter}", suite.name);
    }
}

#[test]
fn port_list_natively() {
    check::<port_list::PortList>("port-list", None);
}

#[test]
fn rate_limit_natively() {
    check::<rate_limit::RateLimit>("rate-limit", None);
}

#[test]
fn blocklist_natively() {
    check::<blocklist::Blocklist>("blocklist", None);
}

#[test]
fn time_of_day_natively() {
    check::<time_of_day::TimeOfDay>("time-of-day", None);
}

#[test]
fn dns_labels_natively() {
    check::<dns_labels::DnsLabels>("dns-labels", Some(testing::inspect));
}
