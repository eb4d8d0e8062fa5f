//! `set …`, and timeouts by their names.

use super::{Expander, not_yet};
use crate::ast::{OnItem, Reply, SetOption, Spanned, StateOption, Statement};
use crate::diagnostic::Span;
use crate::names;
use crate::program::{InterfaceSet, Timeouts};

/// Where a timeout's value goes: kind of protocol, field.
pub(super) fn timeout_place(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "tcp.first" => (0, 0),
        "tcp.opening" => (0, 1),
        "tcp.established" => (0, 2),
        "tcp.closing" => (0, 3),
        "tcp.finwait" => (0, 4),
        "tcp.closed" => (0, 5),
        "udp.first" => (1, 0),
        "udp.single" => (1, 1),
        "udp.multiple" => (1, 2),
        "icmp.first" => (2, 0),
        "other.first" => (3, 0),
        "other.single" => (3, 1),
        "other.multiple" => (3, 2),
        _ => return None,
    })
}

impl Expander<'_> {
    pub(super) fn settings_of(&mut self, statements: &[Spanned<Statement>]) {
        let mut explicit = [[0; 6]; 4];
        for statement in statements {
            let Statement::Set(options) = &statement.node else { continue };
            for option in options {
                self.setting(&option.node, option.span, &mut explicit);
            }
        }
        for (kind, set) in explicit.iter().enumerate() {
            for (field, seconds) in set.iter().enumerate() {
                if *seconds != 0 {
                    self.defaults.timeouts[kind][field] = *seconds;
                }
            }
        }
    }

    fn setting(&mut self, option: &SetOption, span: Span, explicit: &mut [Timeouts; 4]) {
        match option {
            SetOption::BlockPolicy(reply) => {
                self.defaults.block_return = *reply == Reply::Return;
                self.settings.block_return = self.defaults.block_return;
            }
            SetOption::Skip(items) => self.skip(items),
            SetOption::StatePolicy(word) if word == "if-bound" => {
                self.refuse(span, "state-policy if-bound");
            }
            SetOption::StatePolicy(_) => {}
            SetOption::Limit(name, n) => {
                self.settings.limits.push((name.clone(), *n));
                let message = format!("`set limit {name}` is the whole gateway's business");
                let mend = "rules do not change it; write it under [limits] in gateway.toml";
                self.report.warn(span, message, Some(mend.to_owned()));
            }
            SetOption::Timeout(name, seconds) => {
                self.settings.timeouts.push((name.clone(), *seconds));
                self.timeout(name, *seconds, span, explicit);
            }
            SetOption::Optimization(word) => {
                self.settings.optimization = Some(word.clone());
                let profile = names::OPTIMIZATIONS.iter().find(|(name, _)| name == word);
                if let Some((_, Some(tcp))) = profile {
                    self.defaults.timeouts[0] = *tcp;
                }
            }
            SetOption::RulesetOptimization(word) if word == "profile" => {
                self.refuse(span, "ruleset-optimization profile");
            }
            SetOption::RulesetOptimization(_) => {}
            SetOption::LogInterface(name) => {
                let message = format!("`set loginterface {name}` changes nothing");
                let mend = "the gateway counts every interface: evergate show interfaces";
                self.report.warn(span, message, Some(mend.to_owned()));
            }
            SetOption::Reassemble { yes: true, no_df: false } => {}
            SetOption::Reassemble { yes: true, .. } => self.refuse(span, "reassemble yes no-df"),
            SetOption::Reassemble { yes: false, .. } => self.refuse(span, "reassemble no"),
            SetOption::Syncookies(word, _) if word == "never" => {}
            SetOption::Syncookies(word, _) => self.refuse(span, &format!("syncookies {word}")),
            SetOption::HostId(_) => self.refuse(span, "hostid"),
            SetOption::Debug(_) => self.refuse(span, "debug"),
            SetOption::Fingerprints(_) => self.refuse(span, "fingerprints"),
            SetOption::StateDefaults(options) => self.state_defaults(options, explicit),
        }
    }

    fn skip(&mut self, items: &[Spanned<OnItem>]) {
        let mut bits = self.program.skip.map_or(0, |set| set.0);
        for item in items {
            if item.node.negated {
                self.report.error(item.span, "`set skip on` cannot be negated");
                continue;
            }
            self.settings.skip.push(item.node.name.clone());
            bits |= self.interface_set(&item.node, item.span).map_or(0, |set| set.0);
        }
        self.program.skip = Some(InterfaceSet(bits));
    }

    fn state_defaults(&mut self, options: &[Spanned<StateOption>], explicit: &mut [Timeouts; 4]) {
        for option in options {
            match &option.node {
                StateOption::Sloppy => self.defaults.sloppy = true,
                StateOption::Floating => {}
                StateOption::Timeout(name, seconds) => {
                    self.timeout(name, *seconds, option.span, explicit);
                }
                StateOption::Max(_)
                | StateOption::NoSync
                | StateOption::Pflow
                | StateOption::IfBound
                | StateOption::SourceTrack(_)
                | StateOption::MaxSource(..)
                | StateOption::MaxSourceRate(..)
                | StateOption::Overload { .. } => {
                    let name = state_option_name(&option.node);
                    self.refuse(option.span, name);
                }
            }
        }
    }

    /// Puts a timeout in its place, or says why it cannot.
    pub(super) fn timeout(
        &mut self,
        name: &str,
        seconds: u32,
        span: Span,
        into: &mut [Timeouts; 4],
    ) {
        let Some((kind, field)) = timeout_place(name) else {
            let mend = "it is the whole gateway's: write it under [timeouts] in gateway.toml";
            self.report.error_mend(span, not_yet(name), mend);
            return;
        };
        if seconds == 0 {
            let message = format!("`{name}` cannot be 0");
            self.report.error_mend(span, message, "1 is the shortest");
            return;
        }
        into[kind][field] = seconds;
    }

    pub(super) fn refuse(&mut self, span: Span, name: &str) {
        self.report.error(span, not_yet(name));
    }
}

/// The name by which an option of a state is refused.
pub(super) fn state_option_name(option: &StateOption) -> &'static str {
    match option {
        StateOption::Max(_) => "max",
        StateOption::NoSync => "no-sync",
        StateOption::Sloppy => "sloppy",
        StateOption::Pflow => "pflow",
        StateOption::IfBound => "if-bound",
        StateOption::Floating => "floating",
        StateOption::SourceTrack(_) => "source-track",
        StateOption::MaxSource(name, _) => name,
        StateOption::MaxSourceRate(..) => "max-src-conn-rate",
        StateOption::Overload { .. } => "overload",
        StateOption::Timeout(..) => "timeout",
    }
}
