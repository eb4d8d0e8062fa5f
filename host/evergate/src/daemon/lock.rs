//! One gateway a state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Context;

/// Takes the lock of a state directory, made if it is missing; it is held while the file lives.
///
/// # Errors
/// When another gateway holds it; the message names its process.
pub(super) fn take(state_dir: &Path) -> anyhow::Result<File> {
    let shown = state_dir.display();
    std::fs::create_dir_all(state_dir).with_context(|| format!("state directory {shown}"))?;
    let path = state_dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = (&file).take(20).read_to_string(&mut pid);
            anyhow::bail!(
                "a gateway runs already (pid {}, state directory {shown})\n  mend: stop it, or \
                 give this one another state_dir, control, route_table and rule_priority",
                pid.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| path.display().to_string());
        }
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}
