//! Tables of packets and verdicts for `evergate policy test` and `bench`.
//!
//! A file has suites: the settings and tables of a gateway, and cases in the order of their time. A
//! case is a packet, the verdict, and what is claimed, in words:
//!
//! ```text
//! [[suite]]
//! name = "ports"
//! settings = { tcp = [22, 443] }
//! tables = { bad = ["192.0.2.0/24"] }
//! cases = [
//!   ["tcp 10.0.0.5:4000 10.0.0.1:22", "pass rule=1", "SSH"],
//! ]
//! counters = { refused = 0 }
//!
//! tcp SRC:PORT DST:PORT   udp ..   icmp SRC DST type=8 code=0   icmp6 ..   proto=132 SRC DST
//!   flags=SA at=250 wall=SECONDS dir=to|from in=lan|wan|unknown out=.. tag=NAME length=60 ttl=64
//!   tos=0 sport=1 dport=2 reassembled options super
//!   hex=16030100.. | text=GET_/ | query=ads.example.com   cut=1,30   more
//!
//! continue | pass | block | rst | icmp[=CODE] | inspect | failed
//!   rule=1 label=NAME tag=NAME log keep=none|sloppy|loose options each
//! ```
//!
//! `at` counts milliseconds, `wall` seconds since 1970 or a time like 2026-03-02T08:00:00 in UTC; a
//! case without them is at the time of the one before. A packet with `hex`, `text` or `query` (a DNS
//! query, behind its length if by TCP) has that payload, shown to a policy that wants to inspect:
//! first the bytes up to each `cut`, then all; `more` says that it is not the end. The verdict is that
//! on the last, and its tag the packet's tag after the policy.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use evergate_abi::{Direction, IF_UNKNOWN, Request, flags};
use evergate_policy::Params;
use serde::Deserialize;

use super::module::INTERFACES;

/// A file of cases.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    #[serde(default, rename = "suite")]
    pub(super) suites: Vec<Suite>,
}

/// A gateway and its cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suite {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) settings: Params,
    #[serde(default)]
    pub(super) tables: BTreeMap<String, Vec<String>>,
    pub(super) cases: Vec<(String, String, String)>,
    #[serde(default)]
    pub(super) counters: BTreeMap<String, u64>,
}

/// A packet and when it arrives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) request: Request,
    pub(super) tag: Option<String>,
    pub(super) at_ms: Option<u64>,
    pub(super) wall_s: Option<u64>,
    /// What is shown of its payload, one after the other.
    pub(super) payload: Vec<Shown>,
}

/// What is shown of a payload at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) bytes: Vec<u8>,
    pub(super) end: bool,
}

/// The words about payload, before they are put together.
#[derive(Default)]
struct Words {
    bytes: Option<Vec<u8>>,
    cuts: Vec<usize>,
    more: bool,
}

pub(super) fn parse(text: &str) -> anyhow::Result<Table> {
    toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.to_string().trim()))
}

/// Reads a packet.
pub(super) fn packet(text: &str) -> anyhow::Result<Packet> {
    let mut words = text.split_whitespace();
    let proto = words.next().context("an empty packet")?;
    let number = match proto.strip_prefix("proto=") {
        Some(number) => number.parse().ok(),
        None => crate::render::proto_number(proto),
    };
    let number = number.with_context(|| format!("`{proto}` is no protocol"))?;
    let mut end = || -> anyhow::Result<(IpAddr, u16)> {
        let text = words.next().context("a packet has a source and a destination")?;
        let both = text.parse::<SocketAddr>().map(|both| (both.ip(), both.port()));
        let both = both.or_else(|_| text.parse().map(|address| (address, 0)));
        both.ok().with_context(|| format!("`{text}` is no address"))
    };
    let ((src, sport), (dst, dport)) = (end()?, end()?);
    let request = Request {
        af: if src.is_ipv4() { 4 } else { 6 },
        proto: number,
        tcp_flags: if proto == "tcp" { 2 } else { 0 },
        src: octets(src),
        dst: octets(dst),
        sport,
        dport,
        in_if: 1,
        out_if: 2,
        length: 60,
        ttl: 64,
        ..Request::default()
    };
    let mut packet = Packet { request, ..Packet::default() };
    let mut payload = Words::default();
    for word in words {
        let place = || format!("`{word}`");
        if !payload.word(word, proto == "tcp").with_context(place)? {
            packet.word(word).with_context(place)?;
        }
    }
    packet.payload = payload.shown();
    Ok(packet)
}

impl Packet {
    fn word(&mut self, word: &str) -> anyhow::Result<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let request = &mut self.request;
        match key {
            "flags" => request.tcp_flags = tcp_flags(value)?,
            "type" => request.icmp_type = value.parse()?,
            "code" => request.icmp_code = value.parse()?,
            "sport" => request.sport = value.parse()?,
            "dport" => request.dport = value.parse()?,
            "length" => request.length = value.parse()?,
            "ttl" => request.ttl = value.parse()?,
            "tos" => request.tos = value.parse()?,
            "in" => request.in_if = interface(value)?,
            "out" => request.out_if = interface(value)?,
            "reassembled" => request.flags |= flags::REASSEMBLED,
            "options" => request.flags |= flags::IP_OPTIONS,
            "super" => request.flags |= flags::SUPER_PACKET,
            "dir" => match value {
                "to" => (request.direction, request.out_if) = (Direction::ToGateway, 0),
                "from" => (request.direction, request.in_if) = (Direction::FromGateway, 0),
                _ => bail!("a direction is `to` or `from`"),
            },
            "tag" => self.tag = Some(value.to_owned()),
            "at" => self.at_ms = Some(value.parse()?),
            "wall" => self.wall_s = Some(wall(value)?),
            _ => bail!("nothing of a packet"),
        }
        Ok(())
    }
}

impl Words {
    /// Takes a word if it is about payload.
    fn word(&mut self, word: &str, is_tcp: bool) -> anyhow::Result<bool> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "hex" => self.bytes = Some(hex(value)?),
            "text" => self.bytes = Some(value.replace('_', " ").into_bytes()),
            "query" => self.bytes = Some(query(value, is_tcp)?),
            "cut" => {
                let cuts: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                self.cuts = cuts?;
            }
            "more" => self.more = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn shown(self) -> Vec<Shown> {
        let Some(bytes) = self.bytes else { return Vec::new() };
        let before = self.cuts.iter().filter_map(|cut| bytes.get(..*cut));
        let mut all: Vec<Shown> =
            before.map(|part| Shown { bytes: part.to_vec(), end: false }).collect();
        all.push(Shown { bytes, end: !self.more });
        all
    }
}

/// A DNS query for the addresses of a name (RFC 1035 §4.1), behind its length if by TCP (§4.2.2).
fn query(name: &str, is_tcp: bool) -> anyhow::Result<Vec<u8>> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len())?);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    if is_tcp {
        let length = u16::try_from(message.len())?.to_be_bytes();
        message.splice(..0, length);
    }
    Ok(message)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn tcp_flags(letters: &str) -> anyhow::Result<u8> {
    letters.chars().try_fold(0, |all, letter| {
        let bit = "FSRPAUEC".find(letter).context("TCP's flags are F S R P A U E C")?;
        Ok(all | 1 << bit)
    })
}

fn interface(name: &str) -> anyhow::Result<u16> {
    if name == "unknown" {
        return Ok(IF_UNKNOWN);
    }
    let place = INTERFACES.iter().position(|known| *known == name);
    place
        .and_then(|place| u16::try_from(place).ok())
        .context("the interfaces are self, lan, wan and unknown")
}

fn hex(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs
        .map(byte)
        .collect::<Option<_>>()
        .filter(|_| digits.len().is_multiple_of(2))
        .context("payload is an even number of hexadecimal digits")
}

/// Seconds since 1970, as a number or as a time in UTC.
fn wall(text: &str) -> anyhow::Result<u64> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let wrong = || format!("`{text}` is no time like 2026-03-02T08:00:00");
    let parts: Option<Vec<u64>> = text.split(['-', 'T', ':']).map(|p| p.parse().ok()).collect();
    let Some(&[year, month, day, hour, minute, second]) = parts.as_deref() else {
        bail!(wrong());
    };
    let good = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    anyhow::ensure!(good, wrong());
    // Days from a civil date, with years that begin in March.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    Ok((((days - 719_469) * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_what_its_words_say() {
        let it = packet("tcp 10.0.0.5:4000 [2001:db8::1]:22 flags=SA at=250 dir=to in=wan tag=t")
            .unwrap();
        let request = it.request;
        assert_eq!((request.proto, request.sport, request.dport), (6, 4000, 22));
        assert_eq!((request.tcp_flags, request.in_if, request.out_if), (0x12, 2, 0));
        assert_eq!((it.at_ms, it.tag.as_deref()), (Some(250), Some("t")));
        let it = packet("udp 10.0.0.5:1 10.0.0.1:53 hex=0a0B more reassembled").unwrap();
        let all = Shown { bytes: vec![10, 11], end: false };
        assert_eq!((it.payload, it.request.flags), (vec![all], 1));
        let it = packet("tcp 10.0.0.5:1 10.0.0.1:53 text=G_x cut=1,2").unwrap();
        let shown: Vec<(&[u8], bool)> =
            it.payload.iter().map(|shown| (shown.bytes.as_slice(), shown.end)).collect();
        assert_eq!(shown, [(&b"G"[..], false), (b"G ", false), (b"G x", true)]);
        let it = packet("tcp 10.0.0.5:1 10.0.0.1:53 query=a.bc").unwrap();
        let question = [0, 22, 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 2, b'b', b'c'];
        assert_eq!(it.payload[0].bytes[..19], question);
        assert_eq!(packet("proto=132 ::1 ::2 dport=9").unwrap().request.dport, 9);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, words) in [
            ("", "an empty packet"),
            ("tcq 1.2.3.4 1.2.3.4", "`tcq` is no protocol"),
            ("tcp 1.2.3.4:1", "a source and a destination"),
            ("tcp 1.2.3:1 1.2.3.4:1", "`1.2.3:1` is no address"),
            ("tcp 1.2.3.4:1 1.2.3.4:1 flags=X", "TCP's flags are"),
            ("tcp 1.2.3.4:1 1.2.3.4:1 in=dmz", "the interfaces are"),
            ("udp 1.2.3.4:1 1.2.3.4:1 hex=abc", "an even number"),
            ("udp 1.2.3.4:1 1.2.3.4:1 wall=2026-13-01T00:00:00", "is no time like"),
            ("udp 1.2.3.4:1 1.2.3.4:1 colour=red", "nothing of a packet"),
        ] {
            let said = format!("{:#}", packet(text).unwrap_err());
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn times_are_read_right() {
        // From `date -u -d ... +%s`.
        for (text, seconds) in [
            ("1970-01-01T00:00:00", 0),
            ("2024-02-29T12:00:00", 1_709_208_000),
            ("2026-03-02T08:00:01", 1_772_438_401),
            ("2100-03-01T00:00:00", 4_107_542_400),
        ] {
            assert_eq!(wall(text).unwrap(), seconds, "{text}");
        }
    }
}
