//! Requests and answers of the control socket.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What the command line asks of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The states, as [`StateRow`]s, at most `limit` of them.
    ShowStates {
        /// Which states.
        filter: StateFilter,
        /// The most rows.
        limit: u64,
    },
    /// One [`InfoReport`].
    ShowInfo,
    /// The chain of policies, as [`PolicyRow`]s.
    ShowPolicies,
    /// The attached interfaces, as [`InterfaceRow`]s.
    ShowInterfaces,
    /// The address tables, as [`TableRow`]s.
    ShowTables,
    /// One [`super::CarpReport`].
    ShowCarp,
    /// Hands every vhost over to another gateway; the answer's `done` says how many were MASTER.
    Failover {
        /// The contrary: the vhosts may preempt again.
        undo: bool,
    },
    /// Demotes the gateway on the operator's behalf; the answer's `done` is the sum of all
    /// demotions.
    Demote {
        /// By how much; 0 for not any more.
        amount: u16,
    },
    /// Removes states; the answer's `done` says how many.
    KillStates {
        /// Which states; an empty filter means all.
        filter: StateFilter,
    },
    /// Compiles a module and puts it in the place of a policy of the chain.
    PolicyLoad {
        /// The policy.
        name: String,
        /// Absolute path of a `.wasm` or `.wat` file; none: where the configuration says.
        file: Option<std::path::PathBuf>,
    },
    /// Takes a policy out of service; its place says continue.
    PolicyUnload {
        /// The policy.
        name: String,
    },
    /// Adds entries to a table.
    TableAdd {
        /// The table.
        table: String,
        /// Addresses or prefixes, negated ones with a leading "!".
        entries: Vec<String>,
    },
    /// Removes entries from a table.
    TableDelete {
        /// The table.
        table: String,
        /// The entries as they were added.
        entries: Vec<String>,
    },
    /// The entries of a table, as [`TableEntryRow`]s.
    TableShow {
        /// The table.
        table: String,
    },
}

/// Selects states; every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateFilter {
    /// Either end lies in this network.
    pub host: Option<IpNet>,
    /// The end that opened the connection lies in this network.
    pub source: Option<IpNet>,
    /// The other end lies in this network.
    pub destination: Option<IpNet>,
    /// Protocol number.
    pub proto: Option<u8>,
    /// Either end has this port.
    pub port: Option<u16>,
    /// Ingress or egress interface of the first packet.
    pub interface: Option<String>,
    /// The label its policy gave it.
    pub label: Option<String>,
    /// The policy that passed it.
    pub policy: Option<String>,
    /// State id.
    pub id: Option<u64>,
}

impl StateFilter {
    /// Whether it selects every state.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == StateFilter::default()
    }
}

/// A state as people and programs see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRow {
    /// State id, unique together with `creator`.
    pub id: u64,
    /// Creator id.
    pub creator: u32,
    /// Protocol: "tcp", "udp", "icmp", "icmp6" or a number.
    pub proto: String,
    /// The end that sent the first packet.
    pub source: IpAddr,
    /// Its port, or the id of an ICMP query.
    pub source_port: u16,
    /// The other end.
    pub destination: IpAddr,
    /// Its port, or the type of an ICMP query.
    pub destination_port: u16,
    /// State of the two ends as pf shows them: "ESTABLISHED:ESTABLISHED".
    pub peers: String,
    /// Ingress interface of the first packet.
    pub ingress: String,
    /// Egress interface of the first packet.
    pub egress: String,
    /// Seconds since the first packet.
    pub age_s: u64,
    /// Seconds until it is purged if nothing more is seen.
    pub expires_s: u64,
    /// Packets from source and from destination.
    pub packets: [u64; 2],
    /// Bytes from source and from destination.
    pub bytes: [u64; 2],
    /// The policy that passed it.
    pub policy: String,
    /// The rule number its policy gave.
    pub rule: u16,
    /// Its label, if any.
    pub label: Option<String>,
    /// Its tag, if any.
    pub tag: Option<String>,
}

/// The gateway as a whole, as `pfctl -s info` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoReport {
    /// Name of the gateway.
    pub name: String,
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Seconds since start.
    pub uptime_s: u64,
    /// States now.
    pub states: u64,
    /// The most states.
    pub states_limit: u64,
    /// Packets that passed, by family.
    pub passed_packets: Families,
    /// Bytes that passed, by family.
    pub passed_bytes: Families,
    /// Packets that were dropped, by family.
    pub blocked_packets: Families,
    /// Bytes that were dropped, by family.
    pub blocked_bytes: Families,
    /// State look-ups, states made, states taken out.
    pub searches: u64,
    /// States made.
    pub inserts: u64,
    /// States taken out, by purge, kill or re-use.
    pub removals: u64,
    /// Calls of policies.
    pub decisions: u64,
    /// Fragments taken in.
    pub fragments: u64,
    /// Datagrams put together.
    pub reassembled: u64,
    /// RSTs, ICMP errors and challenge ACKs sent.
    pub replies: u64,
    /// Replies not sent because of their rate limit.
    pub replies_limited: u64,
    /// Frames the kernel refused to take back.
    pub write_errors: u64,
    /// Connections and datagrams whose payload was looked into.
    pub inspections: u64,
    /// Connections that are being looked into now.
    pub inspections_under_way: u64,
    /// Connections blocked because too many were being looked into.
    pub inspections_refused: u64,
    /// Segments of such connections withheld: behind a gap, or not what was seen before.
    pub inspections_withheld: u64,
    /// Log events lost because too many came at once.
    pub log_lost: u64,
    /// Dropped packets by pf's reasons.
    pub drops: BTreeMap<String, u64>,
}

/// A figure for each address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    /// IPv4.
    pub v4: u64,
    /// IPv6.
    pub v6: u64,
}

impl From<[u64; 2]> for Families {
    fn from([v4, v6]: [u64; 2]) -> Families {
        Families { v4, v6 }
    }
}

/// A policy of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its name.
    pub name: String,
    /// SHA-256 of its module, in hex.
    pub hash: String,
    /// Size of its module in bytes.
    pub size: u64,
    /// Where its module came from.
    pub source: String,
    /// Settings of the configuration that it never asked for: misspelt, most likely.
    pub unread_settings: Vec<String>,
    /// Verdicts it gave.
    pub decisions: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// Calls that ran out of fuel or time.
    pub out_of_time: u64,
    /// Verdicts that made no sense.
    pub bad_verdicts: u64,
    /// Packets blocked without a call because it had failed too often.
    pub held_off: u64,
    /// The version of the ABI it speaks.
    pub abi_version: u32,
    /// Instances made, of all threads.
    pub instances: u64,
    /// The largest memory of an instance in bytes.
    pub memory: u64,
    /// Calls that were timed, one of 256.
    pub timed: u64,
    /// What half of the timed calls took at most, in nanoseconds.
    pub p50_ns: u64,
    /// What 99 of 100 timed calls took at most, in nanoseconds.
    pub p99_ns: u64,
    /// What its last failure was.
    pub last_failure: Option<String>,
}

/// An attached interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRow {
    /// Name in policies.
    pub name: String,
    /// The kernel's device.
    pub device: String,
    /// The tun device behind it.
    pub tun: String,
    /// Queues, each with a thread.
    pub queues: u16,
    /// Packets from this interface that passed.
    pub passed_packets: u64,
    /// Bytes from this interface that passed.
    pub passed_bytes: u64,
    /// Packets from this interface that were dropped.
    pub blocked_packets: u64,
    /// Bytes from this interface that were dropped.
    pub blocked_bytes: u64,
}

/// An address table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// Its name.
    pub name: String,
    /// How many entries it has.
    pub entries: u64,
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntryRow {
    /// The prefix, negated ones with a leading "!".
    pub entry: String,
}
