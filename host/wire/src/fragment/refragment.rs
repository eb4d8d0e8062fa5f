//! Cutting a reassembled IPv6 packet up again.

use crate::packet::protocol;
use crate::parse::ip6;
use crate::{Af, DropReason, Parsed};

/// Cuts an IPv6 packet into fragments of at most `size` bytes each, IP header
/// included (RFC 8200 §4.5), as they came before reassembly. A packet that fits
/// is returned whole. `parsed` must be of this packet.
///
/// # Errors
///
/// `fragment` if the packet is IPv4, has a fragment header, or if `size` has no
/// room for 8 bytes of data behind the headers that each fragment repeats.
pub fn refragment_v6(
    packet: &[u8],
    parsed: &Parsed,
    id: u32,
    size: u16,
) -> Result<Vec<Vec<u8>>, DropReason> {
    let packet = packet.get(..parsed.total_len as usize).ok_or(DropReason::Short)?;
    if parsed.af != Af::V6 {
        return Err(DropReason::Fragment);
    }
    let chain = ip6::chain(packet)?;
    if chain.has_fragment_header {
        return Err(DropReason::Fragment);
    }
    let size = usize::from(size);
    if packet.len() <= size {
        return Ok(vec![packet.to_vec()]);
    }
    let (header, data) = packet.split_at(chain.per_fragment_end);
    let named_at = chain.per_fragment_named_at;
    let step = size.saturating_sub(header.len() + ip6::FRAGMENT_HEADER) & !7;
    if step == 0 {
        return Err(DropReason::Fragment);
    }
    let count = data.len().div_ceil(step);
    let fragments = data.chunks(step).enumerate().map(|(index, part)| {
        let offset_and_more = (index * step) as u16 | u16::from(index + 1 < count);
        let mut fragment = Vec::with_capacity(header.len() + ip6::FRAGMENT_HEADER + part.len());
        fragment.extend_from_slice(header);
        fragment[named_at] = protocol::FRAGMENT;
        let payload_len = header.len() - ip6::HEADER + ip6::FRAGMENT_HEADER + part.len();
        fragment[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        fragment.extend_from_slice(&[header[named_at], 0]);
        fragment.extend_from_slice(&offset_and_more.to_be_bytes());
        fragment.extend_from_slice(&id.to_be_bytes());
        fragment.extend_from_slice(part);
        fragment
    });
    Ok(fragments.collect())
}
