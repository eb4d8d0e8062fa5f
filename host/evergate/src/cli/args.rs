//! The grammar of the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ipnet::IpNet;

use super::policy::ModuleArgs;
use crate::config::DEFAULT_CONTROL;
use crate::control::StateFilter;

/// A stateful firewall gateway whose rules are WebAssembly modules.
#[derive(Parser)]
#[command(name = "evergate", version, propagate_version = true, max_term_width = 100)]
pub(super) struct Args {
    /// Control socket of the running gateway.
    #[arg(long, global = true, value_name = "SOCKET", default_value = DEFAULT_CONTROL)]
    pub(super) control: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the gateway in the foreground until SIGTERM or SIGINT.
    Run {
        /// The configuration.
        #[arg(short, long, value_name = "FILE", default_value = "/etc/evergate/gateway.toml")]
        config: PathBuf,
    },
    /// Check a configuration and its policies, and say what it would do; changes nothing.
    Check {
        /// The configuration.
        #[arg(short, long, value_name = "FILE", default_value = "/etc/evergate/gateway.toml")]
        config: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compile a rules file in pf's language to a policy module.
    Compile {
        /// The rules.
        file: PathBuf,
        /// A configuration, so that its interfaces are known.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where the module goes; beside the rules by default.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check rules files in pf's language.
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Show a gateway at work: client, gateway and server in namespaces of this machine.
    Demo {
        /// Print one JSON object instead of the story.
        #[arg(long)]
        json: bool,
    },
    /// Show what the running gateway knows.
    Show {
        #[command(subcommand)]
        what: ShowWhat,
    },
    /// Remove states from the running gateway.
    Kill {
        #[command(subcommand)]
        what: KillWhat,
    },
    /// Hand the virtual addresses over to another gateway without a gap.
    Failover {
        /// Take them back as soon as this gateway is the better one and preempts.
        #[arg(long)]
        undo: bool,
    },
    /// Let other gateways go first: advertise a demotion until it is taken off.
    Demote {
        /// By how much, 1 to 65535; or "off".
        #[arg(value_name = "N|off", value_parser = demotion)]
        amount: u16,
    },
    /// List, replace, test and measure policies.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Change or show address tables of the running gateway.
    Table {
        #[command(subcommand)]
        command: TableCommand,
    },
}

#[derive(Subcommand)]
pub(super) enum RulesCommand {
    /// Tell all that is wrong with a rules file; changes nothing.
    Check {
        /// The rules.
        file: PathBuf,
        /// A configuration, so that its interfaces are known.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum ShowWhat {
    /// The states, with pf's columns.
    States {
        #[command(flatten)]
        filter: FilterArgs,
        /// The most states to show.
        #[arg(long, default_value_t = 1_000)]
        limit: u64,
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
        /// More of each state: age, expiry, counters, policy and rule.
        #[arg(short, long)]
        verbose: bool,
    },
    /// The gateway as a whole: uptime, counters, drops by reason.
    Info {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The chain of policies.
    Policies {
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// The attached interfaces.
    Interfaces {
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// The address tables.
    Tables {
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// The virtual addresses: who has them and why, and what demotes this gateway.
    Carp {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// The counters, too.
        #[arg(short, long)]
        verbose: bool,
    },
}

#[derive(Subcommand)]
pub(super) enum KillWhat {
    /// Kill the states that every given option selects.
    States {
        #[command(flatten)]
        filter: FilterArgs,
        /// Really kill every state.
        #[arg(long)]
        all: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct FilterArgs {
    /// Either end is this address or in this network.
    #[arg(long, value_name = "NET", value_parser = net)]
    host: Option<IpNet>,
    /// The end that opened the connection is this address or in this network.
    #[arg(long, value_name = "NET", value_parser = net)]
    source: Option<IpNet>,
    /// The other end is this address or in this network.
    #[arg(long, value_name = "NET", value_parser = net)]
    destination: Option<IpNet>,
    /// Protocol: tcp, udp, icmp, icmp6 or a number.
    #[arg(long)]
    proto: Option<String>,
    /// Either end has this port.
    #[arg(long)]
    port: Option<u16>,
    /// Ingress or egress interface.
    #[arg(long)]
    interface: Option<String>,
    /// Label given by the policy.
    #[arg(long)]
    label: Option<String>,
    /// Policy that passed it.
    #[arg(long)]
    policy: Option<String>,
    /// State id.
    #[arg(long)]
    id: Option<u64>,
}

impl FilterArgs {
    pub(super) fn into_filter(self) -> anyhow::Result<StateFilter> {
        let proto = match self.proto {
            Some(name) => Some(crate::render::proto_number(&name).ok_or_else(|| {
                anyhow::anyhow!("--proto {name}: use tcp, udp, icmp, icmp6 or a number below 256")
            })?),
            None => None,
        };
        Ok(StateFilter {
            host: self.host,
            source: self.source,
            destination: self.destination,
            proto,
            port: self.port,
            interface: self.interface,
            label: self.label,
            policy: self.policy,
            id: self.id,
        })
    }
}

fn net(text: &str) -> Result<IpNet, String> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(net);
    }
    let address: std::net::IpAddr =
        text.parse().map_err(|_| "expected an address or a network such as 10.0.0.0/8")?;
    Ok(IpNet::from(address))
}

fn demotion(text: &str) -> Result<u16, String> {
    if text == "off" {
        return Ok(0);
    }
    let amount = text.parse().ok().filter(|amount| *amount > 0);
    amount.ok_or_else(|| "expected a number from 1 to 65535, or \"off\"".to_owned())
}

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// The chain of policies.
    List {
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// Replace a policy's module while traffic flows; states are kept. A module that does not
    /// load leaves the running one in place.
    Load {
        /// The policy.
        name: String,
        /// A .wasm or .wat file; without it the configuration's source is read anew.
        file: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read a policy's module anew from where the configuration says; all of them without a name.
    Reload {
        /// The policy.
        name: Option<String>,
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// Take a policy out of service: it says continue to everything until it is loaded again.
    Unload {
        /// The policy.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Begin a policy: writes a directory with a template, the language's SDK and a table of tests.
    New {
        /// The language.
        #[arg(long, value_parser = super::policy::languages())]
        lang: String,
        /// The policy's name, and the directory's: lower-case letters, digits and hyphens.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a module is made of: hash, ABI, imports, exports, memory; runs nothing of it.
    Inspect {
        /// A .wasm or .wat file, or a built-in one such as builtin:home.
        module: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a module about a table of packets, without a gateway; exit code 1 if a claim fails.
    ///
    /// The table is TOML: [[suite]] with name, settings, tables, and cases, a list of
    /// ["tcp 10.0.0.5:4000 10.0.0.1:22", "pass rule=1", "what is claimed"].
    Test {
        #[command(flatten)]
        module: ModuleArgs,
        /// The table.
        file: PathBuf,
        /// Print JSON, an object a case.
        #[arg(long)]
        json: bool,
    },
    /// Measure what a decision of a module costs, in nanoseconds.
    Bench {
        #[command(flatten)]
        module: ModuleArgs,
        /// A table as for `test`, whose suites are measured; else some common packets.
        file: Option<PathBuf>,
        /// How many calls, for each suite.
        #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
        calls: u64,
        /// Print JSON, an object a suite.
        #[arg(long)]
        json: bool,
    },
    /// Load a module whenever its file changes, and say what is wrong with it if anything is.
    Watch {
        #[command(flatten)]
        module: ModuleArgs,
        /// The policy of the running gateway to replace; else it is only tried out.
        #[arg(long)]
        name: Option<String>,
    },
    /// Make a key to sign modules with; prints the public key for the configuration.
    Keygen {
        /// Where the secret key goes.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sign a module: writes MODULE.sig beside it.
    Sign {
        /// The secret key.
        #[arg(long)]
        key: PathBuf,
        /// The module.
        module: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(super) enum TableCommand {
    /// Add addresses or networks; "!" in front negates one.
    Add {
        /// The table.
        table: String,
        /// Such as 10.0.0.0/8, 2001:db8::1 or !10.1.0.0/16.
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Delete entries.
    Delete {
        /// The table.
        table: String,
        /// The entries, written as they were added.
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Show the entries of a table.
    Show {
        /// The table.
        table: String,
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert_eq!(net("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(net("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert!(net("ten").is_err());
    }

    #[test]
    fn a_demotion_is_a_number_or_off() {
        assert_eq!((demotion("off"), demotion("7")), (Ok(0), Ok(7)));
        for bad in ["0", "-1", "65536", "on"] {
            assert!(demotion(bad).is_err(), "{bad}");
        }
    }
}
