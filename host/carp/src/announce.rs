//! The frames by which a new MASTER tells the segment that an address is here:
//! gratuitous ARP and unsolicited neighbour advertisements.

use evergate_wire::{Addr, checksum, protocol};

use crate::packet::{ETHERTYPE_IPV6, frame};
use crate::{Mac, VirtualAddresses};

/// The Ethernet type of ARP.
const ETHERTYPE_ARP: u16 = 0x0806;
/// All nodes on the link, ff02::1.
const ALL_NODES: Addr = Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// ICMPv6 type of a neighbour advertisement (RFC 4861 §4.4).
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_OVERRIDE: u8 = 0x20;
/// Target link-layer address option, one unit of 8 bytes (RFC 4861 §4.6.1).
const TARGET_LLADDR: [u8; 2] = [2, 1];

/// One frame for each address, IPv4 first. `mac` is where packets to the
/// addresses shall go: the virtual one or that of the interface. `router` says
/// in neighbour advertisements that this host forwards.
pub fn frames(addresses: &VirtualAddresses, mac: Mac, router: bool) -> Vec<Vec<u8>> {
    let arps = addresses.v4().iter().map(|address| gratuitous_arp(*address, mac));
    let advertisements =
        addresses.v6().iter().map(|address| neighbour_advertisement(*address, mac, router));
    arps.chain(advertisements).collect()
}

/// A broadcast ARP request in which sender and target are `address`, as BSD and
/// ucarp send it (RFC 5227 §3).
pub fn gratuitous_arp(address: [u8; 4], mac: Mac) -> Vec<u8> {
    let mut arp = Vec::with_capacity(28);
    // Ethernet, IPv4, their lengths, request.
    arp.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    for _ in ["sender", "target"] {
        arp.extend(mac.0);
        arp.extend(address);
    }
    frame(Mac::BROADCAST, mac, ETHERTYPE_ARP, &arp)
}

/// An unsolicited neighbour advertisement of `address` to all nodes with the
/// override flag (RFC 4861 §7.2.6).
pub fn neighbour_advertisement(address: [u8; 16], mac: Mac, router: bool) -> Vec<u8> {
    let source = Addr::from_octets(address);
    let flags = FLAG_OVERRIDE | if router { FLAG_ROUTER } else { 0 };
    let mut message = Vec::with_capacity(32);
    message.extend([NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0]);
    message.extend(address);
    message.extend(TARGET_LLADDR);
    message.extend(mac.0);
    let check = checksum::transport(source, ALL_NODES, protocol::ICMPV6, &message);
    message[2..4].copy_from_slice(&check.to_be_bytes());

    let mut packet = Vec::with_capacity(72);
    packet.extend([0x60, 0, 0, 0, 0, 32, protocol::ICMPV6, 255]);
    packet.extend(address);
    packet.extend(ALL_NODES.octets());
    packet.extend(message);
    frame(Mac::of_group(ALL_NODES), mac, ETHERTYPE_IPV6, &packet)
}

#[cfg(test)]
mod tests {
    use evergate_wire::{IcmpKind, L4, parse};

    use super::*;
    use crate::Vhid;

    const VIP: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    #[test]
    fn a_neighbour_advertisement_is_a_sound_packet_to_all_nodes() {
        let mac = Mac::of_vhid(Vhid::new(9).unwrap());
        let frame = neighbour_advertisement(VIP, mac, true);
        assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 1, 0, 0, 0x5e, 0, 1, 9, 0x86, 0xdd]);
        let packet = &frame[14..];
        let parsed = parse(packet).unwrap();
        assert!(checksum::verify(packet, &parsed));
        assert_eq!((parsed.dst, parsed.ttl), (ALL_NODES, 255));
        let L4::Icmp(icmp) = parsed.l4 else { panic!("{parsed:?}") };
        assert_eq!((icmp.type_, icmp.code, icmp.kind), (136, 0, IcmpKind::NeighbourDiscovery));
        assert_eq!(packet[44], 0xa0);
        assert_eq!(packet[48..64], VIP);
        assert_eq!(packet[64..], [2, 1, 0, 0, 0x5e, 0, 1, 9]);
        assert_eq!(neighbour_advertisement(VIP, mac, false)[14 + 44], 0x20);
    }

    #[test]
    fn every_address_is_announced_once() {
        let vips = [Addr::from_v4_octets([10, 0, 0, 9]), Addr::from_octets(VIP)];
        let addresses = VirtualAddresses::new(&[vips[1], vips[0], vips[0]]).unwrap();
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let frames = frames(&addresses, mac, true);
        let expected =
            [gratuitous_arp([10, 0, 0, 9], mac), neighbour_advertisement(VIP, mac, true)];
        assert_eq!(frames, expected);
    }
}
