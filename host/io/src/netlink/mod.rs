//! A synchronous, typed view of rtnetlink: links, addresses, routes, rules and neighbours.
//!
//! A [`Netlink`] belongs to the network namespace of the thread that opened it, for good.
//! Errors say what was asked. Every receive loop is bounded in time and in messages.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's attributes are not ours: their enums are open and keep growing"
)]

mod address;
mod link;
mod monitor;
mod neighbour;
mod route;
mod rule;
mod socket;

pub use address::{Address, AddressOptions};
pub use link::{Link, LinkCounters, VethEnd};
pub use monitor::{Changes, Monitor};
pub use neighbour::{Neighbour, ProxyNeighbour};
pub use route::{NextHop, Route, RouteKind, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE};
pub use rule::{Rule, RuleAction};
pub use socket::{Netlink, NetlinkError};

/// The kernel's own table of local addresses.
pub const TABLE_LOCAL: u32 = 255;
/// The table that ordinary routes are in.
pub const TABLE_MAIN: u32 = 254;
/// The protocol number that the kernel gives its own routes and rules.
pub const PROTOCOL_KERNEL: u8 = 2;
/// The protocol number of ordinary hand-made routes.
pub const PROTOCOL_BOOT: u8 = 3;

/// An address family of the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(_) => Self::V4,
            std::net::IpAddr::V6(_) => Self::V6,
        }
    }

    /// The address of all zeroes.
    #[must_use]
    pub const fn unspecified(self) -> std::net::IpAddr {
        match self {
            Self::V4 => std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            Self::V6 => std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        }
    }

    /// The length of an address in bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    const fn raw(self) -> netlink_packet_route::AddressFamily {
        match self {
            Self::V4 => netlink_packet_route::AddressFamily::Inet,
            Self::V6 => netlink_packet_route::AddressFamily::Inet6,
        }
    }

    fn from_raw(raw: netlink_packet_route::AddressFamily) -> Option<Self> {
        if raw == netlink_packet_route::AddressFamily::Inet {
            Some(Self::V4)
        } else if raw == netlink_packet_route::AddressFamily::Inet6 {
            Some(Self::V6)
        } else {
            None
        }
    }
}
