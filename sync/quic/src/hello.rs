//! The first words on a control stream, and what each stream begins with.
//!
//! All numbers are little-endian. A stream begins with one byte: 0 is the control stream, 1 +
//! n is lane n. On the control stream a hello follows: `EGST`, a u16 with the version, a u16
//! with the length of the rest, and the rest: incarnation u64, lanes u8, longest message u32,
//! heartbeat interval in microseconds u32. What a later version appends is skipped.
//!
//! Then, on control and lanes, messages: a u32 with the length, and so many bytes. A datagram
//! has one byte before its bytes: 0 is a heartbeat, 1 a message.

use std::time::Duration;

use thiserror::Error;

/// The version of all that this crate says inside of QUIC.
pub(crate) const VERSION: u16 = 1;

/// What a control stream begins with.
pub(crate) const STREAM_CONTROL: u8 = 0;
/// What lane 0 begins with.
pub(crate) const STREAM_LANE_0: u8 = 1;

/// A datagram that only says: here I am.
pub(crate) const DATAGRAM_HEARTBEAT: u8 = 0;
/// A datagram that carries a message.
pub(crate) const DATAGRAM_MESSAGE: u8 = 1;

const MAGIC: [u8; 4] = *b"EGST";
/// Bytes before the rest.
pub(crate) const HEAD: usize = 8;
const BODY: usize = 17;
/// Longest rest that is read.
const BODY_MAX: usize = 256;

/// What one side tells the other first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) incarnation: u64,
    pub(crate) lanes: u8,
    pub(crate) message_max: u32,
    pub(crate) heartbeat: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HelloError {
    #[error("no hello")]
    Magic,
    #[error("version {0}")]
    Version(u16),
    #[error("a hello of a wrong length")]
    Length,
    #[error("a hello with values out of their ranges")]
    Range,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend((BODY as u16).to_le_bytes());
        out.extend(self.incarnation.to_le_bytes());
        out.push(self.lanes);
        out.extend(self.message_max.to_le_bytes());
        let micros = u32::try_from(self.heartbeat.as_micros()).unwrap_or(u32::MAX);
        out.extend(micros.to_le_bytes());
        out
    }

    /// Reads the head; tells how long the rest is.
    pub(crate) fn rest_len(head: &[u8; HEAD]) -> Result<usize, HelloError> {
        let [a, b, c, d, v0, v1, l0, l1] = *head;
        if [a, b, c, d] != MAGIC {
            return Err(HelloError::Magic);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(HelloError::Version(version));
        }
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        if (BODY..=BODY_MAX).contains(&len) { Ok(len) } else { Err(HelloError::Length) }
    }

    /// Reads the rest.
    pub(crate) fn decode(rest: &[u8]) -> Result<Self, HelloError> {
        let (incarnation, rest) = rest.split_first_chunk().ok_or(HelloError::Length)?;
        let (&[lanes], rest) = rest.split_first_chunk().ok_or(HelloError::Length)?;
        let (message_max, rest) = rest.split_first_chunk().ok_or(HelloError::Length)?;
        let heartbeat = rest.first_chunk().ok_or(HelloError::Length)?;
        let hello = Self {
            incarnation: u64::from_le_bytes(*incarnation),
            lanes,
            message_max: u32::from_le_bytes(*message_max),
            heartbeat: Duration::from_micros(u32::from_le_bytes(*heartbeat).into()),
        };
        let legal = crate::config::HEARTBEATS.contains(&hello.heartbeat)
            && hello.lanes > 0
            && hello.message_max > 0;
        if legal { Ok(hello) } else { Err(HelloError::Range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello = Hello {
        incarnation: 0x0102_0304_0506_0708,
        lanes: 8,
        message_max: 65_536,
        heartbeat: Duration::from_millis(10),
    };

    /// Written by hand after the module's description.
    const BYTES: [u8; 25] = [
        b'E', b'G', b'S', b'T', 1, 0, 17, 0, 8, 7, 6, 5, 4, 3, 2, 1, 8, 0, 0, 1, 0, 0x10, 0x27, 0,
        0,
    ];

    #[test]
    fn a_hello_has_the_bytes_that_are_documented() {
        assert_eq!(HELLO.encode(), BYTES);
        assert_eq!(Hello::rest_len(BYTES.first_chunk().expect("8")), Ok(17));
        assert_eq!(Hello::decode(&BYTES[8..]), Ok(HELLO));
        let longer = [&BYTES[8..], &[1, 2, 3]].concat();
        assert_eq!(Hello::decode(&longer), Ok(HELLO), "what is appended is skipped");
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        let head = |at: usize, byte| {
            let mut head = *BYTES.first_chunk::<8>().expect("8");
            head[at] = byte;
            Hello::rest_len(&head)
        };
        assert_eq!(head(0, b'X'), Err(HelloError::Magic));
        assert_eq!(head(4, 2), Err(HelloError::Version(2)));
        assert_eq!(head(6, 16), Err(HelloError::Length));
        assert_eq!(head(7, 1), Err(HelloError::Length));
        for cut in 8..25 {
            assert_eq!(Hello::decode(&BYTES[8..cut]), Err(HelloError::Length));
        }
        assert_eq!(Hello::decode(&[0; 17]), Err(HelloError::Range));
    }
}
