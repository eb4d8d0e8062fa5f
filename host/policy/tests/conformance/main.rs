//! Every language's build of the same policies says the same: to what the corpus holds, and to
//! packets that nobody thought of. It asks the committed modules, so it needs no toolchain.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod corpus;
mod languages;
mod native;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use corpus::{Corpus, INTERFACES, Packet, Shown, Suite, Verdict};
use evergate_policy::{
    Action, Chain, Compiler, CompilerConfig, Decision, Entry, Environment, Keep, LoadError, Params,
    Payload, Policy, Request, Runner, SharedChain, Tables,
};
use languages::{LANGUAGES, Language, POLICIES};

fn corpora() -> [(&'static str, Corpus); POLICIES.len()] {
    POLICIES.map(|(name, text)| (name, Corpus::parse(text)))
}

/// Loads modules one after the other, with a cache of what they compile to: compiling a module
/// that brings a runtime takes long in a debug build.
fn load(
    language: &Language,
    policy: &str,
    name: &str,
    settings: &Params,
    environment: &Arc<Environment>,
) -> Result<Arc<Policy>, LoadError> {
    static COMPILER: LazyLock<Mutex<Compiler>> = LazyLock::new(|| {
        let cache_dir = Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance"));
        Mutex::new(
            Compiler::new(CompilerConfig { cache_dir, ..CompilerConfig::default() }).unwrap(),
        )
    });
    let (module, settings) = (language.module(policy), language.settings(policy, settings));
    let compiler = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
    compiler.load(name, &module, language.limits(), &settings, environment)
}

fn environment(tables: &BTreeMap<String, Vec<String>>) -> Arc<Environment> {
    let environment =
        Environment::new(Arc::new(Tables::default()), INTERFACES.map(str::to_owned).to_vec(), 1);
    for (name, entries) in tables {
        environment.tables.create(name).unwrap();
        let entries: Vec<Entry> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        environment.tables.add(name, &entries).unwrap();
    }
    Arc::new(environment)
}

fn runner(policy: Arc<Policy>) -> Runner {
    Runner::new(Arc::new(SharedChain::new(Chain::new(vec![policy]).unwrap())))
}

/// Tells a decision in the corpus's words.
fn told<'a>(decision: &Decision, environment: &Environment, names: &Verdict<'a>) -> Verdict<'a> {
    let (action, icmp_code) = match decision.action {
        Action::Default => ("continue", None),
        Action::Pass => ("pass", None),
        Action::Block => ("block", None),
        Action::ReturnRst => ("rst", None),
        Action::ReturnIcmp { code } => ("icmp", code),
        Action::Inspect { .. } => ("inspect", None),
        Action::Failed => ("failed", None),
    };
    let keep = match decision.keep {
        Keep::State => None,
        Keep::None => Some("none"),
        Keep::Sloppy => Some("sloppy"),
        Keep::Loose => Some("loose"),
    };
    // The names of ids that the corpus knows; another id shows as a question mark.
    let tag_id = names.tag.map_or(0, |name| environment.tags.intern(name).unwrap());
    let label_id = names.label.map_or(0, |name| environment.labels.intern(name).unwrap());
    Verdict {
        action,
        icmp_code,
        rule: decision.rule,
        label: if decision.label == label_id { names.label } else { Some("?") },
        tag: if decision.tag == tag_id { names.tag } else { Some("?") },
        log: decision.log,
        each: decision.each,
        keep,
        allow_options: decision.allow_options,
    }
}

fn check_suite(language: &Language, name: &str, suite: &Suite) {
    let environment = environment(&suite.tables);
    let policy = load(language, name, name, &suite.settings, &environment);
    let language = language.name;
    let policy = policy.unwrap_or_else(|e| panic!("{language}, {}: {e}", suite.name));
    assert_eq!(policy.unread_settings(), [""; 0], "{language} {name}, {}", suite.name);
    let mut runner = runner(Arc::clone(&policy));
    let (mut at_ms, mut wall_s) = (0, 0);
    for (packet, verdict, claim) in &suite.cases {
        let claim = format!("{language} {name}, {}: {claim} ({packet})", suite.name);
        let (packet, expected) = (Packet::parse(packet), Verdict::parse(verdict));
        at_ms = packet.at_ms.unwrap_or(at_ms);
        wall_s = packet.wall_s.unwrap_or(wall_s);
        let tag = packet.tag.map_or(0, |tag| environment.tags.intern(tag).unwrap());
        let mut request = Request { tag, ..packet.request };
        let now_ns = at_ms * 1_000_000;
        let mut decision = runner.decide(now_ns, wall_s, &mut request);
        for Shown { bytes, end } in &packet.payload {
            let failure = policy.stats().last_failure;
            assert!(matches!(decision.action, Action::Inspect { .. }), "{claim} {failure:?}");
            let payload = Payload { bytes, end: *end };
            decision = runner.inspect(now_ns, wall_s, &mut request, 0, payload);
        }
        let failure = policy.stats().last_failure;
        assert_eq!(told(&decision, &environment, &expected), expected, "{claim} {failure:?}");
    }
    for (counter, expected) in &suite.counters {
        let counted = environment.counters.value(&format!("{name}/{counter}"));
        assert_eq!(counted, Some(*expected), "{language} {name}, {}: {counter}", suite.name);
    }
}

fn check_language(language: &Language) {
    for (name, corpus) in corpora() {
        for suite in &corpus.suites {
            check_suite(language, name, suite);
        }
        for refusal in &corpus.refusals {
            let settings = refusal.settings();
            let policy = load(language, name, name, &settings, &environment(&refusal.tables));
            let Err(error) = policy else {
                panic!("{} {name} took {settings:?}", language.name);
            };
            let error = error.to_string();
            for words in ["does not start: init returned 1: ", &refusal.says] {
                assert!(
                    error.contains(words),
                    "{} {name}, {settings:?}: `{error}` does not say `{words}`",
                    language.name
                );
            }
        }
    }
}

macro_rules! language_tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check_language(LANGUAGES.iter().find(|l| l.name == stringify!($name)).unwrap());
        }
    )*};
}

language_tests!(rust c zig assemblyscript go wat);

/// Random packets and times: what one language says, all say.
#[test]
fn all_languages_agree_on_odd_packets() {
    for (name, corpus) in corpora() {
        for suite in &corpus.suites {
            let packets = odd_packets(suite);
            let environment = environment(&suite.tables);
            let mut said: Option<(&str, Vec<Decision>)> = None;
            for language in &LANGUAGES {
                // One environment keeps ids equal; each policy has meters of its own.
                let own = format!("{}-{name}", language.name);
                let policy = load(language, name, &own, &suite.settings, &environment);
                let mut runner = runner(policy.unwrap());
                let mut ask = |(second, packet): &(u64, Packet<'_>)| {
                    let (now_ns, wall_s) = (second * 20_000_000, second * 1_234_567);
                    let mut request = packet.request;
                    let mut decision = runner.decide(now_ns, wall_s, &mut request);
                    for Shown { bytes, end } in &packet.payload {
                        if !matches!(decision.action, Action::Inspect { .. }) {
                            break;
                        }
                        let payload = Payload { bytes, end: *end };
                        decision = runner.inspect(now_ns, wall_s, &mut request, 0, payload);
                    }
                    decision
                };
                let decisions: Vec<Decision> = packets.iter().map(&mut ask).collect();
                let Some((first, expected)) = &said else {
                    said = Some((language.name, decisions));
                    continue;
                };
                for ((packet, said), expected) in packets.iter().zip(&decisions).zip(expected) {
                    assert_eq!(said, expected, "{} not as {first}: {packet:?}", language.name);
                }
            }
        }
    }
}

fn odd_packets(suite: &Suite) -> Vec<(u64, Packet<'_>)> {
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut packets = Vec::new();
    for second in 0..300 {
        let mut packet = Packet::parse(&suite.cases[random(suite.cases.len())].0);
        let (request, byte) = (&mut packet.request, random(256) as u8);
        match random(8) {
            0 => request.proto = byte,
            1 => request.dport = u16::from(byte) << 8 | request.dport & 0xff,
            2 => request.src[12] = byte,
            3 => request.dst[5] ^= 1 << (byte % 8),
            4 => std::mem::swap(&mut request.src, &mut request.dst),
            5 => request.sport = request.dport,
            6 => request.flags = u16::from(byte % 8),
            _ => request.tcp_flags = byte,
        }
        for shown in &mut packet.payload {
            let at = random(shown.bytes.len().max(1));
            match shown.bytes.get_mut(at) {
                Some(place) if byte % 3 == 0 => *place = byte,
                Some(_) if byte % 3 == 1 => shown.bytes.truncate(at),
                Some(_) | None => {}
            }
        }
        packets.push((second, packet));
    }
    packets
}

#[test]
fn the_committed_modules_are_what_their_sources_build_to() {
    let script = languages::repository().join("guest-sdk/build");
    for language in LANGUAGES.iter().filter(|language| language.is_built()) {
        let run = |flag| {
            std::process::Command::new(&script).args([flag, language.name]).output().unwrap()
        };
        let probe = run("--probe");
        if !probe.status.success() {
            let why = String::from_utf8_lossy(&probe.stderr).trim().to_owned();
            eprintln!("skipped {}: {why}", language.name);
            continue;
        }
        let output = run("--check");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}
