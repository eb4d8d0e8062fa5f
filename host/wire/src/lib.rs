//! The bytes on the wire: views of IPv4 and IPv6 packets, builders, checksums,
//! reassembly, the header a tun device puts before each packet, and the reasons
//! for which packets are dropped.
//!
//! This crate is pure: no IO, no clock, no randomness, no unsafe code. Whatever
//! bytes it is given, it neither panics nor reads past them, and everything it
//! keeps is bounded. Parsing allocates nothing. Packets may be *super-packets*:
//! up to 65535 bytes behind one header, cut into segments later by the kernel
//! or the NIC.

mod addr;
pub mod build;
pub mod checksum;
pub mod fragment;
mod packet;
mod parse;
mod quoted;
mod reason;
mod scrub;
#[cfg(test)]
mod testing;
mod time;
mod vnet;

pub use addr::{Addr, Af};
pub use packet::{
    FragmentInfo, Icmp, IcmpKind, IpOptions, L4, Parsed, Tcp, TcpFlags, Udp, protocol,
};
pub use parse::parse;
pub use quoted::{Quoted, QuotedL4, parse_quoted};
pub use reason::DropReason;
pub use scrub::{increment_ttl, scrub_tcp};
pub use time::Timestamp;
pub use vnet::{VNET_HDR_LEN, VnetHdr};
