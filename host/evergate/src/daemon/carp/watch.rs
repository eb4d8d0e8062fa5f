//! The thread that may wait: it follows links and addresses, looks out for conflicts, writes the
//! log, starts commands and keeps the file of what the next start must know.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use evergate_carp::State;
use evergate_io::clock;
use evergate_io::netlink::{Monitor, Netlink, NetlinkError};
use evergate_io::stop::Stop;
use evergate_io::wait::{self, Waker};
use evergate_node::{Note, VhostId};

use super::conflicts::{Conflicts, Judged};
use super::hooks::Hooks;
use super::links::Picture;
use super::log;
use super::memory::{Memory, SeenRow};
use super::shell::Command;
use super::tale::Tale;
use crate::config::CarpConfig;

/// The least time between two looks at the links, in nanoseconds: changes come in flocks.
const LOOK_NS: u64 = 5_000_000;
/// Links that could not be looked at are looked at again after this time, and running commands.
const AGAIN_NS: u64 = 1_000_000_000;
/// How often what is known against replays is written; a clean stop writes it, too.
const TICK_NS: u64 = 60_000_000_000;
/// The other thread never waits, so it answers at once or is gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// A vhost as seen from here.
struct Seat {
    config: CarpConfig,
    state: State,
    since_ns: u64,
    /// Set by somebody else on this host.
    foreign: bool,
    /// More hosts answer for it than should; and whether that is a reason to stay BACKUP.
    claimed: bool,
    demoted_by_claim: bool,
    conflict: bool,
}

/// Everything the thread owns.
pub(super) struct Watch {
    seats: Vec<Seat>,
    names: BTreeSet<String>,
    virtual_addresses: BTreeSet<IpAddr>,
    netlink: Netlink,
    monitor: Monitor,
    picture: Picture,
    /// Whether there was a picture before.
    looked: bool,
    look_at: Option<u64>,
    tick_at: u64,
    conflicts: Conflicts,
    hooks: Hooks,
    tales: Receiver<Tale>,
    told: Waker,
    commands: SyncSender<Command>,
    waker: Waker,
    memory: Memory,
    file: PathBuf,
}

/// The other ends of the channels of [`super::shell::Lines`].
pub(super) struct Ends {
    pub(super) tales: Receiver<Tale>,
    pub(super) told: Waker,
    pub(super) commands: SyncSender<Command>,
    pub(super) waker: Waker,
}

impl Watch {
    pub(super) fn new(
        vhosts: &[CarpConfig],
        ends: Ends,
        memory: Memory,
        file: PathBuf,
    ) -> Result<Watch, NetlinkError> {
        let seat = |config: &CarpConfig| Seat {
            config: config.clone(),
            state: State::Init,
            since_ns: 0,
            foreign: false,
            claimed: false,
            demoted_by_claim: false,
            conflict: false,
        };
        let Ends { tales, told, commands, waker } = ends;
        Ok(Watch {
            seats: vhosts.iter().map(seat).collect(),
            names: vhosts.iter().map(|vhost| vhost.device.clone()).collect(),
            virtual_addresses: super::virtual_addresses(vhosts),
            netlink: Netlink::open()?,
            monitor: Monitor::of_devices()?,
            picture: Picture::default(),
            looked: false,
            look_at: Some(0),
            tick_at: clock::monotonic_ns().saturating_add(TICK_NS),
            conflicts: Conflicts::default(),
            hooks: Hooks::default(),
            tales,
            told,
            commands,
            waker,
            memory,
            file,
        })
    }

    /// Runs until the stop, and then tells what is left to tell.
    pub(super) fn run(mut self, stop: &Stop) {
        while !stop.is_signalled() {
            self.look();
            self.judge();
            self.tick();
            self.sleep(stop);
            self.told.clear();
            self.hear();
            // A failure here shows itself again with the next change.
            if self.monitor.drain().is_ok_and(|changes| changes > 0) {
                self.look_at.get_or_insert(clock::monotonic_ns().saturating_add(LOOK_NS));
            }
            self.conflicts.listen();
        }
        self.hear();
        self.hooks.reap();
    }

    fn sleep(&self, stop: &Stop) {
        let mut descriptors = vec![stop.as_fd(), self.told.as_fd(), self.monitor.as_fd()];
        descriptors.extend(self.conflicts.descriptors());
        let mut until = self.tick_at.min(self.conflicts.next_ns());
        until = self.look_at.map_or(until, |at| until.min(at));
        if self.hooks.is_busy() {
            until = until.min(clock::monotonic_ns().saturating_add(AGAIN_NS));
        }
        // It fails for want of memory alone, and then the loop goes on at once.
        let _ = wait::readable(&descriptors, Some(until));
    }

    /// Looks at the links if they have changed, and tells the timers' thread.
    fn look(&mut self) {
        if self.look_at.is_none_or(|at| at > clock::monotonic_ns()) {
            return;
        }
        self.look_at = None;
        let taken = Picture::take(&mut self.netlink, &self.names, &self.virtual_addresses);
        let picture = match taken {
            Ok(picture) => picture,
            Err(error) => {
                tracing::warn!(%error, "carp: the links could not be looked at");
                self.look_at = Some(clock::monotonic_ns().saturating_add(AGAIN_NS));
                return;
            }
        };
        let before = self.looked.then_some(&self.picture.devices[..]);
        if before != Some(&picture.devices[..]) {
            log::devices(&self.names, before, &picture.devices);
            self.conflicts.follow(&picture.devices);
            self.order(Command::Devices(picture.devices.clone()));
        }
        self.picture = picture;
        self.looked = true;
        for place in 0..self.seats.len() {
            self.compare(place);
        }
    }

    /// Compares what a vhost should have with what is there.
    fn compare(&mut self, place: usize) {
        let Some(seat) = self.seats.get(place) else { return };
        let addresses = || seat.config.addresses.iter().map(|net| net.addr());
        let foreign = addresses().find(|vip| {
            self.picture.foreign.iter().any(|(device, address)| {
                // Kernels that do not tell who set an address: a MASTER has set it.
                let maybe_ours = *device == seat.config.device && seat.state == State::Master;
                address == vip && !maybe_ours
            })
        });
        let has = |vip: &IpAddr| {
            let place = (seat.config.device.clone(), *vip);
            self.picture.ours.contains(&place) || self.picture.foreign.contains(&place)
        };
        let up = self.picture.devices.iter().any(|d| d.name == seat.config.device && d.up);
        let missing = seat.state == State::Master && up && !addresses().all(|vip| has(&vip));
        match (foreign, seat.foreign) {
            (Some(vip), false) => log::foreign(&seat.config, vip),
            (None, true) => log::conflict_over(&seat.config),
            (Some(_), true) | (None, false) => {}
        }
        self.set_conflict(place, |seat| seat.foreign = foreign.is_some());
        if missing {
            self.order(Command::Claim(id_of(place)));
        }
    }

    fn judge(&mut self) {
        let judged: Vec<Judged<'_>> = self
            .seats
            .iter()
            .map(|s| Judged { config: &s.config, state: s.state, since_ns: s.since_ns })
            .collect();
        let now = clock::monotonic_ns();
        let Some(verdicts) = self.conflicts.round(now, &judged, &self.picture.devices) else {
            return;
        };
        for (place, verdict) in verdicts.into_iter().enumerate() {
            let Some(verdict) = verdict else { continue };
            let Some(seat) = self.seats.get(place) else { continue };
            if let (Some(said), false) = (&verdict, seat.claimed) {
                log::claimed(&seat.config, said);
            }
            if let (None, true) = (&verdict, seat.claimed) {
                log::conflict_over(&seat.config);
            }
            if verdict.is_some() && seat.state == State::Master {
                // Whom the other one has led astray is led back.
                self.order(Command::Claim(id_of(place)));
            }
            self.set_conflict(place, |seat| {
                seat.claimed = verdict.is_some();
                // Whoever is MASTER has the same trouble: leaving would help nobody.
                seat.demoted_by_claim = seat.claimed && seat.state == State::Backup;
            });
        }
    }

    fn set_conflict(&mut self, place: usize, change: impl FnOnce(&mut Seat)) {
        let Some(seat) = self.seats.get_mut(place) else { return };
        change(seat);
        let held = seat.foreign || seat.demoted_by_claim;
        if held != seat.conflict {
            seat.conflict = held;
            self.order(Command::Conflict { vhost: id_of(place), held });
        }
    }

    fn hear(&mut self) {
        while let Ok(tale) = self.tales.try_recv() {
            let role = match &tale {
                Tale::Note(vhost, Note::Role { state, reason }) => Some((*vhost, *state, *reason)),
                Tale::Note(..)
                | Tale::Refused { .. }
                | Tale::SendFailed(..)
                | Tale::AnnounceFailed(..)
                | Tale::Foreign(..)
                | Tale::AddressRefused(..)
                | Tale::AddressKept(..)
                | Tale::NoSockets(..)
                | Tale::NotRealtime(_) => None,
            };
            let config = |id: VhostId| Some(&self.seats.get(usize::from(id.0))?.config);
            log::tale(&tale, &config);
            let Some((id, state, reason)) = role else { continue };
            let Some(seat) = self.seats.get_mut(usize::from(id.0)) else { continue };
            let before = std::mem::replace(&mut seat.state, state);
            seat.since_ns = clock::monotonic_ns();
            // From INIT to BACKUP and back is nothing that anybody waits for.
            if before == State::Master || state == State::Master || before == State::Init {
                self.hooks.run(&seat.config, state, reason);
            }
            // What was not looked at because of the old role.
            self.look_at.get_or_insert(clock::monotonic_ns().saturating_add(LOOK_NS));
        }
    }

    fn tick(&mut self) {
        let now = clock::monotonic_ns();
        if self.hooks.is_busy() {
            self.hooks.reap();
        }
        if self.tick_at > now {
            return;
        }
        self.tick_at = now.saturating_add(TICK_NS);
        let (answer, seen) = sync_channel(1);
        self.order(Command::Seen(answer));
        match seen.recv_timeout(PATIENCE) {
            Ok(seen) => self.remember(seen),
            Err(_) => tracing::error!("carp: the thread of the timers does not answer"),
        }
    }

    fn remember(&mut self, seen: Vec<SeenRow>) {
        if seen == self.memory.seen {
            return;
        }
        self.memory.seen = seen;
        if let Err(error) = self.memory.save(&self.file) {
            tracing::warn!("carp: what was heard could not be written down: {error:#}");
        }
    }

    fn order(&self, command: Command) {
        // It fails only when the other thread is gone, and then nothing matters here.
        let _ = self.commands.send(command);
        self.waker.wake();
    }
}

fn id_of(place: usize) -> VhostId {
    VhostId(u16::try_from(place).unwrap_or(u16::MAX))
}
