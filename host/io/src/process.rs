//! Signals to processes of our own, and the priority of threads.

use rustix::process::{Pid, Signal, kill_process, setpriority_process};
use rustix::thread::gettid;

/// Asks a process to end, with SIGTERM; nothing happens when it has ended already.
///
/// The caller must not have waited for it yet, so that the number is still its own.
pub fn terminate(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Nice value of threads with work that can wait.
const PATIENT: i32 = 15;

/// Lets the calling thread run only while threads that carry packets have nothing to do; it stays
/// so. Linux knows a priority for each thread (setpriority(2), "C library/kernel differences").
pub fn be_patient() {
    // Without the right the thread keeps its priority, which harms nothing but the delay of packets.
    let _ = setpriority_process(Some(gettid()), PATIENT);
}
