//! What the document claims about evaluations, one claim a case, asked of the compiled module.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use common::{Gateway, Loaded, options};
use evergate_policy::{Action, Direction, Keep, Request};
use evergate_rules::{NoFiles, Options, Unmatched, compile};

const LAN: u16 = 1;
const WAN: u16 = 2;

fn load(text: &str) -> Loaded {
    let rules = compile("rules", text, &options(), &NoFiles).unwrap_or_else(|d| panic!("{}", d[0]));
    Gateway::new().load(rules).unwrap()
}

fn v4(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().octets()
}

/// A SYN from inside to a web server outside.
fn syn() -> Request {
    Request {
        proto: 6,
        tcp_flags: 2,
        src: v4("10.0.1.7"),
        dst: v4("203.0.113.9"),
        sport: 40_000,
        dport: 443,
        in_if: LAN,
        out_if: WAN,
        ..Request::default()
    }
}

#[test]
fn forwarded_connections_pass_both_evaluations() {
    let mut rules = load("block all\npass in on lan label in\n");
    let decision = rules.decide(&syn());
    assert_eq!((decision.action, decision.rule), (Action::Block, 1));
    let mut rules = load("block all\npass in on lan label in\npass out on wan label out\n");
    let decision = rules.decide(&syn());
    assert_eq!((decision.action, decision.rule), (Action::Pass, 2));
    assert_eq!(&*rules.environment.labels.name(decision.label).unwrap(), "in");
    let back = Request { in_if: WAN, out_if: LAN, ..syn() };
    assert_eq!(rules.decide(&back).action, Action::Block);
}

#[test]
fn local_traffic_meets_one_evaluation() {
    let mut rules = load("block all\npass in on lan\n");
    let to = Request { direction: Direction::ToGateway, out_if: 0, ..syn() };
    assert_eq!(rules.decide(&to).action, Action::Pass);
    let from = Request { direction: Direction::FromGateway, in_if: 0, ..syn() };
    assert_eq!(rules.decide(&from).action, Action::Block);
}

#[test]
fn the_last_match_wins_and_quick_ends() {
    let mut rules =
        load("pass\nblock in proto tcp to port 443\npass in quick from 10.0.1.7\nblock\n");
    assert_eq!(rules.decide(&syn()).rule, 4, "out has no quick rule");
    let to = Request { direction: Direction::ToGateway, ..syn() };
    assert_eq!(rules.decide(&to).rule, 3);
}

#[test]
fn tags_of_rules_that_do_not_decide_stay() {
    let text = "pass in tag A\npass in\nblock out\npass out tagged A\n";
    let mut rules = load(text);
    let decision = rules.decide(&syn());
    assert_eq!((decision.action, decision.rule), (Action::Pass, 2));
    assert_eq!(decision.tag, rules.environment.tags.id("A").unwrap());
}

#[test]
fn nothing_that_matches_passes_without_a_state() {
    let mut rules = load("block in on wan\n");
    let decision = rules.decide(&syn());
    assert_eq!((decision.action, decision.keep, decision.rule), (Action::Pass, Keep::None, 0));
    let options = Options { unmatched: Unmatched::Continue, ..options() };
    let rules = compile("rules", "block in on wan\n", &options, &NoFiles).unwrap();
    let mut rules = Gateway::new().load(rules).unwrap();
    assert_eq!(rules.decide(&syn()).action, Action::Default);
}

#[test]
fn states_are_as_the_stricter_rule_says() {
    let cases = [
        ("pass in\npass out\n", Keep::State),
        ("pass in keep state (sloppy)\npass out\n", Keep::State),
        ("pass in keep state (sloppy)\npass out keep state (sloppy)\n", Keep::Sloppy),
        ("pass in flags any\npass out flags any\n", Keep::Loose),
        ("pass in no state\npass out\n", Keep::None),
        ("pass in\n", Keep::State),
    ];
    for (text, keep) in cases {
        assert_eq!(load(text).decide(&syn()).keep, keep, "{text}");
    }
}

#[test]
fn without_flags_only_a_syn_begins_a_state() {
    let mut rules = load("block\npass\n");
    let ack = Request { tcp_flags: 16, ..syn() };
    assert_eq!(rules.decide(&ack).rule, 1);
    let udp = Request { proto: 17, tcp_flags: 0, ..syn() };
    assert_eq!(rules.decide(&udp).rule, 2);
}

#[test]
fn blocks_answer_as_they_say() {
    let udp = Request { proto: 17, tcp_flags: 0, ..syn() };
    let v6 = Request { af: 6, src: [0x20; 16], dst: [0x21; 16], ..udp };
    let cases = [
        ("block\n", syn(), Action::Block),
        ("block return\n", syn(), Action::ReturnRst),
        ("block return\n", udp, Action::ReturnIcmp { code: None }),
        ("set block-policy return\nblock\n", syn(), Action::ReturnRst),
        ("set block-policy return\nblock drop\n", syn(), Action::Block),
        ("block return-icmp (host-unr, addr-unr)\n", syn(), Action::ReturnIcmp { code: Some(1) }),
        ("block return-icmp (host-unr, addr-unr)\n", v6, Action::ReturnIcmp { code: Some(3) }),
    ];
    for (text, request, action) in cases {
        assert_eq!(load(text).decide(&request).action, action, "{text}");
    }
}

#[test]
fn skipped_interfaces_are_not_filtered() {
    let mut rules = load("set skip on lan\nblock all\n");
    let to = Request { direction: Direction::ToGateway, ..syn() };
    assert_eq!(rules.decide(&to).action, Action::Pass);
    assert_eq!(rules.decide(&syn()).action, Action::Block, "wan is filtered");
}

#[test]
fn quick_anchors_end_only_if_something_matched() {
    let text = "pass\nanchor in quick on lan {\n  block proto udp\n}\npass in label after\n";
    let mut rules = load(text);
    assert_eq!(rules.decide(&syn()).rule, 3);
    let udp = Request { proto: 17, tcp_flags: 0, ..syn() };
    assert_eq!((rules.decide(&udp).action, rules.decide(&udp).rule), (Action::Block, 2));
}

#[test]
fn an_anchor_asks_for_tags_once() {
    let text = "block\nmatch in tag A\nanchor in tagged A {\n  match tag B\n  pass\n}\npass out\n";
    let mut rules = load(text);
    let decision = rules.decide(&syn());
    assert_eq!((decision.action, decision.rule), (Action::Pass, 4));
    assert_eq!(decision.tag, rules.environment.tags.id("B").unwrap());
}

#[test]
fn chance_matches_about_as_often_as_it_says() {
    let mut rules = load("pass\nblock in probability 25%\n");
    let blocked = (0..4_000).filter(|_| rules.decide(&syn()).action == Action::Block).count();
    assert!((800..1_200).contains(&blocked), "{blocked} of 4000");
}

#[test]
fn tables_change_under_the_rules() {
    let mut rules = load("table <bad> persist\npass\nblock in quick from <bad>\n");
    assert_eq!(rules.decide(&syn()).action, Action::Pass);
    rules.environment.tables.add("bad", &["10.0.1.0/24".parse().unwrap()]).unwrap();
    assert_eq!(rules.decide(&syn()).action, Action::Block);
}

#[test]
fn forged_sources_are_seen_by_routes_and_antispoof() {
    let mut rules = load("pass\nblock in quick from urpf-failed\n");
    assert_eq!(rules.decide(&syn()).action, Action::Pass);
    let forged = Request { in_if: WAN, out_if: LAN, ..syn() };
    assert_eq!(rules.decide(&forged).action, Action::Block);
    let mut rules = load("pass\nantispoof quick for lan\n");
    assert_eq!(rules.decide(&syn()).action, Action::Pass);
    assert_eq!((rules.decide(&forged).action, rules.decide(&forged).rule), (Action::Block, 2));
    let own = Request { src: v4("10.0.0.1"), ..syn() };
    assert_eq!(rules.decide(&own).rule, 3);
}

#[test]
fn timeouts_go_with_the_protocol() {
    let text = "set timeout udp.first 9\npass keep state (tcp.first 5, udp.multiple 6)\n";
    let mut rules = load(text);
    let tcp = rules.decide(&syn()).timeouts.unwrap();
    assert_eq!((tcp.first_s, tcp.established_s), (5, 0));
    let udp = Request { proto: 17, tcp_flags: 0, ..syn() };
    let udp = rules.decide(&udp).timeouts.unwrap();
    assert_eq!((udp.first_s, udp.established_s), (9, 6));
}
