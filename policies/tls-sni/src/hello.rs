//! The server name in the beginning of a TLS connection (RFC 8446 §4.1.2, RFC 6066 §3).
//!
//! The ClientHello may lie in several TLS records; they are read through as one.

/// The longest server name that is looked at: what DNS can hold.
pub const NAME_MAX: usize = 255;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const VERSION_AND_RANDOM: usize = 2 + 32;

/// A server name.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Name {
    /// Returns the name as it was sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What the beginning of a connection tells.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "it lives as long as one call")]
pub enum Hello {
    /// It says to which server it wants.
    Named(Name),
    /// It is TLS, but says no name.
    Unnamed,
    /// It is not TLS.
    Other,
    /// There has to come more before it can be told.
    More,
}

/// Why reading ends early.
enum Stop {
    More,
    Other,
}

/// The handshake's bytes, with the headers of the records taken out.
struct Handshake<'a> {
    rest: &'a [u8],
    /// Bytes left of the record.
    record: usize,
}

impl Handshake<'_> {
    /// Goes to the next record if this one is used up.
    fn refill(&mut self) -> Result<(), Stop> {
        while self.record == 0 {
            let Some((header, rest)) = self.rest.split_at_checked(5) else {
                let (kind, major) = (self.rest.first(), self.rest.get(1));
                let fits = kind.is_none_or(|b| *b == HANDSHAKE) && major.is_none_or(|b| *b == 3);
                return Err(if fits { Stop::More } else { Stop::Other });
            };
            if header[0] != HANDSHAKE || header[1] != 3 {
                return Err(Stop::Other);
            }
            self.record = usize::from(u16::from_be_bytes([header[3], header[4]]));
            if self.record == 0 {
                return Err(Stop::Other);
            }
            self.rest = rest;
        }
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, Stop> {
        self.refill()?;
        let (first, rest) = self.rest.split_first().ok_or(Stop::More)?;
        self.rest = rest;
        self.record -= 1;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, Stop> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn skip(&mut self, mut n: usize) -> Result<(), Stop> {
        while n > 0 {
            self.refill()?;
            let step = n.min(self.record);
            self.rest = self.rest.get(step..).ok_or(Stop::More)?;
            self.record -= step;
            n -= step;
        }
        Ok(())
    }
}

/// Looks for the server name.
pub fn read(payload: &[u8]) -> Hello {
    match client_hello(&mut Handshake { rest: payload, record: 0 }) {
        Ok(Some(name)) => Hello::Named(name),
        Ok(None) => Hello::Unnamed,
        Err(Stop::More) => Hello::More,
        Err(Stop::Other) => Hello::Other,
    }
}

fn client_hello(hello: &mut Handshake<'_>) -> Result<Option<Name>, Stop> {
    if hello.u8()? != CLIENT_HELLO {
        return Err(Stop::Other);
    }
    let mut left = usize::from(hello.u8()?) << 16 | usize::from(hello.u16()?);
    let mut take = |n: usize| {
        left = left.checked_sub(n).ok_or(Stop::Other)?;
        Ok(left)
    };
    take(VERSION_AND_RANDOM)?;
    hello.skip(VERSION_AND_RANDOM)?;
    take(1)?;
    let session = usize::from(hello.u8()?);
    take(session)?;
    hello.skip(session)?;
    take(2)?;
    let ciphers = usize::from(hello.u16()?);
    take(ciphers)?;
    hello.skip(ciphers)?;
    take(1)?;
    let compressions = usize::from(hello.u8()?);
    if take(compressions)? == 0 {
        // Extensions may be left out altogether.
        hello.skip(compressions)?;
        return Ok(None);
    }
    hello.skip(compressions)?;
    take(2)?;
    let extensions = usize::from(hello.u16()?);
    take(extensions)?;
    server_name(hello, extensions)
}

fn server_name(hello: &mut Handshake<'_>, mut left: usize) -> Result<Option<Name>, Stop> {
    while left > 0 {
        left = left.checked_sub(4).ok_or(Stop::Other)?;
        let (kind, length) = (hello.u16()?, usize::from(hello.u16()?));
        left = left.checked_sub(length).ok_or(Stop::Other)?;
        if kind != SERVER_NAME {
            hello.skip(length)?;
            continue;
        }
        let (list, name_type, len) =
            (usize::from(hello.u16()?), hello.u8()?, usize::from(hello.u16()?));
        if list + 2 != length || len + 3 > list || name_type != HOST_NAME || len > NAME_MAX {
            return Err(Stop::Other);
        }
        let mut name = Name { bytes: [0; NAME_MAX], len };
        for byte in &mut name.bytes[..len] {
            *byte = hello.u8()?;
        }
        return Ok(Some(name));
    }
    Ok(None)
}
