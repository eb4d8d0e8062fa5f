//! Follows the kernel's routes and addresses: what leaves where, what is the gateway's own, and
//! the routes that lead traffic into the tuns.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_engine::{Egress, Fib, FibBuilder, Gateway, IfId};
use evergate_io::divert::{Divert, DivertConfig};
use evergate_io::netlink::{Changes, Monitor, Netlink, Route, RouteKind, TABLE_MAIN};
use evergate_io::stop::Stop;
use evergate_policy::Tables;
use evergate_wire::Addr;

use crate::config::Config;
use crate::rules;

/// Changes closer together than this are looked at as one.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Reads the kernel's routes and addresses into a snapshot.
fn snapshot(netlink: &mut Netlink, config: &Config) -> anyhow::Result<Fib> {
    let mut devices: HashMap<u32, IfId> = HashMap::new();
    for link in netlink.links()? {
        let place = config.interfaces.iter().position(|i| i.device == link.name);
        if let Some(id) = place.and_then(|n| u16::try_from(n + 1).ok()) {
            devices.insert(link.index, IfId(id));
        }
    }
    let interface = |index: u32| devices.get(&index).copied().unwrap_or(IfId::UNKNOWN);
    let mut fib = FibBuilder::default();
    for address in netlink.addresses()? {
        fib.own(interface(address.index), Addr::from(address.address));
    }
    // Known as the gateway's own in every role: packets to them come as soon as it is MASTER, and
    // all gateways of a pair see them alike.
    for vhost in &config.carp {
        let place = config.interfaces.iter().position(|i| i.device == vhost.device);
        let id = place.and_then(|n| u16::try_from(n + 1).ok()).map_or(IfId::UNKNOWN, IfId);
        for net in &vhost.addresses {
            fib.own(id, Addr::from(net.addr()));
        }
    }
    let mut routes: Vec<Route> = netlink.routes()?;
    routes.retain(|route| route.table == TABLE_MAIN && !route.dead);
    // The kernel takes the route with the lowest metric; the builder keeps the first.
    routes.sort_by_key(|route| route.priority);
    for route in &routes {
        let device = (route.kind == RouteKind::Unicast).then(|| route.devices().next()).flatten();
        let egress = device.map_or(Egress::None, |index| Egress::Interface(interface(index)));
        fib.route(Addr::from(route.destination), route.prefix, egress);
    }
    Ok(fib.build())
}

/// Leads traffic into the tuns and starts the thread that keeps the way there and the gateway's
/// snapshot true to the kernel; when the stop is signalled it takes the way back.
pub(super) fn lead_in(
    config: Config,
    gateway: Arc<Gateway>,
    tables: Arc<Tables>,
    divert: DivertConfig,
    stop: Stop,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let reserve = reserve_descriptors().context("keeping descriptors in reserve")?;
    let monitor = Monitor::open()?;
    let mut netlink = Netlink::open()?;
    // After the monitor is open, so that no change falls between.
    gateway.set_fib(snapshot(&mut netlink, &config)?);
    rules::refresh(&mut netlink, &tables, &config.interfaces).context("tables of rules")?;
    let divert = Divert::set_up(divert).context("leading traffic into the tuns")?;
    let mut follower = Follower { config, gateway, tables, netlink, monitor, divert };
    std::thread::Builder::new()
        .name("routes".into())
        .spawn(move || {
            follower.follow(&stop);
            drop(reserve);
            follower.divert.tear_down().context("taking the routes into the tuns back")?;
            Ok(())
        })
        .context("following routes")
}

/// Descriptors that taking the way back needs for settings and the state file: a gateway that
/// has run out of them must still be able to stop.
fn reserve_descriptors() -> std::io::Result<[File; 4]> {
    let open = || File::open("/dev/null");
    Ok([open()?, open()?, open()?, open()?])
}

struct Follower {
    config: Config,
    gateway: Arc<Gateway>,
    tables: Arc<Tables>,
    netlink: Netlink,
    monitor: Monitor,
    divert: Divert,
}

impl Follower {
    fn follow(&mut self, stop: &Stop) {
        loop {
            match self.monitor.wait(stop, DEBOUNCE) {
                Ok(Changes::Stopped) => return,
                Ok(Changes::Changed) => self.catch_up(),
                Err(error) => {
                    tracing::error!(%error, "changes of routes are no longer seen");
                    while !stop.is_signalled() {
                        std::thread::sleep(DEBOUNCE);
                    }
                    return;
                }
            }
        }
    }

    fn catch_up(&mut self) {
        match snapshot(&mut self.netlink, &self.config) {
            Ok(fib) => {
                tracing::debug!(routes = fib.len(), "routes read anew");
                self.gateway.set_fib(fib);
            }
            Err(error) => tracing::warn!("routes could not be read, the old stay: {error:#}"),
        }
        let interfaces = &self.config.interfaces;
        if let Err(error) = rules::refresh(&mut self.netlink, &self.tables, interfaces) {
            tracing::warn!("tables of addresses and routes stay as they were: {error:#}");
        }
        if let Err(error) = self.divert.refresh() {
            tracing::warn!(%error, "the way into the tuns could not be brought up to date");
        }
    }
}
