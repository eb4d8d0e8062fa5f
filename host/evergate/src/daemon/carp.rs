//! Virtual addresses: the shell around the pure CARP node.
//!
//! Two threads. That of the timers ([`shell`]) owns the machine, its sockets and the addresses,
//! has a real-time priority if permitted, and waits for nothing but adverts and the time. The
//! other ([`watch`]) follows the links, looks out for conflicts, logs and runs commands.

mod addresses;
mod arp;
mod conflicts;
mod hooks;
mod links;
mod log;
mod memory;
mod passphrase;
mod report;
mod shell;
mod sockets;
mod tale;
mod watch;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use evergate_carp::{
    Endpoint, EndpointConfig, NodeId, Passphrase, Reach, Vhost, VhostConfig, VirtualAddresses, auth,
};
use evergate_io::netlink::Netlink;
use evergate_io::stop::Stop;
use evergate_io::wait::Waker;
use evergate_node::{Member, Node};
use evergate_wire::Addr;

use crate::config::{CarpConfig, Config};
use crate::control::CarpReport;
use addresses::Addresses;
use memory::{Memory, Owned, SeenRow};
use shell::{Command, Lines, Shell};
use watch::{Ends, Watch};

/// Commands that wait for the timers' thread.
const COMMANDS_MAX: usize = 64;
/// Tales that wait for the other one; what is more is lost.
const TALES_MAX: usize = 1024;
/// The timers' thread never waits, so it answers at once or is gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// The vhosts of a configuration with their secrets, before the system is touched.
pub(crate) struct Prepared {
    vhosts: Vec<(CarpConfig, Passphrase)>,
}

impl Prepared {
    /// Reads the passphrases.
    ///
    /// # Errors
    /// When one cannot be read, or others could read it.
    pub(crate) fn load(config: &Config) -> anyhow::Result<Prepared> {
        let read = |vhost: &CarpConfig| {
            let secret = passphrase::read(&vhost.passphrase_file)
                .with_context(|| format!("{}: vhid {}", config.path.display(), vhost.vhid))?;
            Ok((vhost.clone(), secret))
        };
        Ok(Prepared { vhosts: config.carp.iter().map(read).collect::<anyhow::Result<_>>()? })
    }

    /// Takes away the addresses that a crashed run has left, and remembers this start.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(super) fn clean(self, config: &Config) -> anyhow::Result<Cleaned> {
        let file = Memory::path(&config.state_dir);
        let mut memory = Memory::load(&file);
        let configured: Vec<Owned> = config.carp.iter().flat_map(owned_by).collect();
        if configured.is_empty() && memory.addresses.is_empty() {
            return Ok(Cleaned { vhosts: self.vhosts, memory, file });
        }
        let mut netlink = Netlink::open()?;
        clean(&mut netlink, &memory.addresses, &configured)?;
        if memory.node == 0 {
            let first = config.carp.first().map_or("", |vhost| &vhost.device);
            let mac = netlink.link(first)?.map(|link| link.mac).unwrap_or_default();
            memory.node = memory::node_id(&config.name, &mac);
        }
        memory.epoch = memory.next_epoch();
        memory.addresses = configured;
        if let Err(error) = memory.save(&file) {
            // The wall clock gives the next epoch then, and the kernel knows whose addresses are.
            tracing::warn!("carp: the next start will not know of this one: {error:#}");
        }
        Ok(Cleaned { vhosts: self.vhosts, memory, file })
    }
}

/// As [`Prepared`], on a host without leftovers.
pub(super) struct Cleaned {
    vhosts: Vec<(CarpConfig, Passphrase)>,
    memory: Memory,
    file: PathBuf,
}

impl Cleaned {
    /// Starts to take part in elections; `None` without vhosts.
    ///
    /// # Errors
    /// When a thread or socket cannot be made.
    pub(super) fn start(self) -> anyhow::Result<Option<Carp>> {
        if self.vhosts.is_empty() {
            return Ok(None);
        }
        let (commands, orders) = sync_channel(COMMANDS_MAX);
        let (teller, tales) = sync_channel(TALES_MAX);
        let (waker, told) = (Waker::new()?, Waker::new()?);
        let stop = Stop::new().context("making the stop event")?;
        let identity = (self.memory.node, self.memory.epoch);
        let (node, vhosts) = machines(&self.vhosts, &self.memory)?;
        let lines =
            Lines { commands: orders, waker: waker.clone(), tales: teller, told: told.clone() };
        let shell = Shell::new(node, vhosts, Addresses::open()?, lines, identity);
        let ends = Ends { tales, told, commands: commands.clone(), waker: waker.clone() };
        let configs: Vec<CarpConfig> = self.vhosts.into_iter().map(|(config, _)| config).collect();
        let watch = Watch::new(&configs, ends, self.memory.clone(), self.file.clone())?;
        let watch_stop = stop.clone();
        let timers = spawn("carp", move || shell.run())?;
        let watcher = spawn("carp-watch", move || watch.run(&watch_stop))?;
        Ok(Some(Carp {
            commands,
            waker,
            threads: Mutex::new(Some((timers, watcher))),
            stop,
            memory: self.memory,
            file: self.file,
        }))
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).with_context(|| format!("starting the thread {name}"))
}

/// The thread of the timers, which tells what it knows against replays, and the other one.
type Threads = (JoinHandle<Vec<SeenRow>>, JoinHandle<()>);

/// The running CARP of a gateway.
pub(super) struct Carp {
    commands: SyncSender<Command>,
    waker: Waker,
    threads: Mutex<Option<Threads>>,
    stop: Stop,
    memory: Memory,
    file: PathBuf,
}

impl Carp {
    /// The vhosts as they stand.
    ///
    /// # Errors
    /// When the thread of the timers is gone.
    pub(super) fn report(&self) -> Result<CarpReport, String> {
        self.ask(Command::Report)
    }

    /// Hands every vhost over, or lets them preempt again; tells how many were MASTER.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub(super) fn failover(&self, undo: bool) -> Result<u64, String> {
        self.ask(|answer| Command::Failover { undo, answer })
    }

    /// Demotes the gateway on the operator's behalf; tells the sum.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub(super) fn demote(&self, amount: u16) -> Result<u16, String> {
        self.ask(|answer| Command::Demote { amount, answer })
    }

    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, String> {
        let (answer, asked) = sync_channel(1);
        let gone = |_| "CARP does not answer".to_owned();
        self.commands.try_send(command(answer)).map_err(|_| gone(()))?;
        self.waker.wake();
        asked.recv_timeout(PATIENCE).map_err(|_| gone(()))
    }

    /// Bows out, takes the addresses away and ends. A second call does nothing.
    pub(super) fn stop(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((timers, watcher)) = threads else { return };
        // It fails only where the thread has ended already.
        let _ = self.commands.send(Command::Stop);
        self.waker.wake();
        let seen = timers.join();
        self.stop.signal();
        let _ = watcher.join();
        let Ok(seen) = seen else {
            tracing::error!("the thread of CARP's timers has panicked");
            return;
        };
        let memory = Memory { addresses: Vec::new(), seen, ..self.memory.clone() };
        if let Err(error) = memory.save(&self.file) {
            tracing::warn!("carp: the next start will not know of this stop: {error:#}");
        }
    }
}

impl Drop for Carp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The pure machines and what they need of secrets.
fn machines(
    vhosts: &[(CarpConfig, Passphrase)],
    memory: &Memory,
) -> anyhow::Result<(Node, Vec<shell::Vhost>)> {
    let node = NodeId(memory.node);
    let mut members = Vec::new();
    let mut outer = Vec::new();
    for (config, secret) in vhosts {
        let all: Vec<Addr> = config.addresses.iter().map(|net| net.addr().into()).collect();
        let addresses = VirtualAddresses::new(&all)?;
        let machine = VhostConfig {
            epoch: memory.epoch,
            preempt: config.preempt,
            trailer: config.trailer,
            ..VhostConfig::new(config.vhid, node, addresses.families(), config.pace)
        };
        let peers: Vec<Addr> = config.peers.iter().map(|peer| Addr::from(*peer)).collect();
        let mut endpoint = Endpoint::new(EndpointConfig {
            vhid: config.vhid,
            passphrase: secret.clone(),
            addresses: addresses.clone(),
            link_local: auth::LinkLocal::default(),
            lladdr: None,
            reach: if peers.is_empty() { Reach::Multicast } else { Reach::Unicast(peers) },
            node,
            epoch: memory.epoch,
            trailer: config.trailer,
        })?;
        let about = |row: &SeenRow| row.about(&config.device, config.vhid.get());
        endpoint.guard_mut().restore(memory.seen.iter().filter_map(about));
        let vhost = Vhost::new(machine, super::policies::seed())?;
        members.push(Member { group: config.group.clone(), vhost });
        outer.push(shell::Vhost::new(config.clone(), endpoint, addresses));
    }
    Ok((Node::new(members)?, outer))
}

fn owned_by(vhost: &CarpConfig) -> Vec<Owned> {
    let owned = |address: &ipnet::IpNet| Owned { device: vhost.device.clone(), address: *address };
    vhost.addresses.iter().map(owned).collect()
}

/// All addresses of these vhosts.
fn virtual_addresses(vhosts: &[CarpConfig]) -> BTreeSet<IpAddr> {
    vhosts.iter().flat_map(|vhost| &vhost.addresses).map(|net| net.addr()).collect()
}

/// Takes away those addresses that only an earlier run of ours can have set.
fn clean(netlink: &mut Netlink, remembered: &[Owned], configured: &[Owned]) -> anyhow::Result<()> {
    let links = netlink.links()?;
    let addresses = netlink.addresses()?;
    // Every kernel that keeps it says so of the loopback's own addresses.
    let kernel_keeps = addresses.iter().any(|address| address.protocol != 0);
    let candidates: BTreeSet<&Owned> = remembered.iter().chain(configured).collect();
    for candidate in candidates {
        let Some(link) = links.iter().find(|link| link.name == candidate.device) else { continue };
        let there = addresses.iter().find(|address| {
            address.index == link.index
                && address.address == candidate.address.addr()
                && address.prefix == candidate.address.prefix_len()
        });
        let known = remembered.contains(candidate);
        let left = there.filter(|there| memory::is_leftover(there.protocol, kernel_keeps, known));
        let Some(left) = left else { continue };
        match netlink.delete_address(left.index, left.address, left.prefix) {
            Err(error) if !error.is_missing() => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let (device, address) = (&candidate.device, candidate.address.to_string());
        tracing::info!(device, address, "carp: an address that a crash had left was removed");
    }
    Ok(())
}
