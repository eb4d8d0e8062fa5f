//! The order of the measurements.

use std::time::Duration;

use anyhow::Context;
use evergate_lab::{Forwarding, Gateway, LinkOptions};

use crate::args::Args;
use crate::calm::Others;
use crate::machine::Machine;
use crate::statistics::Spread;
use crate::subject::{Stage, Subject};
use crate::workload::{Sample, Traffic, Workload};

/// Cores that other programs may keep busy before a measurement counts as disturbed.
const DISTURBED: f64 = 0.1;
/// How long others must be quiet before a measurement, where there is patience for that.
const CALM: Duration = Duration::from_millis(400);

/// Everything that was measured.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) time: Duration,
    pub(crate) queues: u16,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) workloads: Vec<Measured>,
}

/// The samples of one workload.
pub(crate) struct Measured {
    pub(crate) workload: Workload,
    /// By round, then in the order of [`Results::subjects`].
    rounds: Vec<Vec<Sample>>,
    subjects: Vec<Subject>,
}

impl Measured {
    /// The samples of one subject, by round.
    pub(crate) fn samples(&self, subject: Subject) -> Vec<Sample> {
        let Some(place) = self.subjects.iter().position(|other| *other == subject) else {
            return Vec::new();
        };
        self.rounds.iter().filter_map(|round| round.get(place).copied()).collect()
    }

    /// The throughput of one subject.
    pub(crate) fn spread(&self, subject: Subject) -> Option<Spread> {
        Spread::of(self.samples(subject).iter().map(|sample| sample.value))
    }

    /// The loss of one subject, where it is known.
    pub(crate) fn loss(&self, subject: Subject) -> Option<Spread> {
        Spread::of(self.samples(subject).iter().filter_map(|sample| sample.loss))
    }

    /// Cores that other programs kept busy meanwhile.
    pub(crate) fn others(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().flatten().map(|sample| sample.others))
    }

    /// The throughput of one subject as a multiple of another's in the same round.
    pub(crate) fn ratio(&self, of: Subject, to: Subject) -> Option<Spread> {
        let (of, to) = (self.samples(of), self.samples(to));
        Spread::of(of.iter().zip(&to).map(|(of, to)| of.value / to.value))
    }
}

/// Measures everything that was asked for.
pub(crate) fn all(args: &Args) -> anyhow::Result<Results> {
    let link = LinkOptions::default();
    let net = Gateway::build(Forwarding::Off, link, link)?;
    let stage = Stage::new(args.queues)?;
    let traffic = Traffic::start(&net)?;
    let mut patience = args.patience();
    let subjects = args.subjects();
    let mut workloads: Vec<Measured> = args
        .workloads()
        .into_iter()
        .map(|workload| Measured { workload, rounds: Vec::new(), subjects: subjects.clone() })
        .collect();
    for round in 1..=args.rounds() {
        for measured in &mut workloads {
            let title = measured.workload.title();
            eprint!("round {round} of {}: {title}:", args.rounds());
            let samples = one_round(&net, &stage, &traffic, measured, args.time(), &mut patience)
                .with_context(|| title)?;
            eprintln!();
            measured.rounds.push(samples);
        }
    }
    Ok(Results {
        machine: Machine::look(),
        rounds: args.rounds(),
        time: args.time(),
        queues: stage.queues(),
        subjects,
        workloads,
    })
}

/// One sample of each subject.
fn one_round(
    net: &Gateway,
    stage: &Stage,
    traffic: &Traffic,
    measured: &Measured,
    time: Duration,
    patience: &mut Duration,
) -> anyhow::Result<Vec<Sample>> {
    let (_, of_it, decimals) = measured.workload.unit();
    let sample = |subject: &Subject| {
        let running = stage.start(net, *subject).with_context(|| subject.title())?;
        let sample = loop {
            wait_for_calm(patience);
            let sample = traffic.measure(net, measured.workload, time);
            let sample = sample.with_context(|| subject.title())?;
            if sample.others <= DISTURBED || patience.is_zero() {
                break sample;
            }
            *patience = patience.saturating_sub(time);
        };
        stage.stop(net, running).with_context(|| subject.title())?;
        eprint!("  {} {:.decimals$}", subject.title(), sample.value / of_it);
        Ok(sample)
    };
    measured.subjects.iter().map(sample).collect()
}

fn wait_for_calm(patience: &mut Duration) {
    while !patience.is_zero() {
        let others = Others::look();
        std::thread::sleep(CALM);
        if others.busy_cores() <= DISTURBED {
            return;
        }
        *patience = patience.saturating_sub(CALM);
    }
}
