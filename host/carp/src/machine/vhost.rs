//! One vhid's machine.

use evergate_wire::{Addr, Af, Timestamp};

use super::election::{AsBackup, Standing};
use super::timers::{Deadline, Timers, is_due};
use super::{Action, Actions, DemoteReason, Event, Outgoing, Reason, State, VhostConfig};
use crate::status::{LastHeard, Status};
use crate::{ConfigError, Counters, Heard, Pace};

/// Adverts in a row that could not be sent before the gateway is demoted, and
/// that could before it is not any more: OpenBSD's CARP_SENDAD_MAX_ERRORS.
const SEND_ERRORS: u8 = 3;
/// Announcements after the first: two adverts later, as OpenBSD and ucarp do it,
/// and once more for switches and hosts that a shorter interval left no time.
const ANNOUNCE_REPEATS: u8 = 2;
/// The least time before the last repeat.
const ANNOUNCE_LAST: std::time::Duration = std::time::Duration::from_secs(1);

/// What is known of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Unknown,
    Up,
    Down,
}

/// The machine of one vhid on one gateway.
#[derive(Clone, Debug)]
pub struct Vhost {
    config: VhostConfig,
    counter: [u8; 8],
    sequence: u64,
    source_v4: Option<Addr>,
    source_v6: Option<Addr>,

    configured: bool,
    link: Link,
    state: State,
    since: Timestamp,
    reason: Reason,
    pub(super) timers: Timers,
    announces_left: u8,
    /// The end of a silence was noticed late and more time was given.
    granted: bool,
    /// An operator moved the MASTER away: no preemption.
    held: bool,
    /// When a worse MASTER was last answered.
    answered: Option<Timestamp>,
    /// The MASTER that a BACKUP follows.
    master: Option<Heard>,
    last: Option<(Timestamp, Heard)>,

    demotion: u16,
    link_demoted: bool,
    send_demoted: bool,
    /// Failures in a row; while demoted for them, successes in a row.
    send_streak: u8,
    counters: Counters,
}

impl Vhost {
    /// A vhost in INIT. `seed` gives CARP's counter and must differ between
    /// gateways and starts.
    ///
    /// # Errors
    ///
    /// A pace with an own interval without a required trailer.
    pub fn new(config: VhostConfig, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        let mixed = seed ^ config.node.0.rotate_left(17) ^ u64::from(config.vhid.get());
        Ok(Self {
            config,
            counter: spread(mixed).to_be_bytes(),
            sequence: 0,
            source_v4: None,
            source_v6: None,
            configured: false,
            link: Link::Unknown,
            state: State::Init,
            since: Timestamp::ZERO,
            reason: Reason::Created,
            timers: Timers::default(),
            announces_left: 0,
            granted: false,
            held: false,
            answered: None,
            master: None,
            last: None,
            demotion: 0,
            link_demoted: false,
            send_demoted: false,
            send_streak: 0,
            counters: Counters::default(),
        })
    }

    /// Takes one event; at most [`super::ACTIONS_MAX`] actions are appended.
    pub fn handle(&mut self, now: Timestamp, event: Event, actions: &mut Actions) {
        match event {
            Event::Configured => self.set_up(now, true, self.link, actions),
            Event::Up => self.set_up(now, self.configured, Link::Up, actions),
            Event::Down => self.set_up(now, self.configured, Link::Down, actions),
            Event::Stop => self.stop(now, actions),
            Event::Advert(heard) => self.heard(now, &heard, actions),
            Event::Timer => self.timer(now, actions),
            Event::Demote(total) => self.demote(now, total, actions),
            Event::Failover => self.failover(now, actions),
            Event::Reclaim => self.held = false,
            Event::SetPreempt(preempt) => self.config.preempt = preempt,
            Event::SetPace(pace) => self.set_pace(now, pace, actions),
            Event::SetSource(source) => match source.af() {
                Af::V4 => self.source_v4 = Some(source),
                Af::V6 => self.source_v6 = Some(source),
            },
            Event::SendFailed => self.sent(false, actions),
            Event::SendOk => self.sent(true, actions),
        }
    }

    /// When the next [`Event::Timer`] is due.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.timers.next()
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The vhost as it stands.
    pub fn status(&self) -> Status {
        let pace = self.config.pace;
        Status {
            vhid: self.config.vhid,
            state: self.state,
            since: self.since,
            reason: self.reason,
            advbase: pace.advbase(),
            advskew: pace.advskew(),
            interval: pace.interval(),
            down_time: pace.down_time(),
            demotion: self.demotion,
            preempt: self.config.preempt,
            held: self.held,
            yielding: self.yielding(),
            last_heard: self.last.map(|(at, heard)| LastHeard {
                at,
                family: heard.family,
                from: heard.from,
                advbase: heard.advbase,
                advskew: heard.advskew,
                demotion: heard.demotion,
                node: heard.trailer.map(|trailer| (trailer.sender, trailer.epoch)),
            }),
            epoch: self.config.epoch,
            sequence: self.sequence,
        }
    }

    /// What was sent and changed; its endpoint counts what was received.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn set_up(&mut self, now: Timestamp, configured: bool, link: Link, actions: &mut Actions) {
        self.configured = configured;
        self.link = link;
        let takes_part = configured && link == Link::Up;
        match self.state {
            State::Init if takes_part => self.become_backup(now, Reason::Started, actions),
            State::Backup | State::Master if !takes_part => {
                self.become_init(now, Reason::LinkDown, actions);
            }
            State::Init | State::Backup | State::Master => {}
        }
        self.claim_link_demotion(actions);
    }

    fn stop(&mut self, now: Timestamp, actions: &mut Actions) {
        self.configured = false;
        self.held = false;
        match self.state {
            State::Init => {}
            State::Backup => self.become_init(now, Reason::Stopped, actions),
            State::Master => {
                self.send(true, actions);
                self.become_init(now, Reason::Stopped, actions);
            }
        }
        self.claim_link_demotion(actions);
    }

    fn heard(&mut self, now: Timestamp, heard: &Heard, actions: &mut Actions) {
        if self.state == State::Init {
            return;
        }
        let own = match heard.sender() {
            Some(sender) => sender == self.config.node,
            None => heard.counter == self.counter,
        };
        if own {
            self.counters.loops += 1;
            return;
        }
        self.last = Some((now, *heard));
        match self.state {
            State::Init => {}
            State::Backup => self.heard_in_backup(now, heard, actions),
            State::Master => self.heard_in_master(now, heard, actions),
        }
    }

    fn heard_in_backup(&mut self, now: Timestamp, heard: &Heard, actions: &mut Actions) {
        match self.standing(heard.family).as_backup(heard, self.master.as_ref()) {
            AsBackup::TakeOver(reason) => self.become_master(now, reason, actions),
            AsBackup::Follow => {
                self.master = Some(*heard);
                self.restart_down(now, heard);
            }
            AsBackup::Ignore => {}
        }
    }

    fn heard_in_master(&mut self, now: Timestamp, heard: &Heard, actions: &mut Actions) {
        let standing = self.standing(heard.family);
        if !self.yielding() {
            if standing.yields_to(heard) {
                self.follow(now, Reason::Outranked, heard, actions);
            } else {
                self.answer(now, actions);
            }
            return;
        }
        if heard.bows_out() {
            return;
        }
        if standing.demotion_order(heard).is_gt() {
            // It would be deposed at once.
            self.abandon(now, actions);
        } else {
            self.held = true;
            self.follow(now, Reason::HandedOver, heard, actions);
        }
    }

    /// DEVIATION(OpenBSD): each family has a down timer of its own, and an advert
    /// of one restarts that. If its trailer proves which gateway is alive, it
    /// restarts both, so that a filter in one family is not taken for death.
    fn restart_down(&mut self, now: Timestamp, heard: &Heard) {
        let at = now.saturating_add(self.config.pace.down_time());
        for family in self.config.families.as_slice() {
            if *family == heard.family || heard.trailer.is_some() {
                *self.timers.down(*family) = Some(at);
            }
        }
        self.granted = false;
    }

    fn timer(&mut self, now: Timestamp, actions: &mut Actions) {
        match self.state {
            State::Init => {}
            State::Backup => self.timer_in_backup(now, actions),
            State::Master => self.timer_in_master(now, actions),
        }
    }

    fn timer_in_backup(&mut self, now: Timestamp, actions: &mut Actions) {
        let Some(end) = self.timers.first_down().filter(|end| *end <= now) else { return };
        let interval = self.config.pace.interval();
        if now.since(end) > interval / 2 && !self.granted {
            self.granted = true;
            self.counters.late += 1;
            let again = Some(now.saturating_add(interval));
            for family in self.config.families.as_slice() {
                let timer = self.timers.down(*family);
                if is_due(*timer, now) {
                    *timer = again;
                }
            }
            return;
        }
        self.become_master(now, Reason::MasterDown, actions);
    }

    fn timer_in_master(&mut self, now: Timestamp, actions: &mut Actions) {
        if is_due(self.timers.give_up, now) {
            self.abandon(now, actions);
        } else if let Some(at) = self.timers.advertise.filter(|at| *at <= now) {
            let interval = self.config.pace.interval();
            // Keep the beat, unless so much of it was missed that two adverts would
            // follow closely.
            let from = if now.since(at) < interval / 2 { at } else { now };
            self.timers.advertise = Some(from.saturating_add(interval));
            self.send(self.yielding(), actions);
        }
        if is_due(self.timers.announce, now) {
            actions.push(Action::Announce);
            self.announces_left = self.announces_left.saturating_sub(1);
            let wait = (self.config.pace.interval() * 2).max(ANNOUNCE_LAST);
            let again = self.announces_left > 0;
            self.timers.announce = again.then(|| now.saturating_add(wait));
        }
    }

    fn demote(&mut self, now: Timestamp, total: u16, actions: &mut Actions) {
        if self.demotion == total {
            return;
        }
        self.demotion = total;
        if self.state == State::Master {
            self.advertise_now(now, actions);
        }
    }

    fn failover(&mut self, now: Timestamp, actions: &mut Actions) {
        match self.state {
            State::Init => {}
            State::Backup => self.held = true,
            State::Master if self.yielding() => {}
            State::Master => {
                self.timers.give_up = Some(now.saturating_add(self.config.pace.down_time()));
                self.advertise_now(now, actions);
            }
        }
    }

    fn set_pace(&mut self, now: Timestamp, pace: Pace, actions: &mut Actions) {
        let config = VhostConfig { pace, ..self.config };
        if let Err(error) = config.check() {
            actions.push(Action::Rejected(error));
            return;
        }
        self.config = config;
        match self.state {
            State::Init => {}
            State::Backup => self.start_down(now),
            State::Master => self.advertise_now(now, actions),
        }
    }

    fn sent(&mut self, ok: bool, actions: &mut Actions) {
        if self.state == State::Init {
            return;
        }
        // What counts is a row of the opposite of what is the case.
        self.send_streak = if ok == self.send_demoted { self.send_streak + 1 } else { 0 };
        if self.send_streak >= SEND_ERRORS {
            self.claim_send_demotion(!self.send_demoted, actions);
        }
    }

    fn become_init(&mut self, now: Timestamp, reason: Reason, actions: &mut Actions) {
        self.enter(now, State::Init, reason);
        actions.push(Action::BecameInit { reason });
        // Nothing is sent any more that could prove the contrary.
        self.claim_send_demotion(false, actions);
    }

    fn become_backup(&mut self, now: Timestamp, reason: Reason, actions: &mut Actions) {
        self.enter(now, State::Backup, reason);
        self.start_down(now);
        actions.push(Action::BecameBackup { reason });
    }

    fn follow(&mut self, now: Timestamp, reason: Reason, heard: &Heard, actions: &mut Actions) {
        self.become_backup(now, reason, actions);
        self.master = Some(*heard);
    }

    fn become_master(&mut self, now: Timestamp, reason: Reason, actions: &mut Actions) {
        self.enter(now, State::Master, reason);
        self.held = false;
        self.counters.preempt +=
            u64::from(matches!(reason, Reason::Preempt | Reason::MasterDemoted));
        actions.push(Action::BecameMaster { reason });
        self.advertise_now(now, actions);
        actions.push(Action::Announce);
        self.announces_left = ANNOUNCE_REPEATS;
        let two_adverts = self.config.pace.interval() * 2;
        self.timers.announce = Some(now.saturating_add(two_adverts));
    }

    fn enter(&mut self, now: Timestamp, state: State, reason: Reason) {
        self.state = state;
        self.since = now;
        self.reason = reason;
        self.timers = Timers::default();
        self.granted = false;
        self.answered = None;
        self.master = None;
        self.counters.ostates += 1;
    }

    fn start_down(&mut self, now: Timestamp) {
        let at = now.saturating_add(self.config.pace.down_time());
        for family in self.config.families.as_slice() {
            *self.timers.down(*family) = Some(at);
        }
        self.granted = false;
    }

    fn yielding(&self) -> bool {
        self.timers.give_up.is_some()
    }

    /// Ends a failover that came to nothing; whoever took over is told.
    fn abandon(&mut self, now: Timestamp, actions: &mut Actions) {
        self.timers.give_up = None;
        self.advertise_now(now, actions);
        actions.push(Action::FailoverAbandoned);
    }

    fn answer(&mut self, now: Timestamp, actions: &mut Actions) {
        let interval = self.config.pace.interval();
        if self.answered.is_some_and(|at| now.since(at) < interval) {
            return;
        }
        self.answered = Some(now);
        self.send(false, actions);
        actions.push(Action::Announce);
    }

    fn advertise_now(&mut self, now: Timestamp, actions: &mut Actions) {
        self.timers.advertise = Some(now.saturating_add(self.config.pace.interval()));
        self.send(self.yielding(), actions);
    }

    fn send(&mut self, bow_out: bool, actions: &mut Actions) {
        for family in self.config.families.as_slice() {
            self.sequence += 1;
            self.counters.sent(*family);
            actions.push(Action::SendAdvert(Outgoing {
                vhid: self.config.vhid,
                family: *family,
                pace: self.config.pace,
                demotion: self.demotion,
                counter: self.counter,
                sequence: self.sequence,
                bow_out,
            }));
        }
    }

    fn claim_link_demotion(&mut self, actions: &mut Actions) {
        let held = self.configured && self.link == Link::Down;
        if held != self.link_demoted {
            self.link_demoted = held;
            actions.push(Action::Demote { reason: DemoteReason::LinkDown, held });
        }
    }

    fn claim_send_demotion(&mut self, held: bool, actions: &mut Actions) {
        self.send_streak = 0;
        if held != self.send_demoted {
            self.send_demoted = held;
            actions.push(Action::Demote { reason: DemoteReason::SendErrors, held });
        }
    }

    fn standing(&self, family: Af) -> Standing {
        Standing {
            node: self.config.node,
            demotion: self.demotion,
            weight: self.config.pace.weight(),
            patience: self.config.pace.patience(),
            preempt: self.config.preempt && !self.held,
            source: match family {
                Af::V4 => self.source_v4,
                Af::V6 => self.source_v6,
            },
            both: self.config.families.as_slice().len() > 1,
        }
    }
}

/// SplitMix64's output function: neighbouring seeds give unlike counters.
const fn spread(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
