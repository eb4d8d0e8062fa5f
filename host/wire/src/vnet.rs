//! The virtio-net header that a tun device with `IFF_VNET_HDR` puts before each
//! packet: checksum and segmentation offload (virtio 1.2 §5.1.6, legacy form).

/// Bytes of the legacy header, without `num_buffers`.
pub const VNET_HDR_LEN: usize = 10;

/// The header's fields; on the wire of a tun they are in the host's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VnetHdr {
    /// [`VnetHdr::NEEDS_CSUM`], [`VnetHdr::DATA_VALID`].
    pub flags: u8,
    /// [`VnetHdr::GSO_NONE`] and so on, possibly with [`VnetHdr::GSO_ECN`].
    pub gso_type: u8,
    /// Bytes of all headers of a super-packet; a hint.
    pub hdr_len: u16,
    /// Payload bytes per segment of a super-packet.
    pub gso_size: u16,
    /// Where the checksum begins, in bytes from the start of the packet.
    pub csum_start: u16,
    /// Where the checksum is put, in bytes after `csum_start`.
    pub csum_offset: u16,
}

impl VnetHdr {
    /// Flag: the checksum field holds only the pseudo header's sum.
    pub const NEEDS_CSUM: u8 = 1;
    /// Flag: the checksum was verified.
    pub const DATA_VALID: u8 = 2;
    /// Not a super-packet.
    pub const GSO_NONE: u8 = 0;
    /// TCP over IPv4.
    pub const GSO_TCPV4: u8 = 1;
    /// TCP over IPv6.
    pub const GSO_TCPV6: u8 = 4;
    /// UDP datagrams of one size (USO).
    pub const GSO_UDP_L4: u8 = 5;
    /// Bit in `gso_type`: the super-packet has CWR set.
    pub const GSO_ECN: u8 = 0x80;

    /// A plain packet with its checksum complete.
    pub const NONE: Self = Self {
        flags: 0,
        gso_type: Self::GSO_NONE,
        hdr_len: 0,
        gso_size: 0,
        csum_start: 0,
        csum_offset: 0,
    };

    /// Reads the header from the start of `bytes`; `None` if they are too few.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = *bytes.first_chunk::<VNET_HDR_LEN>()?;
        Some(Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        })
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; VNET_HDR_LEN] {
        let [a, b] = self.hdr_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    /// Writes the header to the start of `bytes`. Says whether there was room;
    /// if not, nothing is written.
    pub fn write(&self, bytes: &mut [u8]) -> bool {
        let Some(room) = bytes.first_chunk_mut::<VNET_HDR_LEN>() else {
            return false;
        };
        *room = self.to_bytes();
        true
    }

    /// Whether the transport checksum covers only the pseudo header so far.
    pub const fn has_partial_checksum(&self) -> bool {
        self.flags & Self::NEEDS_CSUM != 0
    }

    /// How many packets of the wire this packet of `total_len` bytes stands for,
    /// when its headers (IP and transport) are `header_len` bytes; at least 1.
    pub fn segments(&self, total_len: usize, header_len: usize) -> u32 {
        if self.gso_type & !Self::GSO_ECN == Self::GSO_NONE || self.gso_size == 0 {
            return 1;
        }
        let payload = total_len.saturating_sub(header_len);
        let segments = payload.div_ceil(usize::from(self.gso_size));
        u32::try_from(segments).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_as_written() {
        let header = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            gso_type: VnetHdr::GSO_TCPV4 | VnetHdr::GSO_ECN,
            hdr_len: 52,
            gso_size: 1448,
            csum_start: 20,
            csum_offset: 16,
        };
        let mut bytes = [0xee; 12];
        assert!(header.write(&mut bytes));
        assert_eq!(bytes[..2], [1, 0x81]);
        assert_eq!(bytes[2..4], 52u16.to_ne_bytes());
        assert_eq!(bytes[8..], [16u16.to_ne_bytes(), [0xee; 2]].concat());
        assert_eq!(VnetHdr::read(&bytes), Some(header));
    }

    #[test]
    fn too_little_room_is_left_alone() {
        let mut bytes = [7; VNET_HDR_LEN - 1];
        assert!(!VnetHdr::NONE.write(&mut bytes));
        assert_eq!(bytes, [7; VNET_HDR_LEN - 1]);
        assert_eq!(VnetHdr::read(&bytes), None);
    }

    #[test]
    fn segments_round_up_and_are_never_none() {
        let gso = VnetHdr { gso_type: VnetHdr::GSO_TCPV6, gso_size: 1000, ..VnetHdr::NONE };
        for (total, header, expected) in
            [(60, 60, 1), (61, 60, 1), (1060, 60, 1), (1061, 60, 2), (65_535, 60, 66), (10, 60, 1)]
        {
            assert_eq!(gso.segments(total, header), expected, "{total}");
        }
        assert_eq!(VnetHdr::NONE.segments(65_535, 40), 1);
        let ecn_only = VnetHdr { gso_type: VnetHdr::GSO_ECN, ..gso };
        assert_eq!(ecn_only.segments(65_535, 40), 1);
        assert_eq!(VnetHdr { gso_size: 0, ..gso }.segments(65_535, 40), 1);
    }
}
