//! Real traffic of real programs through a running gateway.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> anyhow::Result<ExitCode> {
    if let Some(code) = evergate_e2e::enter()? {
        return Ok(code);
    }
    let mut arguments = Arguments::from_args();
    // Each test is a network of its own, but there are only so many cores.
    arguments.test_threads.get_or_insert(1);
    let trials: Vec<Trial> = Vec::new();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
