//! What the numbers in a record's options name.
//!
//! Numbers mean something at one node only. In each ordered lane a number is
//! defined before the first record that uses it, and defined again once it means
//! something else; so names cost nothing per record.

use std::time::Duration;

use evergate_state::{StateOptions, Timeout, TimeoutSet, Timeouts};

use crate::hash::{Map, map};
use crate::message::{Define, Message};
use crate::record::{Meaning, Name, NameKind};

/// How many names one lane may define.
pub(crate) const NAMES_MAX: usize = 8192;

/// The names of this node's numbers.
#[derive(Debug)]
pub(crate) struct OwnNames(Map<(NameKind, u16), Name>);

impl OwnNames {
    pub(crate) fn new(seed: u64) -> Self {
        Self(map(seed))
    }

    /// Sets or drops a name; `false` if nothing has changed.
    pub(crate) fn set(&mut self, kind: NameKind, number: u16, name: Option<Name>) -> bool {
        match name {
            Some(name) => self.0.insert((kind, number), name.clone()) != Some(name),
            None => self.0.remove(&(kind, number)).is_some(),
        }
    }
}

/// Which numbers one lane has defined.
#[derive(Debug, Default)]
pub(crate) struct Defined {
    bits: [Vec<u64>; NameKind::ALL.len()],
    count: usize,
}

impl Defined {
    fn has(&self, kind: NameKind, number: u16) -> bool {
        let word = self.bits[kind as usize].get(usize::from(number / 64));
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    fn add(&mut self, kind: NameKind, number: u16) {
        let bits = &mut self.bits[kind as usize];
        let index = usize::from(number / 64);
        if bits.len() <= index {
            bits.resize(index + 1, 0);
        }
        bits[index] |= 1 << (number % 64);
        self.count += 1;
    }

    /// The number is to be defined again before it is used.
    pub(crate) fn drop(&mut self, kind: NameKind, number: u16) {
        if self.has(kind, number) {
            self.bits[kind as usize][usize::from(number / 64)] &= !(1 << (number % 64));
            self.count -= 1;
        }
    }

    /// Appends the definitions that a record with these options needs; numbers
    /// that have no name, or one too many, become 0.
    pub(crate) fn define(&mut self, own: &OwnNames, options: &mut StateOptions, out: &mut Vec<u8>) {
        let StateOptions { timeouts: TimeoutSet(set), policy, label, tag, in_if, out_if, .. } =
            options;
        let numbers = [
            (NameKind::Policy, policy),
            (NameKind::Label, label),
            (NameKind::Tag, tag),
            (NameKind::Interface, in_if),
            (NameKind::Interface, out_if),
            (NameKind::Timeouts, set),
        ];
        for (kind, number) in numbers {
            if self.has(kind, *number) {
                continue;
            }
            match own.0.get(&(kind, *number)) {
                Some(name) if self.count < NAMES_MAX => {
                    self.add(kind, *number);
                    let define = Define { kind, number: *number, name: name.clone() };
                    Message::Define(define).write(out);
                }
                Some(_) | None => *number = 0,
            }
        }
    }
}

/// What a peer's numbers name in one lane.
#[derive(Debug)]
pub(crate) struct PeerNames(Map<(NameKind, u16), Name>);

impl PeerNames {
    pub(crate) fn new(seed: u64) -> Self {
        Self(map(seed))
    }

    /// `false` if it is one too many.
    pub(crate) fn define(&mut self, define: Define) -> bool {
        let at = (define.kind, define.number);
        let fits = self.0.len() < NAMES_MAX || self.0.contains_key(&at);
        if fits {
            self.0.insert(at, define.name);
        }
        fits
    }

    /// Takes the numbers out of the options and says what they name.
    pub(crate) fn resolve(&self, options: &mut StateOptions) -> Meaning {
        let take = |kind, number: &mut u16| self.0.get(&(kind, std::mem::take(number))).cloned();
        Meaning {
            policy: take(NameKind::Policy, &mut options.policy),
            label: take(NameKind::Label, &mut options.label),
            tag: take(NameKind::Tag, &mut options.tag),
            in_if: take(NameKind::Interface, &mut options.in_if),
            out_if: take(NameKind::Interface, &mut options.out_if),
            timeouts: take(NameKind::Timeouts, &mut options.timeouts.0),
        }
    }
}

/// A set of timeouts as a name: the number of each (1 byte) and its milliseconds
/// (4 bytes).
pub fn timeouts_value(timeouts: &Timeouts) -> Name {
    let values = Timeout::ALL.into_iter().flat_map(|timeout| {
        let millis = u32::try_from(timeouts.of(timeout).as_millis()).unwrap_or(u32::MAX);
        std::iter::once(timeout as u8).chain(millis.to_be_bytes())
    });
    let bytes: Vec<u8> = values.collect();
    Name::new(&bytes).expect("invariant: 5 bytes for each of fewer than 51 timeouts")
}

/// The set of timeouts that a name says, the rest as in `base`; `None` if the name
/// says none. Unknown numbers are passed over.
pub fn read_timeouts(name: &Name, base: &Timeouts) -> Option<Timeouts> {
    let (values, rest) = name.as_bytes().as_chunks::<5>();
    if !rest.is_empty() {
        return None;
    }
    let mut timeouts = base.clone();
    for [number, a, b, c, d] in values {
        if let Some(timeout) = Timeout::ALL.get(usize::from(*number)) {
            let millis = u32::from_be_bytes([*a, *b, *c, *d]);
            timeouts.set(*timeout, Duration::from_millis(millis.into()));
        }
    }
    Some(timeouts)
}

const _: () = assert!(Timeout::COUNT * 5 <= Name::MAX);

#[cfg(test)]
mod tests {
    use evergate_state::Profile;

    use super::*;
    use crate::codec::Reader;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    fn told(defined: &mut Defined, own: &OwnNames, options: StateOptions) -> (Vec<u8>, u16) {
        let (mut out, mut options) = (Vec::new(), options);
        defined.define(own, &mut options, &mut out);
        (out, options.label)
    }

    #[test]
    fn a_number_is_defined_once_and_again_when_its_meaning_changes() {
        let mut own = OwnNames::new(1);
        let mut defined = Defined::default();
        let mut peer = PeerNames::new(1);
        let options = StateOptions { label: 7, ..StateOptions::default() };
        assert!(own.set(NameKind::Label, 7, Some(name("web"))));
        for (expected, changes) in [("web", true), ("web", false), ("mail", true)] {
            if expected == "mail" {
                assert!(own.set(NameKind::Label, 7, Some(name("mail"))));
                defined.drop(NameKind::Label, 7);
            }
            let (bytes, number) = told(&mut defined, &own, options);
            assert_eq!((bytes.is_empty(), number), (!changes, 7));
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() {
                let Ok(Some(Message::Define(define))) = Message::read(&mut reader) else {
                    panic!()
                };
                assert!(peer.define(define));
            }
            let mut received = options;
            let meaning = peer.resolve(&mut received);
            assert_eq!((meaning.label, received.label), (Some(name(expected)), 0));
        }
        assert!(!own.set(NameKind::Label, 7, Some(name("mail"))));
    }

    #[test]
    fn a_number_without_a_name_is_not_sent() {
        let options = StateOptions { label: 7, ..StateOptions::default() };
        let (bytes, label) = told(&mut Defined::default(), &OwnNames::new(1), options);
        assert_eq!((bytes.len(), label), (0, 0));
    }

    #[test]
    fn a_lane_defines_a_bounded_number_of_names() {
        let mut peer = PeerNames::new(1);
        let define = |number| Define { kind: NameKind::Tag, number, name: name("x") };
        for number in 0..NAMES_MAX {
            assert!(peer.define(define(number as u16)));
        }
        assert!(!peer.define(define(NAMES_MAX as u16)));
        assert!(peer.define(define(0)), "an old one may change");
    }

    #[test]
    fn timeouts_travel_by_value() {
        let timeouts = Timeouts::from(Profile::Aggressive);
        let value = timeouts_value(&timeouts);
        assert_eq!(read_timeouts(&value, &Timeouts::default()), Some(timeouts));
        assert_eq!(read_timeouts(&name("abc"), &Timeouts::default()), None);
        let unknown = Name::new(&[200, 0, 0, 0, 1]).unwrap();
        let base = Timeouts::default();
        assert_eq!(read_timeouts(&unknown, &base), Some(base));
    }

    /// Peers of other versions know timeouts by these numbers.
    #[test]
    fn numbers_of_timeouts_are_frozen() {
        let names = Timeout::ALL.map(Timeout::name).join(" ");
        assert_eq!(
            names,
            "tcp.first tcp.opening tcp.established tcp.closing tcp.finwait tcp.closed \
             tcp.tsdiff udp.first udp.single udp.multiple icmp.first icmp.error other.first \
             other.single other.multiple frag interval src.track"
        );
    }
}
