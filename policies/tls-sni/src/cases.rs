//! What `tls-sni` claims: connections and verdicts, run natively and in wasm.

use evergate_guest::Verdict;
use evergate_guest::testing::{Suite, Value};

use crate::rule;

/// The beginning of a connection, and what the policy has to say to it.
#[derive(Debug, Clone)]
pub struct Stream {
    /// What is claimed.
    pub claim: &'static str,
    /// What the client sends first.
    pub payload: Vec<u8>,
    /// Whether that is all.
    pub end: bool,
    /// The verdict.
    pub verdict: Verdict,
}

/// Returns a ClientHello for a name, with other extensions around it, in records of at most
/// `record` bytes.
pub fn hello(name: Option<&str>, record: usize) -> Vec<u8> {
    let mut extensions = vec![0, 23, 0, 0, 0x0a, 0x0a, 0, 1, 0];
    if let Some(name) = name {
        let len = name.len() as u16;
        for number in [0, len + 5, len + 3] {
            extensions.extend_from_slice(&u16::to_be_bytes(number));
        }
        extensions.push(0);
        extensions.extend_from_slice(&len.to_be_bytes());
        extensions.extend_from_slice(name.as_bytes());
    }
    extensions.extend_from_slice(&[0, 43, 0, 3, 2, 3, 4]);
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(32);
    body.extend_from_slice(&[8; 32]);
    body.extend_from_slice(&[0, 4, 0x13, 1, 0x13, 2, 1, 0]);
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let mut handshake = vec![1];
    handshake.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    handshake.extend_from_slice(&body);
    let records = handshake.chunks(record).flat_map(|part| {
        let length = (part.len() as u16).to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], part].concat()
    });
    records.collect()
}

fn stream(claim: &'static str, payload: impl Into<Vec<u8>>, verdict: Verdict) -> Stream {
    Stream { claim, payload: payload.into(), end: false, verdict }
}

fn suite(name: &'static str, config: &'static [(&'static str, &'static [Value])]) -> Suite {
    Suite { name, interfaces: &["self", "lan", "wan"], tables: &[], config, cases: vec![] }
}

/// Returns all suites with their streams.
pub fn suites() -> Vec<(Suite, Vec<Stream>)> {
    let go_on = Verdict::go_on();
    let refused = |rule| Verdict::return_rst().log().rule(rule);
    let whole = |name| hello(Some(name), 16_384);
    let first = whole("www.example.com");
    vec![
        (
            suite(
                "denied names",
                &[("deny", &[Value::Text("*.Example.com"), Value::Text("a.test")])],
            ),
            vec![
                stream("another name", whole("example.org"), go_on),
                stream("a denied one", whole("a.test"), refused(rule::NAME)),
                stream("below a denied one", whole("WWW.example.COM"), refused(rule::NAME)),
                stream("not below", whole("example.com"), go_on),
                stream("in many records", hello(Some("a.test"), 3), refused(rule::NAME)),
                stream("no name", hello(None, 16_384), go_on),
                stream("half of it", &first[..60], Verdict::inspect(0)),
                stream("one byte", &first[..1], Verdict::inspect(0)),
                stream("nothing yet", [], Verdict::inspect(0)),
                Stream {
                    end: true,
                    ..stream("half and an end", &first[..60], refused(rule::OTHER))
                },
                stream("HTTP", *b"GET / HTTP/1.1\r\n", refused(rule::OTHER)),
                stream("SSH", *b"S", refused(rule::OTHER)),
                stream("an alert", [21, 3, 1, 0, 2, 1, 0], refused(rule::OTHER)),
                stream("a server's hello", [22, 3, 3, 0, 4, 2, 0, 0, 0], refused(rule::OTHER)),
                stream("an empty record", [22, 3, 1, 0, 0], refused(rule::OTHER)),
            ],
        ),
        (
            suite(
                "allowed names",
                &[
                    ("allow", &[Value::Text("*.test"), Value::Text("example.org")]),
                    ("deny", &[Value::Text("bad.test")]),
                    ("pass", &[Value::Bool(true)]),
                ],
            ),
            vec![
                stream("allowed", whole("example.org"), Verdict::pass().rule(rule::PASS)),
                stream("below", whole("good.test"), Verdict::pass().rule(rule::PASS)),
                stream("excepted", whole("bad.test"), refused(rule::NAME)),
                stream("another", whole("example.com"), refused(rule::NAME)),
                stream("no name", hello(None, 16_384), refused(rule::UNNAMED)),
            ],
        ),
    ]
}
