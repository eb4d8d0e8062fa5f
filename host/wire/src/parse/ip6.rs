//! The IPv6 header and its extension headers (RFC 8200 §4).

use super::{HEADER_LIMIT, Network, OptionsSeen, extension, skip_ah, within};
use crate::packet::protocol;
use crate::parse::read_u16;
use crate::{Addr, Af, DropReason, FragmentInfo};

/// Bytes of the fixed header.
pub(crate) const HEADER: usize = 40;
/// Bytes of the fragment header.
pub(crate) const FRAGMENT_HEADER: usize = 8;
const NEXT_HEADER_AT: usize = 6;
const MORE_FRAGMENTS: u16 = 1;

const OPTION_PAD1: u8 = 0;
const OPTION_PADN: u8 = 1;
/// RFC 2711 §2.1.
const OPTION_ROUTER_ALERT: u8 = 5;
/// RFC 2675 §2.
const OPTION_JUMBO: u8 = 0xc2;

/// Cuts `packet` to the payload length in its header.
pub(super) fn datagram(packet: &[u8]) -> Result<&[u8], DropReason> {
    let header = packet.first_chunk::<HEADER>().ok_or(DropReason::Short)?;
    let payload_len = u16::from_be_bytes([header[4], header[5]]);
    packet.get(..HEADER + usize::from(payload_len)).ok_or(DropReason::Short)
}

/// As [`chain`], but a first fragment is followed to its upper layer.
pub(super) fn walk_quoted(bytes: &[u8]) -> Result<Network, DropReason> {
    let mut chain = Chain::new(bytes)?;
    chain.run(bytes)?;
    if chain.network.fragment.is_some_and(|fragment| fragment.offset == 0) {
        chain.run(bytes)?;
    }
    Ok(chain.network)
}

/// Follows the extension headers up to the upper layer or to the data of a fragment.
#[inline(always)]
pub(crate) fn chain(bytes: &[u8]) -> Result<Chain, DropReason> {
    let mut chain = Chain::new(bytes)?;
    chain.run(bytes)?;
    Ok(chain)
}

/// A walk over the headers.
pub(crate) struct Chain {
    pub(crate) network: Network,
    /// Where the byte is that names the protocol the walk has come to, or that
    /// names the fragment header, if there is one.
    pub(crate) named_at: usize,
    /// Whether there was a fragment header, even of a whole datagram.
    pub(crate) has_fragment_header: bool,
    /// The end of the headers that each fragment must repeat (RFC 8200 §4.5):
    /// those up to the routing header, else up to hop-by-hop options.
    pub(crate) per_fragment_end: usize,
    /// Where the byte is that names what follows those headers.
    pub(crate) per_fragment_named_at: usize,
    has_routing_header: bool,
    headers: usize,
}

impl Chain {
    #[inline(always)]
    fn new(bytes: &[u8]) -> Result<Self, DropReason> {
        let header = bytes.first_chunk::<HEADER>().ok_or(DropReason::Short)?;
        if header[0] >> 4 != 6 {
            return Err(DropReason::Short);
        }
        let address = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&header[at..at + 16]);
            Addr::from_octets(octets)
        };
        let (src, dst) = (address(8), address(24));
        // On the wire they are a way around rules for IPv4, and an `Addr` could
        // not be told from an IPv4 one; BSD stacks drop them as well.
        if src.is_v4() || dst.is_v4() {
            return Err(DropReason::Normalize);
        }
        Ok(Self {
            network: Network {
                af: Af::V6,
                proto: header[NEXT_HEADER_AT],
                src,
                dst,
                ttl: header[7],
                tos: header[0] << 4 | header[1] >> 4,
                offset: HEADER,
                fragment: None,
                options: OptionsSeen::default(),
            },
            named_at: NEXT_HEADER_AT,
            has_fragment_header: false,
            per_fragment_end: HEADER,
            per_fragment_named_at: NEXT_HEADER_AT,
            has_routing_header: false,
            headers: 0,
        })
    }

    fn run(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        while self.headers < HEADER_LIMIT {
            let offset = self.network.offset;
            let (end, next) = match self.network.proto {
                protocol::HOP_BY_HOP if self.headers > 0 => return Err(DropReason::IpOption),
                protocol::HOP_BY_HOP => self.hop_by_hop(bytes)?,
                protocol::ROUTING => self.routing(bytes)?,
                protocol::DESTINATION_OPTIONS => {
                    self.network.options.other = true;
                    skip(bytes, offset)?
                }
                protocol::AH => skip_ah(bytes, offset)?,
                protocol::FRAGMENT => self.fragment(bytes)?,
                _ => return Ok(()),
            };
            let repeated = matches!(self.network.proto, protocol::HOP_BY_HOP | protocol::ROUTING);
            if repeated && !self.has_fragment_header {
                (self.per_fragment_end, self.per_fragment_named_at) = (end, offset);
            }
            if !self.has_fragment_header {
                self.named_at = offset;
            }
            let was_fragment_header = self.network.proto == protocol::FRAGMENT;
            (self.network.offset, self.network.proto) = (end, next);
            self.headers += 1;
            if was_fragment_header && self.network.fragment.is_some() {
                return Ok(());
            }
        }
        Err(DropReason::IpOption)
    }

    fn hop_by_hop(&mut self, bytes: &[u8]) -> Result<(usize, u8), DropReason> {
        let start = self.network.offset;
        let (end, next) = skip(bytes, start)?;
        let seen = walk_options(&bytes[start + 2..end])?;
        self.network.options.router_alert |= seen.router_alert;
        self.network.options.other |= seen.other;
        Ok((end, next))
    }

    fn routing(&mut self, bytes: &[u8]) -> Result<(usize, u8), DropReason> {
        let start = self.network.offset;
        let (end, next) = skip(bytes, start)?;
        // Type 0 is an amplifier (RFC 5095).
        if self.has_routing_header || bytes[start + 2] == 0 {
            return Err(DropReason::IpOption);
        }
        self.has_routing_header = true;
        self.network.options.other = true;
        Ok((end, next))
    }

    fn fragment(&mut self, bytes: &[u8]) -> Result<(usize, u8), DropReason> {
        if self.has_fragment_header {
            return Err(DropReason::Fragment);
        }
        self.has_fragment_header = true;
        let start = self.network.offset;
        let header = bytes
            .get(start..)
            .and_then(|rest| rest.first_chunk::<FRAGMENT_HEADER>())
            .ok_or(DropReason::Short)?;
        let field = read_u16(header, 2);
        let (offset, more) = (field & !7, field & MORE_FRAGMENTS != 0);
        if offset != 0 || more {
            self.network.fragment = Some(FragmentInfo {
                id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                offset,
                more,
                dont_fragment: false,
                unfragmentable_len: u16::try_from(start).map_err(|_| DropReason::IpOption)?,
                next_header: header[0],
            });
        }
        Ok((start + FRAGMENT_HEADER, header[0]))
    }
}

/// The end and next header of an extension header counted in words of 8 bytes
/// less one.
fn skip(bytes: &[u8], offset: usize) -> Result<(usize, u8), DropReason> {
    let (next, len) = extension(bytes, offset)?;
    within(bytes, offset + (usize::from(len) + 1) * 8, next)
}

fn walk_options(mut rest: &[u8]) -> Result<OptionsSeen, DropReason> {
    let mut seen = OptionsSeen::default();
    while let [kind, after_kind @ ..] = rest {
        if *kind == OPTION_PAD1 {
            rest = after_kind;
            continue;
        }
        match *kind {
            OPTION_PADN => {}
            OPTION_ROUTER_ALERT => seen.router_alert = true,
            OPTION_JUMBO => return Err(DropReason::IpOption),
            _ => seen.other = true,
        }
        let len = usize::from(*after_kind.first().ok_or(DropReason::IpOption)?);
        rest = rest.get(2 + len..).ok_or(DropReason::IpOption)?;
    }
    // Nothing but padding has no purpose.
    seen.other |= !seen.any();
    Ok(seen)
}
