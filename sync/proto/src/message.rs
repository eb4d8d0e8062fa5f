//! Messages: what they are called and how they are framed.
//!
//! A packet is a header and any number of messages. A message is a type (1 byte),
//! the length of its body (2 bytes) and the body. A body is a fixed part and then
//! fields: a tag (1 byte), a length (1 byte) and a value each. Whoever does not
//! know a message or a field steps over it. Types from 0x80 on must be understood.

mod control;
mod states;

pub use control::{
    Ack, Bulk, BulkMode, Define, Digest, FEATURES, Hello, LEAVES, RangeSum, TOPS, Welcome,
};

use crate::codec::{Malformed, Reader, Write};
use crate::record::{Claim, Clear, Delete, Entry, Progress, Record};
use evergate_state::{StateId, StateKey};

/// The protocol version of this code.
pub const VERSION: u16 = 1;
/// The oldest version that it speaks.
pub const VERSION_MIN: u16 = 1;
/// Bytes of a packet's header.
pub const HEADER_LEN: usize = 18;
/// Bytes before a message's body.
pub const MESSAGE_HEADER_LEN: usize = 3;

/// The lane number of the control stream.
pub const LANE_CONTROL: u8 = 0;
/// The lane number of datagrams.
pub const LANE_DATAGRAM: u8 = 255;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The reliable, ordered stream that opens a link.
    Control,
    /// One of the reliable, ordered streams for states, from 0.
    Ordered(u8),
    /// Unreliable, in any order.
    Datagram,
}

impl Class {
    pub(crate) const fn lane(self) -> u8 {
        match self {
            Self::Control => LANE_CONTROL,
            Self::Ordered(lane) => lane + 1,
            Self::Datagram => LANE_DATAGRAM,
        }
    }
}

/// What stands before the messages of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the packet, with this header.
    pub len: u16,
    /// The protocol version of the messages.
    pub version: u16,
    /// [`LANE_CONTROL`], an ordered lane from 1, or [`LANE_DATAGRAM`].
    pub lane: u8,
    /// The link that the sender means: its count of link-ups.
    pub session: u32,
    /// The packet's number in its lane, from 1.
    pub seq: u64,
}

impl Header {
    /// Reads the header of a whole packet.
    ///
    /// # Errors
    /// If it is shorter than a header or than it says.
    pub fn read(packet: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let mut reader = Reader::new(packet);
        let header = Self {
            len: reader.u16()?,
            version: reader.u16()?,
            lane: reader.u8()?,
            session: {
                reader.u8()?;
                reader.u32()?
            },
            seq: reader.u64()?,
        };
        if usize::from(header.len) != packet.len() {
            return Err(Malformed::Length);
        }
        Ok((header, reader.rest()))
    }

    /// Writes it over the first [`HEADER_LEN`] bytes of a packet.
    ///
    /// # Panics
    /// If the packet is shorter.
    pub fn write(&self, packet: &mut [u8]) {
        packet[0..2].copy_from_slice(&self.len.to_be_bytes());
        packet[2..4].copy_from_slice(&self.version.to_be_bytes());
        packet[4] = self.lane;
        packet[5] = 0;
        packet[6..10].copy_from_slice(&self.session.to_be_bytes());
        packet[10..18].copy_from_slice(&self.seq.to_be_bytes());
    }
}

/// The length of the packet that begins a stream's bytes: `None` if it cannot be
/// told yet. For transports whose streams know no packets.
///
/// # Errors
/// If no packet can begin like this.
pub fn packet_len(stream: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(&[high, low]) = stream.first_chunk::<2>() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if (HEADER_LEN..=crate::STREAM_PACKET_MAX).contains(&len) {
        Ok(Some(len))
    } else {
        Err(Malformed::Length)
    }
}

/// Types of messages. Where pfsync has the same message it has the same number.
pub(crate) mod kind {
    pub(crate) const CLEAR: u8 = 0;
    pub(crate) const INSERT_ACK: u8 = 2;
    pub(crate) const PROGRESS: u8 = 4;
    pub(crate) const REQUEST: u8 = 5;
    pub(crate) const DELETE: u8 = 7;
    pub(crate) const BULK: u8 = 10;
    pub(crate) const INSERT: u8 = 13;
    pub(crate) const UPDATE: u8 = 14;
    pub(crate) const HELLO: u8 = 0x40;
    pub(crate) const WELCOME: u8 = 0x41;
    pub(crate) const ACK: u8 = 0x42;
    pub(crate) const DEFINE: u8 = 0x43;
    pub(crate) const GONE: u8 = 0x44;
    pub(crate) const OWNER: u8 = 0x45;
    pub(crate) const ENTRY: u8 = 0x46;
    pub(crate) const DIGEST: u8 = 0x47;
    /// Types from here on must be understood.
    pub(crate) const CRITICAL: u8 = 0x80;
}

/// A record as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The state; the numbers of its options are the sender's.
    pub record: Record,
    /// INS, not UPD.
    pub is_insert: bool,
    /// The sender holds a packet.
    pub wants_ack: bool,
    /// Part of a bulk update.
    pub bulk: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// CLR.
    Clear(Clear),
    /// INS_ACK: the state is known, its packet may go.
    InsertAck {
        /// The state's key.
        key: StateKey,
        /// Its name.
        id: StateId,
    },
    /// UPD_C.
    Progress(Progress),
    /// UPD_REQ.
    Request {
        /// The key that is asked for.
        key: StateKey,
    },
    /// DEL.
    Delete(Delete),
    /// BUS.
    Bulk(Bulk),
    /// INS and UPD.
    Told(Box<Told>),
    /// HELLO.
    Hello(Hello),
    /// WELCOME.
    Welcome(Welcome),
    /// ACK: which packets arrived.
    Ack(Ack),
    /// DEF: what a number names from here on in this lane.
    Define(Define),
    /// GONE: the answer to a request for a state that is not held.
    Gone {
        /// The key that was asked for.
        key: StateKey,
    },
    /// OWNER: all lesser claims are overruled.
    Owner(Claim),
    /// ENTRY.
    Entry(Entry),
    /// DIGEST.
    Digest(Digest),
}

impl Message {
    /// Reads the next message; `None` for one that is unknown and may be.
    ///
    /// # Errors
    /// What is wrong with it. The rest of the packet is then of no use.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let kind = reader.u8()?;
        let len = reader.u16()?;
        let mut body = Reader::new(reader.take(len.into())?);
        let body = &mut body;
        let message = match kind {
            kind::CLEAR => Self::Clear(states::read_clear(body)?),
            kind::INSERT_ACK => {
                let (key, id) = states::read_insert_ack(body)?;
                Self::InsertAck { key, id }
            }
            kind::PROGRESS => Self::Progress(states::read_progress(body)?),
            kind::REQUEST => Self::Request { key: states::read_key_only(body)? },
            kind::DELETE => Self::Delete(states::read_delete(body)?),
            kind::BULK => Self::Bulk(control::read_bulk(body)?),
            kind::INSERT | kind::UPDATE => {
                Self::Told(Box::new(states::read_told(body, kind == kind::INSERT)?))
            }
            kind::HELLO => Self::Hello(control::read_hello(body)?),
            kind::WELCOME => Self::Welcome(control::read_welcome(body)?),
            kind::ACK => Self::Ack(control::read_ack(body)?),
            kind::DEFINE => Self::Define(control::read_define(body)?),
            kind::GONE => Self::Gone { key: states::read_key_only(body)? },
            kind::OWNER => Self::Owner(states::read_claim(body)?),
            kind::ENTRY => Self::Entry(states::read_entry(body)?),
            kind::DIGEST => Self::Digest(control::read_digest(body)?),
            kind::CRITICAL.. => return Err(Malformed::Critical),
            _ => return Ok(None),
        };
        Ok(Some(message))
    }

    /// Appends it to a packet.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Clear(clear) => framed(out, kind::CLEAR, |out| {
                out.put_u32(clear.creator);
                out.put_u64(clear.upto);
            }),
            Self::InsertAck { key, id } => framed(out, kind::INSERT_ACK, |out| {
                states::write_insert_ack(out, key, *id);
            }),
            Self::Progress(progress) => {
                framed(out, kind::PROGRESS, |out| states::write_progress(out, progress));
            }
            Self::Request { key } => {
                framed(out, kind::REQUEST, |out| states::write_key_only(out, key));
            }
            Self::Delete(delete) => {
                framed(out, kind::DELETE, |out| states::write_delete(out, delete));
            }
            Self::Bulk(bulk) => framed(out, kind::BULK, |out| control::write_bulk(out, bulk)),
            Self::Told(told) => write_told(out, told),
            Self::Hello(hello) => framed(out, kind::HELLO, |out| control::write_hello(out, hello)),
            Self::Welcome(welcome) => {
                framed(out, kind::WELCOME, |out| control::write_welcome(out, welcome));
            }
            Self::Ack(ack) => framed(out, kind::ACK, |out| control::write_ack(out, ack)),
            Self::Define(define) => {
                framed(out, kind::DEFINE, |out| control::write_define(out, define));
            }
            Self::Gone { key } => framed(out, kind::GONE, |out| states::write_key_only(out, key)),
            Self::Owner(claim) => framed(out, kind::OWNER, |out| states::write_claim(out, *claim)),
            Self::Entry(entry) => framed(out, kind::ENTRY, |out| states::write_entry(out, entry)),
            Self::Digest(digest) => {
                framed(out, kind::DIGEST, |out| control::write_digest(out, digest));
            }
        }
    }
}

/// Appends INS or UPD.
pub(crate) fn write_told(out: &mut Vec<u8>, told: &Told) {
    let kind = if told.is_insert { kind::INSERT } else { kind::UPDATE };
    framed(out, kind, |out| states::write_told(out, told));
}

/// Writes a message around its body. Bodies are bounded far below 64 KiB.
fn framed(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0]);
    body(out);
    let len = out.len() - start - MESSAGE_HEADER_LEN;
    debug_assert!(len <= usize::from(u16::MAX));
    out[start + 1..start + MESSAGE_HEADER_LEN].copy_from_slice(&(len as u16).to_be_bytes());
}

/// Reads a packet's messages, the unknown ones left out: what a capture shows.
///
/// # Errors
/// At the first thing that is wrong.
pub fn read_packet(packet: &[u8]) -> Result<(Header, Vec<Message>), Malformed> {
    let (header, body) = Header::read(packet)?;
    let mut reader = Reader::new(body);
    let mut messages = Vec::new();
    while !reader.is_empty() {
        messages.extend(Message::read(&mut reader)?);
    }
    Ok((header, messages))
}

/// Writes one packet, as [`read_packet`] reads it. `header.len` is filled in.
pub fn write_packet(header: Header, messages: &[Message]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_LEN];
    messages.iter().for_each(|message| message.write(&mut packet));
    let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    Header { len, ..header }.write(&mut packet);
    packet
}

#[cfg(test)]
mod tests;
