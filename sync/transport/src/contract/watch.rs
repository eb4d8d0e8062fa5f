//! A cluster whose events are collected, and waited for.

use std::collections::VecDeque;

use super::{Cluster, name};
use crate::Transport;
use crate::{Channel, DownReason, Event, Fingerprint, LinkStatus, PeerId, Pressure, SendError};

/// A cluster, and per node the events that were taken from it and not looked at yet.
pub(super) struct Watch<C> {
    pub(super) cluster: C,
    nodes: usize,
    alive: Vec<bool>,
    seen: Vec<VecDeque<Event>>,
    /// All ends of links so far, for the story of a claim that does not hold.
    ends: Vec<(usize, DownReason)>,
}

/// What a node was told of a peer when the link came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) name: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) incarnation: u64,
}

impl<C: Cluster> Watch<C> {
    pub(super) fn new(cluster: C, nodes: usize) -> Self {
        let seen = (0..nodes).map(|_| VecDeque::new()).collect();
        Self { cluster, nodes, alive: vec![true; nodes], seen, ends: Vec::new() }
    }

    /// The number by which `node` knows `peer`.
    pub(super) fn id(&mut self, node: usize, peer: usize) -> PeerId {
        let name = name(peer);
        let id = self.cluster.node(node).peer(&name);
        id.unwrap_or_else(|| panic!("node {node} does not know {name}"))
    }

    pub(super) fn send(
        &mut self,
        from: usize,
        to: usize,
        channel: Channel,
        message: &[u8],
    ) -> Result<Pressure, SendError> {
        let peer = self.id(from, to);
        self.cluster.node(from).try_send(peer, channel, message)
    }

    pub(super) fn status(&mut self, node: usize, peer: usize) -> Option<LinkStatus> {
        let peer = self.id(node, peer);
        self.cluster.node(node).status(peer)
    }

    /// Takes all events that a node has.
    pub(super) fn collect(&mut self, node: usize) {
        while self.alive[node] {
            let Some(event) = self.cluster.node(node).poll() else { break };
            if let Event::LinkDown { reason, .. } = &event {
                self.ends.push((node, reason.clone()));
            }
            self.seen[node].push_back(event);
        }
    }

    /// The next event of a node, without waiting.
    pub(super) fn next(&mut self, node: usize) -> Option<Event> {
        if self.seen[node].is_empty() && self.alive[node] {
            return self.cluster.node(node).poll();
        }
        self.seen[node].pop_front()
    }

    /// Lets a little time pass and collects the events of all nodes.
    pub(super) fn step(&mut self) {
        self.cluster.step();
        for node in 0..self.nodes {
            self.collect(node);
        }
    }

    /// Lets time pass in which nobody takes an event.
    pub(super) fn sleep(&mut self, steps: usize) {
        for _ in 0..steps {
            self.cluster.step();
        }
    }

    /// Waits for the first event of `node` that `pick` picks; drops those before it.
    pub(super) fn wait<T>(
        &mut self,
        node: usize,
        what: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let mut dropped = Vec::new();
        for _ in 0..C::PATIENCE {
            while let Some(event) = self.seen[node].pop_front() {
                if let Some(picked) = pick(&event) {
                    return picked;
                }
                if dropped.len() < 16 {
                    dropped.push(event);
                }
            }
            self.step();
        }
        let ends = &self.ends;
        panic!("node {node} waited in vain for {what}; it saw {dropped:?}; links ended: {ends:?}");
    }

    /// Waits until the link from `node` to `peer` comes up.
    pub(super) fn up(&mut self, node: usize, peer: usize) -> Met {
        let id = self.id(node, peer);
        self.wait(node, "a link", |event| match event {
            Event::LinkUp { peer, name, fingerprint, incarnation, .. } if *peer == id => {
                Some(Met {
                    name: name.as_str().to_owned(),
                    fingerprint: *fingerprint,
                    incarnation: *incarnation,
                })
            }
            _ => None,
        })
    }

    /// Waits until both sides of a link are up.
    pub(super) fn both_up(&mut self, a: usize, b: usize) -> (Met, Met) {
        (self.up(a, b), self.up(b, a))
    }

    /// Waits until the link from `node` to `peer` goes down.
    pub(super) fn down(&mut self, node: usize, peer: usize) -> DownReason {
        let id = self.id(node, peer);
        self.wait(node, "the end of a link", |event| match event {
            Event::LinkDown { peer, reason } if *peer == id => Some(reason.clone()),
            _ => None,
        })
    }

    /// Waits for the next message on `channel`; drops those of others.
    pub(super) fn message(&mut self, node: usize, on: Channel) -> Vec<u8> {
        self.wait(node, "a message", |event| match event {
            Event::Message { channel, bytes, .. } if *channel == on => Some(bytes.clone()),
            _ => None,
        })
    }

    /// Sends once the channel has room.
    pub(super) fn send_patiently(&mut self, from: usize, to: usize, on: Channel, message: &[u8]) {
        for _ in 0..C::PATIENCE {
            match self.send(from, to, on, message) {
                Ok(_) => return,
                Err(SendError::WouldBlock) => self.step(),
                Err(error) => panic!("node {from} cannot send: {error}"),
            }
        }
        panic!("node {from} waited in vain for room in {on:?}");
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.cluster.lose(a, b, 100);
        self.cluster.lose(b, a, 100);
    }

    pub(super) fn heal(&mut self, a: usize, b: usize) {
        self.cluster.lose(a, b, 0);
        self.cluster.lose(b, a, 0);
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.collect(node);
        self.alive[node] = false;
        self.cluster.kill(node);
    }

    pub(super) fn restart(&mut self, node: usize) {
        self.cluster.restart(node);
        self.alive[node] = true;
        self.seen[node].clear();
    }
}
