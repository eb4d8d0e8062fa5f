//! What an ordinary user can do, and is told.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use common::Scratch;
use evergate_io::netns::{NetNs, become_root_in_userns, is_network_root};
use evergate_io::tun::{TunDevice, TunError};
use evergate_lab::Lab;

/// What the started process is to do.
const TASK: &str = "EVERGATE_TEST_TASK";
/// "nobody", on every system.
const NOBODY: u32 = 65_534;

fn main() {
    match std::env::var(TASK).as_deref() {
        Ok("networks") => return println!("{}", networks()),
        Ok("nothing") => return println!("{}", nothing()),
        Ok("threads") => return println!("{}", threads()),
        _ => {}
    }
    common::run_tests(common::tests![
        an_ordinary_user_gets_networks_of_his_own,
        without_rights_every_error_is_a_sentence,
        with_a_second_thread_it_says_so,
    ]);
}

fn an_ordinary_user_gets_networks_of_his_own() {
    let text = as_nobody("networks");
    let fine = text.starts_with("a lab of 3 hosts") || text.contains("/dev/net/tun");
    assert!(fine, "{text}");
}

fn without_rights_every_error_is_a_sentence() {
    let text = as_nobody("nothing");
    for part in [
        "it takes CAP_SYS_ADMIN",
        "run as root, or where the system allows user namespaces",
        "no permission to",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

fn with_a_second_thread_it_says_so() {
    let text = as_nobody("threads");
    assert!(text.contains("only be entered while the process has one thread"), "{text}");
}

/// Runs this program as an ordinary user and returns what it printed.
fn as_nobody(task: &str) -> String {
    // A program that is still open for writing, if only in a process that another test is just
    // starting, cannot be run: one at a time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // The build directory may be closed to others.
    let scratch = Scratch::new();
    let directory = scratch.state_file().with_file_name("");
    let program = directory.join("program");
    std::fs::copy(std::env::current_exe().expect("this test"), &program).expect("copy");
    for path in [&directory, &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    let mut command = Command::new(&program);
    command.env(TASK, task).current_dir("/");
    // Within a user namespace there is one user only, who has no rights outside it anyway.
    if std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295")) {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("start");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

fn networks() -> String {
    if let Err(error) = become_root_in_userns() {
        return error.to_string();
    }
    assert!(is_network_root());
    let world = match Lab::gateway() {
        Ok(world) => world,
        Err(error) => return error.to_string(),
    };
    assert!(common::talks(&world.client, &world.gateway, common::LAN_V4, common::LIMIT));
    "a lab of 3 hosts".to_owned()
}

fn nothing() -> String {
    let tun = TunDevice::create("eg0", 1, 1500).expect_err("no rights");
    assert!(matches!(tun, TunError::NoAccess | TunError::NoPermission { .. }), "{tun}");
    let netns = NetNs::new().expect_err("no rights");
    let lab = Lab::new().expect_err("no rights");
    format!("{tun}\n{netns}\n{lab}")
}

fn threads() -> String {
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || receive.recv());
        let result = become_root_in_userns();
        drop(send);
        result.expect_err("two threads").to_string()
    })
}
