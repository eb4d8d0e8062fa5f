//! Bulk TCP with iperf3.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use evergate_lab::{Gateway, Process};

use crate::subject::SERVER;

/// How long the client may take beyond the measurement itself.
const SLACK: Duration = Duration::from_secs(20);
/// How often a client is started until one succeeds.
const ATTEMPTS: u32 = 3;
/// How long the server may take to listen.
const STARTS_IN: Duration = Duration::from_millis(200);

/// A running server; it ends with this handle.
pub(crate) struct Server {
    _process: Process,
}

impl Server {
    pub(crate) fn start(net: &Gateway) -> anyhow::Result<Server> {
        let mut command = Command::new("iperf3");
        command.args(["-s", "-B", SERVER]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = net.server.spawn(command).context("iperf3 is needed (apt install iperf3)")?;
        thread::sleep(STARTS_IN);
        anyhow::ensure!(process.try_wait()?.is_none(), "iperf3 did not start as a server");
        Ok(Server { _process: process })
    }

    /// Bits per second that arrived in `streams` connections.
    pub(crate) fn measure(
        &self,
        net: &Gateway,
        streams: u32,
        time: Duration,
    ) -> anyhow::Result<f64> {
        let mut result = run(net, streams, time);
        // The server takes no new client while it is not done with the last one.
        for _ in 1..ATTEMPTS {
            if result.is_ok() {
                break;
            }
            thread::sleep(STARTS_IN);
            result = run(net, streams, time);
        }
        result
    }
}

/// Runs a client.
fn run(net: &Gateway, streams: u32, time: Duration) -> anyhow::Result<f64> {
    let mut command = Command::new("iperf3");
    command.args(["-c", SERVER, "-J", "-P", &streams.to_string()]);
    // Whatever this machine has as its default.
    command.args(["-C", "cubic", "-t", &time.as_secs().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = net.client.spawn(command)?.output(time + SLACK)?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    said["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .with_context(|| format!("iperf3: {}", said["error"]))
}
