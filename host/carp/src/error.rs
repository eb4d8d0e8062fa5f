//! Why an advert was refused, and why a configuration was.

use evergate_wire::Addr;
use thiserror::Error;

/// Why a packet was not taken as an advert of this vhid. The first eight have the
/// names of CARP's own counters.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Neither sent to the group nor by one of the unicast peers.
    #[error("badif: sent to {to} by {from}, which this vhid does not listen to")]
    BadIf {
        /// The packet's source.
        from: Addr,
        /// The packet's destination.
        to: Addr,
    },
    /// It came through a router, or pretends not to have.
    #[error("badttl: TTL {ttl} instead of 255")]
    BadTtl {
        /// The TTL or hop limit found.
        ttl: u8,
    },
    /// No whole IP packet of protocol 112.
    #[error("hdrops: no whole IP packet of protocol 112")]
    HdrDrops,
    /// The checksum of the advert or of the IPv4 header is wrong.
    #[error("badsum: wrong checksum")]
    BadSum,
    /// Another version than 2.
    #[error("badver: version {version} instead of 2")]
    BadVer {
        /// The version found.
        version: u8,
    },
    /// Shorter than an advert.
    #[error("badlen: {len} bytes instead of 36")]
    BadLen {
        /// The bytes found.
        len: usize,
    },
    /// The HMAC-SHA1 is wrong: another passphrase or other virtual addresses.
    #[error("badauth: wrong digest (the passphrase or the virtual addresses differ)")]
    BadAuth,
    /// Another vhid, or 0.
    #[error("badvhid: vhid {vhid} is another's")]
    BadVhid {
        /// The vhid found.
        vhid: u8,
    },
    /// A trailer that begins like ours but is cut off or impossible.
    #[error("badtrailer: malformed trailer")]
    BadTrailer,
    /// The trailer's HMAC-SHA256 is wrong: something was edited.
    #[error("badtag: wrong trailer tag (the advert was edited)")]
    BadTag,
    /// The vhid requires a trailer and the advert has none.
    #[error("notrailer: no trailer, but this vhid requires one")]
    NoTrailer,
    /// The sequence is not beyond what this sender sent before.
    #[error("replay: sequence {sequence} of node {sender:#x} was seen before")]
    Replay {
        /// The sender's node id.
        sender: u64,
        /// The sequence found.
        sequence: u64,
    },
    /// More senders than are remembered.
    #[error("senders: too many nodes on one vhid")]
    Senders,
}

impl Refused {
    /// The name of the counter, without the prefix `carps_`.
    pub fn counter(&self) -> &'static str {
        match self {
            Self::BadIf { .. } => "badif",
            Self::BadTtl { .. } => "badttl",
            Self::HdrDrops => "hdrops",
            Self::BadSum => "badsum",
            Self::BadVer { .. } => "badver",
            Self::BadLen { .. } => "badlen",
            Self::BadAuth => "badauth",
            Self::BadVhid { .. } => "badvhid",
            Self::BadTrailer => "badtrailer",
            Self::BadTag => "badtag",
            Self::NoTrailer => "notrailer",
            Self::Replay { .. } => "replay",
            Self::Senders => "senders",
        }
    }
}

/// A configuration that cannot be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// CARP's key has 20 bytes, of which the last is zero.
    #[error(
        "a CARP passphrase has at most 19 bytes, this one has {len} \
         (BSD would cut it off in silence, ucarp refuses it)"
    )]
    PassphraseTooLong {
        /// The bytes given.
        len: usize,
    },
    /// A zero byte would end the passphrase for other implementations.
    #[error("a CARP passphrase cannot contain a zero byte")]
    PassphraseNul,
    /// Nothing to own.
    #[error("a vhid needs at least one virtual address")]
    NoAddress,
    /// More addresses than one vhid may have.
    #[error("a vhid has at most {max} virtual addresses, not {count}")]
    TooManyAddresses {
        /// The addresses given.
        count: usize,
        /// The most there may be.
        max: usize,
    },
    /// An address that no host can own.
    #[error("{0} cannot be a virtual address")]
    Address(Addr),
    /// An advskew of 255 is kept for the bow-out.
    #[error("advskew must be at most 254, not {0}")]
    Advskew(u8),
    /// An interval outside 10 ms to 255 s, or not of whole microseconds.
    #[error("the interval must be 10 ms to 255 s in whole microseconds")]
    Interval,
    /// Classic peers cannot follow an own interval.
    #[error("an interval of its own needs `trailer = \"require\"`: classic peers cannot follow it")]
    FastNeedsTrailer,
    /// Unicast to nobody, to too many, or not to single hosts.
    #[error("unicast needs 1 to {max} peers that are single hosts")]
    Peers {
        /// The most there may be.
        max: usize,
    },
}
