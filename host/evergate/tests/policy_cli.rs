//! `evergate policy` on modules alone: no gateway, no network.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Passes TCP to port 22 as rule 7, looks into UDP, says continue to the rest.
const MODULE: &str = r#"(module (memory (export "memory") 1)
  (data (i32.const 64) "\00\01\00\00\40\00\00\00")
  (func (export "evergate_abi_v1") (result i32) (i32.const 0))
  (func (export "evergate_payload_v1") (result i32) (i32.const 64))
  (func (export "inspect") (param i32 i32) (result i64)
    (select (i64.const 1) (i64.const 2)
      (i32.eq (i32.load8_u (i32.const 256)) (i32.const 71))))
  (func (export "decide") (param i32) (result i64)
    (if (i32.eq (i32.load8_u (i32.const 3)) (i32.const 17)) (then (return (i64.const 5))))
    (if (i32.eq (i32.load16_u (i32.const 42)) (i32.const 22))
      (then (return (i64.const 0x70101))))
    (i64.const 0)))"#;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evergate-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn policy(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evergate")).arg("policy").args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn inspect_tells_what_a_module_is_made_of() {
    let place = Place::new("inspect");
    let module = place.write("it.wat", MODULE);
    let output = policy(&["inspect", &module, "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["abi_version"], 1);
    assert_eq!((&told["memory"], &told["functions"]), (&Value::from(65_536), &Value::from(4)));
    let exports = told["exports"].as_array().unwrap();
    assert!(exports.iter().any(|e| e["name"] == "decide" && e["type"] == "(i32) -> i64"));
    assert_eq!(told["hash"].as_str().unwrap().len(), 64);
    let text = said(&policy(&["inspect", "builtin:home"]));
    assert!(text.contains("evergate.table_match") && text.contains("abi version"), "{text}");
    let component = place.write("component.wat", "(component)");
    let output = policy(&["inspect", &component]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("components need the component model"), "{}", said(&output));
}

#[test]
fn test_runs_a_table_and_its_exit_code_says_how_it_went() {
    let place = Place::new("test");
    let module = place.write("it.wat", MODULE);
    let good = place.write(
        "good.toml",
        r#"[[suite]]
        name = "all"
        cases = [
          ["tcp 10.0.0.5:4000 10.0.0.1:22", "pass rule=7 log", "SSH"],
          ["tcp 10.0.0.5:4000 10.0.0.1:23 tag=t", "continue tag=t", "telnet"],
          ["udp 10.0.0.5:4000 10.0.0.1:53", "inspect", "by payload"],
          ["udp 10.0.0.5:4000 10.0.0.1:53 text=GET_/", "pass", "a G"],
          ["udp 10.0.0.5:4000 10.0.0.1:53 hex=00", "block", "no G"],
        ]"#,
    );
    let output = policy(&["test", &module, &good]);
    assert!(output.status.success() && said(&output).contains("5 of 5 claims hold"));
    let bad = place.write(
        "bad.toml",
        r#"[[suite]]
        name = "wrong"
        cases = [["tcp 10.0.0.5:4000 10.0.0.1:22", "block", "SSH is blocked"]]
        counters = { none = 1 }"#,
    );
    let output = policy(&["test", &module, &bad]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("wrong: SSH is blocked") && text.contains("found     pass log rule=7"));
    assert!(text.contains("no such counter") && text.contains("0 of 2 claims hold"), "{text}");
    for (table, words) in [
        ("[[suite]]\ncases = [[\"tcq 1 2\", \"pass\", \"x\"]]", "`tcq` is no protocol"),
        ("[[suite]]\ncases = 1", "line 2"),
        ("", "no case in it"),
    ] {
        let file = place.write("broken.toml", table);
        let output = policy(&["test", &module, &file]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(words), "{table}: {}", said(&output));
    }
}

#[test]
fn settings_of_the_command_line_reach_the_module() {
    let place = Place::new("set");
    let table = place.write(
        "table.toml",
        r#"[[suite]]
        name = "home"
        cases = [["tcp 192.0.2.1:4000 10.0.0.5:8080 in=wan out=lan", "pass rule=7", "listed"]]"#,
    );
    let output = policy(&["test", "builtin:home", &table, "--set", "tcp_in = [8080]", "--json"]);
    let case: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(case["found"].as_str().unwrap().starts_with("pass"), "{case}");
    let output = policy(&["test", "builtin:home", &table, "--set", "tcp_in = x"]);
    assert!(said(&output).contains("--set tcp_in = x"), "{}", said(&output));
}

#[test]
fn bench_prints_figures() {
    let place = Place::new("bench");
    let module = place.write("it.wat", MODULE);
    let output = policy(&["bench", &module, "--calls", "1000", "--json"]);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(figures["least_ns"].as_f64().unwrap() > 0.0, "{figures}");
    assert!(figures["least_ns"].as_f64() <= figures["p99_ns"].as_f64());
    assert!(figures["calls"].as_u64().unwrap() >= 1000);
}

#[test]
fn a_key_signs_a_module_and_is_not_overwritten() {
    let place = Place::new("keys");
    let module = place.write("it.wat", MODULE);
    let key = place.path("key");
    let output = policy(&["keygen", &key, "--json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let output = policy(&["sign", "--key", &key, &module, "--json"]);
    let signed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made["key"], signed["key"]);
    let signature = std::fs::read_to_string(Path::new(&format!("{module}.sig"))).unwrap();
    assert_eq!(signature.trim().len(), 128);
    assert_eq!(policy(&["keygen", &key]).status.code(), Some(1), "the file exists");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(policy(&["sign", "--key", &module, &module]).status.code(), Some(1), "no key");
}

#[test]
fn watch_says_what_is_wrong_and_when_it_is_mended() {
    use std::io::{BufRead, BufReader};
    let place = Place::new("watch");
    let module = place.write("it.wat", "(module");
    let mut watch = Command::new(env!("CARGO_BIN_EXE_evergate"))
        .args(["policy", "watch", &module])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |words: &str| lines.find(|line| line.contains(words)).is_some();
    assert!(until("not taken: policy it"));
    let failing = MODULE
        .replace("(module ", "(module (func (export \"self_test\") (result i32) (i32.const 3)) ");
    place.write("it.wat", &failing);
    assert!(until("self_test returned 3"));
    place.write("it.wat", MODULE);
    assert!(until("good: "));
    watch.kill().unwrap();
    watch.wait().unwrap();
}
