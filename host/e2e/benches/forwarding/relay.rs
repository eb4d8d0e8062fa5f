//! The bare relay: the gateway's tuns, way in and loop, and nothing in between.
//!
//! A process of its own, as Evergate is one: `PROGRAM relay QUEUES STATE_FILE DEVICE…`. It says
//! "ready", and ends with its standard input.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use evergate_io::divert::{Attached, Divert, DivertConfig, OnCrash, PRIORITY_BASE, TABLE_BASE};
use evergate_io::stop::Stop;
use evergate_io::tun::{FRAME_MAX, MTU_MAX, TunDevice, pump};
use evergate_lab::{Host, Process};

/// The first argument that makes this program the relay.
pub(crate) const ROLE: &str = "relay";
const READY: &[u8] = b"ready";
const STOPS_IN: Duration = Duration::from_secs(5);

/// Runs the relay until the standard input ends.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [queues, state_file, devices @ ..] = arguments else {
        anyhow::bail!("relay QUEUES STATE_FILE DEVICE…");
    };
    let queues = queues.parse()?;
    let stop = Stop::new()?;
    let mut attached = Vec::new();
    let mut threads = Vec::new();
    for device in devices {
        let tun = TunDevice::create(&format!("relay-{device}"), queues, MTU_MAX)?;
        attached.push(Attached {
            name: device.clone(),
            tun: tun.name().to_owned(),
            tun_index: tun.index(),
        });
        for queue in tun.into_queues() {
            let stop = stop.clone();
            let carry = move || pump(&queue, &stop, &mut vec![0; FRAME_MAX], |_| true);
            threads.push(thread::Builder::new().spawn(carry)?);
        }
    }
    let divert = Divert::set_up(DivertConfig {
        attached,
        self_tun: None,
        on_crash: OnCrash::Closed,
        table_base: TABLE_BASE,
        priority_base: PRIORITY_BASE,
        state_file: PathBuf::from(state_file),
    })?;
    std::io::stdout().write_all(READY)?;
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    divert.tear_down()?;
    stop.signal();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("the relay has panicked"))??;
    }
    Ok(())
}

/// A running relay; dropping it kills it.
pub(crate) struct Relay {
    process: Process,
}

impl Relay {
    pub(crate) fn start(host: &Host, queues: u16, state_file: &Path) -> anyhow::Result<Relay> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ROLE).arg(queues.to_string()).arg(state_file).args(["lan0", "wan0"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = host.spawn(command)?;
        let mut said = [0; READY.len()];
        let mut stdout = process.stdout().context("invariant: a pipe was asked for")?;
        stdout.read_exact(&mut said).context("the relay did not start")?;
        Ok(Relay { process })
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        drop(self.process.stdin());
        let status = self.process.wait(STOPS_IN)?;
        anyhow::ensure!(status.is_some_and(|status| status.success()), "the relay failed");
        Ok(())
    }
}
