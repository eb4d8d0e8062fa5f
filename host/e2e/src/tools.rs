//! Programs of the system that make and watch traffic.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use evergate_lab::{Host, Process};

/// Where programs are when `PATH` of an ordinary user does not lead there.
const MORE_PLACES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// The programs in use and the Debian packages that bring them.
const PACKAGES: [(&str, &str); 12] = [
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("ping", "iputils-ping"),
    ("prlimit", "util-linux"),
    ("setpriv", "util-linux"),
    ("traceroute", "traceroute"),
    ("ucarp", "ucarp"),
    ("unshare", "util-linux"),
];

/// What a program said and whether it was content.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether its exit status was 0.
    pub ok: bool,
    /// Its exit status, none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// A command for a program of the system.
///
/// # Errors
/// Where it is not installed; the message names the Debian package.
pub fn command(program: &str) -> anyhow::Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(MORE_PLACES.map(PathBuf::from))
        .map(|place| place.join(program))
        .find(|candidate| candidate.is_file());
    let found = found.with_context(|| {
        let package = PACKAGES.iter().find(|(name, _)| *name == program);
        let package = package.map_or(program, |(_, package)| package);
        format!("{program} is not installed: apt-get install {package}")
    })?;
    Ok(Command::new(found))
}

/// Starts a program on a host, its output dropped; it ends with the returned handle.
///
/// # Errors
/// Where it is not installed or cannot be started.
pub fn start(host: &Host, words: &[&str]) -> anyhow::Result<Process> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = command(program)?;
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(host.spawn(command)?)
}

/// Runs a program on a host to its end, at most `limit`.
///
/// # Errors
/// Where it is not installed, cannot be started, or does not end in time.
pub fn run(host: &Host, words: &[&str], limit: Duration) -> anyhow::Result<Said> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = command(program)?;
    command.args(arguments);
    finish(host, command, limit).with_context(|| words.join(" "))
}

/// Runs a command on a host to its end, at most `limit`.
///
/// # Errors
/// Where it cannot be started or does not end in time.
pub fn finish(host: &Host, mut command: Command, limit: Duration) -> anyhow::Result<Said> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = host.spawn(command)?.output(limit)?;
    Ok(Said {
        ok: output.status.success(),
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// As [`run`], for programs that must be content; returns what they printed.
///
/// # Errors
/// As [`run`], and where the exit status is not 0: with all that was said.
pub fn must(host: &Host, words: &[&str], limit: Duration) -> anyhow::Result<String> {
    let said = run(host, words, limit)?;
    anyhow::ensure!(
        said.ok,
        "`{}` on {} ended with {:?}:\n{}{}",
        words.join(" "),
        host.name(),
        said.code,
        said.out,
        said.err
    );
    Ok(said.out)
}
