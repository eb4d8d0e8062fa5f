//! The house stays as it was drawn: which crate may use which, and where what is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace and the crates of the workspace it may use, tests apart. Arrows
/// point down only: a crate that is missing here, or an arrow that is, is a decision to be made
/// in this table first.
const ARROWS: &[(&str, &[&str])] = &[
    ("evergate-wire", &[]),
    ("evergate-state", &["evergate-wire"]),
    ("evergate-carp", &["evergate-wire"]),
    ("evergate-node", &["evergate-wire", "evergate-carp"]),
    ("evergate-table", &["evergate-wire", "evergate-state"]),
    ("evergate-sync-proto", &["evergate-wire", "evergate-state"]),
    ("evergate-sync-transport", &["evergate-wire"]),
    ("evergate-sync-quic", &["evergate-sync-transport"]),
    ("evergate-abi", &[]),
    ("evergate-guest", &["evergate-abi"]),
    ("evergate-home", &["evergate-guest"]),
    ("evergate-strict-web", &["evergate-guest"]),
    ("evergate-tls-sni", &["evergate-guest"]),
    ("evergate-dns-filter", &["evergate-guest"]),
    ("evergate-policy", &["evergate-abi"]),
    ("evergate-rules-kernel", &[]),
    ("evergate-rules", &["evergate-abi", "evergate-rules-kernel"]),
    (
        "evergate-engine",
        &["evergate-wire", "evergate-state", "evergate-table", "evergate-abi", "evergate-policy"],
    ),
    ("evergate-io", &[]),
    ("evergate-lab", &["evergate-io"]),
    (
        "evergate",
        &[
            "evergate-wire",
            "evergate-state",
            "evergate-table",
            "evergate-abi",
            "evergate-policy",
            "evergate-rules",
            "evergate-engine",
            "evergate-carp",
            "evergate-node",
            "evergate-io",
            "evergate-lab",
        ],
    ),
    ("evergate-e2e", &["evergate", "evergate-io", "evergate-lab", "evergate-wire"]),
];

/// Packages that bring IO, threads, clocks or a compiler and the only crates that may use them.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("wasmtime", &["evergate-policy"]),
    ("dashmap", &["evergate-table"]),
    ("quinn", &["evergate-sync-quic"]),
    ("quinn-proto", &["evergate-sync-quic"]),
    ("rustls", &["evergate-sync-quic"]),
    ("ring", &["evergate-sync-quic", "evergate"]),
    ("tokio", &["evergate-sync-quic"]),
    ("rustix", &["evergate-io"]),
    ("libc", &["evergate-io"]),
    ("netlink-sys", &["evergate-io"]),
    ("netlink-packet-route", &["evergate-io"]),
    ("netlink-packet-core", &["evergate-io"]),
    ("anyhow", &["evergate", "evergate-e2e"]),
];

/// Crates that do no IO and read no clock.
const PURE: &[&str] = &[
    "host/wire",
    "host/state",
    "host/carp",
    "host/node",
    "host/engine",
    "guest-sdk/abi",
    "policies/compiler",
    "sync/proto",
    "sync/transport",
];

/// What a pure crate's source never says, tests apart.
const IMPURE_WORDS: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::net::Tcp",
    "std::fs",
    "std::env",
    "unsafe ",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Direct, ordinary dependencies of each workspace member.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap();
            let names = used
                .iter()
                .filter(|d| d["kind"].is_null())
                .map(|d| d["name"].as_str().unwrap().to_owned())
                .collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

#[test]
fn arrows_between_crates_point_down() {
    let dependencies = dependencies();
    let members: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for (member, used) in &dependencies {
        let may = allowed.get(member.as_str()).unwrap_or_else(|| panic!("{member}: not drawn"));
        for name in used.iter().filter(|name| members.contains(name.as_str())) {
            assert!(may.contains(&name.as_str()), "{member} must not use {name}");
        }
    }
}

#[test]
fn what_is_kept_in_one_crate_stays_there() {
    for (member, used) in dependencies() {
        for (package, homes) in KEPT_IN {
            let stray = used.contains(*package) && !homes.contains(&member.as_str());
            assert!(!stray, "{member} uses {package}, which is kept in {homes:?}");
        }
    }
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" && name != "target" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The source of a file up to its unit tests.
fn without_tests(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

#[test]
fn pure_crates_are_pure() {
    for member in PURE {
        let mut files = Vec::new();
        sources(&root().join(member).join("src"), &mut files);
        assert!(!files.is_empty(), "{member} has no source");
        for file in files {
            let code: String = without_tests(&file)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            for word in IMPURE_WORDS {
                assert!(!code.contains(word), "{}: {word}", file.display());
            }
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    let mut files = Vec::new();
    for top in ["host", "guest-sdk", "policies", "sync"] {
        sources(&root().join(top), &mut files);
    }
    for file in files {
        let text = without_tests(&file);
        // Crate attributes may stand before.
        let said = text.lines().take(5).any(|line| line.starts_with("//!"));
        assert!(said, "{} does not say what it is for", file.display());
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines", file.display());
    }
}
