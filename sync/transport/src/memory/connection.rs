//! One modelled connection: what is under way in it, and how far each end is.

use std::collections::{BTreeMap, VecDeque};

use evergate_wire::Timestamp;

use crate::Channel;
use crate::inbox::LinkNumber;

/// Which end of a connection: who dialled, or who was dialled.
pub(super) type Side = usize;

/// How far an end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Coming,
    Up(LinkNumber),
    Down,
}

/// A message of an ordered channel on its way.
#[derive(Debug)]
pub(super) struct Passage {
    /// When the copy that arrives leaves the sender.
    pub(super) departure: Timestamp,
    pub(super) arrival: Timestamp,
    pub(super) bytes: Vec<u8>,
}

/// One direction of one channel.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) under_way: VecDeque<Passage>,
    /// Bytes of all that is under way; of datagrams, which are not kept here, too.
    pub(super) bytes: usize,
    /// The sender was told that it is full.
    pub(super) full: bool,
    /// The receiver had no room for the next.
    pub(super) held: bool,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) incarnation: u64,
    pub(super) stage: Stage,
    /// What this end sends.
    pub(super) outgoing: BTreeMap<Channel, Outgoing>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [End; 2],
}

impl Connection {
    pub(super) fn new(nodes: [usize; 2], incarnations: [u64; 2]) -> Self {
        let end = |side: Side| End {
            node: nodes[side],
            incarnation: incarnations[side],
            stage: Stage::Coming,
            outgoing: BTreeMap::new(),
        };
        Self { ends: [end(0), end(1)] }
    }

    /// The side at which `node` is.
    pub(super) fn side(&self, node: usize) -> Side {
        usize::from(self.ends[0].node != node)
    }

    /// Drops from a direction what had not left its sender by `now`: an ordered channel loses
    /// all that comes after a loss too.
    pub(super) fn sender_is_gone(&mut self, side: Side, now: Timestamp) {
        for outgoing in self.ends[side].outgoing.values_mut() {
            let left = outgoing.under_way.iter().take_while(|p| p.departure <= now).count();
            outgoing.under_way.truncate(left);
        }
    }
}
