//! One thread's half of a gateway: the way of a packet.

mod fragments;
mod inspect;
mod miss;

use std::collections::VecDeque;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use evergate_abi::EndCause;
use evergate_policy::Runner;
use evergate_state::{Side, State, StateKey, Timeouts, Track, key_of, quoted_key};
use evergate_wire::build::{self, ChecksumStatus, TcpReply};
use evergate_wire::{
    Addr, DropReason, IcmpKind, L4, Parsed, Tcp, TcpFlags, Timestamp, VNET_HDR_LEN, VnetHdr,
};

use crate::replies::{ReplyLimit, framed};
use crate::timeouts;
use crate::{Counters, Gateway, IfId};

/// Log events kept until the shell takes them; more are counted as lost.
const LOG_MAX: usize = 1_024;
/// TTL of packets that the gateway makes; each passes one routing hop of the kernel.
const REPLY_TTL: u8 = 65;

/// What is to be done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Write the frame back as it is now.
    Forward,
    /// Write nothing.
    Drop,
    /// Write [`Worker::emitted`] in place of the frame.
    Emit,
}

/// A decision that its policy asked to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// When.
    pub at: Timestamp,
    /// Ingress interface.
    pub in_if: IfId,
    /// Egress interface.
    pub out_if: IfId,
    /// Whether the packet passed.
    pub passed: bool,
    /// Index of the deciding policy in the chain.
    pub policy: u16,
    /// The rule number it gave.
    pub rule: u16,
    /// Protocol number.
    pub proto: u8,
    /// Source address and port (or ICMP id).
    pub src: (Addr, u16),
    /// Destination address and port.
    pub dst: (Addr, u16),
    /// Length of the IP packet in bytes.
    pub length: u32,
}

/// One thread's half of a gateway, for the frames of one ingress interface.
pub struct Worker {
    gateway: Arc<Gateway>,
    runner: Runner,
    timeouts: Cache<Arc<ArcSwap<Vec<Timeouts>>>, Arc<Vec<Timeouts>>>,
    counters: Arc<Counters>,
    ingress: IfId,
    limit: ReplyLimit,
    emitted: Vec<Vec<u8>>,
    log: VecDeque<LogEvent>,
}

/// The time of a packet.
#[derive(Clone, Copy)]
struct Now {
    at: Timestamp,
    wall_s: u64,
}

/// What became of a packet, before it is counted.
enum Fate {
    Pass,
    Drop(DropReason),
    /// Dropped, and an answer goes back to the sender.
    Answer(DropReason, Option<Vec<u8>>),
    /// A fragment that waits for the others.
    Held,
    /// A datagram put together and passed; its frames are in `emitted`.
    Reassembled,
}

/// A packet in work: its bytes and what is known of it.
struct Packet<'a> {
    bytes: &'a mut [u8],
    parsed: Parsed,
    vnet: VnetHdr,
    reassembled: bool,
}

impl Packet<'_> {
    /// Whether the transport checksum is yet to be completed by a device.
    fn partial_checksum(&self) -> bool {
        self.vnet.flags & VnetHdr::NEEDS_CSUM != 0
    }

    fn checksum_status(&self) -> ChecksumStatus {
        let vouched = VnetHdr::NEEDS_CSUM | VnetHdr::DATA_VALID;
        match self.vnet.flags & vouched {
            0 => ChecksumStatus::Unknown,
            _ => ChecksumStatus::Trusted,
        }
    }
}

/// What a state look-up found.
enum Found {
    Expired,
    OptionsRefused,
    Tracked(Track),
    /// It fits, but its policy has yet to see payload.
    Inspected,
}

impl Worker {
    /// Makes the worker of one queue of the interface `ingress`.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, ingress: IfId) -> Worker {
        Worker {
            runner: Runner::new(Arc::clone(&gateway.chain)),
            timeouts: Cache::new(gateway.timeouts.shared()),
            counters: Arc::new(Counters::default()),
            ingress,
            limit: ReplyLimit::new(),
            emitted: Vec::new(),
            log: VecDeque::new(),
            gateway,
        }
    }

    /// The counters, which others may read at any time.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The frames to write after [`Outcome::Emit`].
    #[must_use]
    pub fn emitted(&self) -> &[Vec<u8>] {
        &self.emitted
    }

    /// Takes the oldest log event.
    pub fn take_log(&mut self) -> Option<LogEvent> {
        self.log.pop_front()
    }

    /// Decides about a frame: a virtio header of [`VNET_HDR_LEN`] bytes and an IP packet, in
    /// network byte order. `now` is monotonic, `wall_s` seconds of Unix time for policies.
    pub fn process(&mut self, now: Timestamp, wall_s: u64, frame: &mut [u8]) -> Outcome {
        self.emitted.clear();
        let length = frame.len().saturating_sub(VNET_HDR_LEN);
        let af = usize::from(frame.get(VNET_HDR_LEN).is_some_and(|first| first >> 4 == 6));
        let fate = self.fate(Now { at: now, wall_s }, frame);
        match fate {
            Fate::Pass => {
                self.counters.pass(af, length);
                Outcome::Forward
            }
            Fate::Drop(reason) => {
                self.counters.block(af, length, reason);
                Outcome::Drop
            }
            Fate::Answer(reason, answer) => {
                self.counters.block(af, length, reason);
                self.answer(now, answer)
            }
            Fate::Held => Outcome::Drop,
            Fate::Reassembled => {
                let bytes = self.emitted.iter().map(|f| f.len() - VNET_HDR_LEN).sum();
                self.counters.pass(af, bytes);
                Outcome::Emit
            }
        }
    }

    fn fate(&mut self, now: Now, frame: &mut [u8]) -> Fate {
        let Some(vnet) = VnetHdr::read(frame) else { return Fate::Drop(DropReason::Short) };
        let Some(bytes) = frame.get_mut(VNET_HDR_LEN..) else {
            return Fate::Drop(DropReason::Short);
        };
        match evergate_wire::parse(bytes) {
            Err(reason) => Fate::Drop(reason),
            Ok(parsed) if parsed.fragment.is_some() => self.fragment(now, bytes, &parsed),
            Ok(parsed) => self.packet(now, &mut Packet { bytes, parsed, vnet, reassembled: false }),
        }
    }

    /// A whole packet: normalise, look up, else ask the policies; then undo the hop that the
    /// way into the tun has taken from its TTL.
    fn packet(&mut self, now: Now, packet: &mut Packet<'_>) -> Fate {
        let partial = packet.partial_checksum();
        if matches!(packet.parsed.l4, L4::Tcp(_)) {
            evergate_wire::scrub_tcp(packet.bytes, &mut packet.parsed, partial);
        }
        let fate = match key_of(&packet.parsed) {
            Some((key, side)) => self.keyed(now, packet, key, side),
            None => self.unkeyed(now, packet),
        };
        if matches!(fate, Fate::Pass) {
            evergate_wire::increment_ttl(packet.bytes, packet.parsed.af);
        }
        fate
    }

    fn keyed(&mut self, now: Now, packet: &Packet<'_>, key: StateKey, side: Side) -> Fate {
        match self.look_up(now.at, &key, side, &packet.parsed) {
            Some(Found::Tracked(track)) => self.tracked(now, packet, key, side, track),
            Some(Found::Inspected) => self.inspect(now, packet, key, side),
            Some(Found::OptionsRefused) => Fate::Drop(DropReason::IpOption),
            Some(Found::Expired) => {
                let timeouts = Arc::clone(self.timeouts.load());
                let states = self.gateway.table.len();
                self.end(&key, EndCause::Expired, |s| {
                    s.expired(now.at, timeouts::of(&timeouts, s.options().timeouts), states)
                });
                self.miss(now, packet, Some((key, side)))
            }
            None => self.miss(now, packet, Some((key, side))),
        }
    }

    fn look_up(
        &mut self,
        now: Timestamp,
        key: &StateKey,
        side: Side,
        parsed: &Parsed,
    ) -> Option<Found> {
        self.counters.searches.add(1);
        let sets = self.timeouts.load();
        let table = &self.gateway.table;
        let states = table.len();
        table.hit(key, |state| {
            let options = state.options();
            if state.expired(now, timeouts::of(sets, options.timeouts), states) {
                return Found::Expired;
            }
            if parsed.needs_allow_opts() && !options.allow_options {
                return Found::OptionsRefused;
            }
            let track = state.track(now, side, parsed);
            if state.is_inspected() && side == state.initiator() && matches!(track, Track::Pass) {
                return Found::Inspected;
            }
            Found::Tracked(track)
        })
    }

    fn tracked(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        key: StateKey,
        side: Side,
        track: Track,
    ) -> Fate {
        match track {
            Track::Pass => Fate::Pass,
            Track::Drop(reason) => Fate::Drop(reason),
            Track::Reopen => {
                self.end(&key, EndCause::Reopened, |_| true);
                self.miss(now, packet, Some((key, side)))
            }
            Track::ChallengeAck { seq, ack } => {
                let answer = answer_to(&packet.parsed, TcpFlags::ACK, seq, ack);
                Fate::Answer(DropReason::StateMismatch, answer)
            }
            Track::Reset { seq } => {
                let answer = answer_to(&packet.parsed, TcpFlags::RST, seq, 0);
                Fate::Answer(DropReason::StateMismatch, answer)
            }
        }
    }

    /// Packets that have no key of their own: ICMP errors belong to the state of the packet that
    /// they quote, all else is for the policies.
    fn unkeyed(&mut self, now: Now, packet: &Packet<'_>) -> Fate {
        let L4::Icmp(icmp) = packet.parsed.l4 else { return self.miss(now, packet, None) };
        let IcmpKind::Error { quoted_offset } = icmp.kind else {
            return self.miss(now, packet, None);
        };
        let quoted_bytes = packet.bytes.get(usize::from(quoted_offset)..).unwrap_or(&[]);
        let quoted = match evergate_wire::parse_quoted(packet.parsed.af, quoted_bytes) {
            Ok(quoted) => quoted,
            Err(reason) => return Fate::Drop(reason),
        };
        // pf: the error must go to the host that sent the packet it is about.
        if packet.parsed.dst != quoted.src {
            return Fate::Drop(DropReason::Normalize);
        }
        let Some((key, side)) = quoted_key(&quoted) else { return self.miss(now, packet, None) };
        self.counters.searches.add(1);
        let sets = Arc::clone(self.timeouts.load());
        let states = self.gateway.table.len();
        let matched = self.gateway.table.hit(&key, |state| {
            let set = timeouts::of(&sets, state.options().timeouts);
            (!state.expired(now.at, set, states)).then(|| state.matches_error(side, &quoted))
        });
        match matched.flatten() {
            Some(true) => Fate::Pass,
            Some(false) => Fate::Drop(DropReason::StateMismatch),
            None => self.miss(now, packet, None),
        }
    }

    /// Removes a state for which `dead` holds.
    fn end(&self, key: &StateKey, cause: EndCause, dead: impl FnOnce(&State) -> bool) {
        let mut ended = None;
        let removed = self.gateway.table.remove_if(key, |state| {
            let dead = dead(state);
            ended = dead.then(|| state.clone());
            dead
        });
        if let (true, Some(state)) = (removed, ended) {
            self.counters.removals.add(1);
            self.gateway.ended(&state, cause);
        }
    }

    fn answer(&mut self, now: Timestamp, answer: Option<Vec<u8>>) -> Outcome {
        let rest = if self.emitted.is_empty() { Outcome::Drop } else { Outcome::Emit };
        let Some(packet) = answer else { return rest };
        if !self.limit.take(now) {
            self.counters.replies_limited.add(1);
            return rest;
        }
        self.counters.replies.add(1);
        self.emitted.push(framed(&packet));
        Outcome::Emit
    }
}

/// A TCP segment back to the sender of `parsed`.
fn answer_to(parsed: &Parsed, flags: TcpFlags, seq: u32, ack: u32) -> Option<Vec<u8>> {
    let L4::Tcp(Tcp { sport, dport, .. }) = parsed.l4 else { return None };
    Some(build::tcp(&TcpReply {
        src: parsed.dst,
        dst: parsed.src,
        sport: dport,
        dport: sport,
        seq,
        ack,
        flags,
        window: 0,
        ttl: REPLY_TTL,
    }))
}
