//! What peers say: packets are admitted, and their messages heard.

use evergate_wire::Timestamp;

use crate::codec::Reader;
use crate::event::{Action, Actions, LinkState, Operation, Refusal, ResetReason};
use crate::flight::Arrivals;
use crate::message::{Class, Header, Message, VERSION, VERSION_MIN};

use super::Machine;

/// After how many packets an acknowledgement does not wait.
const UNTOLD_MAX: u64 = 64;

impl Machine {
    pub(super) fn received(
        &mut self,
        i: usize,
        class: Class,
        packet: &[u8],
        now: Timestamp,
        actions: &mut Actions,
    ) {
        let peer = &mut self.peers[i];
        if peer.link == LinkState::Down {
            return;
        }
        peer.counters.packets_in += 1;
        peer.counters.bytes_in += packet.len() as u64;
        let (header, body) = match Header::read(packet) {
            Ok(read) => read,
            Err(malformed) => return self.refuse(i, malformed.into(), now, actions),
        };
        match self.admit(i, class, &header, now) {
            Admission::Yes => {}
            Admission::Old => return,
            Admission::Gap => return self.reset(i, ResetReason::Gap, now, actions),
            Admission::Refused(refusal) => return self.refuse(i, refusal, now, actions),
        }
        let mut reader = Reader::new(body);
        while !reader.is_empty() && self.peers[i].link != LinkState::Down {
            let result = match Message::read(&mut reader) {
                Ok(Some(Message::Hello(hello))) => {
                    self.greeted(i, (class, header.session), &hello, now, actions)
                }
                Ok(Some(message)) => self.heard(i, class, message, now, actions),
                Ok(None) => {
                    self.peers[i].counters.skipped += 1;
                    Ok(())
                }
                Err(malformed) => Err(malformed.into()),
            };
            if let Err(refusal) = result {
                return self.refuse(i, refusal, now, actions);
            }
        }
        self.look_for_end(i, now, actions);
    }

    /// Whether a packet is of this link and in its place.
    fn admit(&mut self, i: usize, class: Class, header: &Header, now: Timestamp) -> Admission {
        let peer = &mut self.peers[i];
        if header.lane != class.lane() {
            return Admission::Refused(Refusal::Lane);
        }
        let Some(remote) = peer.remote else {
            // The first packet of a link says HELLO, in whatever version.
            return match class {
                Class::Control => Admission::of(&mut peer.control_in, header.seq),
                Class::Ordered(_) | Class::Datagram => Admission::Old,
            };
        };
        if header.session != remote.session {
            return Admission::Old;
        }
        if !(VERSION_MIN..=VERSION).contains(&header.version) {
            return Admission::Refused(Refusal::Version(header.version));
        }
        let admission = match class {
            Class::Control => return Admission::of(&mut peer.control_in, header.seq),
            Class::Datagram => {
                peer.datagrams_in.any(header.seq);
                Admission::Yes
            }
            Class::Ordered(lane) => match peer.lanes_in.get_mut(usize::from(lane)) {
                Some(lane) => Admission::of(&mut lane.arrivals, header.seq),
                None => return Admission::Refused(Refusal::Lane),
            },
        };
        let lanes = peer.lanes_in.iter().map(|lane| lane.arrivals.untold);
        let untold = lanes.sum::<u64>() + peer.datagrams_in.untold;
        let delay = self.config.ack_delay;
        let due = if untold >= UNTOLD_MAX { now } else { now.saturating_add(delay) };
        peer.ack_due = Some(peer.ack_due.map_or(due, |earlier| earlier.min(due)));
        admission
    }

    /// Counts what was refused. What the rest of a packet would have said is lost,
    /// so everything is asked for again.
    fn refuse(&mut self, i: usize, refusal: Refusal, now: Timestamp, actions: &mut Actions) {
        let peer = &mut self.peers[i];
        peer.counters.refused += 1;
        peer.refusals += 1;
        peer.coverage.lose();
        actions.push(Action::Refused { peer: peer.id, refusal });
        if peer.refusals >= self.config.refusals_max {
            self.reset(i, ResetReason::Misbehaved, now, actions);
        } else if peer.is_up() {
            self.ask(i, false, now, actions);
        }
    }

    fn heard(
        &mut self,
        i: usize,
        class: Class,
        message: Message,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        if self.peers[i].remote.is_none() {
            return Err(Refusal::OutOfPlace);
        }
        match (message, class) {
            (Message::Told(told), Class::Ordered(lane)) => self.told(i, lane, *told, now, actions),
            (Message::Progress(progress), Class::Ordered(_) | Class::Datagram) => {
                self.progressed(i, progress, now, actions);
            }
            (Message::Delete(delete), Class::Ordered(_)) => {
                self.peer_deleted(i, delete, now, actions);
            }
            (Message::Define(define), Class::Ordered(lane)) => {
                return self.defined(i, lane, define);
            }
            (Message::Entry(entry), Class::Ordered(_)) => {
                self.apply(i, Operation::Entry(entry), actions);
            }
            (control, Class::Control) => return self.heard_control(i, control, now, actions),
            (_, Class::Ordered(_) | Class::Datagram) => return Err(Refusal::OutOfPlace),
        }
        Ok(())
    }

    fn heard_control(
        &mut self,
        i: usize,
        message: Message,
        now: Timestamp,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        match message {
            Message::Welcome(welcome) => return self.welcomed(i, welcome, now, actions),
            Message::Ack(ack) => self.acknowledged(i, &ack, now),
            Message::InsertAck { key, id } => self.insert_acknowledged(i, (key, id), actions),
            Message::Request { key } => self.requested(i, key, now),
            Message::Gone { key } => self.peers[i].requests.close(&key),
            Message::Bulk(bulk) => self.bulk_said(i, bulk, now, actions),
            Message::Owner(floor) => self.raise_floor(floor, now, actions),
            Message::Clear(clear) => self.peer_cleared(i, clear, now, actions),
            Message::Digest(digest) => {
                let peer = &mut self.peers[i];
                let answers = peer.rounds.hear(digest, now);
                peer.say(answers, now, actions);
            }
            Message::Told(_)
            | Message::Progress(_)
            | Message::Delete(_)
            | Message::Define(_)
            | Message::Entry(_)
            | Message::Hello(_) => return Err(Refusal::OutOfPlace),
        }
        Ok(())
    }
}

/// What becomes of a packet before its messages are read.
enum Admission {
    Yes,
    /// Of an earlier link, or told already.
    Old,
    /// Packets before it are missing where none can be.
    Gap,
    Refused(Refusal),
}

impl Admission {
    fn of(arrivals: &mut Arrivals, seq: u64) -> Self {
        if arrivals.next(seq) {
            Self::Yes
        } else if seq <= arrivals.highest() {
            Self::Old
        } else {
            Self::Gap
        }
    }
}
