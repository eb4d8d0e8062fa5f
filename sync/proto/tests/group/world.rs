//! A group of nodes in simulated time: machines, tables in maps, links that lose,
//! delay, break and heal. The same seed, the same story.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use evergate_state::{StateId, StateKey, Timeout, Timeouts};
use evergate_sync_proto::{
    Action, Actions, BATCH_MAX, Class, Config, Defer, Delete, Entry, EntryKey, Event, Held,
    Machine, NodeId, Operation, Outcome, Ownership, Pace, Purge, Record, Refusal, Released,
    ResetReason, Upsert,
};
use evergate_wire::Timestamp;

use crate::packets;
use crate::random::Random;

/// How a world behaves.
#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) nodes: usize,
    /// Datagrams lost, and delivered twice, in thousandths.
    pub(crate) loss_permille: u64,
    pub(crate) twice_permille: u64,
    pub(crate) delay_us: (u64, u64),
    /// How long a shell takes to answer or to carry out.
    pub(crate) shell_us: u64,
    pub(crate) limit: usize,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            nodes: 2,
            loss_permille: 0,
            twice_permille: 0,
            delay_us: (50, 300),
            shell_us: 20,
            limit: usize::MAX,
        }
    }
}

/// Something that has yet to happen.
#[derive(Debug)]
enum Due {
    Arrive { from: usize, to: usize, link: u64, class: Class, packet: Vec<u8> },
    LinkUp { at: usize, peer: usize, link: u64 },
    Do { at: usize, life: u64, job: Job },
    Wake { at: usize, life: u64 },
}

/// Something that a node's shell does after a while.
#[derive(Debug)]
enum Job {
    Fetched {
        peer: NodeId,
        ticket: u32,
        records: Vec<Option<Record>>,
    },
    Page {
        peer: NodeId,
        ticket: u32,
        cursor: u64,
        max: usize,
    },
    /// `None`: a removal of the node's own, once more.
    Apply {
        peer: Option<NodeId>,
        operation: Operation,
    },
}

pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) table: BTreeMap<StateKey, Held>,
    pub(crate) entries: BTreeMap<EntryKey, Entry>,
    pub(crate) ownership: Ownership,
    pub(crate) instance: u32,
    /// How far this node's clock is ahead of the others'.
    skew: Duration,
    clock: u64,
    pub(crate) life: u64,
    pub(crate) alive: bool,
    wake: Option<Timestamp>,
    /// Jobs are done in order.
    busy_until: Timestamp,
    pub(crate) released: Vec<(StateKey, StateId, Released, Timestamp)>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) resets: Vec<ResetReason>,
    pub(crate) entries_lost: usize,
}

/// What was sent from one node to another, over all links.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) nature: Nature,
    pub(crate) nodes: Vec<Node>,
    pub(crate) timeouts: Timeouts,
    pub(crate) configure: fn(&mut Config),
    due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    what: BTreeMap<u64, Due>,
    order: u64,
    /// By pair of nodes, the lower first: the number of the link that is up.
    links: BTreeMap<(usize, usize), u64>,
    link_count: u64,
    /// When the last packet of a stream arrives.
    streams: BTreeMap<(usize, usize, Class), Timestamp>,
    pub(crate) sent: BTreeMap<(usize, usize), Traffic>,
    pub(crate) purging: bool,
    instances: u32,
    /// The port of the states whose story is to be printed.
    pub(crate) trace: Option<u16>,
    /// Every state that a node was told of, if wanted.
    pub(crate) upserts: Option<Vec<Upsert>>,
    /// Every packet that was sent and by whom, if wanted.
    pub(crate) tap: Option<Vec<(usize, Vec<u8>)>>,
}

pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId(index as u32 + 1)
}

fn index_of(id: NodeId) -> usize {
    id.0 as usize - 1
}

impl World {
    pub(crate) fn new(seed: u64, nature: Nature) -> Self {
        Self::with(seed, nature, |_| {})
    }

    pub(crate) fn with(seed: u64, nature: Nature, configure: fn(&mut Config)) -> Self {
        let mut timeouts = Timeouts::default();
        for timeout in Timeout::ALL {
            timeouts.set(timeout, Duration::from_secs(12));
        }
        let count = nature.nodes;
        let mut world = Self {
            // So that ages of a few seconds are not cut off by the clock's origin.
            now: Timestamp::from_nanos(1_000_000_000_000),
            random: Random::new(seed),
            nature,
            nodes: Vec::new(),
            timeouts,
            configure,
            due: BinaryHeap::new(),
            what: BTreeMap::new(),
            order: 0,
            links: BTreeMap::new(),
            link_count: 0,
            streams: BTreeMap::new(),
            sent: BTreeMap::new(),
            purging: false,
            instances: 0,
            trace: std::env::var("TRACE").ok().and_then(|port| port.parse().ok()),
            upserts: None,
            tap: None,
        };
        for index in 0..count {
            let node = world.born(index, 0);
            world.nodes.push(node);
        }
        world
    }

    /// All nodes linked and in sync.
    pub(crate) fn connected(seed: u64, nature: Nature, configure: fn(&mut Config)) -> Self {
        let mut world = Self::with(seed, nature, configure);
        world.heal();
        world.run(Duration::from_millis(50));
        assert!(world.in_sync(), "a new group is in sync at once");
        world
    }

    fn born(&mut self, index: usize, life: u64) -> Node {
        self.instances += 1;
        let instance = self.instances * 16 + index as u32;
        let peers = (0..self.nature.nodes).map(node_id).collect();
        let seed = u64::from(instance);
        let mut config = Config::new(node_id(index), instance, peers, seed);
        config.lanes = 2;
        config.digest_interval = Duration::from_secs(5);
        config.orphan_grace = Duration::from_secs(5);
        (self.configure)(&mut config);
        let machine = Machine::new(config);
        let ownership = machine.ownership().clone();
        // The wall clock, in seconds, starts the counter of ids.
        let clock = (self.now.as_nanos() / 1_000_000_000) << 20;
        Node {
            machine,
            table: BTreeMap::new(),
            entries: BTreeMap::new(),
            ownership,
            instance,
            skew: Duration::from_secs(index as u64 * 86_400 * 365),
            clock,
            life,
            alive: true,
            wake: None,
            busy_until: Timestamp::ZERO,
            released: Vec::new(),
            refused: Vec::new(),
            resets: Vec::new(),
            entries_lost: 0,
        }
    }

    /// What a node's clock says.
    pub(crate) fn clock(&self, at: usize) -> Timestamp {
        self.now.saturating_add(self.nodes[at].skew)
    }

    fn schedule(&mut self, at: Timestamp, due: Due) {
        self.order += 1;
        self.due.push(Reverse((at, self.order)));
        self.what.insert(self.order, due);
    }

    /// Lets time go by.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now.saturating_add(span);
        while let Some(Reverse((at, order))) = self.due.peek().copied()
            && at <= until
        {
            self.due.pop();
            self.now = self.now.max(at);
            if let Some(due) = self.what.remove(&order) {
                self.happen(due);
            }
        }
        self.now = until;
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Arrive { from, to, link, class, packet } => {
                if self.links.get(&pair(from, to)) == Some(&link) {
                    let peer = node_id(from);
                    self.tell(to, Event::Received { peer, class, packet: &packet });
                }
            }
            Due::LinkUp { at, peer, link } => {
                if self.links.get(&pair(at, peer)) == Some(&link) {
                    self.tell(at, Event::LinkUp { peer: node_id(peer) });
                }
            }
            Due::Do { at, life, job } => {
                if self.nodes[at].life == life && self.nodes[at].alive {
                    self.work(at, job);
                }
            }
            Due::Wake { at, life } => {
                let node = &mut self.nodes[at];
                if node.life == life && node.alive && node.wake.is_some_and(|w| w <= self.now) {
                    node.wake = None;
                    if self.purging {
                        self.purge(at);
                    }
                    self.tell(at, Event::Timer);
                }
            }
        }
    }

    /// Tells a node's machine of something, and does what it says.
    pub(crate) fn tell(&mut self, at: usize, event: Event<'_>) {
        if !self.nodes[at].alive {
            return;
        }
        let mut actions = Actions::new();
        let now = self.clock(at);
        self.nodes[at].machine.handle(now, event, &mut actions);
        for action in actions.drain() {
            self.act(at, action);
        }
        self.set_alarm(at);
    }

    fn set_alarm(&mut self, at: usize) {
        let Some(deadline) = self.nodes[at].machine.next_deadline() else { return };
        let due = deadline.at.since(Timestamp::ZERO).saturating_sub(self.nodes[at].skew);
        let wake = Timestamp::ZERO.saturating_add(due).max(self.now);
        let node = &mut self.nodes[at];
        if node.wake.is_none_or(|known| wake < known) {
            node.wake = Some(wake);
            let life = node.life;
            self.schedule(wake, Due::Wake { at, life });
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match action {
            Action::Send { peer, class, packet } => self.send(at, index_of(peer), class, packet),
            Action::Fetch { peer, ticket, keys } => {
                assert!(keys.len() <= BATCH_MAX);
                // Read now, told later: as by a shell that is busy.
                let (node, now) = (&self.nodes[at], self.clock(at));
                let read = |key| node.table.get(key).map(|held| held.record(now));
                let records = keys.iter().map(read).collect();
                self.job(at, Job::Fetched { peer, ticket, records });
            }
            Action::Page { peer, ticket, cursor, max } => {
                self.job(at, Job::Page { peer, ticket, cursor, max });
            }
            Action::Apply { peer, operation } => {
                self.job(at, Job::Apply { peer: Some(peer), operation });
            }
            Action::Again(operation) => self.job(at, Job::Apply { peer: None, operation }),
            Action::Release { key, id, why } => {
                let now = self.now;
                self.nodes[at].released.push((key, id, why, now));
            }
            Action::Raise { id } => {
                let node = &mut self.nodes[at];
                node.clock = node.clock.max(id);
            }
            Action::Owners(ownership) => self.nodes[at].ownership = ownership,
            Action::Status { .. } => {}
            Action::Refused { refusal, .. } => self.nodes[at].refused.push(refusal),
            Action::Reset { peer, reason } => {
                self.nodes[at].resets.push(reason);
                self.cut(at, index_of(peer));
            }
            Action::EntryLost(_) => self.nodes[at].entries_lost += 1,
        }
    }

    /// Prints what happens to a state whose story is wanted.
    fn note(&self, at: usize, key: Option<&StateKey>, what: &dyn std::fmt::Debug) {
        if self.trace.is_some_and(|port| key.is_none_or(|key| key.port.contains(&port))) {
            let millis = self.now.as_nanos() as f64 / 1e6 - 1e6;
            println!("{millis:10.3} ms, node {at}: {what:?}");
        }
    }

    fn job(&mut self, at: usize, job: Job) {
        let delay = self.random.below(self.nature.shell_us + 1);
        let ready = self.now.saturating_add(Duration::from_micros(delay));
        let node = &mut self.nodes[at];
        node.busy_until = node.busy_until.max(ready);
        let (when, life) = (node.busy_until, node.life);
        self.schedule(when, Due::Do { at, life, job });
    }

    fn send(&mut self, from: usize, to: usize, class: Class, packet: Vec<u8>) {
        let traffic = self.sent.entry((from, to)).or_default();
        traffic.packets += 1;
        traffic.bytes += packet.len() as u64;
        if let Some(tap) = &mut self.tap {
            tap.push((from, packet.clone()));
        }
        let Some(link) = self.links.get(&pair(from, to)).copied() else { return };
        let (least, most) = self.nature.delay_us;
        let delay =
            |random: &mut Random| Duration::from_micros(least + random.below(most - least + 1));
        if class == Class::Datagram {
            let copies = match self.random.below(1000) {
                lot if lot < self.nature.loss_permille => 0,
                lot if lot < self.nature.loss_permille + self.nature.twice_permille => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let when = self.now.saturating_add(delay(&mut self.random));
                let packet = packet.clone();
                self.schedule(when, Due::Arrive { from, to, link, class, packet });
            }
            return;
        }
        let when = self.now.saturating_add(delay(&mut self.random));
        let last = self.streams.entry((from, to, class)).or_default();
        *last = when.max(*last);
        let when = *last;
        self.schedule(when, Due::Arrive { from, to, link, class, packet });
    }

    /// Whether two nodes are linked.
    pub(crate) fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&pair(a, b))
    }

    /// Breaks a link: what is on its way is gone.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&pair(a, b)).is_some() {
            self.note(a, None, &("cut", b));
            self.tell(a, Event::LinkDown { peer: node_id(b) });
            self.tell(b, Event::LinkDown { peer: node_id(a) });
        }
    }

    /// Makes a link; the two ends notice at different times.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        if a == b || self.linked(a, b) || !self.nodes[a].alive || !self.nodes[b].alive {
            return;
        }
        self.link_count += 1;
        self.note(a, None, &("join", b));
        let link = self.link_count;
        self.links.insert(pair(a, b), link);
        for class in [Class::Control, Class::Ordered(0), Class::Ordered(1)] {
            self.streams.remove(&(a, b, class));
            self.streams.remove(&(b, a, class));
        }
        self.tell(a, Event::LinkUp { peer: node_id(b) });
        // Not after the first packet: a transport tells of the link before.
        let when = self.now;
        self.schedule(when, Due::LinkUp { at: b, peer: a, link });
    }

    /// Makes all links.
    pub(crate) fn heal(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.join(a, b);
            }
        }
    }

    /// A node dies; its peers notice at once.
    pub(crate) fn crash(&mut self, at: usize) {
        for other in 0..self.nodes.len() {
            if other != at {
                self.cut(at, other);
            }
        }
        self.note(at, None, &"crash");
        self.nodes[at].alive = false;
    }

    /// A dead node begins anew, with nothing.
    pub(crate) fn restart(&mut self, at: usize) {
        let life = self.nodes[at].life + 1;
        self.nodes[at] = self.born(at, life);
    }

    /// Whether every living node is in sync with every other.
    pub(crate) fn in_sync(&self) -> bool {
        self.pairs().all(|(a, b)| self.nodes[a].machine.peer_status(node_id(b)).unwrap().in_sync)
    }

    /// Whether nothing waits or is on its way between living nodes.
    pub(crate) fn settled(&self, at: usize) -> bool {
        (0..self.nodes.len()).filter(|peer| *peer != at).all(|peer| {
            let lag = self.nodes[at].machine.lag(node_id(peer)).unwrap();
            lag.queued == 0 && lag.unacked == 0
        })
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let alive: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].alive).collect();
        let pairs = alive.clone().into_iter();
        pairs.flat_map(move |a| {
            alive.clone().into_iter().filter(move |b| *b != a).map(move |b| (a, b))
        })
    }

    fn work(&mut self, at: usize, job: Job) {
        match job {
            Job::Fetched { peer, ticket, records } => {
                self.tell(at, Event::Fetched { peer, ticket, records });
            }
            Job::Page { peer, ticket, cursor, max } => self.page(at, peer, ticket, cursor, max),
            Job::Apply { peer, operation } => self.apply(at, peer, operation),
        }
    }

    /// The cursor is the lower port of the states' keys; all states of one port come
    /// in one page, so that none is missed whatever comes and goes.
    fn page(&mut self, at: usize, peer: NodeId, ticket: u32, cursor: u64, max: usize) {
        let (node, now) = (&self.nodes[at], self.clock(at));
        let total = node.table.len() as u64;
        let mut records: Vec<Record> = Vec::new();
        let mut next = None;
        for (key, held) in node.table.range(packets::first_key(cursor as u16)..) {
            let port = u64::from(key.port[0]);
            if records.len() >= max && records.last().is_some_and(|r| r.state.key.port != key.port)
            {
                next = Some(port);
                break;
            }
            records.push(held.record(now));
        }
        let entries = if cursor == 0 { node.entries.values().cloned().collect() } else { vec![] };
        self.tell(at, Event::PageRead { peer, ticket, records, entries, next, total });
    }

    fn apply(&mut self, at: usize, peer: Option<NodeId>, operation: Operation) {
        let now = self.clock(at);
        let key = match &operation {
            Operation::Upsert(upsert) => Some(upsert.record.state.key),
            Operation::Progress(progress) => Some(progress.key),
            Operation::Delete(delete) => Some(delete.key),
            Operation::Clear(_) | Operation::Entry(_) | Operation::Barrier { .. } => None,
        };
        self.note(at, key.as_ref(), &("from", peer, &operation));
        match operation {
            Operation::Upsert(upsert) => {
                self.upserts.iter_mut().for_each(|seen| seen.push((*upsert).clone()));
                let record = &upsert.record;
                let (key, id) = (record.state.key, record.state.id);
                let node = &mut self.nodes[at];
                node.clock = node.clock.max(id.id);
                let is_full = node.table.len() >= self.nature.limit;
                let outcome = match node.table.get_mut(&key) {
                    Some(held) => held.merge(record, now),
                    None if upsert.only_if_held => Outcome::NotHeld,
                    None if is_full => Outcome::Full,
                    None => match Held::begin(record, now) {
                        Ok(held) => {
                            node.table.insert(key, held);
                            Outcome::Taken
                        }
                        Err(_) => Outcome::Refused,
                    },
                };
                self.applied(at, peer, (key, id), outcome, upsert.wants_ack);
            }
            Operation::Progress(progress) => {
                let key = progress.key;
                let unknown = (Outcome::Unknown, StateId { id: 0, creator: 0 });
                let held = self.nodes[at].table.get_mut(&key);
                let (outcome, id) =
                    held.map_or(unknown, |h| (h.progress(&progress, now), h.state.id()));
                self.applied(at, peer, (key, id), outcome, false);
            }
            Operation::Delete(delete) => {
                let node = &mut self.nodes[at];
                let Some(held) = node.table.get(&delete.key) else { return };
                let outcome = held.remove_by(&delete, &node.ownership, now);
                if outcome != Outcome::Survived {
                    node.table.remove(&delete.key);
                }
                self.applied(at, peer, (delete.key, delete.id), outcome, false);
            }
            Operation::Clear(clear) => {
                self.nodes[at].table.retain(|_, held| !clear.covers(held.state.id()));
            }
            Operation::Entry(entry) => {
                self.nodes[at].entries.insert(entry.key.clone(), entry);
            }
            Operation::Barrier { ticket } => {
                let peer = peer.unwrap();
                self.tell(at, Event::Passed { peer, ticket });
            }
        }
    }

    /// Tells the machine what became of an operation, if that is worth telling.
    fn applied(
        &mut self,
        at: usize,
        peer: Option<NodeId>,
        (key, id): (StateKey, StateId),
        outcome: Outcome,
        wants_ack: bool,
    ) {
        if let Some(peer) = peer
            && (outcome != Outcome::Taken || wants_ack)
        {
            self.tell(at, Event::Applied { peer, key, id, outcome, wants_ack });
        }
    }

    /// The next id of a node's own.
    pub(crate) fn next_id(&mut self, at: usize) -> StateId {
        let node = &mut self.nodes[at];
        node.clock += 1;
        StateId { id: node.clock, creator: node.instance }
    }

    /// A node creates a state.
    pub(crate) fn insert(&mut self, at: usize, held: Held, defer: Defer) {
        let (key, id) = (*held.state.key(), held.state.id());
        self.note(at, Some(&key), &("insert", id, defer, held.claim));
        self.nodes[at].table.insert(key, held);
        self.tell(at, Event::Insert { key, id, defer });
    }

    /// A packet has changed a state at a node.
    pub(crate) fn touch(&mut self, at: usize, key: StateKey, pace: Pace) {
        self.note(at, Some(&key), &("update", pace));
        self.tell(at, Event::Update { key, pace });
    }

    /// A node removes a state, by somebody's will or because its time is up.
    pub(crate) fn remove(&mut self, at: usize, key: &StateKey, is_final: bool) -> Option<StateId> {
        let held = self.nodes[at].table.remove(key)?;
        let id = held.state.id();
        let epoch = self.nodes[at].ownership.effective(held.claim).epoch;
        let idle = self.clock(at).since(held.state.last_seen());
        self.note(at, Some(key), &("remove", id, is_final));
        let delete = Delete { key: *key, id, epoch, is_final, ago: Duration::ZERO, idle };
        self.tell(at, Event::Delete(delete));
        Some(id)
    }

    /// Removes what is overdue at a node, if that is for it to do.
    pub(crate) fn purge(&mut self, at: usize) {
        let (now, node) = (self.clock(at), &self.nodes[at]);
        let overdue: Vec<(StateKey, Purge)> = node
            .table
            .iter()
            .filter(|(_, held)| held.state.expired(now, &self.timeouts, 1))
            .map(|(key, held)| {
                let timeout = self.timeouts.of(held.state.timeout_kind());
                let over = now.since(held.state.last_seen()).saturating_sub(timeout);
                (*key, node.ownership.purge(held.claim, over))
            })
            .collect();
        for (key, purge) in overdue {
            match purge {
                Purge::Keep => {}
                Purge::Expire => drop(self.remove(at, &key, false)),
                Purge::Forget => drop(self.nodes[at].table.remove(&key)),
            }
        }
    }

    /// Lets time go by with purges, every half second.
    pub(crate) fn run_purging(&mut self, span: Duration) {
        let until = self.now.saturating_add(span);
        while self.now < until {
            self.run(Duration::from_millis(500));
            (0..self.nodes.len())
                .filter(|at| self.nodes[*at].alive)
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|at| self.purge(at));
        }
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}
