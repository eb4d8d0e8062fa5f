//! The names and types of what a guest exports and of what it may import.

/// The module name of all imports.
pub const IMPORT_MODULE: &str = "evergate";

/// Names of a guest's exports.
pub mod export {
    /// The linear memory; required.
    pub const MEMORY: &str = "memory";
    /// `() -> i32`: address of the request buffer; its name carries the version; required.
    pub const VERSION: &str = "evergate_abi_v1";
    /// What all version symbols begin with.
    pub const VERSION_PREFIX: &str = "evergate_abi_v";
    /// `(i32) -> i64`: from the request's address to the verdict word; required.
    pub const DECIDE: &str = "decide";
    /// `() -> i32`: run once per instance, 0 is success; optional.
    pub const INIT: &str = "init";
    /// `() -> i32`: run once when the module is loaded, 0 is success; optional.
    pub const SELF_TEST: &str = "self_test";
    /// `() -> ()`: the reactor initialiser some languages' tools make; optional, run before `init`.
    pub const INITIALIZE: &str = "_initialize";
    /// `() -> i32`: address of the payload record; together with [`INSPECT`].
    pub const PAYLOAD: &str = "evergate_payload_v1";
    /// `(i32, i32) -> i64`: from the request's address and the payload's length to the verdict
    /// word; required with [`PAYLOAD`].
    pub const INSPECT: &str = "inspect";
    /// `() -> i32`: address of the buffer for ended states; together with [`ON_STATE_END`].
    pub const STATE_END: &str = "evergate_state_end_v1";
    /// `(i32) -> ()`: a state has ended; gets the record's address; required with [`STATE_END`].
    pub const ON_STATE_END: &str = "on_state_end";
    /// `(i64, i64) -> ()`: called once a second with monotonic nanoseconds and the seconds since
    /// 1970; optional.
    pub const ON_TICK: &str = "on_tick";
    /// `() -> ()`: the policy is in force; optional.
    pub const ON_LOAD: &str = "on_load";
    /// `() -> ()`: the policy is not in force any more; optional.
    pub const ON_UNLOAD: &str = "on_unload";
    /// `() -> i32`: version of the blob that [`SAVE`] makes and [`RESTORE`] takes; the three and
    /// [`RESTORE_BUFFER`] go together.
    pub const SAVE_VERSION: &str = "save_version";
    /// `() -> i64`: address (low half) and length (high half) of a blob.
    pub const SAVE: &str = "save";
    /// `(i32) -> i32`: where a blob of this length is to be written; 0 refuses it.
    pub const RESTORE_BUFFER: &str = "restore_buffer";
    /// `(i32, i32) -> i32`: takes the blob at this address of this length; 0 is success.
    pub const RESTORE: &str = "restore";
}

/// The type of a parameter or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// One function that the gateway offers to guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// The import's name.
    pub name: &'static str,
    /// Names and types of its parameters.
    pub params: &'static [(&'static str, ValueType)],
    /// Type of its result, if any.
    pub result: Option<ValueType>,
    /// What it does, in one line.
    pub doc: &'static str,
}

use ValueType::{I32, I64};

/// Everything that a guest may import.
pub const IMPORTS: [Function; 9] = [
    Function {
        name: "resolve",
        params: &[("kind", I32), ("name", I32), ("name_len", I32)],
        result: Some(I32),
        doc: "id of a name, -1 if there is none or no room; only within init",
    },
    Function {
        name: "config_int",
        params: &[("key", I32), ("key_len", I32), ("index", I32)],
        result: Some(I64),
        doc: "the index-th integer (or boolean, 0 and 1) of a setting, INT64_MIN if absent",
    },
    Function {
        name: "config_str",
        params: &[("key", I32), ("key_len", I32), ("index", I32), ("out", I32), ("out_cap", I32)],
        result: Some(I32),
        doc: "length of the index-th string of a setting, -1 if absent; copied only if it fits",
    },
    Function {
        name: "table_match",
        params: &[("table", I32), ("address", I32)],
        result: Some(I32),
        doc: "1 if the 16-byte address is in the table, else 0",
    },
    Function {
        name: "count",
        params: &[("counter", I32), ("n", I64)],
        result: None,
        doc: "adds n to a counter",
    },
    Function {
        name: "meter",
        params: &[
            ("meter", I32),
            ("key", I32),
            ("key_len", I32),
            ("rate_milli", I32),
            ("burst", I32),
        ],
        result: Some(I32),
        doc: "takes a token from the key's bucket (rate in 1/1000 per second): 1 taken, 0 empty",
    },
    Function {
        name: "log",
        params: &[("level", I32), ("text", I32), ("text_len", I32)],
        result: None,
        doc: "writes a line to the gateway's log: 0 error, 1 warn, 2 info, 3 debug; rate-limited",
    },
    Function {
        name: "clock",
        params: &[("kind", I32)],
        result: Some(I64),
        doc: "0: monotonic nanoseconds, 1: seconds since 1970, of the packet's arrival",
    },
    Function {
        name: "random",
        params: &[],
        result: Some(I64),
        doc: "64 random bits, not for cryptography",
    },
];

/// The largest blob that survives a policy's replacement, in bytes: 64 KiB.
pub const SAVE_MAX: u32 = 64 * 1024;

/// What `resolve` can find a name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResolveKind {
    /// An address table of the configuration; unknown ones are not made.
    Table = 0,
    /// A counter, made when new.
    Counter = 1,
    /// A rate meter, made when new.
    Meter = 2,
    /// A tag, made when new.
    Tag = 3,
    /// A label, made when new.
    Label = 4,
    /// An interface of the configuration; unknown ones are not made.
    Interface = 5,
}

impl ResolveKind {
    /// All kinds, by their number.
    pub const ALL: [Self; 6] =
        [Self::Table, Self::Counter, Self::Meter, Self::Tag, Self::Label, Self::Interface];

    /// Returns the kind with this number, or `None` if there is none.
    pub const fn from_i32(n: i32) -> Option<Self> {
        match n {
            0 => Some(Self::Table),
            1 => Some(Self::Counter),
            2 => Some(Self::Meter),
            3 => Some(Self::Tag),
            4 => Some(Self::Label),
            5 => Some(Self::Interface),
            _ => None,
        }
    }

    /// Returns the kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Counter => "counter",
            Self::Meter => "meter",
            Self::Tag => "tag",
            Self::Label => "label",
            Self::Interface => "interface",
        }
    }
}

/// How grave a guest's log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LogLevel {
    /// Something is broken.
    Error = 0,
    /// Something looks wrong.
    Warn = 1,
    /// Good to know.
    Info = 2,
    /// For the policy's author.
    Debug = 3,
}

impl LogLevel {
    /// All levels, by their number.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Returns the level with this number, or `None` if there is none.
    pub const fn from_i32(n: i32) -> Option<Self> {
        match n {
            0 => Some(Self::Error),
            1 => Some(Self::Warn),
            2 => Some(Self::Info),
            3 => Some(Self::Debug),
            _ => None,
        }
    }

    /// Returns the level's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}
