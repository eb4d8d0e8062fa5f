//! `evergate demo`: the gateway at work on this machine, with no set-up.
//!
//! Client, gateway and server are network namespaces; their TCP is the kernel's, the gateway is
//! this program run as anyone would run it. Nothing of the machine's own network is touched.

mod acts;
mod endpoints;
mod ping;
mod story;
mod world;

use std::process::ExitCode;

use anyhow::Context;
use evergate_io::netns;

use story::Story;
use world::World;

/// A policy written by hand: it lets nothing new in. Shown to be swapped in under traffic.
const LOCKDOWN: &str = include_str!("demo/lockdown.wat");

/// Plays the demo; the exit code tells whether every check held.
///
/// # Errors
/// When the machine does not let namespaces or tun devices be made; the message says what is
/// missing.
pub(crate) fn run(json: bool) -> anyhow::Result<ExitCode> {
    if !netns::is_network_root() {
        netns::become_root_in_userns()?;
    }
    let mut story = Story::new(json);
    let mut world = World::build().context("building client, gateway and server")?;
    acts::play(&mut story, &mut world)?;
    drop(world);
    Ok(story.end())
}
