//! The vhosts of a gateway in their groups, under one ledger.

use std::collections::BTreeSet;
use std::fmt;

use evergate_carp::{
    Action as CarpAction, ConfigError, Deadline, DemoteReason, Event as CarpEvent, Group,
    GroupAction, GroupEvent, Heard, Outgoing, Reason, State, Vhid, Vhost,
};
use evergate_wire::{Addr, Timestamp};

use crate::{DemotionReason, Ledger};

/// A vhost's place among those of its gateway, from 0. Vhids alone may repeat: they are unique
/// on a segment only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VhostId(pub u16);

/// A vhost and the group it moves with.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name of the group.
    pub group: String,
    /// The vhost.
    pub vhost: Vhost,
}

/// Vhosts that cannot be those of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// Two vhosts of one group have the same vhid.
    SameVhid {
        /// The group.
        group: String,
        /// The vhid.
        vhid: Vhid,
    },
    /// More vhosts than can be numbered.
    TooMany,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameVhid { group, vhid } => {
                write!(f, "group {group:?} has vhid {vhid} twice")
            }
            Self::TooMany => f.write_str("too many vhosts"),
        }
    }
}

impl std::error::Error for NodeError {}

/// What happens to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its vhosts shall take part in elections.
    Start,
    /// They shall not any more; MASTERs bow out.
    Stop,
    /// The link of a vhost's interface is up, or it is down or gone.
    Link {
        /// The vhost.
        vhost: VhostId,
        /// Whether it is up.
        up: bool,
    },
    /// The source address of a vhost's adverts in the address's family.
    Source {
        /// The vhost.
        vhost: VhostId,
        /// The address.
        source: Addr,
    },
    /// An advert arrived that the vhost's endpoint opened.
    Heard {
        /// The vhost.
        vhost: VhostId,
        /// The advert.
        heard: Heard,
    },
    /// A deadline may be due.
    Timer {
        /// Whether every advert received before was handed over. If not, silence proves nothing
        /// and only MASTERs are told the time.
        drained: bool,
    },
    /// Whether an advert could be sent.
    Sent {
        /// The vhost.
        vhost: VhostId,
        /// Whether it could.
        ok: bool,
    },
    /// Something demotes the gateway from now on, by this much.
    Hold(DemotionReason, u16),
    /// It does not any more.
    Release(DemotionReason),
    /// The operator wants another gateway to be MASTER of everything.
    Failover,
    /// The gateway may preempt again after a failover.
    Reclaim,
}

/// What a gateway wants done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have the addresses of a vhost.
    Own(VhostId),
    /// Have them no longer.
    Disown(VhostId),
    /// Seal and send an advert, then tell [`Event::Sent`].
    Send(VhostId, Outgoing),
    /// Send gratuitous ARP and neighbour advertisements for the addresses of a vhost.
    Announce(VhostId),
    /// Log something of a vhost.
    Tell(VhostId, Note),
}

/// What is told of a vhost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It has another role. Commands that wait for this are run.
    Role {
        /// The state.
        state: State,
        /// Why.
        reason: Reason,
    },
    /// The vhost itself demotes its group, or does not any more.
    Demotes {
        /// What for.
        reason: DemoteReason,
        /// Whether it does.
        held: bool,
    },
    /// A failover came to nothing.
    FailoverAbandoned,
    /// A setting was refused.
    Rejected(ConfigError),
}

/// Actions of one or more events, appended.
pub type Actions = Vec<Action>;

/// A gateway's vhosts and ledger.
#[derive(Clone, Debug, Default)]
pub struct Node {
    groups: Vec<Group>,
    /// By number: the group's place and the vhid in it.
    members: Vec<(usize, Vhid)>,
    ledger: Ledger,
    /// What vhosts demote their group for.
    own: BTreeSet<(VhostId, DemoteReason)>,
}

impl Node {
    /// A gateway with these vhosts, numbered in their order.
    ///
    /// # Errors
    /// When a vhid is twice in a group, or there are more than 65,535 vhosts.
    pub fn new(members: Vec<Member>) -> Result<Self, NodeError> {
        if members.len() > usize::from(u16::MAX) {
            return Err(NodeError::TooMany);
        }
        let mut names: Vec<String> = Vec::new();
        let mut vhosts: Vec<Vec<Vhost>> = Vec::new();
        let mut places = Vec::new();
        for Member { group, vhost } in members {
            let vhid = vhost.status().vhid;
            let place = names.iter().position(|name| *name == group).unwrap_or(names.len());
            if places.contains(&(place, vhid)) {
                return Err(NodeError::SameVhid { group, vhid });
            }
            if place == names.len() {
                names.push(group);
                vhosts.push(Vec::new());
            }
            vhosts[place].push(vhost);
            places.push((place, vhid));
        }
        let groups = vhosts.into_iter().map(Group::new).collect();
        Ok(Self { groups, members: places, ..Self::default() })
    }

    /// Takes one event; what follows from it is appended.
    pub fn handle(&mut self, now: Timestamp, event: Event, actions: &mut Actions) {
        match event {
            Event::Start => self.all(now, CarpEvent::Configured, actions),
            Event::Stop => self.all(now, CarpEvent::Stop, actions),
            Event::Link { vhost, up } => {
                let event = if up { CarpEvent::Up } else { CarpEvent::Down };
                self.one(now, vhost, event, actions);
            }
            Event::Source { vhost, source } => {
                self.one(now, vhost, CarpEvent::SetSource(source), actions);
            }
            Event::Heard { vhost, heard } => {
                self.one(now, vhost, CarpEvent::Advert(heard), actions);
            }
            Event::Timer { drained: true } => self.all(now, CarpEvent::Timer, actions),
            Event::Timer { drained: false } => self.beat(now, actions),
            Event::Sent { vhost, ok } => {
                let event = if ok { CarpEvent::SendOk } else { CarpEvent::SendFailed };
                self.one(now, vhost, event, actions);
            }
            Event::Hold(reason, amount) => {
                self.ledger.hold(reason, amount);
                self.all(now, CarpEvent::Demote(self.ledger.total()), actions);
            }
            Event::Release(reason) => {
                self.ledger.release(reason);
                self.all(now, CarpEvent::Demote(self.ledger.total()), actions);
            }
            Event::Failover => self.all(now, CarpEvent::Failover, actions),
            Event::Reclaim => self.all(now, CarpEvent::Reclaim, actions),
        }
    }

    /// When the next [`Event::Timer`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.groups.iter().filter_map(Group::next_deadline).min_by_key(|deadline| deadline.at)
    }

    /// The vhosts with their numbers.
    pub fn vhosts(&self) -> impl Iterator<Item = (VhostId, &Vhost)> {
        self.ids().filter_map(|id| Some((id, self.vhost(id)?)))
    }

    /// One vhost.
    #[must_use]
    pub fn vhost(&self, id: VhostId) -> Option<&Vhost> {
        let (group, vhid) = *self.members.get(usize::from(id.0))?;
        self.groups.get(group)?.members().find(|vhost| vhost.status().vhid == vhid)
    }

    /// What demotes the gateway as a whole.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What vhosts demote their groups for, each by one.
    pub fn own_demotions(&self) -> impl Iterator<Item = (VhostId, DemoteReason)> {
        self.own.iter().copied()
    }

    fn ids(&self) -> impl Iterator<Item = VhostId> + use<> {
        // At most 65,535 by construction.
        (0..u16::try_from(self.members.len()).unwrap_or(u16::MAX)).map(VhostId)
    }

    fn one(&mut self, now: Timestamp, id: VhostId, event: CarpEvent, actions: &mut Actions) {
        let Some((group, vhid)) = self.members.get(usize::from(id.0)).copied() else { return };
        self.hand(now, group, GroupEvent::One(vhid, event), actions);
    }

    fn all(&mut self, now: Timestamp, event: CarpEvent, actions: &mut Actions) {
        for group in 0..self.groups.len() {
            self.hand(now, group, GroupEvent::All(event), actions);
        }
    }

    /// Tells MASTERs alone the time: their adverts must not wait for anything.
    fn beat(&mut self, now: Timestamp, actions: &mut Actions) {
        for id in self.ids() {
            if self.vhost(id).is_some_and(|vhost| vhost.state() == State::Master) {
                self.one(now, id, CarpEvent::Timer, actions);
            }
        }
    }

    fn hand(&mut self, now: Timestamp, group: usize, event: GroupEvent, actions: &mut Actions) {
        let Some(machine) = self.groups.get_mut(group) else { return };
        let mut wanted = Vec::new();
        machine.handle(now, event, &mut wanted);
        for GroupAction { vhid, action } in wanted {
            let place = self.members.iter().position(|member| *member == (group, vhid));
            let Some(id) = place.and_then(|place| u16::try_from(place).ok()) else { continue };
            self.take(VhostId(id), action, actions);
        }
    }

    fn take(&mut self, id: VhostId, action: CarpAction, actions: &mut Actions) {
        let role = |state, reason| Action::Tell(id, Note::Role { state, reason });
        match action {
            CarpAction::SendAdvert(outgoing) => actions.push(Action::Send(id, outgoing)),
            CarpAction::BecameMaster { reason } => {
                actions.extend([Action::Own(id), role(State::Master, reason)]);
            }
            CarpAction::BecameBackup { reason } => {
                actions.extend([Action::Disown(id), role(State::Backup, reason)]);
            }
            CarpAction::BecameInit { reason } => {
                actions.extend([Action::Disown(id), role(State::Init, reason)]);
            }
            CarpAction::Announce => actions.push(Action::Announce(id)),
            CarpAction::Demote { reason, held } => {
                if held {
                    self.own.insert((id, reason));
                } else {
                    self.own.remove(&(id, reason));
                }
                actions.push(Action::Tell(id, Note::Demotes { reason, held }));
            }
            CarpAction::FailoverAbandoned => {
                actions.push(Action::Tell(id, Note::FailoverAbandoned));
            }
            CarpAction::Rejected(error) => actions.push(Action::Tell(id, Note::Rejected(error))),
        }
    }
}

#[cfg(test)]
mod tests;
