//! Whether other programs were at work during a measurement.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// `USER_HZ` of all Linux systems on the processors that Rust knows.
const TICKS_PER_S: f64 = 100.0;
/// The parent of the kernel's own threads, which work for whoever needs them.
const KTHREADD: u32 = 2;

/// Processor time used so far by processes that are none of ours.
pub(crate) struct Others {
    ticks: HashMap<u32, u64>,
    at: Instant,
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Others {
    /// As it is now.
    pub(crate) fn look() -> Others {
        let stats: HashMap<u32, Stat> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|process| Some((process, stat(process)?)))
            .collect();
        let ticks = stats
            .iter()
            .filter(|(process, _)| !is_ours(**process, &stats))
            .map(|(process, stat)| (*process, stat.ticks))
            .collect();
        Others { ticks, at: Instant::now() }
    }

    /// How many cores they have kept busy since then.
    pub(crate) fn busy_cores(&self) -> f64 {
        let now = Others::look();
        let used = now.ticks.iter().map(|(process, ticks)| {
            let before = self.ticks.get(process).copied().unwrap_or(0);
            ticks.saturating_sub(before)
        });
        let time = now.at.duration_since(self.at).max(Duration::from_millis(1));
        used.sum::<u64>() as f64 / TICKS_PER_S / time.as_secs_f64()
    }
}

fn is_ours(process: u32, stats: &HashMap<u32, Stat>) -> bool {
    let mut at = process;
    // No chain of parents is longer than there are processes.
    for _ in 0..stats.len() {
        if at == std::process::id() || at == KTHREADD {
            return true;
        }
        match stats.get(&at) {
            Some(stat) => at = stat.parent,
            None => return false,
        }
    }
    false
}

/// See proc_pid_stat(5); the name in parentheses may hold anything.
fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(field(4)?).ok()?, ticks: field(14)? + field(15)? })
}
