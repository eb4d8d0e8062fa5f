use proptest::prelude::*;

use super::*;

const ADVERT: [u8; ADVERT_LEN] = [0x21; ADVERT_LEN];

fn key() -> TrailerKey {
    TrailerKey::derive(&Passphrase::new(b"secret").unwrap())
}

fn trailer() -> Trailer {
    Trailer {
        sender: NodeId(0x0102_0304_0506_0708),
        epoch: 0x1112_1314_1516_1718,
        sequence: 0x2122_2324_2526_2728,
        interval: Some(Duration::from_millis(10)),
        demotion: 0x3132,
        family: Af::V6,
        bow_out: true,
    }
}

fn any_trailer() -> impl Strategy<Value = Trailer> {
    let interval = prop::option::of(10_000..=255_000_000_u64);
    let numbers = (any::<[u64; 3]>(), interval, any::<u16>(), any::<[bool; 2]>());
    numbers.prop_map(|([sender, epoch, sequence], interval, demotion, [v6, bow_out])| Trailer {
        sender: NodeId(sender),
        epoch,
        sequence,
        interval: interval.map(Duration::from_micros),
        demotion,
        family: if v6 { Af::V6 } else { Af::V4 },
        bow_out,
    })
}

#[test]
fn the_bytes_are_frozen() {
    // The tag was computed by Python's hmac module.
    let bytes = trailer().seal(&key(), &ADVERT);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = "e6c70103004431320000271001020304050607081112131415161718\
                    2122232425262728c07451d6f3ef6b3fe9ccc7775bfd547077cb9d42ac1df3cd0281fd6104b848ec";
    assert_eq!(hex, expected);
}

#[test]
fn another_passphrase_another_key() {
    let other = TrailerKey::derive(&Passphrase::new(b"secre").unwrap());
    let bytes = trailer().seal(&key(), &ADVERT);
    assert_eq!(Trailer::open(&other, &ADVERT, Af::V6, &bytes), Err(Refused::BadTag));
}

#[test]
fn an_edit_anywhere_in_advert_or_trailer_is_noticed() {
    let bytes = trailer().seal(&key(), &ADVERT);
    for at in 0..ADVERT_LEN {
        let mut advert = ADVERT;
        advert[at] ^= 1;
        assert_eq!(Trailer::open(&key(), &advert, Af::V6, &bytes), Err(Refused::BadTag));
    }
    for at in 6..TRAILER_LEN {
        let mut edited = bytes;
        edited[at] ^= 1;
        assert_eq!(Trailer::open(&key(), &ADVERT, Af::V6, &edited), Err(Refused::BadTag), "{at}");
    }
}

#[test]
fn an_advert_is_bound_to_its_family() {
    let bytes = trailer().seal(&key(), &ADVERT);
    assert_eq!(Trailer::open(&key(), &ADVERT, Af::V4, &bytes), Err(Refused::BadTag));
}

#[test]
fn what_is_not_known_is_no_trailer_and_what_is_cut_off_is_bad() {
    let bytes = trailer().seal(&key(), &ADVERT);
    let open = |behind: &[u8]| Trailer::open(&key(), &ADVERT, Af::V6, behind);
    let mut version_2 = bytes;
    version_2[2] = 2;
    for none in [&[][..], &[0xaa; 80], &bytes[..2], &version_2] {
        assert_eq!(open(none), Ok(None));
    }
    for len in 3..TRAILER_LEN {
        assert_eq!(open(&bytes[..len]), Err(Refused::BadTrailer), "{len}");
    }
    for length in [0_u16, 32, 67, 69, u16::MAX] {
        let mut edited = bytes;
        edited[4..6].copy_from_slice(&length.to_be_bytes());
        assert_eq!(open(&edited), Err(Refused::BadTrailer), "{length}");
    }
}

#[test]
fn later_fields_and_flags_are_authenticated_and_ignored() {
    let mut bytes = trailer().seal(&key(), &ADVERT)[..FIELDS_LEN].to_vec();
    bytes[3] |= 0x80;
    bytes[5] = TRAILER_LEN as u8 + 5;
    bytes.extend([7; 5]);
    let tag = key().tag(&ADVERT, &bytes).finalize().into_bytes();
    bytes.extend(tag);
    bytes.extend([0; 3]);
    assert_eq!(Trailer::open(&key(), &ADVERT, Af::V6, &bytes), Ok(Some(trailer())));
    bytes[37] = 8;
    assert_eq!(Trailer::open(&key(), &ADVERT, Af::V6, &bytes), Err(Refused::BadTag));
}

#[test]
fn an_impossible_interval_is_refused_even_with_a_right_tag() {
    for micros in [1_u32, 9_999, 255_000_001, u32::MAX] {
        let mut bytes = trailer().seal(&key(), &ADVERT);
        bytes[8..12].copy_from_slice(&micros.to_be_bytes());
        let tag = key().tag(&ADVERT, &bytes[..FIELDS_LEN]).finalize().into_bytes();
        bytes[FIELDS_LEN..].copy_from_slice(&tag);
        let opened = Trailer::open(&key(), &ADVERT, Af::V6, &bytes);
        assert_eq!(opened, Err(Refused::BadTrailer), "{micros}");
    }
}

#[test]
fn only_what_is_newer_passes_the_guard() {
    let mut guard = ReplayGuard::default();
    let mut check = |sender, family, epoch, sequence| {
        let sender = NodeId(sender);
        guard.check(&Trailer { sender, family, epoch, sequence, ..trailer() }).is_ok()
    };
    for (sender, family, epoch, sequence, fresh) in [
        (1, Af::V4, 5, 10, true),
        (1, Af::V4, 5, 10, false),
        (1, Af::V4, 5, 9, false),
        (1, Af::V4, 5, 11, true),
        // Sockets of two families may be read in either order.
        (1, Af::V6, 5, 10, true),
        (1, Af::V6, 5, 10, false),
        // A restart begins anew; what was recorded before it is old.
        (1, Af::V4, 6, 0, true),
        (1, Af::V4, 5, 12, false),
        // Others have their own epochs.
        (2, Af::V4, 1, 1, true),
        (1, Af::V4, 6, u64::MAX, true),
        (1, Af::V4, 6, u64::MAX, false),
    ] {
        let got = check(sender, family, epoch, sequence);
        assert_eq!(got, fresh, "node {sender} {family:?} epoch {epoch} sequence {sequence}");
    }
}

#[test]
fn the_guard_is_bounded_and_survives_a_restart() {
    let mut guard = ReplayGuard::default();
    let of = |sender, family| Trailer { sender: NodeId(sender), family, ..trailer() };
    for sender in 0..SENDERS_MAX as u64 {
        assert_eq!(guard.check(&of(sender, Af::V4)), Ok(()));
        assert_eq!(guard.check(&of(sender, Af::V6)), Ok(()));
    }
    assert_eq!(guard.check(&of(u64::MAX, Af::V4)), Err(Refused::Senders));
    assert!(matches!(guard.check(&of(3, Af::V4)), Err(Refused::Replay { sender: 3, .. })));

    let mut restarted = ReplayGuard::default();
    restarted.restore(guard.seen());
    assert!(matches!(restarted.check(&of(3, Af::V4)), Err(Refused::Replay { sender: 3, .. })));
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(trailer in any_trailer(), advert in any::<[u8; 36]>()) {
        let bytes = trailer.seal(&key(), &advert);
        prop_assert_eq!(Trailer::open(&key(), &advert, trailer.family, &bytes), Ok(Some(trailer)));
    }

    #[test]
    fn no_bytes_make_opening_panic_or_pass(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let marked = [&MAGIC[..], &[VERSION], &bytes].concat();
        for behind in [bytes, marked] {
            let opened = Trailer::open(&key(), &ADVERT, Af::V4, &behind);
            prop_assert!(!matches!(opened, Ok(Some(_))));
        }
    }
}
