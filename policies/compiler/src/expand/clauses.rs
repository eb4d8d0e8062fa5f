//! The options of a rule gathered and checked, before lists are multiplied out.

use super::settings::state_option_name;
use super::{Expander, not_yet};
use crate::ast::{
    Family, Filter, On, OnItem, RuleAction, RuleOption, Spanned, StateKind, StateOption,
};
use crate::diagnostic::Span;
use crate::program::{Condition, Keep, States};

/// Whose options they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Pass,
    Block,
    Match,
    Anchor,
}

impl From<RuleAction> for Owner {
    fn from(action: RuleAction) -> Self {
        match action {
            RuleAction::Pass => Self::Pass,
            RuleAction::Block(_) => Self::Block,
            RuleAction::Match => Self::Match,
        }
    }
}

type IcmpTypes = Vec<Spanned<(u8, Option<u8>)>>;

/// What the options of a rule say.
#[derive(Default)]
pub(super) struct Clauses {
    /// Conditions that are the same for all rules of a list.
    pub(super) conditions: Vec<Condition>,
    pub(super) flags: Option<Option<(u8, u8)>>,
    pub(super) icmp: Option<(Family, IcmpTypes)>,
    pub(super) tag: Option<u16>,
    pub(super) label: Option<Spanned<String>>,
    pub(super) allow_options: bool,
    pub(super) states: States,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

impl Expander<'_> {
    /// Gathers; `None` if something was refused. Goes on after an error, to tell them all.
    pub(super) fn clauses(&mut self, filter: &Filter, owner: Owner) -> Option<Clauses> {
        let before = self.report.diagnostics.len();
        let errors = self.report.has_errors();
        let mut clauses = Clauses::default();
        self.refuse_unsupported_parts(filter, owner);
        let mut seen: Vec<&'static str> = Vec::new();
        let mut state = None;
        for option in &filter.options {
            let name = match option.node {
                RuleOption::State(..) => "state",
                RuleOption::Tagged { .. } | RuleOption::ReceivedOn { .. } => "",
                RuleOption::Flags(_)
                | RuleOption::Icmp { .. }
                | RuleOption::Tos(_)
                | RuleOption::Tag(_)
                | RuleOption::Label(_)
                | RuleOption::AllowOpts
                | RuleOption::Fragment
                | RuleOption::Once
                | RuleOption::Probability(_)
                | RuleOption::MaxPacketRate(..)
                | RuleOption::Owner(..)
                | RuleOption::Scrub(_)
                | RuleOption::Pool(..)
                | RuleOption::AfTo(..)
                | RuleOption::DivertTo(..)
                | RuleOption::DivertReply
                | RuleOption::DivertPacket(_)
                | RuleOption::Rtable(_)
                | RuleOption::Set(_)
                | RuleOption::Prio(_) => option.node.name(),
            };
            if !name.is_empty() && seen.contains(&name) {
                self.report.error(option.span, format!("`{name}` stands twice in the rule"));
                continue;
            }
            seen.push(name);
            if owner == Owner::Anchor && !fits_anchor(&option.node) {
                let message = format!("an anchor cannot have `{}`", option.node.name());
                self.report.error_mend(option.span, message, "give it to the rules inside");
                continue;
            }
            if let RuleOption::State(kind, options) = &option.node {
                state = Some((*kind, options.as_slice(), option.span));
                continue;
            }
            self.clause(&option.node, option.span, owner, &mut clauses);
        }
        self.check_protocols(filter, &clauses);
        clauses.states = self.states(owner, filter, clauses.flags, state);
        let new = &self.report.diagnostics[before.min(self.report.diagnostics.len())..];
        let failed = new.iter().any(|d| d.severity == crate::Severity::Error)
            || (!errors && self.report.has_errors());
        (!failed && !self.full).then_some(clauses)
    }

    fn refuse_unsupported_parts(&mut self, filter: &Filter, owner: Owner) {
        if let On::Rdomain(_) = filter.on {
            let span = filter.options.first().map_or(Span::default(), |o| o.span);
            self.refuse(span, "on rdomain");
        }
        if let Some(log) = &filter.log {
            if owner == Owner::Anchor {
                self.report.error(log.span, "an anchor cannot have `log`");
            }
            for option in &log.node.options {
                self.refuse(option.span, &format!("log ({})", option.node));
            }
        }
        for os in filter.from.os.iter().chain(&filter.to.os) {
            self.refuse(os.span, "os");
        }
    }

    fn clause(&mut self, option: &RuleOption, span: Span, owner: Owner, clauses: &mut Clauses) {
        match option {
            RuleOption::Flags(flags) => {
                clauses.flags = Some(*flags);
                if let Some((set, mask)) = *flags {
                    clauses.conditions.push(Condition::Flags { set, mask });
                }
            }
            RuleOption::Icmp { family, types } => clauses.icmp = Some((*family, types.clone())),
            RuleOption::Tos(tos) => clauses.conditions.push(Condition::Tos(*tos)),
            RuleOption::Tag(name) => clauses.tag = self.tag_index(name, span),
            RuleOption::Tagged { negated, name } => {
                if let Some(tag) = self.tag_index(name, span) {
                    clauses.conditions.push(Condition::Tagged { tag, negated: *negated });
                }
            }
            RuleOption::Label(label) => {
                clauses.label = Some(Spanned::new(label.clone(), span));
            }
            RuleOption::AllowOpts if owner != Owner::Pass => {
                self.report.error(span, "only pass rules can have `allow-opts`");
            }
            RuleOption::AllowOpts => clauses.allow_options = true,
            RuleOption::Probability(chance) => {
                if let Ok(chance) = u32::try_from(*chance) {
                    clauses.conditions.push(Condition::Chance(chance));
                }
            }
            RuleOption::ReceivedOn { negated, name } => {
                let item = OnItem { negated: *negated, name: name.clone() };
                if let Some(set) = self.interface_set(&item, span) {
                    clauses.conditions.push(Condition::ReceivedOn(set));
                }
            }
            RuleOption::Pool(name, _) => self.refuse(span, name),
            RuleOption::State(..) => {}
            RuleOption::Fragment => {
                let mend = "the gateway puts fragments together before it looks at rules";
                self.report.error_mend(span, not_yet("fragment"), mend);
            }
            RuleOption::Once
            | RuleOption::MaxPacketRate(..)
            | RuleOption::Owner(..)
            | RuleOption::Scrub(_)
            | RuleOption::AfTo(..)
            | RuleOption::DivertTo(..)
            | RuleOption::DivertReply
            | RuleOption::DivertPacket(_)
            | RuleOption::Rtable(_)
            | RuleOption::Set(_)
            | RuleOption::Prio(_) => self.refuse(span, option.name()),
        }
    }

    /// Ports, flags and types need their protocol.
    fn check_protocols(&mut self, filter: &Filter, clauses: &Clauses) {
        let all = |allowed: &[u8]| {
            !filter.protocols.is_empty()
                && filter.protocols.iter().all(|p| allowed.contains(&p.node))
        };
        let ports = filter.from.ports.first().or(filter.to.ports.first());
        if let Some(port) = ports
            && !all(&[TCP, UDP])
        {
            let mend = "add proto tcp, proto udp or proto { tcp udp }";
            self.report.error_mend(port.span, "`port` needs TCP or UDP", mend);
        }
        let span = |name: &str| {
            let option = filter.options.iter().find(|option| option.node.name() == name);
            option.map_or(Span::default(), |option| option.span)
        };
        if matches!(clauses.flags, Some(Some(_))) && !filter.protocols.is_empty() && !all(&[TCP]) {
            self.report.error_mend(span("flags"), "`flags` needs TCP", "add proto tcp");
        }
        let Some((family, _)) = &clauses.icmp else { return };
        let (name, proto, other) = match family {
            Family::V4 => ("icmp-type", ICMP, Family::V6),
            Family::V6 => ("icmp6-type", ICMP6, Family::V4),
        };
        if !all(&[proto]) {
            let wanted = if proto == ICMP { "icmp" } else { "icmp6" };
            let mend = format!("add proto {wanted}");
            self.report.error_mend(span(name), format!("`{name}` needs `proto {wanted}`"), mend);
        }
        if filter.family == Some(other) {
            let message = format!("`{name}` and `{other}` exclude each other");
            self.report.error(span(name), message);
        }
    }

    fn states(
        &mut self,
        owner: Owner,
        filter: &Filter,
        flags: Option<Option<(u8, u8)>>,
        state: Option<(StateKind, &[Spanned<StateOption>], Span)>,
    ) -> States {
        let mut states = States { keep: Keep::State, timeouts: self.defaults.timeouts };
        let mut sloppy = self.defaults.sloppy;
        if let Some((kind, options, span)) = state {
            match kind {
                StateKind::No if options.is_empty() => states.keep = Keep::None,
                StateKind::No => {
                    self.report.error(span, "`no state` has no options");
                }
                StateKind::Keep => {}
                StateKind::Modulate => self.refuse(span, "modulate state"),
                StateKind::Synproxy => self.refuse(span, "synproxy state"),
            }
            if owner == Owner::Block || owner == Owner::Match {
                self.report.error(span, "only pass rules keep states");
            }
            for option in options {
                match &option.node {
                    StateOption::Sloppy => sloppy = true,
                    StateOption::Floating => {}
                    StateOption::Timeout(name, seconds) => {
                        self.timeout(name, *seconds, option.span, &mut states.timeouts);
                    }
                    StateOption::Max(_)
                    | StateOption::NoSync
                    | StateOption::Pflow
                    | StateOption::IfBound
                    | StateOption::SourceTrack(_)
                    | StateOption::MaxSource(..)
                    | StateOption::MaxSourceRate(..)
                    | StateOption::Overload { .. } => {
                        self.refuse(option.span, state_option_name(&option.node));
                    }
                }
            }
        }
        if states.keep == Keep::None {
            states.timeouts = [[0; 6]; 4];
            return states;
        }
        let from_syn = match flags {
            None => true,
            Some(Some((set, mask))) => set & 2 != 0 && mask & 16 != 0 && set & 16 == 0,
            Some(None) => false,
        };
        let tcp = filter.protocols.is_empty() || filter.protocols.iter().any(|p| p.node == TCP);
        if sloppy {
            states.keep = Keep::Sloppy;
        } else if tcp && !from_syn {
            states.keep = Keep::Loose;
        }
        states
    }
}

/// Whether an anchor's own condition may use an option.
fn fits_anchor(option: &RuleOption) -> bool {
    match option {
        RuleOption::Flags(_)
        | RuleOption::Icmp { .. }
        | RuleOption::Tos(_)
        | RuleOption::Tagged { .. }
        | RuleOption::Probability(_)
        | RuleOption::ReceivedOn { .. }
        | RuleOption::Owner(..)
        | RuleOption::Fragment => true,
        RuleOption::Tag(_)
        | RuleOption::Label(_)
        | RuleOption::State(..)
        | RuleOption::AllowOpts
        | RuleOption::Once
        | RuleOption::MaxPacketRate(..)
        | RuleOption::Scrub(_)
        | RuleOption::Pool(..)
        | RuleOption::AfTo(..)
        | RuleOption::DivertTo(..)
        | RuleOption::DivertReply
        | RuleOption::DivertPacket(_)
        | RuleOption::Rtable(_)
        | RuleOption::Set(_)
        | RuleOption::Prio(_) => false,
    }
}
