//! The command line as a person or script meets it: texts and exit codes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::{Command, Output};

fn evergate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evergate")).args(args).output().unwrap()
}

/// Exit code, stdout and stderr.
fn outcome(args: &[&str]) -> (i32, String, String) {
    let output = evergate(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("evergate-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const GOOD: &str = r#"
[[interface]]
name = "lan"
device = "eth1"
[[policy]]
name = "home"
builtin = "home"
[policy.config]
outside = "lan"
tcp_inn = [22]
"#;

#[test]
fn check_explains_a_good_configuration_and_changes_nothing() {
    let file = File::new("good.toml", GOOD);
    let (code, out, _) = outcome(&["check", "-c", file.path()]);
    assert_eq!(code, 0);
    assert!(out.contains(": good\n"), "{out}");
    assert!(out.contains("home    "), "{out}");
    assert!(out.contains("If the daemon dies, nothing is forwarded"), "{out}");
    assert!(out.contains("knows no setting `tcp_inn`"), "{out}");
    let (code, out, _) = outcome(&["check", "--json", "-c", file.path()]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["ok"]), (0, &serde_json::Value::Bool(true)));
}

#[test]
fn check_refuses_a_bad_configuration_with_place_and_mend() {
    let file = File::new("bad.toml", &GOOD.replace("[[policy]]", "[[polcy]]"));
    let (code, out, err) = outcome(&["check", "-c", file.path()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("bad.toml:5:3: unknown field `polcy`"), "{err}");
    assert!(err.contains("mend: did you mean `policy`?"), "{err}");
}

#[test]
fn commands_say_when_no_gateway_runs() {
    for args in [
        &["show", "states"][..],
        &["show", "info", "--json"],
        &["policy", "list"],
        &["table", "add", "t", "192.0.2.1"],
        &["kill", "states", "--host", "192.0.2.1"],
    ] {
        let mut whole = vec!["--control", "/nonexistent/control.sock"];
        whole.extend_from_slice(args);
        let (code, out, err) = outcome(&whole);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains("no gateway answers on /nonexistent/control.sock"), "{err}");
        assert!(err.contains("mend: "), "{err}");
        assert_eq!(err.matches("No such file").count(), 1, "told once: {err}");
    }
}

#[test]
fn killing_everything_takes_a_word() {
    let (code, _, err) = outcome(&["kill", "states"]);
    assert_eq!(code, 1);
    assert!(err.contains("say --all"), "{err}");
}

#[test]
fn a_wrong_command_line_is_another_exit_code_than_a_failure() {
    for args in
        [&["shwo"][..], &["show"], &["kill", "states", "--port", "x"], &["table", "add", "t"]]
    {
        assert_eq!(outcome(args).0, 2, "{args:?}");
    }
    let (code, _, err) = outcome(&["shwo", "states"]);
    assert_eq!(code, 2);
    assert!(err.contains("similar subcommand exists: 'show'"), "{err}");
    let (code, _, err) = outcome(&["kill", "states", "--host", "10.0.0.300"]);
    assert_eq!(code, 2);
    assert!(err.contains("expected an address or a network"), "{err}");
}

#[test]
fn help_names_every_command() {
    let (code, out, _) = outcome(&["--help"]);
    assert_eq!(code, 0);
    for command in ["run", "check", "demo", "show", "kill", "policy", "table"] {
        assert!(out.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
    }
}
