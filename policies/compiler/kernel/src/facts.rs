//! What is known of the packet: the request of ABI version 1, read once.

/// Size in bytes of a request.
pub const REQUEST_SIZE: usize = 64;

/// A request taken apart.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Whether it is IPv6.
    pub v6: bool,
    /// IP protocol.
    pub proto: u8,
    /// 0 forwarded, 1 to the gateway, 2 from the gateway.
    pub direction: u8,
    /// TCP flags.
    pub tcp_flags: u8,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// Source address, most significant word first.
    pub src: [u32; 4],
    /// Destination address, likewise.
    pub dst: [u32; 4],
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Ingress interface id.
    pub in_if: u16,
    /// Egress interface id.
    pub out_if: u16,
    /// TOS or traffic class.
    pub tos: u8,
    /// Tag the packet has already.
    pub tag: u16,
}

impl Facts {
    /// Reads an encoded request.
    #[inline]
    pub fn read(request: &[u8; REQUEST_SIZE]) -> Self {
        let half = |at: usize| u16::from_le_bytes([request[at], request[at + 1]]);
        let word = |at: usize| {
            u32::from_be_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]])
        };
        Self {
            v6: request[2] == 6,
            proto: request[3],
            direction: request[4],
            tcp_flags: request[5],
            icmp_type: request[6],
            icmp_code: request[7],
            src: [word(8), word(12), word(16), word(20)],
            dst: [word(24), word(28), word(32), word(36)],
            sport: half(40),
            dport: half(42),
            in_if: half(44),
            out_if: half(46),
            tos: request[53],
            tag: half(56),
        }
    }
}
