//! What the machine is told and what it asks for.

use std::fmt;

use evergate_state::{StateId, StateKey};
use evergate_wire::Timestamp;

use crate::codec::Malformed;
use crate::message::Class;
use crate::ownership::Ownership;
use crate::record::{
    Clear, Delete, Entry, EntryKey, Name, NameKind, NodeId, Progress, Record, Upsert,
};

/// Whether the packet that made a state is held until a peer knows the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defer {
    /// It has gone.
    #[default]
    Off,
    /// It is held, and goes anyway when time is up.
    Open,
    /// It is held, and is dropped when time is up.
    Required,
}

/// How soon a change matters to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// Further changes are waited for.
    Lazy,
    /// Its windows have moved far, or a peer forwards its packets too.
    Soon,
    /// Something else than numbers has changed: sent whole, at once, reliably.
    Full,
}

/// What became of an operation that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The state is held and lacks nothing that the peer knows, nor the peer
    /// anything; or it was removed. Need not be told unless an acknowledgement is
    /// wanted.
    Taken,
    /// Nothing was learned: the peer knows less.
    Stale,
    /// Both knew something: the state now knows more than either did.
    Joined,
    /// News of a state that is not held.
    Unknown,
    /// News of a state with another name than the one that is held.
    OtherName,
    /// The state is not held and was not to be inserted.
    NotHeld,
    /// The table is full.
    Full,
    /// The removal was not carried out: the state lives.
    Survived,
    /// The removal was carried out, on a state of another name than it gave.
    RemovedOther,
    /// The facts contradict each other or what is held.
    Refused,
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// An authenticated connection to a peer has been made. Packets of earlier
    /// connections are not delivered any more.
    LinkUp {
        /// The peer.
        peer: NodeId,
    },
    /// The connection is gone, and whatever was on its way.
    LinkDown {
        /// The peer.
        peer: NodeId,
    },
    /// A whole packet has arrived.
    Received {
        /// From whom.
        peer: NodeId,
        /// Which way it came.
        class: Class,
        /// Its bytes.
        packet: &'a [u8],
    },
    /// A way out is congested, or free again; all are free when a link comes up.
    Writable {
        /// To whom.
        peer: NodeId,
        /// Which way.
        class: Class,
        /// Whether more may be sent.
        writable: bool,
    },
    /// This node has created a state.
    Insert {
        /// Its key.
        key: StateKey,
        /// Its name.
        id: StateId,
        /// Whether its packet is held.
        defer: Defer,
    },
    /// A packet has changed a state here.
    Update {
        /// Its key.
        key: StateKey,
        /// How soon it matters.
        pace: Pace,
    },
    /// This node has removed a state. `claim.epoch` in `epoch` is the effective
    /// one.
    Delete(Delete),
    /// This node has removed all states of one creator.
    Clear(Clear),
    /// An entry of a table or meter has changed here.
    Entry(Entry),
    /// The answer to [`Action::Fetch`].
    Fetched {
        /// For whom it was.
        peer: NodeId,
        /// As in the action.
        ticket: u32,
        /// The records in the order of the keys; `None` where there is no state.
        records: Vec<Option<Record>>,
    },
    /// The answer to [`Action::Page`].
    PageRead {
        /// For whom it was.
        peer: NodeId,
        /// As in the action.
        ticket: u32,
        /// The states of the page.
        records: Vec<Record>,
        /// Entries of tables and meters; each once in a whole walk.
        entries: Vec<Entry>,
        /// Where the next page begins; `None` at the end.
        next: Option<u64>,
        /// How many states there are about.
        total: u64,
    },
    /// What became of [`Action::Apply`].
    Applied {
        /// Whose operation it was.
        peer: NodeId,
        /// Of which state.
        key: StateKey,
        /// The name that the operation gave; of news of the ends, the name of the
        /// state that is held, if one is.
        id: StateId,
        /// What became of it.
        outcome: Outcome,
        /// As in the operation.
        wants_ack: bool,
    },
    /// All operations before [`Operation::Barrier`] are carried out.
    Passed {
        /// As in the operation.
        peer: NodeId,
        /// As in the operation.
        ticket: u32,
    },
    /// This node is to own every state from now on, in this epoch or, if that is
    /// not the greatest yet, in the next.
    TakeOver {
        /// The least epoch.
        epoch: u32,
    },
    /// What a number in the options of this node's states names, from now on.
    Name {
        /// What kind of number.
        kind: NameKind,
        /// The number.
        number: u16,
        /// What it names; `None` if nothing any more.
        name: Option<Name>,
    },
    /// [`Machine::next_deadline`](crate::Machine::next_deadline) has come.
    Timer,
}

/// What is to be done to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Insert or merge a state ([`Held::begin`](crate::Held::begin),
    /// [`Held::merge`](crate::Held::merge)). Before, the counter of ids is raised
    /// to its id.
    Upsert(Box<Upsert>),
    /// Merge news of the ends ([`Held::progress`](crate::Held::progress)).
    Progress(Progress),
    /// Remove a state if it is gone by this
    /// ([`Held::remove_by`](crate::Held::remove_by)).
    Delete(Delete),
    /// Remove all states of a creator up to an id.
    Clear(Clear),
    /// Merge an entry of a table or meter.
    Entry(Entry),
    /// Answer with [`Event::Passed`] once all before is done.
    Barrier {
        /// To be repeated.
        ticket: u32,
    },
}

/// Why a packet is held no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Released {
    /// A peer knows the state: it goes.
    Known,
    /// Time is up, or no peer is linked, or too many are held: it goes.
    Open,
    /// The same where a peer is required: it is dropped.
    Refused,
    /// The state was removed: it is dropped.
    Removed,
}

/// Why a link is to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// No version of the protocol in common.
    Version,
    /// The peer is another node than the connection says, or this very node.
    Identity,
    /// Too many refused messages.
    Misbehaved,
    /// A reliable lane has lost packets.
    Gap,
}

/// Why a packet, or the rest of it, was not regarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is of another version than was agreed.
    #[error("a packet is of version {0}")]
    Version(u16),
    /// Its header names another lane than the one it came by.
    #[error("a packet came by the wrong lane")]
    Lane,
    /// A message that does not belong here, or not now.
    #[error("a message is out of place")]
    OutOfPlace,
    /// More names than one lane may define.
    #[error("too many names are defined")]
    Names,
}

/// How a link stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// There is none.
    #[default]
    Down,
    /// There is one, and versions are yet to be agreed.
    Greeting,
    /// Both ends may send.
    Up,
}

/// How far this node's table covers a peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// The link.
    pub link: LinkState,
    /// The states that this node has of the peer's, in thousandths.
    pub coverage_permille: u16,
    /// It has all of them, and hears of every change.
    pub in_sync: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a packet.
    Send {
        /// To whom.
        peer: NodeId,
        /// Which way.
        class: Class,
        /// Its bytes.
        packet: Vec<u8>,
    },
    /// Read the states with these keys, as they are now.
    Fetch {
        /// For whom.
        peer: NodeId,
        /// To be repeated.
        ticket: u32,
        /// The keys; at most [`BATCH_MAX`](crate::BATCH_MAX).
        keys: Vec<StateKey>,
    },
    /// Read states from a cursor on; 0 is the beginning of the table. Every state
    /// that exists throughout a walk must be read.
    Page {
        /// For whom.
        peer: NodeId,
        /// To be repeated.
        ticket: u32,
        /// From where.
        cursor: u64,
        /// About how many.
        max: usize,
    },
    /// Do something to the table, in this order.
    Apply {
        /// Whose wish it is.
        peer: NodeId,
        /// What.
        operation: Operation,
    },
    /// Do a removal of this node's own again, in order with [`Action::Apply`]: a
    /// peer's news that were under way may have brought the state back. Nothing is
    /// to be told of it.
    Again(Operation),
    /// The packet of this state is held no longer.
    Release {
        /// The state's key.
        key: StateKey,
        /// Its name.
        id: StateId,
        /// Why.
        why: Released,
    },
    /// Ids of new states must be above this from now on.
    Raise {
        /// The greatest id seen.
        id: u64,
    },
    /// Who owns what has changed.
    Owners(Ownership),
    /// How a peer stands has changed.
    Status {
        /// Which peer.
        peer: NodeId,
        /// How it stands.
        status: PeerStatus,
    },
    /// Something a peer sent was refused; it is counted.
    Refused {
        /// Which peer.
        peer: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// Give up the connection. It counts as down.
    Reset {
        /// To whom.
        peer: NodeId,
        /// Why.
        reason: ResetReason,
    },
    /// An entry was dropped from a full queue: peers lack it until it changes.
    EntryLost(EntryKey),
}

/// What is to be done, in order.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes them all out.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Action> {
        self.0.drain(..)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.0.push(action);
    }
}

/// Why the machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineReason {
    /// Changes are to be sent.
    Flush,
    /// Packets are to be acknowledged.
    Acknowledge,
    /// Something was not answered.
    Retry,
    /// A held packet's time is up.
    Defer,
    /// Tables are to be compared.
    Digest,
    /// Something is to be forgotten.
    Forget,
}

impl fmt::Display for DeadlineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flush => "flush",
            Self::Acknowledge => "acknowledge",
            Self::Retry => "retry",
            Self::Defer => "defer",
            Self::Digest => "digest",
            Self::Forget => "forget",
        })
    }
}

/// When the machine wants to be woken with [`Event::Timer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When; may have passed already.
    pub at: Timestamp,
    /// What for.
    pub reason: DeadlineReason,
}
