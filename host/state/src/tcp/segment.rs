//! The numbers of one segment, and how they are compared.

use evergate_wire::{Tcp, TcpFlags};

use super::{Pair, TcpState};

/// How far an acknowledgement may lie from what was sent, in bytes: 65535 and
/// pf's `MAXACKWINDOW` allowance of 1500.
pub(super) const ACK_WINDOW: u32 = 65_535 + 1_500;

/// Whether `a` is `b` or after it, modulo 2^32.
pub(super) const fn at_or_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() >= 0
}

/// The later of two sequence numbers, modulo 2^32.
pub(crate) const fn later(a: u32, b: u32) -> u32 {
    if at_or_after(a, b) { a } else { b }
}

/// One past the last sequence number of the data, a SYN included.
const fn data_end(tcp: &Tcp) -> u32 {
    tcp.seq.wrapping_add(tcp.data_len).wrapping_add(tcp.flags.contains(TcpFlags::SYN) as u32)
}

/// One past the last sequence number that a segment occupies.
pub(super) const fn end(tcp: &Tcp) -> u32 {
    data_end(tcp).wrapping_add(tcp.flags.contains(TcpFlags::FIN) as u32)
}

/// A segment as the windows of its connection see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Its first sequence number; that of an empty segment is replaced by what
    /// its sender has reached, so that only its acknowledgement counts.
    pub(super) seq: u32,
    /// As it was in the header.
    pub(super) original_seq: u32,
    /// Whether it occupies no sequence numbers.
    pub(super) is_empty: bool,
    pub(super) data_end: u32,
    pub(super) end: u32,
    /// What it acknowledges; what the other end has sent if it acknowledges
    /// nothing or cannot be judged.
    pub(super) ack: u32,
    pub(super) acks: bool,
    pub(super) flags: TcpFlags,
    /// The advertised window as in a header that is scaled.
    pub(super) scaled_window: u16,
    /// The advertised window in bytes.
    pub(super) window: u32,
}

impl Segment {
    pub(super) fn new(tcp: &Tcp, pair: &Pair) -> Self {
        let mut segment = Self {
            seq: tcp.seq,
            original_seq: tcp.seq,
            is_empty: tcp.seq == end(tcp),
            data_end: data_end(tcp),
            end: end(tcp),
            ack: tcp.ack,
            acks: tcp.flags.contains(TcpFlags::ACK),
            flags: tcp.flags,
            scaled_window: 0,
            window: 0,
        };
        (segment.scaled_window, segment.window) = windows(tcp, pair);
        if !segment.acks || ack_is_void(tcp) || pair.dst.state < TcpState::SynSent {
            segment.ack = pair.dst.seqlo;
        }
        if segment.is_empty {
            segment.seq = pair.src.seqlo;
            segment.data_end = pair.src.seqlo;
            segment.end = pair.src.seqlo;
        }
        segment
    }

    /// How far behind what the other end has sent the acknowledgement is;
    /// negative if it is ahead.
    pub(super) const fn ack_skew(&self, pair: &Pair) -> i64 {
        pair.dst.seqlo.wrapping_sub(self.ack).cast_signed() as i64
    }
}

/// Many stacks reset with an acknowledgement of 0 where they have none.
const fn ack_is_void(tcp: &Tcp) -> bool {
    tcp.ack == 0 && tcp.flags.contains(TcpFlags::RST.union(TcpFlags::ACK))
}

/// The window of a segment in units of its sender's scale, and in bytes. The
/// window of a SYN is never scaled (RFC 7323 §2.2); what it is worth in scaled
/// units is rounded up.
fn windows(tcp: &Tcp, pair: &Pair) -> (u16, u32) {
    if !tcp.flags.contains(TcpFlags::SYN) {
        return (tcp.window, u32::from(tcp.window) << pair.src.shift(&pair.dst));
    }
    (unscaled_to_scaled(tcp.window, pair.src.wscale.known()), u32::from(tcp.window))
}

/// Divides by the scale, rounding up.
pub(super) fn unscaled_to_scaled(window: u16, shift: Option<u8>) -> u16 {
    window.div_ceil(1 << shift.unwrap_or(0))
}
