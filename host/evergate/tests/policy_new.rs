//! `evergate policy new`: what it writes builds at once, and does what its table of tests claims.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EVERGATE: &str = env!("CARGO_BIN_EXE_evergate");

/// A fresh directory for a test, with the template of a language in it.
fn project(language: &str, test: &str) -> (PathBuf, PathBuf) {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-new-{test}"));
    let _ = std::fs::remove_dir_all(&parent);
    std::fs::create_dir_all(&parent).unwrap();
    let output = run(&parent, EVERGATE, &["policy", "new", "--lang", language, "no-mail"]);
    assert!(output.status.success(), "{}", said(&output));
    let project = parent.join("no-mail");
    (parent, project)
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(directory).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn claims_hold(project: &Path, arguments: &[&str]) {
    let output =
        run(project, EVERGATE, &[&["policy", "test"], arguments, &["cases.toml"]].concat());
    assert!(output.status.success(), "{}", said(&output));
}

/// Builds with a language's tool if it is there: found by PATH, or named by a variable, in words.
fn build(project: &Path, variable: &str, default: &str, arguments: &[&str]) -> bool {
    let tool = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let words: Vec<&str> = tool.split(' ').chain(arguments.iter().copied()).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(project);
    command.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOTOOLCHAIN", "local");
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool}: {}", said(&output));
            true
        }
        Err(error) => {
            eprintln!("skipped: {}: {error}", words[0]);
            false
        }
    }
}

#[test]
fn wat_needs_no_tool() {
    let (_, project) = project("wat", "wat");
    claims_hold(&project, &["no-mail.wat"]);
}

#[test]
fn c_builds_with_clang() {
    let (_, project) = project("c", "c");
    let clang = std::env::var("EVERGATE_CLANG").unwrap_or_else(|_| "clang-22".to_owned());
    if Command::new(&clang).arg("--version").output().is_err() {
        eprintln!("skipped: there is no {clang}");
        return;
    }
    let output = run(&project, "make", &[&format!("CC={clang}")]);
    assert!(output.status.success(), "{}", said(&output));
    claims_hold(&project, &["no-mail.wasm"]);
}

#[test]
fn zig_builds() {
    let (_, project) = project("zig", "zig");
    if build(&project, "EVERGATE_ZIG", "zig", &["build"]) {
        claims_hold(&project, &["zig-out/bin/no-mail.wasm"]);
    }
}

#[test]
fn go_builds() {
    let (_, project) = project("go", "go");
    let arguments = ["build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "no-mail.wasm"];
    if build(&project, "EVERGATE_GO", "go", &arguments) {
        claims_hold(&project, &["--memory", "8MiB", "no-mail.wasm"]);
    }
}

/// Without npm and its registry: the package is where `npm install` would link it.
#[test]
fn assemblyscript_builds() {
    let (_, project) = project("assemblyscript", "assemblyscript");
    std::fs::create_dir(project.join("node_modules")).unwrap();
    let link = project.join("node_modules/evergate-policy");
    std::os::unix::fs::symlink("../evergate-policy", link).unwrap();
    let arguments = ["assembly/index.ts", "-O3", "--runtime", "stub", "--use", "abort="];
    let out = ["-o", "no-mail.wasm"];
    if build(&project, "EVERGATE_ASC", "asc", &[&arguments[..], &out].concat()) {
        claims_hold(&project, &["no-mail.wasm"]);
    }
}

/// Rust's template is checked natively, with its own tests; few machines have wasm32's core.
#[test]
fn rust_passes_its_own_tests() {
    let (parent, project) = project("rust", "rust");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--quiet", "--target-dir"])
        .arg(parent.join("target"))
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1 passed"), "{}", said(&output));
}

#[test]
fn what_is_there_stays_and_odd_names_are_refused() {
    let (parent, _) = project("c", "names");
    for (name, words) in [
        ("no-mail", "no-mail is there already"),
        ("../up", "cannot name a policy"),
        ("No", "cannot name a policy"),
    ] {
        let output = run(&parent, EVERGATE, &["policy", "new", "--lang", "wat", name]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    let output = run(&parent, EVERGATE, &["policy", "new", "--lang", "perl", "no-mail"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
