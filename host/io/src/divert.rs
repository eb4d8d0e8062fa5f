//! Policy routing that brings traffic into the tuns, and takes itself back.
//!
//! For every attached interface X with its tun there is a routing table of our own with a
//! default route into the tun, and a rule that sends what arrives on X to that table. What is
//! written to the tun arrives from the tun, matches no rule of ours and is routed as usual.
//!
//! Invariants:
//! - Fail closed: behind every route into a tun waits an unreachable one. The tun goes with the
//!   process, the unreachable route stays. [`OnCrash::Open`] leaves it out.
//! - No step of setting up, taking over after a crash or refreshing lets a packet around the
//!   tun: routes come before rules, rules before forwarding, new things before old ones go.
//! - Only rules, routes and proxy entries that carry [`PROTOCOL`] are ever removed. The one
//!   thing of others that is touched, the kernel's rule for local addresses, is moved only for
//!   `self_tun`, remembered, and moved back.
//!
//! With a `self_tun` the gateway's own traffic passes a tun too. What that takes, and what it
//! cannot do:
//! - The `local` rule moves behind ours. ARP then no longer finds the gateway's addresses by
//!   itself; they are answered for as proxy entries. Early demultiplexing
//!   (`net.ipv4.ip_early_demux`) is switched off.
//! - Packets made here follow a shadow of the main table that leads into the self tun. Sockets
//!   bound to a device (`SO_BINDTODEVICE`) are routed by the kernel without it.
//! - ICMPv6 of the gateway itself stays out of the tuns, both ways: neighbour discovery lives
//!   on the link and could not be told from the rest. So do broadcasts and multicasts to it.
//! - A packet to the gateway takes a hop on its way through the tun: one that arrives with
//!   TTL 1 is answered with "time exceeded" instead of being delivered.

mod apply;
mod memory;
mod plan;
mod shadow;

use std::io;
use std::path::{Path, PathBuf};

use crate::netlink::{Netlink, NetlinkError};
use crate::sysctl::{self, SysctlError};
use apply::Applied;
use memory::Memory;
use plan::{Plan, Snapshot};

/// The protocol number (`RTPROT`, `FRA_PROTOCOL`) on everything that is ours.
pub const PROTOCOL: u8 = 0xE7;
/// The default number of the first routing table of ours.
pub const TABLE_BASE: u32 = 5200;
/// The default priority of the first rule of ours; the five after it are used too.
pub const PRIORITY_BASE: u32 = 5200;
/// The most interfaces that can be attached.
pub const ATTACHED_MAX: usize = 256;

/// An interface whose arriving traffic goes into a tun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The interface.
    pub name: String,
    /// The name of its tun.
    pub tun: String,
    /// The kernel's number of its tun.
    pub tun_index: u32,
}

/// The tun for packets that the gateway itself makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTun {
    /// Its name.
    pub name: String,
    /// The kernel's number of it.
    pub index: u32,
}

/// What happens to traffic when the process dies without taking its set-up back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCrash {
    /// Nothing passes until it is started again.
    #[default]
    Closed,
    /// Everything passes unfiltered.
    Open,
}

/// What is to be diverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DivertConfig {
    /// The attached interfaces, at most [`ATTACHED_MAX`].
    pub attached: Vec<Attached>,
    /// Set to filter traffic to and from the gateway itself too.
    pub self_tun: Option<SelfTun>,
    /// What happens when the process dies.
    pub on_crash: OnCrash,
    /// The first table; one per attached interface and one more are used ([`TABLE_BASE`]).
    pub table_base: u32,
    /// The first rule priority ([`PRIORITY_BASE`]).
    pub priority_base: u32,
    /// Where to remember what must be restored, across a crash. Removed on a clean stop.
    pub state_file: PathBuf,
}

/// Why traffic could not be diverted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DivertError {
    /// The kernel refused a rule or route.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel refused a setting.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The state file could not be read or written.
    #[error("the state file {path}: {source}")]
    StateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state file holds something else.
    #[error(
        "the state file {path} is not one of evergate's ({reason}): move it away; what it \
         remembered (sysctls) is then not restored"
    )]
    BadStateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Strict reverse path filtering and filtering of local traffic exclude each other.
    #[error(
        "net.ipv4.conf.{setting}.rp_filter is 1 (strict), which cannot work with filter_local: \
         set it to 2 (loose) or 0"
    )]
    StrictReversePath {
        /// `all` or the interface.
        setting: String,
    },
    /// An attached interface is not there.
    #[error("there is no interface {name}")]
    NoInterface {
        /// The interface.
        name: String,
    },
    /// Too many interfaces.
    #[error("{count} interfaces are attached; at most {ATTACHED_MAX} can be")]
    TooManyInterfaces {
        /// How many.
        count: usize,
    },
    /// A table of ours holds routes of somebody else.
    #[error("routing table {table} is in use by others: set another first table")]
    TableInUse {
        /// The table.
        table: u32,
    },
    /// The table or priority numbers run into reserved ones.
    #[error("the first table {table_base} or rule priority {priority_base} is out of range")]
    BadNumbers {
        /// The first table.
        table_base: u32,
        /// The first rule priority.
        priority_base: u32,
    },
    /// The main table is too long to shadow.
    #[error(
        "the main table has {routes} routes; with filter_local at most {max} can be followed",
        max = shadow::ROUTES_MAX
    )]
    TooManyRoutes {
        /// How many.
        routes: usize,
    },
}

/// What was found of an earlier run and taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Rules removed.
    pub rules: usize,
    /// Routes removed.
    pub routes: usize,
    /// Proxy neighbours removed.
    pub proxies: usize,
    /// Settings restored.
    pub settings: usize,
    /// Rules for local addresses put back.
    pub local_rules: usize,
}

impl Leftovers {
    /// Tells whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Traffic that is being diverted.
///
/// Dropping it leaves everything in place, so that a panic fails closed; call
/// [`Divert::tear_down`] for a clean stop. All calls must come from threads in the network
/// namespace it was set up in.
#[derive(Debug)]
#[must_use = "traffic stays diverted until it is torn down"]
pub struct Divert {
    config: DivertConfig,
    netlink: Netlink,
    memory: Memory,
    indices: Vec<u32>,
}

impl Divert {
    /// Diverts traffic; takes over what an earlier run left behind without letting a packet
    /// past in between, so there is no need for [`clean_leftovers`] before it.
    ///
    /// # Errors
    /// See [`DivertError`]. What was set up before the failure is taken back, except after
    /// taking over from a crash: then what is there stays, closed.
    pub fn set_up(config: DivertConfig) -> Result<Self, DivertError> {
        check(&config)?;
        let mut netlink = Netlink::open()?;
        let memory = Memory::load(&config.state_file)?;
        let fresh = memory.is_empty() && !apply::has_leftovers(&mut netlink)?;
        let mut divert = Self { config, netlink, memory, indices: Vec::new() };
        match divert.apply_all() {
            Ok(()) => Ok(divert),
            Err(error) => {
                if fresh {
                    // The first failure is the one to tell.
                    let _ = apply::remove_all(&mut divert.netlink, &mut divert.memory);
                }
                Err(error)
            }
        }
    }

    fn apply_all(&mut self) -> Result<(), DivertError> {
        let snapshot = Snapshot::take(&mut self.netlink)?;
        let plan = Plan::new(&self.config, &snapshot)?;
        apply::apply(&mut self.netlink, &mut self.memory, &plan)?;
        self.indices = snapshot.indices(&self.config);
        Ok(())
    }

    /// Follows changes of routes, addresses and devices, and puts back what others took away; to
    /// be called after each change that a [`crate::netlink::Monitor`] reports. Tells whether anything had to be changed.
    ///
    /// # Errors
    /// See [`DivertError`]; may be tried again.
    pub fn refresh(&mut self) -> Result<bool, DivertError> {
        let snapshot = Snapshot::take(&mut self.netlink)?;
        let plan = Plan::refreshed(&self.config, &snapshot)?;
        let mut changed =
            apply::follow(&mut self.netlink, &mut self.memory, &plan)? != Applied::default();
        let indices = snapshot.indices(&self.config);
        if indices != self.indices {
            // A device that went and came back has forgotten its settings.
            apply::apply_settings(&mut self.memory, &plan.preparations)?;
            apply::apply_settings(&mut self.memory, &plan.settings)?;
            self.indices = indices;
            changed = true;
        }
        Ok(changed)
    }

    /// Takes back exactly what was set up.
    ///
    /// # Errors
    /// Goes on after a failure and tells the first one.
    pub fn tear_down(mut self) -> Result<Leftovers, DivertError> {
        apply::remove_all(&mut self.netlink, &mut self.memory)
    }
}

/// Takes back what a run that did not end cleanly left in the calling thread's network
/// namespace, and tells what that was. Forwarding goes back to what it was before that run.
///
/// # Errors
/// Goes on after a failure and tells the first one.
pub fn clean_leftovers(state_file: &Path) -> Result<Leftovers, DivertError> {
    let mut memory = Memory::load(state_file)?;
    apply::remove_all(&mut Netlink::open()?, &mut memory)
}

fn check(config: &DivertConfig) -> Result<(), DivertError> {
    let count = config.attached.len();
    if count > ATTACHED_MAX {
        return Err(DivertError::TooManyInterfaces { count });
    }
    let DivertConfig { table_base, priority_base, .. } = *config;
    // Tables up to 255 are reserved; priorities from 32766 up are those of the main table.
    let tables = 256..=u32::MAX - ATTACHED_MAX as u32 - 1;
    if !tables.contains(&table_base) || !(1..32_000).contains(&priority_base) {
        return Err(DivertError::BadNumbers { table_base, priority_base });
    }
    if config.self_tun.is_some() {
        let names = config.attached.iter().map(|attached| attached.name.as_str());
        for setting in names.chain(["all"]) {
            if effective_rp_filter(setting)? == 1 {
                let setting = setting.to_owned();
                return Err(DivertError::StrictReversePath { setting });
            }
        }
    }
    Ok(())
}

/// The kernel takes the greater of an interface's setting and that for all.
fn effective_rp_filter(name: &str) -> Result<u8, DivertError> {
    let value = |name: &str| {
        let text = sysctl::read_optional(&format!("ipv4/conf/{name}/rp_filter"))?;
        Ok::<u8, SysctlError>(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    Ok(value(name)?.max(value("all")?))
}
