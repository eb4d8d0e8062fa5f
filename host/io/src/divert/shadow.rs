//! The shadow of the main table that leads packets made here into the self tun.
//!
//! Pure: routes, addresses and devices in, routes out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plan::{Snapshot, UNREACHABLE_METRIC};
use super::{DivertError, OnCrash, PROTOCOL};
use crate::netlink::{
    Address, Family, NextHop, Route, RouteKind, SCOPE_LINK, SCOPE_UNIVERSE, TABLE_MAIN,
};

/// The most routes of the main table that are followed.
pub(super) const ROUTES_MAX: usize = 100_000;
/// The kernel's default metric of IPv6 routes; 0 cannot be had there.
const METRIC_V6: u32 = 1024;

/// What is never diverted: traffic that lives on the link.
const LEFT_OUT: [(IpAddr, u8); 4] = [
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// What distinguishes routes within a table: family and prefix, metric, type of service.
pub(super) type RouteKey = (u32, IpAddr, u8, u32, u8);

pub(super) fn key_of(route: &Route) -> RouteKey {
    (route.table, route.destination, route.prefix, route.priority, route.tos)
}

/// Where the shadow leads.
pub(super) struct Shadow<'a> {
    pub(super) table: u32,
    pub(super) tun_index: u32,
    pub(super) attached: &'a [u32],
    pub(super) on_crash: OnCrash,
}

/// Returns the routes of the shadow: unreachable ones first.
pub(super) fn routes(
    shadow: &Shadow<'_>,
    snapshot: &Snapshot,
    families: &[Family],
) -> Result<Vec<Route>, DivertError> {
    let followed = |route: &&Route| {
        route.table == TABLE_MAIN
            && !route.dead
            && families.contains(&route.family())
            && !LEFT_OUT.iter().any(|&prefix| covers(prefix, route.destination, route.prefix))
    };
    let main: Vec<_> = snapshot.routes.iter().filter(followed).collect();
    if main.len() > ROUTES_MAX {
        return Err(DivertError::TooManyRoutes { routes: main.len() });
    }
    let mut all = BTreeMap::new();
    for (address, prefix) in LEFT_OUT {
        if families.contains(&Family::of(address)) {
            let route = throw(shadow.table, address, prefix, default_metric(address));
            all.insert(key_of(&route), route);
        }
    }
    for route in main {
        let own = shadow_of(shadow, snapshot, route);
        if shadow.on_crash == OnCrash::Closed && own.kind == RouteKind::Unicast {
            let behind = unreachable(shadow.table, own.destination, own.prefix);
            all.insert(key_of(&behind), behind);
        }
        // Of equal routes over several devices one that is attached wins.
        let diverted = own.kind == RouteKind::Unicast;
        let slot = all.entry(key_of(&own)).or_insert_with(|| own.clone());
        if diverted && slot.kind == RouteKind::Throw {
            *slot = own;
        }
    }
    let mut routes: Vec<_> = all.into_values().collect();
    routes.sort_by_key(|route| route.kind != RouteKind::Unreachable);
    Ok(routes)
}

fn shadow_of(shadow: &Shadow<'_>, snapshot: &Snapshot, route: &Route) -> Route {
    let hops = hops(route);
    let attached = hops.iter().find(|hop| !hop.dead && shadow.attached.contains(&hop.oif));
    let (RouteKind::Unicast, Some(hop)) = (route.kind, attached) else {
        let mut own = throw(shadow.table, route.destination, route.prefix, route.priority);
        own.tos = route.tos;
        return own;
    };
    Route {
        table: shadow.table,
        protocol: PROTOCOL,
        scope: if route.family() == Family::V4 { SCOPE_LINK } else { SCOPE_UNIVERSE },
        priority: route.priority,
        tos: route.tos,
        oif: Some(shadow.tun_index),
        prefsrc: route.prefsrc.or_else(|| source(snapshot, hop, route)),
        mtu: route.mtu.or_else(|| snapshot.mtu_of(hop.oif)),
        ..Route::to(route.destination, route.prefix)
    }
}

fn hops(route: &Route) -> Vec<NextHop> {
    let single =
        route.oif.map(|oif| NextHop { oif, gateway: route.gateway, weight: 1, dead: route.dead });
    single.into_iter().chain(route.next_hops.iter().cloned()).collect()
}

/// The source address that the main table would choose: one of the device's, first one that
/// shares a prefix with the gateway or the destination.
fn source(snapshot: &Snapshot, hop: &NextHop, route: &Route) -> Option<IpAddr> {
    let family = route.family();
    let usable = |address: &&Address| {
        Family::of(address.address) == family
            && address.scope == SCOPE_UNIVERSE
            && !address.tentative
            && !address.deprecated
            && !address.secondary
    };
    let near = hop.gateway.unwrap_or(route.destination);
    let on_device =
        || snapshot.addresses.iter().filter(|address| address.index == hop.oif).filter(usable);
    on_device()
        .find(|own| covers((own.address, own.prefix), near, family.bits()))
        .or_else(|| on_device().next())
        .or_else(|| snapshot.addresses.iter().find(usable))
        .map(|own| own.address)
}

/// Tells whether `prefix` holds all of the other prefix.
fn covers(prefix: (IpAddr, u8), address: IpAddr, length: u8) -> bool {
    let (network, bits) = prefix;
    if bits > length {
        return false;
    }
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            differ.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

pub(super) fn default_metric(address: IpAddr) -> u32 {
    if address.is_ipv6() { METRIC_V6 } else { 0 }
}

pub(super) fn throw(table: u32, destination: IpAddr, prefix: u8, priority: u32) -> Route {
    Route {
        kind: RouteKind::Throw,
        table,
        protocol: PROTOCOL,
        priority,
        ..Route::to(destination, prefix)
    }
}

pub(super) fn unreachable(table: u32, destination: IpAddr, prefix: u8) -> Route {
    Route {
        kind: RouteKind::Unreachable,
        table,
        protocol: PROTOCOL,
        priority: UNREACHABLE_METRIC,
        ..Route::to(destination, prefix)
    }
}

#[cfg(test)]
mod tests;
