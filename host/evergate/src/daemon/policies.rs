//! The chain of policies of a gateway: loaded whole before anything else, replaced one by one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use evergate_io::netlink::Netlink;
use evergate_policy::{
    Chain, Compiler, CompilerConfig, Entry, Environment, Limits, Policy, SharedChain, TableLimits,
    Tables, Ticker,
};

use crate::Security;
use crate::builtin;
use crate::config::{Config, Interface, PolicyConfig, PolicySource};
use crate::control::PolicyRow;
use crate::rules;

/// The most that is read of a file; the compiler has its own, lower bound for modules.
const FILE_MAX: u64 = 64 << 20;
/// What is in the place of a policy that was unloaded.
const CONTINUE: &[u8] = br#"(module (memory (export "memory") 1)
    (func (export "evergate_abi_v1") (result i32) (i32.const 0))
    (func (export "decide") (param i32) (result i64) (i64.const 0)))"#;

/// The chain in use and what is needed to load into it.
pub(crate) struct Policies {
    compiler: Compiler,
    environment: Arc<Environment>,
    chain: Arc<SharedChain>,
    configured: Vec<PolicyConfig>,
    interfaces: Vec<Interface>,
    /// Names of the configuration's own tables.
    configured_tables: Vec<String>,
    security: Security,
    /// Where each policy's module came from; also the lock of who replaces one.
    origins: Mutex<Vec<String>>,
}

impl Policies {
    /// Compiles every policy of a configuration and fills its tables.
    ///
    /// # Errors
    /// When a module cannot be read or is refused, or a table's entry makes no sense; the message
    /// names the policy or table.
    pub(crate) fn load(config: &Config) -> anyhow::Result<Policies> {
        let tables = Tables::new(TableLimits::default());
        for (name, entries) in &config.tables {
            fill(&tables, name, entries)
                .with_context(|| format!("{}: table {name}", config.path.display()))?;
        }
        let compiler = Compiler::new(CompilerConfig {
            cache_dir: config.cache_dir.clone(),
            ..CompilerConfig::default()
        })?;
        let environment =
            Arc::new(Environment::new(Arc::new(tables), config.interface_names(), seed()));
        let mut policies = Policies {
            compiler,
            environment,
            chain: Arc::default(),
            configured: config.policies.clone(),
            interfaces: config.interfaces.clone(),
            configured_tables: rules::configured_tables(config),
            security: config.security.clone(),
            origins: Mutex::default(),
        };
        let mut loaded = Vec::new();
        let mut origins = Vec::new();
        for policy in &config.policies {
            let place = || format!("{}: policy {}", config.path.display(), policy.name);
            let (bytes, origin) = policies.read(policy, &policy.source).with_context(place)?;
            let policy = policies
                .compile(policy, &bytes)
                .with_context(|| format!("{} ({origin})", place()))?;
            loaded.push(policy);
            origins.push(origin);
        }
        policies.chain.store(Chain::new(loaded)?);
        policies.origins = Mutex::new(origins);
        Ok(policies)
    }

    fn compile(&self, policy: &PolicyConfig, bytes: &[u8]) -> anyhow::Result<Arc<Policy>> {
        let limits = Limits {
            fuel: policy.fuel,
            memory: policy.memory,
            deadline: policy.deadline,
            ..Limits::default()
        };
        let loaded =
            self.compiler.load(&policy.name, bytes, limits, &policy.params, &self.environment)?;
        for setting in loaded.unread_settings() {
            tracing::warn!(policy = policy.name, setting, "the policy knows no such setting");
        }
        Ok(loaded)
    }

    /// The chain that runners follow.
    pub(crate) fn chain(&self) -> Arc<SharedChain> {
        Arc::clone(&self.chain)
    }

    /// What the policies share.
    pub(crate) fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// Starts the tick behind policies' deadlines.
    pub(crate) fn start_ticker(&self) -> anyhow::Result<Ticker> {
        Ok(self.compiler.start_ticker()?)
    }

    /// Puts a module in the place of a policy's; states and the other policies stay. Returns its
    /// hash.
    ///
    /// # Errors
    /// When there is no such policy, or the module is refused: then the running one stays.
    pub(crate) fn replace(&self, name: &str, file: Option<PathBuf>) -> anyhow::Result<String> {
        // Compiling takes milliseconds to seconds, which packets must not feel.
        evergate_io::process::be_patient();
        let index = self.place_of(name)?;
        let configured = &self.configured[index];
        let source = match (file, &configured.source) {
            (None, source) => source.clone(),
            (Some(file), _) if is_rules(&file) => PolicySource::Rules(file),
            (Some(file), _) => PolicySource::File(file),
        };
        let (bytes, origin) = self.read(configured, &source)?;
        self.put(index, &bytes, origin)
    }

    /// Puts a module that says continue in the place of a policy's.
    ///
    /// # Errors
    /// When there is no such policy.
    pub(crate) fn unload(&self, name: &str) -> anyhow::Result<()> {
        self.put(self.place_of(name)?, CONTINUE, "unloaded".to_owned()).map(drop)
    }

    fn put(&self, index: usize, bytes: &[u8], origin: String) -> anyhow::Result<String> {
        let configured = &self.configured[index];
        let policy = self
            .compile(configured, bytes)
            .with_context(|| format!("policy {} is unchanged: {origin}", configured.name))?;
        let hash = policy.hash_hex();
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chain = self.chain.load().policies().to_vec();
        chain[index] = policy;
        self.chain.store(Chain::new(chain)?);
        origins[index] = origin;
        Ok(hash)
    }

    fn place_of(&self, name: &str) -> anyhow::Result<usize> {
        let place = self.configured.iter().position(|policy| policy.name == name);
        place.with_context(|| format!("no policy {name}; the chain is: {}", self.names()))
    }

    /// The bytes of a module that may be run, and a name of where they came from. The tables of
    /// rules are made and filled.
    fn read(
        &self,
        policy: &PolicyConfig,
        source: &PolicySource,
    ) -> anyhow::Result<(Vec<u8>, String)> {
        let (bytes, origin) = read(source)?;
        match source {
            PolicySource::File(path) => {
                self.security.check(&bytes, path).with_context(|| origin.clone())?;
            }
            PolicySource::Builtin(_) => {}
            PolicySource::Rules(path) => {
                self.security.check(&bytes, path).with_context(|| origin.clone())?;
                return Ok((self.compile_rules(policy, path, &bytes)?, origin));
            }
        }
        Ok((bytes, origin))
    }

    fn compile_rules(
        &self,
        policy: &PolicyConfig,
        path: &Path,
        text: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let text = std::str::from_utf8(text).context("it is not UTF-8 text")?;
        let options = rules::options(Some(&self.interfaces), policy.fuel, policy.memory);
        let compiled = rules::compile(path, text, &options)?;
        for warning in &compiled.warnings {
            tracing::warn!(policy = policy.name, "{warning}");
        }
        let tables = &self.environment.tables;
        rules::make_tables(tables, &compiled.tables, &self.configured_tables)?;
        let filled = Netlink::open()
            .map_err(anyhow::Error::from)
            .and_then(|mut netlink| rules::refresh(&mut netlink, tables, &self.interfaces));
        if let Err(error) = filled {
            tracing::warn!("tables of addresses and routes are not filled: {error:#}");
        }
        Ok(compiled.wasm)
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.configured.iter().map(|p| p.name.as_str()).collect();
        if names.is_empty() { "empty".to_owned() } else { names.join(", ") }
    }

    /// The name of the policy at a place of the chain.
    pub(crate) fn name_at(&self, index: u16) -> &str {
        self.configured.get(usize::from(index)).map_or("default", |p| p.name.as_str())
    }

    /// The chain as people see it.
    pub(crate) fn rows(&self) -> Vec<PolicyRow> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = self.chain.load();
        chain
            .policies()
            .iter()
            .zip(origins.iter())
            .map(|(policy, origin)| {
                let stats = policy.stats();
                PolicyRow {
                    name: policy.name().to_owned(),
                    hash: policy.hash_hex(),
                    size: policy.size() as u64,
                    source: origin.clone(),
                    unread_settings: policy.unread_settings().to_vec(),
                    decisions: stats.decisions,
                    traps: stats.traps,
                    out_of_time: stats.out_of_time,
                    bad_verdicts: stats.bad_verdicts,
                    held_off: stats.held_off,
                    abi_version: policy.abi_version(),
                    instances: stats.instances,
                    memory: policy.limits().memory as u64,
                    timed: stats.times.samples,
                    p50_ns: stats.times.p50_ns,
                    p99_ns: stats.times.p99_ns,
                    last_failure: stats.last_failure.map(|failure| failure.to_string()),
                }
            })
            .collect()
    }
}

/// Makes a table of entries as the configuration or a command writes them.
fn fill(tables: &Tables, name: &str, entries: &[String]) -> anyhow::Result<()> {
    tables.create(name)?;
    tables.replace(name, &parse_entries(entries)?)?;
    Ok(())
}

/// Entries of a table from their text.
///
/// # Errors
/// Names the first that is none.
pub(super) fn parse_entries(entries: &[String]) -> anyhow::Result<Vec<Entry>> {
    entries.iter().map(|entry| Ok(entry.parse::<Entry>()?)).collect()
}

/// The bytes of a module and a name of where they came from.
fn read(source: &PolicySource) -> anyhow::Result<(Vec<u8>, String)> {
    match source {
        PolicySource::File(path) | PolicySource::Rules(path) => Ok((
            read_file(path).with_context(|| path.display().to_string())?,
            path.display().to_string(),
        )),
        PolicySource::Builtin(name) => {
            let bytes = builtin::bytes(name).with_context(|| format!("no built-in {name}"))?;
            Ok((bytes.to_vec(), format!("builtin:{name}")))
        }
    }
}

/// Whether a file's name says that it is text in pf's language.
fn is_rules(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pf" || extension == "conf")
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A seed that outsiders cannot know: the hasher of the standard library is seeded by the
/// system.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one(now)
}
