//! A module on its own, in a gateway made of its settings alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use evergate_policy::{
    Compiler, CompilerConfig, Entry, Environment, Limits, Params, Policy, Tables,
};

use crate::builtin;
use crate::config::ByteSize;

/// The interfaces of such a gateway; an interface's id is its place.
pub(super) const INTERFACES: [&str; 3] = ["self", "lan", "wan"];

/// A module and what it may take.
#[derive(clap::Args)]
pub(in crate::cli) struct ModuleArgs {
    /// A .wasm or .wat file, or the name of a built-in policy such as `builtin:home`.
    module: PathBuf,
    /// A setting as in the configuration, such as `tcp=[22, "80-90"]`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Fuel of one decision.
    #[arg(long, default_value_t = Limits::default().fuel)]
    fuel: u64,
    /// Memory of one instance, such as 1MiB.
    #[arg(long, value_parser = size, default_value = "1MiB")]
    memory: ByteSize,
    /// Fuel of making an instance; modules that bring a runtime need more than the default.
    #[arg(long, default_value_t = Limits::default().init_fuel)]
    init_fuel: u64,
}

fn size(text: &str) -> Result<ByteSize, String> {
    ByteSize::parse(text).ok_or_else(|| "expected a size such as 64KiB or 16MiB".to_owned())
}

/// The bytes of a module.
pub(super) fn read(module: &Path) -> anyhow::Result<Vec<u8>> {
    let text = module.to_str().unwrap_or_default();
    if let Some(name) = text.strip_prefix("builtin:") {
        let bytes = builtin::bytes(name).with_context(|| {
            let names: Vec<&str> = builtin::names().collect();
            format!("no built-in policy {name}; there are: {}", names.join(", "))
        })?;
        return Ok(bytes.to_vec());
    }
    std::fs::read(module).with_context(|| module.display().to_string())
}

impl ModuleArgs {
    /// Its bytes.
    pub(super) fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        read(&self.module)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.module
    }

    /// A name for it, of its file's.
    pub(super) fn name(&self) -> String {
        let stem = self.module.file_stem().and_then(|stem| stem.to_str()).unwrap_or("module");
        stem.strip_prefix("builtin:").unwrap_or(stem).to_owned()
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            fuel: self.fuel,
            init_fuel: self.init_fuel,
            memory: usize::try_from(self.memory.0).unwrap_or(usize::MAX),
            ..Limits::default()
        }
    }

    /// The settings given on the command line.
    pub(super) fn settings(&self) -> anyhow::Result<Params> {
        let mut all = Params::new();
        for setting in &self.settings {
            let one: Params = toml::from_str(setting).map_err(|error| {
                anyhow::anyhow!("--set {setting}: {} (texts need quotes)", error.message())
            })?;
            for (name, values) in one.iter() {
                all.insert(name, values.to_vec())?;
            }
        }
        Ok(all)
    }
}

/// A compiler and its ticker.
pub(super) fn compiler() -> anyhow::Result<Compiler> {
    Ok(Compiler::new(CompilerConfig::default())?)
}

/// A gateway of these tables.
pub(super) fn environment(
    tables: &BTreeMap<String, Vec<String>>,
) -> anyhow::Result<Arc<Environment>> {
    let names = INTERFACES.map(str::to_owned).to_vec();
    let environment = Environment::new(Arc::new(Tables::default()), names, 1);
    for (name, entries) in tables {
        environment.tables.create(name)?;
        let entries = entries.iter().map(|entry| Ok(entry.parse::<Entry>()?));
        environment.tables.add(name, &entries.collect::<anyhow::Result<Vec<_>>>()?)?;
    }
    Ok(Arc::new(environment))
}

/// Loads a module into such a gateway.
pub(super) fn load(
    args: &ModuleArgs,
    compiler: &Compiler,
    bytes: &[u8],
    params: &Params,
    environment: &Arc<Environment>,
) -> anyhow::Result<Arc<Policy>> {
    Ok(compiler.load(&args.name(), bytes, args.limits(), params, environment)?)
}
