//! Addresses of both families in one 16-byte form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Af {
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// An IP address; IPv4 is kept as `::ffff:a.b.c.d`.
///
/// IPv6 packets with such addresses are dropped when they are parsed, so the
/// address alone tells its family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr([u8; 16]);

impl Addr {
    /// Takes the 16 octets as they are.
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// Maps the four octets of an IPv4 address.
    pub const fn from_v4_octets(v4: [u8; 4]) -> Self {
        let [a, b, c, d] = v4;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// The 16 octets, IPv4 mapped.
    pub const fn octets(self) -> [u8; 16] {
        self.0
    }

    /// Whether this is a (mapped) IPv4 address.
    pub const fn is_v4(self) -> bool {
        u128::from_be_bytes(self.0) >> 32 == 0xffff
    }

    /// The four octets of an IPv4 address, if it is one.
    pub fn as_v4(self) -> Option<[u8; 4]> {
        let [.., a, b, c, d] = self.0;
        self.is_v4().then_some([a, b, c, d])
    }

    /// The family of the address.
    pub fn af(self) -> Af {
        if self.is_v4() { Af::V4 } else { Af::V6 }
    }

    /// The address as the standard library has it; mapped ones become IPv4.
    pub fn to_ip(self) -> IpAddr {
        match self.as_v4() {
            Some(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
            None => IpAddr::V6(Ipv6Addr::from(self.0)),
        }
    }

    /// Whether this is in 224.0.0.0/4 or ff00::/8.
    pub fn is_multicast(self) -> bool {
        self.to_ip().is_multicast()
    }

    /// Whether this is 255.255.255.255, the only broadcast address known without
    /// knowing the networks.
    pub fn is_broadcast(self) -> bool {
        self.as_v4() == Some([255; 4])
    }

    /// Whether this is 0.0.0.0 or ::.
    pub fn is_unspecified(self) -> bool {
        self.to_ip().is_unspecified()
    }

    /// Whether this is in 169.254.0.0/16 or fe80::/10.
    pub fn is_link_local(self) -> bool {
        match self.to_ip() {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    /// Whether an error or reset may be sent to this address: not unspecified,
    /// multicast, broadcast, loopback, nor IPv4 class E (RFC 1122 §3.2.2).
    pub(crate) fn is_single_host(self) -> bool {
        if let Some([first, ..]) = self.as_v4() {
            return first != 0 && first != 127 && first < 224;
        }
        let ip = self.to_ip();
        !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback()
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(v4: Ipv4Addr) -> Self {
        Self::from_v4_octets(v4.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(v6: Ipv6Addr) -> Self {
        Self(v6.octets())
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_print_as_such() {
        let v4 = addr("192.0.2.7");
        assert_eq!(v4.as_v4(), Some([192, 0, 2, 7]));
        assert_eq!(v4.to_string(), "192.0.2.7");
        assert_eq!(v4.octets()[10..], [0xff, 0xff, 192, 0, 2, 7]);
        assert_eq!(addr("2001:db8::7").as_v4(), None);
        assert_eq!(addr("2001:db8::7").to_string(), "2001:db8::7");
        // Compatible (::a.b.c.d) is not mapped.
        assert!(!addr("::1.2.3.4").is_v4());
    }

    #[test]
    fn kinds_of_addresses_are_told_apart() {
        for (text, multicast, broadcast, link_local, host) in [
            ("224.0.0.1", true, false, false, false),
            ("239.255.255.255", true, false, false, false),
            ("240.0.0.1", false, false, false, false),
            ("255.255.255.255", false, true, false, false),
            ("169.254.1.1", false, false, true, true),
            ("127.0.0.1", false, false, false, false),
            ("0.0.0.0", false, false, false, false),
            ("223.255.255.255", false, false, false, true),
            ("ff02::1", true, false, false, false),
            ("fe80::1", false, false, true, true),
            ("febf::1", false, false, true, true),
            ("fec0::1", false, false, false, true),
            ("::", false, false, false, false),
            ("::1", false, false, false, false),
        ] {
            let addr = addr(text);
            let got = (
                addr.is_multicast(),
                addr.is_broadcast(),
                addr.is_link_local(),
                addr.is_single_host(),
            );
            assert_eq!(got, (multicast, broadcast, link_local, host), "{text}");
        }
        assert!(addr("0.0.0.0").is_unspecified() && addr("::").is_unspecified());
    }
}
