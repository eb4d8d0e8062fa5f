//! A rules file as it was written: every clause of the language with its place, whether this
//! version can compile it or not.

use std::net::IpAddr;

use crate::diagnostic::Span;

/// A thing and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The thing.
    pub node: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    pub(crate) fn new(node: T, span: Span) -> Self {
        Self { node, span }
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `set …`.
    Set(Vec<Spanned<SetOption>>),
    /// `table <name> …`.
    Table(Table),
    /// `pass`, `block`, `match`.
    Rule(Box<Rule>),
    /// `anchor …`.
    Anchor(Box<Anchor>),
    /// `load anchor "name" from "file"`; the statements are the file's.
    LoadAnchor {
        /// The anchor's path.
        name: Spanned<String>,
        /// What the file says.
        body: Vec<Spanned<Statement>>,
    },
    /// `antispoof …`.
    Antispoof(Antispoof),
    /// Something that is known by name but has no grammar here: `queue`, `nat on` of old pf.
    Foreign {
        /// Its name.
        name: String,
        /// What to write instead.
        mend: String,
    },
}

/// Inbound or outbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Where packets come in.
    In,
    /// Where they leave.
    Out,
}

/// Address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `inet`.
    V4,
    /// `inet6`.
    V6,
}

/// What a block rule answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Nothing.
    Drop,
    /// A reset for TCP, an ICMP error for others.
    Return,
    /// A reset for TCP.
    ReturnRst {
        /// TTL of the reset.
        ttl: Option<u8>,
    },
    /// An ICMP error.
    ReturnIcmp {
        /// Code for IPv4.
        code4: Option<u8>,
        /// Code for IPv6.
        code6: Option<u8>,
    },
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// `pass`.
    Pass,
    /// `block`; without a reply the block policy holds.
    Block(Option<Reply>),
    /// `match`.
    Match,
}

/// `log (…)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Log {
    /// `all`, `matches`, `user`, `to pflogN`, as written.
    pub options: Vec<Spanned<String>>,
}

/// An interface or group, perhaps negated.
#[derive(Debug, Clone, PartialEq)]
pub struct OnItem {
    /// `!`.
    pub negated: bool,
    /// Its name.
    pub name: String,
}

/// What a rule is on.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum On {
    /// Nothing is said.
    #[default]
    Everywhere,
    /// `on any`.
    Any,
    /// Interfaces and groups.
    Interfaces(Vec<Spanned<OnItem>>),
    /// `on rdomain N`.
    Rdomain(u32),
}

/// The interface modifiers of an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Modifiers {
    /// `:network`, `:broadcast` or `:peer`.
    pub part: Option<Part>,
    /// `:0`, without aliases.
    pub first: bool,
}

/// Which addresses of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `:network`.
    Network,
    /// `:broadcast`.
    Broadcast,
    /// `:peer`.
    Peer,
}

/// Where a packet comes from or goes to.
#[derive(Debug, Clone, PartialEq)]
pub enum HostKind {
    /// `any`.
    Any,
    /// `no-route`.
    NoRoute,
    /// `urpf-failed`.
    UrpfFailed,
    /// `route LABEL`.
    RouteLabel(String),
    /// `<name>`.
    Table(String),
    /// An address or network.
    Net(IpAddr, u8),
    /// `first - last`.
    Range(IpAddr, IpAddr),
    /// `self` or an interface; in parentheses if dynamic.
    Interface {
        /// Its name, `self` for all.
        name: String,
        /// Modifiers.
        modifiers: Modifiers,
        /// `( … )`.
        dynamic: bool,
    },
}

/// A host, perhaps negated, perhaps with a weight in pools.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// `!`.
    pub negated: bool,
    /// The host.
    pub kind: HostKind,
    /// `weight N`, of pools.
    pub weight: Option<u16>,
}

/// A test of numbers: ports, users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Between two, both included.
    Within(u32, u32),
    /// Not between two, both included.
    Without(u32, u32),
}

/// One end of `from … to …`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct End {
    /// The hosts; none is any.
    pub hosts: Vec<Spanned<Host>>,
    /// The ports; none is any.
    pub ports: Vec<Spanned<Test>>,
    /// `os "…"`.
    pub os: Vec<Spanned<String>>,
}

/// How a state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateKind {
    /// `keep state`.
    Keep,
    /// `modulate state`.
    Modulate,
    /// `synproxy state`.
    Synproxy,
    /// `no state`.
    No,
}

/// An option of a state.
#[derive(Debug, Clone, PartialEq)]
pub enum StateOption {
    /// `max N`.
    Max(u32),
    /// `no-sync`.
    NoSync,
    /// `sloppy`.
    Sloppy,
    /// `pflow`.
    Pflow,
    /// `if-bound`.
    IfBound,
    /// `floating`.
    Floating,
    /// `source-track [rule|global]`.
    SourceTrack(Option<String>),
    /// `max-src-nodes`, `max-src-states`, `max-src-conn`.
    MaxSource(&'static str, u32),
    /// `max-src-conn-rate n / s`.
    MaxSourceRate(u32, u32),
    /// `overload <t> [flush [global]]`.
    Overload {
        /// The table.
        table: String,
        /// `flush`.
        flush: bool,
        /// `global`.
        global: bool,
    },
    /// A timeout and its seconds.
    Timeout(String, u32),
}

/// A pool of addresses for translation and routing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pool {
    /// Its addresses.
    pub hosts: Vec<Spanned<Host>>,
    /// First and last port; a last of `None` is `*`.
    pub port: Option<(u16, Option<u16>)>,
    /// `round-robin`, `random`, `source-hash`, `bitmask`, `least-states`.
    pub kind: Option<String>,
    /// The key of `source-hash`.
    pub key: Option<String>,
    /// `sticky-address`.
    pub sticky: bool,
    /// `static-port`.
    pub static_port: bool,
}

/// One option of scrub.
#[derive(Debug, Clone, PartialEq)]
pub enum ScrubOption {
    /// `no-df`, `random-id`, `reassemble tcp`.
    Word(&'static str),
    /// `min-ttl`, `max-mss`.
    Number(&'static str, u32),
}

/// An option after `from … to …`.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleOption {
    /// `flags A/B`, or `None` for any.
    Flags(Option<(u8, u8)>),
    /// `icmp-type` and `icmp6-type`: type and code.
    Icmp {
        /// Family of the keyword.
        family: Family,
        /// Types with codes.
        types: Vec<Spanned<(u8, Option<u8>)>>,
    },
    /// `tos N`.
    Tos(u8),
    /// `tag NAME`.
    Tag(String),
    /// `[!] tagged NAME`.
    Tagged {
        /// `!`.
        negated: bool,
        /// The tag.
        name: String,
    },
    /// `label "…"`.
    Label(String),
    /// `keep state (…)` and its like.
    State(StateKind, Vec<Spanned<StateOption>>),
    /// `allow-opts`.
    AllowOpts,
    /// `fragment`.
    Fragment,
    /// `once`.
    Once,
    /// `probability N%`, in units of 2^-32.
    Probability(u64),
    /// `max-pkt-rate n/s`.
    MaxPacketRate(u32, u32),
    /// `[!] received-on IF`.
    ReceivedOn {
        /// `!`.
        negated: bool,
        /// The interface or group.
        name: String,
    },
    /// `user …` or `group …`.
    Owner(&'static str, Vec<Spanned<Test>>),
    /// `scrub (…)`.
    Scrub(Vec<Spanned<ScrubOption>>),
    /// `nat-to`, `rdr-to`, `binat-to`, `route-to`, `reply-to`, `dup-to`.
    Pool(&'static str, Pool),
    /// `af-to inet|inet6 from … [to …]`.
    AfTo(Family, Pool, Option<Pool>),
    /// `divert-to host port n`.
    DivertTo(Box<Spanned<Host>>, u16),
    /// `divert-reply`.
    DivertReply,
    /// `divert-packet port n`.
    DivertPacket(u16),
    /// `rtable N`.
    Rtable(u32),
    /// `set (…)` or `set prio …`; the words in it.
    Set(Vec<Spanned<String>>),
    /// `prio N`.
    Prio(u8),
}

impl RuleOption {
    /// Returns the clause's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Flags(_) => "flags",
            Self::Icmp { family: Family::V4, .. } => "icmp-type",
            Self::Icmp { family: Family::V6, .. } => "icmp6-type",
            Self::Tos(_) => "tos",
            Self::Tag(_) => "tag",
            Self::Tagged { .. } => "tagged",
            Self::Label(_) => "label",
            Self::State(StateKind::Keep, _) => "keep state",
            Self::State(StateKind::Modulate, _) => "modulate state",
            Self::State(StateKind::Synproxy, _) => "synproxy state",
            Self::State(StateKind::No, _) => "no state",
            Self::AllowOpts => "allow-opts",
            Self::Fragment => "fragment",
            Self::Once => "once",
            Self::Probability(_) => "probability",
            Self::MaxPacketRate(..) => "max-pkt-rate",
            Self::ReceivedOn { .. } => "received-on",
            Self::Owner(name, _) | Self::Pool(name, _) => name,
            Self::Scrub(_) => "scrub",
            Self::AfTo(..) => "af-to",
            Self::DivertTo(..) => "divert-to",
            Self::DivertReply => "divert-reply",
            Self::DivertPacket(_) => "divert-packet",
            Self::Rtable(_) => "rtable",
            Self::Set(_) => "set",
            Self::Prio(_) => "prio",
        }
    }
}

/// The condition of a rule or an anchor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// `in`, `out`.
    pub direction: Option<Direction>,
    /// `log`.
    pub log: Option<Spanned<Log>>,
    /// `quick`.
    pub quick: bool,
    /// `on …`.
    pub on: On,
    /// `inet`, `inet6`.
    pub family: Option<Family>,
    /// `proto …`.
    pub protocols: Vec<Spanned<u8>>,
    /// `from …`.
    pub from: End,
    /// `to …`.
    pub to: End,
    /// What follows.
    pub options: Vec<Spanned<RuleOption>>,
}

/// `pass`, `block`, `match`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it does.
    pub action: RuleAction,
    /// When.
    pub filter: Filter,
}

/// `anchor …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchor {
    /// Its path, perhaps with `*` at the end.
    pub name: Option<Spanned<String>>,
    /// When it is entered.
    pub filter: Filter,
    /// The rules in braces.
    pub body: Option<Vec<Spanned<Statement>>>,
}

/// `antispoof …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Antispoof {
    /// `log`.
    pub log: Option<Spanned<Log>>,
    /// `quick`.
    pub quick: bool,
    /// The interfaces.
    pub interfaces: Vec<Spanned<OnItem>>,
    /// `inet`, `inet6`.
    pub family: Option<Family>,
    /// `label`.
    pub label: Option<Spanned<String>>,
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableEntry {
    /// `!`.
    pub negated: bool,
    /// The address or network; `None` for what tables cannot hold yet, by its text.
    pub net: Result<(IpAddr, u8), String>,
}

/// `table <name> …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: Spanned<String>,
    /// `persist`.
    pub persist: bool,
    /// `const`.
    pub constant: bool,
    /// `counters`.
    pub counters: bool,
    /// Whether it has `{ … }` or `file`.
    pub initialised: bool,
    /// What it holds at first, those of files included.
    pub entries: Vec<Spanned<TableEntry>>,
    /// The files, as written.
    pub files: Vec<Spanned<String>>,
}

/// One option of `set`.
#[derive(Debug, Clone, PartialEq)]
pub enum SetOption {
    /// `block-policy drop|return`.
    BlockPolicy(Reply),
    /// `skip on …`.
    Skip(Vec<Spanned<OnItem>>),
    /// `state-policy if-bound|floating`.
    StatePolicy(String),
    /// `limit NAME N`.
    Limit(String, u32),
    /// `timeout NAME N`.
    Timeout(String, u32),
    /// `optimization …`.
    Optimization(String),
    /// `ruleset-optimization …`.
    RulesetOptimization(String),
    /// `loginterface IF|none`.
    LogInterface(String),
    /// `reassemble yes|no [no-df]`.
    Reassemble {
        /// `yes`.
        yes: bool,
        /// `no-df`.
        no_df: bool,
    },
    /// `syncookies never|always|adaptive (…)`.
    Syncookies(String, Option<(u8, u8)>),
    /// `hostid N`.
    HostId(u32),
    /// `debug LEVEL`.
    Debug(String),
    /// `fingerprints "file"`.
    Fingerprints(String),
    /// `state-defaults …`.
    StateDefaults(Vec<Spanned<StateOption>>),
}
