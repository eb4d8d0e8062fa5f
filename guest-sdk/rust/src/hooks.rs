//! What a policy may do beside deciding about first packets.

use evergate_abi::Ended;

use crate::{Packet, Policy, Verdict};

/// A policy that looks into payload.
pub trait Inspect: Policy {
    /// Decides by the payload so far, after [`Policy::decide`] said [`Verdict::inspect`].
    ///
    /// The payload begins with the first byte every time. While [`Packet::is_payload_end`] is
    /// false there may be more, which another [`Verdict::inspect`] asks for.
    fn inspect(&mut self, packet: &Packet<'_>, payload: &[u8]) -> Verdict;
}

/// A policy that wants to know of the end of the states that it made.
pub trait StateEnd: Policy {
    /// Takes note of a state that has ended. Called in an instance that decides nothing.
    fn state_ended(&mut self, ended: &Ended);
}

/// A policy that does something every second.
pub trait Tick: Policy {
    /// Called once a second with monotonic nanoseconds and seconds since 1970, in an instance that
    /// decides nothing.
    fn tick(&mut self, now_ns: u64, wall_s: u64);
}

/// A policy that wants to know when it is in force.
pub trait Lifecycle: Policy {
    /// The policy is in force.
    fn loaded(&mut self) {}

    /// The policy is not in force any more.
    fn unloaded(&mut self) {}
}

/// A policy whose memory survives its replacement by a module with the same version of it.
pub trait Save: Policy {
    /// The version of what [`Save::save`] writes.
    const VERSION: u32;

    /// Writes what shall survive and returns how many bytes that are.
    fn save(&mut self, to: &mut [u8]) -> usize;

    /// Takes what the module before has saved; `false` refuses it.
    fn restore(&mut self, from: &[u8]) -> bool;
}
