//! Neighbours: hardware addresses on a link, and addresses answered for by proxy.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteProtocol;

use super::{Family, Netlink, NetlinkError};

/// A neighbour on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The device it is reached by.
    pub index: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address, empty while it is not known.
    pub mac: Vec<u8>,
}

/// An address that the host answers ARP requests for on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyNeighbour {
    /// The device.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Who made the entry (`RTPROT_…`).
    pub protocol: u8,
}

impl Netlink {
    /// Returns the neighbours that are known on all devices.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, NetlinkError> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        self.dump(&request, "listing neighbours", |message| match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => decode(&neighbour),
            _ => None,
        })
    }

    /// Tells the hardware address of a neighbour for good.
    ///
    /// # Errors
    /// Fails where the device is not there.
    pub fn set_neighbour(
        &mut self,
        index: u32,
        address: IpAddr,
        mac: &[u8],
    ) -> Result<(), NetlinkError> {
        let mut message = encode(index, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        let message = RouteNetlinkMessage::NewNeighbour(message);
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("setting neighbour {address} on device {index}")
        })
    }

    /// Forgets a neighbour, so that it is asked for again.
    ///
    /// # Errors
    /// Fails where it is not known.
    pub fn delete_neighbour(&mut self, index: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelNeighbour(encode(index, address));
        self.change(message, 0, || format!("deleting neighbour {address} on device {index}"))
    }

    /// Returns the IPv4 addresses answered for by proxy.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn proxies(&mut self) -> Result<Vec<ProxyNeighbour>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = Family::V4.raw();
        message.header.flags = NeighbourFlags::Proxy;
        let request = RouteNetlinkMessage::GetNeighbour(message);
        self.dump(&request, "listing proxy neighbours", |message| match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => decode_proxy(&neighbour),
            _ => None,
        })
    }

    /// Answers for an address on a device.
    ///
    /// # Errors
    /// Fails where the device is not there.
    pub fn add_proxy(&mut self, proxy: ProxyNeighbour) -> Result<(), NetlinkError> {
        let ProxyNeighbour { index, address, protocol } = proxy;
        let mut message = encode(index, address);
        message.header.flags = NeighbourFlags::Proxy;
        message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(protocol)));
        let message = RouteNetlinkMessage::NewNeighbour(message);
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("adding proxy neighbour {address} on device {index}")
        })
    }

    /// No longer answers for an address on a device.
    ///
    /// # Errors
    /// Fails where the entry is not there.
    pub fn delete_proxy(&mut self, proxy: ProxyNeighbour) -> Result<(), NetlinkError> {
        let ProxyNeighbour { index, address, .. } = proxy;
        let mut message = encode(index, address);
        message.header.flags = NeighbourFlags::Proxy;
        let message = RouteNetlinkMessage::DelNeighbour(message);
        self.change(message, 0, || format!("deleting proxy neighbour {address} on device {index}"))
    }
}

fn encode(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = Family::of(address).raw();
    message.header.ifindex = index;
    message.attributes = vec![NeighbourAttribute::Destination(match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    })];
    message
}

fn address_of(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })
}

fn decode(message: &NeighbourMessage) -> Option<Neighbour> {
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(mac) => Some(mac.clone()),
        _ => None,
    });
    Some(Neighbour {
        index: message.header.ifindex,
        address: address_of(message)?,
        mac: mac.unwrap_or_default(),
    })
}

fn decode_proxy(message: &NeighbourMessage) -> Option<ProxyNeighbour> {
    if !message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let protocol = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
        _ => None,
    });
    Some(ProxyNeighbour {
        index: message.header.ifindex,
        address: address_of(message)?,
        protocol: protocol.unwrap_or(0),
    })
}
