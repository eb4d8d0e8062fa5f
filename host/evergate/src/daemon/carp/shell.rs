//! The thread of the timers: it owns the machine, its sockets and its addresses, and waits for
//! nothing else. Whatever may block (logs, commands, files, looking at links) is another's work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender};

use evergate_carp::{
    Counters, Datagram, Endpoint, Outgoing, Refused, State, Vhid, VirtualAddresses, announce,
};
use evergate_io::{clock, realtime, wait};
use evergate_node::{Action, DemotionReason, Event, Node, VhostId};
use evergate_wire::{Addr, Af, Timestamp};

use super::addresses::Addresses;
use super::links::Device;
use super::memory::SeenRow;
use super::report;
use super::sockets::{BUFFER, Sockets};
use super::tale::Tale;
use crate::config::CarpConfig;
use crate::control::CarpReport;

/// Sockets that could not be opened are tried again after this time, in nanoseconds.
const RETRY_NS: u64 = 1_000_000_000;
/// Refusals of a vhost are told this often at most.
const REFUSALS_NS: u64 = 1_000_000_000;

/// What others ask of the thread.
pub(super) enum Command {
    /// This is what the devices look like now.
    Devices(Vec<Device>),
    /// An address of a vhost is in use elsewhere, or not any more.
    Conflict { vhost: VhostId, held: bool },
    /// An address of a MASTER is gone, or disputed: set what is not there and announce all.
    Claim(VhostId),
    /// How are you?
    Report(SyncSender<CarpReport>),
    /// Hand over, or preempt again; answered with how many were MASTER.
    Failover { undo: bool, answer: SyncSender<u64> },
    /// Demote on the operator's behalf; answered with the sum.
    Demote { amount: u16, answer: SyncSender<u16> },
    /// What is known against replays?
    Seen(SyncSender<Vec<SeenRow>>),
    /// Bow out and end.
    Stop,
}

/// A vhost with what the pure machine does not have.
pub(super) struct Vhost {
    pub(super) config: CarpConfig,
    pub(super) endpoint: Endpoint,
    pub(super) addresses: VirtualAddresses,
    /// When a refusal was last told, and how many were not since.
    refusals: (u64, u64),
    /// By family.
    send_failed: [bool; 2],
}

impl Vhost {
    pub(super) fn new(
        config: CarpConfig,
        endpoint: Endpoint,
        addresses: VirtualAddresses,
    ) -> Vhost {
        Vhost { config, endpoint, addresses, refusals: (0, 0), send_failed: [false; 2] }
    }
}

/// A device that vhosts are on.
#[derive(Default)]
struct Port {
    device: Option<Device>,
    sockets: Option<Sockets>,
    /// Packets that were for no vhost here.
    strays: Counters,
}

/// Everything the thread owns.
pub(super) struct Shell {
    pub(super) node: Node,
    pub(super) vhosts: Vec<Vhost>,
    ports: BTreeMap<String, Port>,
    addresses: Addresses,
    commands: Receiver<Command>,
    waker: wait::Waker,
    tales: SyncSender<Tale>,
    told: wait::Waker,
    pub(super) identity: (u64, u64),
    pub(super) realtime: bool,
    retry_at: Option<u64>,
    identification: u16,
    stopping: bool,
}

/// The ends of the channels between the thread and those who ask it and listen to it.
pub(super) struct Lines {
    pub(super) commands: Receiver<Command>,
    pub(super) waker: wait::Waker,
    pub(super) tales: SyncSender<Tale>,
    pub(super) told: wait::Waker,
}

impl Shell {
    /// `identity` is the gateway's node id and epoch.
    pub(super) fn new(
        node: Node,
        vhosts: Vec<Vhost>,
        addresses: Addresses,
        lines: Lines,
        identity: (u64, u64),
    ) -> Shell {
        let ports =
            vhosts.iter().map(|vhost| (vhost.config.device.clone(), Port::default())).collect();
        let Lines { commands, waker, tales, told } = lines;
        Shell {
            node,
            vhosts,
            ports,
            addresses,
            commands,
            waker,
            tales,
            told,
            identity,
            realtime: false,
            retry_at: None,
            identification: identity.1 as u16,
            stopping: false,
        }
    }

    /// Runs until told to stop; returns what is known against replays.
    pub(super) fn run(mut self) -> Vec<SeenRow> {
        match realtime::claim() {
            Ok(()) => self.realtime = true,
            Err(error) => self.tell(Tale::NotRealtime(error.to_string())),
        }
        self.happen(now(), Event::Start);
        while !self.stopping {
            self.sleep();
            self.waker.clear();
            self.obey();
            self.listen();
        }
        self.seen()
    }

    fn sleep(&self) {
        let mut descriptors = vec![std::os::fd::AsFd::as_fd(&self.waker)];
        let sockets = self.ports.values().filter_map(|port| port.sockets.as_ref());
        descriptors.extend(sockets.flat_map(Sockets::descriptors));
        let deadline = self.node.next_deadline().map(|deadline| deadline.at.as_nanos());
        let until = deadline.into_iter().chain(self.retry_at).min();
        // It fails for want of memory alone, and then the loop goes on at once.
        let _ = wait::readable(&descriptors, until);
    }

    /// Takes what has arrived, then the timers: silence is only proven by empty sockets.
    fn listen(&mut self) {
        let now = now();
        let drained = self.receive(now);
        if self.node.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            self.happen(now, Event::Timer { drained });
        }
        if self.retry_at.is_some_and(|at| at <= now.as_nanos()) {
            self.retry_at = None;
            let names: Vec<String> = self.ports.keys().cloned().collect();
            names.iter().for_each(|name| self.bring_up(now, name));
        }
    }

    fn receive(&mut self, now: Timestamp) -> bool {
        let mut drained = true;
        let mut buffer = [0; BUFFER];
        let mut heard = Vec::new();
        let mut refusals = Vec::new();
        let (ports, vhosts) = (&mut self.ports, &mut self.vhosts);
        for (name, port) in ports {
            let Some(sockets) = &port.sockets else { continue };
            let strays = &mut port.strays;
            drained &= sockets.receive(&mut buffer, &mut |datagram| match take(
                vhosts, name, datagram, strays,
            ) {
                Some((vhost, Ok(advert))) => heard.push(Event::Heard { vhost, heard: advert }),
                Some((vhost, Err(refused))) => refusals.push((vhost, refused)),
                None => {}
            });
        }
        heard.into_iter().for_each(|event| self.happen(now, event));
        refusals.into_iter().for_each(|(vhost, refused)| self.tell_refused(now, vhost, refused));
        drained
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            let now = now();
            match command {
                Command::Devices(devices) => self.look_at(now, &devices),
                Command::Conflict { vhost, held } => self.conflict(now, vhost, held),
                Command::Claim(vhost) => self.own_again(now, vhost),
                // Whoever asked and did not wait does not want to know any more.
                Command::Report(answer) => {
                    let _ = answer.try_send(report::build(self, now));
                }
                Command::Failover { undo, answer } => {
                    let masters = self.node.vhosts().filter(|(_, v)| v.state() == State::Master);
                    let _ = answer.try_send(masters.count() as u64);
                    self.happen(now, if undo { Event::Reclaim } else { Event::Failover });
                }
                Command::Demote { amount, answer } => {
                    self.happen(now, Event::Hold(DemotionReason::Operator, amount));
                    let _ = answer.try_send(self.node.ledger().total());
                }
                Command::Seen(answer) => {
                    let _ = answer.try_send(self.seen());
                }
                Command::Stop => {
                    self.happen(now, Event::Stop);
                    self.stopping = true;
                }
            }
        }
    }

    /// Lets the machine take an event and does what it wants.
    fn happen(&mut self, now: Timestamp, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut actions = Vec::new();
        while let Some(event) = events.pop_front() {
            self.node.handle(now, event, &mut actions);
            for action in actions.drain(..) {
                events.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Own(vhost) => return self.own(vhost),
            Action::Disown(vhost) => {
                let (tales, told) = (&self.tales, &self.told);
                self.addresses.disown(vhost, &mut |tale| tell(tales, told, tale));
            }
            Action::Send(vhost, outgoing) => {
                let ok = self.send(vhost, &outgoing);
                return Some(Event::Sent { vhost, ok });
            }
            Action::Announce(vhost) => self.announce(vhost),
            Action::Tell(vhost, note) => self.tell(Tale::Note(vhost, note)),
        }
        None
    }

    fn own(&mut self, id: VhostId) -> Option<Event> {
        let vhost = self.vhosts.get(usize::from(id.0))?;
        let index = self.ports.get(&vhost.config.device)?.device.as_ref()?.index;
        let (tales, told) = (&self.tales, &self.told);
        let nets = &vhost.config.addresses;
        let good = self.addresses.own(id, index, nets, &mut |tale| tell(tales, told, tale));
        let reason = DemotionReason::AddressRefused(id);
        Some(if good { Event::Release(reason) } else { Event::Hold(reason, 1) })
    }

    fn own_again(&mut self, now: Timestamp, id: VhostId) {
        if self.node.vhost(id).is_some_and(|vhost| vhost.state() == State::Master) {
            if let Some(event) = self.own(id) {
                self.happen(now, event);
            }
            self.announce(id);
        }
    }

    fn conflict(&mut self, now: Timestamp, vhost: VhostId, held: bool) {
        let reason = DemotionReason::AddressConflict(vhost);
        self.happen(now, if held { Event::Hold(reason, 1) } else { Event::Release(reason) });
        if !held {
            self.own_again(now, vhost);
        }
    }

    fn send(&mut self, id: VhostId, outgoing: &Outgoing) -> bool {
        let identification = self.identification;
        self.identification = identification.wrapping_add(1);
        let Some(vhost) = self.vhosts.get_mut(usize::from(id.0)) else { return false };
        let sent = send(self.ports.get(&vhost.config.device), vhost, outgoing, identification);
        let family = usize::from(outgoing.family == Af::V6);
        let failed_before = std::mem::replace(&mut vhost.send_failed[family], sent.is_err());
        if let (Err(error), false) = (&sent, failed_before) {
            self.tell(Tale::SendFailed(id, error.to_string()));
        }
        sent.is_ok()
    }

    fn announce(&mut self, id: VhostId) {
        let Some(vhost) = self.vhosts.get(usize::from(id.0)) else { return };
        let Some(port) = self.ports.get(&vhost.config.device) else { return };
        let mac = port.device.as_ref().and_then(|device| device.mac);
        let (Some(sockets), Some(mac)) = (&port.sockets, mac) else { return };
        let frames = announce::frames(&vhost.addresses, mac, true);
        if let Err(error) = sockets.announce(&frames) {
            self.tell(Tale::AnnounceFailed(id, error.to_string()));
        }
    }

    fn look_at(&mut self, now: Timestamp, devices: &[Device]) {
        let names: Vec<String> = self.ports.keys().cloned().collect();
        for name in names {
            let found = devices.iter().find(|device| device.name == name).cloned();
            let Some(port) = self.ports.get_mut(&name) else { continue };
            let index = |device: &Option<Device>| device.as_ref().map(|device| device.index);
            if index(&port.device) != index(&found) {
                port.sockets = None;
            }
            port.device = found;
            self.bring_up(now, &name);
        }
    }

    /// Tells the vhosts of a device where they send from and whether they can.
    fn bring_up(&mut self, now: Timestamp, name: &str) {
        let ids: Vec<VhostId> = self.ids_on(name);
        let v4 = ids.iter().any(|id| self.uses(*id, Af::V4));
        let v6 = ids.iter().any(|id| self.uses(*id, Af::V6));
        let Some(port) = self.ports.get_mut(name) else { return };
        let mut failed = None;
        if let (Some(device), None) = (&port.device, &port.sockets) {
            match Sockets::open(name, device.index, v4, v6) {
                Ok(sockets) => port.sockets = Some(sockets),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        let up = port.sockets.is_some() && port.device.as_ref().is_some_and(|device| device.up);
        let sources = port.device.as_ref().map(|device| [device.source_v4, device.source_v6]);
        if let Some(error) = failed {
            self.retry_at = Some(now.as_nanos().saturating_add(RETRY_NS));
            self.tell(Tale::NoSockets(name.to_owned(), error));
        }
        for vhost in ids {
            for source in sources.into_iter().flatten().flatten() {
                self.happen(now, Event::Source { vhost, source: source.into() });
            }
            self.happen(now, Event::Link { vhost, up });
        }
    }

    fn ids_on(&self, device: &str) -> Vec<VhostId> {
        let numbered = (0_u16..).zip(&self.vhosts);
        numbered.filter(|(_, v)| v.config.device == device).map(|(id, _)| VhostId(id)).collect()
    }

    fn uses(&self, id: VhostId, family: Af) -> bool {
        let vhost = self.vhosts.get(usize::from(id.0));
        vhost.is_some_and(|vhost| vhost.addresses.families().contains(family))
    }

    fn seen(&self) -> Vec<SeenRow> {
        let of = |vhost: &Vhost| {
            let (device, vhid) = (vhost.config.device.clone(), vhost.config.vhid.get());
            let seen: Vec<_> = vhost.endpoint.guard().seen().collect();
            seen.into_iter().map(move |seen| SeenRow::new(&device, vhid, seen))
        };
        self.vhosts.iter().flat_map(of).collect()
    }

    /// Packets of protocol 112 that no vhost took.
    pub(super) fn strays(&self) -> Counters {
        self.ports.values().fold(Counters::default(), |sum, port| sum.plus(port.strays))
    }

    fn tell_refused(&mut self, now: Timestamp, id: VhostId, refused: Refused) {
        let Some(vhost) = self.vhosts.get_mut(usize::from(id.0)) else { return };
        let (last, before) = vhost.refusals;
        if last != 0 && now.as_nanos().saturating_sub(last) < REFUSALS_NS {
            vhost.refusals.1 = before.saturating_add(1);
            return;
        }
        vhost.refusals = (now.as_nanos(), 0);
        self.tell(Tale::Refused { vhost: id, refused, before });
    }

    fn tell(&self, tale: Tale) {
        tell(&self.tales, &self.told, tale);
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(clock::monotonic_ns())
}

/// Tells without waiting: with a full channel there is more to read already than anybody will.
fn tell(tales: &SyncSender<Tale>, told: &wait::Waker, tale: Tale) {
    let _ = tales.try_send(tale);
    told.wake();
}

/// Finds the vhost of a packet and opens it.
fn take(
    vhosts: &mut [Vhost],
    device: &str,
    datagram: Result<Datagram<'_>, Refused>,
    strays: &mut Counters,
) -> Option<(VhostId, Result<evergate_carp::Heard, Refused>)> {
    let datagram = match datagram {
        Ok(datagram) => datagram,
        Err(refused) => {
            strays.refused(&refused);
            return None;
        }
    };
    let vhid = datagram.payload.get(1).copied().unwrap_or(0);
    let wanted =
        |vhost: &Vhost| vhost.config.device == device && Some(vhost.config.vhid) == Vhid::new(vhid);
    let Some(place) = vhosts.iter().position(wanted) else {
        strays.refused(&Refused::BadVhid { vhid });
        return None;
    };
    let opened = vhosts.get_mut(place)?.endpoint.open(&datagram);
    Some((VhostId(u16::try_from(place).ok()?), opened))
}

fn send(
    port: Option<&Port>,
    vhost: &Vhost,
    outgoing: &Outgoing,
    identification: u16,
) -> std::io::Result<()> {
    let missing = || std::io::Error::from(std::io::ErrorKind::NotConnected);
    let port = port.ok_or_else(missing)?;
    let (device, sockets) = (port.device.as_ref(), port.sockets.as_ref());
    let (device, sockets) = device.zip(sockets).ok_or_else(missing)?;
    let payload = vhost.endpoint.seal(outgoing);
    for to in vhost.endpoint.destinations(outgoing.family) {
        sockets.send(source(device, to)?, to, identification, &payload)?;
    }
    Ok(())
}

/// Where adverts to `to` come from.
fn source(device: &Device, to: Addr) -> std::io::Result<Addr> {
    let wide = !to.is_multicast() && !to.is_link_local();
    let source = match to.af() {
        // Without an address of its own a host sends from none, as BSD does.
        Af::V4 => Some(device.source_v4.map_or(Addr::from_v4_octets([0; 4]), Addr::from)),
        Af::V6 if wide => device.source_v6_wide.map(Addr::from),
        Af::V6 => device.source_v6.map(Addr::from),
    };
    source.ok_or_else(|| {
        std::io::Error::other(format!("{} has no usable address to send to {to}", device.name))
    })
}
