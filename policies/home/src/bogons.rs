//! Sources that cannot be on the public internet (RFC 6890, RFC 5737, RFC 3849, RFC 4193).

/// First address bits and prefix lengths.
const V4: [(u32, u32); 14] = [
    (0x0000_0000, 8),  // this network
    (0x0a00_0000, 8),  // private
    (0x6440_0000, 10), // carrier-grade NAT
    (0x7f00_0000, 8),  // loopback
    (0xa9fe_0000, 16), // link-local
    (0xac10_0000, 12), // private
    (0xc000_0000, 24), // protocol assignments
    (0xc000_0200, 24), // documentation
    (0xc0a8_0000, 16), // private
    (0xc612_0000, 15), // benchmarks
    (0xc633_6400, 24), // documentation
    (0xcb00_7100, 24), // documentation
    (0xe000_0000, 4),  // multicast
    (0xf000_0000, 4),  // reserved and broadcast
];

const V6: [(u128, u32); 6] = [
    (0, 96), // unspecified, loopback, IPv4-compatible
    (0x0100_0000_0000_0000 << 64, 64),
    (0x2001_0db8 << 96, 32),
    (0xfc00 << 112, 7),
    (0xfe80 << 112, 10),
    (0xff00 << 112, 8),
];

/// Tells whether a source address is one of these.
pub(crate) fn contains(octets: &[u8; 16]) -> bool {
    let bits = u128::from_be_bytes(*octets);
    if bits >> 32 == 0xffff {
        // Only the low half is left: the address is IPv4-mapped.
        let bits = (bits & 0xffff_ffff) as u32;
        return V4.iter().any(|(first, len)| (first ^ bits) >> (32 - len) == 0);
    }
    V6.iter().any(|(first, len)| (first ^ bits) >> (128 - len) == 0)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn is_bogon(text: &str) -> bool {
        match text.parse().unwrap() {
            IpAddr::V4(v4) => contains(&v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => contains(&v6.octets()),
        }
    }

    #[test]
    fn edges_of_the_ranges() {
        for bogon in [
            "0.1.2.3",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.255.255",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "100::1",
            "2001:db8::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(is_bogon(bogon), "{bogon}");
        }
        for fine in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "192.0.1.0",
            "198.20.0.0",
            "223.255.255.255",
            "2001:db9::1",
            "2a00::1",
            "fe00::1",
        ] {
            assert!(!is_bogon(fine), "{fine}");
        }
    }
}
