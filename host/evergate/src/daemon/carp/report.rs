//! `show carp`: the vhosts as they stand.

use std::collections::BTreeMap;

use evergate_carp::{Counters, DemoteReason, TrailerPolicy};
use evergate_node::VhostId;
use evergate_wire::Timestamp;

use super::shell::{Shell, Vhost};
use crate::control::{CarpHeardRow, CarpReport, CarpRow, DemotionRow};

/// Tells everything at once.
pub(super) fn build(shell: &Shell, now: Timestamp) -> CarpReport {
    let (node, epoch) = shell.identity;
    let vhid = |id: VhostId| Some(shell.vhosts.get(usize::from(id.0))?.config.vhid.get());
    let held = shell.node.ledger().held().map(|(reason, amount)| DemotionRow {
        reason: reason.name().to_owned(),
        vhid: reason.vhost().and_then(vhid),
        amount,
    });
    let own = shell.node.own_demotions().map(|(id, reason)| DemotionRow {
        reason: demotion(reason).to_owned(),
        vhid: vhid(id),
        amount: 1,
    });
    CarpReport {
        node: format!("{node:016x}"),
        epoch,
        demotion: shell.node.ledger().total(),
        reasons: held.chain(own).collect(),
        realtime: shell.realtime,
        strays: counters(shell.strays()),
        vhosts: shell
            .node
            .vhosts()
            .filter_map(|(id, machine)| {
                Some(row(shell.vhosts.get(usize::from(id.0))?, machine, now))
            })
            .collect(),
    }
}

fn row(vhost: &Vhost, machine: &evergate_carp::Vhost, now: Timestamp) -> CarpRow {
    let status = machine.status();
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let millis = |at: Timestamp| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
    CarpRow {
        interface: vhost.config.interface.clone(),
        device: vhost.config.device.clone(),
        vhid: status.vhid.get(),
        group: vhost.config.group.clone(),
        state: status.state.name().to_owned(),
        reason: status.reason.name().to_owned(),
        since_ms: millis(status.since),
        addresses: vhost.config.addresses.iter().map(ToString::to_string).collect(),
        advbase: status.advbase,
        advskew: status.advskew,
        interval_us: micros(status.interval),
        down_time_us: micros(status.down_time),
        demotion: status.demotion,
        preempt: status.preempt,
        held: status.held,
        yielding: status.yielding,
        trailer: trailer(vhost.config.trailer).to_owned(),
        heard: status.last_heard.map(|heard| CarpHeardRow {
            from: heard.from.to_ip(),
            node: heard.node.map(|(node, _)| format!("{:016x}", node.0)),
            epoch: heard.node.map(|(_, epoch)| epoch),
            advbase: heard.advbase,
            advskew: heard.advskew,
            demotion: heard.demotion,
            age_ms: millis(heard.at),
        }),
        counters: counters(machine.counters().plus(vhost.endpoint.counters())),
    }
}

fn counters(counters: Counters) -> BTreeMap<String, u64> {
    counters.fields().map(|(name, value)| (format!("carps_{name}"), value)).collect()
}

/// The policy as the configuration writes it.
pub(super) fn trailer(policy: TrailerPolicy) -> &'static str {
    match policy {
        TrailerPolicy::Off => "off",
        TrailerPolicy::Use => "use",
        TrailerPolicy::Require => "require",
    }
}

/// The reason in words.
pub(super) fn demotion(reason: DemoteReason) -> &'static str {
    match reason {
        DemoteReason::LinkDown => "link down",
        DemoteReason::SendErrors => "send errors",
    }
}
