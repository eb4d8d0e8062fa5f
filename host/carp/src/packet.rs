//! Adverts as IP packets and Ethernet frames.

use evergate_wire::{Addr, Af, checksum, parse};

use crate::{Refused, Vhid};

/// CARP's IP protocol number, which is also VRRP's.
pub const PROTOCOL: u8 = 112;
/// The TTL of an advert: a router would have lowered it.
pub const TTL: u8 = 255;
/// The type of service of OpenBSD, NetBSD and ucarp: low delay.
pub const TOS: u8 = 0x10;
/// The IPv4 multicast group.
pub const GROUP_V4: Addr = Addr::from_v4_octets([224, 0, 0, 18]);
/// The IPv6 multicast group, ff02::12.
pub const GROUP_V6: Addr =
    Addr::from_octets([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);

/// The Ethernet type of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The Ethernet type of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// IPv4's flag that forbids fragmentation.
const DONT_FRAGMENT: u16 = 0x4000;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The virtual address of a vhid: 00:00:5e:00:01:VHID. VRRP for IPv4 uses the
    /// same, so the two must not share an id on a segment.
    pub const fn of_vhid(vhid: Vhid) -> Self {
        Self([0, 0, 0x5e, 0, 1, vhid.get()])
    }

    /// Where frames to a multicast group go (RFC 1112 §6.4, RFC 2464 §7).
    pub fn of_group(group: Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        match group.af() {
            Af::V4 => Self([1, 0, 0x5e, b & 0x7f, c, d]),
            Af::V6 => Self([0x33, 0x33, a, b, c, d]),
        }
    }
}

/// The group of a family.
pub const fn group(family: Af) -> Addr {
    match family {
        Af::V4 => GROUP_V4,
        Af::V6 => GROUP_V6,
    }
}

/// What a receiver knows of a packet of protocol 112, from a raw socket or from
/// [`Datagram::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The source.
    pub from: Addr,
    /// The destination.
    pub to: Addr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a whole IP packet; bytes after its end, such as Ethernet's padding,
    /// are ignored.
    ///
    /// # Errors
    ///
    /// `hdrops` for fragments, other protocols and what is no whole packet,
    /// `badsum` for a wrong IPv4 header checksum.
    pub fn parse(packet: &'a [u8]) -> Result<Self, Refused> {
        let parsed = parse(packet).map_err(|_| Refused::HdrDrops)?;
        if parsed.proto != PROTOCOL || parsed.fragment.is_some() {
            return Err(Refused::HdrDrops);
        }
        let start = usize::from(parsed.l4_offset);
        let payload = packet.get(start..parsed.total_len as usize).ok_or(Refused::HdrDrops)?;
        let header = packet.get(..start).ok_or(Refused::HdrDrops)?;
        if parsed.af == Af::V4 && !checksum::verify_header(header) {
            return Err(Refused::BadSum);
        }
        Ok(Self { from: parsed.src, to: parsed.dst, ttl: parsed.ttl, payload })
    }

    /// The family it came by.
    pub fn family(&self) -> Af {
        self.from.af()
    }
}

/// The IP packet that carries `payload`. `identification` is IPv4's and best
/// random. `None` if the families differ or the payload does not fit.
pub fn build(from: Addr, to: Addr, identification: u16, payload: &[u8]) -> Option<Vec<u8>> {
    match (from.as_v4(), to.as_v4()) {
        (Some(from), Some(to)) => ipv4(from, to, identification, payload),
        (None, None) => ipv6(from.octets(), to.octets(), payload),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

fn ipv4(from: [u8; 4], to: [u8; 4], identification: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let total_len = u16::try_from(payload.len()).ok()?.checked_add(20)?;
    let mut packet = Vec::with_capacity(total_len.into());
    packet.extend([0x45, TOS]);
    packet.extend(total_len.to_be_bytes());
    packet.extend(identification.to_be_bytes());
    packet.extend(DONT_FRAGMENT.to_be_bytes());
    packet.extend([TTL, PROTOCOL, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    let check = checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    packet.extend(payload);
    Some(packet)
}

fn ipv6(from: [u8; 16], to: [u8; 16], payload: &[u8]) -> Option<Vec<u8>> {
    let payload_len = u16::try_from(payload.len()).ok()?;
    let mut packet = Vec::with_capacity(40 + payload.len());
    packet.extend([0x60, 0, 0, 0]);
    packet.extend(payload_len.to_be_bytes());
    packet.extend([PROTOCOL, TTL]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(payload);
    Some(packet)
}

/// An Ethernet frame, not padded.
pub fn frame(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM_V4: Addr = Addr::from_v4_octets([192, 0, 2, 1]);
    const FROM_V6: Addr = Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    #[test]
    fn a_built_packet_is_read_back_in_both_families() {
        for from in [FROM_V4, FROM_V6] {
            let to = group(from.af());
            let mut packet = build(from, to, 7, b"payload").unwrap();
            packet.extend([0; 5]);
            let expected = Datagram { from, to, ttl: 255, payload: b"payload" };
            assert_eq!(Datagram::parse(&packet), Ok(expected));
        }
        assert_eq!(build(FROM_V4, GROUP_V6, 0, &[]), None);
        assert_eq!(build(FROM_V4, GROUP_V4, 0, &vec![0; 65_516]), None);
    }

    #[test]
    fn what_is_no_whole_packet_of_protocol_112_is_refused() {
        let good = build(FROM_V4, GROUP_V4, 7, &[0; 36]).unwrap();
        let edited = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            packet[10..12].fill(0);
            let check = checksum::checksum(&packet[..20]).to_be_bytes();
            packet[10..12].copy_from_slice(&check);
            packet
        };
        let mut wrong_sum = good.clone();
        wrong_sum[10] ^= 1;
        assert_eq!(Datagram::parse(&wrong_sum), Err(Refused::BadSum));
        for packet in [edited(9, 17), edited(6, 0x20), good[..55].to_vec(), vec![], vec![0x70]] {
            assert_eq!(Datagram::parse(&packet), Err(Refused::HdrDrops), "{packet:02x?}");
        }
    }

    #[test]
    fn groups_have_the_mac_addresses_of_the_standards() {
        assert_eq!(Mac::of_group(GROUP_V4), Mac([1, 0, 0x5e, 0, 0, 0x12]));
        assert_eq!(Mac::of_group(GROUP_V6), Mac([0x33, 0x33, 0, 0, 0, 0x12]));
        let high = Addr::from_v4_octets([239, 255, 1, 2]);
        assert_eq!(Mac::of_group(high), Mac([1, 0, 0x5e, 0x7f, 1, 2]));
        assert_eq!(Mac::of_vhid(Vhid::new(60).unwrap()), Mac([0, 0, 0x5e, 0, 1, 60]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(
            start in prop::sample::select(vec![vec![], vec![0x45], vec![0x60]]),
            rest in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let bytes = [start, rest].concat();
            if let Ok(datagram) = Datagram::parse(&bytes) {
                prop_assert!(datagram.payload.len() <= bytes.len());
            }
        }
    }
}
