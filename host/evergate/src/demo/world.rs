//! The stage of the demo: three hosts and the gateway's process.

use std::path::PathBuf;
use std::time::Duration;

use evergate_lab::{Gateway, Lab};

use super::endpoints;
use crate::instance::{Instance, Workplace};

/// Port of the download server behind the gateway.
pub(super) const DOWNLOAD: u16 = 80;
/// Port on the client's host that the policy opens to the outside.
pub(super) const OPEN: u16 = 8080;
/// Port on the client's host that the policy keeps shut.
pub(super) const SHUT: u16 = 9090;

/// The configuration as anyone would write it.
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

[policy.config]
outside = "wan"
tcp_in = [8080]
"#;

/// Hosts, servers and the running gateway.
pub(super) struct World {
    pub(super) net: Gateway,
    pub(super) workplace: Workplace,
    gateway: Option<Instance>,
}

impl World {
    /// Makes hosts and links and starts the servers; the gateway's kernel forwards nothing yet.
    pub(super) fn build() -> anyhow::Result<World> {
        let net = Lab::gateway()?;
        for host in [&net.client, &net.server] {
            host.sysctl("ipv4/ping_group_range", "0 0")?;
        }
        endpoints::serve(&net.server, DOWNLOAD)?;
        for port in [OPEN, SHUT] {
            endpoints::serve(&net.client, port)?;
        }
        Ok(World { net, workplace: Workplace::new()?, gateway: None })
    }

    /// The control socket of the gateway.
    pub(super) fn control(&self) -> PathBuf {
        self.workplace.control()
    }

    /// Starts the gateway and waits until it answers; returns how long that took.
    pub(super) fn start_gateway(&mut self) -> anyhow::Result<Duration> {
        let gateway = self.workplace.start(&self.net.gateway, "", CONFIG)?;
        let took = gateway.started_in;
        self.gateway = Some(gateway);
        Ok(took)
    }

    /// Kills the gateway as a crash would: SIGKILL, no chance to clean up.
    pub(super) fn kill_gateway(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill();
        }
    }

    /// Stops the gateway as an operator would; tells whether it ended well.
    pub(super) fn stop_gateway(&mut self) -> anyhow::Result<bool> {
        self.gateway.take().map_or(Ok(false), Instance::stop)
    }
}
