//! The acts of the demo, in order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::LOCKDOWN;
use super::endpoints::{self, Download};
use super::ping::ping;
use super::story::{Figure, Story};
use super::world::{DOWNLOAD, OPEN, SHUT, World};
use crate::cli::show;
use crate::control::{self, InfoReport, Request, StateFilter, StateRow};
use crate::render;

const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2));
const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 2));

/// How long the measured download runs.
const DOWNLOAD_TIME: Duration = Duration::from_secs(3);
/// How long one waits for what should work.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one waits for what should not.
const SHORT: Duration = Duration::from_millis(700);
/// More bytes than any act can take.
const ENDLESS: u64 = 1 << 50;

/// Plays all acts.
pub(super) fn play(story: &mut Story, world: &mut World) -> anyhow::Result<()> {
    story.say("Three hosts on this machine, each a network namespace of its own:\n");
    story.say("   client 10.0.1.2 ── lan ─[ gateway ]─ wan ── 10.0.2.2 server");
    story.say("   fd00:1::2                                   fd00:2::2\n");
    closed_before(story, world)?;
    start(story, world)?;
    download(story, world)?;
    ports(story, world)?;
    pings(story, world)?;
    states(story, world)?;
    let running = swap(story, world)?;
    crash(story, world, &running)?;
    restart(story, world)?;
    stop(story, world)
}

fn ms(duration: Duration) -> Figure {
    Figure { value: duration.as_secs_f64() * 1e3, unit: "ms" }
}

fn closed_before(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let passed = ping(&world.net.client, SERVER_V4, 1, SHORT)?.is_some();
    let figure = Figure { value: f64::from(u8::from(passed)), unit: "packets" };
    story.check("closed before start", !passed, figure, "without a gateway nothing passes");
    Ok(())
}

fn start(story: &mut Story, world: &mut World) -> anyhow::Result<()> {
    let took = world.start_gateway()?;
    let sentence = format!(
        "the gateway runs ({:.0} ms): policy `home`, a WebAssembly module of {} bytes",
        took.as_secs_f64() * 1e3,
        crate::builtin::bytes("home").map_or(0, <[u8]>::len)
    );
    story.check("gateway start", true, ms(took), &sentence);
    Ok(())
}

fn download(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let stream = endpoints::connect(&world.net.client, SERVER_V4, DOWNLOAD, PATIENCE)??;
    let download = Download::start(stream, ENDLESS)?;
    let began = Instant::now();
    while began.elapsed() < DOWNLOAD_TIME {
        std::thread::sleep(Duration::from_millis(50));
        let seconds = began.elapsed().as_secs_f64();
        let rate = download.received() as f64 * 8e-9 / seconds;
        let text = format!("{} at {rate:.1} Gbit/s", render::bytes(download.received()));
        story.progress(seconds / DOWNLOAD_TIME.as_secs_f64(), &text);
    }
    story.progress_done();
    let bytes = download.received();
    let gbit = bytes as f64 * 8e-9 / began.elapsed().as_secs_f64();
    let sentence =
        format!("download, client from server: {} at {gbit:.1} Gbit/s", render::bytes(bytes));
    story.check("download", bytes > 0, Figure { value: gbit, unit: "Gbit/s" }, &sentence);

    let six = endpoints::connect(&world.net.client, SERVER_V6, DOWNLOAD, PATIENCE)?;
    let bytes = match six {
        Ok(stream) => Download::start(stream, ENDLESS)?.received_in(Duration::from_millis(500)),
        Err(_) => 0,
    };
    let sentence = format!("the same over IPv6: {} in half a second", render::bytes(bytes));
    let figure = Figure { value: bytes as f64, unit: "bytes" };
    story.check("download over IPv6", bytes > 0, figure, &sentence);
    Ok(())
}

fn ports(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let began = Instant::now();
    let open = endpoints::connect(&world.net.server, CLIENT_V4, OPEN, PATIENCE)?.is_ok();
    let sentence = format!("from outside, port {OPEN}, which the policy lists: connected");
    story.check("allowed port", open, ms(began.elapsed()), &sentence);
    let began = Instant::now();
    let shut = endpoints::connect(&world.net.server, CLIENT_V4, SHUT, SHORT)?.is_err();
    let sentence = format!("from outside, port {SHUT}, where somebody listens too: blocked");
    story.check("refused port", shut, ms(began.elapsed()), &sentence);
    Ok(())
}

fn pings(story: &mut Story, world: &World) -> anyhow::Result<()> {
    for (name, to) in [("ping", SERVER_V4), ("ping over IPv6", SERVER_V6)] {
        let answer = ping(&world.net.client, to, 2, PATIENCE)?;
        let took = answer.unwrap_or(PATIENCE);
        let sentence = format!("{name} {to}: {:.2} ms", took.as_secs_f64() * 1e3);
        story.check(name, answer.is_some(), ms(took), &sentence);
    }
    Ok(())
}

fn states(story: &mut Story, world: &World) -> anyhow::Result<()> {
    let request = Request::ShowStates { filter: StateFilter::default(), limit: 8 };
    let rows: Vec<StateRow> = control::ask_all(&world.control(), &request)?;
    let ok =
        rows.iter().any(|row| row.peers == "ESTABLISHED:ESTABLISHED" || row.peers.contains("FIN"));
    let figure = Figure { value: rows.len() as f64, unit: "states" };
    story.check("states", ok, figure, "what `evergate show states` says now:");
    story.show(&show::states(&rows, false));
    Ok(())
}

/// Swaps the policy while a download runs, and back; returns the download, still running.
fn swap(story: &mut Story, world: &World) -> anyhow::Result<Download> {
    let stream = endpoints::connect(&world.net.client, SERVER_V4, DOWNLOAD, PATIENCE)??;
    let running = Download::start(stream, ENDLESS)?;
    running.received_in(Duration::from_millis(300));
    let lockdown = world.workplace.write("lockdown.wat", LOCKDOWN)?;
    let load = |file| Request::PolicyLoad { name: "home".to_owned(), file };
    let began = Instant::now();
    control::ask_all::<()>(&world.control(), &load(Some(lockdown)))?;
    let took = began.elapsed();
    let flows = running.received_in(Duration::from_millis(300));
    let new = endpoints::connect(&world.net.client, SERVER_V4, DOWNLOAD, SHORT)?.is_ok();
    let sentence = format!(
        "policy swapped under traffic ({:.1} ms): the download runs on ({} more), new connections \
         are blocked",
        took.as_secs_f64() * 1e3,
        render::bytes(flows)
    );
    story.check("policy swap", flows > 0 && !new, ms(took), &sentence);
    control::ask_all::<()>(&world.control(), &load(None))?;
    let new = endpoints::connect(&world.net.client, SERVER_V4, DOWNLOAD, PATIENCE)?.is_ok();
    let figure = Figure { value: f64::from(u8::from(new)), unit: "connections" };
    story.check("policy swap back", new, figure, "and swapped back: new connections pass");
    let info: Vec<InfoReport> = control::ask_all(&world.control(), &Request::ShowInfo)?;
    let blocked = info.first().and_then(|info| info.drops.get("match")).copied().unwrap_or(0);
    story.say(&format!("         so far {blocked} packets were dropped with pf's reason `match`"));
    Ok(running)
}

fn crash(story: &mut Story, world: &mut World, running: &Download) -> anyhow::Result<()> {
    let flowed = running.received_in(Duration::from_millis(200)) > 0;
    world.kill_gateway();
    // What was already on its way.
    std::thread::sleep(Duration::from_millis(50));
    let leaked = running.received_in(Duration::from_millis(800));
    let answered = ping(&world.net.client, SERVER_V4, 3, SHORT)?.is_some();
    let sentence = "SIGKILL in mid-transfer: not one byte passes any more (fail closed)";
    let closed = flowed && running.runs() && leaked == 0 && !answered;
    let figure = Figure { value: leaked as f64, unit: "bytes" };
    story.check("closed after a crash", closed, figure, sentence);
    Ok(())
}

fn restart(story: &mut Story, world: &mut World) -> anyhow::Result<()> {
    let took = world.start_gateway()?;
    let answer = ping(&world.net.client, SERVER_V4, 4, PATIENCE)?;
    let sentence = format!(
        "started again over what the crash left ({:.0} ms): traffic passes",
        took.as_secs_f64() * 1e3
    );
    story.check("restart after a crash", answer.is_some(), ms(took), &sentence);
    Ok(())
}

fn stop(story: &mut Story, world: &mut World) -> anyhow::Result<()> {
    let began = Instant::now();
    let clean = world.stop_gateway()?;
    let rules = world.net.gateway.run(|| -> anyhow::Result<usize> {
        let mut netlink = evergate_io::netlink::Netlink::open()?;
        let ours = evergate_io::divert::PROTOCOL;
        let rules = netlink.rules()?.iter().filter(|rule| rule.protocol == ours).count();
        let routes = netlink.routes()?.iter().filter(|route| route.protocol == ours).count();
        let tuns = netlink.links()?.iter().filter(|link| link.name.starts_with("eg-")).count();
        Ok(rules + routes + tuns)
    })??;
    let sentence = "stopped: no rule, route or device of ours is left";
    story.check("clean stop", clean && rules == 0, ms(began.elapsed()), sentence);
    Ok(())
}
