//! Waiting for what must come true.

use std::time::{Duration, Instant};

/// How long one waits for what should happen.
pub const LIMIT: Duration = Duration::from_secs(15);
/// How long one waits to see that something does not happen.
pub const SILENCE: Duration = Duration::from_millis(600);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `holds` tells so, at most [`LIMIT`].
///
/// # Errors
/// When it never does; `what` names it.
pub fn until(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !holds()? {
        anyhow::ensure!(begun.elapsed() < LIMIT, "waited {LIMIT:?} in vain: {what}");
        std::thread::sleep(LOOK);
    }
    Ok(())
}
