//! What somebody on the segment without the passphrase can do to a pair, and an honest mistake:
//! an address that is there twice.

use std::time::Duration;

use anyhow::{Context, ensure};
use evergate_e2e::frames::Sniffer;
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_io::packet_socket::PacketSocket;
use evergate_wire::checksum;

use crate::carp::pair::{Pair, VIP, inside};

crate::claims![
    forged_and_replayed_adverts_do_nothing_where_a_trailer_is_required,
    adverts_with_another_passphrase_are_refused_and_said_so,
    an_address_that_somebody_else_has_set_is_a_conflict_until_it_is_gone,
    another_host_that_answers_for_an_address_is_named,
    gateways_elect_by_unicast_too,
];

/// Adverts that last long enough to be played with.
const CALM: &str = "interval = \"100ms\"\n";

/// Where CARP begins behind Ethernet and IPv4.
const CARP: usize = 34;

/// The next IPv4 advert on the client's device, as a whole frame.
fn advert(pair: &Pair) -> anyhow::Result<Vec<u8>> {
    let socket = pair.client.run(|| PacketSocket::receiver("eth0"))??;
    let mut frame = vec![0; 2048];
    for _ in 0..200 {
        let Some(len) = socket.receive(&mut frame, 50)? else { continue };
        let frame = &frame[..len];
        if frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&112) {
            return Ok(frame.to_vec());
        }
    }
    anyhow::bail!("no advert was seen")
}

/// Sets bytes of the advert and makes its checksum right again.
fn edited(frame: &[u8], edits: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for (at, value) in edits {
        frame[CARP + at] = *value;
    }
    frame[CARP + 6..CARP + 8].fill(0);
    let sum = checksum::checksum(&frame[CARP..CARP + 36]).to_be_bytes();
    frame[CARP + 6..CARP + 8].copy_from_slice(&sum);
    frame
}

/// The same from another source address.
fn from_elsewhere(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[29] = 66;
    frame[24..26].fill(0);
    let sum = checksum::checksum(&frame[14..CARP]).to_be_bytes();
    frame[24..26].copy_from_slice(&sum);
    frame
}

fn forged_and_replayed_adverts_do_nothing_where_a_trailer_is_required() -> anyhow::Result<()> {
    let pair =
        Pair::elected(&inside(CALM), &inside(&format!("{CALM}advskew = 100\npreempt = true")))?;
    let socket = pair.client.run(|| PacketSocket::sender("eth0"))??;
    let seen = advert(&pair)?;
    let changes = pair.b.counter("carps_ostates")? + pair.a.counter("carps_ostates")?;
    // 255 and 255 are a bow-out; skew 0 with a demotion of 0 is the best there is.
    let bow_out = edited(&seen, &[(2, 255), (5, 255)]);
    let demoted = edited(&seen, &[(4, 9)]);
    let best = edited(&seen, &[(2, 0), (5, 0)]);
    let bare = edited(&seen, &[(2, 0)])[..CARP + 36].to_vec();
    let mut bare_ip = bare.clone();
    bare_ip[16..18].copy_from_slice(&56_u16.to_be_bytes());
    for (frame, counter) in [
        (seen.clone(), "carps_replay"),
        (from_elsewhere(&seen), "carps_replay"),
        (bow_out, "carps_badtag"),
        (demoted, "carps_badtag"),
        (from_elsewhere(&best), "carps_badtag"),
        (from_elsewhere(&bare_ip), "carps_notrailer"),
    ] {
        let before = pair.b.counter(counter)?;
        for _ in 0..20 {
            ensure!(socket.send(&[&frame])? == 1, "not sent");
        }
        until(counter, || Ok(pair.b.counter(counter)? >= before + 20))?;
    }
    std::thread::sleep(SILENCE);
    ensure!(pair.a.row()?.state == "MASTER" && pair.b.row()?.state == "BACKUP", "roles");
    let after = pair.b.counter("carps_ostates")? + pair.a.counter("carps_ostates")?;
    ensure!(changes == after, "somebody changed its state in between");
    ensure!(pair.b.place.log().contains("carp: advert refused: replay"), "{}", pair.b.place.log());
    pair.ensure_one_owner()
}

fn adverts_with_another_passphrase_are_refused_and_said_so() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    std::fs::write(pair.b.place.path("carp.key"), "another\n")?;
    pair.a.start(&inside(CALM))?;
    pair.a.until_all("MASTER")?;
    pair.b.start(&inside(CALM))?;
    until("badauth", || Ok(pair.b.counter("carps_badauth")? > 0))?;
    let log = pair.b.place.log();
    ensure!(log.contains("the passphrase or the virtual addresses differ"), "{log}");
    Ok(())
}

fn an_address_that_somebody_else_has_set_is_a_conflict_until_it_is_gone() -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    pair.b.start(&inside(CALM))?;
    pair.b.until_all("MASTER")?;
    let vip = format!("{}/24", VIP[0]);
    tools::must(&pair.a.host, &["ip", "addr", "add", &vip, "dev", "lan0"], LIMIT)?;
    pair.a.start(&inside(&format!("{CALM}preempt = true")))?;
    pair.a.until_all("BACKUP")?;
    let conflicts = || -> anyhow::Result<usize> {
        let held = pair.a.report()?.reasons;
        Ok(held.iter().filter(|held| held.reason == "address conflict").count())
    };
    until("a demotion", || Ok(conflicts()? == 1))?;
    let log = pair.a.place.log();
    ensure!(log.matches("the address was set on this host by somebody else").count() == 1, "{log}");
    pair.a.host.remove_address("lan0", &vip)?;
    until("no demotion", || Ok(conflicts()? == 0))?;
    ensure!(pair.a.place.log().contains("the conflict is over"), "{}", pair.a.place.log());
    Ok(())
}

fn another_host_that_answers_for_an_address_is_named() -> anyhow::Result<()> {
    let pair = Pair::elected(&inside(CALM), &inside(&format!("{CALM}advskew = 100")))?;
    let (vip, mac) = (format!("{}/24", VIP[0]), pair.client.device("eth0")?.mac);
    pair.client.address("eth0", &vip)?;
    let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let said = format!("{} is answered for by", VIP[0]);
    for member in [&pair.a, &pair.b] {
        until(&said, || Ok(member.place.log().contains(&said)))?;
        ensure!(member.place.log().contains(&mac.join(":")), "{}", member.place.log());
    }
    let demoted = || Ok(pair.b.row()?.demotion == 1);
    until("the BACKUP is demoted", demoted)?;
    ensure!(pair.a.row()?.demotion == 0 && pair.a.row()?.state == "MASTER", "{:?}", pair.a.row()?);
    pair.client.remove_address("eth0", &vip)?;
    until("the BACKUP is not demoted", || Ok(pair.b.row()?.demotion == 0))
}

fn gateways_elect_by_unicast_too() -> anyhow::Result<()> {
    for local in [false, true] {
        elect_by_unicast(local).with_context(|| format!("filter_local = {local}"))?;
    }
    Ok(())
}

fn elect_by_unicast(local: bool) -> anyhow::Result<()> {
    let mut pair = Pair::new()?;
    for member in [&mut pair.a, &mut pair.b] {
        member.gateway = format!("filter_local = {local}\n");
    }
    let peers = |number: u8| format!("{CALM}peers = [\"10.0.1.{number}\", \"fd00:1::{number}\"]\n");
    let sniffer = Sniffer::on(&pair.client, "eth0")?;
    pair.a.start(&inside(&peers(12)))?;
    pair.a.until_all("MASTER")?;
    pair.b.start(&inside(&(peers(11) + "advskew = 100")))?;
    pair.b.until_all("BACKUP")?;
    for counter in ["carps_ipackets", "carps_ipackets6"] {
        until(counter, || Ok(pair.b.counter(counter)? > 3)).context("B hears A")?;
    }
    ensure!(pair.b.counter("carps_badif")? == 0, "adverts of a peer were refused");
    let stray = sniffer.find(Duration::from_millis(500), |_, parsed| {
        parsed.proto == 112 && parsed.dst.is_multicast()
    })?;
    ensure!(stray.is_none(), "an advert went to the group");
    ensure!(pair.b.row()?.state == "BACKUP", "{:?}", pair.b.row()?);
    pair.a.stop()?;
    pair.b.until_all("MASTER")
}
