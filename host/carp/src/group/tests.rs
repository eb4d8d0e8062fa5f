//! Two gateways with an inner and an outer vhid each, on segments without loss.

use std::time::Duration;

use super::*;
use crate::{DemoteReason, Families, Heard, NodeId, Outgoing, Pace, TrailerPolicy, VhostConfig};
use evergate_wire::Addr;

const INNER: Vhid = Vhid::new(1).unwrap();
const OUTER: Vhid = Vhid::new(2).unwrap();

struct Pair {
    groups: [Group; 2],
    now: Timestamp,
    /// Vhids whose segment is cut.
    cut: Vec<Vhid>,
    log: Vec<(usize, GroupAction)>,
}

impl Pair {
    /// Gateway 0 ranks before gateway 1 and is MASTER of both vhids.
    fn new(preempt: bool) -> Self {
        let mut pair = Self::unstarted(preempt);
        for gateway in [0, 1] {
            pair.tell(gateway, GroupEvent::All(Event::Configured));
            pair.tell(gateway, GroupEvent::All(Event::Up));
        }
        pair.run(Duration::from_secs(10));
        assert_eq!(pair.masters(), [Some(0), Some(0)]);
        pair.log.clear();
        pair
    }

    fn unstarted(preempt: bool) -> Self {
        let groups = [0, 1].map(|gateway: u8| {
            Group::new([INNER, OUTER].map(|vhid| {
                let pace = Pace::classic(1, gateway * 50).unwrap();
                let node = NodeId(gateway.into());
                let config =
                    VhostConfig { preempt, ..VhostConfig::new(vhid, node, Families::V4, pace) };
                assert_eq!(config.trailer, TrailerPolicy::Use);
                Vhost::new(config, 3).unwrap()
            }))
        });
        Self { groups, now: Timestamp::ZERO, cut: Vec::new(), log: Vec::new() }
    }

    fn tell(&mut self, gateway: usize, event: GroupEvent) {
        let mut waiting = vec![(gateway, event)];
        while let Some((gateway, event)) = waiting.pop() {
            let mut actions = Vec::new();
            self.groups[gateway].handle(self.now, event, &mut actions);
            for done in actions {
                self.log.push((gateway, done));
                let Action::SendAdvert(outgoing) = done.action else { continue };
                let link_up = self.states(gateway, done.vhid) != State::Init || outgoing.bow_out;
                if link_up && !self.cut.contains(&done.vhid) {
                    let heard = Event::Advert(heard(gateway, &outgoing));
                    waiting.insert(0, (1 - gateway, GroupEvent::One(done.vhid, heard)));
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        loop {
            let next = |group: &Group| group.next_deadline().map(|deadline| deadline.at);
            let at = self.groups.iter().filter_map(next).min().filter(|at| *at <= end);
            let Some(at) = at else { break };
            self.now = at;
            for gateway in [0, 1] {
                self.tell(gateway, GroupEvent::All(Event::Timer));
            }
        }
        self.now = end;
    }

    fn states(&self, gateway: usize, vhid: Vhid) -> State {
        let found = self.groups[gateway].members().find(|vhost| vhost.status().vhid == vhid);
        found.unwrap().state()
    }

    /// Who is MASTER of the inner and the outer vhid, if exactly one is.
    fn masters(&self) -> [Option<usize>; 2] {
        [INNER, OUTER].map(|vhid| {
            match [0, 1].map(|gateway| self.states(gateway, vhid) == State::Master) {
                [true, false] => Some(0),
                [false, true] => Some(1),
                [true, true] | [false, false] => None,
            }
        })
    }
}

fn heard(gateway: usize, outgoing: &Outgoing) -> Heard {
    let skew = if outgoing.bow_out { 255 } else { outgoing.pace.advskew() };
    let base = if outgoing.bow_out { 255 } else { outgoing.pace.advbase() };
    Heard {
        family: outgoing.family,
        from: Addr::from_v4_octets([10, 9, 0, gateway as u8]),
        advbase: base,
        advskew: skew,
        demotion: outgoing.demotion,
        counter: outgoing.counter,
        trailer: Some(outgoing.trailer(NodeId(gateway as u64), 1)),
    }
}

#[test]
fn a_lost_link_moves_all_vhids_at_once() {
    let mut pair = Pair::new(false);
    pair.tell(0, GroupEvent::One(OUTER, Event::Down));
    // The inner one moved without any timer; the outer one's silence must pass.
    assert_eq!(pair.masters()[0], Some(1));
    assert_eq!(pair.groups[0].demotion(), 1);
    let demote = Action::Demote { reason: DemoteReason::LinkDown, held: true };
    assert!(pair.log.contains(&(0, GroupAction { vhid: OUTER, action: demote })));
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
    pair.tell(0, GroupEvent::One(OUTER, Event::Up));
    pair.run(Duration::from_secs(10));
    assert_eq!((pair.groups[0].demotion(), pair.masters()), (0, [Some(1), Some(1)]));
}

#[test]
fn with_preempt_all_come_back_when_the_link_does() {
    let mut pair = Pair::new(true);
    pair.tell(0, GroupEvent::One(OUTER, Event::Down));
    pair.run(Duration::from_secs(4));
    pair.tell(0, GroupEvent::One(OUTER, Event::Up));
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.masters(), [Some(0), Some(0)]);
}

#[test]
fn an_outer_demotion_moves_all_at_once_and_adds_to_the_inner_ones() {
    let mut pair = Pair::new(false);
    pair.tell(0, GroupEvent::All(Event::Demote(32)));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
    pair.tell(0, GroupEvent::One(INNER, Event::Down));
    assert_eq!(pair.groups[0].demotion(), 33);
    pair.tell(0, GroupEvent::One(INNER, Event::Stop));
    assert_eq!(pair.groups[0].demotion(), 32);
}

#[test]
fn errors_in_sending_demote_all() {
    let mut pair = Pair::new(false);
    for _ in 0..3 {
        pair.tell(0, GroupEvent::One(INNER, Event::SendFailed));
    }
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
}

#[test]
fn one_that_is_outranked_takes_its_companions_along() {
    // The second gateway takes the outer vhid over while its segment is cut, and
    // then outranks by a pace of its own there.
    let mut pair = Pair::new(false);
    pair.cut = vec![OUTER];
    pair.run(Duration::from_secs(5));
    pair.cut.clear();
    pair.tell(1, GroupEvent::One(OUTER, Event::SetPace(Pace::classic(0, 200).unwrap())));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
    // Nobody was without a MASTER: the inner one was handed over.
    let inner = pair.groups[0].members().next().unwrap().status();
    assert_eq!(inner.reason, Reason::HandedOver);
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
}

#[test]
fn a_planned_failover_moves_all_and_leaves_no_moment_without_a_master() {
    let mut pair = Pair::new(true);
    pair.tell(0, GroupEvent::All(Event::Failover));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
    // In the order of events a successor was there before the place was left.
    for vhid in [INNER, OUTER] {
        let of = |done: &(usize, GroupAction)| done.1.vhid == vhid;
        let changes: Vec<(usize, Action)> = pair
            .log
            .iter()
            .filter(|done| of(done))
            .map(|(gateway, done)| (*gateway, done.action))
            .filter(|(_, action)| {
                matches!(action, Action::BecameMaster { .. } | Action::BecameBackup { .. })
            })
            .collect();
        let expected = [
            (1, Action::BecameMaster { reason: Reason::MasterLeft }),
            (0, Action::BecameBackup { reason: Reason::HandedOver }),
        ];
        assert_eq!(changes, expected);
    }
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
    pair.tell(0, GroupEvent::All(Event::Reclaim));
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.masters(), [Some(0), Some(0)]);
}

#[test]
fn a_clean_stop_is_followed_at_once() {
    let mut pair = Pair::new(false);
    pair.tell(0, GroupEvent::All(Event::Stop));
    assert_eq!(pair.masters(), [Some(1), Some(1)]);
    // Nobody to ask: an unknown vhid is ignored.
    let unknown = Vhid::new(99).unwrap();
    let mut actions = Vec::new();
    pair.groups[0].handle(pair.now, GroupEvent::One(unknown, Event::Up), &mut actions);
    assert_eq!(actions, []);
}
