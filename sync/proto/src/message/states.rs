//! Bodies of the messages about states and entries.

use std::time::Duration;

use evergate_state::{
    Ends, Exported, Side, StateId, StateKey, StateOptions, TcpPeer, TcpState, Timeout, TimeoutSet,
    Tracking, Traffic, WindowScale,
};
use evergate_wire::{Addr, Af};

use super::Told;
use crate::codec::{Malformed, Reader, Write};
use crate::record::{
    Claim, Clear, Delete, Entry, EntryKey, EntryKind, ID_MAX, Name, Progress, Record,
};

/// Bits of the first byte of every body with a key.
mod flag {
    pub(super) const V6: u8 = 0x01;
    pub(super) const TCP: u8 = 0x02;
    pub(super) const WANTS_ACK: u8 = 0x04;
    pub(super) const BULK: u8 = 0x08;
    pub(super) const INITIATOR_HI: u8 = 0x10;
    pub(super) const LOG: u8 = 0x20;
    pub(super) const ALLOW_OPTIONS: u8 = 0x40;
    /// Of DEL only.
    pub(super) const FINAL: u8 = 0x04;
}

/// How many bytes of unknown fields are kept with a state.
const EXTRA_MAX: usize = 128;

const fn with(condition: bool, flag: u8) -> u8 {
    if condition { flag } else { 0 }
}

const fn family(key: &StateKey) -> u8 {
    match key.af {
        Af::V4 => 0,
        Af::V6 => flag::V6,
    }
}

/// Flags, protocol, addresses, ports: 14 bytes for IPv4, 38 for IPv6.
fn write_key(out: &mut Vec<u8>, flags: u8, key: &StateKey) {
    out.put(&[flags | family(key), key.proto]);
    for addr in key.addr {
        match key.af {
            Af::V4 => out.put(&addr.octets()[12..]),
            Af::V6 => out.put(&addr.octets()),
        }
    }
    out.put_u16(key.port[0]);
    out.put_u16(key.port[1]);
}

fn read_key(body: &mut Reader<'_>) -> Result<(u8, StateKey), Malformed> {
    let flags = body.u8()?;
    let proto = body.u8()?;
    let mut addr = || {
        if flags & flag::V6 == 0 {
            return body.array().map(Addr::from_v4_octets);
        }
        let addr = Addr::from_octets(body.array()?);
        if addr.is_v4() { Err(Malformed::Facts) } else { Ok(addr) }
    };
    let addr = [addr()?, addr()?];
    let af = if flags & flag::V6 == 0 { Af::V4 } else { Af::V6 };
    let port = [body.u16()?, body.u16()?];
    Ok((flags, StateKey { addr, port, proto, af }))
}

pub(super) fn write_key_only(out: &mut Vec<u8>, key: &StateKey) {
    write_key(out, 0, key);
}

pub(super) fn read_key_only(body: &mut Reader<'_>) -> Result<StateKey, Malformed> {
    read_key(body).map(|(_, key)| key)
}

fn write_id(out: &mut Vec<u8>, id: StateId) {
    out.put_u64(id.id);
    out.put_u32(id.creator);
}

fn read_id(body: &mut Reader<'_>) -> Result<StateId, Malformed> {
    let id = StateId { id: body.u64()?, creator: body.u32()? };
    if id.id < ID_MAX { Ok(id) } else { Err(Malformed::Value) }
}

pub(super) fn write_claim(out: &mut Vec<u8>, claim: Claim) {
    out.put_u32(claim.epoch);
    out.put_u32(claim.owner);
}

pub(super) fn read_claim(body: &mut Reader<'_>) -> Result<Claim, Malformed> {
    let claim = Claim { epoch: body.u32()?, owner: body.u32()? };
    if claim.epoch < Claim::EPOCH_MAX { Ok(claim) } else { Err(Malformed::Value) }
}

pub(super) fn write_insert_ack(out: &mut Vec<u8>, key: &StateKey, id: StateId) {
    write_key(out, 0, key);
    write_id(out, id);
}

pub(super) fn read_insert_ack(body: &mut Reader<'_>) -> Result<(StateKey, StateId), Malformed> {
    let (_, key) = read_key(body)?;
    Ok((key, read_id(body)?))
}

pub(super) fn read_clear(body: &mut Reader<'_>) -> Result<Clear, Malformed> {
    let clear = Clear { creator: body.u32()?, upto: body.u64()? };
    if clear.upto < ID_MAX { Ok(clear) } else { Err(Malformed::Value) }
}

/// Whole milliseconds; 584 million years at most.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn read_millis(body: &mut Reader<'_>) -> Result<Duration, Malformed> {
    body.varint().map(Duration::from_millis)
}

pub(super) fn write_delete(out: &mut Vec<u8>, delete: &Delete) {
    write_key(out, with(delete.is_final, flag::FINAL), &delete.key);
    write_id(out, delete.id);
    out.put_u32(delete.epoch);
    out.put_varint(millis(delete.ago));
    out.put_varint(millis(delete.idle));
}

pub(super) fn read_delete(body: &mut Reader<'_>) -> Result<Delete, Malformed> {
    let (flags, key) = read_key(body)?;
    Ok(Delete {
        key,
        id: read_id(body)?,
        epoch: body.u32()?,
        is_final: flags & flag::FINAL != 0,
        ago: read_millis(body)?,
        idle: read_millis(body)?,
    })
}

fn tcp_flag(ends: &Ends) -> u8 {
    with(matches!(ends, Ends::Tcp(_)), flag::TCP)
}

const fn scale_byte(scale: WindowScale) -> u8 {
    match (scale, scale.known()) {
        (_, Some(shift)) => shift,
        (WindowScale::ABSENT, None) => 0xfe,
        (WindowScale::UNKNOWN, None) => 0xfd,
        (_, None) => 0xff,
    }
}

const fn scale_of(byte: u8) -> Result<WindowScale, Malformed> {
    match byte {
        0..=WindowScale::MAX_SHIFT => Ok(WindowScale::shift_by(byte)),
        0xff => Ok(WindowScale::AWAITED),
        0xfe => Ok(WindowScale::ABSENT),
        0xfd => Ok(WindowScale::UNKNOWN),
        _ => Err(Malformed::Value),
    }
}

fn tcp_state(number: u8) -> Result<TcpState, Malformed> {
    let known = TcpState::ALL.into_iter().find(|state| *state as u8 == number);
    known.ok_or(Malformed::Value)
}

const fn traffic(number: u8) -> Result<Traffic, Malformed> {
    match number {
        0 => Ok(Traffic::None),
        1 => Ok(Traffic::Single),
        2 => Ok(Traffic::Multiple),
        _ => Err(Malformed::Value),
    }
}

/// Both states in one byte, the low end's in the low half; for TCP the numbers
/// follow: 23 bytes, or 1.
fn write_ends(out: &mut Vec<u8>, ends: &Ends) {
    match ends {
        Ends::Tcp(peers) => {
            out.put_u8(peers[0].state as u8 | (peers[1].state as u8) << 4);
            for peer in peers {
                out.put_u32(peer.seqlo);
                out.put_u32(peer.seqhi);
                out.put_u16(peer.max_win);
                out.put_u8(scale_byte(peer.wscale));
            }
        }
        Ends::Datagram(ends) => out.put_u8(ends[0] as u8 | (ends[1] as u8) << 4),
    }
}

fn read_ends(body: &mut Reader<'_>, flags: u8) -> Result<Ends, Malformed> {
    let states = body.u8()?;
    let (lo, hi) = (states & 0xf, states >> 4);
    if flags & flag::TCP == 0 {
        return Ok(Ends::Datagram([traffic(lo)?, traffic(hi)?]));
    }
    let mut peer = |state| {
        Ok(TcpPeer {
            state: tcp_state(state)?,
            seqlo: body.u32()?,
            seqhi: body.u32()?,
            max_win: body.u16()?,
            wscale: scale_of(body.u8()?)?,
        })
    };
    Ok(Ends::Tcp([peer(lo)?, peer(hi)?]))
}

pub(super) fn write_progress(out: &mut Vec<u8>, progress: &Progress) {
    write_key(out, tcp_flag(&progress.ends), &progress.key);
    out.put_u32(progress.tag);
    out.put_u16(u16::try_from(millis(progress.idle)).unwrap_or(u16::MAX));
    write_ends(out, &progress.ends);
}

pub(super) fn read_progress(body: &mut Reader<'_>) -> Result<Progress, Malformed> {
    let (flags, key) = read_key(body)?;
    Ok(Progress {
        key,
        tag: body.u32()?,
        idle: Duration::from_millis(body.u16()?.into()),
        ends: read_ends(body, flags)?,
    })
}

pub(super) fn write_told(out: &mut Vec<u8>, told: &Told) {
    let Record { state, claim, revision, extra } = &told.record;
    let options = &state.options;
    let flags = tcp_flag(&state.ends)
        | with(told.wants_ack, flag::WANTS_ACK)
        | with(told.bulk, flag::BULK)
        | with(state.initiator == Side::Hi, flag::INITIATOR_HI)
        | with(options.log, flag::LOG)
        | with(options.allow_options, flag::ALLOW_OPTIONS);
    write_key(out, flags, &state.key);
    write_id(out, state.id);
    write_claim(out, *claim);
    out.put_u16(*revision);
    out.put(&[options.tracking as u8, state.timeout as u8]);
    for number in [
        options.policy,
        options.rule,
        options.label,
        options.tag,
        options.in_if,
        options.out_if,
        options.timeouts.0,
    ] {
        out.put_u16(number);
    }
    write_ends(out, &state.ends);
    out.put_varint(millis(state.age));
    out.put_varint(millis(state.idle));
    for count in state.packets.into_iter().chain(state.bytes) {
        out.put_varint(count);
    }
    if let Some(extra) = extra {
        out.put(extra.as_bytes());
    }
}

pub(super) fn read_told(body: &mut Reader<'_>, is_insert: bool) -> Result<Told, Malformed> {
    let (flags, key) = read_key(body)?;
    let id = read_id(body)?;
    let claim = read_claim(body)?;
    let revision = body.u16()?;
    let tracking = match body.u8()? {
        0 => Tracking::Strict,
        1 => Tracking::Loose,
        2 => Tracking::Sloppy,
        _ => return Err(Malformed::Value),
    };
    let timeout = usize::from(body.u8()?);
    let timeout = *Timeout::ALL.get(timeout).ok_or(Malformed::Value)?;
    let options = StateOptions {
        tracking,
        policy: body.u16()?,
        rule: body.u16()?,
        label: body.u16()?,
        tag: body.u16()?,
        in_if: body.u16()?,
        out_if: body.u16()?,
        timeouts: TimeoutSet(body.u16()?),
        log: flags & flag::LOG != 0,
        allow_options: flags & flag::ALLOW_OPTIONS != 0,
    };
    let ends = read_ends(body, flags)?;
    let (age, idle) = (read_millis(body)?, read_millis(body)?);
    let packets = [body.varint()?, body.varint()?];
    let bytes = [body.varint()?, body.varint()?];
    let initiator = if flags & flag::INITIATOR_HI == 0 { Side::Lo } else { Side::Hi };
    let state = Exported { key, id, initiator, ends, packets, bytes, age, idle, timeout, options };
    state.check().map_err(|_| Malformed::Facts)?;
    let told = Told {
        record: Record { state, claim, revision, extra: read_extra(*body)? },
        is_insert,
        wants_ack: flags & flag::WANTS_ACK != 0,
        bulk: flags & flag::BULK != 0,
    };
    Ok(told)
}

/// Fields that this version does not know: whole ones, as many as may be kept.
fn read_extra(body: Reader<'_>) -> Result<Option<Name>, Malformed> {
    let mut fields = body;
    let mut kept = 0;
    while !fields.is_empty() {
        let [_, len] = fields.array()?;
        fields.take(len.into())?;
        let end = body.rest().len() - fields.rest().len();
        if end <= EXTRA_MAX {
            kept = end;
        }
    }
    if kept == 0 { Ok(None) } else { Ok(Name::new(&body.rest()[..kept])) }
}

pub(super) fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    let Entry { key, removed, ttl, value } = entry;
    out.put(&[with(*removed, 1) | with(ttl.is_some(), 2), key.kind as u8]);
    out.put(&key.addr.octets());
    out.put_u8(key.prefix_len);
    // A name is at most 255 bytes long.
    out.put_u8(key.name.as_bytes().len() as u8);
    out.put(key.name.as_bytes());
    out.put_varint(ttl.map_or(0, millis));
    out.put_varint(*value);
}

pub(super) fn read_entry(body: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let flags = body.u8()?;
    let kind = match body.u8()? {
        0 => EntryKind::Table,
        1 => EntryKind::Meter,
        _ => return Err(Malformed::Value),
    };
    let addr = Addr::from_octets(body.array()?);
    let prefix_len = body.u8()?;
    if prefix_len > 128 {
        return Err(Malformed::Value);
    }
    let len = body.u8()?;
    let name = Name::new(body.take(len.into())?).ok_or(Malformed::Length)?;
    let ttl = read_millis(body)?;
    Ok(Entry {
        key: EntryKey { kind, name, addr, prefix_len },
        removed: flags & 1 != 0,
        ttl: (flags & 2 != 0).then_some(ttl),
        value: body.varint()?,
    })
}
