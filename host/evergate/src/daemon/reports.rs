//! What the gateway tells about itself.

use std::sync::atomic::Ordering;

use evergate_engine::IfId;
use evergate_io::clock;
use evergate_state::{Side, State};
use evergate_table::Cursor;
use evergate_wire::{DropReason, Timestamp, protocol};
use ipnet::IpNet;
use serde_json::Value;

use super::Running;
use crate::control::{InfoReport, InterfaceRow, StateFilter, StateRow};
use crate::render;

/// Shards looked at in one go while states are shown; in between packets get their turn.
const SHARDS_A_PAGE: usize = 16;

/// Hands every selected state to `each`, at most `limit`; the result is how many there were.
pub(super) fn states(
    running: &Running,
    filter: &StateFilter,
    limit: u64,
    each: &mut dyn FnMut(&StateRow) -> Result<(), String>,
) -> Result<Value, String> {
    let selects = selector(running, filter);
    let now = Timestamp::from_nanos(clock::monotonic_ns());
    let mut shown = 0;
    let mut cursor = Some(Cursor::default());
    while let (Some(at), true) = (cursor, shown < limit) {
        let mut rows = Vec::new();
        cursor = running.gateway.table().page(at, SHARDS_A_PAGE, &mut |state| {
            if selects(state) {
                rows.push(row(running, state, now));
            }
        });
        let room = usize::try_from(limit - shown).unwrap_or(usize::MAX);
        for row in rows.iter().take(room) {
            each(row)?;
            shown += 1;
        }
    }
    Ok(Value::from(shown))
}

/// The two ends of a state, the one that sent the first packet first.
fn ends(state: &State) -> [(std::net::IpAddr, u16); 2] {
    let key = state.key();
    let lo = (key.addr[0].to_ip(), key.port[0]);
    let hi = (key.addr[1].to_ip(), key.port[1]);
    match state.initiator() {
        Side::Lo => [lo, hi],
        // ICMP keys hold id and type, which belong to the query and are never swapped.
        Side::Hi if is_icmp(key.proto) => [(hi.0, lo.1), (lo.0, hi.1)],
        Side::Hi => [hi, lo],
    }
}

/// Whether the ports of a key are the id and type of a query.
fn is_icmp(proto: u8) -> bool {
    proto == protocol::ICMP || proto == protocol::ICMPV6
}

fn row(running: &Running, state: &State, now: Timestamp) -> StateRow {
    let [source, destination] = ends(state);
    let from = state.initiator();
    let options = state.options();
    let environment = running.policies.environment();
    StateRow {
        id: state.id().id,
        creator: state.id().creator,
        proto: render::proto_name(state.key().proto),
        source: source.0,
        source_port: source.1,
        destination: destination.0,
        destination_port: destination.1,
        peers: format!("{}:{}", state.peer_name(from), state.peer_name(from.other())),
        ingress: running.interface_name(IfId(options.in_if)),
        egress: running.interface_name(IfId(options.out_if)),
        age_s: now.since(state.created()).as_secs(),
        expires_s: running.gateway.expires_in(state, now).as_secs(),
        packets: [state.packets(from), state.packets(from.other())],
        bytes: [state.bytes(from), state.bytes(from.other())],
        policy: running.policies.name_at(options.policy).to_owned(),
        rule: options.rule,
        label: environment.labels.name(options.label).map(|name| name.to_string()),
        tag: environment.tags.name(options.tag).map(|name| name.to_string()),
    }
}

/// A test for a filter.
pub(super) fn selector<'a>(
    running: &'a Running,
    filter: &'a StateFilter,
) -> impl Fn(&State) -> bool + 'a {
    let within =
        |net: &Option<IpNet>, addr: std::net::IpAddr| net.is_none_or(|net| net.contains(&addr));
    let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|w| w == name);
    move |state| {
        let [source, destination] = ends(state);
        let options = state.options();
        let host =
            filter.host.is_none_or(|net| net.contains(&source.0) || net.contains(&destination.0));
        let port = filter.port.is_none_or(|port| port == source.1 || port == destination.1);
        let interface = filter.interface.as_deref().is_none_or(|name| {
            [options.in_if, options.out_if]
                .iter()
                .any(|id| running.interface_name(IfId(*id)) == name)
        });
        let label = filter.label.is_none() || {
            let name = running.policies.environment().labels.name(options.label);
            is(&filter.label, name.as_deref().unwrap_or(""))
        };
        host && port
            && interface
            && label
            && within(&filter.source, source.0)
            && within(&filter.destination, destination.0)
            && filter.proto.is_none_or(|proto| proto == state.key().proto)
            && is(&filter.policy, running.policies.name_at(options.policy))
            && filter.id.is_none_or(|id| id == state.id().id)
    }
}

/// The gateway as a whole.
pub(super) fn info(running: &Running) -> InfoReport {
    let totals = running.workers.totals(None);
    InfoReport {
        name: running.config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_s: running.started.elapsed().as_secs(),
        states: running.gateway.table().len(),
        states_limit: running.gateway.table().limit(),
        passed_packets: totals.passed_packets.into(),
        passed_bytes: totals.passed_bytes.into(),
        blocked_packets: totals.blocked_packets.into(),
        blocked_bytes: totals.blocked_bytes.into(),
        searches: totals.searches,
        inserts: totals.inserts,
        removals: totals.removals + running.removed.load(Ordering::Relaxed),
        decisions: totals.decisions,
        fragments: totals.fragments,
        reassembled: totals.reassembled,
        replies: totals.replies,
        replies_limited: totals.replies_limited,
        write_errors: running.workers.write_errors(),
        inspections: totals.inspections,
        inspections_under_way: running.gateway.inspections() as u64,
        inspections_refused: totals.inspections_refused,
        inspections_withheld: totals.inspections_withheld,
        log_lost: totals.log_lost,
        drops: DropReason::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), totals.drops[reason.index()]))
            .collect(),
    }
}

/// The attached interfaces.
pub(super) fn interfaces(running: &Running) -> Vec<InterfaceRow> {
    running
        .attached
        .iter()
        .map(|attached| {
            let totals = running.workers.totals(Some(attached.id));
            InterfaceRow {
                name: running.interface_name(attached.id),
                device: attached.device.clone(),
                tun: attached.tun.clone(),
                queues: u16::try_from(running.workers.queues(attached.id)).unwrap_or(u16::MAX),
                passed_packets: totals.passed_packets.iter().sum(),
                passed_bytes: totals.passed_bytes.iter().sum(),
                blocked_packets: totals.blocked_packets.iter().sum(),
                blocked_bytes: totals.blocked_bytes.iter().sum(),
            }
        })
        .collect()
}
