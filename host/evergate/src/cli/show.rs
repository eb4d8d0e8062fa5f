//! `evergate show …`: tables for people, JSON for programs.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

use super::args::ShowWhat;
use crate::control::{
    self, InfoReport, InterfaceRow, PolicyRow, Request, StateRow, TableEntryRow, TableRow,
};
use crate::render::{self, Grid};

pub(super) fn run(socket: &Path, what: ShowWhat) -> anyhow::Result<()> {
    match what {
        ShowWhat::States { filter, limit, json, verbose } => {
            let request = Request::ShowStates { filter: filter.into_filter()?, limit };
            rows(socket, &request, json, |rows| states(rows, verbose))
        }
        ShowWhat::Info { json } => rows(socket, &Request::ShowInfo, json, info),
        ShowWhat::Policies { json } => policies(socket, json),
        ShowWhat::Interfaces { json } => rows(socket, &Request::ShowInterfaces, json, interfaces),
        ShowWhat::Carp { json, verbose } => {
            rows(socket, &Request::ShowCarp, json, |rows| super::carp::report(rows, verbose))
        }
        ShowWhat::Tables { json } => rows(socket, &Request::ShowTables, json, tables),
    }
}

/// `evergate policy list`, the same as `evergate show policies`.
pub(super) fn policies(socket: &Path, json: bool) -> anyhow::Result<()> {
    rows(socket, &Request::ShowPolicies, json, policy_table)
}

/// `evergate table show NAME`.
pub(super) fn table_entries(socket: &Path, table: String, json: bool) -> anyhow::Result<()> {
    rows(socket, &Request::TableShow { table }, json, |rows: &[TableEntryRow]| {
        rows.iter().map(|row| format!("{}\n", row.entry)).collect()
    })
}

/// Prints the items of an answer: as they come for programs, as one table for people.
fn rows<T: Serialize + DeserializeOwned>(
    socket: &Path,
    request: &Request,
    json: bool,
    render: impl FnOnce(&[T]) -> String,
) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if json {
        let mut failed = None;
        control::ask(socket, request, |row: T| {
            if let Err(e) = serde_json::to_writer(&mut out, &row)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
            {
                failed.get_or_insert(e);
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    } else {
        let rows: Vec<T> = control::ask_all(socket, request)?;
        out.write_all(render(&rows).as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

/// pf's columns: protocol, source -> destination, the two ends' states.
pub(crate) fn states(rows: &[StateRow], verbose: bool) -> String {
    let mut headings = vec!["if", "proto", "source", "", "destination", "peers"];
    if verbose {
        headings
            .extend([">age", ">expires", ">packets", ">bytes", "policy", ">rule", "label", ">id"]);
    }
    let mut grid = Grid::new(&headings);
    for row in rows {
        let mut cells = vec![
            format!("{}>{}", row.ingress, row.egress),
            row.proto.clone(),
            render::endpoint(row.source, row.source_port),
            "->".to_owned(),
            render::endpoint(row.destination, row.destination_port),
            row.peers.clone(),
        ];
        if verbose {
            cells.extend([
                render::clock(row.age_s),
                render::clock(row.expires_s),
                format!("{}:{}", row.packets[0], row.packets[1]),
                format!("{}:{}", row.bytes[0], row.bytes[1]),
                row.policy.clone(),
                row.rule.to_string(),
                row.label.clone().unwrap_or_default(),
                format!("{:x}/{:08x}", row.id, row.creator),
            ]);
        }
        grid.row(cells);
    }
    grid.render()
}

fn info(rows: &[InfoReport]) -> String {
    let Some(info) = rows.first() else { return String::new() };
    let mut text = format!(
        "{} (evergate {}, pid {}) up {}\n\n",
        info.name,
        info.version,
        info.pid,
        render::clock(info.uptime_s)
    );
    let mut traffic = Grid::new(&["traffic", ">IPv4", ">IPv6"]);
    for (name, families) in [
        ("packets passed", info.passed_packets),
        ("bytes passed", info.passed_bytes),
        ("packets blocked", info.blocked_packets),
        ("bytes blocked", info.blocked_bytes),
    ] {
        traffic.row(vec![name.into(), families.v4.to_string(), families.v6.to_string()]);
    }
    let rate = |n: u64| format!("{:.1}/s", n as f64 / info.uptime_s.max(1) as f64);
    let mut table = Grid::new(&["state table", ">total", ">rate"]);
    table.row(vec![
        "current entries".into(),
        format!("{} of {}", info.states, info.states_limit),
        String::new(),
    ]);
    for (name, n) in [
        ("searches", info.searches),
        ("inserts", info.inserts),
        ("removals", info.removals),
        ("decisions of policies", info.decisions),
        ("fragments taken in", info.fragments),
        ("datagrams reassembled", info.reassembled),
        ("replies sent", info.replies),
        ("replies over their rate limit", info.replies_limited),
        ("frames the kernel refused", info.write_errors),
        ("payload inspections", info.inspections),
        ("inspections refused, too many", info.inspections_refused),
        ("segments withheld by inspection", info.inspections_withheld),
        ("log events lost", info.log_lost),
    ] {
        table.row(vec![name.into(), n.to_string(), rate(n)]);
    }
    let mut drops = Grid::new(&["dropped because of", ">packets", ">rate"]);
    for (reason, n) in &info.drops {
        drops.row(vec![reason.clone(), n.to_string(), rate(*n)]);
    }
    for grid in [traffic, table, drops] {
        text.push_str(&grid.render());
        text.push('\n');
    }
    text
}

fn policy_table(rows: &[PolicyRow]) -> String {
    let mut grid = Grid::new(&[
        "policy",
        "hash",
        ">abi",
        ">size",
        ">decisions",
        ">p50",
        ">p99",
        ">traps",
        ">out of time",
        ">bad verdicts",
        "source",
        "last failure",
    ]);
    for row in rows {
        grid.row(vec![
            row.name.clone(),
            row.hash.get(..12).unwrap_or(&row.hash).to_owned(),
            row.abi_version.to_string(),
            render::bytes(row.size),
            row.decisions.to_string(),
            time(row.timed, row.p50_ns),
            time(row.timed, row.p99_ns),
            row.traps.to_string(),
            row.out_of_time.to_string(),
            row.bad_verdicts.to_string(),
            row.source.clone(),
            row.last_failure.clone().unwrap_or_default(),
        ]);
    }
    grid.render()
}

/// Nanoseconds; a dash where nothing was timed yet.
fn time(timed: u64, ns: u64) -> String {
    if timed == 0 { "-".to_owned() } else { format!("{ns} ns") }
}

fn interfaces(rows: &[InterfaceRow]) -> String {
    let mut grid = Grid::new(&[
        "interface",
        "device",
        "tun",
        ">queues",
        ">packets in",
        ">bytes in",
        ">blocked",
        ">bytes blocked",
    ]);
    for row in rows {
        grid.row(vec![
            row.name.clone(),
            row.device.clone(),
            row.tun.clone(),
            row.queues.to_string(),
            row.passed_packets.to_string(),
            render::bytes(row.passed_bytes),
            row.blocked_packets.to_string(),
            render::bytes(row.blocked_bytes),
        ]);
    }
    grid.render()
}

fn tables(rows: &[TableRow]) -> String {
    let mut grid = Grid::new(&["table", ">entries"]);
    for row in rows {
        grid.row(vec![row.name.clone(), row.entries.to_string()]);
    }
    grid.render()
}
