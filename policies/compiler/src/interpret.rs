//! The reference interpreter: slow and obvious. Every rule in turn, the last match wins.
//!
//! It says what the compiled module has to say, and is what tests and `rules test` compare with.

use evergate_abi::{Direction as Way, Request};

use crate::ast::{Direction, Family};
use crate::program::{
    Answer, Bits, Condition, FlatRule, Keep, Kind, Program, Side, States, Unmatched,
};

/// What the interpreter asks of the gateway.
pub trait Surroundings {
    /// Returns the name of an interface id, if there is such an interface.
    fn interface(&self, id: u16) -> Option<&str>;
    /// Tells whether an address is in a table of the gateway.
    fn in_table(&self, table: &str, address: &[u8; 16]) -> bool;
    /// Returns the id of a tag.
    fn tag_id(&self, tag: &str) -> u16;
    /// Draws 32 random bits.
    fn chance(&self) -> u32;
}

/// What shall happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decision {
    /// It passes.
    #[default]
    Pass,
    /// It is dropped.
    Block,
    /// It is dropped, and TCP is answered with a reset.
    ReturnRst,
    /// It is dropped and answered with an ICMP error of this code.
    ReturnIcmp(Option<u8>),
    /// The next policy is asked.
    Continue,
}

/// The verdict on one packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What shall happen.
    pub decision: Decision,
    /// Number of the rule that decided, 0 for none.
    pub rule: u16,
    /// Whether it is logged.
    pub log: bool,
    /// How a state is kept.
    pub keep: Keep,
    /// Its timeouts.
    pub timeouts: [u32; 6],
    /// Id of a tag that the rules set.
    pub tag: Option<u16>,
    /// The state's label.
    pub label: Option<String>,
    /// Whether IP options may pass.
    pub allow_options: bool,
}

/// What one evaluation came to.
#[derive(Clone, Copy, Default)]
struct Evaluation<'a> {
    rule: Option<&'a FlatRule>,
    log: bool,
    label: Option<u16>,
    skipped: bool,
    took_place: bool,
}

struct Walk<'a> {
    program: &'a Program,
    request: &'a Request,
    surroundings: &'a dyn Surroundings,
    tag: u16,
    interface: u32,
    gates: Vec<u8>,
    matched: Option<usize>,
}

/// Decides about one packet.
pub fn decide(program: &Program, request: &Request, surroundings: &dyn Surroundings) -> Outcome {
    let mut walk = Walk {
        program,
        request,
        surroundings,
        tag: request.tag,
        interface: 0,
        gates: Vec::new(),
        matched: None,
    };
    let mut inbound = Evaluation::default();
    if request.direction != Way::FromGateway {
        inbound = walk.evaluate(Direction::In, request.in_if);
        if let Some(outcome) = walk.blocked(inbound, false) {
            return outcome;
        }
    }
    let mut outbound = Evaluation::default();
    if request.direction != Way::ToGateway {
        outbound = walk.evaluate(Direction::Out, request.out_if);
        if let Some(outcome) = walk.blocked(outbound, inbound.logs()) {
            return outcome;
        }
    }
    walk.passed(inbound, outbound)
}

impl Evaluation<'_> {
    fn logs(&self) -> bool {
        self.log || self.rule.is_some_and(|rule| rule.log)
    }

    fn label(&self) -> Option<u16> {
        self.rule.and_then(|rule| rule.label).or(self.label)
    }

    fn states(&self) -> Option<States> {
        self.rule.map(|rule| rule.states)
    }
}

impl<'a> Walk<'a> {
    fn number(&self, id: u16) -> u32 {
        let name = self.surroundings.interface(id);
        let place = name.and_then(|name| self.program.interfaces.iter().position(|i| i == name));
        place.and_then(|place| u32::try_from(place + 1).ok()).unwrap_or(0)
    }

    fn evaluate(&mut self, direction: Direction, interface: u16) -> Evaluation<'a> {
        self.interface = self.number(interface);
        self.gates.clear();
        self.matched = None;
        let mut evaluation = Evaluation { took_place: true, ..Evaluation::default() };
        if self.program.skip.is_some_and(|skip| skip.contains(self.interface)) {
            evaluation.skipped = true;
            return evaluation;
        }
        let program = self.program;
        for (index, rule) in program.rules.iter().enumerate() {
            if !rule.conditions.iter().all(|condition| self.holds(condition, direction)) {
                continue;
            }
            match rule.kind {
                Kind::OpenGate(gate) => {
                    self.gates.push(gate);
                    continue;
                }
                Kind::Leave => return evaluation,
                Kind::Pass | Kind::Block => evaluation.rule = Some(rule),
                Kind::Match => {
                    evaluation.log |= rule.log;
                    evaluation.label = rule.label.or(evaluation.label);
                }
            }
            self.matched = Some(index);
            if let Some(tag) = rule.tag {
                self.tag = self.surroundings.tag_id(&program.tags[usize::from(tag)]);
            }
            if rule.quick {
                break;
            }
        }
        evaluation
    }

    fn holds(&self, condition: &Condition, direction: Direction) -> bool {
        let request = self.request;
        let address = |side: Side| match side {
            Side::Source => &request.src,
            Side::Destination => &request.dst,
        };
        match condition {
            Condition::Direction(wanted) => *wanted == direction,
            Condition::Interface(set) => set.contains(self.interface),
            Condition::Family(Family::V4) => request.af == 4,
            Condition::Family(Family::V6) => request.af == 6,
            Condition::Protocol(proto) => request.proto == *proto,
            Condition::Address { side, first, last, negated } => {
                let bits = Bits::from_be_bytes(*address(*side));
                (*first <= bits && bits <= *last) != *negated
            }
            Condition::Table { side, table, negated } => {
                let name = &self.program.tables[usize::from(*table)].name;
                self.surroundings.in_table(name, address(*side)) != *negated
            }
            Condition::Port { side, first, last, negated } => {
                let port = match side {
                    Side::Source => request.sport,
                    Side::Destination => request.dport,
                };
                (*first <= port && port <= *last) != *negated
            }
            Condition::Flags { set, mask } => {
                request.proto != 6 || request.tcp_flags & mask == *set
            }
            Condition::IcmpType(ty) => request.icmp_type == *ty,
            Condition::IcmpCode(code) => request.icmp_code == *code,
            Condition::Tos(tos) => request.tos == *tos,
            Condition::Tagged { tag, negated } => {
                let id = self.surroundings.tag_id(&self.program.tags[usize::from(*tag)]);
                (self.tag == id) != *negated
            }
            Condition::ReceivedOn(set) => set.contains(self.number(request.in_if)),
            Condition::Chance(chance) => self.surroundings.chance() < *chance,
            Condition::UrpfFailed { negated } => self.urpf_failed() != *negated,
            Condition::Gate(gate) => self.gates.contains(gate),
            Condition::Since(index) => {
                self.matched.is_some_and(|matched| matched >= usize::from(*index))
            }
        }
    }

    fn urpf_failed(&self) -> bool {
        let place = usize::try_from(self.interface).unwrap_or(0);
        let Some(table) = self.program.routes.get(place).copied().flatten() else { return false };
        let link_local = self.request.af == 6
            && self.request.src[0] == 0xfe
            && self.request.src[1] & 0xc0 == 0x80;
        let name = &self.program.tables[usize::from(table)].name;
        !link_local && !self.surroundings.in_table(name, &self.request.src)
    }

    fn new_tag(&self) -> Option<u16> {
        (self.tag != self.request.tag).then_some(self.tag)
    }

    fn label_name(&self, label: Option<u16>) -> Option<String> {
        label.map(|label| self.program.labels[usize::from(label)].clone())
    }

    fn blocked(&self, evaluation: Evaluation<'_>, log: bool) -> Option<Outcome> {
        let rule = evaluation.rule.filter(|rule| rule.kind == Kind::Block)?;
        Some(Outcome {
            decision: decision_of(rule.answer, self.request),
            rule: rule.number,
            log: log || evaluation.logs(),
            tag: self.new_tag(),
            label: self.label_name(evaluation.label()),
            ..Outcome::default()
        })
    }

    fn passed(&self, inbound: Evaluation<'_>, outbound: Evaluation<'_>) -> Outcome {
        let mut outcome = Outcome {
            log: inbound.logs() || outbound.logs(),
            tag: self.new_tag(),
            ..Outcome::default()
        };
        let Some(first) = inbound.rule.or(outbound.rule) else {
            let skipped = inbound.skipped || outbound.skipped;
            if self.program.unmatched == Unmatched::Continue && !skipped {
                outcome.decision = Decision::Continue;
                return outcome;
            }
            outcome.keep = Keep::None;
            outcome.label = self.label_name(inbound.label().or(outbound.label()));
            return outcome;
        };
        outcome.rule = first.number;
        outcome.label = self.label_name(inbound.label().or(outbound.label()));
        outcome.keep = strictest(inbound.states(), outbound.states());
        outcome.allow_options = [inbound, outbound].iter().all(|evaluation| {
            !evaluation.took_place
                || evaluation.skipped
                || evaluation.rule.is_some_and(|rule| rule.allow_options)
        });
        if outcome.keep != Keep::None {
            let kind = match self.request.proto {
                6 => 0,
                17 => 1,
                1 | 58 => 2,
                _ => 3,
            };
            let of = |states: Option<States>, n: usize| {
                states.map_or(0, |states| states.timeouts[kind][n])
            };
            for (n, seconds) in outcome.timeouts.iter_mut().enumerate() {
                let own = of(inbound.states(), n);
                *seconds = if own == 0 { of(outbound.states(), n) } else { own };
            }
        }
        outcome
    }
}

fn decision_of(answer: Answer, request: &Request) -> Decision {
    let tcp = request.proto == 6;
    if tcp && answer.reset {
        return Decision::ReturnRst;
    }
    if answer.icmp {
        return Decision::ReturnIcmp(if request.af == 6 { answer.code6 } else { answer.code4 });
    }
    if answer.reset { Decision::ReturnRst } else { Decision::Block }
}

/// No state if one of the rules wants none, else the state with the most checks.
fn strictest(inbound: Option<States>, outbound: Option<States>) -> Keep {
    let rank = |keep: Keep| match keep {
        Keep::None => 0,
        Keep::State => 1,
        Keep::Loose => 2,
        Keep::Sloppy => 3,
    };
    let all = [inbound, outbound];
    all.iter().flatten().map(|s| s.keep).min_by_key(|keep| rank(*keep)).unwrap_or_default()
}
