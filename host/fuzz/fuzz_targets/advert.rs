//! Any bytes as a packet of protocol 112, and as an advert with a trailer.
//!
//! What is no right advert must be refused and counted; and the same with checksum
//! and digest made right, so that the trailer is reached.
#![no_main]

use evergate_carp::advert::ADVERT_LEN;
use evergate_carp::auth::{Authenticator, LinkLocal};
use evergate_carp::packet::{build, group};
use evergate_carp::{
    Advert, Datagram, Endpoint, EndpointConfig, NodeId, Passphrase, Reach, TrailerPolicy, Vhid,
    VirtualAddresses,
};
use evergate_wire::{Addr, Af, checksum};
use libfuzzer_sys::fuzz_target;

const ADDRESSES: [Addr; 2] = [Addr::from_v4_octets([10, 9, 0, 100]), Addr::from_octets([0x20; 16])];
const SOURCES: [Addr; 2] = [Addr::from_v4_octets([10, 9, 0, 1]), Addr::from_octets([0xfd; 16])];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(datagram) = Datagram::parse(bytes) {
        assert!(datagram.payload.len() <= bytes.len());
        for policy in [TrailerPolicy::Off, TrailerPolicy::Use, TrailerPolicy::Require] {
            open(policy, 1, &datagram);
        }
    }
    let Some(vhid) = bytes.get(1).and_then(|vhid| Vhid::new(*vhid)) else { return };
    let Some(payload) = made_right(vhid, bytes) else { return };
    let advert = Advert::decode(&payload).expect("made right");
    assert_eq!(Advert::decode(&advert.encode()), Ok(advert));
    for from in SOURCES {
        let to = group(from.af());
        let datagram = Datagram { from, to, ttl: 255, payload: &payload };
        // Nobody can make the trailer's tag right without the passphrase.
        assert!(open(TrailerPolicy::Off, vhid.get(), &datagram));
        assert!(!open(TrailerPolicy::Require, vhid.get(), &datagram));
        let packet = build(from, to, 0, &payload).expect("both of one family");
        assert_eq!(Datagram::parse(&packet), Ok(datagram));
    }
});

/// Whether an endpoint accepts it; either way it is counted.
fn open(trailer: TrailerPolicy, vhid: u8, datagram: &Datagram<'_>) -> bool {
    let mut endpoint = Endpoint::new(EndpointConfig {
        vhid: Vhid::new(vhid).expect("not 0"),
        passphrase: passphrase(),
        addresses: VirtualAddresses::new(&ADDRESSES).expect("two"),
        link_local: LinkLocal::Omit,
        lladdr: None,
        reach: Reach::Multicast,
        node: NodeId(1),
        epoch: 1,
        trailer,
    })
    .expect("multicast");
    let opened = endpoint.open(datagram);
    let counters = endpoint.counters();
    let received = match datagram.family() {
        Af::V4 => counters.ipackets,
        Af::V6 => counters.ipackets6,
    };
    let counted: u64 = counters.fields().map(|(_, value)| value).sum();
    assert_eq!((received, counted), (1, 1 + u64::from(opened.is_err())));
    opened.is_ok()
}

fn passphrase() -> Passphrase {
    Passphrase::new(b"secret").expect("short")
}

/// The bytes with version, checksum and digest made right.
fn made_right(vhid: Vhid, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut payload = bytes.to_vec();
    let advert = payload.first_chunk_mut::<ADVERT_LEN>()?;
    let addresses = VirtualAddresses::new(&ADDRESSES).expect("two");
    let authenticator = Authenticator::new(&passphrase(), vhid, &addresses, LinkLocal::Omit, None);
    let counter = advert[8..16].try_into().expect("8 bytes");
    advert[0] = 0x20 | advert[0] & 0x0f;
    advert[16..].copy_from_slice(&authenticator.digest(counter));
    advert[6..8].fill(0);
    let check = checksum::checksum(&*advert);
    advert[6..8].copy_from_slice(&check.to_be_bytes());
    Some(payload)
}
