use proptest::prelude::*;

use super::*;
use crate::testing::{golden, hostile_bytes, udp, v4_with_options, v6};
use crate::{checksum, parse};

const T0: Timestamp = Timestamp::from_nanos(1_000_000_000);

/// Every order of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn push(reassembler: &mut Reassembler, packet: &[u8]) -> Reassembly {
    push_at(reassembler, T0, packet)
}

fn push_at(reassembler: &mut Reassembler, now: Timestamp, packet: &[u8]) -> Reassembly {
    let result = reassembler.push(now, packet, &parse(packet).unwrap());
    check(reassembler);
    result
}

fn check(reassembler: &Reassembler) {
    assert!(reassembler.bytes() <= reassembler.limits.bytes);
    assert!(reassembler.len() <= reassembler.limits.datagrams);
    assert_eq!(reassembler.ages.len(), reassembler.len());
    let cost: usize = reassembler.datagrams.values().map(Incomplete::cost).sum();
    assert_eq!(reassembler.bytes(), cost);
    for (key, held) in &reassembler.datagrams {
        assert_eq!(reassembler.ages.get(&held.serial), Some(key));
        assert!(!held.queue.is_empty());
        held.queue.check();
    }
}

fn new() -> Reassembler {
    Reassembler::new(FragmentLimits::default())
}

/// A fragment of UDP over IPv4.
fn piece4(id: u16, offset: usize, data: &[u8], more: bool) -> Vec<u8> {
    piece4_with_options(id, offset, data, more, &[])
}

fn piece4_with_options(id: u16, offset: usize, data: &[u8], more: bool, options: &[u8]) -> Vec<u8> {
    let mut packet = v4_with_options(17, options, data);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    let field = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet
}

/// A fragment of UDP over IPv6.
fn piece6(id: u32, offset: usize, data: &[u8], more: bool) -> Vec<u8> {
    let field = (offset as u16 | u16::from(more)).to_be_bytes();
    let header = [&[17, 0, field[0], field[1]], &id.to_be_bytes()[..]].concat();
    v6(44, &[&header, data].concat())
}

fn piece(af: Af, offset: usize, data: &[u8], more: bool) -> Vec<u8> {
    match af {
        Af::V4 => piece4(1, offset, data, more),
        Af::V6 => piece6(1, offset, data, more),
    }
}

const BAD: Reassembly = Reassembly::Drop(DropReason::Fragment);

#[test]
fn captured_fragments_make_a_datagram_in_any_order() {
    for (name, total, largest, offset) in [
        ("v4-fragment", 20 + 8 + 3500, 1500, 20),
        ("v6-fragment", 40 + 8 + 3500, 1496, 40),
        ("v6-options-fragment", 40 + 16 + 8 + 3000, 1496, 56),
    ] {
        for order in ORDERS {
            let mut reassembler = new();
            let mut last = Reassembly::Pending;
            for index in order {
                assert_eq!(last, Reassembly::Pending);
                last = push(&mut reassembler, &golden(&format!("{name}-{}", index + 1)));
            }
            let Reassembly::Complete(datagram) = last else { panic!("{name}: {last:?}") };
            assert_eq!(datagram.packet.len(), total);
            assert_eq!(datagram.largest_fragment, largest, "{name}");
            let parsed = parse(&datagram.packet).unwrap();
            assert_eq!((parsed.fragment, parsed.l4_offset), (None, offset));
            // The UDP checksum was computed over the whole by the sender.
            assert!(checksum::verify(&datagram.packet, &parsed));
            if parsed.af == Af::V4 {
                assert_eq!(datagram.id, 0x1b6c);
                assert!(checksum::verify_header(&datagram.packet[..20]));
            }
            assert!(reassembler.is_empty());
            assert_eq!(reassembler.bytes(), 0);
        }
    }
}

#[test]
fn the_first_fragment_gives_the_header() {
    let options = [148, 4, 0, 0];
    let mut reassembler = new();
    let mut last = piece4(7, 8, b"the end", false);
    last[8] = 9;
    assert_eq!(push(&mut reassembler, &last), Reassembly::Pending);
    let first = piece4_with_options(7, 0, &[1; 8], true, &options);
    let Reassembly::Complete(datagram) = push(&mut reassembler, &first) else { panic!() };
    let mut expected = v4_with_options(17, &options, &[&[1; 8][..], b"the end"].concat());
    expected[4..6].copy_from_slice(&[0, 7]);
    let check = checksum::checksum(&expected[..24]);
    expected[10..12].copy_from_slice(&check.to_be_bytes());
    assert_eq!(datagram.packet, expected);
    assert_eq!(datagram.largest_fragment, 32);
}

#[test]
fn fragments_that_cannot_be_are_dropped() {
    let mut dont_fragment = piece4(1, 0, &[0; 8], true);
    dont_fragment[6] |= 0x40;
    for (what, packet) in [
        ("no fragment", v4_with_options(17, &[], &udp(b""))),
        ("empty", piece4(1, 8, &[], false)),
        ("empty first", piece4(1, 0, &[], true)),
        ("empty IPv6", piece6(1, 8, &[], false)),
        ("not a multiple of 8", piece4(1, 0, &[0; 9], true)),
        ("not a multiple of 8 in IPv6", piece6(1, 0, &[0; 7], true)),
        ("end beyond 65535", piece4(1, 65_528, &[0; 8], false)),
        ("end beyond 65535 in IPv6", piece6(1, 65_528, &[0; 8], true)),
        ("DF", dont_fragment),
    ] {
        let mut reassembler = new();
        assert_eq!(push(&mut reassembler, &packet), BAD, "{what}");
        assert!(reassembler.is_empty(), "{what}");
    }
    assert_eq!(push(&mut new(), &piece4(1, 65_528, &[0; 7], false)), Reassembly::Pending);
}

#[test]
fn a_datagram_may_not_grow_beyond_what_ip_can_say() {
    // 65535 bytes of data have no room for the IPv4 header, but IPv6 counts
    // without its own.
    for (af, fits) in [(Af::V4, false), (Af::V6, true)] {
        let mut reassembler = new();
        let data = vec![0; 32_768];
        push(&mut reassembler, &piece(af, 0, &data, true));
        let result = push(&mut reassembler, &piece(af, 32_768, &data[1..], false));
        assert_eq!(matches!(result, Reassembly::Complete(_)), fits, "{af:?}");
        assert!(reassembler.is_empty());
    }
}

#[test]
fn exact_duplicates_are_dropped_and_do_no_harm() {
    for af in [Af::V4, Af::V6] {
        let mut reassembler = new();
        let (first, last) = (piece(af, 0, &[1; 16], true), piece(af, 24, &[2; 5], false));
        for packet in [&first, &last] {
            assert_eq!(push(&mut reassembler, packet), Reassembly::Pending);
            assert_eq!(push(&mut reassembler, packet), BAD);
        }
        let result = push(&mut reassembler, &piece(af, 16, &[3; 8], true));
        assert!(matches!(result, Reassembly::Complete(_)), "{af:?}");
    }
}

#[test]
fn any_other_overlap_discards_an_ipv6_datagram() {
    for (what, offset, len) in [
        ("other data", 16, 16),
        ("head", 8, 16),
        ("tail", 24, 16),
        ("inside", 24, 8),
        ("around", 8, 40),
        ("from the same start", 16, 24),
    ] {
        let mut reassembler = new();
        assert_eq!(push(&mut reassembler, &piece6(1, 16, &[1; 16], true)), Reassembly::Pending);
        assert_eq!(push(&mut reassembler, &piece6(1, offset, &vec![2; len], true)), BAD, "{what}");
        assert!(reassembler.is_empty(), "{what}");
    }
}

#[test]
fn an_ipv4_fragment_loses_to_its_predecessor_and_wins_over_successors() {
    let mut reassembler = new();
    push(&mut reassembler, &piece4(1, 0, &[1; 16], true));
    push(&mut reassembler, &piece4(1, 32, &[3; 16], true));
    push(&mut reassembler, &piece4(1, 56, &[3; 8], true));
    // Covered: lost altogether.
    assert_eq!(push(&mut reassembler, &piece4(1, 8, &[9; 8], true)), BAD);
    // Over the end of the first, the start of the second, all of the third.
    assert_eq!(push(&mut reassembler, &piece4(1, 8, &[2; 32], true)), Reassembly::Pending);
    assert_eq!(push(&mut reassembler, &piece4(1, 48, &[4; 24], true)), Reassembly::Pending);
    let result = push(&mut reassembler, &piece4(1, 72, b"5", false));
    let Reassembly::Complete(datagram) = result else { panic!("{result:?}") };
    let expected = [&[1; 16][..], &[2; 24], &[3; 8], &[4; 24], b"5"].concat();
    assert_eq!(datagram.packet[20..], expected);
}

#[test]
fn contradictions_about_the_end_are_refused() {
    for (what, held, contradiction) in [
        ("beyond the last", (16, 8, false), (24, 8, true)),
        ("more at the end", (16, 8, false), (8, 16, true)),
        ("another last, later", (16, 8, false), (24, 8, false)),
        ("another last, earlier", (16, 8, false), (8, 8, false)),
        ("last below what is held", (16, 8, true), (8, 8, false)),
        ("last where more should follow", (16, 8, true), (8, 16, false)),
        ("same but last", (16, 8, true), (16, 8, false)),
        ("same but not last", (16, 8, false), (16, 8, true)),
    ] {
        for (af, left) in [(Af::V4, 1), (Af::V6, 0)] {
            let mut reassembler = new();
            let packet = |(offset, len, more)| piece(af, offset, &vec![7; len], more);
            assert_eq!(push(&mut reassembler, &packet(held)), Reassembly::Pending);
            assert_eq!(push(&mut reassembler, &packet(contradiction)), BAD, "{what}");
            assert_eq!(reassembler.len(), left, "{what}");
        }
    }
}

#[test]
fn a_second_fragment_header_is_refused() {
    let inner = [&[17, 0, 0, 1, 0, 0, 0, 2][..], &udp(b"data")].concat();
    let whole = [&[17, 0, 0, 0, 0, 0, 0, 2][..], &udp(b"data")].concat();
    for hidden in [inner, whole] {
        let mut reassembler = new();
        let mut first = piece6(1, 0, &hidden[..8], true);
        first[40] = 44;
        assert_eq!(push(&mut reassembler, &first), Reassembly::Pending);
        assert_eq!(push(&mut reassembler, &piece6(1, 8, &hidden[8..], false)), BAD);
        assert!(reassembler.is_empty());
    }
}

#[test]
fn datagrams_are_told_apart() {
    let mut reassembler = new();
    let base = piece4(1, 0, &[0; 8], true);
    let mut variants = vec![base.clone(), piece4(2, 0, &[0; 8], true), piece6(1, 0, &[0; 8], true)];
    for at in [9, 15, 19] {
        let mut other = base.clone();
        other[at] ^= 0x80;
        variants.push(other);
    }
    for variant in &variants {
        assert_eq!(push(&mut reassembler, variant), Reassembly::Pending);
    }
    assert_eq!(reassembler.len(), variants.len());
    // IPv6 fragments of one datagram may name different headers: the first counts.
    let mut last = piece6(1, 8, &[0; 8], false);
    last[40] = 60;
    assert!(matches!(push(&mut reassembler, &last), Reassembly::Complete(_)));
}

#[test]
fn time_runs_from_the_first_fragment() {
    let timeout = FragmentLimits::default().timeout;
    let end = T0.saturating_add(timeout);
    let just_before = Timestamp::from_nanos(end.as_nanos() - 1);
    let mut reassembler = new();
    push(&mut reassembler, &piece4(1, 0, &[0; 8], true));
    push_at(&mut reassembler, just_before, &piece4(1, 16, &[0; 8], true));
    push_at(&mut reassembler, just_before, &piece4(2, 0, &[0; 8], true));
    assert_eq!(reassembler.expire(just_before), 0);
    assert_eq!(reassembler.expire(end), 1);
    check(&reassembler);
    assert_eq!(reassembler.len(), 1);
    assert_eq!(reassembler.expire(just_before.saturating_add(timeout)), 1);
    assert_eq!(reassembler.bytes(), 0);
}

#[test]
fn what_is_over_takes_no_more_fragments() {
    let end = T0.saturating_add(FragmentLimits::default().timeout);
    let mut reassembler = new();
    push(&mut reassembler, &piece4(1, 0, &[0; 8], true));
    let last = piece4(1, 8, &[0; 8], false);
    assert_eq!(push_at(&mut reassembler, end, &last), Reassembly::Pending);
    assert_eq!(reassembler.len(), 1);
}

#[test]
fn too_many_fragments_discard_the_datagram() {
    for af in [Af::V4, Af::V6] {
        let limits = FragmentLimits { per_datagram_fragments: 3, ..FragmentLimits::default() };
        let mut reassembler = Reassembler::new(limits);
        for index in [1, 3, 5] {
            let packet = piece(af, index * 8, &[0; 8], true);
            assert_eq!(push(&mut reassembler, &packet), Reassembly::Pending);
        }
        assert_eq!(push(&mut reassembler, &piece(af, 56, &[0; 8], true)), BAD);
        assert!(reassembler.is_empty());
    }
}

#[test]
fn the_default_limit_lets_a_full_datagram_through_a_path_of_576_bytes() {
    let data = vec![5; 65_535 - 20];
    let mut reassembler = new();
    let chunks = data.chunks(552).collect::<Vec<_>>();
    for (index, chunk) in chunks.iter().enumerate() {
        let more = index + 1 < chunks.len();
        let result = push(&mut reassembler, &piece4(1, index * 552, chunk, more));
        assert_eq!(result == Reassembly::Pending, more);
    }
    assert!(reassembler.is_empty());
}

#[test]
fn when_full_the_oldest_tenth_makes_room() {
    let limits = FragmentLimits { datagrams: 20, ..FragmentLimits::default() };
    let mut reassembler = Reassembler::new(limits);
    for id in 0..20 {
        push(&mut reassembler, &piece4(id, 0, &[0; 8], true));
    }
    // A fragment of a datagram that is held needs no room for another.
    push(&mut reassembler, &piece4(0, 16, &[0; 8], true));
    assert_eq!((reassembler.len(), reassembler.flushed()), (20, 0));
    push(&mut reassembler, &piece4(20, 0, &[0; 8], true));
    assert_eq!((reassembler.len(), reassembler.flushed()), (19, 2));
    // 0 and 1 are gone, 2 is still there.
    for (id, complete) in [(2, true), (0, false), (1, false)] {
        let result = push(&mut reassembler, &piece4(id, 8, &[0; 8], false));
        assert_eq!(matches!(result, Reassembly::Complete(_)), complete, "{id}");
    }
}

#[test]
fn bytes_are_bounded_too() {
    let limits = FragmentLimits { bytes: 20_000, ..FragmentLimits::default() };
    let mut reassembler = Reassembler::new(limits);
    for id in 0..50 {
        let result = push(&mut reassembler, &piece4(id, 0, &[0; 1400], true));
        assert_eq!(result, Reassembly::Pending);
    }
    assert!(reassembler.flushed() > 30 && reassembler.len() > 5);
    let too_big = piece4(99, 0, &[0; 24_000], true);
    let before = reassembler.len();
    let memory = Reassembly::Drop(DropReason::Memory);
    assert_eq!(push(&mut reassembler, &too_big), memory);
    assert_eq!(reassembler.len(), before);
    let none = FragmentLimits { datagrams: 0, ..FragmentLimits::default() };
    let result = push(&mut Reassembler::new(none), &piece4(1, 0, &[0; 8], true));
    assert_eq!(result, memory);
}

#[test]
fn refragmented_packets_are_within_their_size_and_come_back() {
    let hop = [43, 0, 5, 2, 0, 0, 1, 0];
    let routing = [60, 0, 4, 0, 0, 0, 0, 0];
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let packet = v6(0, &[&hop, &routing, &options, &udp(&[6; 3000])[..]].concat());
    let parsed = parse(&packet).unwrap();
    let fragments = refragment_v6(&packet, &parsed, 77, 1280).unwrap();
    assert_eq!(fragments.iter().map(Vec::len).collect::<Vec<_>>(), [1280, 1280, 648]);
    let mut reassembler = new();
    for fragment in &fragments {
        let info = parse(fragment).unwrap().fragment.unwrap();
        // Hop-by-hop and routing header are repeated, destination options are not.
        assert_eq!((info.unfragmentable_len, info.next_header, info.id), (56, 60, 77));
        if let Reassembly::Complete(datagram) = push(&mut reassembler, fragment) {
            assert_eq!(datagram.packet, packet);
            assert_eq!((datagram.largest_fragment, datagram.id), (1280, 77));
            return;
        }
    }
    panic!("incomplete");
}

#[test]
fn what_fits_stays_whole_and_what_cannot_be_cut_is_refused() {
    let packet = v6(17, &udp(&[0; 100]));
    let parsed = parse(&packet).unwrap();
    let whole = refragment_v6(&packet, &parsed, 1, 148);
    assert_eq!(whole, Ok(vec![packet.clone()]));
    assert_eq!(refragment_v6(&packet, &parsed, 1, 56).unwrap().len(), 14);
    for size in [0, 47, 55] {
        assert_eq!(refragment_v6(&packet, &parsed, 1, size), Err(DropReason::Fragment));
    }
    for name in ["v4-udp", "v6-fragment-1"] {
        let other = golden(name);
        let parsed = parse(&other).unwrap();
        assert_eq!(refragment_v6(&other, &parsed, 1, 100), Err(DropReason::Fragment));
    }
}

/// IPv4's rule byte by byte: for each the value and where its piece starts.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<(u8, usize)>>,
    end: Option<usize>,
}

impl Model {
    /// Whether the fragment changed anything.
    fn push(&mut self, offset: usize, data: &[u8], more: bool) -> bool {
        let end = offset + data.len();
        let reach = self.bytes.len();
        let refused = match (self.end, more) {
            (Some(known), true) => end >= known,
            (Some(known), false) => end != known,
            (None, true) => false,
            (None, false) => end <= reach,
        };
        if refused {
            return false;
        }
        let mut start = offset;
        while start < end && self.at(start).is_some_and(|(_, piece)| piece <= offset) {
            start += 1;
        }
        if start == end {
            return false;
        }
        if !more {
            self.end = Some(end);
        }
        self.bytes.resize(reach.max(end), None);
        for at in start..end {
            self.bytes[at] = Some((data[at - offset], start));
        }
        let mut at = end;
        while let Some((value, piece)) = self.at(at)
            && piece < end
        {
            self.bytes[at] = Some((value, end));
            at += 1;
        }
        true
    }

    fn at(&self, at: usize) -> Option<(u8, usize)> {
        self.bytes.get(at).copied().flatten()
    }

    fn complete(&self) -> Option<Vec<u8>> {
        (self.end == Some(self.bytes.len())).then_some(())?;
        self.bytes.iter().map(|byte| byte.map(|(value, _)| value)).collect()
    }
}

/// Bounds of pieces that `len` bytes are cut into at multiples of 8.
fn cut(len: usize, cuts: &[prop::sample::Index]) -> Vec<(usize, usize)> {
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(len) / 8 * 8).collect();
    bounds.extend([0, 8, len]);
    bounds.sort_unstable();
    bounds.dedup();
    bounds.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

proptest! {
    #[test]
    fn pieces_in_any_order_make_the_original(
        data in prop::collection::vec(any::<u8>(), 16..4000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        order in prop::collection::vec(any::<u64>(), 42),
        repeat in prop::collection::vec(any::<bool>(), 42),
        is_v6 in any::<bool>(),
    ) {
        let af = if is_v6 { Af::V6 } else { Af::V4 };
        let mut pieces = cut(data.len(), &cuts);
        let mut keys = order.iter();
        pieces.sort_by_cached_key(|_| keys.next().copied());
        let mut reassembler = new();
        let last_index = pieces.len() - 1;
        for (index, (start, end)) in pieces.into_iter().enumerate() {
            let packet = piece(af, start, &data[start..end], end < data.len());
            let result = push(&mut reassembler, &packet);
            if index < last_index {
                prop_assert_eq!(&result, &Reassembly::Pending);
                if repeat[index] {
                    prop_assert_eq!(push(&mut reassembler, &packet), BAD);
                }
                continue;
            }
            let Reassembly::Complete(datagram) = result else {
                return Err(TestCaseError::fail(format!("{result:?}")));
            };
            let header = if is_v6 { 40 } else { 20 };
            prop_assert_eq!(&datagram.packet[header..], &data[..]);
        }
        prop_assert!(reassembler.is_empty());
    }

    #[test]
    fn overlapping_ipv4_pieces_end_as_in_the_model(
        fragments in prop::collection::vec(
            (0..8_usize, 1..6_usize, prop::bool::weighted(0.8), any::<u8>()),
            1..24,
        ),
    ) {
        let mut reassembler = new();
        let mut model = Model::default();
        for (offset, len, more, value) in fragments {
            // The whole datagram would be no fragment.
            let more = more || offset == 0;
            let data = vec![value; if more { len * 8 } else { len * 8 - 3 }];
            let result = push(&mut reassembler, &piece4(1, offset * 8, &data, more));
            let changed = model.push(offset * 8, &data, more);
            match result {
                Reassembly::Complete(datagram) => {
                    prop_assert_eq!(model.complete(), Some(datagram.packet[20..].to_vec()));
                    model = Model::default();
                }
                Reassembly::Pending => prop_assert!(changed && model.complete().is_none()),
                Reassembly::Drop(reason) => {
                    prop_assert!(!changed && reason == DropReason::Fragment);
                }
            }
        }
    }

    #[test]
    fn memory_stays_bounded_whatever_comes(
        fragments in prop::collection::vec(
            (0..6_u16, 0..40_usize, 1..60_usize, any::<(bool, bool)>(), 0..20_u64),
            1..120,
        ),
        (datagrams, bytes, per_datagram_fragments) in (0..6_usize, 0..8000_usize, 0..8_usize),
    ) {
        let timeout = Duration::from_secs(60);
        let limits = FragmentLimits { datagrams, bytes, per_datagram_fragments, timeout };
        let mut reassembler = Reassembler::new(limits);
        let mut now = T0;
        for (id, offset, len, (more, is_v6), gone) in fragments {
            now = now.saturating_add(Duration::from_secs(gone));
            let data = vec![0; len * 8];
            let packet = if is_v6 {
                piece6(id.into(), offset * 8, &data, more)
            } else {
                piece4(id, offset * 8, &data, more)
            };
            // push_at checks the bounds and the accounts.
            push_at_any(&mut reassembler, now, &packet);
            if gone == 0 {
                reassembler.expire(now);
                check(&reassembler);
            }
        }
        let left = reassembler.len() as u64;
        prop_assert_eq!(reassembler.expire(now.saturating_add(timeout)), left);
        prop_assert_eq!(reassembler.bytes(), 0);
    }

    #[test]
    fn no_bytes_panic(packets in prop::collection::vec(hostile_bytes(), 1..12)) {
        let mut reassembler = new();
        for packet in packets {
            push_at_any(&mut reassembler, T0, &packet);
            if let Ok(parsed) = parse(&packet)
                && let Ok(fragments) = refragment_v6(&packet, &parsed, 1, 64)
            {
                prop_assert!(fragments.iter().all(|fragment| fragment.len() <= 64));
            }
        }
    }

    #[test]
    fn refragmented_datagrams_come_back(
        len in 1..6000_usize,
        size in 56..1500_u16,
        hop_by_hop in any::<bool>(),
    ) {
        let payload = udp(&vec![3; len]);
        let packet = if hop_by_hop {
            v6(0, &[&[17, 0, 5, 2, 0, 0, 1, 0][..], &payload].concat())
        } else {
            v6(17, &payload)
        };
        let parsed = parse(&packet).unwrap();
        let Ok(fragments) = refragment_v6(&packet, &parsed, 9, size) else {
            prop_assert!(hop_by_hop && size < 64);
            return Ok(());
        };
        prop_assert!(fragments.iter().all(|fragment| fragment.len() <= usize::from(size)));
        if packet.len() <= usize::from(size) {
            prop_assert_eq!(fragments, [packet]);
            return Ok(());
        }
        let limits = FragmentLimits { per_datagram_fragments: 8192, ..FragmentLimits::default() };
        let mut reassembler = Reassembler::new(limits);
        let (last, rest) = fragments.split_last().unwrap();
        for fragment in rest {
            prop_assert_eq!(push(&mut reassembler, fragment), Reassembly::Pending);
        }
        let result = push(&mut reassembler, last);
        let largest_fragment = fragments.iter().map(Vec::len).max().unwrap() as u16;
        let expected = Datagram { packet, largest_fragment, id: 9 };
        prop_assert_eq!(result, Reassembly::Complete(expected));
    }
}

fn push_at_any(reassembler: &mut Reassembler, now: Timestamp, packet: &[u8]) {
    if let Ok(parsed) = parse(packet) {
        reassembler.push(now, packet, &parsed);
        check(reassembler);
    }
}
