//! What a chain of policies decides about one packet.

use evergate_abi::{Keep, TimeoutOverrides, Verdict};

/// What shall happen to a packet after the whole chain was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Let it pass.
    Pass,
    /// Drop it silently.
    Block,
    /// Drop it and answer TCP with a reset; other protocols are dropped silently.
    ReturnRst,
    /// Drop it and answer with an ICMP unreachable error.
    ReturnIcmp {
        /// The error's code; `None` is port unreachable (pf's default).
        code: Option<u8>,
    },
    /// Let a TCP handshake pass and ask again with payload ([`crate::Runner::inspect`]).
    Inspect {
        /// How many bytes of payload the policy wants to see, at least 1.
        bytes: u16,
    },
    /// A policy trapped, ran too long or gave a bad verdict: drop it.
    Failed,
    /// Every policy said continue: the gateway's default applies.
    Default,
}

/// The payload of a connection as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Its beginning.
    pub bytes: &'a [u8],
    /// Whether there will be no more.
    pub end: bool,
}

/// The decision of a chain about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What shall happen.
    pub action: Action,
    /// Index in the chain of the policy that decided or failed; the chain's length for
    /// [`Action::Default`].
    pub policy: u16,
    /// The number of the rule that decided, 0 unless a policy did.
    pub rule: u16,
    /// How the connection is remembered.
    pub keep: Keep,
    /// The packet's tag after the chain, an id of the environment's tags; 0 is none.
    pub tag: u16,
    /// The state's label, an id of the environment's labels; 0 is none.
    pub label: u16,
    /// Whether a policy of the chain asked to log the packet.
    pub log: bool,
    /// Timeouts of the state, where the policy set any.
    pub timeouts: Option<TimeoutOverrides>,
    /// Whether IP options may pass.
    pub allow_options: bool,
    /// Whether a policy of the chain asked that each further packet of the sender is decided too;
    /// not of TCP.
    pub each: bool,
}

impl Decision {
    /// Returns that the policy at this place of the chain has failed.
    pub fn failed(policy: u16) -> Self {
        Self::of(Action::Failed, policy, 0, false)
    }

    pub(crate) fn of(action: Action, policy: u16, tag: u16, log: bool) -> Self {
        Self {
            action,
            policy,
            rule: 0,
            keep: Keep::State,
            tag,
            label: 0,
            log,
            timeouts: None,
            allow_options: false,
            each: false,
        }
    }

    pub(crate) fn from_verdict(
        verdict: &Verdict,
        policy: u16,
        tag: u16,
        log: bool,
    ) -> Option<Self> {
        let action = match verdict.action {
            evergate_abi::Action::Continue => return None,
            evergate_abi::Action::Pass => Action::Pass,
            evergate_abi::Action::Block => Action::Block,
            evergate_abi::Action::ReturnRst => Action::ReturnRst,
            evergate_abi::Action::ReturnIcmp => Action::ReturnIcmp { code: verdict.icmp_code },
            evergate_abi::Action::Inspect => Action::Inspect { bytes: verdict.inspect },
        };
        let timeouts = (verdict.timeouts != TimeoutOverrides::NONE).then_some(verdict.timeouts);
        Some(Self {
            action,
            policy,
            rule: verdict.rule,
            keep: verdict.keep,
            tag,
            label: verdict.label,
            log,
            timeouts,
            allow_options: verdict.allow_options,
            each: verdict.each,
        })
    }
}
