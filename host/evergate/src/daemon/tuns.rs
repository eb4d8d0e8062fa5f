//! The tun devices of a gateway and how traffic is led into them.

use std::path::Path;

use anyhow::Context;
use evergate_engine::IfId;
use evergate_io::divert::{self, DivertConfig, SelfTun};
use evergate_io::netlink::Netlink;
use evergate_io::tun::{MTU_MAX, TunDevice};

use crate::config::{Config, OnCrash};

/// Longest device name in Linux.
const DEVICE_NAME_MAX: usize = 15;
/// The tun of packets that the gateway itself makes.
const SELF_TUN: &str = "eg-self";

/// An attached interface and the tun behind it.
pub(super) struct Attached {
    pub(super) id: IfId,
    pub(super) device: String,
    pub(super) tun: String,
    tun_index: u32,
}

/// Makes a tun for each attached interface, and one for the gateway itself where its traffic is
/// filtered too.
pub(super) fn create(config: &Config) -> anyhow::Result<(Vec<Attached>, Vec<TunDevice>)> {
    let mut netlink = Netlink::open()?;
    let mut attached = Vec::new();
    let mut tuns = Vec::new();
    let mut add = |id: IfId, device: String, tun: String| -> anyhow::Result<()> {
        let device_of = TunDevice::create(&tun, config.queues, MTU_MAX)?;
        attached.push(Attached { id, device, tun, tun_index: device_of.index() });
        tuns.push(device_of);
        Ok(())
    };
    for (place, interface) in config.interfaces.iter().enumerate() {
        netlink.link(&interface.device)?.with_context(|| {
            format!(
                "interface {}: there is no device {}; `ip link` lists them",
                interface.name, interface.device
            )
        })?;
        let id = IfId(u16::try_from(place + 1).context("too many interfaces")?);
        add(id, interface.device.clone(), tun_name(&interface.name, id))?;
    }
    if config.filter_local {
        add(IfId::SELF, "-".to_owned(), SELF_TUN.to_owned())?;
    }
    Ok((attached, tuns))
}

/// "eg-" and the interface's name, or its number where that is too long for Linux.
fn tun_name(interface: &str, id: IfId) -> String {
    let name = format!("eg-{interface}");
    if name.len() <= DEVICE_NAME_MAX { name } else { format!("eg-{}", id.0) }
}

/// What [`divert`] needs to lead traffic into these tuns.
pub(super) fn divert_config(config: &Config, attached: &[Attached]) -> DivertConfig {
    let state_file = Path::new(&config.state_dir).join("divert.json");
    DivertConfig {
        attached: attached
            .iter()
            .filter(|a| a.id != IfId::SELF)
            .map(|a| divert::Attached {
                name: a.device.clone(),
                tun: a.tun.clone(),
                tun_index: a.tun_index,
            })
            .collect(),
        self_tun: attached
            .iter()
            .find(|a| a.id == IfId::SELF)
            .map(|a| SelfTun { name: a.tun.clone(), index: a.tun_index }),
        on_crash: match config.on_crash {
            OnCrash::Closed => divert::OnCrash::Closed,
            OnCrash::Open => divert::OnCrash::Open,
        },
        table_base: config.route_table,
        priority_base: config.rule_priority,
        state_file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tun_names_fit_into_linux() {
        assert_eq!(tun_name("lan", IfId(1)), "eg-lan");
        assert_eq!(tun_name("a-very-long-name-indeed", IfId(12)), "eg-12");
    }
}
