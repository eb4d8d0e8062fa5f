//! Evergate and ucarp on one vhid, both ways round.
//!
//! ucarp knows one IPv4 address, adverts of whole seconds, and neither a trailer nor leave-taking
//! of its own; its scripts set the address.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;
use evergate_e2e::tools;
use evergate_e2e::wait::{SILENCE, until};
use evergate_e2e::world::pings;
use evergate_lab::{Host, Process};

use crate::carp::pair::{Member, PASSPHRASE, Pair, VIP, has, vhost};

crate::claims![ucarp_follows_an_evergate_that_is_better, evergate_follows_a_ucarp_that_is_better,];

/// Their adverts last a second, and ucarp looks at its clock as often.
const TAKEOVER_MAX: Duration = Duration::from_secs(7);

/// The place of its scripts.
fn script(member: &Member, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = member.place.write(name, &format!("#!/bin/sh\n{text}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// ucarp instead of the gateway on a host, which preempts.
fn ucarp(member: &Member, own: &str, advskew: u8) -> anyhow::Result<Process> {
    let up = script(member, "up.sh", "ip addr add \"$2\"/24 dev \"$1\"")?;
    let down = script(member, "down.sh", "ip addr del \"$2\"/24 dev \"$1\"")?;
    let mut command = tools::command("ucarp")?;
    command.args(["--interface=lan0", "--vhid=1", "--advbase=1", "--preempt", "--neutral"]);
    command.arg(format!("--srcip={own}")).arg(format!("--addr={}", VIP[0]));
    command.arg(format!("--pass={PASSPHRASE}")).arg(format!("--advskew={advskew}"));
    command.arg(format!("--upscript={}", up.display()));
    command.arg(format!("--downscript={}", down.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(member.host.spawn(command)?)
}

/// A vhid as ucarp can have it.
fn one_address(lines: &str) -> String {
    vhost(1, "lan", &format!("\"{}/24\"", VIP[0]), lines)
}

/// What a dead ucarp has left.
fn forget(host: &Host) -> anyhow::Result<()> {
    Ok(host.remove_address("lan0", &format!("{}/24", VIP[0]))?)
}

fn time_until(what: &str, holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    until(what, holds)?;
    let took = begun.elapsed();
    println!("{what}: {took:?}");
    Ok(took)
}

fn ucarp_follows_an_evergate_that_is_better() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    let better = one_address("preempt = true\ntrailer = \"use\"");
    pair.a.start(&better)?;
    pair.a.until_all("MASTER")?;
    let _ucarp = ucarp(&pair.b, "10.0.1.12", 100)?;
    // It would be MASTER by then if it did not take our adverts.
    std::thread::sleep(TAKEOVER_MAX);
    ensure!(!pair.b.has(VIP[0])?, "ucarp is MASTER beside a better one");
    ensure!(pair.a.row()?.state == "MASTER", "{:?}", pair.a.row()?);

    pair.a.kill();
    let took = time_until("ucarp is MASTER after a crash", || pair.b.has(VIP[0]))?;
    ensure!(took < TAKEOVER_MAX, "{took:?}");
    until("a ping", || pings(&pair.client, VIP[0]))?;

    pair.a.start(&better)?;
    let took = time_until("Evergate preempts ucarp", || Ok(pair.a.row()?.state == "MASTER"))?;
    ensure!(took < TAKEOVER_MAX, "{took:?}");
    time_until("ucarp leaves", || Ok(!pair.b.has(VIP[0])?))?;
    pair.ensure_heard_well(&pair.a)?;
    ensure!(pair.a.row()?.reason == "preempted", "{:?}", pair.a.row()?);
    until("a ping", || pings(&pair.client, VIP[0]))?;

    pair.a.stop()?;
    ensure!(!pair.a.has(VIP[0])?, "an address is left");
    let took = time_until("ucarp is MASTER after a bow-out", || pair.b.has(VIP[0]))?;
    ensure!(took < Duration::from_millis(2_500), "it waited for silence: {took:?}");
    Ok(())
}

fn evergate_follows_a_ucarp_that_is_better() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    let worse = one_address("advskew = 100\npreempt = true\ntrailer = \"off\"");
    let better = ucarp(&pair.b, "10.0.1.12", 0)?;
    time_until("ucarp is MASTER", || pair.b.has(VIP[0]))?;
    pair.a.start(&worse)?;
    pair.a.until("we follow ucarp", |row| row.heard.is_some())?;
    std::thread::sleep(TAKEOVER_MAX);
    ensure!(pair.a.row()?.state == "BACKUP" && !pair.a.has(VIP[0])?, "{:?}", pair.a.row()?);
    pair.ensure_heard_well(&pair.a)?;

    better.kill();
    // Its address stays behind; whoever asks now asks two hosts.
    forget(&pair.b.host)?;
    let took = time_until("we are MASTER after its crash", || Ok(pair.a.row()?.state == "MASTER"))?;
    ensure!(took < Duration::from_secs(4), "{took:?}");
    until("a ping", || pings(&pair.client, VIP[0]))?;

    let _better = ucarp(&pair.b, "10.0.1.12", 0)?;
    time_until("ucarp preempts us", || pair.b.has(VIP[0]))?;
    pair.a.until_all("BACKUP")?;
    ensure!(pair.a.row()?.reason == "outranked", "{:?}", pair.a.row()?);
    until("we have no address", || Ok(!has(&pair.a.host, VIP[0])?))?;
    std::thread::sleep(SILENCE);
    ensure!(pair.a.row()?.state == "BACKUP", "{:?}", pair.a.row()?);
    until("a ping", || pings(&pair.client, VIP[0]))
}

impl Pair {
    /// It has heard adverts, and refused none of them.
    fn ensure_heard_well(&self, member: &Member) -> anyhow::Result<()> {
        let counters = member.row()?.counters;
        let refused: Vec<_> =
            counters.iter().filter(|(name, n)| name.starts_with("carps_bad") && **n > 0).collect();
        ensure!(refused.is_empty() && counters["carps_ipackets"] > 0, "{counters:?}");
        Ok(())
    }
}
