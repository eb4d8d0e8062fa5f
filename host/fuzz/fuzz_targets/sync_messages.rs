//! What an authenticated peer may send to the machine that replicates states.
//!
//! The input is a list of steps. A step begins with a byte: its two low bits say
//! which way a packet comes (control, an ordered lane, datagram) or, all set, that
//! time passes (in the high bits, in hundreds of milliseconds). Of a packet two
//! bytes of length and its messages follow; its header is made to fit, unless the
//! step has bit 2 set: then the bytes are the whole packet.
#![no_main]

use std::time::Duration;

use evergate_sync_proto::message::{Header, Hello, Message, VERSION, read_packet, write_packet};
use evergate_sync_proto::{Action, Actions, Claim, Class, Config, Event, Machine, NodeId};
use evergate_wire::Timestamp;
use libfuzzer_sys::fuzz_target;

const PEER: NodeId = NodeId(2);

fuzz_target!(|input: &[u8]| {
    round_trip(input);
    let mut peer = Peer::new();
    let mut rest = input;
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        match step & 3 {
            3 => peer.wait(Duration::from_millis(u64::from(step >> 3) * 100)),
            way => {
                let Some((len, after)) = rest.split_first_chunk() else { return };
                let len = usize::from(u16::from_be_bytes(*len));
                let Some((bytes, after)) = after.split_at_checked(len) else { return };
                rest = after;
                let class = [Class::Control, Class::Ordered(0), Class::Datagram][usize::from(way)];
                peer.say(class, bytes, step & 4 != 0);
            }
        }
    }
});

/// Whatever is read can be written, and is then read the same.
fn round_trip(input: &[u8]) {
    let Ok((header, messages)) = read_packet(input) else { return };
    let written = write_packet(header, &messages);
    let (_, again) = read_packet(&written).expect("what was written can be read");
    assert_eq!(again, messages);
}

struct Peer {
    machine: Machine,
    now: Timestamp,
    seqs: [u64; 3],
    session: u32,
}

impl Peer {
    fn new() -> Self {
        let mut config = Config::new(NodeId(1), 100, vec![PEER], 7);
        config.queue_max = 256;
        config.tombstones_max = 256;
        let now = Timestamp::from_nanos(1 << 40);
        let mut peer = Self { machine: Machine::new(config), now, seqs: [0; 3], session: 0 };
        peer.link_up();
        peer
    }

    fn link_up(&mut self) {
        self.session += 1;
        self.seqs = [0; 3];
        self.handle(Event::LinkUp { peer: PEER });
        let hello = Hello {
            version_min: 1,
            version_max: VERSION,
            node: PEER.0,
            instance: 200,
            features: 0,
            clock: 1,
            floor: Claim::default(),
            kept_for: 0,
            lanes: 1,
        };
        let welcome = evergate_sync_proto::message::Welcome {
            version: 1,
            session: self.session,
            features: 0,
        };
        let messages = [Message::Hello(hello), Message::Welcome(welcome)];
        let packet = write_packet(self.header(Class::Control), &messages);
        self.handle(Event::Received { peer: PEER, class: Class::Control, packet: &packet });
    }

    fn header(&mut self, class: Class) -> Header {
        let (index, lane) = match class {
            Class::Control => (0, 0),
            Class::Ordered(lane) => (1, lane + 1),
            Class::Datagram => (2, 255),
        };
        self.seqs[index] += 1;
        let (session, seq) = (self.session, self.seqs[index]);
        Header { len: 0, version: VERSION, lane, session, seq }
    }

    fn say(&mut self, class: Class, bytes: &[u8], whole: bool) {
        if whole {
            return self.handle(Event::Received { peer: PEER, class, packet: bytes });
        }
        let mut packet = write_packet(self.header(class), &[]);
        packet.extend_from_slice(bytes);
        let Ok(len) = u16::try_from(packet.len()) else { return };
        packet[..2].copy_from_slice(&len.to_be_bytes());
        self.handle(Event::Received { peer: PEER, class, packet: &packet });
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now.saturating_add(span);
        self.handle(Event::Timer);
    }

    /// Answers as an empty table would.
    fn handle(&mut self, event: Event<'_>) {
        let mut actions = Actions::new();
        self.machine.handle(self.now, event, &mut actions);
        let mut reset = false;
        for _ in 0..64 {
            let wanted: Vec<Action> = actions.drain().collect();
            if wanted.is_empty() {
                break;
            }
            for action in wanted {
                let event = match action {
                    Action::Fetch { peer, ticket, keys } => {
                        Event::Fetched { peer, ticket, records: vec![None; keys.len()] }
                    }
                    Action::Page { peer, ticket, .. } => {
                        let (records, entries) = (vec![], vec![]);
                        Event::PageRead { peer, ticket, records, entries, next: None, total: 0 }
                    }
                    Action::Reset { .. } => {
                        reset = true;
                        continue;
                    }
                    _ => continue,
                };
                self.machine.handle(self.now, event, &mut actions);
            }
        }
        let lag = self.machine.lag(PEER).unwrap_or_default();
        assert!(lag.queued <= 1024, "{lag:?}");
        assert!(self.machine.tombstones() <= 512);
        if reset {
            self.link_up();
        }
    }
}
