//! A packet of no known state: the policies decide, and what passes makes a state.

use evergate_abi::{Keep, Request};
use evergate_policy::{Action, Decision};
use evergate_state::{Side, State, StateKey, StateOptions, TimeoutSet, Tracking};
use evergate_table::InsertError;
use evergate_wire::build::{self, IcmpErrorKind};
use evergate_wire::{DropReason, IpOptions, L4, Parsed, VnetHdr};

use super::{Fate, Found, LOG_MAX, LogEvent, Now, Packet, Worker};
use crate::IfId;
use crate::fib::Egress;
use crate::gateway::DefaultVerdict;
use crate::request::{self, Circumstances};

impl Worker {
    pub(super) fn miss(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        keyed: Option<(StateKey, Side)>,
    ) -> Fate {
        let (asked, decision, out_if) = self.ask_chain(now, packet);
        if matches!(decision.action, Action::Inspect { .. }) {
            return self.begin_inspection(now, packet, keyed, (asked, decision), out_if);
        }
        let fate = self.carry_out(now, packet, keyed, &decision, out_if);
        if decision.log {
            self.log(now, packet, &decision, out_if, matches!(fate, Fate::Pass));
        }
        fate
    }

    /// Asks the policies by the packet's headers.
    pub(super) fn ask_chain(&mut self, now: Now, packet: &Packet<'_>) -> (Request, Decision, IfId) {
        let egress = self.gateway.fib.load().egress(packet.parsed.dst);
        let out_if = egress.interface();
        let mut asked = request::build(
            &packet.parsed,
            Circumstances {
                in_if: self.ingress,
                out_if,
                local: egress == Egress::Local,
                reassembled: packet.reassembled,
                super_packet: packet.vnet.gso_type != VnetHdr::GSO_NONE,
                options: packet.parsed.options != IpOptions::None,
            },
        );
        self.counters.decisions.add(1);
        let decision = self.runner.decide(now.at.as_nanos(), now.wall_s, &mut asked);
        (asked, decision, out_if)
    }

    pub(super) fn carry_out(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        keyed: Option<(StateKey, Side)>,
        decision: &Decision,
        out_if: IfId,
    ) -> Fate {
        let parsed = &packet.parsed;
        match decision.action {
            Action::Pass => self.pass(now, parsed, keyed, decision, out_if),
            Action::Default if self.gateway.default == DefaultVerdict::Pass => {
                self.pass(now, parsed, keyed, decision, out_if)
            }
            Action::Block | Action::Default => Fate::Drop(DropReason::Match),
            Action::Failed | Action::Inspect { .. } => Fate::Drop(DropReason::Policy),
            // Of another protocol than TCP it is dropped without an answer (ABI.md).
            Action::ReturnRst => Fate::Answer(
                DropReason::Match,
                build::tcp_reset_for(packet.bytes, parsed, packet.checksum_status()),
            ),
            Action::ReturnIcmp { code } => self.return_icmp(packet, code),
        }
    }

    fn return_icmp(&self, packet: &Packet<'_>, code: Option<u8>) -> Fate {
        let parsed = &packet.parsed;
        let from = self.gateway.fib.load().own_address(self.ingress, parsed.af);
        let answer = from.and_then(|from| {
            let kind = match code {
                Some(code) => IcmpErrorKind::unreachable(parsed.af, code),
                None => IcmpErrorKind::port_unreachable(parsed.af),
            };
            build::icmp_error(from, kind, packet.bytes, parsed)
        });
        Fate::Answer(DropReason::Match, answer)
    }

    pub(super) fn pass(
        &mut self,
        now: Now,
        parsed: &Parsed,
        keyed: Option<(StateKey, Side)>,
        decision: &Decision,
        out_if: IfId,
    ) -> Fate {
        if parsed.needs_allow_opts() && !decision.allow_options {
            return Fate::Drop(DropReason::IpOption);
        }
        let (Some((key, side)), Some(tracking)) = (keyed, tracking(decision.keep)) else {
            return Fate::Pass;
        };
        let options = StateOptions {
            tracking,
            timeouts: match &decision.timeouts {
                Some(overrides) => self.gateway.timeouts.intern(overrides),
                None => TimeoutSet(0),
            },
            label: decision.label,
            tag: decision.tag,
            policy: decision.policy,
            rule: decision.rule,
            in_if: self.ingress.0,
            out_if: out_if.0,
            log: decision.log,
            allow_options: decision.allow_options,
        };
        let id = self.gateway.state_id();
        let mut state = match State::create(id, now.at, key, side, parsed, options) {
            Ok(state) => state,
            Err(reason) => return Fate::Drop(reason),
        };
        let asked = match parsed.l4 {
            L4::Tcp(_) => matches!(decision.action, Action::Inspect { .. }),
            L4::Udp(_) | L4::Icmp(_) | L4::Other | L4::Fragment => decision.each,
        };
        state.set_inspected(asked);
        match self.gateway.table.insert(state) {
            Ok(()) => {
                self.counters.inserts.add(1);
                Fate::Pass
            }
            Err(InsertError::Limit) => Fate::Drop(DropReason::StateLimit),
            // Another worker was faster: the packet belongs to that state.
            Err(InsertError::Exists) => match self.look_up(now.at, &key, side, parsed) {
                Some(Found::Tracked(evergate_state::Track::Pass)) => Fate::Pass,
                Some(Found::OptionsRefused) => Fate::Drop(DropReason::IpOption),
                Some(Found::Tracked(_) | Found::Expired | Found::Inspected) | None => {
                    Fate::Drop(DropReason::StateInsert)
                }
            },
        }
    }

    pub(super) fn log(
        &mut self,
        now: Now,
        packet: &Packet<'_>,
        decision: &Decision,
        out_if: IfId,
        passed: bool,
    ) {
        if self.log.len() >= LOG_MAX {
            self.counters.log_lost.add(1);
            return;
        }
        let parsed = &packet.parsed;
        let (sport, dport) = request::ports(parsed);
        self.log.push_back(LogEvent {
            at: now.at,
            in_if: self.ingress,
            out_if,
            passed,
            policy: decision.policy,
            rule: decision.rule,
            proto: parsed.proto,
            src: (parsed.src, sport),
            dst: (parsed.dst, dport),
            length: parsed.total_len,
        });
    }
}

fn tracking(keep: Keep) -> Option<Tracking> {
    match keep {
        Keep::State => Some(Tracking::Strict),
        Keep::Loose => Some(Tracking::Loose),
        Keep::Sloppy => Some(Tracking::Sloppy),
        Keep::None => None,
    }
}
