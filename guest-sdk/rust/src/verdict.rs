//! Verdicts, built in one line.

use evergate_abi::{Action, Keep, TimeoutOverrides};

use crate::{Label, Packet, Tag, icmp, icmp6};

/// What a policy says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Verdict(evergate_abi::Verdict);

impl Verdict {
    const fn of(action: Action) -> Self {
        Self(evergate_abi::Verdict::new(action))
    }

    /// Asks the next policy of the chain.
    pub const fn go_on() -> Self {
        Self::of(Action::Continue)
    }

    /// Lets it pass and keeps a state.
    pub const fn pass() -> Self {
        Self::of(Action::Pass)
    }

    /// Drops it silently.
    pub const fn block() -> Self {
        Self::of(Action::Block)
    }

    /// Drops it and answers TCP with a reset; other protocols are dropped silently.
    pub const fn return_rst() -> Self {
        Self::of(Action::ReturnRst)
    }

    /// Drops it and answers with an ICMP unreachable error of this code; `None` is port
    /// unreachable.
    pub const fn return_icmp(code: Option<u8>) -> Self {
        let mut verdict = Self::of(Action::ReturnIcmp);
        verdict.0.icmp_code = code;
        verdict
    }

    /// Asks to see up to so many bytes of payload first; 0 is as many as the payload buffer takes.
    ///
    /// The policy has to implement [`crate::Inspect`] and say so to [`crate::policy!`].
    pub const fn inspect(bytes: u16) -> Self {
        let mut verdict = Self::of(Action::Inspect);
        verdict.0.inspect = bytes;
        verdict
    }

    /// Drops it and tells its sender at once: a reset for TCP, else "administratively prohibited".
    pub fn refuse(packet: &Packet<'_>) -> Self {
        if packet.is_tcp() {
            Self::return_rst()
        } else if packet.is_v4() {
            Self::return_icmp(Some(icmp::ADMIN_PROHIBITED))
        } else {
            Self::return_icmp(Some(icmp6::ADMIN_PROHIBITED))
        }
    }

    /// Names the rule that decided.
    pub const fn rule(mut self, rule: u16) -> Self {
        self.0.rule = rule;
        self
    }

    /// Asks to log the packet.
    pub const fn log(mut self) -> Self {
        self.0.log = true;
        self
    }

    /// Lets it pass although it carries IP options.
    pub const fn allow_options(mut self) -> Self {
        self.0.allow_options = true;
        self
    }

    /// Has each further packet of the same sender decided too, as the first was; not of TCP.
    pub const fn each(mut self) -> Self {
        self.0.each = true;
        self
    }

    /// Says how the connection is remembered.
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.0.keep = keep;
        self
    }

    /// Tags the packet for later policies and the state.
    pub const fn tag(mut self, tag: Tag) -> Self {
        self.0.tag = tag.id();
        self
    }

    /// Labels the state.
    pub const fn label(mut self, label: Label) -> Self {
        self.0.label = label.id();
        self
    }

    /// Sets timeouts of the state.
    pub const fn timeouts(mut self, timeouts: TimeoutOverrides) -> Self {
        self.0.timeouts = timeouts;
        self
    }

    /// Returns it as the ABI's type.
    pub const fn into_abi(self) -> evergate_abi::Verdict {
        self.0
    }
}
