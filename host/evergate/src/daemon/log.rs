//! Where log lines go: the daemon's own, decisions that asked for it, and policies' texts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_abi::LogLevel;
use evergate_engine::{IfId, LogEvent};
use evergate_io::stop::Stop;
use evergate_policy::{LogLine, LogQueue};
use tracing_subscriber::EnvFilter;

use crate::render;

/// How often policies' own lines are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Starts logging to stderr; `EVERGATE_LOG` sets the level ("info" unless set).
pub(super) fn start() {
    let filter = EnvFilter::try_from_env("EVERGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

/// Names of what log events refer to by number.
pub(super) struct Names {
    pub(super) interfaces: Vec<String>,
    pub(super) policies: Vec<String>,
}

/// Starts the thread that writes decisions and policies' lines.
pub(super) fn follow(
    events: Receiver<LogEvent>,
    lines: Arc<LogQueue>,
    names: Names,
    stop: Stop,
) -> anyhow::Result<JoinHandle<()>> {
    let follow = move || {
        while !stop.is_signalled() {
            match events.recv_timeout(LOOK) {
                Ok(event) => decision(&event, &names),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            lines.drain().iter().for_each(policy_line);
        }
    };
    std::thread::Builder::new().name("log".into()).spawn(follow).context("starting the log")
}

fn decision(event: &LogEvent, names: &Names) {
    let interface = |id: IfId| names.interfaces.get(usize::from(id.0)).map_or("-", String::as_str);
    let policy = names.policies.get(usize::from(event.policy)).map_or("default", String::as_str);
    tracing::info!(
        policy,
        rule = event.rule,
        verdict = if event.passed { "pass" } else { "block" },
        r#in = interface(event.in_if),
        out = interface(event.out_if),
        proto = render::proto_name(event.proto),
        src = render::endpoint(event.src.0.to_ip(), event.src.1),
        dst = render::endpoint(event.dst.0.to_ip(), event.dst.1),
        len = event.length,
        "packet"
    );
}

fn policy_line(line: &LogLine) {
    let (policy, text) = (&*line.policy, &line.text);
    match line.level {
        LogLevel::Error => tracing::error!(policy, "{text}"),
        LogLevel::Warn => tracing::warn!(policy, "{text}"),
        LogLevel::Info => tracing::info!(policy, "{text}"),
        LogLevel::Debug => tracing::debug!(policy, "{text}"),
    }
}
