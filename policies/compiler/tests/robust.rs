//! Whatever the input, there is an answer: no panic, no hang, and what compiles decides as the
//! interpreter does. The kernel runs natively here, so that thousands of rules files are cheap.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::time::{Duration, Instant};

use common::INTERFACES;
use common::random::{Random, packet, rules};
use evergate_abi::Request;
use evergate_rules::interpret::{self, Outcome, Surroundings};
use evergate_rules::program::Program;
use evergate_rules::{CompiledRules, NoFiles, Options, compile};
use evergate_rules_kernel::{Facts, Host, Verdict, decide, resolve_names};
use proptest::prelude::*;

/// A gateway whose tables hold every address with an odd last bit of its own.
struct Simple<'a>(&'a Program);

fn in_table(name: &str, address: &[u8; 16]) -> bool {
    let salt = name.bytes().fold(0_u8, u8::wrapping_add);
    (address[15] ^ salt) & 1 == 1
}

fn tag_id(program: &Program, tag: &str) -> u16 {
    u16::try_from(program.tags.iter().position(|known| known == tag).unwrap() + 1).unwrap()
}

impl Surroundings for Simple<'_> {
    fn interface(&self, id: u16) -> Option<&str> {
        INTERFACES.get(usize::from(id)).copied()
    }
    fn in_table(&self, table: &str, address: &[u8; 16]) -> bool {
        in_table(table, address)
    }
    fn tag_id(&self, tag: &str) -> u16 {
        tag_id(self.0, tag)
    }
    fn chance(&self) -> u32 {
        0
    }
}

struct NativeHost<'a>(&'a Program, &'a Request);

impl Host for NativeHost<'_> {
    fn table(&mut self, handle: u32, source: bool) -> bool {
        let name = &self.0.tables[handle as usize].name;
        in_table(name, if source { &self.1.src } else { &self.1.dst })
    }
    fn random(&mut self) -> u64 {
        0
    }
}

/// The image with ids put in: tags and labels from 1, tables from 0.
fn resolved(rules: &CompiledRules) -> Vec<u32> {
    let program = &rules.program;
    let mut image = rules.image().to_vec();
    let place = |list: &[String], name: &str| list.iter().position(|known| known == name);
    let tables: Vec<String> = program.tables.iter().map(|table| table.name.clone()).collect();
    let result = resolve_names(&mut image, |kind, name| {
        let name = std::str::from_utf8(name).unwrap();
        let id = match kind {
            0 => place(&tables, name),
            3 => place(&program.tags, name).map(|n| n + 1),
            4 => place(&program.labels, name).map(|n| n + 1),
            _ => INTERFACES.iter().position(|known| *known == name),
        };
        id.map_or(-1, |id| i32::try_from(id).unwrap())
    });
    assert!(result.is_ok());
    image
}

fn native(rules: &CompiledRules, image: &[u32], request: &Request) -> Verdict {
    decide(image, &Facts::read(&request.encode()), &mut NativeHost(&rules.program, request))
}

/// The interpreter's outcome in the kernel's numbers.
fn as_verdict(program: &Program, outcome: &Outcome) -> Verdict {
    use evergate_rules::program::Keep;
    use interpret::Decision as D;
    let (action, icmp_code) = match outcome.decision {
        D::Continue => (0, None),
        D::Pass => (1, None),
        D::Block => (2, None),
        D::ReturnRst => (3, None),
        D::ReturnIcmp(code) => (4, code),
    };
    let keep = match outcome.keep {
        Keep::State => 0,
        Keep::None => 1,
        Keep::Sloppy => 2,
        Keep::Loose => 3,
    };
    let label = outcome.label.as_ref().map_or(0, |label| {
        u16::try_from(program.labels.iter().position(|known| known == label).unwrap() + 1).unwrap()
    });
    Verdict {
        action,
        log: outcome.log,
        allow_options: outcome.allow_options,
        rule: outcome.rule,
        keep,
        icmp_code,
        tag: outcome.tag.unwrap_or(0),
        label,
        timeouts: outcome.timeouts,
    }
}

fn agree(rules: &CompiledRules, random: &mut Random, packets: u64, text: &str) {
    let image = resolved(rules);
    for _ in 0..packets {
        let request = packet(random);
        let outcome = interpret::decide(&rules.program, &request, &Simple(&rules.program));
        let expected = as_verdict(&rules.program, &outcome);
        assert_eq!(native(rules, &image, &request), expected, "{request:?}\n{text}");
    }
}

fn generous() -> Options {
    Options { fuel: u64::MAX, memory: 16 << 20, ..common::options() }
}

#[test]
fn many_rules_files_agree_natively() {
    for seed in 0..400 {
        let mut random = Random::new(10_000 + seed);
        let count = 1 + random.below(60);
        let text = rules(&mut random, count);
        let compiled = compile("rules", &text, &generous(), &NoFiles)
            .unwrap_or_else(|d| panic!("{}\n{text}", d[0]));
        agree(&compiled, &mut random, 60, &text);
    }
}

#[test]
fn large_rules_files_agree_natively() {
    let mut random = Random::new(77);
    let text = rules(&mut random, 700);
    let compiled = compile("rules", &text, &generous(), &NoFiles).unwrap();
    assert!(compiled.program.rules.len() > 1_500);
    agree(&compiled, &mut random, 400, &text);
}

const WORDS: [&str; 100] = [
    "pass",
    "block",
    "match",
    "in",
    "out",
    "log",
    "quick",
    "on",
    "lan",
    "wan",
    "!",
    "inet",
    "inet6",
    "proto",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "all",
    "from",
    "to",
    "any",
    "self",
    "no-route",
    "urpf-failed",
    "<a>",
    "<",
    ">",
    "10.0.0.0/8",
    "10.0.0.1",
    "2001:db8::/32",
    "-",
    "lan:network",
    "(wan)",
    "port",
    "80",
    "443:500",
    "{",
    "}",
    ",",
    "(",
    ")",
    "=",
    "!=",
    "><",
    "<>",
    "flags",
    "S/SA",
    "icmp-type",
    "echoreq",
    "code",
    "tos",
    "tag",
    "tagged",
    "A",
    "label",
    "\"x$nr\"",
    "keep",
    "no",
    "state",
    "sloppy",
    "tcp.first",
    "5",
    "allow-opts",
    "probability",
    "20%",
    "received-on",
    "nat-to",
    "rdr-to",
    "round-robin",
    "route-to",
    "scrub",
    "no-df",
    "max-mss",
    "set",
    "skip",
    "block-policy",
    "return",
    "return-rst",
    "return-icmp",
    "limit",
    "states",
    "timeout",
    "table",
    "persist",
    "file",
    "anchor",
    "\"n/*\"",
    "load",
    "antispoof",
    "for",
    "include",
    "x",
    "=",
    "$x",
    "\\\n",
    "\n",
    "\n",
    "#",
    "overload",
];

/// Words of the language in no order.
fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(0..WORDS.len(), 0..60)
        .prop_map(|words| words.into_iter().map(|n| WORDS[n]).collect::<Vec<_>>().join(" "))
}

/// Rules that are right but for a few bytes.
fn damaged() -> impl Strategy<Value = String> {
    (any::<u64>(), prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..6))
        .prop_map(|(seed, changes)| {
            let mut text: Vec<char> = rules(&mut Random::new(seed), 8).chars().collect();
            for (place, new) in changes {
                let place = place.index(text.len());
                text[place] = new;
            }
            text.into_iter().collect()
        })
}

fn answers(text: &str) {
    let begin = Instant::now();
    match compile("rules", text, &generous(), &NoFiles) {
        Ok(compiled) => agree(&compiled, &mut Random::new(1), 20, text),
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            for diagnostic in diagnostics {
                assert!(!diagnostic.message.is_empty());
                assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            }
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "this takes too long");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answers(&text);
    }

    #[test]
    fn any_words_are_answered(text in soup()) {
        answers(&text);
    }

    #[test]
    fn damaged_rules_are_answered(text in damaged()) {
        answers(&text);
    }
}

#[test]
fn bounds_are_named() {
    let cases = [
        (
            "a = \"".to_owned() + &"x ".repeat(500) + "\"\n" + &"pass label $a\n".repeat(6_000),
            "more than 100 errors",
        ),
        ("anchor { ".repeat(40), "nested deeper than 32"),
        ("pass from ".to_owned() + &"{ ".repeat(12), "braces deeper than 8"),
        ((0..130).map(|n| format!("block from <t{n}>\n")).collect(), "more than 120 tables"),
        ((0..5_000).map(|n| format!("pass label l{n}\n")).collect(), "more than 4000 labels"),
        ((0..70).map(|n| format!("pass on eth{n}.1\n")).collect(), "more than 62 interfaces"),
        (
            (0..258).map(|n| format!("anchor tagged A{n} {{\npass\n}}\n")).collect(),
            "more than 256 anchors depend on tags",
        ),
        (
            (0..210).map(|n| format!("pass keep state (tcp.first {})\n", n + 1)).collect(),
            "more than 200 different sets of timeouts",
        ),
        ("pass\n".repeat(20_001), "more than 20000 rules"),
    ];
    for (text, bound) in cases {
        let options = Options { interfaces: None, ..generous() };
        let diagnostics = compile("rules", &text, &options, &NoFiles).unwrap_err();
        let named = diagnostics.iter().any(|d| d.message.contains(bound));
        assert!(named, "{bound}: {:?}", diagnostics.first());
    }
}

#[test]
fn too_much_for_one_packet_is_refused_in_numbers() {
    let text: String = (0..2_000).map(|n| format!("match in log tagged T{}\n", n % 50)).collect();
    let options = Options { memory: 16 << 20, ..Options::default() };
    let error = compile("rules", &text, &options, &NoFiles).unwrap_err().pop().unwrap();
    assert!(error.message.contains("2000 rules fit one packet"), "{error}");
    let options = Options { memory: 70_000, ..Options::default() };
    let error = compile("rules", &text, &options, &NoFiles).unwrap_err().pop().unwrap();
    assert!(error.message.contains("the limit is 70000"), "{error}");
}
