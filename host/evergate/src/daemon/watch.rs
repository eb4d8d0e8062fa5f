//! The thread that loads a policy anew when its file changes, for those who develop it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_io::stop::Stop;

use super::Running;
use crate::cli::stamp;
use crate::config::{Config, PolicySource};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Starts the thread if a policy is to be watched; it ends when the stop is signalled.
pub(super) fn start(running: &Arc<Running>, stop: Stop) -> anyhow::Result<Option<JoinHandle<()>>> {
    let mut watched = watched(&running.config);
    if watched.is_empty() {
        return Ok(None);
    }
    let running = Arc::clone(running);
    let watch = move || {
        while !stop.is_signalled() {
            std::thread::sleep(LOOK);
            for (name, path, known) in &mut watched {
                let seen = stamp(path);
                if seen == *known || seen.is_none() {
                    continue;
                }
                std::thread::sleep(LOOK);
                // A compiler may still write.
                if stamp(path) != seen {
                    continue;
                }
                *known = seen;
                match running.policies.replace(name, None) {
                    Ok(hash) => {
                        tracing::info!(policy = *name, hash, "policy replaced: its file changed")
                    }
                    Err(error) => tracing::error!(policy = *name, "not replaced: {error:#}"),
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("watch".into()).spawn(watch);
    Ok(Some(thread.context("starting the watch")?))
}

type Watched = (String, PathBuf, Option<(std::time::SystemTime, u64)>);

fn watched(config: &Config) -> Vec<Watched> {
    let policies = config.policies.iter().filter(|policy| policy.watch);
    policies
        .filter_map(|policy| match &policy.source {
            PolicySource::File(path) | PolicySource::Rules(path) => {
                Some((policy.name.clone(), path.clone(), stamp(path)))
            }
            PolicySource::Builtin(_) => None,
        })
        .collect()
}
