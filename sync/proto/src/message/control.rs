//! Bodies of the messages about the link itself.

use crate::LANES_MAX;
use crate::codec::{Malformed, Reader, Write};
use crate::record::{Claim, Name, NameKind};

use super::states::{read_claim, write_claim};

/// Features that this code offers: none beyond version 1.
pub const FEATURES: u64 = 0;

/// Ranges of the first level of a digest.
pub const TOPS: usize = 256;
/// Ranges of the second level within one of the first.
pub const LEAVES: usize = 64;

/// The first message of a link, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version that the sender speaks.
    pub version_min: u16,
    /// The newest.
    pub version_max: u16,
    /// The sender's number.
    pub node: u32,
    /// The sender's run.
    pub instance: u32,
    /// What the sender offers, a bit each.
    pub features: u64,
    /// The greatest id of a state that the sender has seen.
    pub clock: u64,
    /// The claim that overrules lesser ones, as far as the sender knows.
    pub floor: Claim,
    /// The run of the receiver for which the sender has kept every change since
    /// the last link; 0 if it has not.
    pub kept_for: u32,
    /// How many ordered lanes the sender uses.
    pub lanes: u8,
}

/// The answer to HELLO: the receiver may send from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version of all further packets.
    pub version: u16,
    /// The session of the HELLO that this answers.
    pub session: u32,
    /// What both offer.
    pub features: u64,
}

/// What a receiver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BulkMode {
    /// Every state.
    Full = 0,
    /// The rest of the walk with this request's id.
    Resume = 1,
    /// What has changed since the last link.
    Delta = 2,
}

/// BUS: bulk updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// The sender wants to be sent states.
    Request {
        /// Chosen by the receiver of the states.
        request: u32,
        /// What it needs.
        mode: BulkMode,
    },
    /// The states begin.
    Start {
        /// Of which request.
        request: u32,
        /// About how many there are.
        total: u64,
    },
    /// The states were all sent.
    End {
        /// Of which request.
        request: u32,
        /// How many at least, marked as part of the bulk.
        count: u64,
        /// The last packet of each ordered lane that belongs to it.
        marks: Vec<u64>,
    },
    /// Changes for the receiver were lost: it must ask for everything.
    Lost,
}

/// Which packets of one lane have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The lane, as in [`Header::lane`](super::Header::lane).
    pub lane: u8,
    /// Earlier packets that were not acknowledged are lost.
    pub from: u64,
    /// The last packet that this tells about.
    pub upto: u64,
    /// Those that have not arrived, counted from `from`: at most
    /// [`Ack::SPAN_MAX`] behind it.
    pub missing: Vec<u8>,
}

impl Ack {
    /// How many packets one message tells about one by one.
    pub const SPAN_MAX: u64 = 256;
}

/// What a number names from here on in this lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Define {
    /// What kind of number.
    pub kind: NameKind,
    /// The number.
    pub number: u16,
    /// What it names.
    pub name: Name,
}

/// The states of one range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeSum {
    /// How many.
    pub count: u32,
    /// The sum of the hashes of their keys and names.
    pub sum: u64,
}

/// Comparing two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// The sums of the first level: [`TOPS`] of them.
    Top {
        /// Chosen by whoever begins.
        round: u32,
        /// The sums.
        sums: Box<[RangeSum]>,
    },
    /// The answer: the sums within one range that differs: [`LEAVES`] of them.
    Leaves {
        /// Of which round.
        round: u32,
        /// Which range of the first level.
        top: u8,
        /// The sums.
        sums: Box<[RangeSum]>,
    },
    /// The end of the answer.
    Done {
        /// Of which round.
        round: u32,
    },
    /// The states of these ranges are to be sent, both ways.
    Exchange {
        /// Of which round.
        round: u32,
        /// Ranges of the second level, numbered through; at most
        /// [`Digest::EXCHANGE_MAX`].
        leaves: Vec<u16>,
    },
}

impl Digest {
    /// The most ranges in one message.
    pub const EXCHANGE_MAX: usize = 2048;
}

pub(super) fn write_hello(out: &mut Vec<u8>, hello: &Hello) {
    out.put_u16(hello.version_min);
    out.put_u16(hello.version_max);
    out.put_u32(hello.node);
    out.put_u32(hello.instance);
    out.put_u64(hello.features);
    out.put_u64(hello.clock);
    write_claim(out, hello.floor);
    out.put_u32(hello.kept_for);
    out.put_u8(hello.lanes);
}

pub(super) fn read_hello(body: &mut Reader<'_>) -> Result<Hello, Malformed> {
    let hello = Hello {
        version_min: body.u16()?,
        version_max: body.u16()?,
        node: body.u32()?,
        instance: body.u32()?,
        features: body.u64()?,
        clock: body.u64()?,
        floor: read_claim(body)?,
        kept_for: body.u32()?,
        lanes: body.u8()?,
    };
    let sound = hello.version_min <= hello.version_max
        && hello.instance != 0
        && hello.clock < crate::ID_MAX
        && (1..=LANES_MAX).contains(&hello.lanes);
    if sound { Ok(hello) } else { Err(Malformed::Value) }
}

pub(super) fn write_welcome(out: &mut Vec<u8>, welcome: &Welcome) {
    out.put_u16(welcome.version);
    out.put_u32(welcome.session);
    out.put_u64(welcome.features);
}

pub(super) fn read_welcome(body: &mut Reader<'_>) -> Result<Welcome, Malformed> {
    Ok(Welcome { version: body.u16()?, session: body.u32()?, features: body.u64()? })
}

pub(super) fn write_bulk(out: &mut Vec<u8>, bulk: &Bulk) {
    match bulk {
        Bulk::Request { request, mode } => {
            out.put_u8(0);
            out.put_u32(*request);
            out.put_u8(*mode as u8);
        }
        Bulk::Start { request, total } => {
            out.put_u8(1);
            out.put_u32(*request);
            out.put_u64(*total);
        }
        Bulk::End { request, count, marks } => {
            out.put_u8(2);
            out.put_u32(*request);
            out.put_u64(*count);
            // At most LANES_MAX.
            out.put_u8(marks.len() as u8);
            marks.iter().for_each(|mark| out.put_u64(*mark));
        }
        Bulk::Lost => {
            out.put_u8(3);
            out.put_u32(0);
        }
    }
}

pub(super) fn read_bulk(body: &mut Reader<'_>) -> Result<Bulk, Malformed> {
    let status = body.u8()?;
    let request = body.u32()?;
    match status {
        0 => {
            let mode = match body.u8()? {
                0 => BulkMode::Full,
                1 => BulkMode::Resume,
                2 => BulkMode::Delta,
                _ => return Err(Malformed::Value),
            };
            Ok(Bulk::Request { request, mode })
        }
        1 => Ok(Bulk::Start { request, total: body.u64()? }),
        2 => {
            let count = body.u64()?;
            let lanes = body.u8()?;
            if lanes > LANES_MAX {
                return Err(Malformed::Value);
            }
            let marks = (0..lanes).map(|_| body.u64()).collect::<Result<_, _>>()?;
            Ok(Bulk::End { request, count, marks })
        }
        3 => Ok(Bulk::Lost),
        _ => Err(Malformed::Value),
    }
}

pub(super) fn write_ack(out: &mut Vec<u8>, ack: &Ack) {
    out.put_u8(ack.lane);
    out.put_u64(ack.from);
    out.put_u64(ack.upto);
    // The last one told about has arrived: at most 255 are missing.
    out.put_u8(ack.missing.len() as u8);
    out.put(&ack.missing);
}

pub(super) fn read_ack(body: &mut Reader<'_>) -> Result<Ack, Malformed> {
    let (lane, from, upto) = (body.u8()?, body.u64()?, body.u64()?);
    let count = body.u8()?;
    let missing = body.take(count.into())?.to_vec();
    Ok(Ack { lane, from, upto, missing })
}

pub(super) fn write_define(out: &mut Vec<u8>, define: &Define) {
    out.put_u8(define.kind as u8);
    out.put_u16(define.number);
    // A name is at most 255 bytes long.
    out.put_u8(define.name.as_bytes().len() as u8);
    out.put(define.name.as_bytes());
}

pub(super) fn read_define(body: &mut Reader<'_>) -> Result<Define, Malformed> {
    let kind = body.u8()?;
    let kind = *NameKind::ALL.get(usize::from(kind)).ok_or(Malformed::Value)?;
    let number = body.u16()?;
    let len = body.u8()?;
    let name = Name::new(body.take(len.into())?).ok_or(Malformed::Length)?;
    Ok(Define { kind, number, name })
}

fn write_sums(out: &mut Vec<u8>, sums: &[RangeSum]) {
    for sum in sums {
        out.put_u32(sum.count);
        out.put_u64(sum.sum);
    }
}

fn read_sums(body: &mut Reader<'_>, count: usize) -> Result<Box<[RangeSum]>, Malformed> {
    (0..count).map(|_| Ok(RangeSum { count: body.u32()?, sum: body.u64()? })).collect()
}

pub(super) fn write_digest(out: &mut Vec<u8>, digest: &Digest) {
    match digest {
        Digest::Top { round, sums } => {
            out.put_u8(0);
            out.put_u32(*round);
            write_sums(out, sums);
        }
        Digest::Leaves { round, top, sums } => {
            out.put_u8(1);
            out.put_u32(*round);
            out.put_u8(*top);
            write_sums(out, sums);
        }
        Digest::Done { round } => {
            out.put_u8(2);
            out.put_u32(*round);
        }
        Digest::Exchange { round, leaves } => {
            out.put_u8(3);
            out.put_u32(*round);
            // At most EXCHANGE_MAX.
            out.put_u16(leaves.len() as u16);
            leaves.iter().for_each(|leaf| out.put_u16(*leaf));
        }
    }
}

pub(super) fn read_digest(body: &mut Reader<'_>) -> Result<Digest, Malformed> {
    let step = body.u8()?;
    let round = body.u32()?;
    match step {
        0 => Ok(Digest::Top { round, sums: read_sums(body, TOPS)? }),
        1 => {
            let top = body.u8()?;
            Ok(Digest::Leaves { round, top, sums: read_sums(body, LEAVES)? })
        }
        2 => Ok(Digest::Done { round }),
        3 => {
            let count = body.u16()?;
            if usize::from(count) > Digest::EXCHANGE_MAX {
                return Err(Malformed::Value);
            }
            let mut leaves = Vec::with_capacity(count.into());
            for _ in 0..count {
                let leaf = body.u16()?;
                if usize::from(leaf) >= TOPS * LEAVES {
                    return Err(Malformed::Value);
                }
                leaves.push(leaf);
            }
            Ok(Digest::Exchange { round, leaves })
        }
        _ => Err(Malformed::Value),
    }
}
