//! What can go wrong in a lab.

use std::io;
use std::net::IpAddr;

use evergate_io::netlink::NetlinkError;
use evergate_io::netns::NetNsError;
use evergate_io::sysctl::SysctlError;

/// Why something could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The process may not make networks.
    #[error(
        "making networks takes the rights of root: run as root, or where the system allows \
         user namespaces"
    )]
    NoRights,
    /// A namespace could not be made or entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The kernel refused a link, address or route.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel refused a setting.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// A text is not an address with a prefix.
    #[error("{text:?} is not an address with a prefix such as 10.0.1.2/24 or fd00:1::2/64")]
    BadAddress {
        /// The text.
        text: String,
    },
    /// A host has no such device.
    #[error("{host} has no device {device}")]
    NoDevice {
        /// The host.
        host: String,
        /// The device.
        device: String,
    },
    /// The kernel took an address but does not use it.
    #[error("the address {address} does not become usable")]
    NotUsable {
        /// The address.
        address: IpAddr,
    },
    /// A device got no carrier.
    #[error("{device} of {host} has no carrier: is the other end up?")]
    NoCarrier {
        /// The host.
        host: String,
        /// The device.
        device: String,
    },
    /// A program could not be started or waited for.
    #[error("{program}: {source}")]
    Process {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}
