//! Two gateways on shared segments, a client and a server.
//!
//! ```text
//! client eth0 ────┬── lan0 A wan0 ──┬──── eth0 server
//!     10.0.1.2    │                 │         10.0.2.2
//!               [lan]             [wan]
//!                 └── lan0 B wan0 ──┘
//!               the virtual addresses 10.0.1.100 and 10.0.2.100 (and fd00:1::100)
//! A has .11, B has .12; the hosts' default routes lead to the virtual addresses
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use evergate::control::{self, CarpReport, CarpRow, Request};
use evergate::instance::{Instance, Workplace};
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, until};
use evergate_lab::{Bridge, Host, Lab, LinkOptions, Process};

/// The virtual addresses on the client's side.
pub(crate) const VIP: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, 100)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x100)),
];
/// The server, behind the gateways.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
/// The passphrase of every vhid.
pub(crate) const PASSPHRASE: &str = "secret";

/// One gateway.
#[derive(Debug)]
pub(crate) struct Member {
    // First, so that it ends first.
    running: Option<Instance>,
    pub(crate) place: Workplace,
    pub(crate) host: Host,
    /// Further lines of `[gateway]`.
    pub(crate) gateway: String,
}

/// Two gateways, a client and a server.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) a: Member,
    pub(crate) b: Member,
    pub(crate) client: Host,
    // Kept for the sake of its address.
    _server: Host,
    pub(crate) lan: Bridge,
    pub(crate) wan: Bridge,
    pub(crate) lab: Lab,
}

/// A vhid on the client's side with both families; `lines` are further ones of its table.
pub(crate) fn inside(lines: &str) -> String {
    vhost(1, "lan", "\"10.0.1.100/24\", \"fd00:1::100/64\"", lines)
}

/// A vhid on the other side.
pub(crate) fn outside(lines: &str) -> String {
    vhost(2, "wan", "\"10.0.2.100/24\"", lines)
}

/// A table of a vhid.
pub(crate) fn vhost(vhid: u8, interface: &str, addresses: &str, lines: &str) -> String {
    format!(
        "[[carp]]\ninterface = \"{interface}\"\nvhid = {vhid}\npassphrase_file = \"carp.key\"\n\
         addresses = [{addresses}]\n{lines}\n"
    )
}

/// What every configuration here begins with.
const HEAD: &str = "default = \"pass\"\n";
const INTERFACES: &str = "[[interface]]\nname = \"lan\"\ndevice = \"lan0\"\n[[interface]]\nname = \"wan\"\ndevice = \"wan0\"\n";

impl Pair {
    /// The hosts; no gateway runs.
    pub(crate) fn new() -> anyhow::Result<Pair> {
        let lab = Lab::new()?;
        let (lan, wan) = (lab.bridge("lan")?, lab.bridge("wan")?);
        let end = |bridge: &Bridge, name: &str, net: u8| -> anyhow::Result<Host> {
            let host = lab.host(name)?;
            bridge.connect(&lab, &host, "eth0", LinkOptions::default())?;
            host.address("eth0", &format!("10.0.{net}.2/24"))?;
            host.address("eth0", &format!("fd00:{net}::2/64"))?;
            host.route("default", &format!("10.0.{net}.100"))?;
            Ok(host)
        };
        let (client, server) = (end(&lan, "client", 1)?, end(&wan, "server", 2)?);
        let member = |name: &str, number: u8| -> anyhow::Result<Member> {
            let host = lab.host(name)?;
            for (bridge, device, net) in [(&lan, "lan0", 1), (&wan, "wan0", 2)] {
                bridge.connect(&lab, &host, device, LinkOptions::default())?;
                host.address(device, &format!("10.0.{net}.{number}/24"))?;
                host.address(device, &format!("fd00:{net}::{number}/64"))?;
            }
            let place = Workplace::new()?;
            let key = place.write("carp.key", &format!("{PASSPHRASE}\n"))?;
            std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600))?;
            Ok(Member { running: None, place, host, gateway: String::new() })
        };
        let (a, b) = (member("a", 11)?, member("b", 12)?);
        Ok(Pair { a, b, client, _server: server, lan, wan, lab })
    }

    /// Both run, A as MASTER and B as BACKUP of every vhid; each is given its tables.
    pub(crate) fn elected(a: &str, b: &str) -> anyhow::Result<Pair> {
        let mut pair = Pair::new()?;
        pair.a.start(a)?;
        pair.a.until_all("MASTER")?;
        pair.b.start(b)?;
        pair.b.until_all("BACKUP")?;
        pair.b.until("B hears A", |row| row.heard.is_some())?;
        Ok(pair)
    }

    /// Exactly one gateway has each virtual address on the client's side.
    pub(crate) fn ensure_one_owner(&self) -> anyhow::Result<()> {
        for vip in VIP {
            let owners = [self.a.has(vip)?, self.b.has(vip)?];
            ensure!(owners[0] != owners[1], "{vip} is on A: {}, on B: {}", owners[0], owners[1]);
        }
        Ok(())
    }

    /// Pings an address a hundred times a second until [`Pings::finish`].
    pub(crate) fn ping(&self, to: IpAddr) -> anyhow::Result<Pings> {
        Pings::start(&self.client, to)
    }
}

impl Member {
    /// Starts the gateway with these tables of vhids.
    pub(crate) fn start(&mut self, vhosts: &str) -> anyhow::Result<()> {
        let head = format!("{HEAD}{}", self.gateway);
        let instance = self.place.start(&self.host, &head, &format!("{INTERFACES}{vhosts}"))?;
        self.running = Some(instance);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(instance) = self.running.take() {
            instance.kill();
        }
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let instance = self.running.take().context("no gateway runs")?;
        ensure!(instance.stop()?, "it did not end well:\n{}", self.place.log());
        Ok(())
    }

    /// What `show carp` tells.
    pub(crate) fn report(&self) -> anyhow::Result<CarpReport> {
        let reports = control::ask_all(&self.place.control(), &Request::ShowCarp)?;
        reports.into_iter().next().context("an empty answer")
    }

    /// Its first vhost.
    pub(crate) fn row(&self) -> anyhow::Result<CarpRow> {
        self.report()?.vhosts.into_iter().next().context("no vhost")
    }

    /// A counter of its first vhost.
    pub(crate) fn counter(&self, name: &str) -> anyhow::Result<u64> {
        self.row()?.counters.get(name).copied().with_context(|| format!("no counter {name}"))
    }

    /// Asks for something that has no items.
    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<serde_json::Value> {
        Ok(control::ask::<serde_json::Value>(&self.place.control(), request, |_| ())?)
    }

    /// Waits until its first vhost is as wanted.
    pub(crate) fn until(
        &self,
        what: &str,
        wanted: impl Fn(&CarpRow) -> bool,
    ) -> anyhow::Result<()> {
        until(what, || Ok(wanted(&self.row()?))).with_context(|| self.place.log())
    }

    /// Waits until all its vhosts are in a state.
    pub(crate) fn until_all(&self, state: &str) -> anyhow::Result<()> {
        until(&format!("{} is {state}", self.host.name()), || {
            Ok(self.report()?.vhosts.iter().all(|row| row.state == state))
        })
        .with_context(|| self.place.log())
    }

    /// How long it takes until all its vhosts are in a state.
    pub(crate) fn time_until(&self, state: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.until_all(state)?;
        Ok(begun.elapsed())
    }

    /// Whether an address is on the client's side of the gateway.
    pub(crate) fn has(&self, address: IpAddr) -> anyhow::Result<bool> {
        has(&self.host, address)
    }
}

/// Whether an address is on the device `lan0` of a host.
pub(crate) fn has(host: &Host, address: IpAddr) -> anyhow::Result<bool> {
    let said = tools::must(host, &["ip", "-o", "addr", "show", "dev", "lan0"], LIMIT)?;
    Ok(said.contains(&format!(" {address}/")))
}

/// A running `ping`.
#[derive(Debug)]
pub(crate) struct Pings {
    process: Process,
}

/// What became of pings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinged {
    #[expect(dead_code, reason = "printed with the rest")]
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

impl Pings {
    fn start(host: &Host, to: IpAddr) -> anyhow::Result<Pings> {
        let mut command = tools::command("ping")?;
        command.args(["-n", "-q", "-i", "0.01", "-W", "1", &to.to_string()]);
        command.stdout(std::process::Stdio::piped());
        Ok(Pings { process: host.spawn(command)? })
    }

    /// Ends them and counts.
    pub(crate) fn finish(self) -> anyhow::Result<Pinged> {
        let interrupt = ["-INT", &self.process.id().to_string()].map(str::to_owned);
        std::process::Command::new("kill").args(interrupt).status()?;
        let output = self.process.output(LIMIT)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let line =
            said.lines().find(|line| line.contains("packets transmitted")).context("count")?;
        let number = |place: usize| {
            let part = line.split(", ").nth(place).and_then(|part| part.split(' ').next());
            part.and_then(|n| n.parse::<u64>().ok()).with_context(|| line.to_owned())
        };
        let (sent, received) = (number(0)?, number(1)?);
        // The last one may be on its way.
        Ok(Pinged { sent, lost: sent.saturating_sub(received) })
    }
}
