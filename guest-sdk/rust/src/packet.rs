//! The packet as the gateway describes it.

use core::net::{IpAddr, Ipv6Addr};

use evergate_abi::{Direction, REQUEST_FIELDS, REQUEST_SIZE, flags};

/// IP protocol numbers.
pub mod proto {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMP6: u8 = 58;
}

/// ICMP types and codes (RFC 792, RFC 1812).
pub mod icmp {
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Code of an unreachable error: communication administratively prohibited.
    pub const ADMIN_PROHIBITED: u8 = 13;
}

/// ICMPv6 types and codes (RFC 4443, RFC 4861, RFC 2710, RFC 3810).
pub mod icmp6 {
    /// Code of an unreachable error: communication administratively prohibited.
    pub const ADMIN_PROHIBITED: u8 = 1;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Multicast listener query.
    pub const MLD_QUERY: u8 = 130;
    /// Multicast listener report.
    pub const MLD_REPORT: u8 = 131;
    /// Multicast listener done.
    pub const MLD_DONE: u8 = 132;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Multicast listener report, version 2.
    pub const MLD2_REPORT: u8 = 143;
}

const fn at(name: &str) -> usize {
    let mut index = 0;
    while index < REQUEST_FIELDS.len() {
        if same(REQUEST_FIELDS[index].name.as_bytes(), name.as_bytes()) {
            return REQUEST_FIELDS[index].offset;
        }
        index += 1;
    }
    panic!("no such field")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// One packet, looked at where the gateway wrote its description.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a>(&'a [u8; REQUEST_SIZE]);

impl<'a> Packet<'a> {
    /// Looks at an encoded [`evergate_abi::Request`].
    pub const fn new(request: &'a [u8; REQUEST_SIZE]) -> Self {
        Self(request)
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn octets(&self, at: usize) -> &'a [u8; 16] {
        self.0[at..].first_chunk().expect("invariant: an address ends within the request")
    }

    /// Tells whether it is IPv4.
    pub fn is_v4(&self) -> bool {
        self.0[const { at("af") }] == 4
    }

    /// Returns the IP protocol, see [`proto`].
    pub fn proto(&self) -> u8 {
        self.0[const { at("proto") }]
    }

    /// Tells whether it is TCP.
    pub fn is_tcp(&self) -> bool {
        self.proto() == proto::TCP
    }

    /// Tells whether it is UDP.
    pub fn is_udp(&self) -> bool {
        self.proto() == proto::UDP
    }

    /// Returns where it comes from and goes to, seen from the gateway.
    pub fn direction(&self) -> Direction {
        match self.0[const { at("direction") }] {
            1 => Direction::ToGateway,
            2 => Direction::FromGateway,
            _ => Direction::Forwarded,
        }
    }

    /// Returns the TCP flags as on the wire; 0 if it is not TCP.
    pub fn tcp_flags(&self) -> u8 {
        self.0[const { at("tcp_flags") }]
    }

    /// Returns type and code if it is ICMP.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        (self.proto() == proto::ICMP).then(|| self.type_and_code())
    }

    /// Returns type and code if it is ICMPv6.
    pub fn icmp6(&self) -> Option<(u8, u8)> {
        (self.proto() == proto::ICMP6).then(|| self.type_and_code())
    }

    fn type_and_code(&self) -> (u8, u8) {
        (self.0[const { at("icmp_type") }], self.0[const { at("icmp_code") }])
    }

    /// Returns the source address; IPv4 as `::ffff:a.b.c.d`.
    pub fn src_octets(&self) -> &'a [u8; 16] {
        self.octets(const { at("src") })
    }

    /// Returns the destination address; IPv4 as `::ffff:a.b.c.d`.
    pub fn dst_octets(&self) -> &'a [u8; 16] {
        self.octets(const { at("dst") })
    }

    /// Returns the source address.
    pub fn src(&self) -> IpAddr {
        Ipv6Addr::from_octets(*self.src_octets()).to_canonical()
    }

    /// Returns the destination address.
    pub fn dst(&self) -> IpAddr {
        Ipv6Addr::from_octets(*self.dst_octets()).to_canonical()
    }

    /// Returns the source port; 0 where there is none.
    pub fn sport(&self) -> u16 {
        self.u16(const { at("sport") })
    }

    /// Returns the destination port; 0 where there is none.
    pub fn dport(&self) -> u16 {
        self.u16(const { at("dport") })
    }

    /// Returns the ingress interface's id.
    pub fn in_if(&self) -> u16 {
        self.u16(const { at("in_if") })
    }

    /// Returns the egress interface's id.
    pub fn out_if(&self) -> u16 {
        self.u16(const { at("out_if") })
    }

    /// Returns the bytes of the whole IP packet.
    pub fn length(&self) -> u32 {
        let at = const { at("length") };
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// Returns the IPv4 TTL or IPv6 hop limit, as received.
    pub fn ttl(&self) -> u8 {
        self.0[const { at("ttl") }]
    }

    /// Returns the IPv4 TOS or IPv6 traffic class.
    pub fn tos(&self) -> u8 {
        self.0[const { at("tos") }]
    }

    /// Tells whether it was put together from fragments.
    pub fn is_reassembled(&self) -> bool {
        self.u16(const { at("flags") }) & flags::REASSEMBLED != 0
    }

    /// Tells whether it carries IP options.
    pub fn has_ip_options(&self) -> bool {
        self.u16(const { at("flags") }) & flags::IP_OPTIONS != 0
    }

    /// Tells whether no more payload will be shown; only for [`crate::Inspect`].
    pub fn is_payload_end(&self) -> bool {
        self.u16(const { at("flags") }) & flags::PAYLOAD_END != 0
    }

    /// Returns the tag that an earlier policy of the chain set; 0 is none.
    pub fn tag(&self) -> u16 {
        self.u16(const { at("tag") })
    }

    /// Tells whether it is an echo request of either family.
    pub fn is_echo_request(&self) -> bool {
        self.icmp() == Some((icmp::ECHO_REQUEST, 0))
            || self.icmp6() == Some((icmp6::ECHO_REQUEST, 0))
    }

    /// Tells whether it is one of the link's own ICMPv6 messages to the gateway without which IPv6
    /// does not work: neighbour and router discovery from this link (hop limit 255, RFC 4861 §7.1)
    /// and multicast listener discovery (from a link-local source, hop limit 1, RFC 3810 §5).
    pub fn is_link_housekeeping(&self) -> bool {
        let Some((kind, 0)) = self.icmp6() else {
            return false;
        };
        if self.direction() != Direction::ToGateway {
            return false;
        }
        match kind {
            icmp6::ROUTER_SOLICITATION
            | icmp6::ROUTER_ADVERTISEMENT
            | icmp6::NEIGHBOUR_SOLICITATION
            | icmp6::NEIGHBOUR_ADVERTISEMENT => self.ttl() == 255,
            icmp6::MLD_QUERY | icmp6::MLD_REPORT | icmp6::MLD_DONE | icmp6::MLD2_REPORT => {
                self.ttl() == 1 && self.is_from_link_local()
            }
            _ => false,
        }
    }

    /// Tells whether the source is an IPv6 link-local address.
    pub fn is_from_link_local(&self) -> bool {
        let src = self.src_octets();
        src[0] == 0xfe && src[1] & 0xc0 == 0x80
    }
}
