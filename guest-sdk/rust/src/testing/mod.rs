//! Native tests of policies: a gateway made of lists, packets in one line, tables of cases.
//!
//! A [`Suite`] says what a gateway is configured with and what the policy has to say to which
//! packet. [`run`] asks the policy compiled for this machine; the gateway's own tests ask the same
//! policy compiled to wasm, and both have to agree.

pub(crate) mod host;
mod packet;

pub use evergate_abi::Request;

use crate::{Inspect, Packet, Policy, Refused, Setup, Verdict};

pub use packet::{forwarded, from_gateway, icmp, icmp6, tcp, to_gateway, udp};

/// One value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'static str),
    /// Yes or no.
    Bool(bool),
}

/// A packet, and what the policy has to say to it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What is claimed.
    pub claim: &'static str,
    /// When the packet arrives, in milliseconds from the start of the suite.
    pub at_ms: u64,
    /// The packet.
    pub request: Request,
    /// The verdict.
    pub verdict: Verdict,
}

/// A configured gateway and the cases for a policy on it.
#[derive(Debug, Clone)]
pub struct Suite {
    /// What is special about the configuration.
    pub name: &'static str,
    /// The interfaces; the first is the gateway itself.
    pub interfaces: &'static [&'static str],
    /// The address tables and their entries.
    pub tables: &'static [(&'static str, &'static [&'static str])],
    /// The policy's settings.
    pub config: &'static [(&'static str, &'static [Value])],
    /// The cases, in the order of their time.
    pub cases: Vec<Case>,
}

/// Makes the policy on the suite's gateway.
///
/// # Errors
/// The policy's own refusal.
pub fn start<P: Policy>(suite: &Suite) -> Result<P, Refused> {
    host::install(suite);
    P::init(&Setup::new())
}

/// Makes the suite's gateway this thread's.
pub fn install(suite: &Suite) {
    host::install(suite);
}

/// Asks the policy about one packet and the beginning of its payload; `end` when there is no more.
pub fn inspect<P: Inspect>(
    policy: &mut P,
    request: &Request,
    payload: &[u8],
    end: bool,
) -> Verdict {
    let flag = if end { evergate_abi::flags::PAYLOAD_END } else { 0 };
    let request = Request { flags: request.flags | flag, ..*request };
    policy.inspect(&Packet::new(&request.encode()), payload)
}

/// Asks the policy about one packet.
pub fn decide<P: Policy>(policy: &mut P, at_ms: u64, request: &Request) -> Verdict {
    host::set_time(at_ms);
    policy.decide(&Packet::new(&request.encode()))
}

/// Sets the wall clock of this thread's gateway, in seconds since 1970; it begins at 0.
pub fn set_wall_s(wall_s: u64) {
    host::set_wall(wall_s);
}

/// Returns the id of a tag of this thread's gateway, made when new; 0 if there is no room.
pub fn tag(name: &str) -> u16 {
    u16::try_from(host::resolve(evergate_abi::ResolveKind::Tag, name)).unwrap_or(0)
}

/// Returns the id of a label of this thread's gateway, made when new; 0 if there is no room.
pub fn label(name: &str) -> u16 {
    u16::try_from(host::resolve(evergate_abi::ResolveKind::Label, name)).unwrap_or(0)
}

/// Returns what the policy counted in a counter since its suite was installed.
pub fn counted(name: &str) -> u64 {
    host::counted(name)
}

/// Runs all cases and returns the verdicts.
///
/// # Errors
/// The policy's own refusal to start.
pub fn run<P: Policy>(suite: &Suite) -> Result<Vec<Verdict>, Refused> {
    let mut policy = start::<P>(suite)?;
    Ok(suite.cases.iter().map(|case| decide(&mut policy, case.at_ms, &case.request)).collect())
}

/// Asserts that a policy says what its suite claims.
///
/// # Panics
/// Names the suite and the first claim that does not hold.
pub fn check<P: Policy>(suite: &Suite) {
    let verdicts = run::<P>(suite);
    let verdicts =
        verdicts.unwrap_or_else(|e| panic!("{}: does not start: {}", suite.name, e.text()));
    for (case, verdict) in suite.cases.iter().zip(verdicts) {
        assert_eq!(verdict, case.verdict, "{}: {}", suite.name, case.claim);
    }
}

/// Returns the lines that the policy logged on this thread since its suite was installed.
pub fn logged() -> Vec<String> {
    host::logged()
}
