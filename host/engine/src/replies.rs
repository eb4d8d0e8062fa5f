//! Frames that the gateway itself makes, and the bound on how many.

use evergate_wire::{Timestamp, VNET_HDR_LEN, VnetHdr};

/// Replies (RST, ICMP errors, challenge ACKs) one worker sends at most in a second, and at once.
/// A gateway that answers without bound is an amplifier; Linux's `icmp_msgs_per_sec` is 1000 too.
const REPLIES_PER_SECOND: u64 = 1_000;
/// A second in nanoseconds.
const SECOND_NS: u64 = 1_000_000_000;
/// What one reply costs of a second, in nanoseconds.
const REPLY_NS: u64 = SECOND_NS / REPLIES_PER_SECOND;

/// A token bucket that holds at most one second's worth of replies.
pub(crate) struct ReplyLimit {
    /// When the bucket was or will be empty; never more than a second before the last use.
    empty_ns: u64,
}

impl ReplyLimit {
    pub(crate) fn new() -> ReplyLimit {
        ReplyLimit { empty_ns: 0 }
    }

    /// Takes one token; false when there is none.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        let now_ns = now.as_nanos();
        let empty_ns = self.empty_ns.max(now_ns.saturating_sub(SECOND_NS));
        let granted = empty_ns.saturating_add(REPLY_NS) <= now_ns;
        self.empty_ns = if granted { empty_ns + REPLY_NS } else { empty_ns };
        granted
    }
}

/// An IP packet as a frame: behind an empty virtio header.
pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; VNET_HDR_LEN + packet.len()];
    let (header, body) = frame.split_at_mut(VNET_HDR_LEN);
    VnetHdr::NONE.write(header);
    body.copy_from_slice(packet);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_replies_may_go_at_once_and_no_more() {
        let mut limit = ReplyLimit::new();
        let now = Timestamp::from_nanos(5_000_000_000);
        let sent = (0..5_000).filter(|_| limit.take(now)).count();
        assert_eq!(sent as u64, REPLIES_PER_SECOND);
        assert!(!limit.take(now));
        assert!(limit.take(Timestamp::from_nanos(now.as_nanos() + REPLY_NS)));
    }
}
