//! What the document shows compiles, and so do the rules files that come with the gateway.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

mod common;

use std::path::{Path, PathBuf};

use evergate_rules::{Interface, Loader, NoFiles, Options, Severity, compile};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

struct Beside(PathBuf);

impl Loader for Beside {
    fn load(&self, path: &str, _: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|e| e.to_string())
    }
}

fn options(names: &[&str]) -> Options {
    let interfaces = names
        .iter()
        .map(|name| Interface { name: (*name).to_owned(), groups: Vec::new() })
        .collect();
    Options { interfaces: Some(interfaces), ..Options::default() }
}

/// The blocks of the document in this language.
fn blocks(language: &str) -> Vec<String> {
    let document = std::fs::read_to_string(root().join("RULES.md")).unwrap();
    let mut blocks = Vec::new();
    for part in document.split(&format!("```{language}\n")).skip(1) {
        blocks.push(part.split("```").next().unwrap().to_owned());
    }
    blocks
}

#[test]
fn every_example_of_the_document_compiles() {
    let examples = blocks("pf");
    assert!(examples.len() >= 7, "{}", examples.len());
    for example in examples {
        let options = options(&["lan", "wan"]);
        let rules = compile("RULES.md", &example, &options, &NoFiles)
            .unwrap_or_else(|d| panic!("{}\n{example}", d[0]));
        assert!(rules.warnings.is_empty(), "{}\n{example}", rules.warnings[0]);
    }
}

#[test]
fn what_the_document_calls_refused_is_refused() {
    for example in blocks("pf-refused") {
        let diagnostics = compile("RULES.md", &example, &options(&["lan", "wan"]), &NoFiles);
        let message = diagnostics.unwrap_err()[0].to_string();
        assert!(message.contains("not supported yet by this version"), "{message}");
    }
}

#[test]
fn the_rules_that_come_with_the_gateway_compile_and_load() {
    let gateway = common::Gateway::new();
    let directory = root().join("../rules");
    let cases: [(&str, &[&str]); 3] = [
        ("home-gateway.pf", &["lan", "wan"]),
        ("ha-pair.pf", &["wan", "dmz", "ha"]),
        ("web-farm.pf", &["wan", "farm"]),
    ];
    for (file, interfaces) in cases {
        let text = std::fs::read_to_string(directory.join(file)).unwrap();
        let rules = compile(file, &text, &options(interfaces), &Beside(directory.clone()))
            .unwrap_or_else(|d| panic!("{}", d[0]));
        let bad = rules.warnings.iter().any(|d| d.severity == Severity::Error);
        assert!(!bad && rules.warnings.is_empty(), "{file}: {:?}", rules.warnings);
        gateway.load(rules).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
}
