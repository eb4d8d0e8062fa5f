//! The verdict that takes payload: packets whose policy wants to see more than their headers.

use std::sync::Arc;

use evergate_abi::{INSPECT_MAX, Keep, Request};
use evergate_policy::{Action, Decision, Payload};
use evergate_state::{Side, StateId, StateKey};
use evergate_wire::build::{self, ChecksumStatus, TcpReply};
use evergate_wire::{DropReason, L4, Parsed, Tcp, TcpFlags, checksum};

use super::{Fate, Now, Packet, REPLY_TTL, Worker};
use crate::IfId;
use crate::gateway::DefaultVerdict;
use crate::inspection::{Added, Inspection, lock};
use crate::replies::framed;

/// How often a policy may ask for more of what one segment has brought.
const CALLS_MAX: usize = 16;
/// Length of a UDP header (RFC 768).
const UDP_HEADER: usize = 8;

/// A connection under inspection as one segment finds it.
struct Subject {
    key: StateKey,
    id: StateId,
    side: Side,
}

impl Worker {
    /// The policies want to see payload. A datagram's is there; a TCP stream's is yet to come, so
    /// its state is made now and its handshake passes.
    pub(super) fn begin_inspection(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        keyed: Option<(StateKey, Side)>,
        (request, decision): (Request, Decision),
        out_if: IfId,
    ) -> Fate {
        let streamed = match (packet.parsed.l4, keyed) {
            (L4::Tcp(tcp), Some((key, side))) if decision.keep != Keep::None => {
                Some((tcp, key, side))
            }
            (L4::Tcp(_) | L4::Udp(_) | L4::Icmp(_) | L4::Other | L4::Fragment, _) => None,
        };
        let Some((tcp, key, side)) = streamed else {
            return self.inspect_whole(now, packet, keyed, (request, decision), out_if);
        };
        let fate = self.pass(now, &packet.parsed, keyed, &decision, out_if);
        if !matches!(fate, Fate::Pass) {
            return fate;
        }
        let found = self.gateway.table.hit(&key, |s| (s.id(), s.is_inspected()));
        let Some((id, true)) = found else { return fate };
        let Action::Inspect { bytes } = decision.action else { return fate };
        let asked = (decision.policy, bytes, decision.label);
        let inspection = Inspection::new(side, request, asked, first_byte(tcp));
        if self.gateway.inspections.begin(key, id, inspection).is_err() {
            self.counters.inspections_refused.add(1);
            self.end(&key, evergate_abi::EndCause::Blocked, |s| s.id() == id);
            return Fate::Drop(DropReason::Memory);
        }
        self.counters.inspections.add(1);
        self.inspect(now, packet, key, side)
    }

    /// What is decided by one packet alone.
    fn inspect_whole(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        keyed: Option<(StateKey, Side)>,
        (mut request, asked): (Request, Decision),
        out_if: IfId,
    ) -> Fate {
        self.counters.inspections.add(1);
        let bytes = data(packet);
        let bytes = &bytes[..bytes.len().min(usize::from(INSPECT_MAX))];
        let payload = Payload { bytes, end: true };
        let (at, wall_s) = (now.at.as_nanos(), now.wall_s);
        let decided = self.runner.inspect(at, wall_s, &mut request, asked.policy, payload);
        let decision = merged(&asked, decided);
        let fate = self.carry_out(now, packet, keyed, &decision, out_if);
        if decision.log {
            self.log(now, packet, &decision, out_if, matches!(fate, Fate::Pass));
        }
        fate
    }

    /// A segment that fits its state, whose policy has yet to see payload.
    #[cold]
    pub(super) fn inspect(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        key: StateKey,
        side: Side,
    ) -> Fate {
        let L4::Tcp(tcp) = packet.parsed.l4 else { return self.decide_again(now, packet) };
        let gateway = Arc::clone(&self.gateway);
        let Some((id, inspection)) = gateway.inspections.find(&key) else {
            // Its inspection is about to begin, or the state about to go.
            return self.withheld(DropReason::Policy);
        };
        let mut inspection = lock(&inspection);
        if side != inspection.from || inspection.over || tcp.flags.contains(TcpFlags::RST) {
            return Fate::Pass;
        }
        let unknown = matches!(packet.checksum_status(), ChecksumStatus::Unknown);
        if unknown && !checksum::verify(packet.bytes, &packet.parsed) {
            return self.withheld(DropReason::ProtoCksum);
        }
        let before = inspection.next();
        match inspection.add(first_byte(tcp), data(packet), tcp.flags.contains(TcpFlags::FIN)) {
            Added::Nothing => Fate::Pass,
            Added::Gap => self.withheld(DropReason::Policy),
            Added::Differs => self.withheld(DropReason::Normalize),
            Added::Some { end } => {
                let decision = self.ask(now, &mut inspection, end);
                self.conclude(
                    now,
                    packet,
                    &Subject { key, id, side },
                    &mut inspection,
                    before,
                    decision,
                )
            }
        }
    }

    /// A further packet of a state whose policies want to decide each.
    fn decide_again(&mut self, now: Now, packet: &Packet<'_>) -> Fate {
        let (request, mut decision, out_if) = self.ask_chain(now, packet);
        if matches!(decision.action, Action::Inspect { .. }) {
            decision.keep = Keep::None;
            return self.inspect_whole(now, packet, None, (request, decision), out_if);
        }
        let fate = self.carry_out(now, packet, None, &decision, out_if);
        if decision.log {
            self.log(now, packet, &decision, out_if, matches!(fate, Fate::Pass));
        }
        fate
    }

    /// Shows the policies what was collected, as much as they want, until they decide or want
    /// more than there is. `None`: more is awaited.
    fn ask(&mut self, now: Now, inspection: &mut Inspection, end: bool) -> Option<Decision> {
        let mut log = false;
        for _ in 0..CALLS_MAX {
            let mut request = inspection.request;
            let all = inspection.collected();
            let shown = all.len().min(usize::from(inspection.wanted));
            let complete = shown == all.len();
            let payload = Payload { bytes: &all[..shown], end: end && complete };
            let (at, wall_s) = (now.at.as_nanos(), now.wall_s);
            self.counters.decisions.add(1);
            let mut decision =
                self.runner.inspect(at, wall_s, &mut request, inspection.policy, payload);
            log |= decision.log;
            decision.log = log;
            let Action::Inspect { bytes } = decision.action else { return Some(decision) };
            inspection.request.tag = request.tag;
            inspection.policy = decision.policy;
            inspection.wanted = bytes;
            inspection.label = either(decision.label, inspection.label);
            if complete {
                return None;
            }
        }
        Some(Decision::failed(inspection.policy))
    }

    /// Carries a final verdict out; without one the segment passes.
    fn conclude(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        subject: &Subject,
        inspection: &mut Inspection,
        before: u32,
        decision: Option<Decision>,
    ) -> Fate {
        let Some(mut decision) = decision else { return Fate::Pass };
        inspection.over = true;
        let Subject { key, id, side } = *subject;
        decision.label = either(decision.label, inspection.label);
        let out_if = IfId(inspection.request.out_if);
        let by_default = self.gateway.default == DefaultVerdict::Pass;
        let passes = match decision.action {
            Action::Pass => true,
            Action::Default => by_default,
            Action::Block
            | Action::ReturnRst
            | Action::ReturnIcmp { .. }
            | Action::Inspect { .. }
            | Action::Failed => false,
        };
        let fate = if passes {
            self.gateway.table.hit(&key, |state| {
                if state.id() == id {
                    let Decision { policy, rule, tag, label, .. } = decision;
                    state.set_verdict(policy, rule, tag, label);
                    state.set_inspected(false);
                }
            });
            self.gateway.inspections.forget(&key, id);
            Fate::Pass
        } else {
            self.end(&key, evergate_abi::EndCause::Blocked, |state| state.id() == id);
            if matches!(decision.action, Action::ReturnRst) {
                self.reset_other_end(now, &packet.parsed, before);
            }
            self.carry_out(now, packet, Some((key, side)), &decision, out_if)
        };
        if decision.log {
            self.log(now, packet, &decision, out_if, passes);
        }
        fate
    }

    /// A segment that must come again, or better not at all.
    fn withheld(&self, reason: DropReason) -> Fate {
        self.counters.inspections_withheld.add(1);
        Fate::Drop(reason)
    }

    /// Resets the end that the data was for, in the name of the other: it has got everything up
    /// to `next`, so that number is the one it believes (RFC 5961 §3.2).
    fn reset_other_end(&mut self, now: Now, parsed: &Parsed, next: u32) {
        let L4::Tcp(Tcp { sport, dport, ack, .. }) = parsed.l4 else { return };
        if !self.limit.take(now.at) {
            self.counters.replies_limited.add(1);
            return;
        }
        self.counters.replies.add(1);
        self.emitted.push(framed(&build::tcp(&TcpReply {
            src: parsed.src,
            dst: parsed.dst,
            sport,
            dport,
            seq: next,
            ack,
            flags: TcpFlags::RST | TcpFlags::ACK,
            window: 0,
            ttl: REPLY_TTL,
        })));
    }
}

/// The sequence number of the first byte of a segment's data; a SYN takes one itself.
fn first_byte(tcp: Tcp) -> u32 {
    tcp.seq.wrapping_add(u32::from(tcp.flags.contains(TcpFlags::SYN)))
}

/// What a packet carries behind its TCP or UDP header; behind its IP headers if it is another.
fn data<'a>(packet: &'a Packet<'_>) -> &'a [u8] {
    let parsed = &packet.parsed;
    let header = match parsed.l4 {
        L4::Tcp(tcp) => usize::from(tcp.data_offset),
        L4::Udp(_) => UDP_HEADER,
        L4::Icmp(_) | L4::Other | L4::Fragment => 0,
    };
    let start = usize::from(parsed.l4_offset) + header;
    let end = usize::try_from(parsed.total_len).unwrap_or(usize::MAX);
    packet.bytes.get(start..end).unwrap_or(&[])
}

fn either(new: u16, old: u16) -> u16 {
    if new == 0 { old } else { new }
}

/// A final verdict, with what the one that asked for inspection said where it is silent.
fn merged(asked: &Decision, decided: Decision) -> Decision {
    Decision {
        keep: if decided.keep == Keep::State { asked.keep } else { decided.keep },
        label: either(decided.label, asked.label),
        log: decided.log || asked.log,
        timeouts: decided.timeouts.or(asked.timeouts),
        allow_options: decided.allow_options || asked.allow_options,
        each: decided.each || asked.each,
        ..decided
    }
}
