//! The thread that removes states whose time has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_engine::{Gateway, Purge};
use evergate_io::clock;
use evergate_io::stop::Stop;
use evergate_wire::Timestamp;

/// Time between two steps; each scans that part of the table that is due.
const STEP: Duration = Duration::from_millis(100);

/// Starts the thread; it ends when the stop is signalled. `purged` counts removed states.
pub(super) fn start(
    gateway: &Arc<Gateway>,
    purged: &Arc<AtomicU64>,
    stop: Stop,
) -> anyhow::Result<JoinHandle<()>> {
    let (gateway, purged) = (Arc::clone(gateway), Arc::clone(purged));
    let purge = move || {
        let mut purge = Purge::default();
        let mut last_ns = clock::monotonic_ns();
        while !stop.is_signalled() {
            std::thread::sleep(STEP);
            let now_ns = clock::monotonic_ns();
            let elapsed = Duration::from_nanos(now_ns - last_ns);
            last_ns = now_ns;
            let removed = purge.step(&gateway, Timestamp::from_nanos(now_ns), elapsed);
            purged.fetch_add(removed, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("purge".into()).spawn(purge).context("starting the purge")
}
