//! The rules after expansion: one flat list, each with its conditions and what it says.
//!
//! Anchors are dissolved: their conditions stand before those of their rules. What the compiler
//! lays out and what the reference interpreter walks is this same list.

use std::net::IpAddr;

use crate::ast::{Direction, Family};

/// An address as 128 bits; IPv4 as `::ffff:a.b.c.d`.
pub type Bits = u128;

/// Returns an address's 128 bits.
pub fn bits_of(address: IpAddr) -> Bits {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the packet comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// One condition; a rule matches if all of its conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The evaluation is the inbound (outbound) one.
    Direction(Direction),
    /// The evaluation's interface is one of a set.
    Interface(InterfaceSet),
    /// The address family.
    Family(Family),
    /// The protocol.
    Protocol(u8),
    /// An address is between two, or not.
    Address {
        /// Which.
        side: Side,
        /// The lowest.
        first: Bits,
        /// The highest.
        last: Bits,
        /// Not between them.
        negated: bool,
    },
    /// An address is in a table, or not.
    Table {
        /// Which address.
        side: Side,
        /// Index of the table.
        table: u16,
        /// Not in it.
        negated: bool,
    },
    /// A port is between two, or not.
    Port {
        /// Which.
        side: Side,
        /// The lowest.
        first: u16,
        /// The highest.
        last: u16,
        /// Not between them.
        negated: bool,
    },
    /// Of TCP, these flags are set under the mask; every other protocol fits.
    Flags {
        /// Flags that are set.
        set: u8,
        /// Flags that are looked at.
        mask: u8,
    },
    /// ICMP or ICMPv6 type.
    IcmpType(u8),
    /// ICMP or ICMPv6 code.
    IcmpCode(u8),
    /// TOS or traffic class.
    Tos(u8),
    /// The packet has a tag, or not.
    Tagged {
        /// Index of the tag.
        tag: u16,
        /// It does not have it.
        negated: bool,
    },
    /// The packet came in on one of these interfaces.
    ReceivedOn(InterfaceSet),
    /// Chance, in units of 2^-32.
    Chance(u32),
    /// The source is not routed through the interface of the evaluation.
    UrpfFailed {
        /// It is.
        negated: bool,
    },
    /// An anchor's own condition held when it was reached.
    Gate(u8),
    /// A rule with at least this index matched in this evaluation.
    Since(u16),
}

/// A set of interfaces: of those the rules name, and whether all others belong to it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceSet(pub u64);

impl InterfaceSet {
    /// Tells whether the interface with this number is in the set; 0 is any the rules do not name.
    pub fn contains(self, number: u32) -> bool {
        self.0 >> (number & 63) & 1 != 0
    }
}

/// What a rule does when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Passes.
    Pass,
    /// Blocks.
    Block,
    /// Adds to what others decide.
    Match,
    /// Opens a gate: an anchor was reached whose condition depends on tags or chance.
    OpenGate(u8),
    /// Ends the evaluation: the end of a quick anchor in which something matched.
    Leave,
}

/// How a block is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Answer {
    /// A reset for TCP.
    pub reset: bool,
    /// An ICMP error, for TCP only without `reset`.
    pub icmp: bool,
    /// Code of the error for IPv4.
    pub code4: Option<u8>,
    /// Code of the error for IPv6.
    pub code6: Option<u8>,
}

/// Timeouts in seconds for one kind of protocol, 0 for the gateway's: first, opening, established,
/// closing, finwait, closed.
pub type Timeouts = [u32; 6];

/// What a rule says of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct States {
    /// How they are kept.
    pub keep: Keep,
    /// Their timeouts: TCP, UDP, ICMP, others.
    pub timeouts: [Timeouts; 4],
}

/// How a state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Keep {
    /// With all checks, from a SYN on.
    #[default]
    State,
    /// Not at all.
    None,
    /// Without checks of the window.
    Sloppy,
    /// With all checks, from any segment on.
    Loose,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatRule {
    /// Its number from 1; 0 for what is not a rule of the file.
    pub number: u16,
    /// What it does.
    pub kind: Kind,
    /// Whether it ends the evaluation.
    pub quick: bool,
    /// Whether it logs.
    pub log: bool,
    /// When it matches.
    pub conditions: Vec<Condition>,
    /// The tag it sets.
    pub tag: Option<u16>,
    /// The label of its states.
    pub label: Option<u16>,
    /// How it answers, if it blocks.
    pub answer: Answer,
    /// What it says of states, if it passes.
    pub states: States,
    /// Whether IP options may pass.
    pub allow_options: bool,
}

/// Where a table's entries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableSource {
    /// The rules file declares it.
    Declared,
    /// The rules name it; the gateway has it from elsewhere, or it begins empty.
    External,
    /// The addresses of the gateway or of an interface, by the table's name.
    Interface,
    /// The routes, by the table's name.
    Routes,
}

/// An entry of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Its bits that count.
    pub len: u8,
    /// Whether it is an exception.
    pub negated: bool,
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}/{}", if self.negated { "!" } else { "" }, self.address, self.len)
    }
}

/// A table that the module looks addresses up in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name in the gateway.
    pub name: String,
    /// Where its entries come from.
    pub source: TableSource,
    /// Whether it stays when no rule names it.
    pub persist: bool,
    /// Whether commands may not change it.
    pub constant: bool,
    /// Whether entries have counters.
    pub counters: bool,
    /// What it holds at first.
    pub entries: Vec<Prefix>,
}

/// What is said when no rule matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unmatched {
    /// The packet passes without a state, as in pf.
    #[default]
    Pass,
    /// The next policy of the chain is asked.
    Continue,
}

/// A whole rules file, ready to be laid out or interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// The rules in their order.
    pub rules: Vec<FlatRule>,
    /// Names of interfaces; number n of a set is the one at n - 1.
    pub interfaces: Vec<String>,
    /// The tables.
    pub tables: Vec<TableSpec>,
    /// The tags' names.
    pub tags: Vec<String>,
    /// The labels' names as the gateway knows them.
    pub labels: Vec<String>,
    /// Interfaces that are skipped.
    pub skip: Option<InterfaceSet>,
    /// For each interface number the table of its routes, where `urpf-failed` needs it.
    pub routes: Vec<Option<u16>>,
    /// What is said when no rule matched.
    pub unmatched: Unmatched,
}
