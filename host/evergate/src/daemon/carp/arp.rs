//! Who answers for an IPv4 address: probes that claim nothing (RFC 5227), and the claims.

use std::net::Ipv4Addr;

use evergate_carp::Mac;

/// The Ethernet type of ARP.
pub(super) const ETHERTYPE: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// A broadcast that asks who has `address`, from somebody who has none.
pub(super) fn probe(address: Ipv4Addr, mac: Mac) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend(Mac::BROADCAST.0);
    frame.extend(mac.0);
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend(ETHERNET_IPV4);
    frame.extend([0, 1]);
    frame.extend(mac.0);
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// The address that the sender of a frame says is its own; none for probes and nonsense.
pub(super) fn claim(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let arp = frame.get(14..42)?;
    if frame.get(12..14)? != ETHERTYPE.to_be_bytes() || arp.get(..6)? != ETHERNET_IPV4 {
        return None;
    }
    let mac = Mac(*arp.get(8..)?.first_chunk()?);
    let address = Ipv4Addr::from(*arp.get(14..)?.first_chunk::<4>()?);
    (!address.is_unspecified()).then_some((address, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_a_claim_and_a_probe_is_none() {
        let (address, mac) = (Ipv4Addr::new(192, 0, 2, 1), Mac([2, 0, 0, 0, 0, 9]));
        let announced = evergate_carp::announce::gratuitous_arp(address.octets(), mac);
        assert_eq!(claim(&announced), Some((address, mac)));
        assert_eq!(claim(&probe(address, mac)), None);
        assert_eq!(claim(&announced[..41]), None);
        assert_eq!(claim(&[]), None);
    }

    #[test]
    fn a_probe_has_the_bytes_of_the_standard() {
        let frame = probe(Ipv4Addr::new(192, 0, 2, 1), Mac([2, 0, 0, 0, 0, 9]));
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2,
            0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
        ];
        assert_eq!(frame, expected);
    }
}
