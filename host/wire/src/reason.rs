//! Why a packet was dropped. A drop is no error: each reason is a counter.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped, in the order and with the names of OpenBSD
        /// pf's `PFRES_*`; the last one is Evergate's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of its index.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];

            /// How many reasons there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The name operators see, such as `bad-offset`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// A rule said so.
    Match = "match",
    /// A header length or offset is impossible.
    BadOffset = "bad-offset",
    /// A fragment is malformed, overlaps or cannot be used.
    Fragment = "fragment",
    /// The packet is shorter than its headers say.
    Short = "short",
    /// The packet fails a sanity check, such as SYN with RST.
    Normalize = "normalize",
    /// There was no memory for it.
    Memory = "memory",
    /// A TCP timestamp is out of bounds.
    BadTimestamp = "bad-timestamp",
    /// A queue was full.
    Congestion = "congestion",
    /// IP options or extension headers that are malformed or not allowed.
    IpOption = "ip-option",
    /// A transport checksum is wrong.
    ProtoCksum = "proto-cksum",
    /// The packet does not fit the state it belongs to.
    StateMismatch = "state-mismatch",
    /// An equal state exists already.
    StateInsert = "state-insert",
    /// The limit of states is reached.
    StateLimit = "state-limit",
    /// A limit per source is reached.
    SrcLimit = "src-limit",
    /// Answered on behalf of the server.
    Synproxy = "synproxy",
    /// The packet could not be translated.
    Translate = "translate",
    /// There is no route to where it should go.
    NoRoute = "no-route",
    /// A policy trapped, ran out of time or gave a bad verdict.
    Policy = "policy",
}

impl DropReason {
    /// The reason's place in [`DropReason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_names_are_those_of_pf() {
        let names = DropReason::ALL.map(DropReason::name);
        assert_eq!(
            names.join(" "),
            "match bad-offset fragment short normalize memory bad-timestamp congestion \
             ip-option proto-cksum state-mismatch state-insert state-limit src-limit \
             synproxy translate no-route policy"
        );
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
