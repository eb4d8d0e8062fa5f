//! Claims about messages while the link is up.

use std::collections::BTreeSet;

use super::Cluster;
use super::watch::Watch;
use crate::{Channel, Event, PeerId, Pressure, SendError};

/// A message that says which it is: its number, then so many bytes that follow from it.
fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.extend((0..len).map(|i| (i as u32).wrapping_mul(31).wrapping_add(number) as u8));
    message
}

/// The number of a message, which must be whole.
fn number(message: &[u8]) -> u32 {
    let Some(head) = message.first_chunk() else { panic!("a message without its number") };
    let number = u32::from_le_bytes(*head);
    assert_eq!(message, numbered(number, message.len() - 4), "message {number} was altered");
    number
}

pub(super) fn messages_of_any_length_arrive_whole<C: Cluster>(mut watch: Watch<C>) {
    watch.both_up(0, 1);
    let Some(status) = watch.status(0, 1) else { panic!("the link has no status") };
    let last = Channel::Ordered(status.lanes - 1);
    for channel in [Channel::Control, Channel::Ordered(0), last] {
        for len in [0, 1, 1200, 1201, status.message_max / 2 + 1, status.message_max] {
            let message = vec![len as u8; len];
            watch.send_patiently(0, 1, channel, &message);
            assert!(watch.message(1, channel) == message, "{len} bytes on {channel:?}");
        }
    }
    for len in [0, 1, status.datagram_max] {
        let message = vec![7; len];
        datagram(&mut watch, 1, 0, &message);
    }
}

/// Sends a datagram until one arrives: it may be lost.
fn datagram<C: Cluster>(watch: &mut Watch<C>, from: usize, to: usize, message: &[u8]) {
    for i in 0..C::PATIENCE {
        if i % 50 == 0
            && let Err(error) = watch.send(from, to, Channel::Datagram, message)
        {
            panic!("a datagram of {} bytes was refused: {error}", message.len());
        }
        watch.step();
        while let Some(event) = watch.next(to) {
            let Event::Message { channel: Channel::Datagram, bytes, .. } = event else { continue };
            // An earlier one may have been sent more often than needed.
            if bytes == message {
                return;
            }
        }
    }
    panic!("no datagram of {} bytes arrived", message.len());
}

pub(super) fn what_cannot_be_sent_is_refused_by_what_is_wrong<C: Cluster>(mut watch: Watch<C>) {
    watch.both_up(0, 1);
    let Some(status) = watch.status(0, 1) else { panic!("the link has no status") };
    let long = vec![0; status.message_max + 1];
    for channel in [Channel::Control, Channel::Ordered(0)] {
        let refused = watch.send(0, 1, channel, &long);
        assert_eq!(refused, Err(SendError::TooBig { limit: status.message_max }));
    }
    let refused = watch.send(0, 1, Channel::Datagram, &long);
    let Err(SendError::TooBig { limit }) = refused else { panic!("{refused:?}") };
    assert!(limit >= status.datagram_max, "what fits a datagram only grows");
    let refused = watch.send(0, 1, Channel::Ordered(status.lanes), b"");
    assert_eq!(refused, Err(SendError::NoLane { lanes: status.lanes }));
    let stranger = watch.cluster_send(0, PeerId(4711));
    assert_eq!(stranger, Err(SendError::NoPeer));
    watch.cut(0, 1);
    watch.down(0, 1);
    assert_eq!(watch.send(0, 1, Channel::Control, b""), Err(SendError::NoLink));
    assert_eq!(watch.status(0, 1), None);
}

pub(super) fn each_ordered_channel_keeps_its_order_under_loss<C: Cluster>(mut watch: Watch<C>) {
    const EACH: u32 = 300;
    watch.both_up(0, 1);
    watch.cluster.lose(0, 1, 3);
    watch.cluster.lose(1, 0, 3);
    let channels = [Channel::Control, Channel::Ordered(0), Channel::Ordered(1)];
    for i in 0..EACH {
        for channel in channels {
            watch.send_patiently(0, 1, channel, &numbered(i, i as usize % 700));
            watch.send_patiently(1, 0, channel, &numbered(i, 10));
        }
    }
    for node in [0, 1] {
        let mut next = [0; 3];
        while next != [EACH; 3] {
            let (channel, i) = watch.wait(node, "the rest", |event| match event {
                Event::Message { channel, bytes, .. } => Some((*channel, number(bytes))),
                Event::LinkDown { reason, .. } => panic!("the link went down: {reason}"),
                _ => None,
            });
            let Some(at) = channels.iter().position(|c| *c == channel) else {
                panic!("a message on {channel:?}");
            };
            assert_eq!(i, next[at], "node {node}, {channel:?}");
            next[at] += 1;
        }
    }
}

/// Fills a channel until it refuses; the receiver must not be taking. Tells how many it took.
fn fill<C: Cluster>(watch: &mut Watch<C>, from: usize, to: usize, channel: Channel) -> u32 {
    // More than any bounded implementation takes: 2 GB.
    const ENOUGH: u32 = 1 << 21;
    let mut sent = 0;
    let mut refusals = 0;
    while refusals < 50 {
        match watch.send(from, to, channel, &numbered(sent, 1020)) {
            Ok(_) => {
                sent += 1;
                refusals = 0;
                assert!(sent < ENOUGH, "{channel:?} is not bounded");
            }
            Err(SendError::WouldBlock) => {
                // What is on its way makes room once more.
                refusals += 1;
                watch.sleep(1);
            }
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

pub(super) fn a_stalled_lane_stalls_no_other_channel<C: Cluster>(mut watch: Watch<C>) {
    watch.both_up(0, 1);
    let stalled = Channel::Ordered(0);
    let sent = fill(&mut watch, 0, 1, stalled);
    let others = [Channel::Ordered(1), Channel::Control, Channel::Datagram];
    for channel in others {
        let accepted = watch.send(0, 1, channel, &numbered(9, 0));
        assert_eq!(accepted, Ok(Pressure::Clear), "{channel:?}");
    }
    let (mut lane, mut met) = (0, BTreeSet::new());
    let mut steps = 0;
    while met.len() < others.len() {
        watch.sleep(1);
        steps += 1;
        if steps % 50 == 0 && !met.contains(&Channel::Datagram) {
            // The first may be lost.
            let _ = watch.send(0, 1, Channel::Datagram, &numbered(9, 0));
        }
        // The lane is taken from so slowly that it stays stalled.
        let Some(Event::Message { channel, bytes, .. }) = watch.next(1) else { continue };
        if channel == stalled {
            assert_eq!(number(&bytes), lane);
            lane += 1;
            assert!(lane < sent / 8, "only {met:?} came past a stalled lane");
        } else {
            assert_eq!(number(&bytes), 9);
            met.insert(channel);
        }
    }
    while lane < sent {
        assert_eq!(number(&watch.message(1, stalled)), lane);
        lane += 1;
    }
}

pub(super) fn a_sender_that_heeds_full_is_never_refused<C: Cluster>(mut watch: Watch<C>) {
    const ALL: u32 = 6000;
    watch.both_up(0, 1);
    let channel = Channel::Ordered(1);
    let peer = watch.id(0, 1);
    let (mut sent, mut filled) = (0, 0);
    while sent < ALL {
        match watch.send(0, 1, channel, &numbered(sent, 1020)) {
            Ok(Pressure::Clear) => sent += 1,
            Ok(Pressure::Full) => {
                sent += 1;
                filled += 1;
                let again = Event::Writable { peer, channel };
                watch.wait(0, "room", |event| (*event == again).then_some(()));
            }
            Err(error) => panic!("refused after {sent}, {filled} times full: {error}"),
        }
    }
    assert!(filled > 0, "the channel never filled");
    for i in 0..ALL {
        assert_eq!(number(&watch.message(1, channel)), i);
    }
}

pub(super) fn a_full_channel_refuses_at_once_and_tells_when_it_has_room<C: Cluster>(
    mut watch: Watch<C>,
) {
    watch.both_up(0, 1);
    let peer = watch.id(0, 1);
    for channel in [Channel::Control, Channel::Ordered(0)] {
        let sent = fill(&mut watch, 0, 1, channel);
        // What was told while it filled does not count.
        watch.collect(0);
        while watch.next(0).is_some() {}
        for i in 0..sent {
            assert_eq!(number(&watch.message(1, channel)), i);
        }
        let again = Event::Writable { peer, channel };
        watch.wait(0, "room", |event| (*event == again).then_some(()));
        assert_eq!(watch.send(0, 1, channel, &numbered(sent, 0)), Ok(Pressure::Clear));
        assert_eq!(number(&watch.message(1, channel)), sent);
    }
}

pub(super) fn datagrams_may_be_lost_but_arrive_whole_and_once<C: Cluster>(mut watch: Watch<C>) {
    const ALL: u32 = 1000;
    watch.both_up(0, 1);
    watch.cluster.lose(0, 1, 5);
    for i in 0..ALL {
        match watch.send(0, 1, Channel::Datagram, &numbered(i, 100)) {
            Ok(_) | Err(SendError::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
        if i % 10 == 0 {
            watch.step();
        }
    }
    watch.send_patiently(0, 1, Channel::Control, b"end");
    let mut met = BTreeSet::new();
    let mut ended = false;
    while !ended {
        let (channel, bytes) = watch.wait(1, "the end", |event| match event {
            Event::Message { channel, bytes, .. } => Some((*channel, bytes.clone())),
            Event::LinkDown { reason, .. } => panic!("the link went down: {reason}"),
            _ => None,
        });
        match channel {
            Channel::Datagram => assert!(met.insert(number(&bytes)), "one came twice"),
            Channel::Control | Channel::Ordered(_) => ended = true,
        }
    }
    assert!(met.len() as u32 > ALL / 2, "only {} of {ALL} came", met.len());
    assert!(met.iter().all(|i| *i < ALL));
}

impl<C: Cluster> Watch<C> {
    fn cluster_send(&mut self, from: usize, to: PeerId) -> Result<Pressure, SendError> {
        use crate::Transport;
        self.cluster.node(from).try_send(to, Channel::Control, b"")
    }
}
