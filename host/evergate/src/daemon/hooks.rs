//! The thread that runs policies' hooks: never one that carries packets.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_io::clock;
use evergate_io::stop::Stop;
use evergate_policy::{Hooks, SharedChain};

/// Time between two looks for what is due.
const STEP: Duration = Duration::from_millis(100);

/// Starts the thread; it ends when the stop is signalled.
pub(super) fn start(chain: Arc<SharedChain>, stop: Stop) -> anyhow::Result<JoinHandle<()>> {
    let run = move || {
        let mut hooks = Hooks::new(chain);
        while !stop.is_signalled() {
            hooks.run(clock::monotonic_ns(), clock::wall_s());
            std::thread::sleep(STEP);
        }
        hooks.finish(clock::monotonic_ns(), clock::wall_s());
    };
    std::thread::Builder::new().name("hooks".into()).spawn(run).context("starting the hooks")
}
