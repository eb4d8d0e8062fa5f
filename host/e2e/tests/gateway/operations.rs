//! Policies under operation: who may load what, taking out and putting back, and what a swap or a
//! hostile neighbour costs traffic.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use evergate::control::{self, PolicyRow, Request};
use evergate_e2e::streams::{self, Server, connect_and_echo, ensure_blocked};
use evergate_e2e::tools;
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_e2e::world::{INTERFACES, World, at, builtin};
use evergate_lab::Host;

crate::claims![
    only_listed_or_signed_modules_are_loaded,
    an_unloaded_policy_says_continue_until_it_is_reloaded,
    a_watched_file_is_loaded_when_it_changes,
    hooks_of_a_running_gateway_are_called,
    a_swap_under_load_loses_no_packet,
    a_hostile_policy_leaves_other_traffic_alone,
];

const PASS_ALL: &str = r#"(module (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 0))
  (func (export "decide") (param i32) (result i64) (i64.const 1)))"#;

fn load(world: &World, name: &str, text: &str) -> anyhow::Result<()> {
    let file = Some(world.place.write("module.wat", text)?);
    world.ask(&Request::PolicyLoad { name: name.to_owned(), file })?;
    Ok(())
}

fn rows(world: &World) -> anyhow::Result<Vec<PolicyRow>> {
    Ok(control::ask_all(&world.place.control(), &Request::ShowPolicies)?)
}

/// `evergate policy WORDS` on the gateway's host.
fn policy(world: &World, words: &[&str]) -> anyhow::Result<tools::Said> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("policy").args(words);
    tools::finish(&world.net.gateway, command, LIMIT)
}

fn only_listed_or_signed_modules_are_loaded() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let text = |path: std::path::PathBuf| -> anyhow::Result<String> {
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    };
    let key = text(world.place.path("key"))?;
    let made = policy(&world, &["keygen", &key, "--json"])?;
    let made: serde_json::Value = serde_json::from_str(&made.out)?;
    let public = made["key"].as_str().context("a key")?.to_owned();
    let security = format!("[security]\npolicy_keys = [\"{public}\"]\n");
    world.start("", &builtin("home", "", &security))?;

    let module = text(world.place.write("module.wat", PASS_ALL)?)?;
    let request = Request::PolicyLoad { name: "home".into(), file: Some(module.clone().into()) };
    let refused = world.ask(&request).err().context("an unsigned module was taken")?;
    ensure!(refused.to_string().contains("has to be signed"), "{refused}");
    ensure!(policy(&world, &["sign", "--key", &key, &module])?.ok, "signing failed");
    world.ask(&request)?;
    world.place.write("module.wat", &PASS_ALL.replace("i64.const 1", "i64.const 2"))?;
    let refused = world.ask(&request).err().context("a changed module was taken")?;
    ensure!(refused.to_string().contains("made this signature"), "{refused}");
    Ok(())
}

fn an_unloaded_policy_says_continue_until_it_is_reloaded() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.server, 80)?;
    connect_and_echo(&world.net.client, at::SERVER[0], 80)?;
    world.ask(&Request::PolicyUnload { name: "home".to_owned() })?;
    // Nobody has an opinion any more, and the default is to block.
    ensure_blocked(&world.net.client, at::SERVER[0], 80, SILENCE)?;
    ensure!(rows(&world)?[0].source == "unloaded", "{:?}", rows(&world)?);
    world.ask(&Request::PolicyLoad { name: "home".to_owned(), file: None })?;
    connect_and_echo(&world.net.client, at::SERVER[0], 80)?;
    ensure!(world.ask(&Request::PolicyUnload { name: "none".to_owned() }).is_err(), "taken");
    Ok(())
}

fn a_watched_file_is_loaded_when_it_changes() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let file = world.place.write("mine.wat", PASS_ALL)?;
    let config = format!(
        "{INTERFACES}\n[[policy]]\nname = \"mine\"\nfile = {:?}\nwatch = true\n",
        file.display().to_string()
    );
    world.start("", &config)?;
    let first = rows(&world)?[0].hash.clone();
    world.place.write("mine.wat", "(module")?;
    until("the log tells of the mistake", || Ok(world.place.log().contains("not replaced")))?;
    ensure!(rows(&world)?[0].hash == first, "a broken file was taken");
    world.place.write("mine.wat", &PASS_ALL.replace("i64.const 1", "i64.const 0x10001"))?;
    until("the new one runs", || Ok(rows(&world)?[0].hash != first))
}

/// Logs each hook.
const HOOKS: &str = r#"(module
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 256) "hook-load hook-unload hook-tick hook-end")
  (func (export "evergate_abi_v1") (result i32) (i32.const 0))
  (func (export "decide") (param i32) (result i64) (i64.const 1))
  (func (export "evergate_state_end_v1") (result i32) (i32.const 64))
  (func (export "on_state_end") (param i32)
    (if (i32.eq (i32.load8_u (i32.const 68)) (i32.const 1))
      (then (call $log (i32.const 2) (i32.const 288) (i32.const 8)))))
  (func (export "on_tick") (param i64 i64)
    (call $log (i32.const 2) (i32.const 278) (i32.const 9)))
  (func (export "on_load") (call $log (i32.const 2) (i32.const 256) (i32.const 9)))
  (func (export "on_unload") (call $log (i32.const 2) (i32.const 266) (i32.const 11))))"#;

fn hooks_of_a_running_gateway_are_called() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.server, 80)?;
    load(&world, "home", HOOKS)?;
    until("load and tick", || {
        let log = world.place.log();
        Ok(log.contains("hook-load") && log.contains("hook-tick"))
    })?;
    let _stream = connect_and_echo(&world.net.client, at::SERVER[0], 80)?;
    world.ask(&Request::KillStates { filter: Default::default() })?;
    until("the state's end", || Ok(world.place.log().contains("hook-end")))?;
    world.ask(&Request::PolicyLoad { name: "home".to_owned(), file: None })?;
    until("unload", || Ok(world.place.log().contains("hook-unload")))
}

/// Asks an echo service without a pause, by one socket or by a new one each time.
struct Probe {
    sent: u64,
    lost: u64,
    times: Vec<Duration>,
}

impl Probe {
    /// `fresh`: each question makes a state, so a policy decides about each.
    fn run(client: &Host, to: IpAddr, fresh: bool, stop: &AtomicBool) -> anyhow::Result<Probe> {
        let mut probe = Probe { sent: 0, lost: 0, times: Vec::new() };
        let mut socket = streams::udp(client, to, 7, Duration::from_secs(2))?;
        while !stop.load(Ordering::Relaxed) {
            if fresh {
                socket = streams::udp(client, to, 7, Duration::from_secs(2))?;
            }
            let begun = Instant::now();
            socket.send(&probe.sent.to_be_bytes())?;
            probe.sent += 1;
            match socket.recv(&mut [0; 64]) {
                Ok(_) => probe.times.push(begun.elapsed()),
                Err(_) => probe.lost += 1,
            }
        }
        probe.times.sort_unstable();
        Ok(probe)
    }

    fn at(&self, share: f64) -> Duration {
        let place = (self.times.len() as f64 * share) as usize;
        self.times.get(place.min(self.times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    fn say(&self, what: &str) {
        println!(
            "{what}: {} questions, {} lost, p50 {:?}, p99 {:?}, most {:?}",
            self.sent,
            self.lost,
            self.at(0.5),
            self.at(0.99),
            self.at(1.0)
        );
    }
}

/// Two probes run while `meanwhile` does what it does.
fn probed(
    world: &World,
    to: [IpAddr; 2],
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<[Probe; 2]> {
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let probes = [(to[0], false), (to[1], true)].map(|(to, fresh)| {
            let (stop, client) = (Arc::clone(&stop), &world.net.client);
            scope.spawn(move || Probe::run(client, to, fresh, &stop))
        });
        let done = meanwhile();
        stop.store(true, Ordering::Relaxed);
        let [first, second] = probes.map(|probe| {
            probe.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a probe has panicked")))
        });
        done?;
        Ok([first?, second?])
    })
}

fn a_swap_under_load_loses_no_packet() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::udp_echo(&world.net.server, 7)?;
    let to = [at::SERVER[0]; 2];
    let calm = probed(&world, to, || {
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    })?;
    let swapped = probed(&world, to, || {
        for n in 0..40 {
            load(
                &world,
                "home",
                &PASS_ALL.replace("i64.const 1", &format!("i64.const {}", 1 | (n << 16))),
            )?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    })?;
    for (probes, what) in [(&calm, "without a swap"), (&swapped, "with 40 swaps")] {
        for (probe, kind) in probes.iter().zip(["known state", "new states"]) {
            probe.say(&format!("{what}, {kind}"));
            ensure!(probe.lost == 0, "{what}, {kind}: {} of {} lost", probe.lost, probe.sent);
            ensure!(probe.sent > 100, "{what}, {kind}: too few to tell");
        }
    }
    Ok(())
}

/// Passes what goes to port 7, and lets the next policy decide the rest.
const PASS_7: &str = r#"(module (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 0))
  (func (export "decide") (param i32) (result i64)
    (i64.extend_i32_u (i32.eq (i32.load16_u (i32.const 42)) (i32.const 7)))))"#;

/// Never comes to a verdict, and neither do its hooks.
const LOOPS: &str = r#"(module (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 0))
  (func (export "on_tick") (param i64 i64) (loop (br 0)))
  (func (export "decide") (param i32) (result i64)
    (loop (br 0)) (unreachable)))"#;

fn a_hostile_policy_leaves_other_traffic_alone() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        Ok(format!("{:?}", world.place.write(name, text)?.display().to_string()))
    };
    let (first, second) = (file("first.wat", PASS_7)?, file("second.wat", PASS_ALL)?);
    let chain = format!(
        "{INTERFACES}\n[[policy]]\nname = \"first\"\nfile = {first}\n\
         [[policy]]\nname = \"second\"\nfile = {second}\n"
    );
    world.start("", &chain)?;
    let _server = Server::udp_echo(&world.net.server, 7)?;
    let to = [at::SERVER[0]; 2];
    let period = Duration::from_secs(2);
    let calm = probed(&world, to, || {
        std::thread::sleep(period);
        Ok(())
    })?;
    load(&world, "second", LOOPS)?;
    let victims = streams::udp(&world.net.client, at::SERVER[0], 9, LIMIT)?;
    let hostile = probed(&world, to, || {
        let begun = Instant::now();
        while begun.elapsed() < period {
            victims.send(b"loop")?;
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    })?;
    let row = rows(&world)?.swap_remove(1);
    ensure!(row.out_of_time > 0, "the hostile one was never called: {row:?}");
    println!("hostile: {} ran out of time, {} held off", row.out_of_time, row.held_off);
    for (probe, kind) in calm.iter().zip(["known state", "new states"]) {
        probe.say(&format!("alone, {kind}"));
    }
    for (probe, kind) in hostile.iter().zip(["known state", "new states"]) {
        probe.say(&format!("beside a hostile policy, {kind}"));
        ensure!(probe.lost == 0, "{kind}: {} of {} lost", probe.lost, probe.sent);
    }
    Ok(())
}
