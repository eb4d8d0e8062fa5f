//! Tracking of UDP, ICMP queries and other protocols: who has sent, and how often.
//!
//! ```text
//! an end sends its first packet:          NO_TRAFFIC -> SINGLE
//! the other end answers an end at SINGLE:     SINGLE -> MULTIPLE
//! ```

use evergate_wire::protocol;

use crate::{Side, Timeout};

/// What one end of a state without connections has sent; pf's `PFUDPS_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Traffic {
    /// Nothing.
    None = 0,
    /// Packets that the other end has not answered.
    Single = 1,
    /// Packets that the other end has answered.
    Multiple = 2,
}

impl Traffic {
    /// pf's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NO_TRAFFIC",
            Self::Single => "SINGLE",
            Self::Multiple => "MULTIPLE",
        }
    }
}

pub(crate) fn create(side: Side) -> [Traffic; 2] {
    let mut ends = [Traffic::None; 2];
    ends[side.index()] = Traffic::Single;
    ends
}

pub(crate) fn track(ends: &mut [Traffic; 2], side: Side) {
    let (src, dst) = (side.index(), side.other().index());
    ends[src] = ends[src].max(Traffic::Single);
    if ends[dst] == Traffic::Single {
        ends[dst] = Traffic::Multiple;
    }
}

pub(crate) const fn first_timeout(proto: u8) -> Timeout {
    match proto {
        protocol::UDP => Timeout::UdpFirst,
        protocol::ICMP | protocol::ICMPV6 => Timeout::IcmpFirst,
        _ => Timeout::OtherFirst,
    }
}

pub(crate) fn timeout(proto: u8, ends: [Traffic; 2]) -> Timeout {
    let multiple = ends == [Traffic::Multiple; 2];
    match (proto, multiple) {
        (protocol::UDP, false) => Timeout::UdpSingle,
        (protocol::UDP, true) => Timeout::UdpMultiple,
        (protocol::ICMP | protocol::ICMPV6, _) => Timeout::IcmpError,
        (_, false) => Timeout::OtherSingle,
        (_, true) => Timeout::OtherMultiple,
    }
}
