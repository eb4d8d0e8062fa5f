//! What the kernel would do with a destination, as a snapshot that the shell replaces.

use std::net::{Ipv4Addr, Ipv6Addr};

use evergate_wire::{Addr, Af};
use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use crate::IfId;

/// Bits in front of an IPv4 address in its v4-mapped form (RFC 4291 §2.5.5.2).
const V4_MAPPED_BITS: u8 = 96;

/// Where packets to a destination leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// The destination is one of the gateway's own addresses.
    Local,
    /// By an interface; [`IfId::UNKNOWN`] when it is not attached.
    Interface(IfId),
    /// No route.
    None,
}

impl Egress {
    /// The interface id as policies see it.
    #[must_use]
    pub fn interface(self) -> IfId {
        match self {
            Egress::Local => IfId::SELF,
            Egress::Interface(id) => id,
            Egress::None => IfId::UNKNOWN,
        }
    }
}

/// A snapshot of the kernel's routes and the gateway's addresses.
#[derive(Default)]
pub struct Fib {
    routes: PrefixMap<Ipv6Net, Egress>,
    own: Vec<(IfId, Addr)>,
}

impl Fib {
    /// The longest prefix that covers `dst` decides.
    #[must_use]
    pub fn egress(&self, dst: Addr) -> Egress {
        let host = Ipv6Net::from(Ipv6Addr::from(dst.octets()));
        self.routes.get_lpm(&host).map_or(Egress::None, |(_, egress)| *egress)
    }

    /// The address from which the gateway speaks to hosts behind an interface: one of that
    /// interface, else any other of the family.
    #[must_use]
    pub fn own_address(&self, interface: IfId, af: Af) -> Option<Addr> {
        let of_family = |addr: &Addr| addr.is_v4() == (af == Af::V4);
        let mut candidates = self.own.iter().filter(|(_, addr)| of_family(addr));
        let any = candidates.clone().next();
        candidates.find(|(id, _)| *id == interface).or(any).map(|(_, addr)| *addr)
    }

    /// How many routes the snapshot holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether the snapshot holds no route at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.len() == 0
    }
}

/// Collects routes into a [`Fib`].
#[derive(Default)]
pub struct FibBuilder(Fib);

impl FibBuilder {
    /// Adds an address of the gateway, on an interface.
    pub fn own(&mut self, interface: IfId, addr: Addr) -> &mut FibBuilder {
        if !addr.is_link_local() && !addr.to_ip().is_loopback() {
            self.0.own.push((interface, addr));
        }
        self.0.routes.insert(Ipv6Net::from(Ipv6Addr::from(addr.octets())), Egress::Local);
        self
    }

    /// Adds a route; of several with one prefix the first added wins, so add the best first.
    pub fn route(&mut self, prefix: Addr, len: u8, egress: Egress) -> &mut FibBuilder {
        let len = if prefix.is_v4() { V4_MAPPED_BITS.saturating_add(len) } else { len };
        if let Ok(net) = Ipv6Net::new(Ipv6Addr::from(prefix.octets()), len) {
            let net = net.trunc();
            if self.0.routes.get(&net).is_none() {
                self.0.routes.insert(net, egress);
            }
        }
        self
    }

    /// Adds a default route of one family.
    pub fn default_route(&mut self, af: Af, egress: Egress) -> &mut FibBuilder {
        match af {
            Af::V4 => self.route(Addr::from(Ipv4Addr::UNSPECIFIED), 0, egress),
            Af::V6 => self.route(Addr::from(Ipv6Addr::UNSPECIFIED), 0, egress),
        }
    }

    /// The finished snapshot.
    #[must_use]
    pub fn build(self) -> Fib {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        Addr::from(text.parse::<std::net::IpAddr>().unwrap())
    }

    fn sample() -> Fib {
        let mut fib = FibBuilder::default();
        fib.own(IfId(1), addr("10.0.1.1"))
            .own(IfId(2), addr("10.0.2.1"))
            .own(IfId(2), addr("fd00:2::1"))
            .route(addr("10.0.1.0"), 24, Egress::Interface(IfId(1)))
            .route(addr("fd00:2::"), 64, Egress::Interface(IfId(2)))
            .default_route(Af::V4, Egress::Interface(IfId(2)))
            .default_route(Af::V4, Egress::Interface(IfId(9)));
        fib.build()
    }

    #[test]
    fn the_longest_prefix_decides_and_own_addresses_are_local() {
        let fib = sample();
        assert_eq!(fib.egress(addr("10.0.1.7")), Egress::Interface(IfId(1)));
        assert_eq!(fib.egress(addr("10.0.1.1")), Egress::Local);
        assert_eq!(fib.egress(addr("192.0.2.1")), Egress::Interface(IfId(2)));
        assert_eq!(fib.egress(addr("fd00:2::9")), Egress::Interface(IfId(2)));
    }

    #[test]
    fn an_ipv4_default_route_does_not_catch_ipv6() {
        assert_eq!(sample().egress(addr("2001:db8::1")), Egress::None);
    }

    #[test]
    fn the_gateway_speaks_from_the_address_next_to_the_host() {
        let fib = sample();
        assert_eq!(fib.own_address(IfId(2), Af::V4), Some(addr("10.0.2.1")));
        assert_eq!(fib.own_address(IfId(1), Af::V6), Some(addr("fd00:2::1")));
    }
}
