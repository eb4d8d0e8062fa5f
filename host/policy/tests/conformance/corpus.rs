//! How the corpus is written, and what is made of it.
//!
//! A file has suites: settings and tables of a gateway, and cases in the order of their time. A
//! case is a packet, the verdict, and what is claimed, in words:
//!
//! ```text
//! tcp 192.0.2.7:40000 10.0.0.1:22 flags=S at=250 wall=2026-03-02T08:00:00 dir=to in=wan tag=t
//! udp SRC:PORT DST:PORT           icmp SRC DST type=8 code=0       icmp6 SRC DST type=128
//! proto=132 SRC DST sport=1 dport=2         reassembled  options  super  length=60  ttl=64
//!
//! query=ads.example.com (a DNS query, behind its length if by TCP)     hex=0102ff
//! cut=1,30 (shown in these many bytes first)          more (it does not end with the last byte)
//!
//! continue | pass | block | rst | icmp[=CODE] | inspect
//!                                        rule=1 label=web tag=t log each keep=none options
//! ```
//!
//! A packet with payload has to be answered by "inspect", and again whatever is shown of it before
//! the last; the verdict is that on the last.
//!
//! `at` counts milliseconds; a case without it is at the time of the one before. The tag of a
//! verdict is the packet's tag after the policy. A file also has refusals: settings with which a
//! policy does not start, and a part of what it says then.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use evergate_policy::{Direction, Params, Request, Value};
use serde::Deserialize;

pub(crate) const INTERFACES: [&str; 3] = ["self", "lan", "wan"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Corpus {
    #[serde(rename = "suite")]
    pub(crate) suites: Vec<Suite>,
    #[serde(rename = "refusal")]
    pub(crate) refusals: Vec<Refusal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) settings: Params,
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    pub(crate) cases: Vec<(String, String, String)>,
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    #[serde(default)]
    settings: Params,
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    repeat: Option<Repeat>,
    pub(crate) says: String,
}

/// A setting that holds one number many times.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    key: String,
    value: i64,
    times: usize,
}

impl Refusal {
    pub(crate) fn settings(&self) -> Params {
        let mut settings = self.settings.clone();
        if let Some(Repeat { key, value, times }) = &self.repeat {
            settings.insert(key, vec![Value::Int(*value); *times]).unwrap();
        }
        settings
    }
}

/// A packet and when it arrives.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Packet<'a> {
    pub(crate) request: Request,
    pub(crate) tag: Option<&'a str>,
    pub(crate) at_ms: Option<u64>,
    pub(crate) wall_s: Option<u64>,
    pub(crate) payload: Vec<Shown>,
}

/// What is shown of a payload at once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: bool,
}

/// A verdict, with names where the ABI has ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict<'a> {
    pub(crate) action: &'a str,
    pub(crate) icmp_code: Option<u8>,
    pub(crate) rule: u16,
    pub(crate) label: Option<&'a str>,
    pub(crate) tag: Option<&'a str>,
    pub(crate) log: bool,
    pub(crate) each: bool,
    pub(crate) keep: Option<&'a str>,
    pub(crate) allow_options: bool,
}

impl Corpus {
    pub(crate) fn parse(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut words = text.split(' ');
        let proto = words.next().unwrap();
        let (src, dst) = (words.next().unwrap(), words.next().unwrap());
        let (src, sport) = endpoint(src);
        let (dst, dport) = endpoint(dst);
        let request = Request {
            af: if src.is_ipv4() { 4 } else { 6 },
            proto: protocol(proto),
            tcp_flags: if proto == "tcp" { 2 } else { 0 },
            src: octets(src),
            dst: octets(dst),
            sport,
            dport,
            in_if: 1,
            out_if: 2,
            length: 60,
            ttl: 64,
            ..Request::default()
        };
        let mut packet = Packet { request, ..Packet::default() };
        let (payload_words, words): (Vec<&str>, Vec<&str>) = words.partition(|word| {
            let key = word.split('=').next().unwrap_or_default();
            ["query", "hex", "cut", "more"].contains(&key)
        });
        for word in words {
            packet.word(word);
        }
        packet.payload = shown(&payload_words, request.proto == 6);
        packet
    }

    fn word(&mut self, word: &'a str) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = |what: &str| what.parse::<u32>().unwrap_or_else(|_| panic!("{word}"));
        let byte = |what: &str| u8::try_from(number(what)).unwrap();
        let request = &mut self.request;
        match key {
            "flags" => request.tcp_flags = value.chars().map(tcp_flag).sum(),
            "type" => request.icmp_type = byte(value),
            "code" => request.icmp_code = byte(value),
            "sport" => request.sport = u16::try_from(number(value)).unwrap(),
            "dport" => request.dport = u16::try_from(number(value)).unwrap(),
            "length" => request.length = number(value),
            "ttl" => request.ttl = byte(value),
            "in" => request.in_if = interface(value),
            "out" => request.out_if = interface(value),
            "reassembled" => request.flags |= evergate_abi::flags::REASSEMBLED,
            "options" => request.flags |= evergate_abi::flags::IP_OPTIONS,
            "super" => request.flags |= evergate_abi::flags::SUPER_PACKET,
            "dir" => {
                (request.direction, request.in_if, request.out_if) = match value {
                    "to" => (Direction::ToGateway, request.in_if, 0),
                    "from" => (Direction::FromGateway, 0, request.out_if),
                    _ => panic!("{word}"),
                }
            }
            "tag" => self.tag = Some(value),
            "at" => self.at_ms = Some(u64::from(number(value))),
            "wall" => self.wall_s = Some(seconds(value)),
            _ => panic!("what is `{word}`?"),
        }
    }
}

impl<'a> Verdict<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut words = text.split(' ');
        let action = words.next().unwrap();
        let (action, code) = action.split_once('=').unwrap_or((action, ""));
        let actions = ["continue", "pass", "block", "rst", "icmp", "inspect"];
        assert!(actions.contains(&action), "{text}");
        let mut verdict = Verdict { action, icmp_code: code.parse().ok(), ..Verdict::default() };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "rule" => verdict.rule = value.parse().unwrap(),
                "label" => verdict.label = Some(value),
                "tag" => verdict.tag = Some(value),
                "keep" => verdict.keep = Some(value),
                "log" => verdict.log = true,
                "each" => verdict.each = true,
                "options" => verdict.allow_options = true,
                _ => panic!("what is `{word}`?"),
            }
        }
        verdict
    }
}

fn shown(words: &[&str], is_tcp: bool) -> Vec<Shown> {
    let (mut payload, mut cuts, mut end) = (None, Vec::new(), true);
    for word in words {
        match word.split_once('=') {
            Some(("query", name)) => payload = Some(query(name, is_tcp)),
            Some(("hex", digits)) => {
                let pairs =
                    digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                payload = Some(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect());
            }
            Some(("cut", list)) => cuts = list.split(',').map(|n| n.parse().unwrap()).collect(),
            _ => end = false,
        }
    }
    let Some(payload) = payload else {
        return Vec::new();
    };
    let before = |n: &usize| Shown { bytes: payload[..*n].to_vec(), end: false };
    let mut steps: Vec<Shown> = cuts.iter().map(before).collect();
    steps.push(Shown { bytes: payload, end });
    steps
}

/// A DNS query for an address of this name (RFC 1035 §4.1).
fn query(name: &str, is_tcp: bool) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    if is_tcp {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        message.splice(0..0, length);
    }
    message
}

fn endpoint(text: &str) -> (IpAddr, u16) {
    match text.parse::<SocketAddr>() {
        Ok(both) => (both.ip(), both.port()),
        Err(_) => (text.parse().unwrap_or_else(|_| panic!("`{text}` is no address")), 0),
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn protocol(text: &str) -> u8 {
    match text {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmp6" => 58,
        _ => text.strip_prefix("proto=").unwrap_or(text).parse().unwrap(),
    }
}

fn tcp_flag(letter: char) -> u8 {
    1 << "FSRPAUEC".find(letter).unwrap_or_else(|| panic!("TCP has no flag {letter}"))
}

fn interface(name: &str) -> u16 {
    match INTERFACES.iter().position(|known| *known == name) {
        Some(index) => u16::try_from(index).unwrap(),
        None if name == "unknown" => evergate_abi::IF_UNKNOWN,
        None => panic!("there is no interface {name}"),
    }
}

/// Returns seconds since 1970 of a time such as 2026-03-02T08:00:00, in UTC.
fn seconds(text: &str) -> u64 {
    let numbers: Vec<u64> = text.split(['-', 'T', ':']).map(|part| part.parse().unwrap()).collect();
    let &[year, month, day, hour, minute, second] = numbers.as_slice() else {
        panic!("`{text}` is no time");
    };
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let before: u64 = months.iter().take(usize::try_from(month).unwrap() - 1).sum();
    (((years + before + day - 1) * 24 + hour) * 60 + minute) * 60 + second
}

#[test]
fn times_are_read_right() {
    // From `date -u -d ... +%s`.
    assert_eq!(seconds("1970-01-01T00:00:00"), 0);
    assert_eq!(seconds("2024-02-29T12:00:00"), 1_709_208_000);
    assert_eq!(seconds("2026-03-02T08:00:01"), 1_772_438_401);
    assert_eq!(seconds("2100-03-01T00:00:00"), 4_107_542_400);
}
