//! Anchors dissolved: their conditions before those of their rules.
//!
//! What an anchor asks of tags and chance is asked once, when it is reached: a marker opens a
//! gate for its rules. A quick anchor ends with a marker that leaves if something in it matched.

use evergate_rules_kernel::layout::GATES_MAX;

use super::clauses::Owner;
use super::{ANCHOR_VISITS_MAX, Expander};
use crate::ast::{Anchor, Spanned, Statement};
use crate::diagnostic::Span;
use crate::parser::ANCHORS_MAX;
use crate::program::{Condition, FlatRule, Kind};

/// An anchor's path from the top: relative ones start at `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    let mut parts: Vec<&str> = match name.starts_with('/') {
        true => Vec::new(),
        false => path.split('/').filter(|part| !part.is_empty()).collect(),
    };
    for part in name.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn marker(kind: Kind, conditions: Vec<Condition>) -> FlatRule {
    FlatRule {
        number: 0,
        kind,
        quick: kind == Kind::Leave,
        log: false,
        conditions,
        tag: None,
        label: None,
        answer: Default::default(),
        states: Default::default(),
        allow_options: false,
    }
}

fn is_dynamic(condition: &Condition) -> bool {
    match condition {
        Condition::Tagged { .. } | Condition::Chance(_) => true,
        Condition::Direction(_)
        | Condition::Interface(_)
        | Condition::Family(_)
        | Condition::Protocol(_)
        | Condition::Address { .. }
        | Condition::Table { .. }
        | Condition::Port { .. }
        | Condition::Flags { .. }
        | Condition::IcmpType(_)
        | Condition::IcmpCode(_)
        | Condition::Tos(_)
        | Condition::ReceivedOn(_)
        | Condition::UrpfFailed { .. }
        | Condition::Gate(_)
        | Condition::Since(_) => false,
    }
}

impl<'a> Expander<'a> {
    pub(super) fn anchor(&mut self, anchor: &'a Anchor, span: Span) {
        self.visits += 1;
        if self.visits > ANCHOR_VISITS_MAX || self.depth >= ANCHORS_MAX {
            let message = if self.visits > ANCHOR_VISITS_MAX {
                format!("more than {ANCHOR_VISITS_MAX} anchors are entered")
            } else {
                format!("anchors are nested deeper than {ANCHORS_MAX}")
            };
            self.report.error(span, message);
            self.full = true;
            return;
        }
        let Some(clauses) = self.clauses(&anchor.filter, Owner::Anchor) else { return };
        let Some(choices) = self.choices(&anchor.filter, &clauses, span) else { return };
        let mut fitting = 0;
        for choice in choices {
            match self.conditions(&anchor.filter, &clauses, choice) {
                Err(()) => return,
                Ok(None) => {}
                Ok(Some(conditions)) => {
                    fitting += 1;
                    self.depth += 1;
                    self.enter(anchor, conditions, span);
                    self.depth -= 1;
                }
            }
            if self.full || self.report.is_full() {
                return;
            }
        }
        if fitting == 0 {
            self.report.error(span, "no combination of its addresses is of one family");
        }
    }

    /// The rules of an anchor whose condition is given.
    fn enter(&mut self, anchor: &'a Anchor, conditions: Vec<Condition>, span: Span) {
        let Some(conditions) = self.gated(conditions, span) else { return };
        let first = u16::try_from(self.program.rules.len()).unwrap_or(u16::MAX);
        let outer = std::mem::replace(&mut self.around, conditions);
        match (&anchor.body, &anchor.name) {
            (Some(body), name) => {
                let name = name.as_ref().map_or("_", |name| name.node.as_str());
                self.inside(name, body);
            }
            (None, Some(name)) => self.evaluate_named(name),
            (None, None) => {}
        }
        if anchor.filter.quick && !self.full {
            let mut conditions = self.around.clone();
            conditions.push(Condition::Since(first));
            self.push(marker(Kind::Leave, conditions), span);
        }
        self.around = outer;
    }

    fn inside(&mut self, name: &str, body: &'a [Spanned<Statement>]) {
        self.path.push(name.to_owned());
        self.statements(body);
        self.path.pop();
    }

    /// Puts a gate in the place of conditions on tags and chance.
    fn gated(&mut self, conditions: Vec<Condition>, span: Span) -> Option<Vec<Condition>> {
        let own = self.around.len();
        if !conditions.iter().skip(own).any(is_dynamic) {
            return Some(conditions);
        }
        let next = self.gates;
        let Some(gate) = u8::try_from(next).ok().filter(|_| usize::from(next) < GATES_MAX) else {
            let message = format!("more than {GATES_MAX} anchors depend on tags or chance");
            self.report.error(span, message);
            return None;
        };
        self.gates += 1;
        if !self.push(marker(Kind::OpenGate(gate), conditions.clone()), span) {
            return None;
        }
        let mut rest: Vec<Condition> = conditions.into_iter().filter(|c| !is_dynamic(c)).collect();
        rest.push(Condition::Gate(gate));
        Some(rest)
    }

    /// The rules that were loaded into an anchor, or into the children of `name/*`.
    fn evaluate_named(&mut self, name: &Spanned<String>) {
        let full = join(&self.path.join("/"), &name.node);
        let mut bodies: Vec<(String, &'a [Spanned<Statement>])> = Vec::new();
        if let Some(parent) = full.strip_suffix('*') {
            for (path, body) in &self.loaded {
                let child = path.strip_prefix(parent);
                if child.is_some_and(|child| !child.is_empty() && !child.contains('/')) {
                    bodies.push((path.clone(), body));
                }
            }
        } else if let Some(body) = self.loaded.get(&full) {
            bodies.push((full.clone(), body));
        }
        if bodies.is_empty() {
            let message = format!("the anchor \"{full}\" is empty");
            let mend = "this version fills anchors only by `load anchor` in the rules file";
            self.report.warn(name.span, message, Some(mend.to_owned()));
        }
        for (path, body) in bodies {
            let outer = std::mem::take(&mut self.path);
            self.path = path.split('/').map(str::to_owned).collect();
            self.statements(body);
            self.path = outer;
        }
    }
}
