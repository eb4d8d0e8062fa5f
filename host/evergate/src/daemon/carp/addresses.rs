//! The virtual addresses in the kernel: added by the MASTER, taken away by whoever stops being it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use evergate_io::netlink::{AddressOptions, Netlink, NetlinkError};
use evergate_node::VhostId;
use ipnet::IpNet;

use super::memory::PROTOCOL;
use super::tale::Tale;

/// The addresses that we have set. What is left when this is dropped is taken away.
pub(super) struct Addresses {
    netlink: Netlink,
    /// With the number of the device.
    set: BTreeMap<(VhostId, IpNet), u32>,
}

impl Addresses {
    pub(super) fn open() -> Result<Addresses, NetlinkError> {
        Ok(Addresses { netlink: Netlink::open()?, set: BTreeMap::new() })
    }

    /// Sets those addresses of a vhost that are not; false if the kernel refused one.
    pub(super) fn own(
        &mut self,
        vhost: VhostId,
        index: u32,
        nets: &[IpNet],
        tell: &mut dyn FnMut(Tale),
    ) -> bool {
        let mut good = true;
        for net in nets {
            match self.add(index, net) {
                Ok(()) => {
                    self.set.insert((vhost, *net), index);
                }
                Err(error) if error.is_exists() => {
                    if !self.set.contains_key(&(vhost, *net)) {
                        tell(Tale::Foreign(vhost, net.addr()));
                    }
                }
                Err(error) => {
                    good = false;
                    tell(Tale::AddressRefused(vhost, error.to_string()));
                }
            }
        }
        good
    }

    /// Takes away what was set for a vhost.
    pub(super) fn disown(&mut self, vhost: VhostId, tell: &mut dyn FnMut(Tale)) {
        let all: Vec<(IpNet, u32)> = self
            .set
            .iter()
            .filter(|((owner, _), _)| *owner == vhost)
            .map(|((_, net), index)| (*net, *index))
            .collect();
        for (net, index) in all {
            self.set.remove(&(vhost, net));
            match self.netlink.delete_address(index, net.addr(), net.prefix_len()) {
                Err(error) if !error.is_missing() => {
                    tell(Tale::AddressKept(vhost, error.to_string()));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    fn add(&mut self, index: u32, net: &IpNet) -> Result<(), NetlinkError> {
        let address: IpAddr = net.addr();
        let options = AddressOptions { protocol: PROTOCOL, ..AddressOptions::default() };
        self.netlink.add_address(index, address, net.prefix_len(), options)
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        let owners: Vec<VhostId> = self.set.keys().map(|(vhost, _)| *vhost).collect();
        for vhost in owners {
            self.disown(vhost, &mut |_nobody_listens| ());
        }
    }
}
