//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::subject::Subject;
use crate::workload::Workload;

/// Compares forwarding by the kernel, nftables, a bare tun relay and Evergate.
#[derive(Parser)]
#[command(name = "forwarding", max_term_width = 100)]
pub(crate) struct Args {
    /// A short run: two rounds.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print JSON instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only these workloads; may be given several times.
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Workload>,
    /// Only these subjects; may be given several times.
    #[arg(long = "subject", value_enum, value_name = "NAME")]
    subjects: Vec<Subject>,
    /// Directory for the picture and the figures; target/bench if not given.
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// Rounds; each measures every subject once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Seconds one measurement takes.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    seconds: u64,
    /// Queues, and so threads, a tun; what Evergate takes by itself if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) queues: Option<u16>,
    /// Repeat measurements during which other programs kept more than a tenth of a core busy, for
    /// this many minutes in all.
    #[arg(long, value_name = "MINUTES", default_value_t = 0)]
    patience: u64,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    /// How often every subject is measured: rather often than long, as where the scheduler puts
    /// the threads at the beginning of a measurement weighs most.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 11 })
    }

    /// How long one measurement takes.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How long measurements that were disturbed may be repeated, in all.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience * 60)
    }

    /// What is measured, in the order of the table.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        chosen(&Workload::ALL, &self.only)
    }

    /// Who is measured, in the order of a round.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        chosen(&Subject::ALL, &self.subjects)
    }

    /// Where the results go.
    pub(crate) fn directory(&self) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target"));
        self.out.clone().unwrap_or_else(|| target.join("bench"))
    }
}

fn chosen<T: Copy + PartialEq>(all: &[T], only: &[T]) -> Vec<T> {
    all.iter().copied().filter(|one| only.is_empty() || only.contains(one)).collect()
}
