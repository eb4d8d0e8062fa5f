//! The 36 bytes of a CARP v2 advertisement.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type  |     vhid      |    advskew    |   authlen=7   |
//! +-------+-------+---------------+---------------+---------------+
//! |   demotion    |    advbase    |           checksum            |
//! +---------------+---------------+-------------------------------+
//! |                       counter (8 bytes)                       |
//! +---------------------------------------------------------------+
//! |                HMAC-SHA1 digest (20 bytes) ...                |
//! +---------------------------------------------------------------+
//! ```
//!
//! The checksum is that of RFC 1071 over the 36 bytes, without a pseudo header in
//! either family. Neither the type nor authlen is looked at when an advert is
//! received: no implementation does.

use std::fmt;
use std::num::NonZeroU8;

use evergate_wire::checksum;

use crate::Refused;

/// The bytes of an advert without a trailer.
pub const ADVERT_LEN: usize = 36;
/// CARP's version.
pub const VERSION: u8 = 2;
/// The only type that is ever sent.
pub const ADVERTISEMENT: u8 = 1;
/// The advbase and advskew by which a MASTER takes leave.
pub const BOW_OUT: (u8, u8) = (255, 255);

/// Counter and digest in words of 32 bits.
const AUTH_WORDS: u8 = 7;

/// A virtual host id, 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vhid(NonZeroU8);

impl Vhid {
    /// The id, or `None` for 0.
    pub const fn new(vhid: u8) -> Option<Self> {
        match NonZeroU8::new(vhid) {
            Some(vhid) => Some(Self(vhid)),
            None => None,
        }
    }

    /// The id as on the wire.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vhid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An advert's fields. Decoding one proves nothing about who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The virtual host.
    pub vhid: Vhid,
    /// Seconds between adverts; 255 in a bow-out.
    pub advbase: u8,
    /// 256ths of a second on top; 255 in a bow-out.
    pub advskew: u8,
    /// OpenBSD's demotion counter; others send 0.
    pub demotion: u8,
    /// Opaque to all but its sender.
    pub counter: [u8; 8],
    /// HMAC-SHA1 over version, type, vhid, virtual addresses and counter.
    pub digest: [u8; 20],
}

impl Advert {
    /// The bytes as sent, checksum included.
    pub fn encode(&self) -> [u8; ADVERT_LEN] {
        let mut bytes = [0; ADVERT_LEN];
        bytes[0] = VERSION << 4 | ADVERTISEMENT;
        bytes[1] = self.vhid.get();
        bytes[2] = self.advskew;
        bytes[3] = AUTH_WORDS;
        bytes[4] = self.demotion;
        bytes[5] = self.advbase;
        bytes[8..16].copy_from_slice(&self.counter);
        bytes[16..].copy_from_slice(&self.digest);
        let check = checksum::checksum(&bytes);
        bytes[6..8].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    /// Reads the advert at the start of `payload`; more bytes may follow.
    ///
    /// # Errors
    ///
    /// `badlen`, `badsum`, `badvhid` (0) and `badver`, looked for in this order.
    pub fn decode(payload: &[u8]) -> Result<Self, Refused> {
        let Some(bytes) = payload.first_chunk::<ADVERT_LEN>() else {
            return Err(Refused::BadLen { len: payload.len() });
        };
        if checksum::sum(bytes) != 0xffff {
            return Err(Refused::BadSum);
        }
        let vhid = Vhid::new(bytes[1]).ok_or(Refused::BadVhid { vhid: 0 })?;
        let version = bytes[0] >> 4;
        if version != VERSION {
            return Err(Refused::BadVer { version });
        }
        let mut advert = Self {
            vhid,
            advbase: bytes[5],
            advskew: bytes[2],
            demotion: bytes[4],
            counter: [0; 8],
            digest: [0; 20],
        };
        advert.counter.copy_from_slice(&bytes[8..16]);
        advert.digest.copy_from_slice(&bytes[16..]);
        Ok(advert)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_advert() -> impl Strategy<Value = Advert> {
        let fields = (1..=255_u8, any::<[u8; 3]>(), any::<[u8; 8]>(), any::<[u8; 20]>());
        fields.prop_map(|(vhid, [advbase, advskew, demotion], counter, digest)| Advert {
            vhid: Vhid::new(vhid).unwrap(),
            advbase,
            advskew,
            demotion,
            counter,
            digest,
        })
    }

    /// Sets a byte and makes the checksum right again.
    fn with(mut bytes: [u8; 36], at: usize, value: u8) -> [u8; 36] {
        bytes[at] = value;
        bytes[6..8].copy_from_slice(&[0, 0]);
        let check = checksum::checksum(&bytes).to_be_bytes();
        bytes[6..8].copy_from_slice(&check);
        bytes
    }

    #[test]
    fn each_fault_is_refused_under_its_counter() {
        let good = Advert {
            vhid: Vhid::new(9).unwrap(),
            advbase: 1,
            advskew: 2,
            demotion: 3,
            counter: [4; 8],
            digest: [5; 20],
        };
        let bytes = good.encode();
        let mut flipped = bytes;
        flipped[2] ^= 1;
        for (input, refused) in [
            (&bytes[..35], Refused::BadLen { len: 35 }),
            (&[], Refused::BadLen { len: 0 }),
            (&flipped, Refused::BadSum),
            (&with(bytes, 1, 0), Refused::BadVhid { vhid: 0 }),
            (&with(bytes, 0, 0x31), Refused::BadVer { version: 3 }),
        ] {
            assert_eq!(Advert::decode(input), Err(refused));
        }
        // What no implementation looks at: the type, authlen, trailing bytes.
        for tolerated in [with(bytes, 0, 0x22), with(bytes, 3, 0)] {
            assert_eq!(Advert::decode(&tolerated), Ok(good));
        }
        assert_eq!(Advert::decode(&[&bytes[..], &[0xaa; 9]].concat()), Ok(good));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(advert in any_advert()) {
            prop_assert_eq!(Advert::decode(&advert.encode()), Ok(advert));
        }

        #[test]
        fn any_flipped_bit_is_noticed_by_the_checksum(advert in any_advert(), bit in 0..288_usize) {
            let mut bytes = advert.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Advert::decode(&bytes), Err(Refused::BadSum));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(advert) = Advert::decode(&bytes) {
                prop_assert_eq!(Advert::decode(&advert.encode()), Ok(advert));
            }
        }
    }
}
