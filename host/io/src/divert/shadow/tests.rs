use super::*;
use crate::netlink::{Link, LinkCounters, SCOPE_HOST};

const LAN: u32 = 2;
const WAN: u32 = 3;
const MGMT: u32 = 4;
const TUN: u32 = 9;
const TABLE: u32 = 5202;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

fn link(index: u32, mtu: u32) -> Link {
    Link {
        index,
        name: format!("if{index}"),
        mtu,
        up: true,
        carrier: true,
        operational: true,
        loopback: false,
        kind: None,
        mac: Vec::new(),
        counters: LinkCounters::default(),
    }
}

fn own(index: u32, address: &str, prefix: u8) -> Address {
    Address {
        index,
        address: ip(address),
        prefix,
        scope: SCOPE_UNIVERSE,
        broadcast: None,
        secondary: false,
        tentative: false,
        deprecated: false,
        protocol: 0,
    }
}

fn via(destination: &str, prefix: u8, oif: u32) -> Route {
    Route { oif: Some(oif), ..Route::to(ip(destination), prefix) }
}

fn network(routes: Vec<Route>) -> Snapshot {
    Snapshot {
        links: vec![link(LAN, 1500), link(WAN, 1400), link(MGMT, 1500)],
        addresses: vec![
            own(LAN, "10.0.1.1", 24),
            own(WAN, "10.0.2.7", 24),
            own(WAN, "10.0.3.1", 24),
            own(WAN, "fd00:2::1", 64),
            own(MGMT, "10.0.8.1", 24),
        ],
        routes,
    }
}

fn shadow_routes(network: &Snapshot, on_crash: OnCrash) -> Vec<Route> {
    let shadow = Shadow { table: TABLE, tun_index: TUN, attached: &[LAN, WAN], on_crash };
    routes(&shadow, network, &Family::BOTH).expect("routes")
}

fn find<'a>(routes: &'a [Route], destination: &str, kind: RouteKind) -> Option<&'a Route> {
    routes.iter().find(|route| route.destination == ip(destination) && route.kind == kind)
}

#[test]
fn routes_over_attached_devices_lead_into_the_tun_and_others_are_thrown() {
    let network = network(vec![
        via("10.0.1.0", 24, LAN),
        via("10.0.8.0", 24, MGMT),
        Route { kind: RouteKind::Blackhole, ..Route::to(ip("10.66.0.0"), 16) },
    ]);
    let all = shadow_routes(&network, OnCrash::Closed);
    let lan = find(&all, "10.0.1.0", RouteKind::Unicast).expect("diverted");
    assert_eq!((lan.oif, lan.prefsrc, lan.mtu), (Some(TUN), Some(ip("10.0.1.1")), Some(1500)));
    assert!(find(&all, "10.0.8.0", RouteKind::Throw).is_some());
    assert!(find(&all, "10.66.0.0", RouteKind::Throw).is_some());
    assert!(all.iter().all(|route| route.table == TABLE && route.protocol == PROTOCOL));
}

#[test]
fn an_unreachable_route_waits_behind_each_diverted_one_and_comes_first() {
    let network = network(vec![via("10.0.1.0", 24, LAN), via("10.0.8.0", 24, MGMT)]);
    let all = shadow_routes(&network, OnCrash::Closed);
    let behind = find(&all, "10.0.1.0", RouteKind::Unreachable).expect("behind");
    assert_eq!(behind.priority, UNREACHABLE_METRIC);
    assert!(find(&all, "10.0.8.0", RouteKind::Unreachable).is_none());
    let last = all.iter().rposition(|route| route.kind == RouteKind::Unreachable).expect("one");
    assert!(all[..=last].iter().all(|route| route.kind == RouteKind::Unreachable));
    let open = shadow_routes(&network, OnCrash::Open);
    assert!(open.iter().all(|route| route.kind != RouteKind::Unreachable));
}

#[test]
fn the_source_is_the_address_next_to_the_gateway() {
    let to = |gateway: &str| Route { gateway: Some(ip(gateway)), ..via("0.0.0.0", 0, WAN) };
    for (gateway, source) in [("10.0.3.9", "10.0.3.1"), ("10.0.2.9", "10.0.2.7")] {
        let all = shadow_routes(&network(vec![to(gateway)]), OnCrash::Open);
        let route = find(&all, "0.0.0.0", RouteKind::Unicast).expect("diverted");
        assert_eq!(route.prefsrc, Some(ip(source)));
    }
}

#[test]
fn unfit_addresses_are_never_the_source() {
    let mut network = network(vec![via("10.0.1.0", 24, LAN)]);
    let bad = |change: fn(&mut Address)| {
        let mut address = own(LAN, "10.0.1.9", 24);
        change(&mut address);
        address
    };
    network.addresses = vec![
        bad(|address| address.scope = SCOPE_HOST),
        bad(|address| address.tentative = true),
        bad(|address| address.deprecated = true),
        bad(|address| address.secondary = true),
        own(MGMT, "10.0.8.1", 24),
    ];
    let all = shadow_routes(&network, OnCrash::Open);
    let route = find(&all, "10.0.1.0", RouteKind::Unicast).expect("diverted");
    assert_eq!(route.prefsrc, Some(ip("10.0.8.1")), "one of another device, as the kernel does");
}

#[test]
fn a_source_or_mtu_of_the_route_itself_stands() {
    let route =
        Route { prefsrc: Some(ip("10.0.3.1")), mtu: Some(1280), ..via("10.0.2.0", 24, WAN) };
    let all = shadow_routes(&network(vec![route]), OnCrash::Open);
    let route = find(&all, "10.0.2.0", RouteKind::Unicast).expect("diverted");
    assert_eq!((route.prefsrc, route.mtu), (Some(ip("10.0.3.1")), Some(1280)));
}

#[test]
fn link_local_and_multicast_are_left_out() {
    let network =
        network(vec![via("fe80::", 64, LAN), via("ff00::", 8, LAN), via("224.0.0.0", 4, LAN)]);
    let all = shadow_routes(&network, OnCrash::Closed);
    assert!(all.iter().all(|route| route.kind == RouteKind::Throw), "{all:?}");
    for left_out in ["224.0.0.0", "255.255.255.255", "fe80::", "ff00::"] {
        assert!(find(&all, left_out, RouteKind::Throw).is_some(), "{left_out}");
    }
}

#[test]
fn one_attached_way_of_several_diverts_the_route() {
    let hop = |oif, dead| NextHop { oif, gateway: None, weight: 1, dead };
    let over = |hops: Vec<NextHop>| Route { next_hops: hops, ..Route::to(ip("10.9.0.0"), 16) };
    for (hops, kind) in [
        (vec![hop(MGMT, false), hop(WAN, false)], RouteKind::Unicast),
        (vec![hop(MGMT, false), hop(WAN, true)], RouteKind::Throw),
        (vec![hop(MGMT, false)], RouteKind::Throw),
    ] {
        let all = shadow_routes(&network(vec![over(hops)]), OnCrash::Open);
        assert!(find(&all, "10.9.0.0", kind).is_some(), "{all:?}");
    }
    // Equal routes that are listed one by one, in either order.
    for (first, second) in [(MGMT, WAN), (WAN, MGMT)] {
        let network = network(vec![via("fd09::", 32, first), via("fd09::", 32, second)]);
        let all = shadow_routes(&network, OnCrash::Open);
        assert!(find(&all, "fd09::", RouteKind::Unicast).is_some());
        assert!(find(&all, "fd09::", RouteKind::Throw).is_none());
    }
}

#[test]
fn other_tables_and_dead_routes_do_not_count() {
    let network = network(vec![
        Route { table: 77, ..via("10.5.0.0", 16, LAN) },
        Route { dead: true, ..via("10.6.0.0", 16, LAN) },
    ]);
    let all = shadow_routes(&network, OnCrash::Closed);
    assert!(!all.iter().any(|route| [ip("10.5.0.0"), ip("10.6.0.0")].contains(&route.destination)));
}

#[test]
fn a_main_table_that_is_too_long_is_refused() {
    let many = u32::try_from(ROUTES_MAX).expect("fits") + 1;
    let route = |number: u32| {
        via("0.0.0.0", 32, LAN).with_destination(IpAddr::V4(Ipv4Addr::from_bits(number)))
    };
    let network = network((0..many).map(route).collect());
    let shadow = Shadow { table: TABLE, tun_index: TUN, attached: &[LAN], on_crash: OnCrash::Open };
    let error = routes(&shadow, &network, &Family::BOTH).expect_err("refused");
    assert!(matches!(error, DivertError::TooManyRoutes { .. }), "{error}");
}

impl Route {
    fn with_destination(self, destination: IpAddr) -> Self {
        Self { destination, ..self }
    }
}

#[test]
fn a_prefix_covers_what_lies_within_it() {
    let within = |network: &str, bits, address: &str, length| {
        covers((ip(network), bits), ip(address), length)
    };
    assert!(within("10.0.0.0", 8, "10.9.9.9", 32));
    assert!(within("10.0.0.0", 8, "10.0.0.0", 8));
    assert!(!within("10.0.0.0", 8, "10.0.0.0", 7), "a wider prefix is not within");
    assert!(!within("10.0.0.0", 8, "11.0.0.0", 32));
    assert!(within("0.0.0.0", 0, "255.255.255.255", 32));
    assert!(within("fd00::", 8, "fd12::1", 128));
    assert!(!within("0.0.0.0", 0, "::", 128), "families do not mix");
}
