//! Sealing and opening between Evergates, and life with others on one vhid.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::net::IpAddr;

use evergate_carp::auth::LinkLocal;
use evergate_carp::packet::{GROUP_V4, group};
use evergate_carp::{
    Action, ConfigError, Datagram, Endpoint, EndpointConfig, Event, Families, Heard, NodeId,
    Outgoing, PEERS_MAX, Pace, Passphrase, Reach, Refused, State, TrailerPolicy, Vhid, Vhost,
    VhostConfig, VirtualAddresses,
};
use evergate_wire::{Addr, Af, Timestamp};
use proptest::prelude::*;

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn config(node: u64, trailer: TrailerPolicy) -> EndpointConfig {
    EndpointConfig {
        vhid: Vhid::new(7).unwrap(),
        passphrase: Passphrase::new(b"secret").unwrap(),
        addresses: VirtualAddresses::new(&[addr("192.0.2.9"), addr("2001:db8::9")]).unwrap(),
        link_local: LinkLocal::default(),
        lladdr: None,
        reach: Reach::Multicast,
        node: NodeId(node),
        epoch: 3,
        trailer,
    }
}

fn endpoint(node: u64, trailer: TrailerPolicy) -> Endpoint {
    Endpoint::new(config(node, trailer)).unwrap()
}

fn outgoing(family: Af, sequence: u64) -> Outgoing {
    Outgoing {
        vhid: Vhid::new(7).unwrap(),
        family,
        pace: Pace::classic(1, 20).unwrap(),
        demotion: 300,
        counter: [8; 8],
        sequence,
        bow_out: false,
    }
}

fn source(family: Af) -> Addr {
    match family {
        Af::V4 => addr("192.0.2.1"),
        Af::V6 => addr("fe80::1"),
    }
}

#[test]
fn policies_meet_as_documented() {
    use TrailerPolicy::{Off, Require, Use};
    // Sender, receiver; whether it is accepted, and with a trailer.
    for (sends, receives, accepted, trailer) in [
        (Off, Off, true, false),
        (Off, Use, true, false),
        (Off, Require, false, false),
        (Use, Off, true, false),
        (Use, Use, true, true),
        (Use, Require, true, true),
        (Require, Off, true, false),
        (Require, Use, true, true),
        (Require, Require, true, true),
    ] {
        for family in [Af::V4, Af::V6] {
            let sent = outgoing(family, 1);
            let payload = endpoint(1, sends).seal(&sent);
            let (from, to) = (source(family), group(family));
            let datagram = Datagram { from, to, ttl: 255, payload: &payload };
            let mut receiver = endpoint(2, receives);
            let opened = receiver.open(&datagram);
            let Ok(heard) = opened else {
                assert!(!accepted && opened == Err(Refused::NoTrailer), "{sends:?} {receives:?}");
                continue;
            };
            assert!(accepted, "{sends:?} {receives:?}");
            let expected = trailer.then(|| sent.trailer(NodeId(1), 3));
            assert_eq!(heard.trailer, expected, "{sends:?} {receives:?}");
            // The advert's own field ends at 255.
            assert_eq!(heard.demotion, if trailer { 300 } else { 255 });
        }
    }
}

#[test]
fn an_advert_of_one_family_is_not_believed_in_the_other() {
    let payload = endpoint(1, TrailerPolicy::Require).seal(&outgoing(Af::V4, 1));
    let (from, to) = (source(Af::V6), group(Af::V6));
    let datagram = Datagram { from, to, ttl: 255, payload: &payload };
    assert_eq!(endpoint(2, TrailerPolicy::Require).open(&datagram), Err(Refused::BadTag));
}

#[test]
fn unicast_is_between_named_peers_only() {
    let peers = vec![addr("192.0.2.1"), addr("fe80::1"), addr("192.0.2.3")];
    let config = |reach| EndpointConfig { reach, ..config(1, TrailerPolicy::Use) };
    let mut unicast = Endpoint::new(config(Reach::Unicast(peers))).unwrap();
    assert_eq!(unicast.destinations(Af::V4), [addr("192.0.2.1"), addr("192.0.2.3")]);
    assert_eq!(unicast.destinations(Af::V6), [addr("fe80::1")]);
    let multicast = endpoint(1, TrailerPolicy::Use);
    assert_eq!(multicast.destinations(Af::V4), [GROUP_V4]);

    let mut sequence = 0;
    let mut open = |endpoint: &mut Endpoint, from: &str, to: Addr, ttl| {
        sequence += 1;
        let payload = multicast.seal(&outgoing(Af::V4, sequence));
        let datagram = Datagram { from: addr(from), to, ttl, payload: &payload };
        endpoint.open(&datagram).map_err(|refused| refused.counter()).err()
    };
    let here = addr("192.0.2.2");
    assert_eq!(open(&mut unicast, "192.0.2.1", here, 255), None);
    assert_eq!(open(&mut unicast, "192.0.2.3", here, 255), None);
    assert_eq!(open(&mut unicast, "192.0.2.4", here, 255), Some("badif"));
    assert_eq!(open(&mut unicast, "192.0.2.1", GROUP_V4, 255), Some("badif"));
    assert_eq!(open(&mut unicast, "192.0.2.1", here, 254), Some("badttl"));
    let mut multicast = endpoint(2, TrailerPolicy::Use);
    assert_eq!(open(&mut multicast, "192.0.2.1", here, 255), Some("badif"));
    assert_eq!((unicast.counters().badif, unicast.counters().ipackets), (2, 5));

    let many = vec![addr("192.0.2.1"); PEERS_MAX + 1];
    for peers in [vec![], many, vec![GROUP_V4], vec![addr("::")], vec![addr("255.255.255.255")]] {
        let refused = Endpoint::new(config(Reach::Unicast(peers))).unwrap_err();
        assert_eq!(refused, ConfigError::Peers { max: PEERS_MAX });
    }
}

/// A MASTER with this source address, without trailers, and its advert as a peer
/// with an equal pace would send it.
fn classic_master(own: &str, theirs: &str) -> (Vhost, Heard) {
    let pace = Pace::classic(1, 0).unwrap();
    let config = VhostConfig::new(Vhid::new(7).unwrap(), NodeId(1), Families::V4, pace);
    let mut vhost = Vhost::new(config, 5).unwrap();
    let mut actions = Vec::new();
    let source = Event::SetSource(addr(own));
    for event in [Event::Configured, Event::Up, source] {
        vhost.handle(Timestamp::ZERO, event, &mut actions);
    }
    vhost.handle(vhost.next_deadline().unwrap().at, Event::Timer, &mut actions);
    assert_eq!(vhost.state(), State::Master);
    let heard = Heard {
        family: Af::V4,
        from: addr(theirs),
        advbase: 1,
        advskew: 0,
        demotion: 0,
        counter: [1; 8],
        trailer: None,
    };
    (vhost, heard)
}

proptest! {
    /// ucarp yields to an equal advert if its sender's address is lower, both read
    /// as little-endian numbers.
    #[test]
    fn of_equal_adverts_that_cross_with_ucarps_one_master_remains(
        own in any::<[u8; 4]>(),
        theirs in any::<[u8; 4]>(),
    ) {
        prop_assume!(own != theirs);
        let [ours, peer] = [own, theirs].map(|octets| IpAddr::from(octets).to_string());
        let (mut vhost, heard) = classic_master(&ours, &peer);
        let now = vhost.status().since;
        vhost.handle(now, Event::Advert(heard), &mut Vec::new());
        let ucarp_yields = u32::from_le_bytes(own) < u32::from_le_bytes(theirs);
        prop_assert_eq!(vhost.state() == State::Master, ucarp_yields);
    }

    #[test]
    fn no_datagram_makes_opening_panic(
        payload in prop::collection::vec(any::<u8>(), 0..150),
        ttl in prop::sample::select(vec![255, 254]),
    ) {
        let (from, to) = (source(Af::V4), GROUP_V4);
        let mut endpoint = endpoint(1, TrailerPolicy::Use);
        let datagram = Datagram { from, to, ttl, payload: &payload };
        prop_assert!(endpoint.open(&datagram).is_err());
        let refused: u64 = endpoint.counters().fields().map(|(_, value)| value).sum();
        prop_assert_eq!(refused, 2);
    }
}

#[test]
fn an_equal_openbsd_yields_whether_or_not_this_one_does() {
    // It yields to any equal advert; so never two remain, and one if this stays.
    let (mut stays, heard) = classic_master("10.9.0.1", "10.9.0.2");
    let mut actions = Vec::new();
    stays.handle(stays.status().since, Event::Advert(heard), &mut actions);
    assert_eq!(stays.state(), State::Master);
    // It is told at once.
    assert!(actions.iter().any(|action| matches!(action, Action::SendAdvert(_))));
}
