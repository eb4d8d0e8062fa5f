//! The stage of the demo: three hosts and the gateway's process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use evergate_lab::{Gateway, Lab, Process};

use super::endpoints;
use crate::control::{self, InfoReport, Request};

/// How long a gateway may take to start; compiling policies takes most of it.
const START_MAX: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

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
    pub(super) directory: PathBuf,
    gateway: Option<Process>,
}

impl World {
    /// Makes hosts and links and starts the servers; the gateway's kernel forwards nothing yet.
    pub(super) fn build() -> anyhow::Result<World> {
        let directory = std::env::temp_dir().join(format!("evergate-demo-{}", std::process::id()));
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        let net = Lab::gateway()?;
        for host in [&net.client, &net.server] {
            host.sysctl("ipv4/ping_group_range", "0 0")?;
        }
        endpoints::serve(&net.server, DOWNLOAD)?;
        for port in [OPEN, SHUT] {
            endpoints::serve(&net.client, port)?;
        }
        Ok(World { net, directory, gateway: None })
    }

    /// The control socket of the gateway.
    pub(super) fn control(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Writes a file for the gateway to read.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Starts the gateway and waits until it answers; returns how long that took.
    pub(super) fn start_gateway(&mut self) -> anyhow::Result<Duration> {
        let control = self.control();
        let shown = |path: &Path| path.display().to_string();
        let config = format!(
            "[gateway]\ncontrol = {:?}\nstate_dir = {:?}\n{CONFIG}",
            shown(&control),
            shown(&self.directory)
        );
        let config = self.write("gateway.toml", &config)?;
        let log = std::fs::File::create(self.directory.join("gateway.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["run", "-c"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log);
        let began = Instant::now();
        let process = self.net.gateway.spawn(command)?;
        while !self.answers() {
            let over = process.try_wait()?.is_some() || began.elapsed() > START_MAX;
            if over {
                let log = std::fs::read_to_string(self.directory.join("gateway.log"));
                anyhow::bail!("the gateway did not start:\n{}", log.unwrap_or_default());
            }
            std::thread::sleep(LOOK);
        }
        self.gateway = Some(process);
        Ok(began.elapsed())
    }

    fn answers(&self) -> bool {
        control::ask_all::<InfoReport>(&self.control(), &Request::ShowInfo).is_ok()
    }

    /// Kills the gateway as a crash would: SIGKILL, no chance to clean up.
    pub(super) fn kill_gateway(&mut self) {
        if let Some(process) = self.gateway.take() {
            process.kill();
        }
    }

    /// Stops the gateway as an operator would; tells whether it ended well.
    pub(super) fn stop_gateway(&mut self) -> anyhow::Result<bool> {
        let Some(process) = self.gateway.take() else { return Ok(false) };
        process.terminate();
        let status = process.wait(Duration::from_secs(10))?;
        Ok(status.is_some_and(|status| status.success()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_gateway();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
