//! What the demo tells: sentences with ticks for people, one object for programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

/// Width of the progress bar in characters.
const BAR: usize = 30;

/// The checks so far and how they are told.
pub(super) struct Story {
    json: bool,
    started: Instant,
    checks: Vec<Value>,
    failed: usize,
}

/// The figure of a check.
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

impl Story {
    pub(super) fn new(json: bool) -> Story {
        Story { json, started: Instant::now(), checks: Vec::new(), failed: 0 }
    }

    /// A sentence between checks.
    pub(super) fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// A table or other block of text.
    pub(super) fn show(&self, block: &str) {
        for line in block.lines() {
            self.say(&format!("      {line}"));
        }
    }

    /// A check with its outcome, in words and as a figure.
    pub(super) fn check(&mut self, name: &str, ok: bool, figure: Figure, sentence: &str) {
        let Figure { value, unit } = figure;
        self.checks.push(json!({"name": name, "ok": ok, "value": value, "unit": unit}));
        if !ok {
            self.failed += 1;
        }
        let tick = if ok { "✓" } else { "✗" };
        let at = self.started.elapsed().as_secs_f64();
        self.say(&format!("{at:5.1}s {tick} {sentence}"));
    }

    /// Redraws a progress bar on a terminal; `done` from 0 to 1.
    pub(super) fn progress(&self, done: f64, text: &str) {
        if self.json || !std::io::stderr().is_terminal() {
            return;
        }
        let full = (done.clamp(0.0, 1.0) * BAR as f64) as usize;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full));
        eprint!("\r       {bar} {text}   ");
        let _ = std::io::stderr().flush();
    }

    /// Clears the progress bar.
    pub(super) fn progress_done(&self) {
        if !self.json && std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }

    /// The end: how many checks held.
    pub(super) fn end(self) -> ExitCode {
        let total = self.checks.len();
        let ok = self.failed == 0 && total > 0;
        if self.json {
            println!("{}", json!({"ok": ok, "checks": self.checks}));
        } else if ok {
            println!("\nAll {total} checks held.");
        } else {
            println!("\n{} of {total} checks FAILED.", self.failed);
        }
        if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
