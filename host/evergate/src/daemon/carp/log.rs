//! What happens, in words, for the log.

use std::collections::BTreeSet;
use std::net::IpAddr;

use evergate_node::{Note, VhostId};

use super::links::Device;
use super::report;
use super::tale::Tale;
use crate::config::CarpConfig;

/// Writes what the timers' thread told.
pub(super) fn tale<'a>(tale: &Tale, config: &dyn Fn(VhostId) -> Option<&'a CarpConfig>) {
    let of = |id: &VhostId| config(*id).map_or(("-", 0), |c| (c.interface.as_str(), c.vhid.get()));
    match tale {
        Tale::Note(id, told) => note(of(id), told),
        Tale::Refused { vhost, refused, before } => {
            let (interface, vhid) = of(vhost);
            tracing::warn!(interface, vhid, not_told = before, "carp: advert refused: {refused}");
        }
        Tale::SendFailed(id, error) => {
            let (interface, vhid) = of(id);
            tracing::warn!(interface, vhid, error, "carp: adverts cannot be sent");
        }
        Tale::AnnounceFailed(id, error) => {
            let (interface, vhid) = of(id);
            tracing::warn!(interface, vhid, error, "carp: the addresses cannot be announced");
        }
        Tale::Foreign(id, address) => {
            let (interface, vhid) = of(id);
            tracing::warn!(interface, vhid, %address, "carp: the address is there and not ours");
        }
        Tale::AddressRefused(id, error) => {
            let (interface, vhid) = of(id);
            tracing::warn!(interface, vhid, error, "carp: the kernel refused an address");
        }
        Tale::AddressKept(id, error) => {
            let (interface, vhid) = of(id);
            tracing::error!(interface, vhid, error, "carp: an address could not be removed");
        }
        Tale::NoSockets(device, error) => {
            tracing::warn!(device, error, "carp: no sockets on the device, trying again");
        }
        Tale::NotRealtime(error) => {
            tracing::info!(error, "carp: no real-time priority; under load timers may be late");
        }
    }
}

fn note((interface, vhid): (&str, u8), note: &Note) {
    match note {
        Note::Role { state, reason } => {
            let (state, reason) = (state.name(), reason.name());
            tracing::info!(interface, vhid, reason, "carp: {state}");
        }
        Note::Demotes { reason, held: true } => {
            let reason = report::demotion(*reason);
            tracing::warn!(interface, vhid, reason, "carp: the group is demoted");
        }
        Note::Demotes { reason, held: false } => {
            let reason = report::demotion(*reason);
            tracing::info!(interface, vhid, reason, "carp: the group is demoted no longer");
        }
        Note::FailoverAbandoned => {
            tracing::warn!(interface, vhid, "carp: nobody took over, it remains MASTER");
        }
        Note::Rejected(error) => {
            tracing::error!(interface, vhid, %error, "carp: a setting was refused");
        }
    }
}

/// Writes which devices came, went or changed their state; at first, how all of them are.
pub(super) fn devices(names: &BTreeSet<String>, before: Option<&[Device]>, after: &[Device]) {
    let state = |devices: &[Device], name: &str| {
        devices.iter().find(|device| device.name == name).map(|device| device.up)
    };
    for device in names {
        let new = state(after, device);
        if before.is_some_and(|before| state(before, device) == new) {
            continue;
        }
        match new {
            None => tracing::warn!(device, "carp: there is no such device"),
            Some(true) => tracing::info!(device, "carp: the link is up"),
            Some(false) => tracing::warn!(device, "carp: the link is down"),
        }
    }
}

/// Writes that an address is on this host although we did not set it.
pub(super) fn foreign(config: &CarpConfig, address: IpAddr) {
    let (interface, vhid) = (config.interface.as_str(), config.vhid.get());
    tracing::warn!(
        interface,
        vhid,
        %address,
        "carp: conflict: the address was set on this host by somebody else, who should take it \
         away; this gateway is demoted until then"
    );
}

/// Writes that other hosts answer for an address.
pub(super) fn claimed(config: &CarpConfig, said: &str) {
    let (interface, vhid) = (config.interface.as_str(), config.vhid.get());
    tracing::warn!(interface, vhid, "carp: conflict: {said}");
}

/// Writes that nobody else has an address any more.
pub(super) fn conflict_over(config: &CarpConfig) {
    let (interface, vhid) = (config.interface.as_str(), config.vhid.get());
    tracing::info!(interface, vhid, "carp: the conflict is over");
}
