//! Reassembly of fragments (RFC 791 §3.2, RFC 8200 §4.5, RFC 5722) and the way
//! back for IPv6, whose routers do not fragment.
//!
//! A datagram is identified by source, destination, protocol (IPv4 only) and
//! identification. Where IPv4 fragments overlap, a new one loses to its
//! predecessor and wins over its successors, as in OpenBSD pf; any overlap in
//! IPv6 discards the datagram.
//!
//! Memory is bounded three ways: datagrams, bytes with bookkeeping, and fragments
//! per datagram. When one of the first two is reached, the oldest tenth of the
//! datagrams makes room. pf bounds a datagram to 64 fragments in each of 16
//! buckets because it searches lists; here a search is binary, so one bound for
//! the whole datagram (128 unless said otherwise) replaces them, and is stricter
//! than pf's 1024: it still lets 65535 bytes through a path of 576-byte packets.

mod queue;
mod refragment;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use refragment::refragment_v6;

use self::queue::{Queue, Refusal};
use crate::parse::ip6;
use crate::{Addr, Af, DropReason, FragmentInfo, Parsed, Timestamp};

/// Where the data of a datagram must end.
const MAX_END: usize = 65_535;
/// What a datagram costs beside its fragments: entries of two trees, half full.
const DATAGRAM_COST: usize = 512;
/// The share of datagrams that goes when room is needed: one in this many.
const FLUSH_SHARE: usize = 10;

/// The bounds of a [`Reassembler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// Incomplete datagrams held at once.
    pub datagrams: usize,
    /// Bytes held at once, bookkeeping included.
    pub bytes: usize,
    /// Fragments of one datagram; one more discards it.
    pub per_datagram_fragments: usize,
    /// How long a datagram may stay incomplete, from its first fragment on.
    pub timeout: Duration,
}

impl Default for FragmentLimits {
    /// 1024 datagrams, 4 MiB, 128 fragments each, 60 s (RFC 8200 §4.5).
    fn default() -> Self {
        Self {
            datagrams: 1024,
            bytes: 4 << 20,
            per_datagram_fragments: 128,
            timeout: Duration::from_secs(60),
        }
    }
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reassembly {
    /// It is held until the others arrive.
    Pending,
    /// It completed its datagram.
    Complete(Datagram),
    /// It was dropped.
    Drop(DropReason),
}

/// A reassembled datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The whole packet, as if it had never been fragmented.
    pub packet: Vec<u8>,
    /// Bytes of the largest fragment, a whole IP packet.
    pub largest_fragment: u16,
    /// The identification its fragments had.
    pub id: u32,
}

/// Holds the fragments of incomplete datagrams.
#[derive(Debug)]
pub struct Reassembler {
    limits: FragmentLimits,
    datagrams: BTreeMap<Key, Incomplete>,
    /// Datagrams in the order in which their first fragments came.
    ages: BTreeMap<u64, Key>,
    next_serial: u64,
    bytes: usize,
    flushed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    src: Addr,
    dst: Addr,
    id: u32,
    proto: u8,
}

#[derive(Debug)]
struct Incomplete {
    created: Timestamp,
    serial: u64,
    queue: Queue,
}

impl Incomplete {
    fn cost(&self) -> usize {
        DATAGRAM_COST + self.queue.cost()
    }
}

impl Reassembler {
    /// Makes an empty one.
    pub fn new(limits: FragmentLimits) -> Self {
        Self {
            limits,
            datagrams: BTreeMap::new(),
            ages: BTreeMap::new(),
            next_serial: 0,
            bytes: 0,
            flushed: 0,
        }
    }

    /// Takes one fragment; `parsed` must be of this packet. A datagram whose time
    /// is over takes no more fragments, even if [`expire`](Self::expire) was not
    /// called since.
    ///
    /// Drops with reason `fragment`: what is no fragment; empty ones; a length
    /// that is no multiple of 8 where more follow; an end beyond 65535; DF set;
    /// duplicates; overlaps that lose; contradictions about where the datagram
    /// ends; more fragments than the limit. With reason `memory`: what would not
    /// fit even if nothing else were held.
    pub fn push(&mut self, now: Timestamp, packet: &[u8], parsed: &Parsed) -> Reassembly {
        let Some(fragment) = parsed.fragment else {
            return Reassembly::Drop(DropReason::Fragment);
        };
        let Some(packet) = packet.get(..parsed.total_len as usize) else {
            return Reassembly::Drop(DropReason::Short);
        };
        let Some(data) = packet.get(usize::from(parsed.l4_offset)..) else {
            return Reassembly::Drop(DropReason::Short);
        };
        if !is_acceptable(&fragment, data.len()) {
            return Reassembly::Drop(DropReason::Fragment);
        }
        let key = key_of(parsed, &fragment);
        if self.datagrams.get(&key).is_some_and(|held| self.is_over(now, held)) {
            self.remove(&key);
        }
        let cost = DATAGRAM_COST + Queue::cost_of(packet.len());
        if !self.make_room(&key, cost) {
            return Reassembly::Drop(DropReason::Memory);
        }
        self.insert(now, key, packet, data, parsed, &fragment)
    }

    fn insert(
        &mut self,
        now: Timestamp,
        key: Key,
        packet: &[u8],
        data: &[u8],
        parsed: &Parsed,
        fragment: &FragmentInfo,
    ) -> Reassembly {
        let limit = self.limits.per_datagram_fragments;
        let held = self.datagrams.entry(key).or_insert_with(|| {
            let serial = self.next_serial;
            self.next_serial += 1;
            self.ages.insert(serial, key);
            self.bytes += DATAGRAM_COST;
            Incomplete { created: now, serial, queue: Queue::new(parsed.af) }
        });
        let before = held.cost();
        let result = held.queue.insert(packet, data, fragment, limit);
        self.bytes = self.bytes + held.cost() - before;
        match result {
            Ok(()) if held.queue.is_complete() => {}
            Ok(()) => return Reassembly::Pending,
            Err(Refusal::Fragment) => {
                if held.queue.is_empty() {
                    self.remove(&key);
                }
                return Reassembly::Drop(DropReason::Fragment);
            }
            Err(Refusal::Datagram) => {
                self.remove(&key);
                return Reassembly::Drop(DropReason::Fragment);
            }
        }
        let assembled = self.remove(&key).and_then(|held| held.queue.assemble());
        match assembled {
            Some((packet, largest_fragment)) if !is_fragment_again(&packet) => {
                Reassembly::Complete(Datagram { packet, largest_fragment, id: fragment.id })
            }
            Some(_) | None => Reassembly::Drop(DropReason::Fragment),
        }
    }

    /// Drops the datagrams that are incomplete for longer than the timeout; says
    /// how many.
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        let mut dropped = 0;
        while let Some((_, key)) = self.ages.first_key_value() {
            let key = *key;
            if self.datagrams.get(&key).is_some_and(|held| !self.is_over(now, held)) {
                break;
            }
            self.remove(&key);
            dropped += 1;
        }
        dropped
    }

    /// How many incomplete datagrams are held.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Bytes held, bookkeeping included; never more than the limit.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many datagrams were dropped so far to make room for others.
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    fn is_over(&self, now: Timestamp, held: &Incomplete) -> bool {
        now.since(held.created) >= self.limits.timeout
    }

    /// Flushes until `cost` more bytes fit and `key` may be held; false if they
    /// cannot.
    fn make_room(&mut self, key: &Key, cost: usize) -> bool {
        if cost > self.limits.bytes || self.limits.datagrams == 0 {
            return false;
        }
        while self.bytes + cost > self.limits.bytes
            || (self.len() >= self.limits.datagrams && !self.datagrams.contains_key(key))
        {
            self.flush();
        }
        true
    }

    fn flush(&mut self) {
        for _ in 0..self.len().div_ceil(FLUSH_SHARE) {
            let Some((_, key)) = self.ages.first_key_value() else {
                return;
            };
            let key = *key;
            self.remove(&key);
            self.flushed += 1;
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Incomplete> {
        let held = self.datagrams.remove(key)?;
        self.ages.remove(&held.serial);
        self.bytes -= held.cost();
        Some(held)
    }
}

fn key_of(parsed: &Parsed, fragment: &FragmentInfo) -> Key {
    let proto = match parsed.af {
        Af::V4 => fragment.next_header,
        Af::V6 => 0,
    };
    Key { src: parsed.src, dst: parsed.dst, id: fragment.id, proto }
}

fn is_acceptable(fragment: &FragmentInfo, len: usize) -> bool {
    len > 0
        && !fragment.dont_fragment
        && (!fragment.more || len.is_multiple_of(8))
        && usize::from(fragment.offset) + len <= MAX_END
}

/// Whether a reassembled IPv6 packet has a second fragment header, which would
/// have been refused had it been seen with the first.
fn is_fragment_again(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 6)
        && match ip6::chain(packet) {
            Ok(chain) => chain.has_fragment_header,
            Err(reason) => reason == DropReason::Fragment,
        }
}
