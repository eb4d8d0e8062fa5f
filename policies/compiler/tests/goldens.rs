//! Inputs and what becomes of them: the statements in canonical form, the rules they expand to, and
//! the diagnostics, word for word.
//!
//! The cases are in `goldens/*.txt`; `EVERGATE_BLESS=1` writes what is found into them, to be read
//! before it is committed.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use evergate_rules::{Interface, Loader, Options, check, parse};

struct Files;

impl Loader for Files {
    fn load(&self, path: &str, _: &str) -> Result<String, String> {
        Ok(match path {
            "web.pf" => "pass in proto tcp to port 443\n".to_owned(),
            "macros.pf" => "inside = lan\noutside = \"wan\"\n".to_owned(),
            "bad.pf" => "pass in\nblok all\n".to_owned(),
            "self.pf" => "include \"self.pf\"\n".to_owned(),
            "feed.txt" => {
                "# a feed\n198.51.100.0/24\n!198.51.100.7 ; ours\n\n2001:db8::/32\n".to_owned()
            }
            "badfeed.txt" => "198.51.100.0/24\nexample.org\n10.0.0.0/33\n".to_owned(),
            "looping.pf" => "anchor \"/loop\"\nanchor \"/loop\"\n".to_owned(),
            _ => return Err("no such file".to_owned()),
        })
    }
}

fn options() -> Options {
    let interface = |name: &str, groups: &[&str]| Interface {
        name: name.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    let interfaces = vec![
        interface("lan", &["inside"]),
        interface("wan", &["egress"]),
        interface("dmz", &["inside"]),
        interface("vlan10", &[]),
        interface("vlan20", &[]),
    ];
    Options { interfaces: Some(interfaces), ..Options::default() }
}

/// What is found, in the form of the files.
fn outcome(input: &str) -> String {
    let mut text = String::new();
    let (statements, _) = parse("rules", input, &Files);
    text += "--- statements\n";
    for statement in statements {
        writeln!(text, "{statement}").unwrap();
    }
    let diagnostics = match check("rules", input, &options(), &Files) {
        Ok(checked) => {
            text += "--- rules\n";
            for rule in &checked.rules {
                let label =
                    rule.label.as_ref().map_or(String::new(), |label| format!(" [{label}]"));
                let anchor = rule.anchor.as_ref().map_or(String::new(), |a| format!("{a}: "));
                writeln!(text, "{}{label} {anchor}{}", rule.number, rule.text).unwrap();
            }
            for table in &checked.tables {
                let entries: Vec<String> = table.entries.iter().map(ToString::to_string).collect();
                let source = format!("{:?}", table.source).to_lowercase();
                writeln!(text, "table {} ({source}) {}", table.name, entries.join(" ")).unwrap();
            }
            checked.warnings
        }
        Err(diagnostics) => diagnostics,
    };
    if !diagnostics.is_empty() {
        text += "--- diagnostics\n";
        for diagnostic in diagnostics {
            writeln!(text, "{diagnostic}").unwrap();
        }
    }
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The cases of a file: name, input, expected outcome.
fn cases(text: &str) -> Vec<(String, String, String)> {
    let mut cases = Vec::new();
    for case in text.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (input, expected) = match rest.find("--- statements\n") {
            Some(at) => (&rest[..at], rest[at..].trim_end().to_owned() + "\n"),
            None => (rest, String::new()),
        };
        cases.push((name.to_owned(), input.trim_end().to_owned() + "\n", expected));
    }
    cases
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_becomes_what_was_written_down() {
    let bless = std::env::var_os("EVERGATE_BLESS").is_some();
    let mut count = 0;
    let mut wrong = String::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut blessed = String::new();
        for (name, input, expected) in cases(&text) {
            count += 1;
            let found = outcome(&input);
            if found != expected && !bless {
                let file = file.file_name().unwrap().display();
                writeln!(wrong, "{file}: {name}\n{input}expected\n{expected}found\n{found}")
                    .unwrap();
            }
            write!(blessed, "=== {name}\n{input}{found}\n").unwrap();
        }
        if bless {
            std::fs::write(&file, blessed).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 150, "only {count} cases");
}
