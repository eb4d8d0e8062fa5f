//! Policies and tables changed under traffic.

use std::io::ErrorKind;

use anyhow::{Context, ensure};
use evergate::control::{self, PolicyRow, Request, TableEntryRow};
use evergate_e2e::streams::{self, Download, Server, connect_and_echo, echoes, ensure_blocked};
use evergate_e2e::wait::{LIMIT, SILENCE};
use evergate_e2e::world::{World, at, builtin};

crate::claims![
    a_transfer_goes_on_while_its_policy_is_swapped,
    a_broken_module_leaves_the_running_one,
    a_hostile_module_harms_nobody_else,
    a_table_changes_verdicts_at_once,
];

/// Blocks whatever is new: verdict word 2.
const BLOCK_ALL: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
  (func (export "decide") (param i32) (result i64) (i64.const 2)))"#;

/// Never comes to a verdict.
const ENDLESS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
  (func (export "decide") (param i32) (result i64) (loop (br 0)) (unreachable)))"#;

/// Traps.
const TRAP: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
  (func (export "decide") (param i32) (result i64) (unreachable)))"#;

/// A verdict word that means nothing.
const NONSENSE: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "evergate_abi_v1") (result i32) (i32.const 1024))
  (func (export "decide") (param i32) (result i64) (i64.const -1)))"#;

/// Loads a module text in the place of `home`; none for the one of the configuration.
fn load(world: &World, text: Option<&str>) -> anyhow::Result<()> {
    let file = text.map(|text| world.place.write("module.wat", text)).transpose()?;
    world.ask(&Request::PolicyLoad { name: "home".to_owned(), file })?;
    Ok(())
}

fn policy(world: &World) -> anyhow::Result<PolicyRow> {
    let rows: Vec<PolicyRow> = control::ask_all(&world.place.control(), &Request::ShowPolicies)?;
    rows.into_iter().next().context("a chain without policies")
}

fn a_transfer_goes_on_while_its_policy_is_swapped() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::download(&world.net.server, 80)?;
    for to in at::SERVER {
        let download = Download::start(&world.net.client, to, 80, 1 << 50)?;
        download.wait_for(10 << 20)?;
        load(&world, Some(BLOCK_ALL))?;
        ensure_blocked(&world.net.client, to, 80, SILENCE)?;
        download.wait_for(10 << 20)?;
        load(&world, None)?;
        streams::connect(&world.net.client, to, 80)?;
        for n in 0..20 {
            load(&world, (n % 2 == 0).then_some(BLOCK_ALL))?;
        }
        download.wait_for(10 << 20)?;
    }
    Ok(())
}

fn a_broken_module_leaves_the_running_one() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.server, 80)?;
    let before = policy(&world)?;
    let no_decide = r#"(module (memory (export "memory") 1)
        (func (export "evergate_abi_v1") (result i32) (i32.const 1024)))"#;
    let other_abi = BLOCK_ALL.replace("abi_v1", "abi_v99");
    let too_large = BLOCK_ALL.replace("\"memory\") 1", "\"memory\") 1000");
    for (what, text) in [
        ("nothing", ""),
        ("no WAT", "(module"),
        ("no `decide`", no_decide),
        ("another ABI", &other_abi),
        ("more memory than allowed", &too_large),
    ] {
        let refused = load(&world, Some(text)).err().with_context(|| format!("{what}: taken"))?;
        let text = refused.to_string();
        ensure!(text.contains("module.wat") && text.contains("home"), "{what}: {text}");
        ensure!(!text.contains("panicked") && text.lines().count() < 12, "{what}: {text}");
    }
    let missing = Request::PolicyLoad {
        name: "home".to_owned(),
        file: Some(world.place.path("missing.wasm")),
    };
    let refused = world.ask(&missing).err().context("a missing file was taken")?;
    ensure!(refused.to_string().contains("missing.wasm"), "{refused}");
    let unknown = Request::PolicyLoad { name: "office".to_owned(), file: None };
    let refused = world.ask(&unknown).err().context("an unknown policy was taken")?;
    ensure!(refused.to_string().contains("no policy office"), "{refused}");
    ensure!(policy(&world)?.hash == before.hash, "the running one was replaced");
    for to in at::SERVER {
        connect_and_echo(&world.net.client, to, 80)?;
    }
    Ok(())
}

fn a_hostile_module_harms_nobody_else() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.server, 80)?;
    let mut stream = connect_and_echo(&world.net.client, at::SERVER[0], 80)?;
    for (what, text) in [("endless", ENDLESS), ("trap", TRAP), ("nonsense", NONSENSE)] {
        // Whether such a module is found out at load or at its first packet, it passes nothing.
        let taken = load(&world, Some(text)).is_ok();
        if taken {
            let before = world.drops("policy")?;
            ensure_blocked(&world.net.client, at::SERVER[1], 80, SILENCE)?;
            ensure!(world.drops("policy")? > before, "{what}: blocked for another reason");
            let row = policy(&world)?;
            let failures = row.out_of_time + row.traps + row.bad_verdicts;
            ensure!(failures > 0 && row.last_failure.is_some(), "{what}: {row:?}");
        }
        ensure!(echoes(&mut stream, b"still there", LIMIT)?, "{what}: an old one has suffered");
        load(&world, None)?;
        connect_and_echo(&world.net.client, at::SERVER[1], 80)?;
    }
    Ok(())
}

fn a_table_changes_verdicts_at_once() -> anyhow::Result<()> {
    let mut world = World::new()?;
    world.start("", &builtin("home", "", "[tables]\nblocked = [\"192.0.2.0/24\"]\n"))?;
    let (client, server) = (&world.net.client, &world.net.server);
    let _server = Server::echo(server, 80)?;
    let table = || "blocked".to_owned();
    for (to, prefix) in at::SERVER.into_iter().zip(["10.0.2.0/24", "fd00:2::/64"]) {
        let mut old = connect_and_echo(client, to, 80)?;
        let entries = vec![prefix.to_owned()];
        let add = Request::TableAdd { table: table(), entries: entries.clone() };
        ensure!(world.ask(&add)?.as_u64() == Some(1), "it was to be added");
        let refused = streams::try_connect(client, to, 80, LIMIT)?;
        let kind = refused.as_ref().err().map(std::io::Error::kind);
        ensure!(kind == Some(ErrorKind::ConnectionRefused), "{to}: {refused:?}");
        ensure!(echoes(&mut old, b"still there", LIMIT)?, "{to}: an old one has suffered");

        let show = Request::TableShow { table: table() };
        let rows: Vec<TableEntryRow> = control::ask_all(&world.place.control(), &show)?;
        ensure!(rows.iter().any(|row| row.entry == prefix), "{rows:?}");
        // An exception within the prefix.
        let except = vec![format!("!{to}")];
        world.ask(&Request::TableAdd { table: table(), entries: except.clone() })?;
        connect_and_echo(client, to, 80)?;
        world.ask(&Request::TableDelete { table: table(), entries: except })?;
        let refused = streams::try_connect(client, to, 80, LIMIT)?;
        ensure!(refused.is_err(), "{to}: the exception is gone");

        let delete = Request::TableDelete { table: table(), entries };
        ensure!(world.ask(&delete)?.as_u64() == Some(1), "it was to be deleted");
        connect_and_echo(client, to, 80)?;
    }
    let bad = Request::TableAdd { table: table(), entries: vec!["10.0.0.0/33".to_owned()] };
    let refused = world.ask(&bad).err().context("a bad entry was taken")?;
    ensure!(refused.to_string().contains("10.0.0.0/33"), "{refused}");
    let unknown = Request::TableAdd { table: "none".to_owned(), entries: vec![] };
    ensure!(world.ask(&unknown).is_err(), "an unknown table was taken");
    Ok(())
}
