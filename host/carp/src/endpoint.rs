//! One vhid's sealing and opening of adverts.
//!
//! Opening follows OpenBSD's order: destination, TTL, length, checksum, vhid,
//! version, digest; then the trailer and its sequence. Only what passed all of it
//! becomes a [`Heard`].

use evergate_wire::{Addr, Af};

use crate::advert::{ADVERT_LEN, Advert, BOW_OUT, Vhid};
use crate::auth::{Authenticator, LinkLocal};
use crate::packet::{self, Datagram, TTL};
use crate::trailer::{TRAILER_LEN, TrailerKey};
use crate::{
    ConfigError, Counters, Heard, Mac, NodeId, Outgoing, Passphrase, Refused, ReplayGuard, Trailer,
    TrailerPolicy, VirtualAddresses,
};

/// The most unicast peers of one vhid.
pub const PEERS_MAX: usize = 64;

/// Whom the adverts of a vhid reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// CARP's multicast groups.
    #[default]
    Multicast,
    /// Only these peers, by unicast; adverts of others are refused. Their TTL must
    /// be 255 all the same, so they are on the link.
    Unicast(Vec<Addr>),
}

/// What an [`Endpoint`] needs to know.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The virtual host.
    pub vhid: Vhid,
    /// The secret.
    pub passphrase: Passphrase,
    /// The addresses, which must be the same on all gateways of the vhid.
    pub addresses: VirtualAddresses,
    /// How link-local addresses count in the digest that is sent.
    pub link_local: LinkLocal,
    /// A MAC address set by hand that OpenBSD peers hash.
    pub lladdr: Option<Mac>,
    /// Whom adverts reach.
    pub reach: Reach,
    /// This gateway.
    pub node: NodeId,
    /// Greater than at all earlier starts of this gateway.
    pub epoch: u64,
    /// What is done with trailers.
    pub trailer: TrailerPolicy,
}

/// Seals the adverts of one vhid and opens those of its peers.
#[derive(Debug)]
pub struct Endpoint {
    vhid: Vhid,
    node: NodeId,
    epoch: u64,
    policy: TrailerPolicy,
    reach: Reach,
    authenticator: Authenticator,
    key: TrailerKey,
    guard: ReplayGuard,
    counters: Counters,
}

impl Endpoint {
    /// Prepares the keys.
    ///
    /// # Errors
    ///
    /// Unicast to nobody, to too many, or not to single hosts.
    pub fn new(config: EndpointConfig) -> Result<Self, ConfigError> {
        if let Reach::Unicast(peers) = &config.reach {
            let single = |peer: &Addr| {
                !peer.is_multicast() && !peer.is_broadcast() && !peer.is_unspecified()
            };
            if peers.is_empty() || peers.len() > PEERS_MAX || !peers.iter().all(single) {
                return Err(ConfigError::Peers { max: PEERS_MAX });
            }
        }
        let authenticator = Authenticator::new(
            &config.passphrase,
            config.vhid,
            &config.addresses,
            config.link_local,
            config.lladdr,
        );
        Ok(Self {
            vhid: config.vhid,
            node: config.node,
            epoch: config.epoch,
            policy: config.trailer,
            reach: config.reach,
            authenticator,
            key: TrailerKey::derive(&config.passphrase),
            guard: ReplayGuard::default(),
            counters: Counters::default(),
        })
    }

    /// The payload of an advert that the machine wants sent: 36 bytes, and the
    /// trailer unless the policy is `off`.
    pub fn seal(&self, outgoing: &Outgoing) -> Vec<u8> {
        let (advbase, advskew) = if outgoing.bow_out {
            BOW_OUT
        } else {
            (outgoing.pace.advbase(), outgoing.pace.advskew())
        };
        let advert = Advert {
            vhid: self.vhid,
            advbase,
            advskew,
            demotion: u8::try_from(outgoing.demotion).unwrap_or(u8::MAX),
            counter: outgoing.counter,
            digest: self.authenticator.digest(outgoing.counter),
        };
        let advert = advert.encode();
        let mut payload = Vec::with_capacity(ADVERT_LEN + TRAILER_LEN);
        payload.extend(advert);
        match self.policy {
            TrailerPolicy::Off => {}
            TrailerPolicy::Use | TrailerPolicy::Require => {
                let trailer = outgoing.trailer(self.node, self.epoch);
                payload.extend(trailer.seal(&self.key, &advert));
            }
        }
        payload
    }

    /// Where adverts of a family go: its group or its peers.
    pub fn destinations(&self, family: Af) -> Vec<Addr> {
        match &self.reach {
            Reach::Multicast => vec![packet::group(family)],
            Reach::Unicast(peers) => {
                peers.iter().copied().filter(|peer| peer.af() == family).collect()
            }
        }
    }

    /// Checks a received packet and counts it.
    ///
    /// # Errors
    ///
    /// The first check that failed.
    pub fn open(&mut self, datagram: &Datagram<'_>) -> Result<Heard, Refused> {
        self.counters.received(datagram.family());
        let opened = self.check(datagram);
        if let Err(refused) = &opened {
            self.counters.refused(refused);
        }
        opened
    }

    fn check(&mut self, datagram: &Datagram<'_>) -> Result<Heard, Refused> {
        self.check_reach(datagram)?;
        if datagram.ttl != TTL {
            return Err(Refused::BadTtl { ttl: datagram.ttl });
        }
        let advert = Advert::decode(datagram.payload)?;
        if advert.vhid != self.vhid {
            return Err(Refused::BadVhid { vhid: advert.vhid.get() });
        }
        if !self.authenticator.verify(advert.counter, &advert.digest) {
            return Err(Refused::BadAuth);
        }
        let trailer = self.check_trailer(datagram)?;
        let classic = u16::from(advert.demotion);
        Ok(Heard {
            family: datagram.family(),
            from: datagram.from,
            advbase: advert.advbase,
            advskew: advert.advskew,
            demotion: trailer.map_or(classic, |trailer| trailer.demotion),
            counter: advert.counter,
            trailer,
        })
    }

    fn check_reach(&self, datagram: &Datagram<'_>) -> Result<(), Refused> {
        let (from, to) = (datagram.from, datagram.to);
        let listens = match &self.reach {
            Reach::Multicast => to == packet::group(from.af()),
            Reach::Unicast(peers) => !to.is_multicast() && peers.contains(&from),
        };
        if listens { Ok(()) } else { Err(Refused::BadIf { from, to }) }
    }

    fn check_trailer(&mut self, datagram: &Datagram<'_>) -> Result<Option<Trailer>, Refused> {
        let required = match self.policy {
            TrailerPolicy::Off => return Ok(None),
            TrailerPolicy::Use => false,
            TrailerPolicy::Require => true,
        };
        let Some((advert, behind)) = datagram.payload.split_first_chunk::<ADVERT_LEN>() else {
            return Err(Refused::BadLen { len: datagram.payload.len() });
        };
        let Some(trailer) = Trailer::open(&self.key, advert, datagram.family(), behind)? else {
            return if required { Err(Refused::NoTrailer) } else { Ok(None) };
        };
        self.guard.check(&trailer)?;
        Ok(Some(trailer))
    }

    /// What was received and refused.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is remembered against replays, to be kept across a restart.
    pub fn guard(&self) -> &ReplayGuard {
        &self.guard
    }

    /// The same, to be given back what was kept.
    pub fn guard_mut(&mut self) -> &mut ReplayGuard {
        &mut self.guard
    }
}
