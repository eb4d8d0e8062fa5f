//! Routes of all tables.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteProtocol, RouteScope, RouteType, RouteVia,
};

use super::{Family, Netlink, NetlinkError, TABLE_MAIN};

/// Valid everywhere (a route over a gateway).
pub const SCOPE_UNIVERSE: u8 = 0;
/// Valid on the link (a route without a gateway).
pub const SCOPE_LINK: u8 = 253;
/// Valid on this host only.
pub const SCOPE_HOST: u8 = 254;

/// What a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// Sends it to a device or gateway.
    Unicast,
    /// Delivers it here.
    Local,
    /// Delivers it here, sends it as a broadcast.
    Broadcast,
    /// Delivers it here, sends it as unicast.
    Anycast,
    /// Goes to a group.
    Multicast,
    /// Drops it silently.
    Blackhole,
    /// Refuses it: unreachable.
    Unreachable,
    /// Refuses it: prohibited.
    Prohibit,
    /// Leaves it to the next rule.
    Throw,
    /// Another kind, by its number.
    Other(u8),
}

/// A route. Built by hand for adding, with all its parts when it comes from a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it does.
    pub kind: RouteKind,
    /// The prefix's address; it also tells the family.
    pub destination: IpAddr,
    /// The prefix's length in bits.
    pub prefix: u8,
    /// Its table.
    pub table: u32,
    /// Who made it (`RTPROT_…`).
    pub protocol: u8,
    /// How far it is valid.
    pub scope: u8,
    /// The metric: the lowest wins among equal prefixes.
    pub priority: u32,
    /// The type of service it is for; 0 is any.
    pub tos: u8,
    /// The device it leaves by; none for kinds that send nothing, and for several next hops.
    pub oif: Option<u32>,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The source address for packets made here.
    pub prefsrc: Option<IpAddr>,
    /// The largest packet on this path, where it differs from the device's.
    pub mtu: Option<u32>,
    /// The next hops of a multipath route.
    pub next_hops: Vec<NextHop>,
    /// Whether its device is down, so that it is not used. A lost carrier alone does not stop the
    /// kernel from using a route.
    pub dead: bool,
    /// Attributes that this library does not look into, as text.
    pub other: Vec<String>,
}

/// One way of a multipath route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The device it leaves by.
    pub oif: u32,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// Its share, from 1.
    pub weight: u16,
    /// Whether its device is down, so that it is not used.
    pub dead: bool,
}

impl Route {
    /// Makes a plain route of the main table to a prefix.
    #[must_use]
    pub fn to(destination: IpAddr, prefix: u8) -> Self {
        Self {
            kind: RouteKind::Unicast,
            destination,
            prefix,
            table: TABLE_MAIN,
            protocol: super::PROTOCOL_BOOT,
            scope: SCOPE_UNIVERSE,
            priority: 0,
            tos: 0,
            oif: None,
            gateway: None,
            prefsrc: None,
            mtu: None,
            next_hops: Vec::new(),
            dead: false,
            other: Vec::new(),
        }
    }

    /// Makes a default route of the main table.
    #[must_use]
    pub fn default_of(family: Family) -> Self {
        Self::to(family.unspecified(), 0)
    }

    /// The family of the prefix.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    /// The devices it may leave by.
    pub fn devices(&self) -> impl Iterator<Item = u32> + '_ {
        self.oif.into_iter().chain(self.next_hops.iter().map(|hop| hop.oif))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(out, "{:?} ", self.kind)?;
        }
        write!(out, "{}/{}", self.destination, self.prefix)?;
        if let Some(gateway) = self.gateway {
            write!(out, " via {gateway}")?;
        }
        for device in self.devices() {
            write!(out, " dev {device}")?;
        }
        write!(out, " table {} metric {}", self.table, self.priority)
    }
}

impl Netlink {
    /// Returns the routes of all tables, both families; entries of route caches are left out.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut found = Vec::new();
        for family in Family::BOTH {
            let mut message = RouteMessage::default();
            message.header.address_family = family.raw();
            let request = RouteNetlinkMessage::GetRoute(message);
            found.extend(self.dump(&request, "listing routes", |message| match message {
                RouteNetlinkMessage::NewRoute(route) => decode(route),
                _ => None,
            })?);
        }
        Ok(found)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// Fails where one with the same prefix, metric and table is there already.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(encode(route));
        self.change(message, NLM_F_CREATE | NLM_F_EXCL, || format!("adding route {route}"))
    }

    /// Adds a route or puts it in the place of the one with the same prefix, metric and table.
    ///
    /// # Errors
    /// Fails where the kernel refuses the route.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(encode(route));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE, || format!("setting route {route}"))
    }

    /// Adds a route behind those with the same prefix, metric and table.
    ///
    /// # Errors
    /// Fails where the kernel refuses the route.
    pub fn append_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(encode(route));
        self.change(message, NLM_F_CREATE | NLM_F_APPEND, || format!("appending route {route}"))
    }

    /// Deletes a route: the one that has all the parts that are given.
    ///
    /// # Errors
    /// Fails where it is not there.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRoute(encode(route));
        self.change(message, 0, || format!("deleting route {route}"))
    }
}

fn encode(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = route.family().raw();
    message.header.destination_prefix_length = route.prefix;
    message.header.tos = route.tos;
    // The header has one byte; larger tables are told by the attribute alone.
    message.header.table = u8::try_from(route.table).unwrap_or(0);
    message.header.protocol = RouteProtocol::from(route.protocol);
    message.header.scope = RouteScope::from(route.scope);
    message.header.kind = kind_to_raw(route.kind);
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table));
    if route.prefix > 0 {
        attributes.push(RouteAttribute::Destination(route.destination.into()));
    }
    if route.priority > 0 {
        attributes.push(RouteAttribute::Priority(route.priority));
    }
    attributes.extend(route.oif.map(RouteAttribute::Oif));
    attributes.extend(route.gateway.map(|address| RouteAttribute::Gateway(address.into())));
    attributes.extend(route.prefsrc.map(|address| RouteAttribute::PrefSource(address.into())));
    attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    if !route.next_hops.is_empty() {
        let hops = route.next_hops.iter().map(encode_hop).collect();
        attributes.push(RouteAttribute::MultiPath(hops));
    }
    message
}

fn encode_hop(hop: &NextHop) -> RouteNextHop {
    let mut raw = RouteNextHop::default();
    raw.interface_index = hop.oif;
    raw.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    raw.attributes.extend(hop.gateway.map(|address| RouteAttribute::Gateway(address.into())));
    raw
}

fn decode(message: RouteMessage) -> Option<Route> {
    let header = message.header;
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let family = Family::from_raw(header.address_family)?;
    let mut route = Route::to(family.unspecified(), header.destination_prefix_length);
    route.kind = kind_from_raw(header.kind);
    route.table = header.table.into();
    route.protocol = header.protocol.into();
    route.scope = header.scope.into();
    route.tos = header.tos;
    route.dead = header.flags.contains(RouteFlags::Dead);
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = address_of(&address)?,
            RouteAttribute::Table(table) => route.table = table,
            RouteAttribute::Priority(priority) => route.priority = priority,
            RouteAttribute::Oif(index) => route.oif = Some(index),
            RouteAttribute::Gateway(address) => route.gateway = address_of(&address),
            RouteAttribute::Via(via) => route.gateway = address_of_via(&via),
            RouteAttribute::PrefSource(address) => route.prefsrc = address_of(&address),
            RouteAttribute::MultiPath(hops) => {
                route.next_hops = hops.iter().map(decode_hop).collect();
            }
            RouteAttribute::Metrics(metrics) => decode_metrics(&mut route, metrics),
            // Ages and use counts change by themselves.
            RouteAttribute::CacheInfo(_) => {}
            other => route.other.push(format!("{other:?}")),
        }
    }
    Some(route)
}

fn decode_metrics(route: &mut Route, metrics: Vec<RouteMetric>) {
    for metric in metrics {
        if let RouteMetric::Mtu(mtu) = metric {
            route.mtu = Some(mtu);
        } else {
            route.other.push(format!("{metric:?}"));
        }
    }
}

fn decode_hop(hop: &RouteNextHop) -> NextHop {
    NextHop {
        oif: hop.interface_index,
        gateway: hop.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(address) => address_of(address),
            RouteAttribute::Via(via) => address_of_via(via),
            _ => None,
        }),
        weight: u16::from(hop.hops) + 1,
        dead: hop.flags.contains(RouteNextHopFlags::Dead),
    }
}

fn address_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn address_of_via(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteVia::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn kind_from_raw(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        other => RouteKind::Other(other.into()),
    }
}

fn kind_to_raw(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Local => RouteType::Local,
        RouteKind::Broadcast => RouteType::Broadcast,
        RouteKind::Anycast => RouteType::Anycast,
        RouteKind::Multicast => RouteType::Multicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Throw => RouteType::Throw,
        RouteKind::Other(number) => RouteType::from(number),
    }
}
