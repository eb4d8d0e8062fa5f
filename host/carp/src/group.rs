//! Vhids that move together.
//!
//! A gateway that is MASTER inside but not outside is of no use. Therefore:
//!
//! - what demotes one vhost demotes all: when the link of one goes down, the
//!   others advertise the demotion at once and their peers take over (OpenBSD's
//!   interface group);
//! - when one vhost is outranked, its companions that are MASTER hand over as in a
//!   planned failover. OpenBSD leaves them where they are. This asks that all vhids
//!   of a group rank their gateways in the same order.

use std::collections::BTreeMap;

use evergate_wire::Timestamp;

use crate::{Action, Deadline, Event, Reason, State, Vhid, Vhost};

/// An event for one vhost of a group or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// For one vhost; ignored if the group has no such vhid.
    One(Vhid, Event),
    /// For all. Of [`Event::Demote`] only this form makes sense, and both do the
    /// same: it tells what demotes the gateway apart from its own vhosts.
    All(Event),
}

/// An action of one vhost of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupAction {
    /// The vhost.
    pub vhid: Vhid,
    /// What it wants done. An [`Action::Demote`] is already counted in the group's
    /// own sum and told for the log.
    pub action: Action,
}

/// Vhosts that move together.
#[derive(Clone, Debug, Default)]
pub struct Group {
    members: BTreeMap<Vhid, Vhost>,
    /// What the shell told.
    outer: u16,
    /// Reasons that the members hold.
    inner: u16,
}

impl Group {
    /// A group of these vhosts; of two with the same vhid the later remains.
    pub fn new(vhosts: impl IntoIterator<Item = Vhost>) -> Self {
        let members = vhosts.into_iter().map(|vhost| (vhost.status().vhid, vhost)).collect();
        Self { members, outer: 0, inner: 0 }
    }

    /// Hands the event to whom it concerns.
    pub fn handle(&mut self, now: Timestamp, event: GroupEvent, actions: &mut Vec<GroupAction>) {
        let first_new = actions.len();
        let before = self.demotion();
        match event {
            GroupEvent::One(_, Event::Demote(total)) | GroupEvent::All(Event::Demote(total)) => {
                self.outer = total;
            }
            GroupEvent::One(vhid, event) => self.one(now, vhid, event, actions),
            GroupEvent::All(event) => self.all(now, event, actions),
        }
        let deposed = actions
            .get(first_new..)
            .unwrap_or_default()
            .iter()
            .any(|done| done.action == Action::BecameBackup { reason: Reason::Outranked });
        if self.demotion() != before {
            self.all(now, Event::Demote(self.demotion()), actions);
        }
        if deposed {
            self.hand_over(now, actions);
        }
    }

    /// The earliest deadline of all members.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.members.values().filter_map(Vhost::next_deadline).min_by_key(|deadline| deadline.at)
    }

    /// What the members advertise: the outer sum and one for each reason that a
    /// member holds.
    pub fn demotion(&self) -> u16 {
        self.outer.saturating_add(self.inner)
    }

    /// The members, ascending.
    pub fn members(&self) -> impl Iterator<Item = &Vhost> {
        self.members.values()
    }

    fn all(&mut self, now: Timestamp, event: Event, actions: &mut Vec<GroupAction>) {
        let vhids: Vec<Vhid> = self.members.keys().copied().collect();
        for vhid in vhids {
            self.one(now, vhid, event, actions);
        }
    }

    fn one(&mut self, now: Timestamp, vhid: Vhid, event: Event, actions: &mut Vec<GroupAction>) {
        let Some(vhost) = self.members.get_mut(&vhid) else { return };
        let mut done = Vec::new();
        vhost.handle(now, event, &mut done);
        for action in done {
            if let Action::Demote { held, .. } = action {
                self.inner =
                    if held { self.inner.saturating_add(1) } else { self.inner.saturating_sub(1) };
            }
            actions.push(GroupAction { vhid, action });
        }
    }

    fn hand_over(&mut self, now: Timestamp, actions: &mut Vec<GroupAction>) {
        let masters = self.members.iter().filter(|(_, vhost)| vhost.state() == State::Master);
        let masters: Vec<Vhid> = masters.map(|(vhid, _)| *vhid).collect();
        for vhid in masters {
            self.one(now, vhid, Event::Failover, actions);
        }
    }
}

#[cfg(test)]
mod tests;
