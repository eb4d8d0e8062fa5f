//! Policies written in pf's language: compiled here, with the tables they need filled.
//!
//! Beside what they declare, rules look addresses up in tables that only the gateway can fill:
//! `if:NAME…` holds addresses of an interface, `if:self…` all of the gateway's, `route:NAME` what
//! is routed through an interface, `route:any` what is routed at all.

use std::path::{Path, PathBuf};

use anyhow::Context;
use evergate_io::netlink::{Address, Netlink, RouteKind, TABLE_MAIN};
use evergate_policy::{Entry, Tables};
use evergate_rules::program::{TableSource, TableSpec};
use evergate_rules::{CompiledRules, Diagnostic, Loader, Options};

use crate::config::{Config, Interface};

/// The most that is read of a file.
const FILE_MAX: u64 = 16 << 20;

/// Reads files beside the file that names them.
pub(crate) struct Files;

impl Loader for Files {
    fn load(&self, path: &str, from: &str) -> Result<String, String> {
        let base = Path::new(from).parent().unwrap_or(Path::new("."));
        read(&base.join(path)).map_err(|error| error.to_string())
    }
}

/// Reads a rules file.
pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// What rules may know of a gateway with these interfaces.
pub(crate) fn options(interfaces: Option<&[Interface]>, fuel: u64, memory: usize) -> Options {
    let named = |interface: &Interface| evergate_rules::Interface {
        name: interface.name.clone(),
        groups: Vec::new(),
    };
    let interfaces = interfaces.map(|list| list.iter().map(named).collect());
    Options { interfaces, fuel, memory, ..Options::default() }
}

/// Compiles the text of a file.
///
/// # Errors
/// All that is wrong with it, a line each.
pub(crate) fn compile(path: &Path, text: &str, options: &Options) -> anyhow::Result<CompiledRules> {
    let name = path.display().to_string();
    evergate_rules::compile(&name, text, options, &Files)
        .map_err(|diagnostics| anyhow::anyhow!("{}", lines(&diagnostics)))
}

/// Diagnostics one below the other.
pub(crate) fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Makes the tables of compiled rules. What was added to a table that the file leaves empty stays.
///
/// # Errors
/// There are too many tables or entries, or gateway.toml has a table that the rules declare too.
pub(crate) fn make_tables(
    tables: &Tables,
    specs: &[TableSpec],
    configured: &[String],
) -> anyhow::Result<()> {
    for spec in specs {
        let declared = spec.source == TableSource::Declared;
        anyhow::ensure!(
            !declared || !configured.contains(&spec.name),
            "the table {} is in the rules and under [tables] in gateway.toml; keep one",
            spec.name
        );
        tables.create(&spec.name)?;
        if declared && !spec.entries.is_empty() {
            let entries: Vec<Entry> = spec
                .entries
                .iter()
                .filter_map(|prefix| Entry::new(prefix.address, prefix.len, prefix.negated))
                .collect();
            tables.replace(&spec.name, &entries)?;
        }
    }
    Ok(())
}

/// Fills the tables of addresses and routes that rules ask for, if there are any.
///
/// # Errors
/// The kernel does not tell them, or they are too many.
pub(crate) fn refresh(
    netlink: &mut Netlink,
    tables: &Tables,
    interfaces: &[Interface],
) -> anyhow::Result<()> {
    let wanted: Vec<String> = tables
        .list()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("if:") || name.starts_with("route:"))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let kernel = Kernel::read(netlink, interfaces)?;
    for table in wanted {
        let entries = match table.split_once(':') {
            Some(("if", rest)) => kernel.addresses_of(rest),
            Some((_, name)) => kernel.routes_of(name),
            None => continue,
        };
        tables.replace(&table, &entries).with_context(|| format!("table {table}"))?;
    }
    Ok(())
}

/// Configuration's names of tables, for [`make_tables`].
pub(crate) fn configured_tables(config: &Config) -> Vec<String> {
    config.tables.keys().cloned().collect()
}

/// What the kernel knows, by the gateway's names of interfaces.
struct Kernel {
    /// The interface's name, if it is attached, and the address.
    addresses: Vec<(Option<String>, Address)>,
    /// Destination and the interface it is routed through; the first of equals counts.
    routes: Vec<(std::net::IpAddr, u8, Option<String>)>,
}

impl Kernel {
    fn read(netlink: &mut Netlink, interfaces: &[Interface]) -> anyhow::Result<Kernel> {
        let links = netlink.links()?;
        let name_of = |index: u32| {
            let device = &links.iter().find(|link| link.index == index)?.name;
            Some(interfaces.iter().find(|i| i.device == *device)?.name.clone())
        };
        let addresses = netlink.addresses()?.into_iter().map(|a| (name_of(a.index), a)).collect();
        let mut routes = netlink.routes()?;
        routes.retain(|route| {
            route.table == TABLE_MAIN && !route.dead && route.kind == RouteKind::Unicast
        });
        routes.sort_by_key(|route| route.priority);
        let routes = routes
            .into_iter()
            .map(|route| {
                let through = route.devices().next().and_then(name_of);
                (route.destination, route.prefix, through)
            })
            .collect();
        Ok(Kernel { addresses, routes })
    }

    /// The table `if:NAME[:network|:broadcast|:peer][:0]`. Only `self` has every device's.
    fn addresses_of(&self, name: &str) -> Vec<Entry> {
        let mut parts = name.split(':');
        let interface = parts.next().unwrap_or("");
        let (mut part, mut first) = ("", false);
        for modifier in parts {
            if modifier == "0" {
                first = true;
            } else {
                part = modifier;
            }
        }
        let mut entries = Vec::new();
        let (mut seen4, mut seen6) = (false, false);
        for (owner, address) in &self.addresses {
            if interface != "self" && owner.as_deref() != Some(interface) {
                continue;
            }
            let seen = if address.address.is_ipv4() { &mut seen4 } else { &mut seen6 };
            if first && (std::mem::replace(seen, true) || address.secondary) {
                continue;
            }
            let host = if address.address.is_ipv4() { 32 } else { 128 };
            entries.extend(match part {
                "network" => Entry::new(address.address, address.prefix, false),
                "broadcast" => address.broadcast.and_then(|b| Entry::new(b.into(), 32, false)),
                _ => Entry::new(address.address, host, false),
            });
        }
        entries
    }

    /// The table `route:NAME`: prefixes routed through it, and exceptions routed elsewhere.
    fn routes_of(&self, name: &str) -> Vec<Entry> {
        let mut known = std::collections::BTreeSet::new();
        let mut entries = Vec::new();
        for (destination, prefix, through) in &self.routes {
            if known.insert((*destination, *prefix)) {
                let negated = name != "any" && through.as_deref() != Some(name);
                entries.extend(Entry::new(*destination, *prefix, negated));
            }
        }
        entries
    }
}

/// `evergate compile` and `evergate rules check`: compiles a file, and says what it is like.
///
/// # Errors
/// The file cannot be read, or something is wrong with it.
pub(crate) fn command(
    file: &Path,
    config: Option<&Path>,
    output: Option<PathBuf>,
) -> anyhow::Result<()> {
    let config = config.map(Config::load).transpose()?;
    let interfaces = config.as_ref().map(|config| config.interfaces.as_slice());
    let text = read(file).with_context(|| file.display().to_string())?;
    let defaults = Options::default();
    let options = options(interfaces, defaults.fuel, defaults.memory);
    let name = file.display().to_string();
    let rules = match evergate_rules::compile(&name, &text, &options, &Files) {
        Ok(rules) => rules,
        Err(diagnostics) => {
            eprintln!("{}", lines(&diagnostics));
            let errors =
                diagnostics.iter().filter(|d| d.severity == evergate_rules::Severity::Error);
            anyhow::bail!("{name}: {} errors", errors.count());
        }
    };
    if !rules.warnings.is_empty() {
        eprintln!("{}", lines(&rules.warnings));
    }
    if let Some(output) = output {
        std::fs::write(&output, &rules.wasm).with_context(|| output.display().to_string())?;
        println!("{}: {} bytes", output.display(), rules.wasm.len());
    }
    println!(
        "{name}: good, {} rules, {} tables, at most {} units of fuel and {} bytes of memory",
        rules.rules.len(),
        rules.tables.len(),
        rules.fuel,
        rules.memory
    );
    for table in rules.tables.iter().filter(|table| table.source != TableSource::Declared) {
        println!("  needs the table {}", table.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        let address = |name: Option<&str>, text: &str, prefix, secondary| {
            let address = Address {
                index: 1,
                address: text.parse().unwrap(),
                prefix,
                scope: 0,
                broadcast: None,
                secondary,
                tentative: false,
                deprecated: false,
                protocol: 0,
            };
            (name.map(str::to_owned), address)
        };
        Kernel {
            addresses: vec![
                address(Some("lan"), "10.0.0.1", 24, false),
                address(Some("lan"), "10.0.0.2", 24, true),
                address(Some("lan"), "2001:db8::1", 64, false),
                address(None, "127.0.0.1", 8, false),
            ],
            routes: vec![
                ("10.0.0.0".parse().unwrap(), 24, Some("lan".to_owned())),
                ("0.0.0.0".parse().unwrap(), 0, Some("wan".to_owned())),
                ("0.0.0.0".parse().unwrap(), 0, Some("lan".to_owned())),
            ],
        }
    }

    fn texts(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tables_of_interfaces_have_what_their_names_say() {
        let kernel = kernel();
        assert_eq!(texts(&kernel.addresses_of("lan")), ["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
        assert_eq!(texts(&kernel.addresses_of("lan:0")), ["10.0.0.1", "2001:db8::1"]);
        let networks = ["10.0.0.0/24", "10.0.0.0/24", "2001:db8::/64"];
        assert_eq!(texts(&kernel.addresses_of("lan:network")), networks);
        assert_eq!(kernel.addresses_of("self").len(), 4);
        assert!(kernel.addresses_of("dmz").is_empty());
    }

    #[test]
    fn tables_of_routes_except_what_goes_elsewhere() {
        let kernel = kernel();
        assert_eq!(texts(&kernel.routes_of("lan")), ["10.0.0.0/24", "!0.0.0.0/0"]);
        assert_eq!(texts(&kernel.routes_of("any")), ["10.0.0.0/24", "0.0.0.0/0"]);
    }
}
