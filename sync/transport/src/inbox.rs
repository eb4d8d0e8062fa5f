//! What has arrived and was not taken yet, per link and channel, within bounds.
//!
//! A link's events stay in order around it: first that it is up, then its messages, then
//! that it is down. A peer has at most two links in here: one that is down and whose rest is
//! not taken yet, and the one after it.

use std::collections::{BTreeMap, VecDeque};

use crate::{Channel, DownReason, Event, Fingerprint, PeerId, PeerName};

/// Refusals that wait to be told; more are counted, not kept.
const REFUSED_MAX: usize = 16;

/// How much of one channel of one link may wait to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes; one message is taken in whatever its length when nothing else waits.
    pub bytes: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self { messages: 4096, bytes: 1 << 20 }
    }
}

/// One link's number; later links have higher ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkNumber(u64);

/// What an [`Event::LinkUp`] tells.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The name the peer proved to have.
    pub name: PeerName,
    /// The key it proved that with.
    pub fingerprint: Fingerprint,
    /// The peer's incarnation.
    pub incarnation: u64,
    /// Lanes that both sides have.
    pub lanes: u8,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The sender was told to wait.
    held: bool,
}

impl Queue {
    fn room(&self, limits: InboxLimits) -> bool {
        self.messages.is_empty()
            || self.messages.len() < limits.messages && self.bytes < limits.bytes
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

#[derive(Debug)]
struct Link {
    number: LinkNumber,
    up: Option<Event>,
    writable: VecDeque<Channel>,
    control: Queue,
    datagrams: Queue,
    lanes: Vec<Queue>,
    /// The lane whose turn it is.
    turn: usize,
    down: Option<DownReason>,
}

/// The events of one node that were not taken yet.
#[derive(Debug)]
pub struct Inbox {
    limits: InboxLimits,
    links: BTreeMap<PeerId, VecDeque<Link>>,
    refused: VecDeque<Event>,
    untold: u64,
    next: u64,
    /// The peer whose turn it is, for each class of events.
    turns: [u16; 4],
}

/// An event that was taken.
#[derive(Debug)]
pub struct Taken {
    /// The event.
    pub event: Event,
    /// The channel of this link, if it was held back and has room again.
    pub relieved: Option<(LinkNumber, Channel)>,
}

/// The classes of events, in the order in which they are taken.
#[derive(Clone, Copy)]
enum Class {
    Link,
    Control,
    Datagrams,
    Lanes,
}

impl Inbox {
    /// An empty inbox.
    #[must_use]
    pub fn new(limits: InboxLimits) -> Self {
        Self {
            limits,
            links: BTreeMap::new(),
            refused: VecDeque::new(),
            untold: 0,
            next: 0,
            turns: [0; 4],
        }
    }

    /// Notes that a link is up; one that was up before is down by [`DownReason::Replaced`].
    pub fn up(&mut self, peer: PeerId, introduction: Introduction) -> LinkNumber {
        if let Some(number) = self.current(peer) {
            self.down(peer, number, DownReason::Replaced);
        }
        let links = self.links.entry(peer).or_default();
        // All that are left are down; nobody heard of those behind the first.
        links.truncate(1);
        self.next += 1;
        let number = LinkNumber(self.next);
        let Introduction { name, fingerprint, incarnation, lanes } = introduction;
        links.push_back(Link {
            number,
            up: Some(Event::LinkUp { peer, name, fingerprint, incarnation, lanes }),
            writable: VecDeque::new(),
            control: Queue::default(),
            datagrams: Queue::default(),
            lanes: (0..lanes).map(|_| Queue::default()).collect(),
            turn: 0,
            down: None,
        });
        number
    }

    /// Notes that a link is down; does nothing if it is or never was.
    pub fn down(&mut self, peer: PeerId, number: LinkNumber, reason: DownReason) {
        let Some(link) = self.link_mut(peer, number) else { return };
        link.down = Some(reason);
        link.writable.clear();
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// Gives the message back when there is no room for it. The channel is then held, and
    /// [`Taken::relieved`] tells when to try again. A message of a link that is gone is
    /// dropped.
    pub fn push(
        &mut self,
        peer: PeerId,
        number: LinkNumber,
        channel: Channel,
        message: Vec<u8>,
    ) -> Result<(), Vec<u8>> {
        let limits = self.limits;
        let Some(link) = self.link_mut(peer, number) else { return Ok(()) };
        let Some(queue) = link.queue(channel) else { return Ok(()) };
        if !queue.room(limits) {
            queue.held = true;
            return Err(message);
        }
        queue.bytes += message.len();
        queue.messages.push_back(message);
        Ok(())
    }

    /// Notes that a channel to the peer has room again.
    pub fn writable(&mut self, peer: PeerId, number: LinkNumber, channel: Channel) {
        let Some(link) = self.link_mut(peer, number) else { return };
        if !link.writable.contains(&channel) {
            link.writable.push_back(channel);
        }
    }

    /// Notes a refusal, an [`Event::Refused`]; its count of untold ones is filled in.
    pub fn refused(&mut self, mut event: Event) {
        if self.refused.len() >= REFUSED_MAX {
            self.untold += 1;
            return;
        }
        if let Event::Refused { untold, .. } = &mut event {
            *untold += std::mem::take(&mut self.untold);
        }
        self.refused.push_back(event);
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<Taken> {
        for class in [Class::Link, Class::Control, Class::Datagrams, Class::Lanes] {
            if let Some(taken) = self.take_of(class) {
                return Some(taken);
            }
        }
        self.refused.pop_front().map(|event| Taken { event, relieved: None })
    }

    /// Tells whether there is nothing to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.links.values().flatten().all(|link| !link.has_event())
    }

    fn take_of(&mut self, class: Class) -> Option<Taken> {
        let limits = self.limits;
        let start = PeerId(self.turns[class as usize]);
        let order: [_; 2] = [(start, PeerId(u16::MAX)), (PeerId(0), start)];
        for (from, to) in order {
            for (&peer, links) in self.links.range_mut(from..=to) {
                let Some(link) = links.front_mut() else { continue };
                let Some(taken) = link.take_of(peer, class, limits) else { continue };
                if matches!(taken.event, Event::LinkDown { .. }) {
                    links.pop_front();
                }
                self.turns[class as usize] = peer.0.wrapping_add(1);
                return Some(taken);
            }
        }
        None
    }

    fn current(&self, peer: PeerId) -> Option<LinkNumber> {
        let link = self.links.get(&peer)?.back()?;
        link.down.is_none().then_some(link.number)
    }

    fn link_mut(&mut self, peer: PeerId, number: LinkNumber) -> Option<&mut Link> {
        let link = self.links.get_mut(&peer)?.back_mut()?;
        (link.number == number && link.down.is_none()).then_some(link)
    }
}

impl Link {
    fn queue(&mut self, channel: Channel) -> Option<&mut Queue> {
        match channel {
            Channel::Control => Some(&mut self.control),
            Channel::Ordered(lane) => self.lanes.get_mut(usize::from(lane)),
            Channel::Datagram => Some(&mut self.datagrams),
        }
    }

    fn has_message(&self) -> bool {
        let lanes = self.lanes.iter();
        lanes.chain([&self.control, &self.datagrams]).any(|queue| !queue.messages.is_empty())
    }

    fn has_event(&self) -> bool {
        self.up.is_some() || !self.writable.is_empty() || self.down.is_some() || self.has_message()
    }

    fn take_of(&mut self, peer: PeerId, class: Class, limits: InboxLimits) -> Option<Taken> {
        match class {
            Class::Link => self.take_link(peer),
            Class::Control => self.take_message(peer, Channel::Control, limits),
            Class::Datagrams => self.take_message(peer, Channel::Datagram, limits),
            Class::Lanes => {
                let count = self.lanes.len();
                let lane = (0..count)
                    .map(|offset| (self.turn + offset) % count)
                    .find(|&lane| !self.lanes[lane].messages.is_empty())?;
                self.turn = lane + 1;
                self.take_message(peer, Channel::Ordered(lane as u8), limits)
            }
        }
    }

    fn take_link(&mut self, peer: PeerId) -> Option<Taken> {
        let event = if let Some(up) = self.up.take() {
            up
        } else if let Some(channel) = self.writable.pop_front() {
            Event::Writable { peer, channel }
        } else if self.has_message() {
            return None;
        } else {
            Event::LinkDown { peer, reason: self.down.clone()? }
        };
        Some(Taken { event, relieved: None })
    }

    fn take_message(
        &mut self,
        peer: PeerId,
        channel: Channel,
        limits: InboxLimits,
    ) -> Option<Taken> {
        let number = self.number;
        let queue = self.queue(channel)?;
        let bytes = queue.pop()?;
        let low = queue.messages.len() <= limits.messages / 2 && queue.bytes <= limits.bytes / 2;
        let relieved = queue.held && low;
        if relieved {
            queue.held = false;
        }
        let relieved = relieved.then_some((number, channel));
        Some(Taken { event: Event::Message { peer, channel, bytes }, relieved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId(3);

    fn introduction() -> Introduction {
        Introduction {
            name: PeerName::new("b").expect("legal"),
            fingerprint: Fingerprint::from_bytes([1; 32]),
            incarnation: 9,
            lanes: 2,
        }
    }

    fn events(inbox: &mut Inbox) -> Vec<Event> {
        std::iter::from_fn(|| inbox.take().map(|taken| taken.event)).collect()
    }

    fn is_up(event: &Event) -> bool {
        matches!(event, Event::LinkUp { .. })
    }

    #[test]
    fn control_comes_before_datagrams_and_lanes_take_turns() {
        let mut inbox = Inbox::new(InboxLimits::default());
        let link = inbox.up(PEER, introduction());
        let order = [
            (Channel::Ordered(0), 1),
            (Channel::Ordered(0), 2),
            (Channel::Ordered(1), 3),
            (Channel::Datagram, 4),
            (Channel::Control, 5),
        ];
        for (channel, byte) in order {
            inbox.push(PEER, link, channel, vec![byte]).expect("room");
        }
        let taken = events(&mut inbox);
        assert!(is_up(&taken[0]));
        let bytes: Vec<u8> = taken[1..]
            .iter()
            .map(|event| {
                let Event::Message { bytes, .. } = event else { panic!("{event:?}") };
                bytes[0]
            })
            .collect();
        assert_eq!(bytes, [5, 4, 1, 3, 2]);
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_links_rest_comes_before_its_end_and_that_before_the_next_link() {
        let mut inbox = Inbox::new(InboxLimits::default());
        let first = inbox.up(PEER, introduction());
        assert!(is_up(&inbox.take().expect("up").event));
        inbox.push(PEER, first, Channel::Control, vec![1]).expect("room");
        inbox.down(PEER, first, DownReason::Gone);
        inbox.push(PEER, first, Channel::Control, vec![2]).expect("dropped");
        // A link that came and went meanwhile is not told at all.
        let second = inbox.up(PEER, introduction());
        inbox.down(PEER, second, DownReason::Gone);
        let third = inbox.up(PEER, introduction());
        inbox.push(PEER, third, Channel::Control, vec![3]).expect("room");
        let taken = events(&mut inbox);
        assert_eq!(taken.len(), 4, "{taken:?}");
        assert!(matches!(&taken[0], Event::Message { bytes, .. } if bytes == &[1]));
        assert_eq!(taken[1], Event::LinkDown { peer: PEER, reason: DownReason::Gone });
        assert!(is_up(&taken[2]));
        assert!(matches!(&taken[3], Event::Message { bytes, .. } if bytes == &[3]));
    }

    #[test]
    fn a_full_channel_holds_only_itself_and_is_relieved_at_half() {
        let mut inbox = Inbox::new(InboxLimits { messages: 4, bytes: 100 });
        let link = inbox.up(PEER, introduction());
        inbox.take().expect("up");
        let lane = Channel::Ordered(0);
        for byte in 0..4 {
            inbox.push(PEER, link, lane, vec![byte]).expect("room");
        }
        assert_eq!(inbox.push(PEER, link, lane, vec![9]), Err(vec![9]));
        inbox.push(PEER, link, Channel::Ordered(1), vec![0; 200]).expect("one always fits");
        assert!(inbox.push(PEER, link, Channel::Ordered(1), vec![0]).is_err());
        let relieved: Vec<_> =
            std::iter::from_fn(|| inbox.take()).map(|taken| taken.relieved).collect();
        let at = |channel| Some((link, channel));
        assert_eq!(relieved, [None, at(Channel::Ordered(1)), at(lane), None, None]);
    }

    #[test]
    fn refusals_are_bounded_and_counted() {
        let mut inbox = Inbox::new(InboxLimits::default());
        let refusal = || Event::Refused {
            address: None,
            fingerprint: None,
            reason: crate::RefusedReason::UnknownKey,
            untold: 0,
        };
        for _ in 0..100 {
            inbox.refused(refusal());
        }
        assert_eq!(events(&mut inbox).len(), REFUSED_MAX);
        inbox.refused(refusal());
        let last = inbox.take().expect("refusal").event;
        assert!(matches!(last, Event::Refused { untold: 84, .. }), "{last:?}");
    }
}
