//! The file as written, and the checks that turn it into a [`Config`].

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use evergate_policy::Params;
use evergate_state::{Profile, Timeout, Timeouts};

use super::carp::{self, RawCarp};
use super::error::closest;
use super::security::RawSecurity;
use super::{
    ByteSize, Config, ConfigError, DefaultVerdict, Interface, OnCrash, PolicyConfig, PolicySource,
    Span,
};
use crate::builtin;

/// The most interfaces that can be attached; ids of interfaces are small numbers in counters.
const INTERFACES_MAX: usize = 64;
/// The most policies in a chain.
const POLICIES_MAX: usize = 32;
/// Longest device name, Linux IFNAMSIZ less the terminator.
pub(super) const DEVICE_NAME_MAX: usize = 15;
/// Longest name of an interface, policy or table; pf's limit for table names.
const NAME_MAX: usize = 31;
/// The most queues when nothing else is said.
const DEFAULT_QUEUES_MAX: usize = 8;
/// The most queues a tun device has in Linux (MAX_TAP_QUEUES is 256; more than cores is waste).
const QUEUES_MAX: i64 = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    gateway: RawGateway,
    #[serde(default)]
    interface: Vec<RawInterface>,
    #[serde(default)]
    policy: Vec<RawPolicy>,
    #[serde(default)]
    tables: BTreeMap<Spanned<String>, Vec<String>>,
    #[serde(default)]
    security: RawSecurity,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    timeouts: RawTimeouts,
    #[serde(default)]
    carp: Vec<RawCarp>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawGateway {
    name: Option<String>,
    queues: Option<Spanned<i64>>,
    filter_local: bool,
    on_crash: Option<OnCrash>,
    default: Option<DefaultVerdict>,
    control: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    route_table: Option<Spanned<u32>>,
    rule_priority: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInterface {
    name: Spanned<String>,
    device: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    name: Spanned<String>,
    file: Option<Spanned<PathBuf>>,
    builtin: Option<Spanned<String>>,
    rules: Option<Spanned<PathBuf>>,
    fuel: Option<Spanned<u64>>,
    memory: Option<Spanned<ByteSize>>,
    deadline: Option<Span>,
    #[serde(default)]
    watch: bool,
    #[serde(default)]
    config: Params,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    states: Option<Spanned<u64>>,
    fragments: Option<Spanned<u64>>,
    fragment_memory: Option<ByteSize>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawTimeouts {
    profile: Option<Spanned<String>>,
    adaptive: Option<RawAdaptive>,
    #[serde(flatten)]
    kinds: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdaptive {
    start: u64,
    end: u64,
}

/// The text being checked, for the places of errors.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    pub(super) fn error<T>(
        &self,
        at: &Spanned<T>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> ConfigError {
        ConfigError::at(self.path, self.text, at.span(), message, mend)
    }

    /// An error about a key that serde gave no span for: the place is the key's first mention.
    fn key_error(&self, key: &str, message: String, mend: String) -> ConfigError {
        let start = self.text.find(key).unwrap_or(0);
        ConfigError::at(self.path, self.text, start..start, message, mend)
    }

    fn number(
        &self,
        value: Option<Spanned<u64>>,
        default: u64,
        what: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let Some(value) = value else { return Ok(default) };
        if range.contains(value.get_ref()) {
            return Ok(value.into_inner());
        }
        let message = format!("{what} = {} is out of range", value.get_ref());
        Err(self.error(&value, message, format!("from {} to {}", range.start(), range.end())))
    }

    pub(super) fn name(&self, value: &Spanned<String>, what: &str) -> Result<String, ConfigError> {
        let name = value.get_ref();
        let good = !name.is_empty()
            && name.len() <= NAME_MAX
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if good {
            return Ok(name.clone());
        }
        let mend = format!("1 to {NAME_MAX} letters, digits, '-', '_' or '.'");
        Err(self.error(value, format!("{name:?} is no name for {what}"), mend))
    }
}

impl Raw {
    pub(super) fn check(self, path: &Path, text: &str) -> Result<Config, ConfigError> {
        let source = Source { path, text };
        let gateway = self.gateway;
        let limits = self.limits;
        let interfaces = check_interfaces(&source, self.interface)?;
        let policies = check_policies(&source, self.policy)?;
        let carp = carp::check(&source, self.carp, &interfaces)?;
        let tables = self
            .tables
            .into_iter()
            .map(|(name, entries)| Ok((source.name(&name, "a table")?, entries)))
            .collect::<Result<_, ConfigError>>()?;
        let states = source.number(limits.states, 100_000, "limits.states", 1..=100_000_000)?;
        let fragments =
            source.number(limits.fragments, 1_024, "limits.fragments", 1..=1_000_000)?;
        let fragment_memory = limits.fragment_memory.map_or(8 << 20, |size| size.0);
        Ok(Config {
            path: path.to_owned(),
            name: gateway.name.unwrap_or_else(|| "evergate".to_owned()),
            queues: check_queues(&source, gateway.queues)?,
            filter_local: gateway.filter_local,
            on_crash: gateway.on_crash.unwrap_or(OnCrash::Closed),
            default: gateway.default.unwrap_or(DefaultVerdict::Block),
            control: gateway.control.unwrap_or_else(|| DEFAULT_CONTROL.into()),
            state_dir: gateway.state_dir.unwrap_or_else(|| "/run/evergate".into()),
            cache_dir: gateway.cache_dir,
            route_table: check_route_numbers(&source, gateway.route_table, "route_table")?,
            rule_priority: check_route_numbers(&source, gateway.rule_priority, "rule_priority")?,
            interfaces,
            policies,
            security: self.security.check(&source)?,
            tables,
            states,
            fragments: usize::try_from(fragments).unwrap_or(usize::MAX),
            fragment_memory: usize::try_from(fragment_memory).unwrap_or(usize::MAX),
            timeouts: check_timeouts(&source, self.timeouts, states)?,
            carp,
        })
    }
}

/// Where the control socket is when nothing else is said.
pub(crate) const DEFAULT_CONTROL: &str = "/run/evergate/control.sock";
/// First routing table and first rule priority when nothing else is said.
const DEFAULT_ROUTE_NUMBER: u32 = 5200;

fn check_queues(source: &Source<'_>, queues: Option<Spanned<i64>>) -> Result<u16, ConfigError> {
    let Some(queues) = queues else { return Ok(default_queues()) };
    match u16::try_from(*queues.get_ref()) {
        Ok(n) if (1..=QUEUES_MAX).contains(queues.get_ref()) => Ok(n),
        Ok(_) | Err(_) => {
            let message = format!("queues = {} is out of range", queues.get_ref());
            Err(source.error(&queues, message, format!("from 1 to {QUEUES_MAX}")))
        }
    }
}

/// Half the cores: traffic has two directions, each with threads of its own, and the kernel works
/// for every packet before and after them. More queues cost it a hash a packet, and threads that
/// take its cores: on two cores a second queue costs a third of the small packets.
fn default_queues() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from((cores / 2).clamp(1, DEFAULT_QUEUES_MAX)).unwrap_or(1)
}

fn check_route_numbers(
    source: &Source<'_>,
    value: Option<Spanned<u32>>,
    what: &str,
) -> Result<u32, ConfigError> {
    let Some(value) = value else { return Ok(DEFAULT_ROUTE_NUMBER) };
    // Tables up to 255 are the kernel's and its administrators'; rules from 32766 are the
    // kernel's `main` and `default`, behind which ours would never be reached.
    if (256..=30_000).contains(value.get_ref()) {
        return Ok(value.into_inner());
    }
    let message = format!("{what} = {} is out of range", value.get_ref());
    Err(source.error(&value, message, "from 256 to 30000"))
}

fn check_interfaces(
    source: &Source<'_>,
    raw: Vec<RawInterface>,
) -> Result<Vec<Interface>, ConfigError> {
    if raw.is_empty() {
        let message = "no interface is attached".to_owned();
        let mend =
            "add at least one:\n    [[interface]]\n    name = \"lan\"\n    device = \"eth1\"";
        return Err(source.key_error("[[interface]]", message, mend.to_owned()));
    }
    let mut interfaces: Vec<Interface> = Vec::with_capacity(raw.len());
    for entry in raw {
        let name = source.name(&entry.name, "an interface")?;
        if name == "self" {
            let mend = "\"self\" is the gateway itself in policies; take another name";
            return Err(source.error(&entry.name, "an interface cannot be named \"self\"", mend));
        }
        let device = entry.device.get_ref().clone();
        let bad = device.is_empty()
            || device.len() > DEVICE_NAME_MAX
            || device.bytes().any(|b| b == b'/' || b.is_ascii_whitespace());
        if bad {
            let message = format!("{device:?} is no name of a device");
            return Err(source.error(&entry.device, message, "see `ip link` for the devices"));
        }
        if interfaces.iter().any(|other| other.name == name) {
            let message = format!("a second interface named {name:?}");
            return Err(source.error(&entry.name, message, "names must differ"));
        }
        if interfaces.iter().any(|other| other.device == device) {
            let message = format!("device {device:?} is attached twice");
            return Err(source.error(&entry.device, message, "attach a device once"));
        }
        if interfaces.len() == INTERFACES_MAX {
            let message = format!("more than {INTERFACES_MAX} interfaces");
            return Err(source.error(&entry.name, message, "attach fewer"));
        }
        interfaces.push(Interface { name, device });
    }
    Ok(interfaces)
}

fn check_policies(
    source: &Source<'_>,
    raw: Vec<RawPolicy>,
) -> Result<Vec<PolicyConfig>, ConfigError> {
    let mut names = HashSet::new();
    let mut policies = Vec::with_capacity(raw.len());
    for entry in raw {
        let name = source.name(&entry.name, "a policy")?;
        if !names.insert(name.clone()) {
            let message = format!("a second policy named {name:?}");
            return Err(source.error(&entry.name, message, "names must differ"));
        }
        if names.len() > POLICIES_MAX {
            let message = format!("more than {POLICIES_MAX} policies");
            return Err(source.error(&entry.name, message, "merge some of them"));
        }
        let origin = policy_source(source, &entry)?;
        let fuel = source.number(entry.fuel, 30_000, "fuel", 100..=1_000_000_000)?;
        policies.push(PolicyConfig {
            name,
            source: origin,
            fuel,
            memory: check_memory(source, entry.memory)?,
            deadline: entry.deadline.map_or(Duration::from_millis(10), |span| span.0),
            params: entry.config,
            watch: entry.watch,
        });
    }
    Ok(policies)
}

fn check_memory(
    source: &Source<'_>,
    memory: Option<Spanned<ByteSize>>,
) -> Result<usize, ConfigError> {
    let Some(memory) = memory else { return Ok(1 << 20) };
    let bytes = memory.get_ref().0;
    if (65_536..=(256 << 20)).contains(&bytes) {
        return Ok(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    Err(source.error(&memory, "memory is out of range", "from 64KiB to 256MiB"))
}

fn policy_source(source: &Source<'_>, entry: &RawPolicy) -> Result<PolicySource, ConfigError> {
    let base = source.path.parent().unwrap_or(Path::new("."));
    if let Some(rules) = &entry.rules {
        if entry.file.is_some() || entry.builtin.is_some() {
            let message = "a policy has one of `file`, `builtin` and `rules`".to_owned();
            return Err(source.error(rules, message, "take the others out"));
        }
        return Ok(PolicySource::Rules(base.join(rules.get_ref())));
    }
    match (&entry.file, &entry.builtin) {
        (Some(file), None) => Ok(PolicySource::File(base.join(file.get_ref()))),
        (None, Some(name)) if builtin::bytes(name.get_ref()).is_some() => {
            Ok(PolicySource::Builtin(name.get_ref().clone()))
        }
        (None, Some(name)) => {
            let message = format!("no built-in policy {:?}", name.get_ref());
            Err(source.error(name, message, closest(name.get_ref(), builtin::names())))
        }
        (Some(_), Some(name)) => {
            let message = "a policy has either `file` or `builtin`".to_owned();
            Err(source.error(name, message, "take one of them out"))
        }
        (None, None) => {
            let message = format!("policy {:?} has no module", entry.name.get_ref());
            let mend = "add `file = \"x.wasm\"`, `builtin = \"home\"` or `rules = \"rules.pf\"`";
            Err(source.error(&entry.name, message, mend))
        }
    }
}

fn check_timeouts(
    source: &Source<'_>,
    raw: RawTimeouts,
    states: u64,
) -> Result<Timeouts, ConfigError> {
    let profile = match &raw.profile {
        None => Profile::Normal,
        Some(name) => Profile::from_name(name.get_ref()).ok_or_else(|| {
            let known = Profile::ALL.iter().map(|p| p.name());
            let message = format!("no timeout profile {:?}", name.get_ref());
            source.error(name, message, closest(name.get_ref(), known))
        })?,
    };
    let mut set = Vec::new();
    for (key, value) in flattened(raw.kinds) {
        let Some(kind) = Timeout::from_name(&key) else {
            let mend = closest(&key, Timeout::ALL.iter().map(|t| t.name()));
            return Err(source.key_error(&key, format!("unknown timeout `{key}`"), mend));
        };
        let Some(span) = value.as_str().and_then(Span::parse) else {
            let message = format!("timeout `{key}` = {value} is no duration");
            let mend = "write it with its unit, such as \"45s\" or \"2m\"".to_owned();
            return Err(source.key_error(&key, message, mend));
        };
        set.push((kind, span.0));
    }
    let adaptive = raw.adaptive.map(|a| (a.start, a.end));
    if let Some((start, end)) = adaptive
        && start >= end
    {
        let message = format!("adaptive start {start} is not below its end {end}");
        return Err(source.key_error("adaptive", message, "make start < end".to_owned()));
    }
    let mut timeouts = Timeouts::from(profile);
    timeouts.adapt_to_limit(states);
    if let Some((start, end)) = adaptive {
        timeouts.adaptive_start = start;
        timeouts.adaptive_end = end;
    }
    for (kind, duration) in set {
        timeouts.set(kind, duration);
    }
    Ok(timeouts)
}

/// `tcp.first = "60s"` and `"tcp.first" = "60s"` mean the same; TOML reads the first as a table.
fn flattened(kinds: BTreeMap<String, toml::Value>) -> Vec<(String, toml::Value)> {
    let mut flat = Vec::new();
    for (key, value) in kinds {
        if let toml::Value::Table(inner) = value {
            flat.extend(inner.into_iter().map(|(part, v)| (format!("{key}.{part}"), v)));
        } else {
            flat.push((key, value));
        }
    }
    flat
}
