//! Adverts byte for byte: recorded from ucarp, and computed by another
//! implementation for what ucarp cannot send.

#![allow(clippy::unwrap_used, reason = "what fails here shall panic")]

use std::net::IpAddr;

use evergate_carp::auth::LinkLocal;
use evergate_carp::packet::{ETHERTYPE_IPV4, build, frame, group};
use evergate_carp::{
    Advert, Datagram, Endpoint, EndpointConfig, Mac, NodeId, Outgoing, Pace, Passphrase, Reach,
    Refused, TrailerPolicy, Vhid, VirtualAddresses, announce,
};
use evergate_wire::{Addr, Af};
use serde::Deserialize;

/// An advert of `ucarp_adverts.json`.
#[derive(Deserialize)]
struct Recorded {
    desc: String,
    vhid: u8,
    password: String,
    vips: Vec<IpAddr>,
    advbase: u8,
    advskew: u8,
    demote: u8,
    counter_hex: String,
    hmac_hex: String,
    src: IpAddr,
    dst: IpAddr,
    eth_src: String,
    eth_dst: String,
    carp_hex: String,
    frame_hex: String,
}

/// An advert of `computed_adverts.json`.
#[derive(Deserialize)]
struct Computed {
    name: String,
    vhid: u8,
    password: String,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    hash_linklocal: bool,
    extra_mac: String,
    advbase: u8,
    advskew: u8,
    demote: u8,
    counter_hex: String,
    hmac_hex: String,
    carp_hex: String,
}

fn recorded() -> Vec<Recorded> {
    let adverts: Vec<Recorded> =
        serde_json::from_str(include_str!("data/ucarp_adverts.json")).unwrap();
    assert_eq!(adverts.len(), 50);
    adverts
}

fn computed() -> Vec<Computed> {
    let adverts: Vec<Computed> =
        serde_json::from_str(include_str!("data/computed_adverts.json")).unwrap();
    assert_eq!(adverts.len(), 7);
    adverts
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    hex_vec(text).try_into().unwrap()
}

fn hex_vec(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn mac(text: &str) -> Mac {
    Mac(hex(&text.replace(':', "")))
}

fn addresses(vips: &[IpAddr]) -> VirtualAddresses {
    let vips: Vec<Addr> = vips.iter().copied().map(Addr::from).collect();
    VirtualAddresses::new(&vips).unwrap()
}

/// A classic endpoint.
fn endpoint(vhid: u8, password: &str, vips: &[IpAddr], link_local: LinkLocal) -> Endpoint {
    Endpoint::new(EndpointConfig {
        vhid: Vhid::new(vhid).unwrap(),
        passphrase: Passphrase::new(password.as_bytes()).unwrap(),
        addresses: addresses(vips),
        link_local,
        lladdr: None,
        reach: Reach::Multicast,
        node: NodeId(1),
        epoch: 0,
        trailer: TrailerPolicy::Off,
    })
    .unwrap()
}

/// What the machine would hand out to send these fields.
fn outgoing(vhid: u8, advbase: u8, advskew: u8, demotion: u8, counter: &str) -> Outgoing {
    let bow_out = (advbase, advskew) == (255, 255);
    Outgoing {
        vhid: Vhid::new(vhid).unwrap(),
        family: Af::V4,
        pace: Pace::classic(advbase, if bow_out { 0 } else { advskew }).unwrap(),
        demotion: demotion.into(),
        counter: hex(counter),
        sequence: 1,
        bow_out,
    }
}

#[test]
fn recorded_adverts_are_sealed_byte_for_byte_down_to_the_frame() {
    for advert in recorded() {
        let endpoint = endpoint(advert.vhid, &advert.password, &advert.vips, LinkLocal::default());
        let fields = outgoing(
            advert.vhid,
            advert.advbase,
            advert.advskew,
            advert.demote,
            &advert.counter_hex,
        );
        let payload = endpoint.seal(&fields);
        assert_eq!(payload, hex_vec(&advert.carp_hex), "{}", advert.desc);
        assert_eq!(Advert::decode(&payload).unwrap().digest, hex(&advert.hmac_hex));
        let bytes = hex_vec(&advert.frame_hex);
        // The identification is random.
        let identification = u16::from_be_bytes([bytes[18], bytes[19]]);
        let packet = build(advert.src.into(), advert.dst.into(), identification, &payload);
        let frame =
            frame(mac(&advert.eth_dst), mac(&advert.eth_src), ETHERTYPE_IPV4, &packet.unwrap());
        assert_eq!(frame, bytes, "{}", advert.desc);
    }
}

#[test]
fn recorded_adverts_are_opened_if_sent_to_the_group() {
    let mut opened = 0;
    for advert in recorded() {
        let bytes = hex_vec(&advert.frame_hex);
        let datagram = Datagram::parse(&bytes[14..]).unwrap();
        let mut endpoint =
            endpoint(advert.vhid, &advert.password, &advert.vips, LinkLocal::default());
        match endpoint.open(&datagram) {
            Ok(heard) => {
                assert_eq!((heard.advbase, heard.advskew), (advert.advbase, advert.advskew));
                assert_eq!(heard.demotion, u16::from(advert.demote));
                assert_eq!((heard.from.to_ip(), heard.family), (advert.src, Af::V4));
                assert_eq!(heard.counter, hex(&advert.counter_hex));
                assert_eq!(heard.trailer, None);
                opened += 1;
            }
            Err(Refused::BadIf { to, .. }) => {
                assert_eq!(to.to_ip(), advert.dst);
                assert_ne!(to, group(Af::V4));
            }
            Err(refused) => panic!("{}: {refused}", advert.desc),
        }
    }
    // One was sent to another group by ucarp's --mcast.
    assert_eq!(opened, 49);
}

#[test]
fn a_recorded_advert_is_refused_by_whom_it_does_not_concern() {
    let advert = &recorded()[0];
    let (vhid, password, vips) = (advert.vhid, advert.password.as_str(), advert.vips.as_slice());
    let good = hex_vec(&advert.frame_hex)[14..].to_vec();
    let open = |packet: &[u8], vhid, password: &str, vips: &[IpAddr]| {
        let mut endpoint = endpoint(vhid, password, vips, LinkLocal::default());
        let refused = Datagram::parse(packet).and_then(|datagram| endpoint.open(&datagram));
        refused.map_err(|refused| refused.counter()).err()
    };
    let other_vip: [IpAddr; 1] = ["10.9.0.101".parse().unwrap()];
    // TTL 254, and the header's checksum made right again.
    let mut routed = good.clone();
    routed[8] = 254;
    routed[10..12].copy_from_slice(&[0xc0, 0x30]);
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    let mut short = good.clone();
    short[3] -= 1;
    short[10..12].copy_from_slice(&[0xbf, 0x31]);
    for (packet, vhid, password, vips, refused) in [
        (&good, vhid, password, vips, None),
        (&good, vhid + 1, password, vips, Some("badvhid")),
        (&good, vhid, "Secret", vips, Some("badauth")),
        (&good, vhid, password, &other_vip, Some("badauth")),
        (&routed, vhid, password, vips, Some("badttl")),
        (&flipped, vhid, password, vips, Some("badsum")),
        (&short, vhid, password, vips, Some("badlen")),
    ] {
        assert_eq!(open(packet, vhid, password, vips), refused);
    }
}

#[test]
fn computed_adverts_are_sealed_and_opened() {
    for advert in computed() {
        let vips = [advert.v4, advert.v6].concat();
        let (sends, other) = if advert.hash_linklocal {
            (LinkLocal::Include, LinkLocal::Omit)
        } else {
            (LinkLocal::Omit, LinkLocal::Include)
        };
        assert_eq!(advert.extra_mac, "");
        let fields = outgoing(
            advert.vhid,
            advert.advbase,
            advert.advskew,
            advert.demote,
            &advert.counter_hex,
        );
        let payload = endpoint(advert.vhid, &advert.password, &vips, sends).seal(&fields);
        assert_eq!(payload, hex_vec(&advert.carp_hex), "{}", advert.name);
        assert_eq!(Advert::decode(&payload).unwrap().digest, hex(&advert.hmac_hex));

        // Whichever form is sent, either is accepted.
        for link_local in [sends, other] {
            let from = Addr::from_v4_octets([192, 0, 2, 77]);
            let datagram = Datagram { from, to: group(Af::V4), ttl: 255, payload: &payload };
            let mut endpoint = endpoint(advert.vhid, &advert.password, &vips, link_local);
            let heard = endpoint.open(&datagram).unwrap();
            assert_eq!(heard.bows_out(), advert.name.starts_with("bow-out"), "{}", advert.name);
        }
    }
}

/// The frames of a capture with microsecond times.
fn captured() -> Vec<Vec<u8>> {
    let mut rest: &[u8] = include_bytes!("data/ucarp_failover.pcap");
    rest = &rest[24..];
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let (frame, after) = after.split_at(len);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}

#[test]
fn every_frame_of_a_recorded_failover_is_understood_or_rebuilt() {
    let vips = ["10.9.0.100".parse().unwrap()];
    let mut endpoint = endpoint(1, "secret", &vips, LinkLocal::default());
    let (mut adverts, mut announcements) = (0, 0);
    for frame in captured() {
        if frame[12..14] == [0x08, 0x06] {
            let sender = Mac(frame[6..12].try_into().unwrap());
            assert_eq!(announce::gratuitous_arp([10, 9, 0, 100], sender), frame);
            announcements += 1;
        } else {
            endpoint.open(&Datagram::parse(&frame[14..]).unwrap()).unwrap();
            adverts += 1;
        }
    }
    assert_eq!((adverts, announcements), (6, 3));
    assert_eq!(endpoint.counters().ipackets, 6);
}
