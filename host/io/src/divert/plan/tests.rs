use std::path::PathBuf;

use super::*;
use crate::netlink::LinkCounters;

fn config(self_tun: bool, on_crash: OnCrash) -> DivertConfig {
    let attached = |name: &str, tun_index| Attached {
        name: name.to_owned(),
        tun: format!("eg-{name}"),
        tun_index,
    };
    DivertConfig {
        attached: vec![attached("lan0", 11), attached("wan0", 12)],
        self_tun: self_tun.then(|| SelfTun { name: "eg-self".to_owned(), index: 13 }),
        on_crash,
        table_base: 5200,
        priority_base: 6000,
        state_file: PathBuf::new(),
    }
}

fn snapshot() -> Snapshot {
    let link = |index, name: &str| Link {
        index,
        name: name.to_owned(),
        mtu: 1500,
        up: true,
        carrier: true,
        operational: true,
        loopback: false,
        kind: None,
        mac: Vec::new(),
        counters: LinkCounters::default(),
    };
    Snapshot { links: vec![link(2, "lan0"), link(3, "wan0")], ..Snapshot::default() }
}

fn plan(config: &DivertConfig) -> Plan {
    Plan::new(config, &snapshot()).expect("plan")
}

fn texts(plan: &Plan, family: Family) -> Vec<String> {
    let rules = plan.rules.iter().filter(|rule| rule.family == family);
    rules.map(ToString::to_string).collect()
}

#[test]
fn what_arrives_is_looked_up_in_a_table_of_its_own() {
    let plan = plan(&config(false, OnCrash::Closed));
    let expected = ["6001: iif lan0 lookup 5200", "6001: iif wan0 lookup 5201"];
    assert_eq!(texts(&plan, Family::V4), expected.map(|text| format!("V4 {text}")));
    assert_eq!(texts(&plan, Family::V6), expected.map(|text| format!("V6 {text}")));
    assert!(plan.rules.iter().all(|rule| rule.protocol == PROTOCOL));
    assert_eq!(plan.local_moves_behind, None);
    assert!(plan.proxies.is_empty() && plan.preparations.is_empty());
}

#[test]
fn the_unreachable_route_is_added_before_the_one_into_the_tun() {
    let plan = plan(&config(false, OnCrash::Closed));
    for table in [5200, 5201] {
        for family in Family::BOTH {
            let own = |route: &&Route| route.table == table && route.family() == family;
            let kinds: Vec<_> = plan.routes.iter().filter(own).map(|route| route.kind).collect();
            assert_eq!(kinds, [RouteKind::Unreachable, RouteKind::Unicast]);
            let metrics: Vec<_> =
                plan.routes.iter().filter(own).map(|route| route.priority).collect();
            assert!(metrics[0] > metrics[1], "the tun is preferred");
        }
    }
    let open = super::Plan::new(&config(false, OnCrash::Open), &snapshot()).expect("plan");
    assert!(open.routes.iter().all(|route| route.kind == RouteKind::Unicast));
}

#[test]
fn local_traffic_keeps_neighbour_discovery_out_and_finds_local_addresses_last() {
    let mut rules = plan(&config(true, OnCrash::Closed)).rules;
    rules.sort_by_key(|rule| rule.priority);
    let texts = |family| -> Vec<String> {
        rules.iter().filter(|rule| rule.family == family).map(ToString::to_string).collect()
    };
    assert_eq!(
        texts(Family::V4),
        [
            "V4 6000: iif lan0 ipproto 112 lookup 255",
            "V4 6000: iif wan0 ipproto 112 lookup 255",
            "V4 6001: iif lan0 lookup 5200",
            "V4 6001: iif wan0 lookup 5201",
            "V4 6002: lookup 255",
            "V4 6004: iif lo lookup 5202",
        ]
    );
    assert_eq!(
        texts(Family::V6),
        [
            "V6 6000: iif lan0 ipproto 112 lookup 255",
            "V6 6000: iif lan0 ipproto 58 lookup 255",
            "V6 6000: iif lan0 to fe80::/10 lookup 255",
            "V6 6000: iif lan0 to ff00::/8 lookup 255",
            "V6 6000: iif wan0 ipproto 112 lookup 255",
            "V6 6000: iif wan0 ipproto 58 lookup 255",
            "V6 6000: iif wan0 to fe80::/10 lookup 255",
            "V6 6000: iif wan0 to ff00::/8 lookup 255",
            "V6 6001: iif lan0 lookup 5200",
            "V6 6001: iif wan0 lookup 5201",
            "V6 6002: lookup 255",
            "V6 6003: iif lo ipproto 58 goto 6005",
            "V6 6004: iif lo lookup 5202",
            "V6 6005: nop",
        ]
    );
}

#[test]
fn the_copy_of_the_local_rule_is_added_before_anything_diverts() {
    let plan = plan(&config(true, OnCrash::Closed));
    for family in Family::BOTH {
        let texts = texts(&plan, family);
        let at = |part: &str| texts.iter().position(|text| text.contains(part)).expect(part);
        assert!(at("6002: lookup 255") < at("lookup 5200"));
        assert!(at("lookup 5201") < at("lookup 5202"));
    }
    assert_eq!(plan.local_moves_behind, Some(6002));
}

#[test]
fn forwarding_is_switched_on_last() {
    let plan = plan(&config(true, OnCrash::Closed));
    let forwards = |(key, _): &(String, &str)| key.contains("forwarding");
    assert!(!plan.preparations.iter().any(forwards));
    assert!(plan.settings.iter().all(forwards));
    assert!(plan.keeps("ipv4/conf/lan0/forwarding") && plan.keeps("ipv4/ip_early_demux"));
    assert!(!plan.keeps("ipv4/conf/other/forwarding"));
}

#[test]
fn an_interface_that_is_missing_is_named() {
    let mut config = config(false, OnCrash::Closed);
    config.attached[1].name = "wan7".to_owned();
    let error = Plan::new(&config, &snapshot()).expect_err("refused");
    assert_eq!(error.to_string(), "there is no interface wan7");
    assert_eq!(Plan::refreshed(&config, &snapshot()).expect("later").rules.len(), 4);
}
