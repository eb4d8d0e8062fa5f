//! Two gateways that share addresses: elections, failovers, and what others try to do to them.

pub(crate) mod pair;

use std::time::{Duration, Instant};

use anyhow::ensure;
use evergate::control::Request;
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_e2e::world::pings;

use pair::{Pair, SERVER, VIP, inside, outside, vhost};

crate::claims![
    when_the_master_is_killed_the_backup_has_its_addresses_and_pings_go_on,
    power_loss_costs_a_few_adverts,
    what_passes_through_the_pair_goes_on_through_the_other,
    a_planned_failover_loses_nothing_and_the_better_one_returns,
    a_demotion_moves_the_addresses_and_taking_it_off_moves_them_back,
    a_lost_link_moves_every_vhid_of_the_group,
    under_full_load_nobody_is_taken_for_dead,
    a_clean_stop_bows_out_at_once_and_leaves_no_address,
    after_a_crash_the_leftovers_are_gone_before_the_election,
    a_device_that_goes_and_comes_is_followed,
    a_device_that_is_missing_at_the_start_is_waited_for,
    an_address_that_is_taken_from_the_master_is_set_again,
    with_filter_local_adverts_arrive_all_the_same,
    commands_run_on_a_role_change_and_nobody_waits_for_them,
    a_passphrase_that_others_can_read_is_refused,
];

/// Adverts every 10 ms.
const FAST: &str = "interval = \"10ms\"\npreempt = true\n";
/// The same, but worse.
const FAST_WORSE: &str = "interval = \"10ms\"\nadvskew = 100\npreempt = true\n";
/// One missing ping may be one that was on its way when the counting ended.
const ON_ITS_WAY: u64 = 1;

fn fast() -> anyhow::Result<Pair> {
    Pair::elected(&(inside(FAST) + &outside(FAST)), &(inside(FAST_WORSE) + &outside(FAST_WORSE)))
}

fn when_the_master_is_killed_the_backup_has_its_addresses_and_pings_go_on() -> anyhow::Result<()> {
    let mut gaps = Vec::new();
    for vip in VIP {
        let mut pair = fast()?;
        pair.ensure_one_owner()?;
        ensure!(pair.a.has(vip)?, "the better one is not MASTER");
        let running = pair.ping(vip)?;
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        pair.a.kill();
        pair.b.until_all("MASTER")?;
        let ago = Duration::from_millis(pair.b.row()?.since_ms);
        let took = begun.elapsed().saturating_sub(ago);
        ensure!(pair.b.has(vip)?, "no address");
        // What the crash left on A does not answer: the new MASTER is announced.
        std::thread::sleep(Duration::from_millis(500));
        let pinged = running.finish()?;
        println!("{}: taken over after {took:?}, {pinged:?} at 10 ms", vip);
        gaps.push(pinged.lost);
        ensure!(pinged.lost <= 50 && took < Duration::from_secs(1), "{took:?}, {pinged:?}");
        let row = pair.b.row()?;
        ensure!(row.reason == "master down", "{row:?}");
        ensure!(pings(&pair.client, vip)?, "no answer afterwards");
    }
    println!("lost pings at 10 ms: {gaps:?}");
    Ok(())
}

fn power_loss_costs_a_few_adverts() -> anyhow::Result<()> {
    for vip in VIP {
        let mut pair = fast()?;
        let running = pair.ping(vip)?;
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        for bridge in [&pair.lan, &pair.wan] {
            bridge.host().set_down("a")?;
        }
        pair.b.until_all("MASTER")?;
        let took = begun.elapsed();
        pair.a.kill();
        std::thread::sleep(Duration::from_millis(300));
        let pinged = running.finish()?;
        println!("{}: dark, taken over after {took:?}, {pinged:?} at 10 ms", vip);
        ensure!(pinged.lost > 0, "{pinged:?}: the light was not out");
        ensure!(pinged.lost <= 50, "{pinged:?}");
    }
    Ok(())
}

fn what_passes_through_the_pair_goes_on_through_the_other() -> anyhow::Result<()> {
    let mut pair = fast()?;
    until("a ping through A", || pings(&pair.client, SERVER))?;
    let running = pair.ping(SERVER)?;
    std::thread::sleep(Duration::from_millis(300));
    pair.a.ask(&Request::Failover { undo: false })?;
    pair.a.until_all("BACKUP")?;
    std::thread::sleep(Duration::from_millis(300));
    let pinged = running.finish()?;
    println!("planned, through the pair: {pinged:?} at 10 ms");
    ensure!(pinged.lost <= 1 + ON_ITS_WAY, "{pinged:?}");

    pair.a.ask(&Request::Failover { undo: true })?;
    pair.a.until_all("MASTER")?;
    pair.b.until_all("BACKUP")?;
    let running = pair.ping(SERVER)?;
    std::thread::sleep(Duration::from_millis(300));
    for bridge in [&pair.lan, &pair.wan] {
        bridge.host().set_down("a")?;
    }
    pair.b.until_all("MASTER")?;
    pair.a.kill();
    std::thread::sleep(Duration::from_millis(500));
    let pinged = running.finish()?;
    println!("power loss, through the pair: {pinged:?} at 10 ms");
    ensure!(pinged.lost <= 50, "{pinged:?}");
    Ok(())
}

fn a_planned_failover_loses_nothing_and_the_better_one_returns() -> anyhow::Result<()> {
    let pair = fast()?;
    let running = pair.ping(VIP[0])?;
    std::thread::sleep(Duration::from_millis(300));
    let masters = pair.a.ask(&Request::Failover { undo: false })?;
    ensure!(masters == 2, "{masters}");
    pair.b.until_all("MASTER")?;
    pair.a.until_all("BACKUP")?;
    ensure!(pair.a.row()?.reason == "handed over", "{:?}", pair.a.row()?);
    pair.ensure_one_owner()?;
    // It preempts, but not against the operator.
    std::thread::sleep(SILENCE);
    ensure!(pair.b.row()?.state == "MASTER" && pair.a.row()?.held, "{:?}", pair.a.row()?);
    let pinged = running.finish()?;
    println!("planned: {pinged:?} at 10 ms");
    ensure!(pinged.lost <= 1 + ON_ITS_WAY, "{pinged:?}");

    let running = pair.ping(VIP[0])?;
    pair.a.ask(&Request::Failover { undo: true })?;
    pair.a.until_all("MASTER")?;
    pair.b.until_all("BACKUP")?;
    let pinged = running.finish()?;
    println!("preempted: {pinged:?} at 10 ms");
    ensure!(pinged.lost <= 1 + ON_ITS_WAY, "{pinged:?}");
    pair.ensure_one_owner()
}

fn a_demotion_moves_the_addresses_and_taking_it_off_moves_them_back() -> anyhow::Result<()> {
    let pair = fast()?;
    let running = pair.ping(VIP[0])?;
    ensure!(pair.a.ask(&Request::Demote { amount: 7 })? == 7, "the sum");
    pair.b.until_all("MASTER")?;
    pair.a.until_all("BACKUP")?;
    let report = pair.a.report()?;
    ensure!(report.reasons.len() == 1 && report.reasons[0].reason == "operator", "{report:?}");
    ensure!(pair.b.row()?.reason == "master demoted", "{:?}", pair.b.row()?);
    pair.ensure_one_owner()?;
    pair.a.ask(&Request::Demote { amount: 0 })?;
    pair.a.until_all("MASTER")?;
    pair.b.until_all("BACKUP")?;
    let pinged = running.finish()?;
    println!("demoted and back: {pinged:?} at 10 ms");
    ensure!(pinged.lost <= 1 + ON_ITS_WAY, "{pinged:?}");
    pair.ensure_one_owner()
}

fn a_lost_link_moves_every_vhid_of_the_group() -> anyhow::Result<()> {
    let pair = fast()?;
    pair.a.host.set_down("lan0")?;
    let took = pair.b.time_until("MASTER")?;
    println!("link down: taken over after {took:?}");
    let report = pair.a.report()?;
    let states: Vec<&str> = report.vhosts.iter().map(|row| row.state.as_str()).collect();
    ensure!(states == ["INIT", "BACKUP"], "{states:?}");
    ensure!(report.reasons.iter().any(|held| held.reason == "link down"), "{report:?}");
    ensure!(!pair.a.has(VIP[0])? && pair.b.has(VIP[0])?, "the addresses did not move");
    pair.a.host.set_up("lan0")?;
    pair.a.until_all("MASTER")?;
    pair.b.until_all("BACKUP")?;
    ensure!(pair.a.report()?.reasons.is_empty(), "{:?}", pair.a.report()?);
    pair.ensure_one_owner()
}

fn under_full_load_nobody_is_taken_for_dead() -> anyhow::Result<()> {
    let pair = fast()?;
    let cores = std::thread::available_parallelism()?.get();
    let changes = || [&pair.a, &pair.b].map(|member| member.counter("carps_ostates"));
    let before = changes().into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let busy = (0..2 * cores)
        .map(|_| tools::start(&pair.client, &["sh", "-c", "while :; do :; done"]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    std::thread::sleep(Duration::from_secs(5));
    drop(busy);
    let after = changes().into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let (report, late) = (pair.b.report()?, pair.b.counter("carps_late")?);
    println!(
        "5 s of load, real-time {}: changes {before:?} {after:?}, {late} late",
        report.realtime
    );
    // Without a real-time priority the system may let a gateway starve for longer than that.
    ensure!(before == after || !report.realtime, "a false election: {before:?} {after:?}");
    Ok(())
}

fn a_clean_stop_bows_out_at_once_and_leaves_no_address() -> anyhow::Result<()> {
    // Classic adverts: a crash would cost more than three seconds.
    let mut pair = Pair::elected(&inside(""), &inside("advskew = 50"))?;
    let running = pair.ping(VIP[0])?;
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    pair.a.stop()?;
    pair.b.until_all("MASTER")?;
    let took = begun.elapsed();
    let pinged = running.finish()?;
    println!("clean stop: taken over after {took:?} with adverts of 1 s, {pinged:?} at 10 ms");
    ensure!(took < Duration::from_millis(1_500), "{took:?}");
    ensure!(pinged.lost <= 5, "{pinged:?}");
    ensure!(pair.b.row()?.reason == "master left", "{:?}", pair.b.row()?);
    for vip in VIP {
        ensure!(!pair.a.has(vip)? && pair.b.has(vip)?, "{vip}");
    }
    Ok(())
}

fn after_a_crash_the_leftovers_are_gone_before_the_election() -> anyhow::Result<()> {
    let mut pair = fast()?;
    let epoch = pair.a.report()?.epoch;
    pair.a.kill();
    pair.b.until_all("MASTER")?;
    ensure!(pair.a.has(VIP[0])?, "a crash that leaves nothing proves nothing");
    // Somebody else's address stays, ours go although it does not even preempt.
    tools::must(&pair.a.host, &["ip", "addr", "add", "10.0.1.77/24", "dev", "lan0"], LIMIT)?;
    let calm = inside("interval = \"10ms\"") + &outside("interval = \"10ms\"");
    pair.a.start(&calm)?;
    pair.a.until_all("BACKUP")?;
    ensure!(pair.b.row()?.state == "MASTER", "{:?}", pair.b.row()?);
    for vip in VIP {
        ensure!(!pair.a.has(vip)? && pair.b.has(vip)?, "{vip} is doubled");
    }
    ensure!(pair.a.has("10.0.1.77".parse()?)?, "another's address was removed");
    ensure!(pair.a.place.log().contains("an address that a crash had left was removed"), "log");
    ensure!(pair.a.report()?.epoch > epoch, "the epoch did not grow");
    ensure!(pair.b.counter("carps_replay")? == 0, "fresh adverts were taken for old ones");
    Ok(())
}

fn a_device_that_goes_and_comes_is_followed() -> anyhow::Result<()> {
    let pair = fast()?;
    let delete = |name: &str| tools::must(&pair.a.host, &["ip", "link", "del", name], LIMIT);
    delete("lan0")?;
    pair.b.until_all("MASTER")?;
    pair.a.until("A is out", |row| row.state == "INIT")?;
    ensure!(pair.a.place.log().contains("there is no such device"), "{}", pair.a.place.log());
    pair.lan.connect(&pair.lab, &pair.a.host, "lan0", evergate_lab::LinkOptions::default())?;
    pair.a.host.address("lan0", "10.0.1.11/24")?;
    pair.a.until_all("MASTER")?;
    pair.b.until_all("BACKUP")?;
    pair.ensure_one_owner()?;
    until("a ping", || pings(&pair.client, VIP[0]))
}

fn a_device_that_is_missing_at_the_start_is_waited_for() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    let apart = format!("{FAST}group = \"dmz\"");
    let missing = vhost(3, "dmz0", "\"10.0.3.100/24\"", &apart);
    pair.a.start(&(missing + &inside(FAST)))?;
    let states = || -> anyhow::Result<Vec<String>> {
        Ok(pair.a.report()?.vhosts.into_iter().map(|row| row.state).collect())
    };
    until("the other one is MASTER", || Ok(states()? == ["INIT", "MASTER"]))?;
    let demotions: Vec<u16> = pair.a.report()?.vhosts.iter().map(|row| row.demotion).collect();
    ensure!(demotions == [1, 0], "{demotions:?}");
    ensure!(pair.a.place.log().matches("there is no such device").count() == 1, "log");
    let dmz = pair.lab.bridge("dmz")?;
    dmz.connect(&pair.lab, &pair.a.host, "dmz0", evergate_lab::LinkOptions::default())?;
    pair.a.host.address("dmz0", "10.0.3.11/24")?;
    until("both are MASTER", || Ok(states()? == ["MASTER", "MASTER"]))
}

fn an_address_that_is_taken_from_the_master_is_set_again() -> anyhow::Result<()> {
    let pair = fast()?;
    for vip in VIP {
        let prefix = if vip.is_ipv4() { 24 } else { 64 };
        pair.a.host.remove_address("lan0", &format!("{vip}/{prefix}"))?;
        until("it is there again", || pair.a.has(vip))?;
        until("a ping", || pings(&pair.client, vip))?;
    }
    ensure!(pair.a.row()?.state == "MASTER", "{:?}", pair.a.row()?);
    pair.ensure_one_owner()
}

fn with_filter_local_adverts_arrive_all_the_same() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    for member in [&mut pair.a, &mut pair.b] {
        member.gateway = "filter_local = true\n".to_owned();
    }
    let slower = |more: &str| inside(&format!("interval = \"100ms\"\n{more}"));
    pair.a.start(&slower("preempt = true"))?;
    pair.a.until_all("MASTER")?;
    pair.b.start(&slower("advskew = 100"))?;
    pair.b.until_all("BACKUP")?;
    for counter in ["carps_ipackets", "carps_ipackets6"] {
        until(counter, || Ok(pair.b.counter(counter)? >= 5))?;
    }
    ensure!(pair.b.row()?.state == "BACKUP", "{:?}", pair.b.row()?);
    for vip in VIP {
        until(&format!("a ping of {vip}"), || pings(&pair.client, vip))?;
    }
    let running = pair.ping(VIP[0])?;
    std::thread::sleep(SILENCE);
    pair.a.ask(&Request::Failover { undo: false })?;
    pair.b.until_all("MASTER")?;
    std::thread::sleep(SILENCE);
    let pinged = running.finish()?;
    println!("planned, filter_local: {pinged:?} at 10 ms");
    ensure!(pinged.lost <= 20, "{pinged:?}");
    pair.a.ask(&Request::Failover { undo: true })?;
    pair.a.until_all("MASTER")?;
    pair.a.kill();
    pair.b.until_all("MASTER")?;
    // The crashed one is shut, so nothing answers there.
    for vip in VIP {
        until(&format!("a ping of {vip} on B"), || pings(&pair.client, vip))?;
    }
    Ok(())
}

fn commands_run_on_a_role_change_and_nobody_waits_for_them() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    let script = pair.a.place.write(
        "hook.sh",
        "#!/bin/sh\necho \"$EVERGATE_STATE $EVERGATE_VHID $EVERGATE_INTERFACE\" >>\"$1\"\nsleep 60\n",
    )?;
    let told = pair.a.place.path("told");
    let command = format!("[\"sh\", {:?}, {:?}]", script.display(), told.display());
    let lines = format!("{FAST}on_master = {command}\non_backup = {command}\n");
    pair.a.start(&inside(&lines))?;
    pair.a.until_all("MASTER")?;
    let heard = || std::fs::read_to_string(&told).unwrap_or_default();
    until("both commands", || Ok(heard() == "BACKUP 1 lan0\nMASTER 1 lan0\n"))
        .map_err(|error| error.context(heard()))?;
    let begun = Instant::now();
    pair.a.stop()?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "it waited for a command");
    ensure!(heard().ends_with("MASTER 1 lan0\nINIT 1 lan0\n"), "{}", heard());
    Ok(())
}

fn a_passphrase_that_others_can_read_is_refused() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut pair = Pair::new()?;
    let key = pair.a.place.path("carp.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640))?;
    let refused = pair.a.start(&inside("")).err().map(|error| format!("{error:#}"));
    let refused = refused.unwrap_or_default();
    ensure!(refused.contains("can be read by others (mode 0640)"), "{refused}");
    ensure!(refused.contains("chmod 0600"), "{refused}");
    Ok(())
}
