//! Messages in a stream of bytes: a u32 with the length, little-endian, then the bytes.

use std::collections::VecDeque;

/// Bytes before each message.
pub(crate) const HEAD: usize = 4;

/// A length that is over the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Cuts what arrives into messages; keeps at most one message's part.
#[derive(Debug)]
pub(crate) struct Deframer {
    partial: Vec<u8>,
    message_max: usize,
}

impl Deframer {
    pub(crate) fn new(message_max: usize) -> Self {
        Self { partial: Vec::new(), message_max }
    }

    /// Takes in bytes; whole messages go to `out`.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut VecDeque<Vec<u8>>,
    ) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if self.partial.is_empty()
                && let Some((head, behind)) = bytes.split_first_chunk()
            {
                let len = self.length(*head)?;
                if behind.len() >= len {
                    let (message, rest) = behind.split_at(len);
                    out.push_back(message.to_vec());
                    bytes = rest;
                    continue;
                }
            }
            bytes = self.collect(bytes, out)?;
        }
        Ok(())
    }

    /// Adds to the part of a message what it lacks; gives back what is behind it.
    fn collect<'b>(
        &mut self,
        mut bytes: &'b [u8],
        out: &mut VecDeque<Vec<u8>>,
    ) -> Result<&'b [u8], TooLong> {
        if self.partial.len() < HEAD {
            bytes = self.fill(bytes, HEAD);
        }
        let Some(head) = self.partial.first_chunk() else { return Ok(bytes) };
        let whole = HEAD + self.length(*head)?;
        bytes = self.fill(bytes, whole);
        if self.partial.len() == whole {
            out.push_back(self.partial.split_off(HEAD));
            self.partial = Vec::new();
        }
        Ok(bytes)
    }

    fn fill<'b>(&mut self, bytes: &'b [u8], upto: usize) -> &'b [u8] {
        let lacks = upto - self.partial.len();
        let (taken, rest) = bytes.split_at(lacks.min(bytes.len()));
        self.partial.extend_from_slice(taken);
        rest
    }

    fn length(&self, head: [u8; HEAD]) -> Result<usize, TooLong> {
        let len = u32::from_le_bytes(head) as usize;
        if len <= self.message_max { Ok(len) } else { Err(TooLong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let frame = |m: &Vec<u8>| [&(m.len() as u32).to_le_bytes()[..], m].concat();
        messages.iter().flat_map(frame).collect()
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_were_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            cuts in prop::collection::vec(1usize..40, 1..50),
        ) {
            let bytes = framed(&messages);
            let mut deframer = Deframer::new(50);
            let mut out = VecDeque::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().expect("endless")));
                deframer.push(now, &mut out).expect("in bounds");
                rest = later;
            }
            prop_assert_eq!(Vec::from(out), messages);
            prop_assert!(deframer.partial.is_empty());
        }

        #[test]
        fn nothing_makes_it_keep_more_than_a_message(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..50),
        ) {
            let mut deframer = Deframer::new(1000);
            let mut out = VecDeque::new();
            for chunk in chunks {
                if deframer.push(&chunk, &mut out).is_err() {
                    break;
                }
                prop_assert!(deframer.partial.len() <= 1004);
            }
        }
    }

    #[test]
    fn a_length_over_the_bound_is_refused_before_anything_is_kept() {
        let mut deframer = Deframer::new(100);
        let mut out = VecDeque::new();
        assert_eq!(deframer.push(&101u32.to_le_bytes(), &mut out), Err(TooLong));
        let mut slowly = Deframer::new(100);
        let refused = [0xff; 4].iter().any(|b| slowly.push(&[*b], &mut out).is_err());
        assert!(refused && out.is_empty());
    }
}
