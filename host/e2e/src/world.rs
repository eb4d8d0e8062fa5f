//! A laboratory network with a gateway under test.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use evergate::control::{self, InfoReport, InterfaceRow, Request, StateFilter, StateRow};
use evergate::instance::{Instance, Workplace};
use evergate_lab::{Gateway, Host, Lab};
use serde_json::Value;

use crate::tools::{self, Said};
use crate::wait::{LIMIT, until};

/// Addresses of the ready topology ([`Gateway`]).
pub mod at {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const fn v4(net: u8, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, net, host))
    }

    const fn v6(net: u16, host: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, host))
    }

    /// The client, IPv4 and IPv6.
    pub const CLIENT: [IpAddr; 2] = [v4(1, 2), v6(1, 2)];
    /// The gateway on the client's side.
    pub const LAN: [IpAddr; 2] = [v4(1, 1), v6(1, 1)];
    /// The gateway on the server's side.
    pub const WAN: [IpAddr; 2] = [v4(2, 1), v6(2, 1)];
    /// The server.
    pub const SERVER: [IpAddr; 2] = [v4(2, 2), v6(2, 2)];
}

/// Both interfaces of the gateway, attached.
pub const INTERFACES: &str = r#"
[[interface]]
name = "lan"
device = "lan0"

[[interface]]
name = "wan"
device = "wan0"
"#;

/// A configuration with one of the ready policies; `settings` are lines of its table, `rest`
/// follows.
#[must_use]
pub fn builtin(policy: &str, settings: &str, rest: &str) -> String {
    format!(
        "{INTERFACES}\n[[policy]]\nname = \"{policy}\"\nbuiltin = \"{policy}\"\n\n\
         [policy.config]\noutside = \"wan\"\n{settings}\n{rest}\n"
    )
}

/// Hosts, the files of the gateway, and its process.
#[derive(Debug)]
pub struct World {
    // First, so that it ends first.
    running: Option<Instance>,
    /// Its files.
    pub place: Workplace,
    /// The hosts.
    pub net: Gateway,
}

impl World {
    /// Client, gateway and server; the gateway's process is not started.
    ///
    /// # Errors
    /// Without the rights to make networks.
    pub fn new() -> anyhow::Result<World> {
        World::over(Lab::gateway()?)
    }

    /// The same over hosts that exist already.
    ///
    /// # Errors
    /// Without a directory for temporary files.
    pub fn over(net: Gateway) -> anyhow::Result<World> {
        Ok(World { running: None, place: Workplace::new()?, net })
    }

    /// With a running gateway whose policy is `home` with these settings.
    ///
    /// # Errors
    /// As [`World::new`] and [`World::start`].
    pub fn home(settings: &str) -> anyhow::Result<World> {
        let mut world = World::new()?;
        world.start("", &builtin("home", settings, ""))?;
        Ok(world)
    }

    /// Starts the gateway: `gateway` are further lines of `[gateway]`, `rest` the other tables.
    ///
    /// # Errors
    /// When it does not start; with what it logged.
    pub fn start(&mut self, gateway: &str, rest: &str) -> anyhow::Result<()> {
        self.running = Some(self.place.start(&self.net.gateway, gateway, rest)?);
        Ok(())
    }

    /// Runs a gateway that is expected to refuse, to its end; `under` are the words of a program
    /// that starts another one, none for the gateway as it is.
    ///
    /// # Errors
    /// When it does not end in time, which is to say: when it starts.
    pub fn start_in_vain(&self, config: &Path, under: &[&str]) -> anyhow::Result<Said> {
        let program = std::env::current_exe()?;
        let mut command = match under.split_first() {
            None => Command::new(program),
            Some((starter, words)) => {
                let mut command = tools::command(starter)?;
                command.args(words).arg(program);
                command
            }
        };
        command.args(["run", "-c"]).arg(config);
        tools::finish(&self.net.gateway, command, LIMIT)
    }

    /// Kills the gateway with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(instance) = self.running.take() {
            instance.kill();
        }
    }

    /// Stops the gateway as an operator would.
    ///
    /// # Errors
    /// When it does not end, or not with exit status 0; with what it logged.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let instance = self.running.take().context("no gateway runs")?;
        anyhow::ensure!(instance.stop()?, "it did not end well:\n{}", self.place.log());
        Ok(())
    }

    /// Asks the gateway for something that has no items; returns what it answers.
    ///
    /// # Errors
    /// When it refuses.
    pub fn ask(&self, request: &Request) -> anyhow::Result<Value> {
        Ok(control::ask::<Value>(&self.place.control(), request, |_| ())?)
    }

    /// What the gateway tells about itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn info(&self) -> anyhow::Result<InfoReport> {
        let reports = control::ask_all(&self.place.control(), &Request::ShowInfo)?;
        reports.into_iter().next().context("an empty answer")
    }

    /// How many packets it has dropped for a reason so far.
    ///
    /// # Errors
    /// When it does not answer or knows no such reason.
    pub fn drops(&self, reason: &str) -> anyhow::Result<u64> {
        self.info()?.drops.get(reason).copied().with_context(|| format!("no reason {reason}"))
    }

    /// Its states that a filter selects.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn states(&self, filter: StateFilter) -> anyhow::Result<Vec<StateRow>> {
        let request = Request::ShowStates { filter, limit: 10_000 };
        Ok(control::ask_all(&self.place.control(), &request)?)
    }

    /// Its states of one port.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn states_of_port(&self, port: u16) -> anyhow::Result<Vec<StateRow>> {
        self.states(StateFilter { port: Some(port), ..StateFilter::default() })
    }

    /// What it tells of one of its interfaces.
    ///
    /// # Errors
    /// When it does not answer or has no such interface.
    pub fn interface(&self, name: &str) -> anyhow::Result<InterfaceRow> {
        let rows: Vec<InterfaceRow> =
            control::ask_all(&self.place.control(), &Request::ShowInterfaces)?;
        rows.into_iter().find(|row| row.name == name).with_context(|| format!("no {name}"))
    }
}

/// All that a gateway may change on a host, as text: rules, routes, addresses, neighbours that
/// are answered for, devices and settings.
///
/// # Errors
/// When it cannot be read.
pub fn fingerprint(host: &Host) -> anyhow::Result<String> {
    const PARTS: [&[&str]; 8] = [
        &["-4", "rule"],
        &["-6", "rule"],
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-o", "addr"],
        &["-o", "link"],
        &["-4", "neigh", "show", "proxy"],
        &["-6", "neigh", "show", "proxy"],
    ];
    let mut text = String::new();
    for part in PARTS {
        let words: Vec<&str> = std::iter::once("ip").chain(part.iter().copied()).collect();
        text += &format!("# {}\n{}", words.join(" "), tools::must(host, &words, LIMIT)?);
    }
    for place in ["ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh"] {
        host.run(|| settings(&Path::new("/proc/sys/net").join(place), &mut text))??;
    }
    for key in ["ipv4/ip_forward", "ipv4/ip_early_demux"] {
        text += &format!("{key} = {}\n", host.read_sysctl(key)?.trim());
    }
    Ok(text)
}

fn settings(directory: &Path, text: &mut String) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            settings(&path, text)?;
        } else if let Ok(value) = std::fs::read_to_string(&path) {
            *text += &format!("{} = {}\n", path.display(), value.trim());
        }
    }
    Ok(())
}

/// Fails with the lines that differ between two fingerprints.
///
/// # Errors
/// When they differ.
pub fn ensure_same(what: &str, before: &str, after: &str) -> anyhow::Result<()> {
    let missing = before.lines().filter(|line| !after.lines().any(|other| other == *line));
    let added = after.lines().filter(|line| !before.lines().any(|other| other == *line));
    let mut lines: Vec<String> = missing.map(|line| format!("- {line}")).collect();
    lines.extend(added.map(|line| format!("+ {line}")));
    anyhow::ensure!(before == after, "{what} has changed:\n{}", lines.join("\n"));
    Ok(())
}

/// Waits until somebody listens on a TCP port of a host.
///
/// # Errors
/// When nobody ever does.
pub fn until_listening(host: &Host, port: u16) -> anyhow::Result<()> {
    until(&format!("a listener on port {port} of {}", host.name()), || {
        let tables = host.run(|| {
            ["tcp", "tcp6"].map(|table| {
                std::fs::read_to_string(format!("/proc/thread-self/net/{table}"))
                    .unwrap_or_default()
            })
        })?;
        // proc(5): the local address ends with the port in hex, state 0A is LISTEN.
        let local = format!(":{port:04X}");
        let listens = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|word| word.ends_with(&local)) && words.nth(1) == Some("0A")
        };
        Ok(tables.iter().flat_map(|table| table.lines()).any(listens))
    })
}

/// Whether a ping from a host is answered within a second.
///
/// # Errors
/// When there is no `ping`.
pub fn pings(host: &Host, to: std::net::IpAddr) -> anyhow::Result<bool> {
    let to = to.to_string();
    Ok(tools::run(host, &["ping", "-n", "-c", "1", "-W", "1", &to], Duration::from_secs(5))?.ok)
}

/// Selects the states of a protocol.
#[must_use]
pub fn filter_of_proto(proto: u8) -> StateFilter {
    StateFilter { proto: Some(proto), ..StateFilter::default() }
}
