//! Bringing the kernel to what is planned, and back.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::{self, LocalRule, Memory};
use super::plan::Plan;
use super::shadow::{RouteKey, key_of};
use super::{DivertError, Leftovers, PROTOCOL};
use crate::netlink::{
    Family, Netlink, NetlinkError, PROTOCOL_KERNEL, ProxyNeighbour, Route, RouteKind, Rule,
    RuleAction, TABLE_LOCAL, TABLE_MAIN,
};
use crate::sysctl;

/// How many things were added, replaced or removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    added: usize,
    removed: usize,
}

/// Brings everything to the plan: additions in the plan's order, forwarding last, and only then
/// what is there too much goes.
pub(super) fn apply(
    netlink: &mut Netlink,
    memory: &mut Memory,
    plan: &Plan,
) -> Result<(), DivertError> {
    let old_routes = own_routes(netlink)?;
    let old_proxies = own_proxies(netlink)?;
    add_routes(netlink, plan, &old_routes)?;
    add_proxies(netlink, plan, &old_proxies)?;
    apply_settings(memory, &plan.preparations)?;
    let old_rules = own_rules(netlink)?;
    add_rules(netlink, memory, plan, &old_rules)?;
    apply_settings(memory, &plan.settings)?;

    if plan.local_moves_behind.is_none() {
        restore_local_rules(netlink, memory)?;
    }
    for rule in old_rules.iter().filter(|old| !plan.rules.iter().any(|rule| same(old, rule))) {
        gone(netlink.delete_rule(rule))?;
    }
    remove_proxies(netlink, plan, &old_proxies)?;
    remove_routes(netlink, plan, &old_routes)?;
    restore_settings(memory, |key| plan.keeps(key))?;
    Ok(())
}

/// Brings routes and proxy entries to the plan, and puts rules back that somebody took away
/// (systemd-networkd does, unless told otherwise). Settings do not change.
pub(super) fn follow(
    netlink: &mut Netlink,
    memory: &mut Memory,
    plan: &Plan,
) -> Result<Applied, DivertError> {
    let old_routes = own_routes(netlink)?;
    let old_proxies = own_proxies(netlink)?;
    let old_rules = own_rules(netlink)?;
    let added = add_routes(netlink, plan, &old_routes)?
        + add_proxies(netlink, plan, &old_proxies)?
        + add_rules(netlink, memory, plan, &old_rules)?;
    let removed =
        remove_routes(netlink, plan, &old_routes)? + remove_proxies(netlink, plan, &old_proxies)?;
    Ok(Applied { added, removed })
}

pub(super) fn apply_settings(
    memory: &mut Memory,
    settings: &[(String, &'static str)],
) -> Result<(), DivertError> {
    for (key, value) in settings {
        memory::set(memory, key, value)?;
    }
    Ok(())
}

/// Takes everything of ours back; goes on after a failure and returns the first one.
pub(super) fn remove_all(
    netlink: &mut Netlink,
    memory: &mut Memory,
) -> Result<Leftovers, DivertError> {
    let mut found = Leftovers::default();
    let mut first = None;
    let mut keep = |result: Result<usize, DivertError>| match result {
        Ok(count) => count,
        Err(error) => {
            first.get_or_insert(error);
            0
        }
    };
    found.settings = keep(restore_settings(memory, |key| !key.ends_with("forwarding")));
    found.local_rules = keep(restore_local_rules(netlink, memory));
    found.rules = keep(remove_all_rules(netlink));
    let nothing = Plan::default();
    found.proxies = keep(
        own_proxies(netlink)
            .map_err(DivertError::from)
            .and_then(|old| remove_proxies(netlink, &nothing, &old)),
    );
    found.routes = keep(
        own_routes(netlink)
            .map_err(DivertError::from)
            .and_then(|old| remove_routes(netlink, &nothing, &old)),
    );
    found.settings += keep(restore_settings(memory, |_| false));
    match first {
        None => memory.clear().map(|()| found),
        Some(error) => Err(error),
    }
}

/// Tells whether an earlier run left rules behind.
pub(super) fn has_leftovers(netlink: &mut Netlink) -> Result<bool, NetlinkError> {
    Ok(!own_rules(netlink)?.is_empty())
}

fn own_routes(netlink: &mut Netlink) -> Result<BTreeMap<RouteKey, Route>, NetlinkError> {
    let ours = |route: &Route| {
        route.protocol == PROTOCOL && route.table != TABLE_MAIN && route.table != TABLE_LOCAL
    };
    let routes = netlink.routes()?.into_iter().filter(ours);
    Ok(routes.map(|route| (key_of(&route), route)).collect())
}

fn own_proxies(netlink: &mut Netlink) -> Result<BTreeSet<ProxyNeighbour>, NetlinkError> {
    let proxies = netlink.proxies()?.into_iter();
    Ok(proxies.filter(|proxy| proxy.protocol == PROTOCOL).collect())
}

fn own_rules(netlink: &mut Netlink) -> Result<Vec<Rule>, NetlinkError> {
    let rules = netlink.rules()?.into_iter();
    Ok(rules.filter(|rule| rule.protocol == PROTOCOL).collect())
}

fn add_routes(
    netlink: &mut Netlink,
    plan: &Plan,
    old: &BTreeMap<RouteKey, Route>,
) -> Result<usize, DivertError> {
    let mut added = 0;
    for route in &plan.routes {
        let result = match old.get(&key_of(route)) {
            Some(old) if leads_the_same_way(old, route) => continue,
            Some(_) => netlink.replace_route(route),
            None => netlink.add_route(route),
        };
        added += 1;
        result.map_err(|error| match error {
            error if error.is_exists() => DivertError::TableInUse { table: route.table },
            error => error.into(),
        })?;
    }
    Ok(added)
}

fn remove_routes(
    netlink: &mut Netlink,
    plan: &Plan,
    old: &BTreeMap<RouteKey, Route>,
) -> Result<usize, DivertError> {
    let kept: BTreeSet<_> = plan.routes.iter().map(key_of).collect();
    let mut removed = 0;
    // Those that refuse go last, so that nothing passes meanwhile.
    let mut surplus: Vec<_> = old.values().filter(|old| !kept.contains(&key_of(old))).collect();
    surplus.sort_by_key(|route| route.kind == RouteKind::Unreachable);
    for route in surplus {
        gone(netlink.delete_route(route))?;
        removed += 1;
    }
    Ok(removed)
}

fn add_proxies(
    netlink: &mut Netlink,
    plan: &Plan,
    old: &BTreeSet<ProxyNeighbour>,
) -> Result<usize, DivertError> {
    let mut added = 0;
    let missing: Vec<_> = plan.proxies.iter().filter(|proxy| !old.contains(proxy)).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let there = netlink.proxies()?;
    for proxy in missing {
        // An entry that somebody else made serves as well and stays theirs.
        let same =
            |other: &ProxyNeighbour| other.index == proxy.index && other.address == proxy.address;
        if !there.iter().any(same) {
            netlink.add_proxy(*proxy)?;
            added += 1;
        }
    }
    Ok(added)
}

fn remove_proxies(
    netlink: &mut Netlink,
    plan: &Plan,
    old: &BTreeSet<ProxyNeighbour>,
) -> Result<usize, DivertError> {
    let mut removed = 0;
    for proxy in old.iter().filter(|old| !plan.proxies.contains(old)) {
        gone(netlink.delete_proxy(*proxy))?;
        removed += 1;
    }
    Ok(removed)
}

fn add_rules(
    netlink: &mut Netlink,
    memory: &mut Memory,
    plan: &Plan,
    old: &[Rule],
) -> Result<usize, DivertError> {
    let mut added = 0;
    for rule in plan.rules.iter().filter(|rule| !old.iter().any(|old| same(old, rule))) {
        netlink.add_rule(rule)?;
        added += 1;
    }
    match plan.local_moves_behind {
        Some(priority) => Ok(added + move_local_rules(netlink, memory, priority)?),
        None => Ok(added),
    }
}

fn remove_all_rules(netlink: &mut Netlink) -> Result<usize, DivertError> {
    let rules = own_rules(netlink)?;
    let mut removed = 0;
    for rule in &rules {
        gone(netlink.delete_rule(rule))?;
        removed += 1;
    }
    Ok(removed)
}

/// Deletes the rules for local addresses before `priority`; ours stands there already.
fn move_local_rules(
    netlink: &mut Netlink,
    memory: &mut Memory,
    priority: u32,
) -> Result<usize, DivertError> {
    let mut moved = 0;
    for rule in netlink.rules()?.iter().filter(|rule| is_foreign_local(rule)) {
        if rule.priority < priority {
            let original = LocalRule::new(rule.family, rule.priority, rule.protocol);
            memory.remember_local_rule(original)?;
            netlink.delete_rule(rule)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Puts the rules for local addresses back where they were. A family that has none at all,
/// with nothing remembered, gets the kernel's own: without it the host cannot be reached.
fn restore_local_rules(netlink: &mut Netlink, memory: &mut Memory) -> Result<usize, DivertError> {
    let mut restored = 0;
    let mut wanted = memory.local_rules().to_vec();
    let there = netlink.rules()?;
    for family in Family::BOTH {
        let ours_alone = there.iter().any(|rule| rule.family == family && is_local(rule))
            && !there.iter().any(|rule| rule.family == family && is_foreign_local(rule));
        if ours_alone && !wanted.iter().any(|rule| rule.family() == family) {
            wanted.push(LocalRule::new(family, 0, PROTOCOL_KERNEL));
        }
    }
    for moved in wanted {
        let mut rule = Rule::new(moved.family(), moved.priority, RuleAction::Lookup(TABLE_LOCAL));
        rule.protocol = moved.protocol;
        match netlink.add_rule(&rule) {
            Ok(()) => restored += 1,
            Err(error) if error.is_exists() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !memory.local_rules().is_empty() {
        memory.forget_local_rules()?;
    }
    Ok(restored)
}

/// Restores every remembered setting that is not to be kept.
fn restore_settings(
    memory: &mut Memory,
    kept: impl Fn(&str) -> bool,
) -> Result<usize, DivertError> {
    let mut restored = 0;
    let surplus: Vec<_> =
        memory.settings().iter().filter(|setting| !kept(&setting.key)).cloned().collect();
    for setting in surplus {
        // The interface may be gone, and its settings with it.
        sysctl::write_optional(&setting.key, &setting.original)?;
        memory.forget_setting(&setting.key)?;
        restored += 1;
    }
    Ok(restored)
}

fn is_local(rule: &Rule) -> bool {
    rule.action == RuleAction::Lookup(TABLE_LOCAL) && rule.selects_all()
}

fn is_foreign_local(rule: &Rule) -> bool {
    is_local(rule) && rule.protocol != PROTOCOL
}

fn same(one: &Rule, other: &Rule) -> bool {
    one.family == other.family
        && one.priority == other.priority
        && one.action == other.action
        && one.iif == other.iif
        && one.to == other.to
        && one.ip_proto == other.ip_proto
}

fn leads_the_same_way(old: &Route, new: &Route) -> bool {
    let sends = new.kind == RouteKind::Unicast;
    old.kind == new.kind
        // The kernel names the loopback device on routes that send nothing.
        && (!sends || old.oif == new.oif)
        && old.prefsrc == new.prefsrc
        && old.mtu == new.mtu
}

/// What is gone already need not be removed.
fn gone(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}
