//! A gateway for compiled rules, and the interpreter's view of it.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use evergate_policy::{
    Action, Chain, Compiler, CompilerConfig, Decision, Entry, Environment, Keep, Limits, LoadError,
    Params, Policy, Request, Runner, SharedChain, Tables,
};
use evergate_rules::interpret::{self, Outcome, Surroundings};
use evergate_rules::program::Keep as RulesKeep;
use evergate_rules::{CompiledRules, Interface, Options};

/// Interfaces of the tests' gateway; the index is the id.
pub(crate) const INTERFACES: [&str; 5] = ["self", "lan", "wan", "dmz", "vlan10"];

pub(crate) fn options() -> Options {
    let interfaces = INTERFACES[1..]
        .iter()
        .map(|name| Interface { name: (*name).to_owned(), groups: Vec::new() })
        .collect();
    Options { interfaces: Some(interfaces), ..Options::default() }
}

/// What the tables that the daemon fills hold.
fn host_entries(name: &str) -> &'static [&'static str] {
    match name {
        "if:self" => &["10.0.0.1", "192.0.2.1", "2001:db8::1"],
        "if:lan" => &["10.0.0.1", "2001:db8:1::1"],
        "if:lan:network" => &["10.0.0.0/16", "2001:db8:1::/48"],
        "if:wan" => &["192.0.2.1"],
        "if:wan:network" => &["192.0.2.0/24"],
        "if:wan:0" => &["192.0.2.1"],
        "route:any" => &["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"],
        "route:lan" => &["10.0.0.0/8", "!192.0.2.0/24", "2001:db8:1::/48"],
        "route:wan" => &["!10.0.0.0/8", "0.0.0.0/0", "!2001:db8:1::/48", "::/0"],
        _ => &[],
    }
}

/// A loaded rules file with a runner of its own.
pub(crate) struct Loaded {
    pub(crate) rules: CompiledRules,
    pub(crate) policy: Arc<Policy>,
    pub(crate) environment: Arc<Environment>,
    runner: Runner,
    tables: BTreeMap<String, Vec<Entry>>,
}

pub(crate) struct Gateway {
    compiler: Compiler,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self { compiler: Compiler::new(CompilerConfig::default()).unwrap() }
    }

    pub(crate) fn load(&self, rules: CompiledRules) -> Result<Loaded, LoadError> {
        let tables = Tables::default();
        let mut all = BTreeMap::new();
        for spec in &rules.tables {
            let mut entries: Vec<Entry> =
                spec.entries.iter().map(|prefix| prefix.to_string().parse().unwrap()).collect();
            entries.extend(host_entries(&spec.name).iter().map(|e| e.parse::<Entry>().unwrap()));
            tables.create(&spec.name).unwrap();
            tables.replace(&spec.name, &entries).unwrap();
            all.insert(spec.name.clone(), entries);
        }
        let interfaces = INTERFACES.iter().map(|name| (*name).to_owned()).collect();
        let environment = Arc::new(Environment::new(Arc::new(tables), interfaces, 7));
        // No more fuel than the compiler said it can need.
        let limits = Limits { fuel: rules.fuel, ..Limits::default() };
        let policy =
            self.compiler.load("rules", &rules.wasm, limits, &Params::new(), &environment)?;
        let chain = Chain::new(vec![Arc::clone(&policy)]).unwrap();
        let runner = Runner::new(Arc::new(SharedChain::new(chain)));
        Ok(Loaded { rules, policy, environment, runner, tables: all })
    }
}

impl Loaded {
    pub(crate) fn decide(&mut self, request: &Request) -> Decision {
        self.runner.decide(0, 0, &mut request.clone())
    }

    pub(crate) fn interpret(&self, request: &Request) -> Outcome {
        interpret::decide(&self.rules.program, request, self)
    }

    /// Asks both; a message if they differ.
    pub(crate) fn compare(&mut self, request: &Request) -> Result<(), String> {
        let expected = self.interpret(request);
        let found = self.decide(request);
        let stats = self.policy.stats();
        let failure = stats.last_failure.map(|failure| failure.to_string());
        let shown = self.as_outcome(&found, request);
        if shown.as_ref() == Some(&expected) {
            return Ok(());
        }
        Err(format!(
            "{request:?}\n interpreter {expected:?}\n module {found:?}\n failure {failure:?}"
        ))
    }

    /// The decision in the interpreter's words; `None` if the policy failed.
    fn as_outcome(&self, decision: &Decision, request: &Request) -> Option<Outcome> {
        use interpret::Decision as D;
        #[allow(clippy::wildcard_enum_match_arm, reason = "whatever else is no answer of rules")]
        let what = match decision.action {
            Action::Pass => D::Pass,
            Action::Block => D::Block,
            Action::ReturnRst => D::ReturnRst,
            Action::ReturnIcmp { code } => D::ReturnIcmp(code),
            Action::Default => D::Continue,
            _ => return None,
        };
        let keep = match decision.keep {
            Keep::State => RulesKeep::State,
            Keep::None => RulesKeep::None,
            Keep::Sloppy => RulesKeep::Sloppy,
            Keep::Loose => RulesKeep::Loose,
        };
        let label = (decision.label != 0)
            .then(|| self.environment.labels.name(decision.label).unwrap().to_string());
        let timeouts = decision.timeouts.map_or([0; 6], |t| {
            [t.first_s, t.opening_s, t.established_s, t.closing_s, t.finwait_s, t.closed_s]
        });
        Some(Outcome {
            decision: what,
            rule: decision.rule,
            log: decision.log,
            keep,
            timeouts,
            tag: (decision.tag != request.tag).then_some(decision.tag),
            label,
            allow_options: decision.allow_options,
        })
    }
}

impl Surroundings for Loaded {
    fn interface(&self, id: u16) -> Option<&str> {
        INTERFACES.get(usize::from(id)).copied()
    }

    /// Longest prefix by trying them all.
    fn in_table(&self, table: &str, address: &[u8; 16]) -> bool {
        let ip = std::net::Ipv6Addr::from(*address).to_canonical();
        let mut best: Option<(u8, bool)> = None;
        for entry in &self.tables[table] {
            let covers = match (entry.address(), ip) {
                (std::net::IpAddr::V4(net), std::net::IpAddr::V4(ip)) => {
                    let shift = 32 - u32::from(entry.prefix_len());
                    let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                    net.to_bits() == ip.to_bits() & mask
                }
                (std::net::IpAddr::V6(net), std::net::IpAddr::V6(ip)) => {
                    let shift = 128 - u32::from(entry.prefix_len());
                    let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                    net.to_bits() == ip.to_bits() & mask
                }
                _ => false,
            };
            if covers && best.is_none_or(|(len, _)| entry.prefix_len() >= len) {
                best = Some((entry.prefix_len(), entry.is_negated()));
            }
        }
        best.is_some_and(|(_, negated)| !negated)
    }

    fn tag_id(&self, tag: &str) -> u16 {
        self.environment.tags.id(tag).unwrap()
    }

    fn chance(&self) -> u32 {
        0
    }
}
