//! Who forwards.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use evergate::config::Config;
use evergate::instance::{Instance, Workplace};
use evergate_lab::{Gateway, Host};

use crate::relay::Relay;

/// The server's address.
pub(crate) const SERVER: &str = "10.0.2.2";

/// What `home` does for TCP and UDP, as nftables would.
const RULESET: &str = "
table inet filter {
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname \"lan0\" ct state new accept
    }
}
";

/// As many states as connection tracking in the kernel may have here by default.
const CONFIG: &str = r#"
[[interface]]
name = "lan"
device = "lan0"

[[interface]]
name = "wan"
device = "wan0"

[[policy]]
name = "home"
builtin = "home"

[limits]
states = 262144
"#;

const NFT_ENDS_IN: Duration = Duration::from_secs(5);

/// One of the forwarders that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// The kernel as a plain router.
    Kernel,
    /// The kernel with a stateful ruleset.
    Nftables,
    /// Packets through tuns and back, unseen.
    Relay,
    /// Evergate with its policy `home`.
    Evergate,
}

impl Subject {
    pub(crate) const ALL: [Subject; 4] =
        [Subject::Kernel, Subject::Nftables, Subject::Relay, Subject::Evergate];

    /// The name on the command line and in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::Kernel => "kernel",
            Subject::Nftables => "nftables",
            Subject::Relay => "relay",
            Subject::Evergate => "evergate",
        }
    }

    /// The name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Subject::Kernel => "kernel",
            Subject::Nftables => "nftables",
            Subject::Relay => "bare relay",
            Subject::Evergate => "Evergate",
        }
    }
}

/// The place where subjects take turns.
pub(crate) struct Stage {
    workplace: Workplace,
    queues: u16,
}

/// A subject at work.
pub(crate) enum Running {
    Kernel,
    Nftables,
    Relay(Relay),
    Evergate(Instance),
}

impl Stage {
    /// `queues` a tun, or as many as Evergate takes by itself.
    pub(crate) fn new(queues: Option<u16>) -> anyhow::Result<Stage> {
        let default = Config::parse(Path::new("gateway.toml"), CONFIG)?.queues;
        Ok(Stage { workplace: Workplace::new()?, queues: queues.unwrap_or(default) })
    }

    /// Queues a tun.
    pub(crate) fn queues(&self) -> u16 {
        self.queues
    }

    /// Lets a subject forward; no other one may.
    pub(crate) fn start(&self, net: &Gateway, subject: Subject) -> anyhow::Result<Running> {
        let host = &net.gateway;
        Ok(match subject {
            Subject::Kernel => {
                host.sysctl("ipv4/ip_forward", "1")?;
                Running::Kernel
            }
            Subject::Nftables => {
                nft(host, RULESET)?;
                host.sysctl("ipv4/ip_forward", "1")?;
                Running::Nftables
            }
            Subject::Relay => {
                let state_file = self.workplace.path("relay.json");
                Running::Relay(Relay::start(host, self.queues, &state_file)?)
            }
            Subject::Evergate => {
                let queues = format!("queues = {}", self.queues);
                Running::Evergate(self.workplace.start(host, &queues, CONFIG)?)
            }
        })
    }

    /// Takes it away again: nothing passes.
    pub(crate) fn stop(&self, net: &Gateway, running: Running) -> anyhow::Result<()> {
        let host = &net.gateway;
        match running {
            Running::Kernel => host.sysctl("ipv4/ip_forward", "0")?,
            Running::Nftables => {
                host.sysctl("ipv4/ip_forward", "0")?;
                nft(host, "flush ruleset")?;
            }
            Running::Relay(relay) => relay.stop()?,
            Running::Evergate(instance) => {
                let well = instance.stop()?;
                anyhow::ensure!(well, "the gateway failed:\n{}", self.workplace.log());
            }
        }
        Ok(())
    }
}

fn nft(host: &Host, ruleset: &str) -> anyhow::Result<()> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let process = host.spawn(command).context("nft is needed (apt install nftables)")?;
    let mut stdin = process.stdin().context("invariant: a pipe was asked for")?;
    stdin.write_all(ruleset.as_bytes())?;
    drop(stdin);
    let output = process.output(NFT_ENDS_IN)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "nft: {complaint}");
    Ok(())
}
