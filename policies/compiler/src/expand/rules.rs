//! A rule's lists multiplied out, in pf's order: interfaces, protocols, types, sources, their
//! ports, destinations, their ports.

use super::clauses::{Clauses, Owner};
use super::hosts::HostCondition;
use super::{Expander, RULES_MAX, TIMEOUT_SETS_MAX};
use crate::RuleInfo;
use crate::ast::{
    Antispoof, End, Family, Filter, Host, HostKind, Modifiers, On, OnItem, Part, Reply, Rule,
    RuleAction, RuleOption, Spanned, Test,
};
use crate::diagnostic::Span;
use crate::program::{Answer, Condition, FlatRule, Kind, Side};

const TCP: u8 = 6;

/// One of each list.
#[derive(Clone, Copy)]
pub(super) struct Choice<'r> {
    on: Option<&'r Spanned<OnItem>>,
    protocol: Option<u8>,
    icmp: Option<(Family, u8, Option<u8>)>,
    from: Option<&'r Spanned<Host>>,
    from_port: Option<Test>,
    to: Option<&'r Spanned<Host>>,
    to_port: Option<Test>,
}

fn options<T>(items: &[T]) -> Vec<Option<&T>> {
    if items.is_empty() { vec![None] } else { items.iter().map(Some).collect() }
}

impl<'a> Expander<'a> {
    /// All combinations of a filter's lists; an error if they are too many.
    pub(super) fn choices<'r>(
        &mut self,
        filter: &'r Filter,
        clauses: &'r Clauses,
        span: Span,
    ) -> Option<Vec<Choice<'r>>> {
        let on = match &filter.on {
            On::Interfaces(items) => options(items),
            On::Everywhere | On::Any | On::Rdomain(_) => vec![None],
        };
        let types = match &clauses.icmp {
            None => vec![None],
            Some((family, types)) => {
                types.iter().map(|ty| Some((*family, ty.node.0, ty.node.1))).collect()
            }
        };
        let protocols = options(&filter.protocols);
        let (from, to) = (options(&filter.from.hosts), options(&filter.to.hosts));
        let (from_ports, to_ports) = (options(&filter.from.ports), options(&filter.to.ports));
        let product = [&on.len(), &types.len(), &protocols.len(), &from.len(), &to.len()]
            .into_iter()
            .chain([&from_ports.len(), &to_ports.len()])
            .fold(1_usize, |product, n| product.saturating_mul(*n));
        if product > RULES_MAX {
            let message = format!("its lists expand to {product} rules, more than {RULES_MAX}");
            self.report.error_mend(span, message, "put long lists of addresses into tables");
            return None;
        }
        let mut all = Vec::with_capacity(product);
        for on in &on {
            for protocol in &protocols {
                for icmp in &types {
                    for from in &from {
                        for from_port in &from_ports {
                            for to in &to {
                                for to_port in &to_ports {
                                    all.push(Choice {
                                        on: *on,
                                        protocol: protocol.map(|p| p.node),
                                        icmp: *icmp,
                                        from: *from,
                                        from_port: from_port.map(|p| p.node),
                                        to: *to,
                                        to_port: to_port.map(|p| p.node),
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
        Some(all)
    }

    /// The conditions of one combination. `Err`: refused; `Ok(None)`: its families exclude each
    /// other.
    pub(super) fn conditions(
        &mut self,
        filter: &Filter,
        clauses: &Clauses,
        choice: Choice<'_>,
    ) -> Result<Option<Vec<Condition>>, ()> {
        let mut conditions = self.around.clone();
        conditions.extend(filter.direction.map(Condition::Direction));
        if let Some(on) = choice.on {
            let set = self.interface_set(&on.node, on.span).ok_or(())?;
            conditions.push(Condition::Interface(set));
        }
        let none = HostCondition { condition: None, family: None };
        let from = match choice.from {
            Some(host) => self.host_condition(host, Side::Source).ok_or(())?,
            None => none,
        };
        let none = HostCondition { condition: None, family: None };
        let to = match choice.to {
            Some(host) => self.host_condition(host, Side::Destination).ok_or(())?,
            None => none,
        };
        let mut family = filter.family;
        for wanted in [from.family, to.family, choice.icmp.map(|icmp| icmp.0)] {
            match (family, wanted) {
                (Some(family), Some(wanted)) if family != wanted => return Ok(None),
                (None, Some(_)) => family = wanted,
                (Some(_) | None, Some(_) | None) => {}
            }
        }
        conditions.extend(family.map(Condition::Family));
        conditions.extend(choice.protocol.map(Condition::Protocol));
        conditions.extend(from.condition);
        conditions.extend(port(Side::Source, choice.from_port));
        conditions.extend(to.condition);
        conditions.extend(port(Side::Destination, choice.to_port));
        if let Some((_, ty, code)) = choice.icmp {
            conditions.push(Condition::IcmpType(ty));
            conditions.extend(code.map(Condition::IcmpCode));
        }
        conditions.extend(clauses.conditions.iter().cloned());
        Ok(Some(conditions))
    }

    pub(super) fn rule(&mut self, rule: &Rule, span: Span) {
        let owner = Owner::from(rule.action);
        let answer = self.answer(rule, span);
        let clauses = self.clauses(&rule.filter, owner);
        let (Some(answer), Some(mut clauses)) = (answer, clauses) else { return };
        let tcp = |protocol: Option<u8>| protocol.is_none_or(|protocol| protocol == TCP);
        if owner == Owner::Pass && !self.timeout_sets.contains(&clauses.states.timeouts) {
            self.timeout_sets.insert(clauses.states.timeouts);
            if self.timeout_sets.len() > TIMEOUT_SETS_MAX {
                let message = format!("more than {TIMEOUT_SETS_MAX} different sets of timeouts");
                self.report.error(span, message);
                return;
            }
        }
        let stateful = owner == Owner::Pass && clauses.states.keep != crate::program::Keep::None;
        let implied = stateful && clauses.flags.is_none();
        let label = clauses.label.take();
        let Some(choices) = self.choices(&rule.filter, &clauses, span) else { return };
        let mut fitting = 0;
        for choice in choices {
            let conditions = match self.conditions(&rule.filter, &clauses, choice) {
                Err(()) => return,
                Ok(None) => continue,
                Ok(Some(conditions)) => conditions,
            };
            fitting += 1;
            let mut conditions = conditions;
            if implied && tcp(choice.protocol) {
                conditions.push(Condition::Flags { set: 2, mask: 2 | 16 });
            }
            let flat = FlatRule {
                number: 0,
                kind: match owner {
                    Owner::Pass | Owner::Anchor => Kind::Pass,
                    Owner::Block => Kind::Block,
                    Owner::Match => Kind::Match,
                },
                quick: rule.filter.quick,
                log: rule.filter.log.is_some(),
                conditions,
                tag: clauses.tag,
                label: None,
                answer,
                states: if owner == Owner::Pass { clauses.states } else { Default::default() },
                allow_options: clauses.allow_options,
            };
            if !self.add(rule, flat, choice, label.as_ref(), span) {
                return;
            }
        }
        if fitting == 0 {
            let message = "no combination of its addresses is of one family";
            self.report.error(span, message);
        }
    }

    /// Numbers and labels a rule and adds it.
    fn add(
        &mut self,
        rule: &Rule,
        mut flat: FlatRule,
        choice: Choice<'_>,
        label: Option<&Spanned<String>>,
        span: Span,
    ) -> bool {
        let Ok(number) = u16::try_from(self.rules.len() + 1) else { return false };
        flat.number = number;
        let mut shown = None;
        if let Some(label) = label {
            let text = expand_label(&label.node, number, choice);
            let Some(index) = self.label_index(&text, label.span) else { return false };
            flat.label = Some(index);
            shown = Some(text);
        }
        let text = single(rule, choice, shown.as_deref()).to_string();
        let (line, _) = self.report.place(span);
        let file = self.report.name(span.source).to_owned();
        let anchor = (!self.path.is_empty()).then(|| self.path.join("/"));
        if !self.push(flat, span) {
            return false;
        }
        self.rules.push(RuleInfo { number, file, line, anchor, text, label: shown });
        true
    }

    /// How a block answers; for other rules nothing.
    fn answer(&mut self, rule: &Rule, span: Span) -> Option<Answer> {
        let RuleAction::Block(reply) = rule.action else { return Some(Answer::default()) };
        let policy = if self.defaults.block_return { Reply::Return } else { Reply::Drop };
        Some(match reply.unwrap_or(policy) {
            Reply::Drop => Answer::default(),
            Reply::Return => Answer { reset: true, icmp: true, code4: None, code6: None },
            Reply::ReturnRst { ttl: Some(_) } => {
                self.refuse(span, "return-rst (ttl)");
                return None;
            }
            Reply::ReturnRst { ttl: None } => {
                let protocols = &rule.filter.protocols;
                if protocols.is_empty() || protocols.iter().any(|p| p.node != TCP) {
                    let message = "`return-rst` is for TCP only";
                    let mend = "add proto tcp, or use `return`";
                    self.report.error_mend(span, message, mend);
                    return None;
                }
                Answer { reset: true, ..Answer::default() }
            }
            Reply::ReturnIcmp { code4, code6 } => Answer { reset: false, icmp: true, code4, code6 },
        })
    }

    /// `block in on ! IF from IF:network`, and `block in from IF`.
    pub(super) fn antispoof(&mut self, antispoof: &Antispoof, span: Span) {
        for item in &antispoof.interfaces {
            if item.node.negated {
                self.report.error(item.span, "`antispoof` cannot be for `!` an interface");
                continue;
            }
            let host = |part| Host {
                negated: false,
                kind: HostKind::Interface {
                    name: item.node.name.clone(),
                    modifiers: Modifiers { part, first: false },
                    dynamic: false,
                },
                weight: None,
            };
            let elsewhere = OnItem { negated: true, name: item.node.name.clone() };
            let on = On::Interfaces(vec![Spanned::new(elsewhere, item.span)]);
            let loopback = super::is_loopback(&item.node.name);
            let mut both = vec![(on, host(Some(Part::Network)))];
            if !loopback {
                both.push((On::Everywhere, host(None)));
            }
            for (on, host) in both {
                let mut filter = Filter {
                    direction: Some(crate::ast::Direction::In),
                    log: antispoof.log.clone(),
                    quick: antispoof.quick,
                    on,
                    family: antispoof.family,
                    from: End { hosts: vec![Spanned::new(host, item.span)], ..End::default() },
                    ..Filter::default()
                };
                if let Some(label) = &antispoof.label {
                    let option = RuleOption::Label(label.node.clone());
                    filter.options.push(Spanned::new(option, label.span));
                }
                let action = RuleAction::Block(Some(Reply::Drop));
                self.rule(&Rule { action, filter }, span);
            }
        }
    }
}

fn port(side: Side, test: Option<Test>) -> Option<Condition> {
    let narrow = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    match test? {
        Test::Within(0, 65_535) => None,
        Test::Within(first, last) => {
            let (first, last) = (narrow(first), narrow(last));
            Some(Condition::Port { side, first, last, negated: false })
        }
        Test::Without(first, last) => {
            let (first, last) = (narrow(first), narrow(last));
            Some(Condition::Port { side, first, last, negated: true })
        }
    }
}

/// The rule of one combination, for showing.
fn single(rule: &Rule, choice: Choice<'_>, label: Option<&str>) -> Rule {
    let at = |span| move |test: Test| Spanned::new(test, span);
    let span = Span::default();
    let filter = &rule.filter;
    let one = |host: Option<&Spanned<Host>>, port: Option<Test>| End {
        hosts: host.into_iter().filter(|host| host.node.kind != HostKind::Any).cloned().collect(),
        ports: port.into_iter().map(at(span)).collect(),
        os: Vec::new(),
    };
    let options = filter.options.iter().map(|option| {
        let node = match (&option.node, choice.icmp, label) {
            (RuleOption::Icmp { .. }, Some((family, ty, code)), _) => {
                RuleOption::Icmp { family, types: vec![Spanned::new((ty, code), option.span)] }
            }
            (RuleOption::Label(_), _, Some(label)) => RuleOption::Label(label.to_owned()),
            (other, _, _) => other.clone(),
        };
        Spanned::new(node, option.span)
    });
    Rule {
        action: rule.action,
        filter: Filter {
            direction: filter.direction,
            log: filter.log.clone(),
            quick: filter.quick,
            on: match choice.on {
                Some(item) => On::Interfaces(vec![item.clone()]),
                None => On::Everywhere,
            },
            family: filter.family,
            protocols: choice.protocol.into_iter().map(|p| Spanned::new(p, span)).collect(),
            from: one(choice.from, choice.from_port),
            to: one(choice.to, choice.to_port),
            options: options.collect(),
        },
    }
}

/// Puts the values of `$if`, `$srcaddr`, `$dstaddr`, `$srcport`, `$dstport`, `$proto`, `$nr` in.
fn expand_label(label: &str, number: u16, choice: Choice<'_>) -> String {
    if !label.contains('$') {
        return label.to_owned();
    }
    let host = |host: Option<&Spanned<Host>>| host.map_or("any".to_owned(), |h| h.node.to_string());
    let test = |port: Option<Test>| port.map_or(String::new(), |port| port.to_string());
    let values = [
        ("$srcaddr", host(choice.from)),
        ("$dstaddr", host(choice.to)),
        ("$srcport", test(choice.from_port)),
        ("$dstport", test(choice.to_port)),
        ("$proto", choice.protocol.map_or("ip".to_owned(), crate::names::protocol_name)),
        ("$if", choice.on.map_or("any".to_owned(), |on| on.node.to_string())),
        ("$nr", number.to_string()),
    ];
    let mut expanded = label.to_owned();
    for (name, value) in values {
        expanded = expanded.replace(name, &value);
    }
    expanded
}
