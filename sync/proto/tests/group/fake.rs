//! One real machine, node 1, and a peer, node 2, that says whatever a test wants.

use std::collections::BTreeMap;
use std::time::Duration;

use evergate_sync_proto::message::{
    Bulk, BulkMode, Header, Hello, Message, VERSION, Welcome, read_packet, write_packet,
};
use evergate_sync_proto::{
    Action, Actions, Claim, Class, Config, Event, LinkState, Machine, NodeId, Refusal, ResetReason,
};
use evergate_wire::Timestamp;

pub(crate) const PEER: NodeId = NodeId(2);
pub(crate) const MACHINE_INSTANCE: u32 = 100;
pub(crate) const PEER_INSTANCE: u32 = 200;

pub(crate) struct Fake {
    pub(crate) machine: Machine,
    pub(crate) now: Timestamp,
    /// What the machine wanted, except packets.
    pub(crate) actions: Vec<Action>,
    /// What it said.
    pub(crate) said: Vec<(Class, Message)>,
    seqs: BTreeMap<Class, u64>,
    pub(crate) session: u32,
    /// How often the link came up: the machine's session.
    links: u32,
}

pub(crate) fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: VERSION,
        node: PEER.0,
        instance: PEER_INSTANCE,
        features: 0,
        clock: 1000,
        floor: Claim::default(),
        kept_for: 0,
        lanes: 2,
    }
}

const fn lane(class: Class) -> u8 {
    match class {
        Class::Control => 0,
        Class::Ordered(lane) => lane + 1,
        Class::Datagram => 255,
    }
}

impl Fake {
    pub(crate) fn new(configure: fn(&mut Config)) -> Self {
        let mut config = Config::new(NodeId(1), MACHINE_INSTANCE, vec![PEER], 7);
        configure(&mut config);
        Self {
            machine: Machine::new(config),
            now: Timestamp::from_nanos(1_000_000_000_000),
            actions: Vec::new(),
            said: Vec::new(),
            seqs: BTreeMap::new(),
            session: 41,
            links: 0,
        }
    }

    /// With a link that is up, and nothing to be said any more.
    pub(crate) fn up(configure: fn(&mut Config)) -> Self {
        let mut fake = Self::new(configure);
        fake.link_up();
        fake.greet();
        assert_eq!(fake.machine.peer_status(PEER).unwrap().link, LinkState::Up);
        fake.actions.clear();
        fake.said.clear();
        fake
    }

    pub(crate) fn link_up(&mut self) {
        self.session += 1;
        self.links += 1;
        self.seqs.clear();
        self.handle(Event::LinkUp { peer: PEER });
    }

    pub(crate) fn greet(&mut self) {
        let welcome = Welcome { version: 1, session: self.links, features: 0 };
        let request = Message::Bulk(Bulk::Request { request: 1, mode: BulkMode::Delta });
        self.say(Class::Control, &[Message::Hello(hello()), Message::Welcome(welcome), request]);
    }

    /// Tells the machine of something, then lets it do what it has put off till then.
    pub(crate) fn handle(&mut self, event: Event<'_>) {
        let mut actions = Actions::new();
        self.machine.handle(self.now, event, &mut actions);
        if self.machine.next_deadline().is_some_and(|deadline| deadline.at <= self.now) {
            self.machine.handle(self.now, Event::Timer, &mut actions);
        }
        for action in actions.drain() {
            let Action::Send { peer, class, packet } = action else {
                self.actions.push(action);
                continue;
            };
            assert_eq!(peer, PEER);
            let (header, messages) = read_packet(&packet).unwrap();
            assert_eq!((header.lane, header.version), (lane(class), VERSION));
            self.said.extend(messages.into_iter().map(|message| (class, message)));
        }
    }

    pub(crate) fn packet(&mut self, class: Class, messages: &[Message]) -> Vec<u8> {
        let seq = self.seqs.entry(class).or_default();
        *seq += 1;
        let session = self.session;
        let header = Header { len: 0, version: VERSION, lane: lane(class), session, seq: *seq };
        write_packet(header, messages)
    }

    /// The peer says something.
    pub(crate) fn say(&mut self, class: Class, messages: &[Message]) {
        let packet = self.packet(class, messages);
        self.send(class, &packet);
    }

    /// The peer sends some bytes.
    pub(crate) fn send(&mut self, class: Class, packet: &[u8]) {
        self.handle(Event::Received { peer: PEER, class, packet });
    }

    pub(crate) fn wait(&mut self, span: Duration) {
        self.now = self.now.saturating_add(span);
        self.handle(Event::Timer);
    }

    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let refusal = |action: &Action| {
            if let Action::Refused { refusal, .. } = action { Some(*refusal) } else { None }
        };
        self.actions.iter().filter_map(refusal).collect()
    }

    pub(crate) fn resets(&self) -> Vec<ResetReason> {
        let reset = |action: &Action| {
            if let Action::Reset { reason, .. } = action { Some(*reason) } else { None }
        };
        self.actions.iter().filter_map(reset).collect()
    }

    pub(crate) fn count_said(&self, is_wanted: impl Fn(&Message) -> bool) -> usize {
        self.said.iter().filter(|(_, message)| is_wanted(message)).count()
    }
}
