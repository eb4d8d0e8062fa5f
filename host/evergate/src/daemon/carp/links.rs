//! What the network looks like to CARP: which devices are up, who sends from where, and which
//! of the virtual addresses are there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use evergate_carp::Mac;
use evergate_io::netlink::{Address, Link, Netlink, NetlinkError};

use super::memory::PROTOCOL;

/// A device as CARP needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) index: u32,
    /// Set up and with a carrier.
    pub(super) up: bool,
    pub(super) mac: Option<Mac>,
    /// Where IPv4 adverts come from.
    pub(super) source_v4: Option<IpAddr>,
    /// Where IPv6 adverts come from: a link-local address.
    pub(super) source_v6: Option<IpAddr>,
    /// The same for peers whose address is not link-local.
    pub(super) source_v6_wide: Option<IpAddr>,
}

/// The devices and virtual addresses that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) devices: Vec<Device>,
    /// Virtual addresses that somebody else has set, with the device they are on.
    pub(super) foreign: BTreeSet<(String, IpAddr)>,
    /// Virtual addresses that we have set, with their device.
    pub(super) ours: BTreeSet<(String, IpAddr)>,
}

impl Picture {
    /// Looks at the devices called `names`; `virtual_addresses` are no sources of adverts.
    pub(super) fn take(
        netlink: &mut Netlink,
        names: &BTreeSet<String>,
        virtual_addresses: &BTreeSet<IpAddr>,
    ) -> Result<Picture, NetlinkError> {
        Ok(Picture::new(&netlink.links()?, &netlink.addresses()?, names, virtual_addresses))
    }

    fn new(
        links: &[Link],
        addresses: &[Address],
        names: &BTreeSet<String>,
        virtual_addresses: &BTreeSet<IpAddr>,
    ) -> Picture {
        let mut picture = Picture::default();
        for link in links.iter().filter(|link| names.contains(&link.name)) {
            let own = || {
                let here = addresses.iter().filter(|own| own.index == link.index);
                here.filter(|own| !virtual_addresses.contains(&own.address))
            };
            // The kernel lists the first address of a prefix before its secondary ones.
            let source_v4 = own().find(|own| own.address.is_ipv4()).map(|own| own.address);
            // A link-local address is made from the device's own and may be used before the
            // second is over in which the kernel looks for a double.
            let v6 = |scoped: bool, tentative: bool| {
                let found = own().find(|own| match own.address {
                    IpAddr::V4(_) => false,
                    IpAddr::V6(v6) => {
                        v6.is_unicast_link_local() == scoped && own.tentative == tentative
                    }
                });
                found.map(|own| own.address)
            };
            picture.devices.push(Device {
                name: link.name.clone(),
                index: link.index,
                up: link.up && link.carrier,
                mac: link.mac.first_chunk().map(|mac| Mac(*mac)),
                source_v4,
                source_v6: v6(true, false).or_else(|| v6(true, true)),
                source_v6_wide: v6(false, false),
            });
        }
        for own in addresses.iter().filter(|own| virtual_addresses.contains(&own.address)) {
            let name = links.iter().find(|link| link.index == own.index).map(|link| &link.name);
            let place = (name.cloned().unwrap_or_default(), own.address);
            let set =
                if own.protocol == PROTOCOL { &mut picture.ours } else { &mut picture.foreign };
            set.insert(place);
        }
        picture
    }
}
