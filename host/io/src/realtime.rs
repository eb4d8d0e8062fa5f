//! Real-time priority for threads whose lateness others take for death.

use std::io;

/// Above ordinary work, below what keeps the kernel itself alive.
const PRIORITY: libc::c_int = 50;

/// Gives the calling thread a real-time priority (`SCHED_FIFO`) that its children do not inherit.
/// Such a thread must sleep most of the time.
///
/// # Errors
/// Fails without `CAP_SYS_NICE` or a limit (`RLIMIT_RTPRIO`) that allows it.
pub fn claim() -> io::Result<()> {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = PRIORITY;
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread, and the parameters live for the call.
    let code = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
