//! `evergate show carp`, `failover` and `demote`.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::config::CarpConfig;
use crate::control::{self, CarpReport, CarpRow, Request};
use crate::render::Grid;

/// How long a handover is waited for beyond the gateway's own patience.
const GRACE: Duration = Duration::from_secs(2);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// `evergate failover`: hands over, waits for the outcome, and fails where nobody took over.
pub(super) fn failover(socket: &Path, undo: bool) -> anyhow::Result<ExitCode> {
    let answer = control::ask::<()>(socket, &Request::Failover { undo }, |()| ())?;
    if undo {
        println!("this gateway preempts again where its configuration says so");
        return Ok(ExitCode::SUCCESS);
    }
    let masters = answer.as_u64().unwrap_or(0);
    if masters == 0 {
        println!("this gateway is MASTER of nothing; it will not preempt");
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vhosts(socket)?;
    let patience = rows.iter().map(|row| row.down_time_us).max().unwrap_or(0);
    let deadline = Instant::now() + Duration::from_micros(patience) + GRACE;
    while rows.iter().any(|row| row.yielding) && Instant::now() < deadline {
        std::thread::sleep(LOOK);
        rows = vhosts(socket)?;
    }
    let remain = rows.iter().filter(|row| row.state == "MASTER").count();
    if remain == 0 {
        println!("handed over {masters} vhosts");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("evergate: nobody took over {remain} of {masters} vhosts; they remain here");
    Ok(ExitCode::FAILURE)
}

/// `evergate demote N|off`.
pub(super) fn demote(socket: &Path, amount: u16) -> anyhow::Result<()> {
    let sum = control::ask::<()>(socket, &Request::Demote { amount }, |()| ())?;
    println!("demotion {sum}");
    Ok(())
}

fn vhosts(socket: &Path) -> anyhow::Result<Vec<CarpRow>> {
    let reports: Vec<CarpReport> = control::ask_all(socket, &Request::ShowCarp)?;
    Ok(reports.into_iter().flat_map(|report| report.vhosts).collect())
}

/// The vhosts of a configuration.
pub(super) fn configured(vhosts: &[CarpConfig]) -> String {
    let mut grid = Grid::new(&["vhid", "interface", "group", ">every", "addresses"]);
    for vhost in vhosts {
        let addresses: Vec<String> = vhost.addresses.iter().map(ToString::to_string).collect();
        grid.row(vec![
            vhost.vhid.to_string(),
            vhost.interface.clone(),
            vhost.group.clone(),
            time(u64::try_from(vhost.pace.interval().as_micros()).unwrap_or(u64::MAX)),
            addresses.join(" "),
        ]);
    }
    grid.render()
}

/// The vhosts as they stand, what demotes the gateway, and the counters if wanted.
pub(super) fn report(reports: &[CarpReport], verbose: bool) -> String {
    let Some(report) = reports.first() else { return String::new() };
    let mut grid = Grid::new(&[
        "vhid",
        "interface",
        "state",
        "because",
        ">for",
        ">every",
        ">skew",
        ">demotion",
        "heard from",
        ">ago",
        "addresses",
    ]);
    for row in &report.vhosts {
        let (from, ago) = row.heard.as_ref().map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |heard| (heard.from.to_string(), time(heard.age_ms.saturating_mul(1_000))),
        );
        grid.row(vec![
            row.vhid.to_string(),
            row.interface.clone(),
            row.state.clone(),
            row.reason.clone(),
            time(row.since_ms.saturating_mul(1_000)),
            time(row.interval_us),
            row.advskew.to_string(),
            row.demotion.to_string(),
            from,
            ago,
            row.addresses.join(" "),
        ]);
    }
    let mut text = grid.render();
    for reason in &report.reasons {
        let about = reason.vhid.map_or_else(String::new, |vhid| format!(" (vhid {vhid})"));
        text.push_str(&format!("demoted by {}: {}{about}\n", reason.amount, reason.reason));
    }
    if verbose {
        text.push_str(&counters(report));
    }
    text
}

fn counters(report: &CarpReport) -> String {
    let mut text = format!("\nnode {} epoch {}\n", report.node, report.epoch);
    let named = report.vhosts.iter().map(|row| (format!("vhid {}", row.vhid), &row.counters));
    for (name, counters) in named.chain([("no vhid of ours".to_owned(), &report.strays)]) {
        if counters.values().all(|value| *value == 0) {
            continue;
        }
        let mut grid = Grid::new(&[&name, ">count"]);
        for (counter, value) in counters.iter().filter(|(_, value)| **value > 0) {
            grid.row(vec![counter.clone(), value.to_string()]);
        }
        text.push('\n');
        text.push_str(&grid.render());
    }
    text
}

/// A time for people: "10ms", "1.004s", "3m".
fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{}ms", micros / 1_000),
        1_000_000..120_000_000 => format!("{}.{:03}s", micros / 1_000_000, micros / 1_000 % 1_000),
        _ => crate::render::clock(micros / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(time(900), "900us");
        assert_eq!(time(10_000), "10ms");
        assert_eq!(time(1_004_000), "1.004s");
        assert_eq!(time(3_600_000_000), "01:00:00");
    }
}
