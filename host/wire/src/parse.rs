//! From bytes to [`Parsed`]: the headers of one IP packet, checked the way
//! OpenBSD pf checks them before any rule or state is looked at.
//!
//! Nothing is allocated, no checksum is verified, and no byte beyond the length
//! in the IP header is looked at.

mod ip4;
pub(crate) mod ip6;
mod l4;

#[cfg(test)]
mod tests;

pub(crate) use l4::{is_error, query_of, read_u16, read_u32};

use crate::{Addr, Af, DropReason, FragmentInfo, IpOptions, Parsed};

/// How many headers are followed before the upper layer must have been reached:
/// `pf_hdr_limit` of OpenBSD pf.
const HEADER_LIMIT: usize = 20;

/// What the headers below the upper layer say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) af: Af,
    pub(crate) proto: u8,
    pub(crate) src: Addr,
    pub(crate) dst: Addr,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    /// Where the upper layer, or the data of a fragment, begins.
    pub(crate) offset: usize,
    pub(crate) fragment: Option<FragmentInfo>,
    pub(crate) options: OptionsSeen,
}

/// Which options were met so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OptionsSeen {
    router_alert: bool,
    other: bool,
}

impl OptionsSeen {
    fn any(self) -> bool {
        self.router_alert || self.other
    }

    fn summary(self) -> IpOptions {
        match (self.router_alert, self.other) {
            (_, true) => IpOptions::Other,
            (true, false) => IpOptions::RouterAlertOnly,
            (false, false) => IpOptions::None,
        }
    }
}

/// Parses the IP packet at the start of `packet`; bytes after its end are ignored.
///
/// # Errors
///
/// As OpenBSD pf: `short` for what is truncated, or has a header length, TCP
/// offset, UDP length or port 0 that cannot be; `ip-option` for malformed options
/// and header chains, jumbograms, routing headers of type 0, IGMP and MLD with a
/// wrong TTL; `fragment` for a second fragment header; `normalize` for
/// impossible TCP flags, ICMP of the other family, neighbour discovery that came
/// through a router, v4-mapped addresses in IPv6 and unknown IP versions.
pub fn parse(packet: &[u8]) -> Result<Parsed, DropReason> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let bytes = ip4::datagram(packet)?;
            finish(bytes, &ip4::walk(bytes)?)
        }
        Some(6) => {
            let bytes = ip6::datagram(packet)?;
            finish(bytes, &ip6::chain(bytes)?.network)
        }
        Some(_) => Err(DropReason::Normalize),
        None => Err(DropReason::Short),
    }
}

// Inlined, and the headers' walks with it, so that the facts are not copied about:
// that took longer than finding them.
#[inline(always)]
fn finish(bytes: &[u8], network: &Network) -> Result<Parsed, DropReason> {
    Ok(Parsed {
        af: network.af,
        proto: network.proto,
        src: network.src,
        dst: network.dst,
        ttl: network.ttl,
        tos: network.tos,
        l4_offset: u16::try_from(network.offset).map_err(|_| DropReason::IpOption)?,
        total_len: u32::try_from(bytes.len()).map_err(|_| DropReason::Short)?,
        fragment: network.fragment,
        options: network.options.summary(),
        l4: l4::upper_layer(bytes, network)?,
    })
}

/// Follows the headers of a packet quoted in an ICMP error, whose end may be cut
/// off and whose length fields therefore mean nothing. A first fragment is
/// followed to its upper layer.
pub(crate) fn walk_quoted(af: Af, bytes: &[u8]) -> Result<Network, DropReason> {
    match af {
        Af::V4 => ip4::walk(bytes),
        Af::V6 => ip6::walk_quoted(bytes),
    }
}

/// The next authentication header's end and next header: RFC 4302 §2.2 counts it
/// in words of 4 bytes less two.
fn skip_ah(bytes: &[u8], offset: usize) -> Result<(usize, u8), DropReason> {
    let (next, len) = extension(bytes, offset)?;
    within(bytes, offset + (usize::from(len) + 2) * 4, next)
}

/// The next header and length fields of an extension header.
fn extension(bytes: &[u8], offset: usize) -> Result<(u8, u8), DropReason> {
    match bytes.get(offset..) {
        Some([next, len, ..]) => Ok((*next, *len)),
        Some(_) | None => Err(DropReason::Short),
    }
}

fn within(bytes: &[u8], end: usize, next: u8) -> Result<(usize, u8), DropReason> {
    if end > bytes.len() { Err(DropReason::Short) } else { Ok((end, next)) }
}
