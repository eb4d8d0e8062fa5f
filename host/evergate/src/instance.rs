//! A gateway as a process of its own inside a lab: what the demo, tests and benches run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use evergate_lab::{Host, Process};

use crate::control::{self, InfoReport, Request};

/// How long a gateway may take to start; compiling policies takes most of it.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a gateway may take to stop.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A directory of its own for the files of a gateway, removed with this handle.
#[derive(Debug)]
pub struct Workplace {
    directory: PathBuf,
}

impl Workplace {
    /// Makes the directory.
    ///
    /// # Errors
    /// When the system's directory for temporary files cannot be written.
    pub fn new() -> anyhow::Result<Workplace> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("evergate-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("making {}", directory.display()))?;
        Ok(Workplace { directory })
    }

    /// A path inside.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file inside.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The control socket of the gateway that runs here.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// What the last gateway here has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("gateway.log")).unwrap_or_default()
    }

    /// Starts a gateway on a host and waits until it answers. The program that runs is the
    /// calling one, as `PROGRAM run -c FILE`.
    ///
    /// `gateway` holds further lines of the table `[gateway]`, `rest` the other tables.
    ///
    /// # Errors
    /// When it ends instead, or does not answer in time; with what it logged.
    pub fn start(&self, host: &Host, gateway: &str, rest: &str) -> anyhow::Result<Instance> {
        let shown = |path: &Path| path.display().to_string();
        let text = format!(
            "[gateway]\ncontrol = {:?}\nstate_dir = {:?}\n{gateway}\n{rest}",
            shown(&self.control()),
            shown(&self.directory)
        );
        let config = self.write("gateway.toml", &text)?;
        let log = std::fs::File::create(self.path("gateway.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["run", "-c"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log);
        let began = Instant::now();
        let process = host.spawn(command)?;
        while control::ask_all::<InfoReport>(&self.control(), &Request::ShowInfo).is_err() {
            if process.try_wait()?.is_some() || began.elapsed() > START_MAX {
                anyhow::bail!("the gateway did not start:\n{}", self.log());
            }
            std::thread::sleep(LOOK);
        }
        Ok(Instance { process, started_in: began.elapsed() })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A running gateway; dropping it kills it.
#[derive(Debug)]
pub struct Instance {
    process: Process,
    /// How long it took until it answered.
    pub started_in: Duration,
}

impl Instance {
    /// Kills it as a crash would: SIGKILL, no chance to clean up.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Stops it as an operator would; tells whether it ended well.
    ///
    /// # Errors
    /// When the system does not know the process.
    pub fn stop(self) -> anyhow::Result<bool> {
        self.process.terminate();
        let status = self.process.wait(STOP_MAX)?;
        Ok(status.is_some_and(|status| status.success()))
    }

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}
