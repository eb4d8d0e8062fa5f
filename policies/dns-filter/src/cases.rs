//! What `dns-filter` claims: messages and verdicts, run natively and in wasm.

use evergate_guest::testing::{Request, Suite, Value, forwarded, tcp, udp};
use evergate_guest::{TimeoutOverrides, Verdict};

use crate::rule;

/// A message, and what the policy has to say to it.
#[derive(Debug, Clone)]
pub struct Message {
    /// What is claimed.
    pub claim: &'static str,
    /// The packet that carries it.
    pub request: Request,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether that is all.
    pub end: bool,
    /// The verdict.
    pub verdict: Verdict,
}

/// Returns a query for the addresses of a name.
pub fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Puts a message behind its length, as TCP carries it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn over_udp(claim: &'static str, payload: impl Into<Vec<u8>>, verdict: Verdict) -> Message {
    let request = forwarded(1, 2, udp("10.0.0.5:4000", "192.0.2.1:53"));
    Message { claim, request, payload: payload.into(), end: true, verdict }
}

fn over_tcp(claim: &'static str, payload: impl Into<Vec<u8>>, verdict: Verdict) -> Message {
    let request = forwarded(1, 2, tcp("10.0.0.5:4000", "192.0.2.1:53"));
    Message { claim, request, payload: payload.into(), end: false, verdict }
}

fn suite(name: &'static str, config: &'static [(&'static str, &'static [Value])]) -> Suite {
    Suite { name, interfaces: &["self", "lan", "wan"], tables: &[], config, cases: vec![] }
}

fn changed(mut message: Vec<u8>, at: usize, to: u8) -> Vec<u8> {
    message[at] = to;
    message
}

/// Returns all suites with their messages.
pub fn suites() -> Vec<(Suite, Vec<Message>)> {
    let go_on = Verdict::go_on().each();
    let prohibited = |rule| Verdict::return_icmp(Some(13)).log().rule(rule);
    let reset = |rule| Verdict::return_rst().log().rule(rule);
    let good = query("www.example.org");
    let bad = query("ads.Example.COM");
    let timeouts = TimeoutOverrides { first_s: 15, opening_s: 15, ..TimeoutOverrides::NONE };
    vec![
        (
            suite(
                "denied names",
                &[("deny", &[Value::Text("*.example.com"), Value::Text("a.test")])],
            ),
            vec![
                over_udp("another name", good.clone(), go_on),
                over_udp("the root", query(""), go_on),
                over_udp("a denied one", query("A.Test"), prohibited(rule::NAME)),
                over_udp("below a denied one", bad.clone(), prohibited(rule::NAME)),
                over_udp("nothing", [], prohibited(rule::OTHER)),
                over_udp("half a name", &good[..20], prohibited(rule::OTHER)),
                over_udp("no type", &good[..good.len() - 4], prohibited(rule::OTHER)),
                over_udp("a response", changed(good.clone(), 2, 0x81), prohibited(rule::OTHER)),
                over_udp("no question", changed(good.clone(), 5, 0), prohibited(rule::OTHER)),
                over_udp("two questions", changed(good.clone(), 5, 2), prohibited(rule::OTHER)),
                over_udp("a pointer", changed(good.clone(), 12, 0xc0), prohibited(rule::OTHER)),
                over_tcp("over TCP", framed(&good), go_on),
                over_tcp("denied over TCP", framed(&bad), reset(rule::NAME)),
                over_tcp("one byte", &framed(&bad)[..1], Verdict::inspect(0)),
                over_tcp("half over TCP", &framed(&bad)[..20], Verdict::inspect(0)),
                Message {
                    end: true,
                    ..over_tcp("and its end", &framed(&bad)[..20], reset(rule::OTHER))
                },
                over_tcp("not DNS", [0, 4, 1, 2, 3, 4], reset(rule::OTHER)),
            ],
        ),
        (
            suite(
                "allowed names",
                &[("allow", &[Value::Text("*.example.org")]), ("pass", &[Value::Bool(true)])],
            ),
            vec![
                over_udp(
                    "allowed",
                    good,
                    Verdict::pass().each().timeouts(timeouts).rule(rule::PASS),
                ),
                over_udp("another", bad, prohibited(rule::NAME)),
                over_udp(
                    "a dot within a label",
                    changed(query("xxxaexample.org"), 16, b'.'),
                    prohibited(rule::NAME),
                ),
            ],
        ),
    ]
}
