//! Signals to processes of our own.

use rustix::process::{Pid, Signal, kill_process};

/// Asks a process to end, with SIGTERM; nothing happens when it has ended already.
///
/// The caller must not have waited for it yet, so that the number is still its own.
pub fn terminate(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}
