//! The tables `[[carp]]`: virtual addresses that this gateway shares with others.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use evergate_carp::{Pace, TrailerPolicy, Vhid, VirtualAddresses};
use evergate_wire::Addr;
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::raw::{DEVICE_NAME_MAX, Source};
use super::{ConfigError, Interface, Span};

/// The most vhosts of one gateway.
const VHOSTS_MAX: usize = 64;
/// The group of vhosts that name none, as in BSD: all of them move together.
const DEFAULT_GROUP: &str = "carp";

/// One vhost: addresses that one gateway of several has at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct CarpConfig {
    /// The name of the interface in the file.
    pub interface: String,
    /// The kernel's name of the device.
    pub device: String,
    /// The virtual host id.
    pub vhid: Vhid,
    /// The file with the passphrase.
    pub passphrase_file: PathBuf,
    /// The addresses with their prefixes.
    pub addresses: Vec<IpNet>,
    /// How often it advertises.
    pub pace: Pace,
    /// Whether it takes over from a living but worse MASTER.
    pub preempt: bool,
    /// What is done with trailers.
    pub trailer: TrailerPolicy,
    /// Unicast peers; none for multicast.
    pub peers: Vec<IpAddr>,
    /// The vhosts it moves with.
    pub group: String,
    /// A command to be run when it becomes MASTER; empty for none.
    pub on_master: Vec<String>,
    /// A command to be run when it is MASTER no longer; empty for none.
    pub on_backup: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCarp {
    interface: Spanned<String>,
    vhid: Spanned<u64>,
    passphrase_file: PathBuf,
    addresses: Vec<Spanned<String>>,
    advbase: Option<Spanned<u64>>,
    advskew: Option<Spanned<u64>>,
    interval: Option<Spanned<Span>>,
    #[serde(default)]
    preempt: bool,
    trailer: Option<Spanned<RawTrailer>>,
    #[serde(default)]
    peers: Vec<Spanned<String>>,
    virtual_mac: Option<Spanned<bool>>,
    group: Option<Spanned<String>>,
    #[serde(default)]
    on_master: Vec<String>,
    #[serde(default)]
    on_backup: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTrailer {
    Off,
    Use,
    Require,
}

/// Checks all tables.
pub(super) fn check(
    source: &Source<'_>,
    raw: Vec<RawCarp>,
    interfaces: &[Interface],
) -> Result<Vec<CarpConfig>, ConfigError> {
    let mut vhosts: Vec<CarpConfig> = Vec::with_capacity(raw.len().min(VHOSTS_MAX));
    for entry in raw {
        if vhosts.len() == VHOSTS_MAX {
            let message = format!("more than {VHOSTS_MAX} vhosts");
            return Err(source.error(&entry.interface, message, "give one vhid more addresses"));
        }
        let vhost = one(source, &entry, interfaces)?;
        among(source, &entry, &vhost, &vhosts)?;
        vhosts.push(vhost);
    }
    Ok(vhosts)
}

fn one(
    source: &Source<'_>,
    entry: &RawCarp,
    interfaces: &[Interface],
) -> Result<CarpConfig, ConfigError> {
    let number = *entry.vhid.get_ref();
    let vhid = u8::try_from(number).ok().and_then(Vhid::new).ok_or_else(|| {
        source.error(&entry.vhid, format!("vhid = {number} is out of range"), "from 1 to 255")
    })?;
    if let Some(wanted) = entry.virtual_mac.as_ref().filter(|wanted| *wanted.get_ref()) {
        let message = "a virtual MAC address is not supported yet";
        let mend = "leave `virtual_mac` out: peers accept the interface's own address";
        return Err(source.error(wanted, message, mend));
    }
    let pace = pace(source, entry)?;
    let group = match &entry.group {
        Some(group) => source.name(group, "a group")?,
        None => DEFAULT_GROUP.to_owned(),
    };
    let base = source.path.parent().unwrap_or(Path::new("."));
    Ok(CarpConfig {
        interface: entry.interface.get_ref().clone(),
        device: device(source, &entry.interface, interfaces)?,
        vhid,
        passphrase_file: base.join(&entry.passphrase_file),
        addresses: addresses(source, entry)?,
        pace,
        preempt: entry.preempt,
        trailer: trailer(source, entry, pace)?,
        peers: entry.peers.iter().map(|peer| address(source, peer)).collect::<Result<_, _>>()?,
        group,
        on_master: entry.on_master.clone(),
        on_backup: entry.on_backup.clone(),
    })
}

/// What must differ between vhosts.
fn among(
    source: &Source<'_>,
    entry: &RawCarp,
    vhost: &CarpConfig,
    others: &[CarpConfig],
) -> Result<(), ConfigError> {
    let vhid = vhost.vhid;
    for other in others {
        if other.vhid == vhid && (other.device == vhost.device || other.group == vhost.group) {
            let message = format!("vhid {vhid} is there already");
            let mend = "vhids differ on an interface and in a group";
            return Err(source.error(&entry.vhid, message, mend));
        }
        let shared = vhost
            .addresses
            .iter()
            .position(|net| other.addresses.iter().any(|theirs| theirs.addr() == net.addr()));
        if let Some(text) = shared.and_then(|place| entry.addresses.get(place)) {
            let message = format!("{} belongs to vhid {} already", text.get_ref(), other.vhid);
            return Err(source.error(text, message, "an address belongs to one vhid"));
        }
    }
    Ok(())
}

/// The device of an attached interface, or any other device by its own name.
fn device(
    source: &Source<'_>,
    name: &Spanned<String>,
    interfaces: &[Interface],
) -> Result<String, ConfigError> {
    let text = name.get_ref();
    if let Some(attached) = interfaces.iter().find(|interface| interface.name == *text) {
        return Ok(attached.device.clone());
    }
    let good = !text.is_empty()
        && text.len() <= DEVICE_NAME_MAX
        && !text.contains(|c: char| c == '/' || c.is_whitespace());
    if good {
        return Ok(text.clone());
    }
    let message = format!("{text:?} is neither an interface of this file nor a device");
    Err(source.error(name, message, "name an [[interface]] or a device of `ip link`"))
}

fn addresses(source: &Source<'_>, entry: &RawCarp) -> Result<Vec<IpNet>, ConfigError> {
    let mut nets: Vec<IpNet> = Vec::new();
    for text in &entry.addresses {
        let net: IpNet = text.get_ref().parse().map_err(|_| {
            let message = format!("{:?} is no address with its prefix", text.get_ref());
            source.error(text, message, "write it such as \"10.0.1.100/24\" or \"fd00:1::1/64\"")
        })?;
        if nets.iter().any(|other| other.addr() == net.addr()) {
            let message = format!("{} is there twice", net.addr());
            return Err(source.error(text, message, "take one of them out"));
        }
        nets.push(net);
    }
    let all: Vec<Addr> = nets.iter().map(|net| net.addr().into()).collect();
    VirtualAddresses::new(&all).map_err(|error| {
        source.error(&entry.vhid, error.to_string(), "see `addresses` of this vhid")
    })?;
    Ok(nets)
}

fn address(source: &Source<'_>, text: &Spanned<String>) -> Result<IpAddr, ConfigError> {
    text.get_ref().parse().map_err(|_| {
        let message = format!("{:?} is no address", text.get_ref());
        source.error(text, message, "write a peer's address on the interface")
    })
}

fn pace(source: &Source<'_>, entry: &RawCarp) -> Result<Pace, ConfigError> {
    let small = |value: &Option<Spanned<u64>>, default: u64, what: &str, most: u64| match value {
        None => Ok(u8::try_from(default).unwrap_or(0)),
        Some(value) => u8::try_from(*value.get_ref())
            .ok()
            .filter(|number| u64::from(*number) <= most)
            .ok_or_else(|| {
                let message = format!("{what} = {} is out of range", value.get_ref());
                source.error(value, message, format!("from 0 to {most}"))
            }),
    };
    let advbase = small(&entry.advbase, 1, "advbase", 254)?;
    let advskew = small(&entry.advskew, 0, "advskew", 254)?;
    let Some(interval) = &entry.interval else {
        return Pace::classic(advbase, advskew)
            .map_err(|error| source.error(&entry.vhid, error.to_string(), "lower advskew"));
    };
    if let Some(advbase) = &entry.advbase {
        let message = "advbase and interval exclude each other";
        return Err(source.error(advbase, message, "take one of them out"));
    }
    Pace::fast(interval.get_ref().0, advskew)
        .map_err(|error| source.error(interval, error.to_string(), "such as \"100ms\""))
}

/// An interval of its own takes a trailer; without one, trailers are used where they come.
fn trailer(source: &Source<'_>, entry: &RawCarp, pace: Pace) -> Result<TrailerPolicy, ConfigError> {
    let fast = pace.own_interval().is_some();
    let Some(wanted) = &entry.trailer else {
        return Ok(if fast { TrailerPolicy::Require } else { TrailerPolicy::Use });
    };
    let policy = match wanted.get_ref() {
        RawTrailer::Off => TrailerPolicy::Off,
        RawTrailer::Use => TrailerPolicy::Use,
        RawTrailer::Require => TrailerPolicy::Require,
    };
    if fast && policy != TrailerPolicy::Require {
        let message = evergate_carp::ConfigError::FastNeedsTrailer.to_string();
        return Err(source.error(wanted, message, "require it, or use advbase and advskew"));
    }
    Ok(policy)
}
