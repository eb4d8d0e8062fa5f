//! How many states a second go from one machine to another, both on one core, with
//! tables in maps: creating, packing, unpacking, inserting, acknowledging; and the
//! same for compressed updates.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use evergate_state::{State, StateId, StateKey, StateOptions, key_of};
use evergate_sync_proto::{
    Action, Actions, Config, Defer, Event, Held, Machine, NodeId, Operation, Pace,
};
use evergate_wire::{Addr, Af, IpOptions, L4, Parsed, Tcp, TcpFlags, Timestamp, protocol};

const STATES: u32 = 10_000;

/// The SYN of a connection.
fn syn(number: u32) -> Parsed {
    let sport = 1024 + (number % 60_000) as u16;
    let last = (number / 60_000) as u8;
    let tcp = Tcp {
        sport,
        dport: 443,
        seq: number,
        ack: 0,
        flags: TcpFlags::SYN,
        window: 64_240,
        data_offset: 40,
        data_len: 0,
        wscale: Some(7),
        mss: Some(1460),
    };
    Parsed {
        af: Af::V4,
        proto: protocol::TCP,
        src: Addr::from_v4_octets([10, 0, 0, last]),
        dst: Addr::from_v4_octets([192, 0, 2, 1]),
        ttl: 64,
        tos: 0,
        l4_offset: 20,
        total_len: 60,
        fragment: None,
        options: IpOptions::None,
        l4: L4::Tcp(tcp),
    }
}

struct Node {
    machine: Machine,
    table: HashMap<StateKey, Held>,
}

struct Pair {
    nodes: [Node; 2],
    /// What is to be done, in order.
    wanted: VecDeque<(usize, Action)>,
    now: Timestamp,
    bytes: u64,
}

const IDS: [NodeId; 2] = [NodeId(1), NodeId(2)];

impl Pair {
    fn new() -> Self {
        let node = |at: usize| {
            let config = Config::new(IDS[at], at as u32 + 1, IDS.to_vec(), 7);
            Node { machine: Machine::new(config), table: HashMap::new() }
        };
        let now = Timestamp::from_nanos(1 << 40);
        let wanted = VecDeque::new();
        let mut pair = Self { nodes: [node(0), node(1)], wanted, now, bytes: 0 };
        (0..2).for_each(|at| pair.tell(at, Event::LinkUp { peer: IDS[1 - at] }));
        pair.settle();
        assert!(pair.nodes[1].machine.peer_status(IDS[0]).is_some_and(|status| status.in_sync));
        pair
    }

    fn tell(&mut self, at: usize, event: Event<'_>) {
        let mut actions = Actions::new();
        self.nodes[at].machine.handle(self.now, event, &mut actions);
        self.wanted.extend(actions.drain().map(|action| (at, action)));
    }

    fn work(&mut self) {
        while let Some((at, action)) = self.wanted.pop_front() {
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        match action {
            Action::Send { class, packet, .. } => {
                self.bytes += packet.len() as u64;
                self.tell(1 - at, Event::Received { peer: IDS[at], class, packet: &packet });
            }
            Action::Fetch { peer, ticket, keys } => {
                let read = |key| node.table.get(key).map(|held: &Held| held.record(now));
                let records = keys.iter().map(read).collect();
                self.tell(at, Event::Fetched { peer, ticket, records });
            }
            Action::Page { peer, ticket, .. } => {
                let (records, entries) = (vec![], vec![]);
                let page = Event::PageRead { peer, ticket, records, entries, next: None, total: 0 };
                self.tell(at, page);
            }
            Action::Apply { peer, operation } => match operation {
                Operation::Upsert(upsert) => {
                    if let Ok(held) = Held::begin(&upsert.record, now) {
                        node.table.insert(upsert.record.state.key, held);
                    }
                }
                Operation::Progress(progress) => {
                    let held = node.table.get_mut(&progress.key);
                    black_box(held.map(|held| held.progress(&progress, now)));
                }
                Operation::Barrier { ticket } => self.tell(at, Event::Passed { peer, ticket }),
                Operation::Delete(_) | Operation::Clear(_) | Operation::Entry(_) => {}
            },
            Action::Again(_)
            | Action::Release { .. }
            | Action::Raise { .. }
            | Action::Owners(_)
            | Action::Status { .. }
            | Action::Refused { .. }
            | Action::Reset { .. }
            | Action::EntryLost(_) => {}
        }
    }

    /// Lets both machines do what they have put off, and 2 s go by.
    fn settle(&mut self) {
        self.work();
        for _ in 0..20 {
            self.now = self.now.saturating_add(Duration::from_millis(100));
            (0..2).for_each(|at| self.tell(at, Event::Timer));
            self.work();
        }
    }

    fn insert(&mut self, number: u32) {
        let packet = syn(number);
        let Some((key, side)) = key_of(&packet) else { return };
        let id = StateId { id: u64::from(number) + 1, creator: 1 };
        let options = StateOptions::default();
        let Ok(state) = State::create(id, self.now, key, side, &packet, options) else { return };
        let node = &mut self.nodes[0];
        node.table.insert(key, Held::own(state, node.machine.ownership()));
        self.tell(0, Event::Insert { key, id, defer: Defer::Off });
    }

    fn insert_all(&mut self) {
        // As a shell that drains its journal now and then.
        for number in 0..STATES {
            self.insert(number);
            if number % 64 == 63 {
                self.tell(0, Event::Timer);
                self.work();
            }
        }
        self.settle();
        assert_eq!(self.nodes[1].table.len(), STATES as usize);
    }

    fn update_all(&mut self, keys: &[StateKey]) {
        for key in keys {
            self.tell(0, Event::Update { key: *key, pace: Pace::Lazy });
        }
        self.settle();
    }
}

fn replication(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replication");
    group.throughput(Throughput::Elements(STATES.into())).sample_size(20);
    group.bench_function("inserts", |bencher| {
        bencher.iter_batched_ref(Pair::new, Pair::insert_all, BatchSize::LargeInput);
    });
    let mut pair = Pair::new();
    pair.insert_all();
    println!("an insert costs {} bytes", pair.bytes / u64::from(STATES));
    let keys: Vec<StateKey> = pair.nodes[0].table.keys().copied().collect();
    pair.bytes = 0;
    pair.update_all(&keys);
    println!("a compressed update costs {} bytes", pair.bytes / u64::from(STATES));
    group.bench_function("compressed updates", |bencher| {
        bencher.iter(|| pair.update_all(&keys));
    });
    group.finish();
}

criterion_group!(benches, replication);
criterion_main!(benches);
