//! What end-to-end tests and benches share: they are root over networks of their own, and the
//! gateway they start is their own program.

pub mod frames;
pub mod streams;
pub mod tools;
pub mod wait;
pub mod world;

use std::process::ExitCode;

/// To be called first in `main`, before any thread is started.
///
/// Called as `PROGRAM run -c FILE` or `PROGRAM policy ...` the program is the gateway: its exit
/// code is returned. Else
/// it becomes root in a user namespace, unless it is root already.
///
/// # Errors
/// When the system allows neither; the message says what is missing.
pub fn enter() -> anyhow::Result<Option<ExitCode>> {
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == "run" || arg == "policy") {
        return Ok(Some(evergate::main(args)));
    }
    if !evergate_io::netns::is_network_root() {
        evergate_io::netns::become_root_in_userns()?;
    }
    Ok(None)
}
