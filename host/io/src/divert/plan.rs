//! What the kernel is to hold: rules, routes, proxy entries and settings.
//!
//! Pure but for [`Snapshot::take`]. Everything is listed in the order in which it is to be
//! added, so that no packet finds a gap.

use std::net::{IpAddr, Ipv6Addr};

use super::shadow::{self, Shadow, default_metric, throw, unreachable};
use super::{Attached, DivertConfig, DivertError, OnCrash, PROTOCOL, SelfTun};
use crate::netlink::{
    Address, Family, Link, Netlink, NetlinkError, ProxyNeighbour, Route, RouteKind, Rule,
    RuleAction, SCOPE_LINK, SCOPE_UNIVERSE, TABLE_LOCAL,
};
use crate::sysctl;
use crate::tun::DUMMY_ADDRESS;

/// The metric of the route that waits behind the tun's; everything else comes before it.
pub(super) const UNREACHABLE_METRIC: u32 = 0xffff_fff0;
/// The metric of the route into the tun.
const TUN_METRIC: u32 = 16;
const IPPROTO_ICMPV6: u8 = 58;
/// CARP proves itself, and whoever listens to it listens on the device, not behind a tun.
const IPPROTO_CARP: u8 = 112;
const LINK_LOCAL: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10);
const MULTICAST: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8);

const EARLY_DEMUX: &str = "ipv4/ip_early_demux";

// Offsets from the configured priority; the order is the order of matching.
const EXCEPTIONS: u32 = 0;
const ARRIVING: u32 = 1;
const LOCAL: u32 = 2;
const SKIP_SELF: u32 = 3;
const SELF: u32 = 4;
const AFTER_SELF: u32 = 5;

/// The network as it is.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
}

impl Snapshot {
    pub(super) fn take(netlink: &mut Netlink) -> Result<Self, NetlinkError> {
        Ok(Self {
            links: netlink.links()?,
            addresses: netlink.addresses()?,
            routes: netlink.routes()?,
        })
    }

    pub(super) fn mtu_of(&self, index: u32) -> Option<u32> {
        self.links.iter().find(|link| link.index == index).map(|link| link.mtu)
    }

    fn index_of(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|link| link.name == name).map(|link| link.index)
    }

    /// The numbers of the attached interfaces that are there.
    pub(super) fn indices(&self, config: &DivertConfig) -> Vec<u32> {
        config.attached.iter().filter_map(|attached| self.index_of(&attached.name)).collect()
    }
}

/// What is to be there.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    pub(super) proxies: Vec<ProxyNeighbour>,
    pub(super) rules: Vec<Rule>,
    /// Settings that the rules need to be there before them.
    pub(super) preparations: Vec<(String, &'static str)>,
    /// Settings that let packets pass: they come last.
    pub(super) settings: Vec<(String, &'static str)>,
    /// Rules for local addresses before this priority are to be moved away.
    pub(super) local_moves_behind: Option<u32>,
}

impl Plan {
    /// Plans for interfaces that must all be there.
    pub(super) fn new(config: &DivertConfig, snapshot: &Snapshot) -> Result<Self, DivertError> {
        for attached in &config.attached {
            if snapshot.index_of(&attached.name).is_none() {
                return Err(DivertError::NoInterface { name: attached.name.clone() });
            }
        }
        Self::refreshed(config, snapshot)
    }

    /// Plans for those interfaces that are there.
    pub(super) fn refreshed(
        config: &DivertConfig,
        snapshot: &Snapshot,
    ) -> Result<Self, DivertError> {
        let families: &[Family] = if sysctl::has_ipv6() { &Family::BOTH } else { &[Family::V4] };
        let mut plan = Self::default();
        plan.plan_routes(config, snapshot, families)?;
        if config.self_tun.is_some() {
            plan.plan_proxies(config, snapshot)?;
            plan.local_moves_behind = Some(config.priority_base + LOCAL);
        }
        for &family in families {
            plan.plan_rules(config, family);
        }
        plan.plan_settings(config)?;
        Ok(plan)
    }

    fn plan_routes(
        &mut self,
        config: &DivertConfig,
        snapshot: &Snapshot,
        families: &[Family],
    ) -> Result<(), DivertError> {
        let tables = || config.attached.iter().zip(config.table_base..);
        if config.on_crash == OnCrash::Closed {
            for (_, table) in tables() {
                let closed = |family: &Family| unreachable(table, family.unspecified(), 0);
                self.routes.extend(families.iter().map(closed));
            }
        }
        if let Some(tun) = &config.self_tun {
            for (_, table) in tables() {
                self.routes.extend(broadcasts(snapshot, table));
            }
            let shadow = Shadow {
                table: self_table(config),
                tun_index: tun.index,
                attached: &snapshot.indices(config),
                on_crash: config.on_crash,
            };
            self.routes.extend(shadow::routes(&shadow, snapshot, families)?);
        }
        for (attached, table) in tables() {
            let into_tun = |family: &Family| into_tun(attached, table, *family);
            self.routes.extend(families.iter().map(into_tun));
        }
        Ok(())
    }

    /// ARP looks an address up as if it were a packet's destination: it must be answered for
    /// by proxy once the way to it leads into a tun.
    fn plan_proxies(
        &mut self,
        config: &DivertConfig,
        snapshot: &Snapshot,
    ) -> Result<(), DivertError> {
        for attached in &config.attached {
            let Some(index) = snapshot.index_of(&attached.name) else { continue };
            let own_only = arp_ignore(&attached.name)? > 0;
            for own in &snapshot.addresses {
                let answered = own.address.is_ipv4()
                    && !own.address.is_loopback()
                    && own.address != IpAddr::V4(DUMMY_ADDRESS)
                    && (own.index == index || !own_only);
                if answered {
                    let proxy = ProxyNeighbour { index, address: own.address, protocol: PROTOCOL };
                    self.proxies.push(proxy);
                }
            }
        }
        self.proxies.sort_unstable();
        self.proxies.dedup();
        Ok(())
    }

    fn plan_rules(&mut self, config: &DivertConfig, family: Family) {
        let rule = |offset: u32, action| Rule {
            protocol: PROTOCOL,
            ..Rule::new(family, config.priority_base + offset, action)
        };
        let local = RuleAction::Lookup(TABLE_LOCAL);
        if config.self_tun.is_some() {
            for attached in &config.attached {
                let except =
                    || Rule { iif: Some(attached.name.clone()), ..rule(EXCEPTIONS, local) };
                self.rules.push(Rule { ip_proto: Some(IPPROTO_CARP), ..except() });
                if family == Family::V6 {
                    self.rules.push(Rule { ip_proto: Some(IPPROTO_ICMPV6), ..except() });
                    self.rules.push(Rule { to: Some(LINK_LOCAL), ..except() });
                    self.rules.push(Rule { to: Some(MULTICAST), ..except() });
                }
            }
            self.rules.push(rule(LOCAL, local));
        }
        for (attached, table) in config.attached.iter().zip(config.table_base..) {
            self.rules.push(Rule {
                iif: Some(attached.name.clone()),
                ..rule(ARRIVING, RuleAction::Lookup(table))
            });
        }
        if let Some(SelfTun { .. }) = &config.self_tun {
            let made_here =
                |offset, action| Rule { iif: Some("lo".to_owned()), ..rule(offset, action) };
            if family == Family::V6 {
                self.rules.push(rule(AFTER_SELF, RuleAction::Nop));
                self.rules.push(Rule {
                    ip_proto: Some(IPPROTO_ICMPV6),
                    ..made_here(SKIP_SELF, RuleAction::Goto(config.priority_base + AFTER_SELF))
                });
            }
            self.rules.push(made_here(SELF, RuleAction::Lookup(self_table(config))));
        }
    }

    fn plan_settings(&mut self, config: &DivertConfig) -> Result<(), DivertError> {
        if config.self_tun.is_some() {
            // What arrives for a socket of this host would be tied to it at once, and the
            // kernel does not forward such packets, into a tun neither. This is for IPv6 too.
            self.preparations.push((EARLY_DEMUX.to_owned(), "0"));
            for Attached { name, .. } in &config.attached {
                // By default a proxy's answer is held back for up to 0.8 s.
                self.preparations.push((format!("ipv4/neigh/{name}/proxy_delay"), "0"));
            }
        }
        for Attached { name, .. } in &config.attached {
            self.settings.push((format!("ipv4/conf/{name}/forwarding"), "1"));
            let own = format!("ipv6/conf/{name}/force_forwarding");
            if sysctl::read_optional(&own)?.is_some() {
                self.settings.push((own, "1"));
            } else if sysctl::has_ipv6() {
                self.settings.push(("ipv6/conf/all/forwarding".to_owned(), "1"));
            }
        }
        Ok(())
    }
}

impl Plan {
    /// All settings that are to be kept.
    pub(super) fn keeps(&self, key: &str) -> bool {
        self.preparations.iter().chain(&self.settings).any(|(kept, _)| kept == key)
    }
}

fn self_table(config: &DivertConfig) -> u32 {
    let count = u32::try_from(config.attached.len());
    config.table_base + count.expect("invariant: at most ATTACHED_MAX interfaces")
}

fn into_tun(attached: &Attached, table: u32, family: Family) -> Route {
    Route {
        table,
        protocol: PROTOCOL,
        scope: if family == Family::V4 { SCOPE_LINK } else { SCOPE_UNIVERSE },
        priority: TUN_METRIC,
        oif: Some(attached.tun_index),
        ..Route::default_of(family)
    }
}

/// A broadcast cannot be forwarded, so it could not pass a tun: it goes to the `local` rule.
fn broadcasts(snapshot: &Snapshot, table: u32) -> Vec<Route> {
    let mut found: Vec<_> = snapshot
        .routes
        .iter()
        .filter(|route| route.table == TABLE_LOCAL && route.kind == RouteKind::Broadcast)
        .filter(|route| !route.destination.is_loopback())
        .map(|route| {
            throw(table, route.destination, route.prefix, default_metric(route.destination))
        })
        .collect();
    found.sort_by_key(shadow::key_of);
    found.dedup_by_key(|route| shadow::key_of(route));
    found
}

fn arp_ignore(name: &str) -> Result<u8, DivertError> {
    let mut greatest = 0;
    for name in [name, "all"] {
        let text = sysctl::read_optional(&format!("ipv4/conf/{name}/arp_ignore"))?;
        greatest = greatest.max(text.and_then(|text| text.parse().ok()).unwrap_or(0));
    }
    Ok(greatest)
}

#[cfg(test)]
mod tests;
