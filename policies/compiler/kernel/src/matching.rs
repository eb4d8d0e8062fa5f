//! Whether a rule matches: the checks that its leaf left open.

use crate::layout::*;
use crate::{Facts, Host};

/// What changes while one packet is decided.
pub(crate) struct Moment<'a, H> {
    pub(crate) image: &'a [u32],
    pub(crate) facts: &'a Facts,
    pub(crate) host: &'a mut H,
    /// The packet's tag by now.
    pub(crate) tag: u32,
    /// The rules' own number of the interface the packet came in on.
    pub(crate) received: u32,
    /// The interface of this evaluation.
    pub(crate) interface: u32,
    /// Gates that are open.
    pub(crate) gates: [u32; GATES_MAX / 32],
    /// Index plus 1 of the last rule that matched.
    pub(crate) matched: u32,
    /// Tables that were looked up, and what was found: sources, then destinations.
    known: [u32; 8],
    found: [u32; 8],
    /// Random bits, drawn once a packet; 0 before.
    random: u64,
}

impl<'a, H: Host> Moment<'a, H> {
    pub(crate) fn new(image: &'a [u32], facts: &'a Facts, host: &'a mut H) -> Self {
        Self {
            image,
            facts,
            host,
            tag: u32::from(facts.tag),
            received: 0,
            interface: 0,
            gates: [0; GATES_MAX / 32],
            matched: 0,
            known: [0; 8],
            found: [0; 8],
            random: 0,
        }
    }

    /// Whether the rule at `rule` passes these checks.
    #[inline]
    pub(crate) fn matches(&mut self, rule: usize, checks: u32) -> bool {
        let (image, facts) = (self.image, self.facts);
        if checks & CHECK_PROTO != 0 && image[rule + R_NUMBER] & 0xff != u32::from(facts.proto) {
            return false;
        }
        if checks & CHECK_DPORT != 0 && !between(image[rule + R_DPORT], facts.dport) {
            return false;
        }
        if checks & CHECK_SPORT != 0 && !between(image[rule + R_SPORT], facts.sport) {
            return false;
        }
        if checks & CHECK_SRC != 0 && !self.in_range(image[rule + R_SRC], &facts.src) {
            return false;
        }
        if checks & CHECK_DST != 0 && !self.in_range(image[rule + R_DST], &facts.dst) {
            return false;
        }
        checks & CHECK_PREDICATES == 0 || self.predicates(rule)
    }

    fn predicates(&mut self, rule: usize) -> bool {
        let image = self.image;
        let count = (image[rule + R_NUMBER] >> 8 & 0xff) as usize;
        let first = image[H_PREDICATES] as usize + image[rule + R_PREDICATES] as usize;
        for index in 0..count {
            let at = first + index * PREDICATE_WORDS;
            let (head, value) = (image[at], image[at + 1]);
            if self.predicate(head & 0xff, head >> 16, value) == (head & PREDICATE_NOT != 0) {
                return false;
            }
        }
        true
    }

    fn predicate(&mut self, kind: u32, argument: u32, value: u32) -> bool {
        let facts = self.facts;
        match kind {
            P_TABLE_SRC => self.in_table(argument as usize, true),
            P_TABLE_DST => self.in_table(argument as usize, false),
            P_RANGE_SRC => self.in_range(value, &facts.src),
            P_RANGE_DST => self.in_range(value, &facts.dst),
            P_SPORT => between(value, facts.sport),
            P_DPORT => between(value, facts.dport),
            P_FLAGS => {
                facts.proto != 6 || u32::from(facts.tcp_flags) & (value >> 8) == value & 0xff
            }
            P_ICMP_TYPE => u32::from(facts.icmp_type) == value,
            P_ICMP_CODE => u32::from(facts.icmp_code) == value,
            P_TOS => u32::from(facts.tos) == value,
            P_TAGGED => {
                let id = self.image[self.image[H_TAGS] as usize + argument as usize];
                self.tag == id
            }
            P_RECEIVED => self.in_mask(value, self.received),
            P_CHANCE => self.chance() < value,
            P_URPF => self.urpf_failed(),
            P_GATE => self.gates[(argument >> 5 & 7) as usize] & (1 << (argument & 31)) != 0,
            P_SINCE => self.matched > value,
            _ => false,
        }
    }

    fn in_mask(&self, at: u32, interface: u32) -> bool {
        let word = self.image[H_PREDICATES] + at + (interface >> 5 & 1);
        self.image[word as usize] & (1 << (interface & 31)) != 0
    }

    #[inline]
    fn in_range(&self, range: u32, address: &[u32; 4]) -> bool {
        let image = self.image;
        if self.facts.v6 {
            let at = image[H_RANGES6] as usize + range as usize * 8;
            !less(address, &image[at..at + 4]) && !less_words(&image[at + 4..at + 8], address)
        } else {
            let at = image[H_RANGES4] as usize + range as usize * 2;
            address[3] >= image[at] && address[3] <= image[at + 1]
        }
    }

    fn in_table(&mut self, table: usize, source: bool) -> bool {
        let word = (table >> 5 & 3) | if source { 0 } else { 4 };
        let bit = 1 << (table & 31);
        if self.known[word] & bit == 0 {
            self.known[word] |= bit;
            let handle = self.image[self.image[H_TABLES] as usize + table];
            if self.host.table(handle, source) {
                self.found[word] |= bit;
            }
        }
        self.found[word] & bit != 0
    }

    fn urpf_failed(&mut self) -> bool {
        let table = self.image[self.image[H_ROUTES] as usize + self.interface as usize];
        // IPv6 link-local sources have no route to speak of (OpenBSD pf_routable).
        let link_local = self.facts.v6 && self.facts.src[0] >> 22 == 0xfe80 >> 6;
        table != 0 && !link_local && !self.in_table(table as usize - 1, true)
    }

    /// One draw of 32 bits per rule: a step of xorshift64 from the packet's seed.
    fn chance(&mut self) -> u32 {
        if self.random == 0 {
            self.random = self.host.random() | 1;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32
    }
}

/// Whether a port is between the two of a word.
#[inline]
fn between(word: u32, port: u16) -> bool {
    let port = u32::from(port);
    port >= word & 0xffff && port <= word >> 16
}

/// Whether an address is below the one in these words.
#[inline]
pub(crate) fn less(address: &[u32; 4], words: &[u32]) -> bool {
    for (a, w) in address.iter().zip(words) {
        if a != w {
            return a < w;
        }
    }
    false
}

#[inline]
fn less_words(words: &[u32], address: &[u32; 4]) -> bool {
    for (w, a) in words.iter().zip(address) {
        if a != w {
            return w < a;
        }
    }
    false
}

/// Whether an address is above the last of an IPv6 range.
#[inline]
pub(crate) fn above(image: &[u32], range: u32, address: &[u32; 4]) -> bool {
    let at = image[H_RANGES6] as usize + range as usize * 8 + 4;
    less_words(&image[at..at + 4], address)
}
