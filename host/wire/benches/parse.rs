//! What a packet costs before its state is looked up, and when it is refused.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evergate_wire::build::{ChecksumStatus, TcpReply, tcp, tcp_reset_for};
use evergate_wire::{Addr, Af, TcpFlags, checksum, increment_ttl, parse, scrub_tcp};

fn segment(src: Addr, dst: Addr) -> Vec<u8> {
    let flags = TcpFlags::ACK | TcpFlags::PSH;
    tcp(&TcpReply { src, dst, sport: 40_000, dport: 443, seq: 1, ack: 2, flags, window: 3, ttl: 9 })
}

fn packets(criterion: &mut Criterion) {
    let v4 = segment(Addr::from_v4_octets([10, 0, 0, 1]), Addr::from_v4_octets([10, 0, 0, 2]));
    let v6 = segment(Addr::from_octets([0x20; 16]), Addr::from_octets([0x21; 16]));
    for (name, af, packet) in [("v4", Af::V4, &v4), ("v6", Af::V6, &v6)] {
        criterion.bench_function(&format!("parse/tcp-{name}"), |bencher| {
            bencher.iter(|| parse(black_box(packet)));
        });
        criterion.bench_function(&format!("parse-scrub-ttl/tcp-{name}"), |bencher| {
            let mut packet = packet.clone();
            bencher.iter(|| {
                let Ok(mut parsed) = parse(black_box(&packet)) else { return };
                scrub_tcp(&mut packet, &mut parsed, false);
                increment_ttl(&mut packet, af);
            });
        });
        criterion.bench_function(&format!("reset/tcp-{name}"), |bencher| {
            let Ok(parsed) = parse(packet) else { return };
            bencher.iter(|| tcp_reset_for(black_box(packet), &parsed, ChecksumStatus::Unknown));
        });
    }
}

fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for len in [64, 1460, 65_535] {
        let bytes = vec![0xa5; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |bencher| {
            bencher.iter(|| checksum::sum(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, packets, checksums);
criterion_main!(benches);
