//! Counters with the names of CARP's own, and a few more.

use evergate_wire::Af;

use crate::Refused;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What happened since the start. The names are those of BSD's `carps_*`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Every counter with its name, in the order of BSD's `netstat`.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }

            /// The sums of both.
            pub fn plus(self, other: Self) -> Self {
                Self { $($name: self.$name.saturating_add(other.$name),)+ }
            }
        }
    };
}

counters! {
    /// IPv4 packets of protocol 112 received.
    ipackets,
    /// IPv6 packets of protocol 112 received.
    ipackets6,
    /// Sent to a destination, or by a peer, this vhid does not listen to.
    badif,
    /// TTL or hop limit other than 255.
    badttl,
    /// No whole IP packet of protocol 112.
    hdrops,
    /// Wrong checksum.
    badsum,
    /// Version other than 2.
    badver,
    /// Shorter than an advert.
    badlen,
    /// Wrong HMAC-SHA1.
    badauth,
    /// Another vhid.
    badvhid,
    /// IPv4 adverts handed out for sending.
    opackets,
    /// IPv6 adverts handed out for sending.
    opackets6,
    /// Changes of state.
    ostates,
    /// Times a living MASTER was replaced by this one.
    preempt,
    /// Malformed trailers.
    badtrailer,
    /// Wrong HMAC-SHA256.
    badtag,
    /// Adverts without the trailer that is required.
    notrailer,
    /// Adverts that are not newer than what their sender sent before.
    replay,
    /// Adverts of one sender more than is remembered.
    senders,
    /// Own adverts that came back, or another gateway with this node id.
    loops,
    /// Timers handled so late that the silence proved nothing.
    late,
}

impl Counters {
    pub(crate) fn received(&mut self, family: Af) {
        match family {
            Af::V4 => self.ipackets += 1,
            Af::V6 => self.ipackets6 += 1,
        }
    }

    pub(crate) fn sent(&mut self, family: Af) {
        match family {
            Af::V4 => self.opackets += 1,
            Af::V6 => self.opackets6 += 1,
        }
    }

    /// Counts a refusal; also for packets that [`crate::Datagram::parse`] refused.
    pub fn refused(&mut self, refused: &Refused) {
        let counter = match refused {
            Refused::BadIf { .. } => &mut self.badif,
            Refused::BadTtl { .. } => &mut self.badttl,
            Refused::HdrDrops => &mut self.hdrops,
            Refused::BadSum => &mut self.badsum,
            Refused::BadVer { .. } => &mut self.badver,
            Refused::BadLen { .. } => &mut self.badlen,
            Refused::BadAuth => &mut self.badauth,
            Refused::BadVhid { .. } => &mut self.badvhid,
            Refused::BadTrailer => &mut self.badtrailer,
            Refused::BadTag => &mut self.badtag,
            Refused::NoTrailer => &mut self.notrailer,
            Refused::Replay { .. } => &mut self.replay,
            Refused::Senders => &mut self.senders,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use evergate_wire::Addr;

    use super::*;

    #[test]
    fn a_refusal_raises_the_counter_of_its_name_and_no_other() {
        let addr = Addr::from_v4_octets([192, 0, 2, 1]);
        for refused in [
            Refused::BadIf { from: addr, to: addr },
            Refused::BadTtl { ttl: 1 },
            Refused::HdrDrops,
            Refused::BadSum,
            Refused::BadVer { version: 3 },
            Refused::BadLen { len: 1 },
            Refused::BadAuth,
            Refused::BadVhid { vhid: 1 },
            Refused::BadTrailer,
            Refused::BadTag,
            Refused::NoTrailer,
            Refused::Replay { sender: 1, sequence: 1 },
            Refused::Senders,
        ] {
            let mut counters = Counters::default();
            counters.refused(&refused);
            let raised: Vec<_> = counters.fields().filter(|(_, value)| *value > 0).collect();
            assert_eq!(raised, [(refused.counter(), 1)]);
            assert!(refused.to_string().starts_with(refused.counter()), "{refused}");
            assert_eq!(counters.plus(counters).fields().map(|(_, value)| value).sum::<u64>(), 2);
        }
    }
}
