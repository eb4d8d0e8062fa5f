//! What the user's thread and the transport's share.
//!
//! Locks are held for a copy, never across a wait; the order is `links`, then `inbox`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evergate_sync_transport::inbox::{Inbox, InboxLimits, Introduction, LinkNumber, Taken};
use evergate_sync_transport::{
    Channel, DownReason, Event, Fingerprint, LinkStatus, Peer, PeerId, RefusedReason,
};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::config::PeerConfig;
use crate::key::NodeKey;
use crate::outbox::Outbox;

/// Refusals that are told in a second; the rest is counted.
const REFUSALS_PER_SECOND: u32 = 4;

type Waker = Box<dyn Fn() + Send + Sync>;

/// The one thing both threads hold.
#[derive(Default)]
pub(crate) struct Shared {
    inbox: Mutex<InboxState>,
    arrived: Condvar,
    waker: Mutex<Option<Waker>>,
    links: Mutex<BTreeMap<PeerId, Arc<LinkShared>>>,
    pub(crate) requests: Mutex<Requests>,
    pub(crate) requested: Notify,
    pub(crate) peers: Mutex<Vec<Peer>>,
}

struct InboxState {
    inbox: Inbox,
    /// Something has arrived since the inbox was last found empty.
    pending: bool,
    refusals: Refusals,
}

/// What the user wants of the transport's thread; asking twice is asking once.
#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) disconnect: BTreeSet<PeerId>,
    pub(crate) reload: Option<Reload>,
    pub(crate) stop: bool,
}

/// New keys and peers.
pub(crate) struct Reload {
    pub(crate) key: Option<NodeKey>,
    pub(crate) peers: Vec<(PeerId, PeerConfig)>,
}

/// One link, as both threads see it.
#[derive(Debug)]
pub(crate) struct LinkShared {
    pub(crate) peer: PeerId,
    pub(crate) number: LinkNumber,
    pub(crate) lanes: u8,
    pub(crate) message_max: usize,
    pub(crate) outbox: Outbox,
    /// Signals that a channel's reader may go on: the control stream, then the lanes.
    relief: Vec<Notify>,
    pub(crate) rtt_nanos: AtomicU64,
    pub(crate) datagram_max: AtomicUsize,
    pub(crate) datagrams_dropped: AtomicU64,
}

/// How many refusals may still be told in this second.
#[derive(Debug)]
struct Refusals {
    second: Option<Instant>,
    told: u32,
    untold: u64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for InboxState {
    fn default() -> Self {
        Self {
            inbox: Inbox::new(InboxLimits::default()),
            pending: false,
            refusals: Refusals { second: None, told: 0, untold: 0 },
        }
    }
}

impl LinkShared {
    fn relief(&self, channel: Channel) -> Option<&Notify> {
        match channel {
            Channel::Control => self.relief.first(),
            Channel::Ordered(lane) => self.relief.get(usize::from(lane) + 1),
            Channel::Datagram => None,
        }
    }

    fn status(&self) -> LinkStatus {
        LinkStatus {
            rtt: Duration::from_nanos(self.rtt_nanos.load(Ordering::Relaxed)),
            lanes: self.lanes,
            datagram_max: self.datagram_max.load(Ordering::Relaxed),
            message_max: self.message_max,
            queued: self.outbox.queued(),
            datagrams_dropped: self.datagrams_dropped.load(Ordering::Relaxed),
        }
    }
}

/// What a link that comes up has.
pub(crate) struct NewLink {
    pub(crate) introduction: Introduction,
    pub(crate) message_max: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) datagram_max: usize,
    pub(crate) rtt: Duration,
}

impl Shared {
    pub(crate) fn new(limits: InboxLimits) -> Self {
        let inbox = InboxState { inbox: Inbox::new(limits), ..InboxState::default() };
        Self { inbox: Mutex::new(inbox), ..Self::default() }
    }

    pub(crate) fn link(&self, peer: PeerId) -> Option<Arc<LinkShared>> {
        lock(&self.links).get(&peer).cloned()
    }

    pub(crate) fn status(&self, peer: PeerId) -> Option<LinkStatus> {
        self.link(peer).map(|link| link.status())
    }

    pub(crate) fn up(&self, peer: PeerId, new: NewLink) -> Arc<LinkShared> {
        let lanes = new.introduction.lanes;
        let (name, incarnation) = (new.introduction.name.clone(), new.introduction.incarnation);
        let mut links = lock(&self.links);
        let mut state = lock(&self.inbox);
        let number = state.inbox.up(peer, new.introduction);
        let link = Arc::new(LinkShared {
            peer,
            number,
            lanes,
            message_max: new.message_max,
            outbox: Outbox::new(lanes, new.queue_bytes),
            relief: (0..=lanes).map(|_| Notify::new()).collect(),
            rtt_nanos: AtomicU64::new(new.rtt.as_nanos() as u64),
            datagram_max: AtomicUsize::new(new.datagram_max),
            datagrams_dropped: AtomicU64::new(0),
        });
        links.insert(peer, Arc::clone(&link));
        drop(links);
        info!(peer = %name, incarnation, lanes, "link up");
        self.wake(state);
        link
    }

    /// Notes that a link is down, if it was not yet.
    pub(crate) fn down(&self, peer: PeerId, number: LinkNumber, reason: DownReason) {
        let mut links = lock(&self.links);
        if links.get(&peer).is_some_and(|link| link.number == number) {
            links.remove(&peer);
            info!(peer = peer.0, %reason, "link down");
        }
        let mut state = lock(&self.inbox);
        state.inbox.down(peer, number, reason);
        drop(links);
        self.wake(state);
    }

    /// Hands up messages until one has no room; tells whether all had.
    pub(crate) fn deliver(
        &self,
        link: &LinkShared,
        channel: Channel,
        messages: &mut VecDeque<Vec<u8>>,
    ) -> bool {
        let mut state = lock(&self.inbox);
        while let Some(message) = messages.pop_front() {
            if let Err(message) = state.inbox.push(link.peer, link.number, channel, message) {
                messages.push_front(message);
                break;
            }
        }
        self.wake(state);
        messages.is_empty()
    }

    /// Waits until a channel whose messages had no room has some.
    pub(crate) async fn relieved(&self, link: &LinkShared, channel: Channel) {
        if let Some(relief) = link.relief(channel) {
            relief.notified().await;
        }
    }

    pub(crate) fn writable(&self, link: &LinkShared, channel: Channel) {
        let mut state = lock(&self.inbox);
        state.inbox.writable(link.peer, link.number, channel);
        self.wake(state);
    }

    pub(crate) fn refused(
        &self,
        address: Option<SocketAddr>,
        fingerprint: Option<Fingerprint>,
        reason: RefusedReason,
    ) {
        let mut state = lock(&self.inbox);
        let Some(untold) = state.refusals.admit(Instant::now()) else { return };
        warn!(?address, ?fingerprint, untold, %reason, "refused");
        state.inbox.refused(Event::Refused { address, fingerprint, reason, untold });
        self.wake(state);
    }

    /// Takes the next event.
    pub(crate) fn take(&self) -> Option<Event> {
        let mut state = lock(&self.inbox);
        let taken = state.inbox.take();
        let Some(Taken { event, relieved }) = taken else {
            state.pending = false;
            return None;
        };
        drop(state);
        if let (Some((number, channel)), Event::Message { peer, .. }) = (relieved, &event)
            && let Some(link) = self.link(*peer)
            && link.number == number
            && let Some(relief) = link.relief(channel)
        {
            relief.notify_one();
        }
        Some(event)
    }

    /// Waits until there is something to take; tells whether there is.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let state = lock(&self.inbox);
        let waited = self.arrived.wait_timeout_while(state, timeout, |s| s.inbox.is_empty());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.inbox.is_empty()
    }

    pub(crate) fn set_waker(&self, waker: Waker) {
        *lock(&self.waker) = Some(waker);
    }

    pub(crate) fn request(&self, ask: impl FnOnce(&mut Requests)) {
        ask(&mut lock(&self.requests));
        self.requested.notify_one();
    }

    /// Lets go of the inbox and wakes who waits for it, once until all is taken.
    fn wake(&self, mut state: MutexGuard<'_, InboxState>) {
        if state.inbox.is_empty() || std::mem::replace(&mut state.pending, true) {
            return;
        }
        drop(state);
        self.arrived.notify_all();
        if let Some(waker) = &*lock(&self.waker) {
            waker();
        }
    }
}

impl Refusals {
    /// Lets one be told, with the number of those that were not, or counts it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let fresh = self.second.is_none_or(|s| now.duration_since(s) >= Duration::from_secs(1));
        if fresh {
            self.second = Some(now);
            self.told = 0;
        }
        if self.told >= REFUSALS_PER_SECOND {
            self.untold += 1;
            debug!(untold = self.untold, "refused, one of many");
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_at_a_bounded_rate_and_none_is_forgotten() {
        let mut refusals = Refusals { second: None, told: 0, untold: 0 };
        let start = Instant::now();
        let told = (0..100).filter(|_| refusals.admit(start).is_some()).count();
        assert_eq!(told, 4);
        assert_eq!(refusals.admit(start + Duration::from_millis(999)), None);
        assert_eq!(refusals.admit(start + Duration::from_secs(1)), Some(97));
        assert_eq!(refusals.admit(start + Duration::from_secs(1)), Some(0));
    }
}
