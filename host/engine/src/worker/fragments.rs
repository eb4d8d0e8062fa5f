//! Fragments are put together before anything else looks at them, as pf does.

use std::sync::{Arc, PoisonError};

use evergate_wire::fragment::{Datagram, Reassembly, refragment_v6};
use evergate_wire::{Af, DropReason, Parsed, VnetHdr};

use super::{Fate, Now, Packet, Worker};
use crate::replies::framed;

impl Worker {
    pub(super) fn fragment(&mut self, now: Now, bytes: &[u8], parsed: &Parsed) -> Fate {
        self.counters.fragments.add(1);
        let gateway = Arc::clone(&self.gateway);
        let pushed = gateway
            .reassembler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(now.at, bytes, parsed);
        match pushed {
            Reassembly::Pending => Fate::Held,
            Reassembly::Drop(reason) => Fate::Drop(reason),
            Reassembly::Complete(datagram) => self.datagram(now, datagram),
        }
    }

    /// A datagram put together: decided as a whole; sent on whole where the kernel will cut it
    /// (IPv4), or cut as it came (IPv6, whose routers must not).
    fn datagram(&mut self, now: Now, mut datagram: Datagram) -> Fate {
        self.counters.reassembled.add(1);
        let parsed = match evergate_wire::parse(&datagram.packet) {
            Ok(parsed) if parsed.fragment.is_none() => parsed,
            Ok(_) => return Fate::Drop(DropReason::Fragment),
            Err(reason) => return Fate::Drop(reason),
        };
        let fate = self.packet(
            now,
            &mut Packet {
                bytes: &mut datagram.packet,
                parsed,
                vnet: VnetHdr::NONE,
                reassembled: true,
            },
        );
        if !matches!(fate, Fate::Pass) {
            return fate;
        }
        match parsed.af {
            Af::V4 => self.emitted.push(framed(&datagram.packet)),
            Af::V6 => {
                let size = datagram.largest_fragment;
                match refragment_v6(&datagram.packet, &parsed, datagram.id, size) {
                    Ok(parts) => self.emitted.extend(parts.iter().map(|part| framed(part))),
                    Err(reason) => return Fate::Drop(reason),
                }
            }
        }
        Fate::Reassembled
    }
}
