//! Starts that cannot succeed: exit code 1, one clear sentence, and nothing has changed.

use anyhow::ensure;
use evergate_e2e::world::{INTERFACES, World, builtin, ensure_same, fingerprint};

crate::claims![
    a_missing_device_is_named,
    a_missing_tun_driver_is_named,
    missing_rights_are_named,
    running_out_of_descriptors_is_named,
    a_bad_policy_file_is_named,
    a_control_socket_that_cannot_be_made_is_named,
    a_state_directory_that_cannot_be_made_is_named,
];

/// Starts in vain, `under` another program, and checks how it is refused.
fn refused(
    world: &World,
    head: &str,
    rest: &str,
    under: &[&str],
    says: &[&str],
) -> anyhow::Result<()> {
    let before = fingerprint(&world.net.gateway)?;
    let config = world.place.write("vain.toml", &format!("[gateway]\n{head}\n{rest}"))?;
    let said = world.start_in_vain(&config, under)?;
    let ours: Vec<&str> = said.err.lines().skip_while(|l| !l.starts_with("evergate: ")).collect();
    let sentence = ours.join("\n");
    ensure!(said.code == Some(1) && !ours.is_empty(), "{said:?}");
    ensure!(says.iter().all(|part| sentence.contains(part)), "{says:?} not in: {sentence}");
    ensure!(!said.err.contains("panicked") && ours.len() <= 10, "{sentence}");
    ensure_same("the gateway", &before, &fingerprint(&world.net.gateway)?)
}

fn place(world: &World) -> String {
    let shown = |path: std::path::PathBuf| path.display().to_string();
    let (control, state_dir) = (shown(world.place.control()), shown(world.place.path("state")));
    format!("control = {control:?}\nstate_dir = {state_dir:?}\n")
}

fn a_missing_device_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let config = builtin("home", "", "").replace("wan0", "wan7");
    refused(&world, &place(&world), &config, &[], &["interface wan", "no device wan7"])
}

fn a_missing_tun_driver_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let config = builtin("home", "", "");
    let script = "mount -t tmpfs none /dev/net && exec \"$0\" \"$@\"";
    let without = ["unshare", "--mount", "sh", "-c", script];
    refused(&world, &place(&world), &config, &without, &["/dev/net/tun"])
}

fn missing_rights_are_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let config = builtin("home", "", "");
    let without = ["setpriv", "--bounding-set", "-net_admin"];
    refused(&world, &place(&world), &config, &without, &["CAP_NET_ADMIN"])
}

fn running_out_of_descriptors_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    // So that it needs as many on any machine.
    let (head, config) = (place(&world) + "queues = 2\n", builtin("home", "", ""));
    for limit in ["--nofile=6", "--nofile=9", "--nofile=12", "--nofile=15"] {
        refused(&world, &head, &config, &["prlimit", limit], &["file descriptors"])?;
    }
    Ok(())
}

fn a_bad_policy_file_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let with = |file: &str| format!("{INTERFACES}\n[[policy]]\nname = \"p\"\nfile = {file:?}\n");
    refused(&world, &place(&world), &with("none.wasm"), &[], &["none.wasm", "No such file"])?;
    world.place.write("noise.wasm", "this is no module")?;
    refused(&world, &place(&world), &with("noise.wasm"), &[], &["policy p", "noise.wasm"])?;
    world.place.write("empty.wat", "(module)")?;
    refused(&world, &place(&world), &with("empty.wat"), &[], &["policy p", "empty.wat"])?;
    world.place.write("broken.wat", "(module\n  (func (export \"decide\")")?;
    refused(&world, &place(&world), &with("broken.wat"), &[], &["policy p", "broken.wat"])
}

fn a_control_socket_that_cannot_be_made_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let shown = |name: &str| world.place.path(name).display().to_string();
    world.place.write("file", "")?;
    let (control, state_dir) = (shown("file/control.sock"), shown("state"));
    let head = format!("control = {control:?}\nstate_dir = {state_dir:?}\n");
    refused(&world, &head, &builtin("home", "", ""), &[], &["control socket", &control])
}

fn a_state_directory_that_cannot_be_made_is_named() -> anyhow::Result<()> {
    let world = World::new()?;
    let shown = |name: &str| world.place.path(name).display().to_string();
    world.place.write("file", "")?;
    let (control, state_dir) = (shown("control.sock"), shown("file/state"));
    let head = format!("control = {control:?}\nstate_dir = {state_dir:?}\n");
    refused(&world, &head, &builtin("home", "", ""), &[], &["state directory", &state_dir])
}
