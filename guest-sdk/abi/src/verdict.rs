//! The verdict: the word that `decide` returns, and the record that it may point to.

use core::fmt;

use crate::layout::{Field, FieldType, field, put, u16_at, u32_at};

/// Size in bytes of a verdict record.
pub const RECORD_SIZE: usize = 64;

/// The longest timeout that a verdict may ask for, in seconds: one year.
pub const TIMEOUT_MAX_S: u32 = 365 * 24 * 3600;

/// The most payload bytes that a policy can ask to see: 16 KiB.
pub const INSPECT_MAX: u16 = 16 * 1024;

/// Bits 8-15 of the verdict word.
pub mod word_flags {
    /// Log the packet.
    pub const LOG: u8 = 1;
    /// Let the packet pass although it carries IP options (pf's `allow-opts`).
    pub const ALLOW_OPTIONS: u8 = 2;
    /// Decide each further packet of the sender too, unless it is TCP.
    pub const EACH: u8 = 4;
    /// All bits that have a meaning.
    pub const ALL: u8 = LOG | ALLOW_OPTIONS | EACH;
}

/// Bits of the record's field `fields`: which of its values are set although they may be zero.
pub mod record_fields {
    /// `icmp_code` is set.
    pub const ICMP_CODE: u16 = 1;
    /// All bits that have a meaning.
    pub const ALL: u16 = ICMP_CODE;
}

mod at {
    pub(super) const SIZE: usize = 0;
    pub(super) const KEEP: usize = 2;
    pub(super) const ICMP_CODE: usize = 3;
    pub(super) const FIELDS: usize = 4;
    pub(super) const TAG: usize = 6;
    pub(super) const LABEL: usize = 8;
    pub(super) const INSPECT: usize = 10;
    pub(super) const FIRST: usize = 12;
    pub(super) const OPENING: usize = 16;
    pub(super) const ESTABLISHED: usize = 20;
    pub(super) const CLOSING: usize = 24;
    pub(super) const FINWAIT: usize = 28;
    pub(super) const CLOSED: usize = 32;
    pub(super) const RESERVED: usize = 36;
}

/// The verdict record's layout.
pub const RECORD_FIELDS: [Field; 14] = [
    field("size", at::SIZE, FieldType::U16, "size of this record: 64"),
    field("keep", at::KEEP, FieldType::U8, "0 state, 1 none, 2 sloppy, 3 loose"),
    field(
        "icmp_code",
        at::ICMP_CODE,
        FieldType::U8,
        "code of the unreachable error for return-icmp, if bit 1 of fields is set",
    ),
    field("fields", at::FIELDS, FieldType::U16, "bits: 1 icmp_code is set"),
    field("tag", at::TAG, FieldType::U16, "tag id from resolve, 0 leaves the packet's tag"),
    field("label", at::LABEL, FieldType::U16, "label id from resolve, 0 none"),
    field(
        "inspect",
        at::INSPECT,
        FieldType::U16,
        "for inspect: payload bytes wanted, at most 16384; 0 what the payload buffer takes",
    ),
    field(
        "first_s",
        at::FIRST,
        FieldType::U32,
        "timeout after the first packet in seconds, 0 the gateway's",
    ),
    field(
        "opening_s",
        at::OPENING,
        FieldType::U32,
        "timeout of a TCP handshake; of one-sided UDP and others",
    ),
    field(
        "established_s",
        at::ESTABLISHED,
        FieldType::U32,
        "timeout of established TCP; of two-sided UDP and others",
    ),
    field("closing_s", at::CLOSING, FieldType::U32, "timeout after the first FIN (TCP)"),
    field("finwait_s", at::FINWAIT, FieldType::U32, "timeout after both FINs (TCP)"),
    field("closed_s", at::CLOSED, FieldType::U32, "timeout after a RST (TCP)"),
    field("reserved", at::RESERVED, FieldType::Bytes(28), "zero"),
];

/// What shall happen to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Action {
    /// Ask the next policy of the chain.
    #[default]
    Continue = 0,
    /// Let it pass.
    Pass = 1,
    /// Drop it.
    Block = 2,
    /// Drop it and answer TCP with a reset; other protocols are dropped silently.
    ReturnRst = 3,
    /// Drop it and answer with an ICMP unreachable error.
    ReturnIcmp = 4,
    /// Let it pass for now and ask again, with its payload.
    Inspect = 5,
}

impl Action {
    /// All actions, by their number.
    pub const ALL: [Self; 6] =
        [Self::Continue, Self::Pass, Self::Block, Self::ReturnRst, Self::ReturnIcmp, Self::Inspect];

    /// Returns the action with this number, or `None` if there is none.
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Continue),
            1 => Some(Self::Pass),
            2 => Some(Self::Block),
            3 => Some(Self::ReturnRst),
            4 => Some(Self::ReturnIcmp),
            5 => Some(Self::Inspect),
            _ => None,
        }
    }

    /// Returns the action's name as pf spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Pass => "pass",
            Self::Block => "block",
            Self::ReturnRst => "return-rst",
            Self::ReturnIcmp => "return-icmp",
            Self::Inspect => "inspect",
        }
    }
}

/// How a passed packet's connection is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Keep {
    /// A state with full checks.
    #[default]
    State = 0,
    /// No state: every packet is decided.
    None = 1,
    /// A state without sequence checks (pf's `sloppy`).
    Sloppy = 2,
    /// A state with full checks that any TCP segment may create.
    Loose = 3,
}

impl Keep {
    /// All ways to keep a state, by their number.
    pub const ALL: [Self; 4] = [Self::State, Self::None, Self::Sloppy, Self::Loose];

    /// Returns the way with this number, or `None` if there is none.
    pub const fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::State),
            1 => Some(Self::None),
            2 => Some(Self::Sloppy),
            3 => Some(Self::Loose),
            _ => None,
        }
    }

    /// Returns the name used in documents and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::None => "none",
            Self::Sloppy => "sloppy",
            Self::Loose => "loose",
        }
    }
}

/// Timeouts in seconds that replace the gateway's for one state; 0 leaves the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TimeoutOverrides {
    /// After the first packet (`tcp.first`, `udp.first`, `icmp.first`, `other.first`).
    pub first_s: u32,
    /// TCP handshake (`tcp.opening`), one-sided others (`udp.single`, `other.single`).
    pub opening_s: u32,
    /// Established TCP (`tcp.established`), two-sided others (`udp.multiple`, `other.multiple`).
    pub established_s: u32,
    /// After the first FIN (`tcp.closing`).
    pub closing_s: u32,
    /// After both FINs (`tcp.finwait`).
    pub finwait_s: u32,
    /// After a RST (`tcp.closed`).
    pub closed_s: u32,
}

impl TimeoutOverrides {
    /// Overrides nothing.
    pub const NONE: Self = Self {
        first_s: 0,
        opening_s: 0,
        established_s: 0,
        closing_s: 0,
        finwait_s: 0,
        closed_s: 0,
    };

    const fn list(&self) -> [(usize, u32); 6] {
        [
            (at::FIRST, self.first_s),
            (at::OPENING, self.opening_s),
            (at::ESTABLISHED, self.established_s),
            (at::CLOSING, self.closing_s),
            (at::FINWAIT, self.finwait_s),
            (at::CLOSED, self.closed_s),
        ]
    }
}

/// The parts of the 64-bit word that `decide` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictWord {
    /// Bits 0-7: what shall happen.
    pub action: Action,
    /// Bits 8-15: [`word_flags`].
    pub flags: u8,
    /// Bits 16-31: the number of the rule that decided, for logs and counters.
    pub rule: u16,
    /// Bits 32-63: address of a verdict record in the guest's memory, 0 for none.
    pub record: u32,
}

impl VerdictWord {
    /// Returns the word.
    pub const fn encode(self) -> i64 {
        let word = (self.action as u64)
            | ((self.flags as u64) << 8)
            | ((self.rule as u64) << 16)
            | ((self.record as u64) << 32);
        word.cast_signed()
    }

    /// Takes a word apart.
    ///
    /// # Errors
    /// Names an unknown action, unknown flags or a misaligned record address.
    #[inline]
    pub const fn decode(word: i64) -> Result<Self, BadVerdict> {
        let [action, flags, rule0, rule1, r0, r1, r2, r3] = word.to_le_bytes();
        let Some(action) = Action::from_u8(action) else {
            return Err(BadVerdict::Action(action));
        };
        if flags & !word_flags::ALL != 0 {
            return Err(BadVerdict::Flags(flags));
        }
        let record = u32::from_le_bytes([r0, r1, r2, r3]);
        if record % crate::ALIGNMENT != 0 {
            return Err(BadVerdict::RecordAddress(record));
        }
        Ok(Self { action, flags, rule: u16::from_le_bytes([rule0, rule1]), record })
    }
}

/// A guest's whole verdict on one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Verdict {
    /// What shall happen.
    pub action: Action,
    /// Whether to log the packet.
    pub log: bool,
    /// Whether IP options may pass.
    pub allow_options: bool,
    /// Whether each further packet of the sender is decided too; not of TCP.
    pub each: bool,
    /// The number of the rule that decided.
    pub rule: u16,
    /// How the connection is remembered.
    pub keep: Keep,
    /// Code of the unreachable error for [`Action::ReturnIcmp`]; `None` is port unreachable.
    pub icmp_code: Option<u8>,
    /// Tag for later policies and for the state; 0 leaves the packet's tag.
    pub tag: u16,
    /// Label of the state; 0 is none.
    pub label: u16,
    /// Timeouts of the state.
    pub timeouts: TimeoutOverrides,
    /// Payload bytes wanted for [`Action::Inspect`], at most [`INSPECT_MAX`]; 0 is as many as the
    /// payload buffer takes.
    pub inspect: u16,
}

impl Verdict {
    /// Returns a verdict with this action and nothing else.
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            log: false,
            allow_options: false,
            each: false,
            rule: 0,
            keep: Keep::State,
            icmp_code: None,
            tag: 0,
            label: 0,
            timeouts: TimeoutOverrides::NONE,
            inspect: 0,
        }
    }

    /// Tells whether the verdict says more than the word can hold.
    pub fn needs_record(&self) -> bool {
        self.keep != Keep::State
            || self.icmp_code.is_some()
            || self.tag != 0
            || self.label != 0
            || self.timeouts != TimeoutOverrides::NONE
            || self.inspect != 0
    }

    /// Returns the verdict word, which points to a record at this address, or to none if 0.
    pub fn encode_word(&self, record: u32) -> i64 {
        let mut flags = 0;
        if self.log {
            flags |= word_flags::LOG;
        }
        if self.allow_options {
            flags |= word_flags::ALLOW_OPTIONS;
        }
        if self.each {
            flags |= word_flags::EACH;
        }
        VerdictWord { action: self.action, flags, rule: self.rule, record }.encode()
    }

    /// Returns the bytes of the verdict record.
    pub fn encode_record(&self) -> [u8; RECORD_SIZE] {
        let mut bytes = [0; RECORD_SIZE];
        put(&mut bytes, at::SIZE, &(RECORD_SIZE as u16).to_le_bytes());
        bytes[at::KEEP] = self.keep as u8;
        if let Some(code) = self.icmp_code {
            bytes[at::ICMP_CODE] = code;
            put(&mut bytes, at::FIELDS, &record_fields::ICMP_CODE.to_le_bytes());
        }
        put(&mut bytes, at::TAG, &self.tag.to_le_bytes());
        put(&mut bytes, at::LABEL, &self.label.to_le_bytes());
        put(&mut bytes, at::INSPECT, &self.inspect.to_le_bytes());
        for (offset, seconds) in self.timeouts.list() {
            put(&mut bytes, offset, &seconds.to_le_bytes());
        }
        bytes
    }

    /// Returns the verdict that a word without a record says.
    #[inline]
    pub const fn from_word(word: VerdictWord) -> Self {
        let mut verdict = Self::new(word.action);
        verdict.log = word.flags & word_flags::LOG != 0;
        verdict.allow_options = word.flags & word_flags::ALLOW_OPTIONS != 0;
        verdict.each = word.flags & word_flags::EACH != 0;
        verdict.rule = word.rule;
        verdict
    }

    /// Returns the verdict that a word says together with its record.
    ///
    /// # Errors
    /// Names the first field whose value this version does not know.
    pub fn decode(word: VerdictWord, record: &[u8; RECORD_SIZE]) -> Result<Self, BadVerdict> {
        let size = u16_at(record, at::SIZE);
        if usize::from(size) != RECORD_SIZE {
            return Err(BadVerdict::RecordSize(size));
        }
        let Some(keep) = Keep::from_u8(record[at::KEEP]) else {
            return Err(BadVerdict::Keep(record[at::KEEP]));
        };
        let fields = u16_at(record, at::FIELDS);
        if fields & !record_fields::ALL != 0 {
            return Err(BadVerdict::Fields(fields));
        }
        let has_code = fields & record_fields::ICMP_CODE != 0;
        let code = record[at::ICMP_CODE];
        let inspect = u16_at(record, at::INSPECT);
        let reserved = record[at::RESERVED..].iter().any(|&b| b != 0);
        let asks = matches!(word.action, Action::Inspect);
        if reserved || (!has_code && code != 0) || (!asks && inspect != 0) {
            return Err(BadVerdict::Reserved);
        }
        if inspect > INSPECT_MAX {
            return Err(BadVerdict::Inspect(inspect));
        }
        let timeouts = TimeoutOverrides {
            first_s: u32_at(record, at::FIRST),
            opening_s: u32_at(record, at::OPENING),
            established_s: u32_at(record, at::ESTABLISHED),
            closing_s: u32_at(record, at::CLOSING),
            finwait_s: u32_at(record, at::FINWAIT),
            closed_s: u32_at(record, at::CLOSED),
        };
        for (_, seconds) in timeouts.list() {
            if seconds > TIMEOUT_MAX_S {
                return Err(BadVerdict::Timeout(seconds));
            }
        }
        Ok(Self {
            keep,
            icmp_code: has_code.then_some(code),
            tag: u16_at(record, at::TAG),
            label: u16_at(record, at::LABEL),
            timeouts,
            inspect,
            ..Self::from_word(word)
        })
    }
}

/// Why a word or a record is not a verdict of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadVerdict {
    /// No such action.
    Action(u8),
    /// Unknown flag bits are set in the word.
    Flags(u8),
    /// The record's address is not a multiple of 8.
    RecordAddress(u32),
    /// The record lies outside the guest's memory.
    RecordOutside(u32),
    /// The record's size field is not 64.
    RecordSize(u16),
    /// No such way to keep a state.
    Keep(u8),
    /// Unknown bits are set in the record's `fields`.
    Fields(u16),
    /// A timeout is longer than [`TIMEOUT_MAX_S`].
    Timeout(u32),
    /// No tag with this id was ever resolved.
    Tag(u16),
    /// No label with this id was ever resolved.
    Label(u16),
    /// It wants to see more than [`INSPECT_MAX`] bytes of payload.
    Inspect(u16),
    /// It wants to see payload, but has not the exports for it.
    InspectUnable,
    /// It wants to see more payload than there will be.
    InspectAgain,
    /// A reserved byte of the record, an icmp_code that `fields` does not announce, or the
    /// `inspect` of another action is not zero.
    Reserved,
}

impl fmt::Display for BadVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(n) => write!(f, "there is no action {n}"),
            Self::Flags(n) => write!(f, "unknown verdict flags in {n:#04x}"),
            Self::RecordAddress(n) => {
                write!(f, "the verdict record's address {n:#x} is not a multiple of 8")
            }
            Self::RecordOutside(n) => {
                write!(f, "the verdict record at {n:#x} lies outside the memory")
            }
            Self::RecordSize(n) => write!(f, "verdict record size is {n}, not {RECORD_SIZE}"),
            Self::Keep(n) => write!(f, "there is no way {n} to keep a state"),
            Self::Fields(n) => write!(f, "unknown bits in the verdict record's fields {n:#06x}"),
            Self::Timeout(n) => write!(f, "a timeout of {n} s is over {TIMEOUT_MAX_S} s"),
            Self::Tag(n) => write!(f, "tag {n} was never resolved"),
            Self::Label(n) => write!(f, "label {n} was never resolved"),
            Self::Inspect(n) => {
                write!(f, "it wants to inspect {n} bytes, the most is {INSPECT_MAX}")
            }
            Self::InspectUnable => f.write_str(
                "it wants to inspect payload, but does not export `inspect` and its buffer",
            ),
            Self::InspectAgain => {
                f.write_str("it wants to inspect more payload than it can be shown")
            }
            Self::Reserved => f.write_str("reserved bytes of the verdict record are not zero"),
        }
    }
}

impl core::error::Error for BadVerdict {}
