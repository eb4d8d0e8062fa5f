//! Compiles a rules file in pf's language to a policy module.
//!
//! Text goes in, a WebAssembly module or diagnostics come out; files are read through a
//! [`Loader`]. `RULES.md` beside this crate is the language's document.
//!
//! The stages: a lexer that puts macros in place, a parser that keeps every clause with its place
//! ([`ast`]), an expansion that checks and multiplies lists out ([`program`]), decision trees, and
//! their image behind the fixed code of `evergate-rules-kernel`.

pub mod ast;
mod diagnostic;
mod expand;
mod image;
pub mod interpret;
mod lexer;
mod lower;
mod module;
mod names;
mod parser;
pub mod program;
mod show;
mod tree;

use std::collections::BTreeMap;

pub use diagnostic::{Diagnostic, ERRORS_MAX, Severity, Span};
pub use program::Unmatched;

use diagnostic::Report;
use program::{Program, TableSpec};

/// Reads the files that a rules file names.
pub trait Loader {
    /// Returns the text of the file `path`, which the file `from` names.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn load(&self, path: &str, from: &str) -> Result<String, String>;
}

/// A loader without files.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _: &str, _: &str) -> Result<String, String> {
        Err("no files can be read here".to_owned())
    }
}

/// An interface of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its name in rules.
    pub name: String,
    /// Groups it is in, beside the one of its name without digits.
    pub groups: Vec<String>,
}

/// What is compiled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The gateway's interfaces; `None` takes every name as an interface.
    pub interfaces: Option<Vec<Interface>>,
    /// What is said when no rule matched.
    pub unmatched: Unmatched,
    /// Fuel of one decision that the module may need at most.
    pub fuel: u64,
    /// Memory in bytes that the module may need.
    pub memory: usize,
}

impl Default for Options {
    /// Returns options for an unknown gateway with default bounds of policies.
    fn default() -> Self {
        Self { interfaces: None, unmatched: Unmatched::Pass, fuel: 30_000, memory: 1024 * 1024 }
    }
}

/// The bounds of a compilation; errors name those that are reached.
pub mod bounds {
    pub use crate::expand::{
        ANCHOR_VISITS_MAX, CONDITIONS_MAX, INTERFACES_MAX, NAMES_MAX, RULES_MAX, TIMEOUT_SETS_MAX,
    };
    pub use crate::lexer::{EXPANSION_MAX, NESTING_MAX, WORD_MAX};
    pub use crate::parser::{
        ANCHORS_MAX, FILE_BYTES_MAX, FILES_MAX, INCLUDES_MAX, LIST_MAX, TABLE_ENTRIES_MAX,
    };
    pub use evergate_rules_kernel::layout::TABLES_MAX;
}

/// One rule, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its number in verdicts, from 1.
    pub number: u16,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at.
    pub line: u32,
    /// The path of the anchor it is in.
    pub anchor: Option<String>,
    /// The rule after lists and macros were put in place.
    pub text: String,
    /// Its label, with what it stands for put in.
    pub label: Option<String>,
}

/// What `set` said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Limits by name; rules do not change them.
    pub limits: Vec<(String, u32)>,
    /// Timeouts by name in seconds; the rules' states have them.
    pub timeouts: Vec<(String, u32)>,
    /// The profile of timeouts; the rules' states have it.
    pub optimization: Option<String>,
    /// Interfaces that are not filtered.
    pub skip: Vec<String>,
    /// Whether `block` answers.
    pub block_return: bool,
}

/// Parses a file and returns its statements in canonical form, and what is wrong with it.
pub fn parse(name: &str, text: &str, loader: &dyn Loader) -> (Vec<String>, Vec<Diagnostic>) {
    let mut report = Report::default();
    let source = report.add_source(name, text);
    let statements = parser::parse(&mut report, source, BTreeMap::new(), loader);
    (statements.iter().map(ToString::to_string).collect(), report.sorted())
}

/// Parses and checks a file: everything but the layout of the module.
///
/// # Errors
/// All diagnostics, at least one of which is an error.
pub fn check(
    name: &str,
    text: &str,
    options: &Options,
    loader: &dyn Loader,
) -> Result<Checked, Vec<Diagnostic>> {
    let mut report = Report::default();
    let source = report.add_source(name, text);
    let statements = parser::parse(&mut report, source, BTreeMap::new(), loader);
    let expanded = expand::expand(&mut report, options, &statements);
    if report.has_errors() {
        return Err(report.sorted());
    }
    let mut tables = expanded.program.tables.clone();
    tables.extend(expanded.idle_tables);
    Ok(Checked {
        program: expanded.program,
        tables,
        rules: expanded.rules,
        settings: expanded.settings,
        warnings: report.sorted(),
    })
}

/// A rules file that is right, not yet laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The flat list of rules.
    pub program: Program,
    /// The tables the gateway needs, those no rule looks up included.
    pub tables: Vec<TableSpec>,
    /// The rules for people, in the order of their numbers.
    pub rules: Vec<RuleInfo>,
    /// What `set` said.
    pub settings: Settings,
    /// What may not do what it seems to.
    pub warnings: Vec<Diagnostic>,
}

/// A compiled rules file.
#[derive(Debug, Clone)]
pub struct CompiledRules {
    /// The policy module.
    pub wasm: Vec<u8>,
    /// The tables that must exist before the module is loaded, and what they hold at first.
    pub tables: Vec<TableSpec>,
    /// The rules for people, in the order of their numbers.
    pub rules: Vec<RuleInfo>,
    /// What `set` said.
    pub settings: Settings,
    /// What may not do what it seems to.
    pub warnings: Vec<Diagnostic>,
    /// The flat list of rules, for the interpreter.
    pub program: Program,
    /// Fuel that one decision can need at most.
    pub fuel: u64,
    /// Bytes of memory of one instance.
    pub memory: usize,
    /// Nodes of all decision trees.
    pub nodes: usize,
    /// Rules that one evaluation can have to try at most.
    pub longest: usize,
    image: Vec<u32>,
}

impl CompiledRules {
    /// The words that the kernel walks; the module holds the same.
    pub fn image(&self) -> &[u32] {
        &self.image
    }
}

/// Compiles a file.
///
/// # Errors
/// All diagnostics, at least one of which is an error.
pub fn compile(
    name: &str,
    text: &str,
    options: &Options,
    loader: &dyn Loader,
) -> Result<CompiledRules, Vec<Diagnostic>> {
    let checked = check(name, text, options, loader)?;
    let image = image::lay_out(&checked.program);
    let memory = module::memory_of(image.words.len());
    let too_much = if image.words.len() > evergate_rules_kernel::layout::IMAGE_WORDS_MAX {
        Some((format!("the rules need {memory} bytes of memory, the kernel has less"), ""))
    } else if memory > options.memory {
        let message =
            format!("the rules need {memory} bytes of memory, the limit is {}", options.memory);
        Some((message, "raise `memory` of the policy, or put lists of addresses into tables"))
    } else if image.fuel > options.fuel {
        let message = format!(
            "a packet can need {} units of fuel, the limit is {}: up to {} rules fit one packet",
            image.fuel, options.fuel, image.longest
        );
        Some((message, "raise `fuel` of the policy, or make the rules overlap less"))
    } else {
        None
    };
    if let Some((message, mend)) = too_much {
        let mut diagnostics = checked.warnings;
        diagnostics.push(Diagnostic {
            severity: Severity::Error,
            file: name.to_owned(),
            line: 1,
            column: 1,
            message,
            mend: (!mend.is_empty()).then(|| mend.to_owned()),
        });
        return Err(diagnostics);
    }
    Ok(CompiledRules {
        wasm: module::module(&image.words),
        tables: checked.tables,
        rules: checked.rules,
        settings: checked.settings,
        warnings: checked.warnings,
        program: checked.program,
        fuel: image.fuel,
        memory,
        nodes: image.nodes,
        longest: image.longest,
        image: image.words,
    })
}
