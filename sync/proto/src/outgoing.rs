//! The ways out to one peer: packets are filled, numbered and remembered until
//! they are acknowledged.

use evergate_wire::Timestamp;

use crate::config::STREAM_PACKET_MAX;
use crate::event::{Action, Actions};
use crate::flight::{Flights, Item};
use crate::message::{Class, HEADER_LEN, Header, Message};
use crate::names::Defined;
use crate::record::NodeId;

/// What all packets of a link have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) peer: NodeId,
    pub(crate) version: u16,
    pub(crate) session: u32,
    pub(crate) now: Timestamp,
}

/// One way out.
#[derive(Debug)]
pub(crate) struct LaneOut {
    class: Class,
    max: usize,
    seq: u64,
    pub(crate) writable: bool,
    /// Bytes sent since it stopped being writable.
    pub(crate) overrun: usize,
    pub(crate) defined: Defined,
    pub(crate) flights: Flights,
    /// The packet that is being filled.
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl LaneOut {
    pub(crate) fn new(class: Class, max: usize) -> Self {
        Self {
            class,
            max: max.min(STREAM_PACKET_MAX),
            seq: 0,
            writable: true,
            overrun: 0,
            defined: Defined::default(),
            flights: Flights::default(),
            bytes: Vec::new(),
            items: Vec::new(),
        }
    }

    /// The number of the last packet.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// Adds what `write` appends, as one, to the packet or to the next one.
    pub(crate) fn add(
        &mut self,
        stamp: &Stamp,
        actions: &mut Actions,
        item: Option<Item>,
        write: impl FnOnce(&mut Vec<u8>, &mut Defined),
    ) {
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER_LEN, 0);
        }
        let before = self.bytes.len();
        write(&mut self.bytes, &mut self.defined);
        if self.bytes.len() > self.max && before > HEADER_LEN {
            let tail = self.bytes.split_off(before);
            self.flush(stamp, actions);
            self.bytes.resize(HEADER_LEN, 0);
            self.bytes.extend_from_slice(&tail);
        }
        self.items.extend(item);
    }

    /// Adds a small message without a chance to send: for messages that are rare.
    pub(crate) fn queue(&mut self, message: &Message) {
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER_LEN, 0);
        }
        message.write(&mut self.bytes);
    }

    /// Adds a message.
    pub(crate) fn message(&mut self, stamp: &Stamp, actions: &mut Actions, message: &Message) {
        self.add(stamp, actions, None, |out, _| message.write(out));
    }

    /// Sends the packet, if anything is in it.
    pub(crate) fn flush(&mut self, stamp: &Stamp, actions: &mut Actions) {
        if self.bytes.is_empty() {
            return;
        }
        let capacity = self.bytes.len();
        let mut packet = std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity));
        self.seq += 1;
        if !self.writable {
            self.overrun += packet.len();
        }
        let header = Header {
            // A message is far smaller than the difference to 64 KiB.
            len: packet.len() as u16,
            version: stamp.version,
            lane: self.class.lane(),
            session: stamp.session,
            seq: self.seq,
        };
        header.write(&mut packet);
        if !self.items.is_empty() {
            self.flights.sent(self.seq, stamp.now, std::mem::take(&mut self.items));
        }
        actions.push(Action::Send { peer: stamp.peer, class: self.class, packet });
    }
}

/// All ways out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) control: LaneOut,
    pub(crate) lanes: Vec<LaneOut>,
    pub(crate) datagram: LaneOut,
}

impl Outgoing {
    pub(crate) fn new(lanes: u8, datagram_max: usize) -> Self {
        let lane = |lane| LaneOut::new(Class::Ordered(lane), STREAM_PACKET_MAX);
        Self {
            control: LaneOut::new(Class::Control, STREAM_PACKET_MAX),
            lanes: (0..lanes).map(lane).collect(),
            datagram: LaneOut::new(Class::Datagram, datagram_max),
        }
    }

    pub(crate) fn lane(&mut self, class: Class) -> Option<&mut LaneOut> {
        match class {
            Class::Control => Some(&mut self.control),
            Class::Ordered(lane) => self.lanes.get_mut(usize::from(lane)),
            Class::Datagram => Some(&mut self.datagram),
        }
    }

    pub(crate) fn flush(&mut self, stamp: &Stamp, actions: &mut Actions) {
        // The control stream last: it tells about the others.
        for lane in self.lanes.iter_mut().chain([&mut self.datagram]) {
            lane.flush(stamp, actions);
        }
        self.control.flush(stamp, actions);
    }

    /// Bytes that were sent to congested lanes.
    pub(crate) fn overrun(&self) -> usize {
        let lanes = self.lanes.iter().chain([&self.datagram, &self.control]);
        lanes.map(|lane| lane.overrun).sum()
    }

    /// How many records are on their way.
    pub(crate) fn unacked(&self) -> usize {
        let lanes = self.lanes.iter().chain([&self.datagram]);
        lanes.map(|lane| lane.flights.items()).sum()
    }
}
