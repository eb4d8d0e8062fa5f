use evergate_wire::{Addr, Af};
use proptest::prelude::*;

use super::*;

const START: u32 = u32::MAX - 20;

fn inspection() -> Inspection {
    Inspection::new(Side::Lo, Request::default(), (0, 64, 0), START)
}

fn at(offset: i64) -> u32 {
    START.wrapping_add(offset as u32)
}

fn id(n: u64) -> StateId {
    StateId { id: n, creator: 1 }
}

fn key(port: u16) -> StateKey {
    let addr = Addr::from(std::net::IpAddr::from([10, 0, 0, 1]));
    StateKey { addr: [addr; 2], port: [port, 80], proto: 6, af: Af::V4 }
}

#[test]
fn data_is_collected_in_order_and_once() {
    let mut it = inspection();
    assert_eq!(it.add(at(0), b"abc", false), Added::Some { end: false });
    assert_eq!(it.add(at(0), b"abc", false), Added::Nothing, "a retransmission");
    assert_eq!(it.add(at(5), b"fg", false), Added::Gap);
    assert_eq!(it.add(at(1), b"bcde", false), Added::Some { end: false }, "one that overlaps");
    assert_eq!(it.add(at(3), b"dX", false), Added::Differs);
    assert_eq!(it.add(at(-1), b"\0", false), Added::Nothing, "a keep-alive with a byte");
    assert_eq!(it.add(at(-1), b"\0abcdef", false), Added::Some { end: false });
    assert_eq!(it.collected(), b"abcdef");
    assert_eq!(it.next(), at(6));
}

#[test]
fn the_stream_ends_with_its_fin_and_with_the_bound() {
    let mut it = inspection();
    assert_eq!(it.add(at(0), b"", false), Added::Nothing);
    assert_eq!(it.add(at(3), b"", true), Added::Gap, "a FIN behind a gap");
    assert_eq!(it.add(at(0), b"abc", true), Added::Some { end: true });
    assert_eq!(it.add(at(3), b"", true), Added::Some { end: true }, "the FIN alone");
    let mut it = inspection();
    assert_eq!(it.add(at(0), &[7; 60_000], false), Added::Some { end: true });
    assert_eq!(it.collected().len(), usize::from(INSPECT_MAX));
    assert_eq!(it.add(at(60_000), b"x", false), Added::Gap);
}

#[test]
fn the_number_is_bounded_and_entries_belong_to_their_state() {
    let all = Inspections::new(1, 2);
    assert_eq!(all.begin(key(1), id(1), inspection()), Ok(()));
    assert_eq!(all.begin(key(1), id(1), inspection()), Ok(()), "it has begun already");
    assert_eq!(all.begin(key(2), id(2), inspection()), Ok(()));
    assert_eq!(all.begin(key(3), id(3), inspection()), Err(Full));
    all.forget(&key(1), id(9));
    assert!(all.find(&key(1)).is_some(), "another state's");
    all.forget(&key(1), id(1));
    assert!(all.find(&key(1)).is_none());
    assert_eq!(all.begin(key(3), id(3), inspection()), Ok(()));
}

proptest! {
    /// Whatever order segments come in and how they overlap: what is collected is a prefix of
    /// the stream, and all of it once every segment has come often enough.
    #[test]
    fn any_order_gives_a_prefix_of_the_stream(
        stream in prop::collection::vec(any::<u8>(), 1..300),
        cuts in prop::collection::vec((0usize..300, 1usize..80), 1..60),
    ) {
        let mut it = inspection();
        for (from, len) in cuts {
            let from = from.min(stream.len());
            let data = &stream[from..(from + len).min(stream.len())];
            let fin = from + data.len() == stream.len();
            let before = it.collected().len();
            match it.add(at(from as i64), data, fin) {
                Added::Differs => prop_assert!(false, "the stream is one"),
                Added::Gap => prop_assert!(from > before),
                Added::Nothing => prop_assert_eq!(it.collected().len(), before),
                Added::Some { end } => prop_assert_eq!(end, it.collected().len() == stream.len()),
            }
            prop_assert!(stream.starts_with(it.collected()));
        }
        while it.collected().len() < stream.len() {
            let from = it.collected().len();
            it.add(at(from as i64), &stream[from..], true);
        }
        prop_assert_eq!(it.collected(), stream.as_slice());
    }

    #[test]
    fn no_segment_harms(segments in prop::collection::vec((any::<u32>(), 0usize..70_000, any::<bool>()), 0..20)) {
        let mut it = inspection();
        let data = vec![0; 70_000];
        for (seq, len, fin) in segments {
            it.add(seq, &data[..len], fin);
            prop_assert!(it.collected().len() <= usize::from(INSPECT_MAX));
        }
    }
}
