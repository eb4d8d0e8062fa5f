use std::time::Duration;

use evergate_carp::{Families, NodeId, Pace, VhostConfig};
use evergate_wire::Af;
use proptest::prelude::*;

use super::*;

const A: VhostId = VhostId(0);
const B: VhostId = VhostId(1);

fn vhost(vhid: u8, node: u64) -> Vhost {
    let pace = Pace::classic(1, 0).unwrap();
    let config = VhostConfig::new(Vhid::new(vhid).unwrap(), NodeId(node), Families::V4, pace);
    Vhost::new(config, 7).unwrap()
}

fn member(group: &str, vhid: u8) -> Member {
    Member { group: group.into(), vhost: vhost(vhid, 1) }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.saturating_add(Duration::from_millis(ms))
}

/// A gateway whose vhosts have won their elections, at 4 s.
fn masters(members: Vec<Member>) -> Node {
    let mut node = Node::new(members).unwrap();
    let mut actions = Vec::new();
    node.handle(at(0), Event::Start, &mut actions);
    for vhost in node.ids() {
        node.handle(at(0), Event::Link { vhost, up: true }, &mut actions);
    }
    node.handle(at(3_000), Event::Timer { drained: true }, &mut actions);
    assert!(node.vhosts().all(|(_, vhost)| vhost.state() == State::Master));
    node
}

fn did(node: &mut Node, ms: u64, event: Event) -> Vec<Action> {
    let mut actions = Vec::new();
    node.handle(at(ms), event, &mut actions);
    actions
}

fn demotions(actions: &[Action]) -> Vec<(VhostId, u16)> {
    let sent = |action: &Action| match action {
        Action::Send(id, outgoing) => Some((*id, outgoing.demotion)),
        Action::Own(_) | Action::Disown(_) | Action::Announce(_) | Action::Tell(..) => None,
    };
    actions.iter().filter_map(sent).collect()
}

#[test]
fn addresses_are_owned_before_the_first_advert_and_disowned_after_the_last() {
    let mut node = Node::new(vec![member("carp", 1)]).unwrap();
    let mut actions = did(&mut node, 0, Event::Start);
    actions.extend(did(&mut node, 0, Event::Link { vhost: A, up: true }));
    assert!(!actions.contains(&Action::Own(A)));
    let actions = did(&mut node, 3_000, Event::Timer { drained: true });
    let role = Note::Role { state: State::Master, reason: Reason::MasterDown };
    assert_eq!(actions[..2], [Action::Own(A), Action::Tell(A, role)]);
    assert!(matches!(actions[2..], [Action::Send(A, _), Action::Announce(A)]));

    let actions = did(&mut node, 4_000, Event::Stop);
    let [Action::Send(A, farewell), Action::Disown(A), Action::Tell(A, _)] = actions[..] else {
        panic!("{actions:?}");
    };
    assert!(farewell.bow_out);
}

#[test]
fn a_reason_demotes_every_group_at_once_and_only_when_the_sum_changes() {
    let mut node = masters(vec![member("inside", 1), member("outside", 1)]);
    let actions = did(&mut node, 3_100, Event::Hold(DemotionReason::Operator, 3));
    assert_eq!(demotions(&actions), [(A, 3), (B, 3)]);
    let actions = did(&mut node, 3_200, Event::Hold(DemotionReason::Operator, 3));
    assert_eq!(actions, []);
    let actions = did(&mut node, 3_300, Event::Release(DemotionReason::AddressConflict(A)));
    assert_eq!(actions, []);
    let actions = did(&mut node, 3_400, Event::Release(DemotionReason::Operator));
    assert_eq!(demotions(&actions), [(A, 0), (B, 0)]);
}

#[test]
fn a_lost_link_demotes_its_own_group_alone() {
    let mut node = masters(vec![member("a", 1), member("a", 2), member("b", 3)]);
    let actions = did(&mut node, 3_100, Event::Link { vhost: A, up: false });
    assert!(actions.contains(&Action::Disown(A)));
    assert_eq!(demotions(&actions), [(B, 1)]);
    assert_eq!(node.own_demotions().collect::<Vec<_>>(), [(A, DemoteReason::LinkDown)]);
    let actions = did(&mut node, 3_200, Event::Link { vhost: A, up: true });
    assert_eq!(demotions(&actions), [(B, 0)]);
    assert_eq!(node.own_demotions().count(), 0);
}

#[test]
fn without_an_empty_socket_a_backup_concludes_nothing_but_a_master_advertises() {
    let mut node = masters(vec![member("carp", 1)]);
    let actions = did(&mut node, 4_000, Event::Timer { drained: false });
    assert_eq!(demotions(&actions), [(A, 0)]);

    let mut node = Node::new(vec![member("carp", 1)]).unwrap();
    did(&mut node, 0, Event::Start);
    did(&mut node, 0, Event::Link { vhost: A, up: true });
    assert_eq!(did(&mut node, 3_000, Event::Timer { drained: false }), []);
    assert!(!did(&mut node, 3_001, Event::Timer { drained: true }).is_empty());
}

#[test]
fn a_vhid_may_repeat_in_other_groups_only() {
    assert!(Node::new(vec![member("a", 1), member("b", 1)]).is_ok());
    let error = Node::new(vec![member("a", 1), member("b", 2), member("a", 1)]).unwrap_err();
    assert_eq!(error.to_string(), "group \"a\" has vhid 1 twice");
}

#[test]
fn events_for_vhosts_that_are_not_there_do_nothing() {
    let mut node = masters(vec![member("a", 1)]);
    assert_eq!(did(&mut node, 3_100, Event::Link { vhost: VhostId(9), up: false }), []);
}

fn heard(advskew: u8, demotion: u16, counter: u8) -> Heard {
    Heard {
        family: Af::V4,
        from: Addr::from_v4_octets([192, 0, 2, counter]),
        advbase: 1,
        advskew,
        demotion,
        counter: [counter; 8],
        trailer: None,
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let vhost = (0..3_u16).prop_map(VhostId);
    prop_oneof![
        1 => Just(Event::Start),
        1 => Just(Event::Stop),
        3 => (vhost.clone(), any::<bool>()).prop_map(|(vhost, up)| Event::Link { vhost, up }),
        3 => (vhost.clone(), 0..=255_u8, 0..3_u16).prop_map(|(vhost, skew, demotion)| {
            Event::Heard { vhost, heard: heard(skew, demotion, 9) }
        }),
        6 => any::<bool>().prop_map(|drained| Event::Timer { drained }),
        2 => (vhost, any::<bool>()).prop_map(|(vhost, ok)| Event::Sent { vhost, ok }),
        1 => (0..3_u16).prop_map(|amount| Event::Hold(DemotionReason::Operator, amount)),
        1 => Just(Event::Release(DemotionReason::Operator)),
        1 => Just(Event::Failover),
        1 => Just(Event::Reclaim),
    ]
}

proptest! {
    /// Whatever happens: who owns a vhost's addresses is its MASTER, owning and disowning
    /// alternate, and only owners claim addresses.
    #[test]
    fn addresses_follow_the_role(events in prop::collection::vec((any_event(), 0..2_000_u64), 1..80)) {
        let mut node = Node::new(vec![member("a", 1), member("a", 2), member("b", 1)]).unwrap();
        let mut owned = BTreeSet::new();
        let mut ms = 0;
        for (event, wait) in events {
            ms += wait;
            for action in did(&mut node, ms, event) {
                match action {
                    Action::Own(id) => prop_assert!(owned.insert(id)),
                    Action::Disown(id) => {
                        owned.remove(&id);
                    }
                    Action::Announce(id) => prop_assert!(owned.contains(&id)),
                    Action::Send(id, _) => prop_assert!(owned.contains(&id)),
                    Action::Tell(..) => {}
                }
            }
            for (id, vhost) in node.vhosts() {
                prop_assert_eq!(owned.contains(&id), vhost.state() == State::Master);
                let links = node.own_demotions().filter(|(own, _)| own.0 <= 1).count();
                if id.0 <= 1 && vhost.state() == State::Master {
                    let expected = node.ledger().total() as usize + links;
                    prop_assert_eq!(usize::from(vhost.status().demotion), expected);
                }
            }
        }
    }
}
