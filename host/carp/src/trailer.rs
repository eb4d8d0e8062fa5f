//! What Evergates add behind the 36 bytes of an advert.
//!
//! CARP's digest covers neither advskew, advbase nor demotion, and nothing in an
//! advert tells a fresh one from a recorded one: whoever saw a single advert can
//! depose the MASTER. All implementations ignore bytes behind the advert, so there
//! is room for a remedy (all numbers big-endian):
//!
//! ```text
//!  0      2       3       4        6          8           12
//! +------+-------+-------+--------+----------+-----------+
//! |magic |version| flags | length | demotion | interval  |
//! +------+-------+-------+--------+----------+-----------+
//! | sender (8)  | epoch (8)  | sequence (8)              |  12..36
//! +------------------------------------------------------+
//! | room for later versions (length - 68 bytes)          |
//! +------------------------------------------------------+
//! | HMAC-SHA256 (32)                                     |
//! +------------------------------------------------------+
//! ```
//!
//! - `length` counts the whole trailer. What a later minor change adds before the
//!   tag is authenticated and ignored. Flags that are not known are ignored.
//! - `interval` is the sender's own interval in microseconds, without the skew; 0
//!   if it keeps to advbase and advskew.
//! - `flags`: 1 = the sender takes leave, 2 = sent over IPv6. The second binds the
//!   advert to its family, because each family has its own replay window.
//! - `epoch` grows with each start of the sender and `sequence` with each advert,
//!   so that (epoch, sequence) strictly increases. Epochs of different senders are
//!   never compared.
//! - The tag covers the 36 bytes as sent, their checksum included, and the trailer
//!   up to the tag. Its key is derived from the passphrase by HMAC-SHA256 in the
//!   manner of HKDF (RFC 5869) under labels of its own.
//!
//! What remains: an advert that never arrived is new whenever it does. So an
//! attacker can deliver, once each and in their order, adverts that were held back
//! or recorded while the receiver was down, as long as nothing newer of their
//! sender arrived. Against that, what [`ReplayGuard::seen`] tells is to be kept
//! across a restart, and gateways that share another trusted channel should give
//! it to each other ([`ReplayGuard::restore`]).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use evergate_wire::Af;
use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::advert::ADVERT_LEN;
use crate::pace::{INTERVAL_MAX, INTERVAL_MIN};
use crate::{Passphrase, Refused};

/// The bytes of a trailer of this version.
pub const TRAILER_LEN: usize = FIELDS_LEN + TAG_LEN;
/// The most senders of one vhid that are remembered.
pub const SENDERS_MAX: usize = 64;

const MAGIC: [u8; 2] = [0xe6, 0xc7];
const VERSION: u8 = 1;
const FIELDS_LEN: usize = 36;
const TAG_LEN: usize = 32;
const FLAG_BOW_OUT: u8 = 1;
const FLAG_V6: u8 = 2;
/// RFC 5869's salt: keeps this key apart from all other uses of the passphrase.
const KEY_SALT: &[u8] = b"evergate carp";
/// RFC 5869's info and the number of its first block.
const KEY_INFO: &[u8] = b"advert trailer v1\x01";

/// What a vhid does with trailers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrailerPolicy {
    /// Neither sent nor looked at.
    Off,
    /// Sent, and believed where a peer sends it. Adverts without one are accepted
    /// too, so an attacker may just cut it off: this gives ties and demotions
    /// between Evergates, not safety.
    #[default]
    Use,
    /// Adverts without one are refused.
    Require,
}

/// The identity of a gateway, the same for all its vhids and across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// The fields of a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Who sent it.
    pub sender: NodeId,
    /// Grows with each start of the sender.
    pub epoch: u64,
    /// Grows with each advert within an epoch.
    pub sequence: u64,
    /// The sender's own interval without skew, 10 ms to 255 s; `None`: a classic
    /// pace.
    pub interval: Option<Duration>,
    /// The sender's whole demotion; the advert's own field ends at 255.
    pub demotion: u16,
    /// The family in which the advert is sent.
    pub family: Af,
    /// Whether the sender takes leave.
    pub bow_out: bool,
}

/// The key of the trailers of one vhid.
#[derive(Clone)]
pub struct TrailerKey(Hmac<Sha256>);

impl TrailerKey {
    /// Derives the key from the passphrase.
    pub fn derive(passphrase: &Passphrase) -> Self {
        let keyed = |key: &[u8]| {
            Hmac::<Sha256>::new_from_slice(key).expect("invariant: HMAC takes keys of any length")
        };
        let extracted = keyed(KEY_SALT).chain_update(passphrase.key()).finalize().into_bytes();
        let expanded = keyed(&extracted).chain_update(KEY_INFO).finalize().into_bytes();
        Self(keyed(&expanded))
    }

    fn tag(&self, advert: &[u8; ADVERT_LEN], trailer: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(advert).chain_update(trailer)
    }
}

impl fmt::Debug for TrailerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrailerKey(..)")
    }
}

impl Trailer {
    /// The bytes to send behind `advert`.
    pub fn seal(&self, key: &TrailerKey, advert: &[u8; ADVERT_LEN]) -> [u8; TRAILER_LEN] {
        let interval = self
            .interval
            .map_or(0, |interval| u32::try_from(interval.as_micros()).unwrap_or(u32::MAX));
        let mut flags = if self.bow_out { FLAG_BOW_OUT } else { 0 };
        flags |= match self.family {
            Af::V4 => 0,
            Af::V6 => FLAG_V6,
        };
        let mut bytes = [0; TRAILER_LEN];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2..4].copy_from_slice(&[VERSION, flags]);
        bytes[4..6].copy_from_slice(&(TRAILER_LEN as u16).to_be_bytes());
        bytes[6..8].copy_from_slice(&self.demotion.to_be_bytes());
        bytes[8..12].copy_from_slice(&interval.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.sender.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[28..FIELDS_LEN].copy_from_slice(&self.sequence.to_be_bytes());
        let tag = key.tag(advert, &bytes[..FIELDS_LEN]).finalize().into_bytes();
        bytes[FIELDS_LEN..].copy_from_slice(&tag);
        bytes
    }

    /// Reads and authenticates the trailer behind `advert` that came in by
    /// `family`. `None`: there is none that this version knows.
    ///
    /// # Errors
    ///
    /// `badtrailer` if it is cut off or impossible, `badtag` if the advert or the
    /// trailer is not as it was sent.
    pub fn open(
        key: &TrailerKey,
        advert: &[u8; ADVERT_LEN],
        family: Af,
        behind: &[u8],
    ) -> Result<Option<Self>, Refused> {
        if !behind.starts_with(&MAGIC) || behind.get(2) != Some(&VERSION) {
            return Ok(None);
        }
        let length = usize::from(u16::from_be_bytes(field(behind, 4)?));
        let trailer = behind.get(..length).ok_or(Refused::BadTrailer)?;
        let (fields, tag) = trailer.split_last_chunk::<TAG_LEN>().ok_or(Refused::BadTrailer)?;
        if fields.len() < FIELDS_LEN {
            return Err(Refused::BadTrailer);
        }
        key.tag(advert, fields).verify_slice(tag).map_err(|_| Refused::BadTag)?;

        let [flags] = field(fields, 3)?;
        let sent_in = if flags & FLAG_V6 == 0 { Af::V4 } else { Af::V6 };
        if sent_in != family {
            return Err(Refused::BadTag);
        }
        Ok(Some(Self {
            sender: NodeId(u64::from_be_bytes(field(fields, 12)?)),
            epoch: u64::from_be_bytes(field(fields, 20)?),
            sequence: u64::from_be_bytes(field(fields, 28)?),
            interval: interval(u32::from_be_bytes(field(fields, 8)?))?,
            demotion: u16::from_be_bytes(field(fields, 6)?),
            family,
            bow_out: flags & FLAG_BOW_OUT != 0,
        }))
    }
}

fn interval(micros: u32) -> Result<Option<Duration>, Refused> {
    let interval = Duration::from_micros(micros.into());
    if interval.is_zero() {
        return Ok(None);
    }
    let possible = (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval);
    if possible { Ok(Some(interval)) } else { Err(Refused::BadTrailer) }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Refused> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    field.copied().ok_or(Refused::BadTrailer)
}

/// The newest advert of one sender in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The sender.
    pub sender: NodeId,
    /// The family.
    pub family: Af,
    /// Its epoch.
    pub epoch: u64,
    /// The highest sequence of that epoch.
    pub sequence: u64,
}

/// Remembers the newest advert of every sender and refuses what is not newer.
///
/// Each family has a window of its own: two sockets may be read in either order.
/// At most [`SENDERS_MAX`] senders are remembered and none is forgotten; only who
/// knows the passphrase can add one.
#[derive(Clone, Debug, Default)]
pub struct ReplayGuard {
    newest: BTreeMap<(NodeId, Af), (u64, u64)>,
}

impl ReplayGuard {
    /// Takes note of an authenticated trailer.
    ///
    /// # Errors
    ///
    /// `replay` if it is not newer than all before, `senders` if there is no room
    /// for one more sender.
    pub fn check(&mut self, trailer: &Trailer) -> Result<(), Refused> {
        let seen = Seen {
            sender: trailer.sender,
            family: trailer.family,
            epoch: trailer.epoch,
            sequence: trailer.sequence,
        };
        self.note(seen)
    }

    /// What is remembered, to be kept across a restart.
    pub fn seen(&self) -> impl Iterator<Item = Seen> {
        self.newest.iter().map(|(&(sender, family), &(epoch, sequence))| Seen {
            sender,
            family,
            epoch,
            sequence,
        })
    }

    /// Takes in what [`Self::seen`] told before a restart, or another gateway's told
    /// now. What is older than known changes nothing.
    pub fn restore(&mut self, kept: impl IntoIterator<Item = Seen>) {
        for seen in kept {
            // Older, or one too many: the present knowledge stands.
            let _ = self.note(seen);
        }
    }

    fn note(&mut self, seen: Seen) -> Result<(), Refused> {
        let newest = (seen.epoch, seen.sequence);
        let key = (seen.sender, seen.family);
        let room = self.newest.len() < 2 * SENDERS_MAX;
        match self.newest.get_mut(&key) {
            Some(known) if *known >= newest => {
                Err(Refused::Replay { sender: seen.sender.0, sequence: seen.sequence })
            }
            Some(known) => {
                *known = newest;
                Ok(())
            }
            None if room => {
                self.newest.insert(key, newest);
                Ok(())
            }
            None => Err(Refused::Senders),
        }
    }
}

#[cfg(test)]
mod tests;
