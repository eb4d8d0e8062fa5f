//! One peer as the machine keeps it.

use std::collections::VecDeque;

use evergate_state::StateKey;
use evergate_wire::Timestamp;

use crate::bulk::{BulkOut, Coverage};
use crate::config::Config;
use crate::counters::Counters;
use crate::event::{Actions, LinkState, PeerStatus};
use crate::flight::{Arrivals, Item};
use crate::message::{Bulk, Digest, Message, VERSION};
use crate::names::PeerNames;
use crate::outgoing::{Outgoing, Stamp};
use crate::queue::{Pending, Queue};
use crate::record::{Entry, NodeId};
use crate::request::Requests;
use crate::round::Rounds;

/// How many entries may wait for one peer.
pub(crate) const ENTRIES_MAX: usize = 65_536;
/// How many bytes may be sent to a peer that does not take them.
pub(crate) const OVERRUN_MAX: usize = 1 << 20;

/// What the peer has said of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    pub(crate) instance: u32,
    pub(crate) session: u32,
    pub(crate) version: u16,
}

/// Records that were asked of the shell.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) ticket: u32,
    pub(crate) keys: Vec<(StateKey, Pending)>,
}

/// What one ordered lane has brought.
#[derive(Debug)]
pub(crate) struct LaneIn {
    pub(crate) arrivals: Arrivals,
    pub(crate) names: PeerNames,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    pub(crate) link: LinkState,
    /// How often the link came up.
    pub(crate) session: u32,
    pub(crate) remote: Option<Remote>,
    /// The peer's run when it was last heard of.
    pub(crate) instance: u32,
    /// The peer's run for which every change is kept; 0 for none.
    pub(crate) kept_for: u32,
    pub(crate) down_since: Timestamp,
    pub(crate) queue: Queue,
    pub(crate) entries: VecDeque<(Entry, Timestamp)>,
    pub(crate) out: Outgoing,
    /// By [`LaneIn`], from 0.
    pub(crate) lanes_in: Vec<LaneIn>,
    pub(crate) control_in: Arrivals,
    pub(crate) datagrams_in: Arrivals,
    pub(crate) ack_due: Option<Timestamp>,
    pub(crate) requests: Requests,
    pub(crate) fetch: Option<Fetch>,
    /// The ticket of a page that was asked of the shell, and whether for a bulk.
    pub(crate) page: Option<(u32, bool)>,
    pub(crate) bulk: Option<BulkOut>,
    pub(crate) coverage: Coverage,
    pub(crate) rounds: Rounds,
    /// Since when something is to be sent at once.
    pub(crate) kick: Option<Timestamp>,
    pub(crate) refusals: u32,
    pub(crate) status: PeerStatus,
    pub(crate) counters: Counters,
    ticket: u32,
}

impl Peer {
    pub(crate) fn new(id: NodeId, config: &Config) -> Self {
        let seed = config.seed ^ u64::from(id.0);
        Self {
            id,
            link: LinkState::Down,
            session: 0,
            remote: None,
            instance: 0,
            kept_for: 0,
            down_since: Timestamp::ZERO,
            queue: Queue::new(config.lanes(), seed),
            entries: VecDeque::new(),
            out: Outgoing::new(config.lanes(), config.datagram_max),
            lanes_in: Vec::new(),
            control_in: Arrivals::default(),
            datagrams_in: Arrivals::default(),
            ack_due: None,
            requests: Requests::new(seed),
            fetch: None,
            page: None,
            bulk: None,
            coverage: Coverage::new(),
            rounds: Rounds::new(config.node < id),
            kick: None,
            refusals: 0,
            status: PeerStatus::default(),
            counters: Counters::default(),
            ticket: 0,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.link, LinkState::Up)
    }

    pub(crate) const fn next_ticket(&mut self) -> u32 {
        self.ticket = self.ticket.wrapping_add(1);
        self.ticket
    }

    pub(crate) fn stamp(&self, now: Timestamp) -> Stamp {
        let version = self.remote.map_or(VERSION, |remote| remote.version);
        Stamp { peer: self.id, version, session: self.session, now }
    }

    /// Something is to be sent as soon as all that has happened was told.
    pub(crate) fn kick(&mut self, now: Timestamp) {
        self.kick.get_or_insert(now);
    }

    /// Begins a new link: nothing of the old one counts any more.
    pub(crate) fn begin_link(&mut self, config: &Config, now: Timestamp) {
        self.session = self.session.wrapping_add(1);
        self.link = LinkState::Greeting;
        self.remote = None;
        self.out = Outgoing::new(config.lanes(), config.datagram_max);
        self.lanes_in.clear();
        self.control_in = Arrivals::default();
        self.datagrams_in = Arrivals::default();
        self.requests = Requests::new(config.seed ^ u64::from(self.id.0));
        self.rounds.restart(now.saturating_add(config.digest_interval));
        self.refusals = 0;
    }

    /// Ends the link: what may not have arrived waits again.
    pub(crate) fn end_link(&mut self, now: Timestamp) {
        let lanes = self.out.lanes.iter_mut().chain([&mut self.out.datagram]);
        let mut lost = Vec::new();
        for lane in lanes {
            lost.extend(lane.flights.overdue(now));
        }
        self.lost(lost, now);
        if let Some(fetch) = self.fetch.take() {
            for (key, pending) in fetch.keys {
                self.queue.push(key, pending, now);
            }
        }
        self.link = LinkState::Down;
        self.down_since = now;
        self.remote = None;
        self.page = None;
        self.ack_due = None;
        self.kick = None;
        self.rounds.walks.clear();
    }

    /// What was lost on the way is to be told again, as it is now.
    pub(crate) fn lost(&mut self, items: Vec<Item>, now: Timestamp) {
        // Backwards, so that entries at the front keep their order.
        for item in items.into_iter().rev() {
            self.counters.lost += 1;
            match item {
                Item::State { key, bulk } => {
                    if bulk && let Some(out) = &mut self.bulk {
                        out.count = out.count.saturating_sub(1);
                    }
                    // A removal may have been lost too.
                    let wish = Pending { owes_delete: true, ..Pending::FULL };
                    self.queue.push(key, wish, now);
                    self.kick(now);
                }
                Item::Entry(entry) => {
                    let (entry, since) = *entry;
                    self.entries.push_front((entry, since));
                    self.kick(now);
                }
            }
        }
    }

    /// Lets a changed state wait for this peer, if changes are kept for it.
    pub(crate) fn push(
        &mut self,
        config: &Config,
        key: StateKey,
        wish: Pending,
        due: Timestamp,
        now: Timestamp,
    ) {
        if self.kept_for == 0 {
            return;
        }
        self.queue.push(key, wish, due);
        if wish.track == crate::queue::Track::Urgent {
            self.kick(now);
        }
        if self.queue.len() > config.queue_max {
            self.lose(now);
        }
    }

    /// Gives up what waits: the peer must ask for everything.
    pub(crate) fn lose(&mut self, now: Timestamp) {
        self.queue.clear();
        self.entries.clear();
        self.bulk = None;
        self.counters.overflows += 1;
        if self.link != LinkState::Down {
            // Our HELLO may have promised otherwise.
            self.out.control.queue(&Message::Bulk(Bulk::Lost));
            self.kick(now);
        } else {
            self.kept_for = 0;
        }
    }

    /// Says what comparing tables calls for.
    pub(crate) fn say(&mut self, said: Vec<Digest>, now: Timestamp, actions: &mut Actions) {
        let stamp = self.stamp(now);
        for digest in said {
            if let Digest::Exchange { leaves, .. } = &digest {
                self.counters.ranges_exchanged += leaves.len() as u64;
            }
            self.out.control.message(&stamp, actions, &Message::Digest(digest));
        }
    }

    pub(crate) fn current_status(&self) -> PeerStatus {
        PeerStatus {
            link: self.link,
            coverage_permille: self.coverage.permille(),
            in_sync: self.is_up() && self.coverage.is_complete(),
        }
    }
}
