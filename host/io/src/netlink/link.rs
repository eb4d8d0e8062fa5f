//! Network devices: their state and counters, and making pairs of them.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State, Stats64,
};

use super::{Netlink, NetlinkError};
use crate::netns::NetNs;

/// A network device as it was when asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of the device, unique in its namespace while it lives.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// Whether it is set up by the administrator.
    pub up: bool,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Whether the kernel has noticed that it can carry packets; what is sent before is lost.
    /// Devices without a state of their own, such as tuns, are never said to be.
    pub operational: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// The kind of virtual device (`veth`, `tun`, …), none for hardware.
    pub kind: Option<String>,
    /// The hardware address, empty where there is none.
    pub mac: Vec<u8>,
    /// What went through it so far.
    pub counters: LinkCounters,
}

/// Counters of a device since it was made. A super-packet counts as one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Received packets that were dropped.
    pub rx_dropped: u64,
    /// Received packets in error.
    pub rx_errors: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that were dropped instead of sent.
    pub tx_dropped: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
}

/// One end of a veth pair that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// The name of the device.
    pub name: &'a str,
    /// The namespace it shall be in; none for the one of the netlink socket.
    pub netns: Option<&'a NetNs>,
    /// The largest packet in bytes; none for the kernel's default.
    pub mtu: Option<u32>,
}

impl Netlink {
    /// Returns all devices.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.dump(&request, "listing devices", |message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(decode(link)),
            _ => None,
        })
    }

    /// Returns the device called `name`, if there is one.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Sets a device up.
    ///
    /// # Errors
    /// Fails without the device or the right to change it.
    pub fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = by_index(index);
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.set_link(message, || format!("setting device {index} up"))
    }

    /// Sets a device down.
    ///
    /// # Errors
    /// Fails without the device or the right to change it.
    pub fn set_down(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = by_index(index);
        message.header.change_mask = LinkFlags::Up;
        self.set_link(message, || format!("setting device {index} down"))
    }

    /// Sets the largest packet of a device in bytes.
    ///
    /// # Errors
    /// Fails without the device, the right to change it, or for a size it cannot have.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = by_index(index);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.set_link(message, || format!("setting the mtu of device {index} to {mtu}"))
    }

    /// Sets the length of a device's transmit queue in packets.
    ///
    /// # Errors
    /// Fails without the device or the right to change it.
    pub fn set_queue_length(&mut self, index: u32, packets: u32) -> Result<(), NetlinkError> {
        let mut message = by_index(index);
        message.attributes.push(LinkAttribute::TxQueueLen(packets));
        self.set_link(message, || format!("setting the queue of device {index} to {packets}"))
    }

    /// Moves a device into another namespace; it loses its addresses and routes.
    ///
    /// # Errors
    /// Fails without the device, the right to move it, or where its name is taken there.
    pub fn move_link(&mut self, index: u32, netns: &NetNs) -> Result<(), NetlinkError> {
        let mut message = by_index(index);
        message.attributes.push(LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd()));
        self.set_link(message, || format!("moving device {index} to another namespace"))
    }

    /// Deletes a device, and with it the other end of a pair.
    ///
    /// # Errors
    /// Fails without the device, the right to delete it, or for hardware.
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelLink(by_index(index));
        self.change(message, 0, || format!("deleting device {index}"))
    }

    /// Makes a pair of devices, each end in its namespace; both are down at first.
    ///
    /// # Errors
    /// Fails where a name is taken or without the right to make devices.
    pub fn add_veth(&mut self, one: VethEnd<'_>, other: VethEnd<'_>) -> Result<(), NetlinkError> {
        let mut peer = LinkMessage::default();
        peer.attributes = end_attributes(other);
        let mut message = LinkMessage::default();
        message.attributes = end_attributes(one);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let message = RouteNetlinkMessage::NewLink(message);
        self.change(message, NLM_F_CREATE | NLM_F_EXCL, || {
            format!("making the veth pair {} and {}", one.name, other.name)
        })
    }

    /// Makes a bridge, a switch in software; it is down at first and has no ports.
    ///
    /// # Errors
    /// Fails where the name is taken or without the right to make devices.
    pub fn add_bridge(&mut self, name: &str) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        let message = RouteNetlinkMessage::NewLink(message);
        self.change(message, NLM_F_CREATE | NLM_F_EXCL, || format!("making the bridge {name}"))
    }

    /// Makes a device a port of a bridge.
    ///
    /// # Errors
    /// Fails without either of them, or the right to change them.
    pub fn add_port(&mut self, bridge: u32, index: u32) -> Result<(), NetlinkError> {
        let mut message = by_index(index);
        message.attributes.push(LinkAttribute::Controller(bridge));
        self.set_link(message, || format!("making device {index} a port of bridge {bridge}"))
    }

    fn set_link(
        &mut self,
        message: LinkMessage,
        doing: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        self.change(RouteNetlinkMessage::SetLink(message), 0, doing)
    }
}

fn by_index(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn end_attributes(end: VethEnd<'_>) -> Vec<LinkAttribute> {
    let mut attributes = vec![LinkAttribute::IfName(end.name.to_owned())];
    attributes.extend(end.mtu.map(LinkAttribute::Mtu));
    attributes.extend(end.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd())));
    attributes
}

fn decode(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        operational: false,
        loopback: flags.contains(LinkFlags::Loopback),
        kind: None,
        mac: Vec::new(),
        counters: LinkCounters::default(),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::OperState(state) => link.operational = state == State::Up,
            LinkAttribute::Stats64(stats) => link.counters = counters(&stats),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn counters(stats: &Stats64) -> LinkCounters {
    LinkCounters {
        rx_packets: stats.rx_packets,
        rx_bytes: stats.rx_bytes,
        rx_dropped: stats.rx_dropped,
        rx_errors: stats.rx_errors,
        tx_packets: stats.tx_packets,
        tx_bytes: stats.tx_bytes,
        tx_dropped: stats.tx_dropped,
        tx_errors: stats.tx_errors,
    }
}
