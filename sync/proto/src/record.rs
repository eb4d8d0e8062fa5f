//! What travels: records of states, their names and owners.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evergate_state::{Ends, Exported, StateId, StateKey};
use evergate_wire::Addr;

/// A node of the group, by the number that its configuration gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Who owns a state: only the owner lets it expire.
///
/// Ordered by epoch, then by owner; of two claims the greater holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Raised by each takeover.
    pub epoch: u32,
    /// The [`Config::instance`](crate::Config::instance) of the owner.
    pub owner: u32,
}

impl Claim {
    /// Epochs are below this; a greater one is refused.
    pub const EPOCH_MAX: u32 = 1 << 31;
}

/// The greatest id of a state; ids are drawn from a counter that never falls
/// behind any id seen ([`Action::Raise`](crate::Action::Raise)).
pub const ID_MAX: u64 = 1 << 62;

/// A short byte string, cheap to copy: a name, a hash, a set of timeouts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// The longest, in bytes.
    pub const MAX: usize = 255;

    /// Takes the bytes, if they are not too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX).then(|| Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One state with what belongs to it among gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The state's facts.
    pub state: Exported,
    /// Who owns it.
    pub claim: Claim,
    /// See [`Held::revision`](crate::Held::revision).
    pub revision: u16,
    /// Fields that a newer peer has sent and that this version does not know, as
    /// they came: they are to be kept beside the state and handed on.
    pub extra: Option<Name>,
}

/// What the numbers in a record's options name, as the sender said.
///
/// In a record that was received the numbers themselves are 0, except `rule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The content hash of the policy that decided; `rule` is one of its rules.
    pub policy: Option<Name>,
    /// The label.
    pub label: Option<Name>,
    /// The tag.
    pub tag: Option<Name>,
    /// The interface where the first packet came in.
    pub in_if: Option<Name>,
    /// The interface by which it left.
    pub out_if: Option<Name>,
    /// The timeouts by value, see [`crate::timeouts_value`].
    pub timeouts: Option<Name>,
}

/// What a number in a record's options names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NameKind {
    /// A policy, by the hash of its content.
    Policy = 0,
    /// A label.
    Label = 1,
    /// A tag.
    Tag = 2,
    /// An interface.
    Interface = 3,
    /// A set of timeouts, by their values.
    Timeouts = 4,
}

impl NameKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Policy, Self::Label, Self::Tag, Self::Interface, Self::Timeouts];
}

/// A state that a peer tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upsert {
    /// The state. The numbers of its options are to be filled in from `meaning`.
    pub record: Record,
    /// What the sender's numbers name.
    pub meaning: Meaning,
    /// The sender holds a packet until this is applied: the result must be told.
    pub wants_ack: bool,
    /// It is part of a bulk update.
    pub bulk: bool,
    /// It must not be inserted if it is not held: this node has owned and removed
    /// it. The result must be told.
    pub only_if_held: bool,
}

/// News of the ends of a state that the receiver should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The key.
    pub key: StateKey,
    /// A hash of the state's name and revision, see [`Progress::is_of`].
    pub tag: u32,
    /// How long ago a packet refreshed it.
    pub idle: Duration,
    /// The ends.
    pub ends: Ends,
}

impl Progress {
    /// The tag of a state with this name and revision.
    pub const fn tag_of(id: StateId, revision: u16) -> u32 {
        crate::hash::tag(id, revision)
    }

    /// Whether these are news of the state with this name and revision.
    pub const fn is_of(&self, id: StateId, revision: u16) -> bool {
        self.tag == Self::tag_of(id, revision)
    }
}

/// A state that a peer has removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The key.
    pub key: StateKey,
    /// The state's name; states with this key and a lesser name are gone too.
    pub id: StateId,
    /// The epoch in which it was removed.
    pub epoch: u32,
    /// Removed by somebody's will, not expired: later packets do not matter.
    pub is_final: bool,
    /// How long ago it was removed.
    pub ago: Duration,
    /// How long it had been idle then, as far as its remover knew.
    pub idle: Duration,
}

/// All states of one creator are gone, up to an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clear {
    /// The creator.
    pub creator: u32,
    /// The greatest id that is gone.
    pub upto: u64,
}

impl Clear {
    /// Whether the state with this name is gone by it.
    pub const fn covers(&self, id: StateId) -> bool {
        id.creator == self.creator && id.id <= self.upto
    }
}

/// What an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A table of prefixes that policies look up.
    Table = 0,
    /// A rate meter.
    Meter = 1,
}

/// Which entry of which table or meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// What it belongs to.
    pub kind: EntryKind,
    /// The table's or meter's name.
    pub name: Name,
    /// The prefix.
    pub addr: Addr,
    /// Its length in bits, of 128; an IPv4 prefix is counted from its mapping.
    pub prefix_len: u8,
}

/// An entry of a table that policies fill, or of a rate meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub key: EntryKey,
    /// It was removed.
    pub removed: bool,
    /// How long it lives on, if not for ever.
    pub ttl: Option<Duration>,
    /// A table's entry has 1 for a negated one; a meter's its count.
    pub value: u64,
}
