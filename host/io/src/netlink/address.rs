//! Addresses of devices.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};

use super::{Family, Netlink, NetlinkError, SCOPE_UNIVERSE};

/// An address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The device.
    pub index: u32,
    /// The address itself.
    pub address: IpAddr,
    /// The length of the prefix that is on the link, in bits.
    pub prefix: u8,
    /// How far it is valid: [`SCOPE_UNIVERSE`], [`super::SCOPE_LINK`], [`super::SCOPE_HOST`].
    pub scope: u8,
    /// The directed broadcast address (IPv4).
    pub broadcast: Option<Ipv4Addr>,
    /// A further IPv4 address of the same prefix, or a temporary IPv6 address.
    pub secondary: bool,
    /// Not yet usable, or found to be in use elsewhere (IPv6 duplicate address detection).
    pub tentative: bool,
    /// No longer to be chosen for new connections.
    pub deprecated: bool,
    /// Who added it (`IFA_PROTO`); 0 where nobody said, and on kernels before 5.18.
    pub protocol: u8,
}

/// How an address is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOptions {
    /// How far it is valid.
    pub scope: u8,
    /// Whether to skip duplicate address detection (IPv6), so that it is usable at once.
    pub no_dad: bool,
    /// Who adds it (`IFA_PROTO`), 0 for nobody in particular; old kernels do not keep it.
    pub protocol: u8,
}

impl Default for AddressOptions {
    fn default() -> Self {
        Self { scope: SCOPE_UNIVERSE, no_dad: true, protocol: 0 }
    }
}

impl Netlink {
    /// Returns the addresses of all devices, both families.
    ///
    /// # Errors
    /// Fails when the kernel does not answer.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(&request, "listing addresses", |message| match message {
            RouteNetlinkMessage::NewAddress(address) => decode(address),
            _ => None,
        })
    }

    /// Gives a device an address; IPv4 prefixes up to 30 bits get their broadcast address.
    ///
    /// # Errors
    /// Fails where it is there already or the device is not.
    pub fn add_address(
        &mut self,
        index: u32,
        address: IpAddr,
        prefix: u8,
        options: AddressOptions,
    ) -> Result<(), NetlinkError> {
        let mut message = encode(index, address, prefix);
        message.header.scope = AddressScope::from(options.scope);
        if let IpAddr::V4(v4) = address
            && prefix <= 30
        {
            let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            let broadcast = Ipv4Addr::from_bits(v4.to_bits() | host_bits);
            message.attributes.push(AddressAttribute::Broadcast(broadcast));
        }
        if address.is_ipv6() && options.no_dad {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        if options.protocol != 0 {
            let protocol = AddressProtocol::from(options.protocol);
            message.attributes.push(AddressAttribute::Protocol(protocol));
        }
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("adding address {address}/{prefix} to device {index}")
        })
    }

    /// Takes an address from a device.
    ///
    /// # Errors
    /// Fails where it is not there.
    pub fn delete_address(
        &mut self,
        index: u32,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelAddress(encode(index, address, prefix));
        self.change(message, 0, || {
            format!("deleting address {address}/{prefix} from device {index}")
        })
    }
}

fn encode(index: u32, address: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = Family::of(address).raw();
    message.header.index = index;
    message.header.prefix_len = prefix;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn decode(message: AddressMessage) -> Option<Address> {
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let (mut local, mut remote, mut broadcast, mut protocol) = (None, None, None, 0);
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(address),
            AddressAttribute::Address(address) => remote = Some(address),
            AddressAttribute::Broadcast(address) => broadcast = Some(address),
            AddressAttribute::Flags(all) => flags = all,
            AddressAttribute::Protocol(number) => protocol = number.into(),
            _ => {}
        }
    }
    Some(Address {
        index: message.header.index,
        // On a point-to-point link the plain attribute holds the peer's address.
        address: local.or(remote)?,
        prefix: message.header.prefix_len,
        scope: message.header.scope.into(),
        broadcast,
        secondary: flags.contains(AddressFlags::Secondary),
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
        deprecated: flags.contains(AddressFlags::Deprecated),
        protocol,
    })
}
