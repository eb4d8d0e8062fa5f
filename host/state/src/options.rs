//! What a policy's verdict says about the state it makes.

/// How closely TCP states follow the sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tracking {
    /// A state begins with a SYN, and every segment must lie in the windows.
    #[default]
    Strict = 0,
    /// A state may begin with any TCP segment (pf's `flags any`); windows are
    /// checked as far as they can be known.
    Loose = 1,
    /// Only the flags are followed, windows are not checked (pf's `sloppy`), and
    /// a state may begin with any segment, also with the reply to an ICMP query.
    Sloppy = 2,
}

impl Tracking {
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Loose,
            2 => Self::Sloppy,
            _ => Self::Strict,
        }
    }
}

/// Which set of timeouts a state lives by; 0 is the gateway's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TimeoutSet(pub u16);

/// The properties that a state has from the verdict that made it.
///
/// The numbers name things in lists that the engine keeps; 0 means "none"
/// for `label` and `tag` and "the gateway itself" for the interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateOptions {
    /// How TCP is tracked.
    pub tracking: Tracking,
    /// The timeouts it lives by.
    pub timeouts: TimeoutSet,
    /// The label, for statistics and `kill`.
    pub label: u16,
    /// The tag that the packet had when it passed.
    pub tag: u16,
    /// The policy that decided.
    pub policy: u16,
    /// The policy's rule that decided, by the policy's own numbers.
    pub rule: u16,
    /// The interface where the first packet came in.
    pub in_if: u16,
    /// The interface by which it left.
    pub out_if: u16,
    /// Whether each packet is logged (pf's `log (all)`).
    pub log: bool,
    /// Whether packets with IP options pass too (pf's `allow-opts`).
    pub allow_options: bool,
}
