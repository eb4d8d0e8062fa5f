//! The image: where what lies. All numbers are 32-bit words; offsets count words.
//!
//! A header of [`HEADER_WORDS`] words says where each part begins. Rules are tried in the order
//! of their index; a *class* (direction, family, interface) has a *forest* of up to
//! [`TREES_MAX`] decision trees, and each tree's leaf lists the rules that can still match.

/// What the first word of an image is.
pub const MAGIC: u32 = 0x4547_5201;
/// The most words of an image: 16 MiB.
pub const IMAGE_WORDS_MAX: usize = 4 << 20;
/// Interfaces that rules can tell apart, and one that stands for all others.
pub const INTERFACES: usize = 64;
/// Ids of interfaces in requests that are looked at.
pub const INTERFACE_IDS: usize = 256;
/// The most address tables; each is looked up at most twice for a packet.
pub const TABLES_MAX: usize = 120;
/// The most trees of a class.
pub const TREES_MAX: usize = 6;
/// The most anchors whose own condition depends on tags or chance.
pub const GATES_MAX: usize = 256;

/// Words of the header.
pub const HEADER_WORDS: usize = 24;
/// Offset of the class table: direction, family, interface.
pub const H_CLASSES: usize = 1;
/// Offset of the trees' nodes.
pub const H_NODES: usize = 2;
/// Offset of the leaves' entries.
pub const H_ENTRIES: usize = 3;
/// Offset of the rules.
pub const H_RULES: usize = 4;
/// Offset of the outcomes.
pub const H_OUTCOMES: usize = 5;
/// Offset of the timeouts.
pub const H_TIMEOUTS: usize = 6;
/// Offset of the predicates.
pub const H_PREDICATES: usize = 7;
/// Offset of the IPv4 ranges: first, last.
pub const H_RANGES4: usize = 8;
/// Offset of the IPv6 ranges: four words first, four words last.
pub const H_RANGES6: usize = 9;
/// Offset of the names to resolve.
pub const H_NAMES: usize = 10;
/// Number of names.
pub const H_NAME_COUNT: usize = 11;
/// Offset of the tags' ids.
pub const H_TAGS: usize = 12;
/// Offset of the labels' ids; label 0 is none.
pub const H_LABELS: usize = 13;
/// Offset of the tables' handles.
pub const H_TABLES: usize = 14;
/// Offset of the map from a request's interface id to the rules' own number.
pub const H_INTERFACES: usize = 15;
/// Offset of the tables of routes by interface, each plus 1; 0 is none.
pub const H_ROUTES: usize = 16;
/// Mask of interfaces to skip, low word.
pub const H_SKIP_LOW: usize = 17;
/// Mask of interfaces to skip, high word.
pub const H_SKIP_HIGH: usize = 18;
/// What is said when no rule matched: 0 pass without a state, 1 continue.
pub const H_UNMATCHED: usize = 19;

/// Words of a node: field and right child, threshold; the left child follows.
pub const NODE_WORDS: usize = 2;
/// Where the field stands in a node's first word.
pub const NODE_FIELD_SHIFT: u32 = 29;
/// What is left of a node's first word: the right child, or a leaf's first entry.
pub const NODE_MASK: u32 = (1 << NODE_FIELD_SHIFT) - 1;
/// A node's field: the protocol.
pub const FIELD_PROTO: u32 = 0;
/// A node's field: the destination port.
pub const FIELD_DPORT: u32 = 1;
/// A node's field: the source port.
pub const FIELD_SPORT: u32 = 2;
/// A node's field: the source address; for IPv6 the threshold is a range whose last counts.
pub const FIELD_SRC: u32 = 3;
/// A node's field: the destination address, likewise.
pub const FIELD_DST: u32 = 4;
/// A leaf: first entry, number of entries.
pub const FIELD_LEAF: u32 = 7;

/// Where an entry's checks stand above its rule's index.
pub const ENTRY_CHECK_SHIFT: u32 = 16;
/// An entry's check: the protocol is compared.
pub const CHECK_PROTO: u32 = 1;
/// An entry's check: the destination port.
pub const CHECK_DPORT: u32 = 2;
/// An entry's check: the source port.
pub const CHECK_SPORT: u32 = 4;
/// An entry's check: the source address.
pub const CHECK_SRC: u32 = 8;
/// An entry's check: the destination address.
pub const CHECK_DST: u32 = 16;
/// An entry's check: the predicates.
pub const CHECK_PREDICATES: u32 = 32;

/// Words of a rule.
pub const RULE_WORDS: usize = 8;
/// Of a rule: its outcome.
pub const R_OUTCOME: usize = 0;
/// Of a rule: its first predicate.
pub const R_PREDICATES: usize = 1;
/// Of a rule: protocol, number of predicates (from bit 8), number of the rule (from bit 16).
pub const R_NUMBER: usize = 2;
/// Of a rule: first and last destination port.
pub const R_DPORT: usize = 3;
/// Of a rule: first and last source port.
pub const R_SPORT: usize = 4;
/// Of a rule: its range of sources.
pub const R_SRC: usize = 5;
/// Of a rule: its range of destinations.
pub const R_DST: usize = 6;
/// Of a rule: kind, flags, tag or gate.
pub const R_FLAGS: usize = 7;

/// The bits of a rule's kind.
pub const KIND_MASK: u32 = 3;
/// A rule that passes or blocks, as its outcome says.
pub const KIND_DECIDES: u32 = 0;
/// A rule that only adds to what others decide.
pub const KIND_MATCH: u32 = 1;
/// Not a rule of the file: opens a gate, or leaves a quick anchor.
pub const KIND_MARKER: u32 = 2;
/// Ends the evaluation.
pub const FLAG_QUICK: u32 = 4;
/// Logs, of a match rule.
pub const FLAG_LOG: u32 = 8;
/// Sets the tag whose number begins at [`FLAG_ARGUMENT_SHIFT`].
pub const FLAG_TAG: u32 = 16;
/// Opens the gate whose number begins at [`FLAG_ARGUMENT_SHIFT`].
pub const FLAG_GATE: u32 = 32;
/// Where a rule's tag or gate begins.
pub const FLAG_ARGUMENT_SHIFT: u32 = 16;

/// Words of an outcome: actions and flags, codes and label, timeouts, reserved.
pub const OUTCOME_WORDS: usize = 4;
/// Where the action for what is not TCP begins; the one for TCP is at 0.
pub const OUTCOME_OTHER_SHIFT: u32 = 8;
/// Where the way to keep a state begins.
pub const OUTCOME_KEEP_SHIFT: u32 = 16;
/// An outcome's flag: log.
pub const OUTCOME_LOG: u32 = 1 << 24;
/// An outcome's flag: IP options may pass.
pub const OUTCOME_OPTIONS: u32 = 1 << 25;
/// An outcome's flag: an ICMP code is set.
pub const OUTCOME_CODE4: u32 = 1 << 26;
/// An outcome's flag: an ICMPv6 code is set.
pub const OUTCOME_CODE6: u32 = 1 << 27;
/// Words of a set of timeouts: six each for TCP, UDP, ICMP and others; set 0 is none.
pub const TIMEOUT_WORDS: usize = 24;

/// Words of a predicate: kind, negation (bit 8), argument (from bit 16); a value.
pub const PREDICATE_WORDS: usize = 2;
/// A predicate's negation.
pub const PREDICATE_NOT: u32 = 1 << 8;
/// A predicate: the source is in a table.
pub const P_TABLE_SRC: u32 = 0;
/// A predicate: the destination is in a table.
pub const P_TABLE_DST: u32 = 1;
/// A predicate: the source is in a range.
pub const P_RANGE_SRC: u32 = 2;
/// A predicate: the destination is in a range.
pub const P_RANGE_DST: u32 = 3;
/// A predicate: the source port is between two.
pub const P_SPORT: u32 = 4;
/// A predicate: the destination port is between two.
pub const P_DPORT: u32 = 5;
/// A predicate: of TCP, the flags under a mask (from bit 8) are these; all else fits.
pub const P_FLAGS: u32 = 6;
/// A predicate: the type of ICMP or ICMPv6.
pub const P_ICMP_TYPE: u32 = 7;
/// A predicate: the code of ICMP or ICMPv6.
pub const P_ICMP_CODE: u32 = 8;
/// A predicate: the TOS or traffic class.
pub const P_TOS: u32 = 9;
/// A predicate: the packet has a tag.
pub const P_TAGGED: u32 = 10;
/// A predicate: it came in on an interface; the value is where the mask's two words are, counted
/// from the predicates.
pub const P_RECEIVED: u32 = 11;
/// A predicate: chance, in units of 2^-32.
pub const P_CHANCE: u32 = 12;
/// A predicate: the source is routed through another interface than this one.
pub const P_URPF: u32 = 13;
/// A predicate: a gate is open.
pub const P_GATE: u32 = 14;
/// A predicate: some rule with at least this index has matched.
pub const P_SINCE: u32 = 15;
/// A predicate: never.
pub const P_NEVER: u32 = 16;

/// Words of a name: kind and length (from bit 8), where its bytes are, where its id goes, value.
pub const NAME_WORDS: usize = 4;
/// The kind of name that is an interface, as the ABI numbers it.
pub const NAME_INTERFACE: u32 = 5;
/// The longest name in bytes.
pub const NAME_BYTES_MAX: usize = 64;
