//! The fragments of one datagram: sorted by offset and disjoint.

#[cfg(test)]
use super::DATAGRAM_COST;
use crate::parse::ip6;
use crate::{Af, FragmentInfo, checksum};

/// What a fragment costs beside its data: its place in a vector that may be half
/// empty, and the allocator's share.
const PIECE_COST: usize = 3 * size_of::<Piece>();
const MAX_PACKET: usize = 65_535;

/// Why a fragment was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Only the fragment is dropped.
    Fragment,
    /// The whole datagram is discarded.
    Datagram,
}

/// The fragments of one datagram that arrived so far.
#[derive(Debug)]
pub(super) struct Queue {
    af: Af,
    pieces: Vec<Piece>,
    /// The headers to put before the data, once the first fragment is here.
    header: Option<Vec<u8>>,
    /// Where the datagram ends, once the last fragment is here.
    end: Option<usize>,
    /// The furthest end of a piece.
    reach: usize,
    /// Bytes of data in all pieces.
    held: usize,
    /// Bytes allocated for them and the header.
    allocated: usize,
    largest_fragment: usize,
}

#[derive(Debug)]
struct Piece {
    offset: usize,
    data: Vec<u8>,
}

impl Piece {
    fn end(&self) -> usize {
        self.offset + self.data.len()
    }
}

impl Queue {
    pub(super) fn new(af: Af) -> Self {
        Self {
            af,
            pieces: Vec::new(),
            header: None,
            end: None,
            reach: 0,
            held: 0,
            allocated: 0,
            largest_fragment: 0,
        }
    }

    /// The most that a fragment adds to [`cost`](Self::cost).
    pub(super) fn cost_of(packet_len: usize) -> usize {
        packet_len + PIECE_COST
    }

    /// Bytes of memory this queue stands for.
    pub(super) fn cost(&self) -> usize {
        self.allocated + self.pieces.len() * PIECE_COST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether all data is here. Pieces are disjoint and end at most at the end,
    /// so it is enough to count.
    pub(super) fn is_complete(&self) -> bool {
        self.end == Some(self.held) && self.header.is_some()
    }

    /// Takes the `data` at the end of `packet`.
    pub(super) fn insert(
        &mut self,
        packet: &[u8],
        data: &[u8],
        fragment: &FragmentInfo,
        limit: usize,
    ) -> Result<(), Refusal> {
        let mut start = usize::from(fragment.offset);
        let end = start + data.len();
        let next = self.pieces.partition_point(|piece| piece.offset <= start);
        if self.is_duplicate(next, data, fragment) {
            return Err(Refusal::Fragment);
        }
        if self.contradicts_end(end, fragment.more) {
            return Err(self.refusal());
        }
        if let Some(before) = next.checked_sub(1).map(|index| &self.pieces[index]) {
            if before.end() > start && self.af == Af::V6 {
                return Err(Refusal::Datagram);
            }
            start = start.max(before.end());
        }
        if start >= end {
            return Err(Refusal::Fragment);
        }
        if self.af == Af::V6 && self.pieces.get(next).is_some_and(|after| after.offset < end) {
            return Err(Refusal::Datagram);
        }
        self.cut_successors(next, end);
        if self.pieces.len() >= limit {
            return Err(Refusal::Datagram);
        }
        if start == 0 {
            let header = header_of(self.af, packet, fragment).ok_or(Refusal::Datagram)?;
            self.allocated += header.capacity();
            self.header = Some(header);
        }
        if !fragment.more {
            self.end = Some(end);
        }
        self.reach = self.reach.max(end);
        self.largest_fragment = self.largest_fragment.max(packet.len());
        self.add(next, start, &data[data.len() - (end - start)..]);
        Ok(())
    }

    /// Puts the datagram together; `None` if it would be too long for an IP
    /// packet. The size of the largest fragment comes with it.
    pub(super) fn assemble(self) -> Option<(Vec<u8>, u16)> {
        let mut packet = self.header?;
        let header_len = packet.len();
        let counted_header = match self.af {
            Af::V4 => header_len,
            Af::V6 => header_len - ip6::HEADER,
        };
        let len = counted_header + self.held;
        if len > MAX_PACKET {
            return None;
        }
        packet.reserve_exact(self.held);
        for piece in &self.pieces {
            packet.extend_from_slice(&piece.data);
        }
        let length_at = match self.af {
            Af::V4 => 2,
            Af::V6 => 4,
        };
        packet[length_at..length_at + 2].copy_from_slice(&(len as u16).to_be_bytes());
        if self.af == Af::V4 {
            let check = checksum::checksum(&packet[..header_len]);
            packet[10..12].copy_from_slice(&check.to_be_bytes());
        }
        Some((packet, u16::try_from(self.largest_fragment).unwrap_or(u16::MAX)))
    }

    /// Asserts what the counters claim.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.pieces.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
        assert!(self.pieces.iter().all(|piece| !piece.data.is_empty()));
        assert_eq!(self.held, self.pieces.iter().map(|piece| piece.data.len()).sum::<usize>());
        let header = self.header.as_ref().map_or(0, Vec::capacity);
        let data: usize = self.pieces.iter().map(|piece| piece.data.capacity()).sum();
        assert_eq!(self.allocated, header + data);
        assert!(self.pieces.capacity() * size_of::<Piece>() <= DATAGRAM_COST + self.cost());
        if let Some(end) = self.end {
            assert!(self.pieces.iter().all(|piece| piece.end() <= end));
        }
    }

    fn refusal(&self) -> Refusal {
        match self.af {
            Af::V4 => Refusal::Fragment,
            Af::V6 => Refusal::Datagram,
        }
    }

    /// Whether exactly this fragment is here already; RFC 8200 §4.5 allows not to
    /// take that for an overlap.
    fn is_duplicate(&self, next: usize, data: &[u8], fragment: &FragmentInfo) -> bool {
        let Some(before) = next.checked_sub(1).map(|index| &self.pieces[index]) else {
            return false;
        };
        before.offset == usize::from(fragment.offset)
            && before.data == data
            && (self.end == Some(before.end())) != fragment.more
    }

    /// Whether a fragment with this end cannot be of the same datagram: it ends
    /// beyond the last one, or is a last one that ends elsewhere or too early.
    fn contradicts_end(&self, end: usize, more: bool) -> bool {
        match (self.end, more) {
            (Some(known), true) => end >= known,
            (Some(known), false) => end != known,
            (None, true) => false,
            (None, false) => end <= self.reach,
        }
    }

    /// Takes what lies before `end` from the pieces from `next` on.
    fn cut_successors(&mut self, next: usize, end: usize) {
        let covered = self.pieces[next..].iter().take_while(|piece| piece.end() <= end).count();
        for piece in self.pieces.drain(next..next + covered) {
            self.held -= piece.data.len();
            self.allocated -= piece.data.capacity();
        }
        if let Some(after) = self.pieces.get_mut(next)
            && after.offset < end
        {
            let cut = end - after.offset;
            after.data.drain(..cut);
            after.offset = end;
            self.held -= cut;
        }
    }

    fn add(&mut self, index: usize, offset: usize, data: &[u8]) {
        let data = data.to_vec();
        self.held += data.len();
        self.allocated += data.capacity();
        self.pieces.insert(index, Piece { offset, data });
    }
}

/// The headers of the first fragment as those of the whole datagram, but for
/// length and checksum.
fn header_of(af: Af, packet: &[u8], fragment: &FragmentInfo) -> Option<Vec<u8>> {
    let mut header = packet.get(..usize::from(fragment.unfragmentable_len))?.to_vec();
    match af {
        Af::V4 => {
            header.get_mut(6..8)?.fill(0);
            header.get_mut(10..12)?.fill(0);
        }
        Af::V6 => {
            let named_at = ip6::chain(packet).ok()?.named_at;
            *header.get_mut(named_at)? = fragment.next_header;
        }
    }
    Some(header)
}
