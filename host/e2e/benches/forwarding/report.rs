//! The results as a table for people and as JSON for programs.

use serde_json::{Map, Value, json};

use crate::measure::{Measured, Results};
use crate::statistics::Spread;
use crate::subject::Subject;
use crate::workload::Sample;

/// Whom Evergate is compared with, the closest first.
const PEERS: [Subject; 3] = [Subject::Relay, Subject::Nftables, Subject::Kernel];

/// A table in Markdown, padded so that it reads well as it is.
pub(crate) fn table(results: &Results) -> String {
    let mut rows = vec![header(results)];
    rows.extend(results.workloads.iter().map(|measured| row(results, measured)));
    let losses = results.workloads.iter().filter_map(|measured| loss_row(results, measured));
    rows.extend(losses);
    let others = results.workloads.iter().filter_map(Measured::others);
    format!(
        "Median (minimum–maximum) of {} rounds of {} s; queues of each tun: {}.\n{}; other programs kept \
         up to {:.1} cores busy.\n\n{}",
        results.rounds,
        results.time.as_secs(),
        results.queues,
        results.machine.line(),
        others.map(|spread| spread.max).fold(0.0, f64::max),
        markdown(&rows)
    )
}

fn header(results: &Results) -> Vec<String> {
    let mut cells = vec![String::new()];
    cells.extend(results.subjects.iter().map(|subject| subject.title().to_owned()));
    cells.extend(peers(results).map(|peer| format!("Evergate / {}", peer.title())));
    cells
}

fn row(results: &Results, measured: &Measured) -> Vec<String> {
    let (unit, of_it, decimals) = measured.workload.unit();
    let mut cells = vec![format!("{}, {unit}", measured.workload.title())];
    cells.extend(results.subjects.iter().map(|subject| {
        spread(measured.spread(*subject), |value| format!("{:.decimals$}", value / of_it))
    }));
    cells.extend(peers(results).map(|peer| {
        spread(measured.ratio(Subject::Evergate, peer), |value| format!("{value:.2}"))
    }));
    cells
}

fn loss_row(results: &Results, measured: &Measured) -> Option<Vec<String>> {
    let losses: Vec<_> = results.subjects.iter().map(|subject| measured.loss(*subject)).collect();
    if losses.iter().all(Option::is_none) {
        return None;
    }
    let mut cells = vec![format!("{}, lost of all sent", measured.workload.title())];
    let percent = |value: f64| format!("{:.0} %", value * 100.0);
    cells.extend(
        losses.into_iter().map(|loss| loss.map_or_else(String::new, |l| percent(l.median))),
    );
    cells.extend(peers(results).map(|_| String::new()));
    Some(cells)
}

fn peers(results: &Results) -> impl Iterator<Item = Subject> {
    let measured = |subject: &Subject| results.subjects.contains(subject);
    let wanted = measured(&Subject::Evergate);
    PEERS.into_iter().filter(move |peer| wanted && measured(peer))
}

fn spread(spread: Option<Spread>, text: impl Fn(f64) -> String) -> String {
    spread.map_or_else(String::new, |Spread { median, min, max }| {
        format!("{} ({}–{})", text(median), text(min), text(max))
    })
}

fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let padded = cells.map(|(column, (cell, width))| match column {
            0 => format!(" {cell:<width$} "),
            _ => format!(" {cell:>width$} "),
        });
        format!("|{}|", padded.collect::<Vec<_>>().join("|"))
    };
    let rule = widths.iter().enumerate().map(|(column, width)| match column {
        0 => format!(" {} ", "-".repeat(*width)),
        _ => format!(" {}: ", "-".repeat(width - 1)),
    });
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, format!("|{}|", rule.collect::<Vec<_>>().join("|")));
    lines.join("\n")
}

/// One object with every sample.
pub(crate) fn json(results: &Results) -> Value {
    let machine = &results.machine;
    json!({
        "machine": { "cpu": machine.cpu, "cores": machine.cores, "kernel": machine.kernel },
        "rounds": results.rounds,
        "seconds": results.time.as_secs(),
        "queues": results.queues,
        "workloads": results.workloads.iter().map(|m| workload(results, m)).collect::<Vec<_>>(),
    })
}

fn workload(results: &Results, measured: &Measured) -> Value {
    let subjects: Map<String, Value> = results
        .subjects
        .iter()
        .map(|subject| (subject.name().to_owned(), throughput(measured, *subject)))
        .collect();
    let ratios: Map<String, Value> = peers(results)
        .map(|peer| {
            let ratio = measured.ratio(Subject::Evergate, peer);
            (format!("evergate/{}", peer.name()), spread_json(ratio))
        })
        .collect();
    let (unit, of_it, _) = measured.workload.unit();
    json!({
        "name": measured.workload.name(),
        "title": measured.workload.title(),
        "unit": unit,
        "unit_is": of_it,
        "subjects": subjects,
        "ratios": ratios,
    })
}

fn throughput(measured: &Measured, subject: Subject) -> Value {
    let values = |of: fn(&Sample) -> Option<f64>| -> Vec<f64> {
        measured.samples(subject).iter().filter_map(of).collect()
    };
    json!({
        "per_second": spread_json(measured.spread(subject)),
        "samples": values(|sample| Some(sample.value)),
        "loss": spread_json(measured.loss(subject)),
        "loss_samples": values(|sample| sample.loss),
        "others_busy_cores": values(|sample| Some(sample.others)),
    })
}

fn spread_json(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |Spread { median, min, max }| json!({ "median": median, "min": min, "max": max }),
    )
}
