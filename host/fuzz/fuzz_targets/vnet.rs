//! Any bytes as a virtio-net header and the packet behind it.
#![no_main]

use evergate_wire::{VNET_HDR_LEN, VnetHdr, parse, scrub_tcp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let mut room = vec![0; frame.len()];
    let Some(header) = VnetHdr::read(frame) else {
        assert!(!VnetHdr::NONE.write(&mut room));
        return;
    };
    assert!(header.write(&mut room));
    let (bytes, packet) = frame.split_at(VNET_HDR_LEN);
    assert_eq!(room[..VNET_HDR_LEN], *bytes);
    assert!(room[VNET_HDR_LEN..].iter().all(|byte| *byte == 0));
    let Ok(mut parsed) = parse(packet) else { return };
    let segments = header.segments(parsed.total_len as usize, parsed.header_len() as usize);
    assert!(segments >= 1 && segments <= parsed.total_len);
    scrub_tcp(&mut packet.to_vec(), &mut parsed, header.has_partial_checksum());
});
