//! Programs that run inside a host, and end with it.

use std::io::Read;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::LabError;

/// How often a process that is waited for with a time limit is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A program inside a host. Dropping it kills the program and waits for its end.
#[derive(Debug)]
pub struct Process {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    program: String,
    child: Mutex<Child>,
}

impl Shared {
    pub(crate) fn new(program: String, child: Child) -> Self {
        Self { program, child: Mutex::new(child) }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.child().try_wait(), Ok(Some(_)))
    }

    /// Kills the process, if it still runs, and waits for its end.
    pub(crate) fn end(&self) {
        let mut child = self.child();
        // Both fail only when it is over already.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn failed(&self, source: std::io::Error) -> LabError {
        LabError::Process { program: self.program.clone(), source }
    }
}

impl Process {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared.child().id()
    }

    /// Takes the pipe to its standard input, where one was asked for.
    #[must_use]
    pub fn stdin(&self) -> Option<ChildStdin> {
        self.shared.child().stdin.take()
    }

    /// Takes the pipe from its standard output, where one was asked for.
    #[must_use]
    pub fn stdout(&self) -> Option<ChildStdout> {
        self.shared.child().stdout.take()
    }

    /// Takes the pipe from its standard error, where one was asked for.
    #[must_use]
    pub fn stderr(&self) -> Option<ChildStderr> {
        self.shared.child().stderr.take()
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&self) {
        self.shared.end();
    }

    /// Asks it to end with SIGTERM; wait for its end afterwards.
    pub fn terminate(&self) {
        evergate_io::process::terminate(self.id());
    }

    /// Tells its exit status, or `None` while it runs.
    ///
    /// # Errors
    /// Fails where the kernel does not know it.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, LabError> {
        self.shared.child().try_wait().map_err(|source| self.shared.failed(source))
    }

    /// Waits for its end, at most `limit`; `None` when it still runs then.
    ///
    /// # Errors
    /// Fails where the kernel does not know it.
    pub fn wait(&self, limit: Duration) -> Result<Option<ExitStatus>, LabError> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits for its end and collects what it printed on pipes; kills it after `limit`.
    ///
    /// # Errors
    /// Fails where it had to be killed, or its output cannot be read.
    pub fn output(self, limit: Duration) -> Result<Output, LabError> {
        let stdout = self.stdout().map(|pipe| thread::spawn(move || read_all(pipe)));
        let stderr = self.stderr().map(|pipe| thread::spawn(move || read_all(pipe)));
        let status = self.wait(limit)?;
        self.kill();
        let collect = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (collect(stdout), collect(stderr));
        match status {
            Some(status) => Ok(Output { status, stdout, stderr }),
            None => Err(self.shared.failed(std::io::ErrorKind::TimedOut.into())),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// What was read until the pipe closed or failed.
fn read_all(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}
