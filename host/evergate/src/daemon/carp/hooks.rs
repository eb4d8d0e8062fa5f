//! Commands that an operator wants run on a role change. Nobody waits for them.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use evergate_carp::{Reason, State};

use crate::config::CarpConfig;

/// The most commands that run at a time; one more is not started, and that is said.
const RUNNING_MAX: usize = 16;

/// The commands that run.
#[derive(Default)]
pub(super) struct Hooks {
    running: Vec<Child>,
}

impl Hooks {
    /// Starts the command for a role, if there is one.
    pub(super) fn run(&mut self, vhost: &CarpConfig, state: State, reason: Reason) {
        let words = match state {
            State::Master => &vhost.on_master,
            State::Backup | State::Init => &vhost.on_backup,
        };
        let Some((program, arguments)) = words.split_first() else { return };
        self.reap();
        if self.running.len() >= RUNNING_MAX {
            tracing::warn!(program, "carp: {RUNNING_MAX} commands run already, not started");
            return;
        }
        let spawned = Command::new(program)
            .args(arguments)
            .env("EVERGATE_INTERFACE", &vhost.device)
            .env("EVERGATE_VHID", vhost.vhid.to_string())
            .env("EVERGATE_STATE", state.name())
            .env("EVERGATE_REASON", reason.name())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends the gateway by its terminal does not end them.
            .process_group(0)
            .spawn();
        match spawned {
            Ok(child) => self.running.push(child),
            Err(error) => tracing::warn!(program, %error, "carp: a command could not be started"),
        }
    }

    /// Takes note of those that have ended.
    pub(super) fn reap(&mut self) {
        self.running.retain_mut(|child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) if status.success() => false,
            Ok(Some(status)) => {
                tracing::warn!(pid = child.id(), %status, "carp: a command failed");
                false
            }
            Err(error) => {
                tracing::warn!(pid = child.id(), %error, "carp: a command was lost");
                false
            }
        });
    }

    /// Whether any run.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }
}
