//! The segment, the gateways on it, what goes wrong, and what must hold.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::time::Duration;

use evergate_carp::{
    Action, Event, Families, Heard, NodeId, Outgoing, Pace, ReplayGuard, State, TrailerPolicy,
    Vhid, Vhost, VhostConfig,
};
use evergate_wire::{Addr, Af, Timestamp};

use crate::random::Random;

/// Lines of the story that a failure prints.
const STORY_TAIL: usize = 60;

/// What is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// One gateway each.
    pub(crate) paces: Vec<Pace>,
    pub(crate) trailer: TrailerPolicy,
    pub(crate) families: Families,
    pub(crate) preempt: bool,
    /// How long things go wrong.
    pub(crate) faults: Duration,
    pub(crate) length: Duration,
}

struct Node {
    /// `None`: crashed.
    vhost: Option<Vhost>,
    guard: ReplayGuard,
    starts: u64,
    link_up: bool,
    configured: bool,
    /// Nothing is handled before, but adverts queue up.
    stalled_until: Timestamp,
    inbox: Vec<Heard>,
    /// How late this node's next timer is handled.
    oversleeps: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Crash,
    Start,
    Stall,
    LinkDown,
    LinkUp,
    Cut,
    Mend,
    Demote,
    Failover,
    Reclaim,
    Stop,
    Configure,
}

const FAULTS: &[Fault] = &[
    Fault::Crash,
    Fault::Start,
    Fault::Start,
    Fault::Stall,
    Fault::LinkDown,
    Fault::LinkUp,
    Fault::LinkUp,
    Fault::Cut,
    Fault::Mend,
    Fault::Demote,
    Fault::Failover,
    Fault::Reclaim,
    Fault::Stop,
    Fault::Configure,
    Fault::Configure,
];

/// Ordered by time, then by number.
type Delivery = Reverse<(Timestamp, u64, usize, Parcel)>;

/// An advert on its way, ordered as nothing.
#[derive(Clone, Copy)]
struct Parcel(Heard);

impl PartialEq for Parcel {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Parcel {}
impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Parcel {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

pub(crate) struct World {
    seed: u64,
    random: Random,
    scenario: Scenario,
    now: Timestamp,
    nodes: Vec<Node>,
    wire: BinaryHeap<Delivery>,
    numbered: u64,
    /// Which ways are cut: from, to.
    cut: Vec<Vec<bool>>,
    loss: u64,
    next_fault: Timestamp,
    healed: bool,

    interval: Duration,
    down: Duration,
    delay: Duration,
    masters: usize,
    /// Since when there is not exactly one MASTER.
    odd_since: Option<Timestamp>,
    /// When last something other than the protocol changed the number of MASTERs.
    disturbed: Timestamp,
    takeovers: u64,
    refused: u64,
    story: String,
}

impl World {
    pub(crate) fn new(seed: u64, scenario: Scenario) -> Self {
        let mut random = Random::new(seed ^ 0xabcd);
        let interval = scenario.paces.iter().map(|pace| pace.interval()).max().unwrap();
        let shortest = scenario.paces.iter().map(|pace| pace.interval()).min().unwrap();
        let down = scenario.paces.iter().map(|pace| pace.down_time()).max().unwrap();
        let count = scenario.paces.len();
        let mut world = Self {
            seed,
            loss: random.pick(&[0, 5, 20, 40]),
            random,
            now: Timestamp::from_nanos(1_000_000_000),
            nodes: Vec::new(),
            wire: BinaryHeap::new(),
            numbered: 0,
            cut: vec![vec![false; count]; count],
            next_fault: Timestamp::ZERO,
            healed: false,
            interval,
            down,
            // Half an interval would make any timer wrong.
            delay: shortest / 20,
            masters: 0,
            odd_since: None,
            disturbed: Timestamp::ZERO,
            takeovers: 0,
            refused: 0,
            story: String::new(),
            scenario,
        };
        world.next_fault = world.now;
        for index in 0..count {
            world.nodes.push(Node {
                vhost: None,
                guard: ReplayGuard::default(),
                starts: 0,
                link_up: true,
                configured: true,
                stalled_until: Timestamp::ZERO,
                inbox: Vec::new(),
                oversleeps: Duration::ZERO,
            });
            world.start(index);
        }
        world
    }

    /// Changes of state so far.
    pub(crate) fn takeovers(&self) -> u64 {
        self.takeovers
    }

    pub(crate) fn refused_replays(&self) -> u64 {
        self.refused
    }

    pub(crate) fn story(&self) -> &str {
        &self.story
    }

    pub(crate) fn run(&mut self) {
        let begin = self.now;
        let heal = begin.saturating_add(self.scenario.faults);
        let end = begin.saturating_add(self.scenario.length);
        // One silence, one interval of grace, and the adverts that sort it out; and
        // the same again for what was on its way or stalled when all healed.
        let peace = heal.saturating_add((self.down + self.interval * 2 + self.delay * 4) * 2);
        let mut takeovers_at_peace = None;
        loop {
            let next = self.next_moment(heal).min(end);
            assert!(next >= self.now);
            self.now = next;
            if self.now >= peace && takeovers_at_peace.is_none() {
                takeovers_at_peace = Some(self.takeovers);
                self.check(self.masters == 1, "one MASTER when peace has come");
            }
            if self.now == end {
                break;
            }
            self.step(heal);
            self.observe();
        }
        self.check(takeovers_at_peace == Some(self.takeovers), "no change in peace");
        self.check(self.masters == 1, "one MASTER in the end");
        self.check_winner();
    }

    fn next_moment(&self, heal: Timestamp) -> Timestamp {
        let fault = if self.healed { None } else { Some(self.next_fault.min(heal)) };
        let delivery = self.wire.peek().map(|Reverse((at, ..))| *at);
        let wakes = self.nodes.iter().filter_map(Self::wakes);
        wakes.chain(fault).chain(delivery).min().unwrap().max(self.now)
    }

    /// When a node next handles something of its own.
    fn wakes(node: &Node) -> Option<Timestamp> {
        let deadline = node.vhost.as_ref()?.next_deadline();
        let timer = deadline.map(|deadline| deadline.at.saturating_add(node.oversleeps));
        let queued = (!node.inbox.is_empty()).then_some(node.stalled_until);
        let first = timer.into_iter().chain(queued).min()?;
        Some(first.max(node.stalled_until))
    }

    fn step(&mut self, heal: Timestamp) {
        if !self.healed && self.now >= heal {
            self.heal();
        } else if !self.healed && self.now >= self.next_fault {
            self.fault();
        }
        // Adverts before timers, as a shell does it.
        while self.wire.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
            let Some(Reverse((_, _, to, Parcel(heard)))) = self.wire.pop() else { return };
            if self.nodes[to].vhost.is_some() && self.nodes[to].link_up {
                self.nodes[to].inbox.push(heard);
            }
        }
        for index in 0..self.nodes.len() {
            if Self::wakes(&self.nodes[index]).is_some_and(|at| at <= self.now) {
                for heard in std::mem::take(&mut self.nodes[index].inbox) {
                    self.receive(index, heard);
                }
                self.tell(index, Event::Timer);
                let most = (self.delay.as_nanos() / 2) as usize;
                self.nodes[index].oversleeps =
                    Duration::from_nanos(self.random.below(most + 1) as u64);
            }
        }
    }

    fn receive(&mut self, index: usize, heard: Heard) {
        if let Some(trailer) = &heard.trailer
            && self.nodes[index].guard.check(trailer).is_err()
        {
            self.refused += 1;
            return;
        }
        // Somebody who recorded it sends it again, in peace too.
        if heard.trailer.is_some() && self.random.chance(3) {
            let later = self.interval * (1 + self.random.below(30) as u32);
            self.deliver(index, later, heard);
        }
        self.tell(index, Event::Advert(heard));
    }

    fn tell(&mut self, index: usize, event: Event) {
        let mut actions = Vec::new();
        let Some(vhost) = &mut self.nodes[index].vhost else { return };
        vhost.handle(self.now, event, &mut actions);
        for action in actions {
            match action {
                Action::SendAdvert(outgoing) => self.send(index, &outgoing),
                Action::BecameMaster { reason }
                | Action::BecameBackup { reason }
                | Action::BecameInit { reason } => {
                    self.takeovers += 1;
                    let state = self.nodes[index].vhost.as_ref().unwrap().state().name();
                    self.note(&format!("{index} is {state}: {}", reason.name()));
                }
                Action::FailoverAbandoned => self.note(&format!("{index} abandons its failover")),
                Action::Announce | Action::Demote { .. } => {}
                Action::Rejected(error) => panic!("{error}"),
            }
        }
    }

    /// What the endpoints on both sides make of an advert.
    fn heard(&self, from: usize, outgoing: &Outgoing) -> Heard {
        let trailer = match self.scenario.trailer {
            TrailerPolicy::Off => None,
            TrailerPolicy::Use | TrailerPolicy::Require => {
                Some(outgoing.trailer(NodeId(from as u64), self.nodes[from].starts))
            }
        };
        let (advbase, advskew) = if outgoing.bow_out {
            (255, 255)
        } else {
            (outgoing.pace.advbase(), outgoing.pace.advskew())
        };
        let from = source(from, outgoing.family);
        let most = if trailer.is_some() { u16::MAX } else { 255 };
        let demotion = outgoing.demotion.min(most);
        let (family, counter) = (outgoing.family, outgoing.counter);
        Heard { family, from, advbase, advskew, demotion, counter, trailer }
    }

    fn send(&mut self, from: usize, outgoing: &Outgoing) {
        if !self.nodes[from].link_up {
            return;
        }
        let heard = self.heard(from, outgoing);
        for to in 0..self.nodes.len() {
            let lost = !self.healed && self.random.chance(self.loss);
            if to == from || self.cut[from][to] || lost {
                continue;
            }
            let delay = self.random.below(self.delay.as_nanos() as usize) as u64;
            self.deliver(to, Duration::from_nanos(delay), heard);
            if !self.healed && self.random.chance(5) {
                self.deliver(to, Duration::from_nanos(delay * 2), heard);
            }
        }
    }

    fn deliver(&mut self, to: usize, after: Duration, heard: Heard) {
        self.numbered += 1;
        let at = self.now.saturating_add(after);
        self.wire.push(Reverse((at, self.numbered, to, Parcel(heard))));
    }

    fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.starts += 1;
        let config = VhostConfig {
            vhid: Vhid::new(7).unwrap(),
            node: NodeId(index as u64),
            epoch: node.starts,
            families: self.scenario.families,
            pace: self.scenario.paces[index],
            preempt: self.scenario.preempt,
            trailer: self.scenario.trailer,
        };
        let seed = self.seed << 8 | node.starts << 4 | index as u64;
        node.vhost = Some(Vhost::new(config, seed).unwrap());
        node.configured = true;
        let link = if node.link_up { Event::Up } else { Event::Down };
        self.note(&format!("{index} starts"));
        for family in [Af::V4, Af::V6] {
            self.tell(index, Event::SetSource(source(index, family)));
        }
        self.tell(index, Event::Configured);
        self.tell(index, link);
    }

    fn fault(&mut self) {
        let pause = self.interval.as_nanos() as usize * 8;
        let wait = Duration::from_nanos(self.random.below(pause) as u64);
        self.next_fault = self.now.saturating_add(wait);
        let index = self.random.below(self.nodes.len());
        let fault = self.random.pick(FAULTS);
        self.note(&format!("{fault:?} {index}"));
        match fault {
            Fault::Crash => {
                self.nodes[index].vhost = None;
                self.nodes[index].inbox.clear();
            }
            Fault::Start if self.nodes[index].vhost.is_none() => self.start(index),
            Fault::Start => {}
            Fault::Stall => {
                let longest = (self.down * 2).as_nanos() as usize;
                let stall = Duration::from_nanos(self.random.below(longest) as u64);
                self.nodes[index].stalled_until = self.now.saturating_add(stall);
            }
            Fault::LinkDown | Fault::LinkUp => self.set_link(index, fault == Fault::LinkUp),
            Fault::Cut | Fault::Mend => {
                let other = self.random.below(self.nodes.len());
                self.cut[index][other] = fault == Fault::Cut;
                if self.random.chance(50) {
                    self.cut[other][index] = fault == Fault::Cut;
                }
            }
            Fault::Demote => {
                let total = self.random.pick(&[0, 0, 1, 32, 300]);
                self.tell(index, Event::Demote(total));
            }
            Fault::Failover => self.tell(index, Event::Failover),
            Fault::Reclaim => self.tell(index, Event::Reclaim),
            Fault::Stop | Fault::Configure => self.configure(index, fault == Fault::Configure),
        }
        self.disturb();
    }

    fn set_link(&mut self, index: usize, up: bool) {
        self.nodes[index].link_up = up;
        self.tell(index, if up { Event::Up } else { Event::Down });
    }

    fn configure(&mut self, index: usize, configured: bool) {
        self.nodes[index].configured = configured;
        self.tell(index, if configured { Event::Configured } else { Event::Stop });
    }

    fn heal(&mut self) {
        self.note("all heals");
        self.healed = true;
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
        let leader = self.random.below(self.nodes.len());
        for index in 0..self.nodes.len() {
            self.nodes[index].stalled_until = self.now;
            // Some stay dead, but not all.
            if self.nodes[index].vhost.is_none() && (index == leader || self.random.chance(50)) {
                self.start(index);
            }
            self.set_link(index, true);
            self.configure(index, true);
        }
        self.disturb();
    }

    fn disturb(&mut self) {
        self.disturbed = self.now;
    }

    fn count(&self) -> usize {
        let live = self.nodes.iter().filter_map(|node| node.vhost.as_ref());
        live.filter(|vhost| vhost.state() == State::Master).count()
    }

    fn eligible(&self) -> bool {
        self.nodes.iter().any(|node| {
            let ready = node.vhost.is_some() && node.link_up && node.configured;
            ready && node.stalled_until <= self.now
        })
    }

    /// Checks how long there were none or several.
    fn observe(&mut self) {
        let masters = self.count();
        // A stall ends as it began: not by the protocol.
        let stalls = self.nodes.iter().map(|node| node.stalled_until).max();
        self.disturbed = stalls.map_or(self.disturbed, |end| end.max(self.disturbed));
        let since = self.odd_since.unwrap_or(self.now).max(self.disturbed);
        let lasted = self.now.since(since);
        let slack = self.delay * 4;
        match self.masters {
            0 if self.eligible() => {
                let most = self.down + self.interval + slack;
                self.check(lasted <= most, "none for longer than a silence");
            }
            0 | 1 => {}
            _ if self.healed => {
                let most = self.interval + slack;
                self.check(lasted <= most, "several for longer than an interval");
            }
            _ => {}
        }
        if masters != self.masters {
            self.masters = masters;
            self.odd_since = (masters != 1).then_some(self.now);
        }
    }

    /// Among those that preempt, the best must have won.
    fn check_winner(&self) {
        let live: Vec<_> = self.nodes.iter().filter_map(|node| node.vhost.as_ref()).collect();
        let status: Vec<_> = live.iter().map(|vhost| vhost.status()).collect();
        if !self.scenario.preempt || status.iter().any(|status| status.held) {
            return;
        }
        let rank = |status: &evergate_carp::Status| (status.demotion.min(255), status.interval);
        let best = status.iter().map(rank).min();
        let master = status.iter().find(|status| status.state == State::Master).map(rank);
        // What classic adverts tell of demotions ends at 255.
        self.check(master == best, "the best is MASTER");
    }

    fn check(&self, holds: bool, claim: &str) {
        if holds {
            return;
        }
        let lines: Vec<&str> = self.story.lines().collect();
        let tail = &lines[lines.len().saturating_sub(STORY_TAIL)..];
        panic!(
            "seed {}: {claim}: does not hold at {:?} with {} MASTERs\n{:?}\n{}",
            self.seed,
            self.now.since(Timestamp::ZERO),
            self.masters,
            self.scenario,
            tail.join("\n")
        );
    }

    fn note(&mut self, text: &str) {
        let at = self.now.since(Timestamp::ZERO);
        writeln!(self.story, "{:>12.6} {text}", at.as_secs_f64()).unwrap();
    }
}

/// The address of a node. IPv4's last octets do not order as the node ids do.
fn source(node: usize, family: Af) -> Addr {
    let last = [20, 3, 7][node];
    match family {
        Af::V4 => Addr::from_v4_octets([10, 9, last, 1]),
        Af::V6 => {
            let mut octets = [0; 16];
            octets[..2].copy_from_slice(&[0xfe, 0x80]);
            octets[15] = 9 - last % 9;
            Addr::from_octets(octets)
        }
    }
}
