//! The name in a DNS question (RFC 1035 §4.1).

/// The longest name in its text form.
pub const NAME_MAX: usize = 254;

const HEADER: usize = 12;
const LABEL_MAX: u8 = 63;

/// A name in its text form, without the final dot.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Name {
    /// Returns the name; the root is empty.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }
}

/// Reads the name that a message asks for; `None` if it is not one query with one question whose
/// name can be read.
pub fn read(message: &[u8]) -> Option<Name> {
    let (header, mut rest) = message.split_at_checked(HEADER)?;
    let is_response = header[2] & 0x80 != 0;
    if is_response || header[4..6] != [0, 1] {
        return None;
    }
    let mut name = Name { bytes: [0; NAME_MAX], len: 0 };
    loop {
        let (length, tail) = rest.split_first()?;
        if *length == 0 {
            // Type and class follow.
            return (tail.len() >= 4).then_some(name);
        }
        if *length > LABEL_MAX {
            return None;
        }
        if name.len > 0 {
            name.push(b'.')?;
        }
        let (label, tail) = tail.split_at_checked(usize::from(*length))?;
        for byte in label {
            // A dot within a label would look like two labels.
            name.push(if *byte == b'.' { 0 } else { *byte })?;
        }
        rest = tail;
    }
}
