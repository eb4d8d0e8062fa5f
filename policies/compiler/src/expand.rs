//! From statements to the flat list of rules: checks, lists multiplied out, anchors dissolved.
//!
//! Whatever the engine cannot do yet is refused here by name. Bounds: [`RULES_MAX`] rules,
//! [`kernel::TABLES_MAX`](evergate_rules_kernel::layout::TABLES_MAX) tables in use, 62 interfaces,
//! [`NAMES_MAX`] tags and labels, [`ANCHOR_VISITS_MAX`] anchors entered.

mod anchors;
mod clauses;
mod hosts;
mod rules;
mod settings;

use std::collections::BTreeMap;

use evergate_rules_kernel::layout::TABLES_MAX;

use crate::ast::{OnItem, Spanned, Statement, Table};
use crate::diagnostic::{Report, Span, suggest};
use crate::program::{
    Condition, FlatRule, InterfaceSet, Prefix, Program, TableSource, TableSpec, Timeouts,
};
use crate::{Options, RuleInfo, Settings};

/// The most rules after lists are multiplied out.
pub const RULES_MAX: usize = 20_000;
/// The most tags, and the most labels; the gateway's own bound.
pub const NAMES_MAX: usize = 4_000;
/// The most anchors that are entered while compiling.
pub const ANCHOR_VISITS_MAX: usize = 5_000;
/// The most interfaces that rules can name; one bit stands for all others.
pub const INTERFACES_MAX: usize = 62;
/// The most conditions of one rule.
pub const CONDITIONS_MAX: usize = 200;
/// The most different sets of timeouts; the engine shares 256 among all policies.
pub const TIMEOUT_SETS_MAX: usize = 200;

/// What the expansion makes.
pub(crate) struct Expanded {
    pub(crate) program: Program,
    pub(crate) rules: Vec<RuleInfo>,
    pub(crate) settings: Settings,
    /// Tables that are declared but that no rule looks up.
    pub(crate) idle_tables: Vec<TableSpec>,
}

/// What holds for all rules of a file.
#[derive(Default)]
struct Defaults {
    block_return: bool,
    timeouts: [Timeouts; 4],
    sloppy: bool,
}

pub(crate) struct Expander<'a> {
    report: &'a mut Report,
    options: &'a Options,
    program: Program,
    rules: Vec<RuleInfo>,
    settings: Settings,
    defaults: Defaults,
    /// Declared tables: where, and what.
    declared: BTreeMap<String, (Span, TableSpec)>,
    /// Index of a table in use by its name.
    tables: BTreeMap<String, u16>,
    tags: BTreeMap<String, u16>,
    labels: BTreeMap<String, u16>,
    /// Files loaded into anchors, by the anchor's path.
    loaded: BTreeMap<String, &'a [Spanned<Statement>]>,
    timeout_sets: std::collections::BTreeSet<[Timeouts; 4]>,
    /// Conditions of the anchors around.
    around: Vec<Condition>,
    /// Paths of the anchors around.
    path: Vec<String>,
    gates: u16,
    visits: usize,
    /// Anchors that are being entered.
    depth: usize,
    /// A bound was reached; the rest is not looked at.
    full: bool,
}

/// Checks statements and multiplies them out; errors are in the report.
pub(crate) fn expand(
    report: &mut Report,
    options: &Options,
    statements: &[Spanned<Statement>],
) -> Expanded {
    let mut expander = Expander {
        report,
        options,
        program: Program { unmatched: options.unmatched, ..Program::default() },
        rules: Vec::new(),
        settings: Settings::default(),
        defaults: Defaults::default(),
        declared: BTreeMap::new(),
        tables: BTreeMap::new(),
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        loaded: BTreeMap::new(),
        timeout_sets: std::collections::BTreeSet::new(),
        around: Vec::new(),
        path: Vec::new(),
        gates: 0,
        visits: 0,
        depth: 0,
        full: false,
    };
    expander.collect(statements, "");
    expander.settings_of(statements);
    expander.statements(statements);
    expander.route_tables();
    expander.finish()
}

impl<'a> Expander<'a> {
    /// Takes tables and loaded anchors first: rules may name them before they are declared.
    fn collect(&mut self, statements: &'a [Spanned<Statement>], path: &str) {
        for statement in statements {
            match &statement.node {
                Statement::Table(table) => self.declare(table),
                Statement::LoadAnchor { name, body } => {
                    let full = anchors::join(path, &name.node);
                    if self.loaded.insert(full.clone(), body).is_some() {
                        let message = format!("the anchor \"{full}\" is loaded twice");
                        self.report.error(name.span, message);
                    }
                    self.collect(body, &full);
                }
                Statement::Set(_)
                | Statement::Rule(_)
                | Statement::Anchor(_)
                | Statement::Antispoof(_)
                | Statement::Foreign { .. } => {}
            }
        }
    }

    fn declare(&mut self, table: &Table) {
        let name = &table.name;
        if self.declared.contains_key(&name.node) {
            let message = format!("the table <{}> is declared twice", name.node);
            self.report.error(name.span, message);
            return;
        }
        if table.counters {
            let mend = "the gateway counts tables as a whole only; leave `counters` out";
            self.report.error_mend(name.span, not_yet("table counters"), mend);
        }
        let mut entries = Vec::new();
        for entry in &table.entries {
            match &entry.node.net {
                Ok((address, len)) => {
                    let negated = entry.node.negated;
                    entries.push(Prefix { address: *address, len: *len, negated });
                }
                Err(text) => {
                    let message = format!("a table cannot hold {text}");
                    let mend = "tables hold addresses and networks only";
                    self.report.error_mend(entry.span, message, mend);
                }
            }
        }
        let spec = TableSpec {
            name: name.node.clone(),
            source: TableSource::Declared,
            persist: table.persist,
            constant: table.constant,
            counters: table.counters,
            entries,
        };
        self.declared.insert(name.node.clone(), (name.span, spec));
    }

    fn statements(&mut self, statements: &'a [Spanned<Statement>]) {
        for statement in statements {
            if self.full || self.report.is_full() {
                return;
            }
            match &statement.node {
                Statement::Rule(rule) => self.rule(rule, statement.span),
                Statement::Anchor(anchor) => self.anchor(anchor, statement.span),
                Statement::Antispoof(antispoof) => self.antispoof(antispoof, statement.span),
                Statement::Foreign { name, mend } => {
                    let message = format!("`{name}` is not supported");
                    self.report.error_mend(statement.span, message, mend.clone());
                }
                Statement::Set(_) if !self.path.is_empty() => {
                    let message = "`set` cannot stand in an anchor's file";
                    self.report.error(statement.span, message);
                }
                Statement::Set(_) | Statement::Table(_) | Statement::LoadAnchor { .. } => {}
            }
        }
    }

    fn finish(mut self) -> Expanded {
        let mut idle_tables = Vec::new();
        for (name, (_, spec)) in std::mem::take(&mut self.declared) {
            if !self.tables.contains_key(&name) {
                idle_tables.push(spec);
            }
        }
        Expanded { program: self.program, rules: self.rules, settings: self.settings, idle_tables }
    }

    /// Adds a rule to the program, if there is room.
    fn push(&mut self, rule: FlatRule, span: Span) -> bool {
        if rule.conditions.len() > CONDITIONS_MAX {
            let message =
                format!("more than {CONDITIONS_MAX} conditions, those of anchors included");
            self.report.error(span, message);
            return false;
        }
        if self.program.rules.len() >= RULES_MAX {
            self.report.error(span, format!("the lists expand to more than {RULES_MAX} rules"));
            self.full = true;
            return false;
        }
        self.program.rules.push(rule);
        true
    }

    /// The index of a table that rules look up.
    fn table_index(&mut self, name: &str, source: TableSource, span: Span) -> Option<u16> {
        if let Some(index) = self.tables.get(name) {
            return Some(*index);
        }
        if self.program.tables.len() >= TABLES_MAX {
            self.report.error(span, format!("rules look up more than {TABLES_MAX} tables"));
            self.full = true;
            return None;
        }
        let declared = (source == TableSource::Declared).then(|| self.declared.get(name)).flatten();
        let spec = match declared {
            Some((_, spec)) => spec.clone(),
            None => {
                if source == TableSource::Declared {
                    self.undeclared(name, span);
                }
                let source =
                    if source == TableSource::Declared { TableSource::External } else { source };
                TableSpec {
                    name: name.to_owned(),
                    source,
                    persist: false,
                    constant: false,
                    counters: false,
                    entries: Vec::new(),
                }
            }
        };
        let index = u16::try_from(self.program.tables.len()).ok()?;
        self.program.tables.push(spec);
        self.tables.insert(name.to_owned(), index);
        Some(index)
    }

    fn undeclared(&mut self, name: &str, span: Span) {
        let message = format!("the table <{name}> is not declared in these rules");
        let known: Vec<&str> = self.declared.keys().map(String::as_str).collect();
        let near = suggest(name, known.iter().copied());
        let mend = if near.starts_with("did you mean") {
            near
        } else {
            "the gateway's table of this name is used, empty if there is none".to_owned()
        };
        self.report.warn(span, message, Some(mend));
    }

    /// The interfaces an `on` or `received-on` stands for: one, or the members of a group.
    fn interface_set(&mut self, item: &OnItem, span: Span) -> Option<InterfaceSet> {
        let mut bits = 0;
        for name in self.members(&item.name, span)? {
            bits |= 1 << self.interface_number(&name, span)?;
        }
        Some(InterfaceSet(if item.negated { !bits } else { bits }))
    }

    /// The number of an interface, from 1.
    fn interface_number(&mut self, name: &str, span: Span) -> Option<u32> {
        let interfaces = &mut self.program.interfaces;
        let place = interfaces.iter().position(|known| known == name);
        let place = match place {
            Some(place) => place,
            None if interfaces.len() >= INTERFACES_MAX => {
                let message = format!("rules name more than {INTERFACES_MAX} interfaces");
                self.report.error(span, message);
                self.full = true;
                return None;
            }
            None => {
                interfaces.push(name.to_owned());
                interfaces.len() - 1
            }
        };
        u32::try_from(place + 1).ok()
    }

    /// The interfaces of a name: itself, or those of a group.
    fn members(&mut self, name: &str, span: Span) -> Option<Vec<String>> {
        if name == "self" || name == "any" {
            let message = format!("`{name}` is not an interface");
            self.report.error(span, message);
            return None;
        }
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !good || name.is_empty() || name.len() > 31 {
            let shown: String = name.chars().take(40).collect();
            let message = format!("`{}` cannot name an interface", shown.escape_debug());
            self.report.error(span, message);
            return None;
        }
        let Some(known) = &self.options.interfaces else {
            return Some(vec![name.to_owned()]);
        };
        if known.iter().any(|interface| interface.name == name) || is_loopback(name) {
            return Some(vec![name.to_owned()]);
        }
        let members: Vec<String> = known
            .iter()
            .filter(|i| i.groups.iter().any(|g| g == name) || stem(&i.name) == Some(name))
            .map(|interface| interface.name.clone())
            .collect();
        if members.is_empty() {
            let message = format!("the gateway has no interface or group `{name}`");
            let names: Vec<&str> = known.iter().map(|interface| interface.name.as_str()).collect();
            self.report.error_mend(span, message, suggest(name, names));
            return None;
        }
        Some(members)
    }

    /// Whether the gateway has this interface, as far as is known.
    fn check_interface(&mut self, name: &str, span: Span) -> Option<()> {
        let Some(known) = &self.options.interfaces else { return Some(()) };
        if name == "self" || is_loopback(name) || known.iter().any(|i| i.name == name) {
            return Some(());
        }
        let message = format!("`{name}` is neither an address nor an interface of the gateway");
        let names: Vec<&str> = known.iter().map(|interface| interface.name.as_str()).collect();
        let near = suggest(name, names);
        let mend = if name.contains('.') && !near.starts_with("did you mean") {
            "names of hosts are not looked up; write the address".to_owned()
        } else {
            near
        };
        self.report.error_mend(span, message, mend);
        None
    }

    fn tag_index(&mut self, name: &str, span: Span) -> Option<u16> {
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c));
        if !good || name.is_empty() || name.len() > 63 {
            let shown: String = name.chars().take(40).collect();
            let message = format!("`{}` cannot be a tag", shown.escape_debug());
            let mend = "use up to 63 letters, digits and _ - . : /";
            self.report.error_mend(span, message, mend);
            return None;
        }
        intern(&mut self.tags, &mut self.program.tags, name, "tags", self.report, span)
    }

    /// The index of a label; what the gateway's names cannot hold becomes `_`.
    fn label_index(&mut self, label: &str, span: Span) -> Option<u16> {
        if label.is_empty() || label.len() > 63 {
            let message = format!("the label \"{label}\" has {} bytes", label.len());
            self.report.error_mend(span, message, "use 1 to 63");
            return None;
        }
        let name: String = label
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_-.:/".contains(c) { c } else { '_' })
            .collect();
        intern(&mut self.labels, &mut self.program.labels, &name, "labels", self.report, span)
    }

    /// For `urpf-failed`: the tables of routes of every interface.
    fn route_tables(&mut self) {
        let wanted =
            self.program.rules.iter().any(|rule| {
                rule.conditions.iter().any(|c| matches!(c, Condition::UrpfFailed { .. }))
            });
        if !wanted || self.full {
            return;
        }
        if let Some(known) = &self.options.interfaces {
            for interface in known {
                if self.interface_number(&interface.name, Span::default()).is_none() {
                    return;
                }
            }
        }
        self.program.routes = vec![None; self.program.interfaces.len() + 1];
        for (place, name) in self.program.interfaces.clone().iter().enumerate() {
            let table = format!("route:{name}");
            let index = self.table_index(&table, TableSource::Routes, Span::default());
            self.program.routes[place + 1] = index;
        }
    }
}

fn intern(
    known: &mut BTreeMap<String, u16>,
    names: &mut Vec<String>,
    name: &str,
    what: &str,
    report: &mut Report,
    span: Span,
) -> Option<u16> {
    if let Some(index) = known.get(name) {
        return Some(*index);
    }
    if names.len() >= NAMES_MAX {
        report.error(span, format!("more than {NAMES_MAX} {what}"));
        return None;
    }
    let index = u16::try_from(names.len()).ok()?;
    names.push(name.to_owned());
    known.insert(name.to_owned(), index);
    Some(index)
}

/// The message about what is parsed but cannot be compiled.
fn not_yet(name: &str) -> String {
    format!("`{name}` is not supported yet by this version")
}

/// Loopback traffic never comes to the gateway, so its names are always known.
fn is_loopback(name: &str) -> bool {
    name.strip_prefix("lo").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

/// `vlan` of `vlan10`: the group every such interface is in.
fn stem(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.len() < name.len() && !stem.is_empty()).then_some(stem)
}
