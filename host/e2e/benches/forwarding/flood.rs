//! Small UDP packets, as fast as the client can send them.
//!
//! They are for an address behind the gateway whose neighbour entry names a hardware address
//! that nobody has: the server's device counts them and its stack drops them at once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use evergate_io::packet_socket::PacketSocket;
use evergate_lab::Gateway;
use evergate_wire::{Addr, checksum};

use crate::workload::Sample;

/// The length of an IP packet, header included.
const PACKET: usize = 64;
const IP_HEADER: usize = 20;
const UDP: u8 = 17;
const FROM: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
/// An address on the server's link that no host has.
const TO: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x77];
const FIRST_PORT: u16 = 20_000;
const TO_PORT: u16 = 7_777;
/// Frames handed to the kernel at a time; the sender looks at the clock's flag in between.
const BATCH: usize = 256;
/// Time before the counting begins: every flow has its state by then.
const WARM_UP: Duration = Duration::from_millis(300);

/// Prebuilt frames, at least one a flow.
pub(crate) struct Flood {
    socket: PacketSocket,
    frames: Vec<Vec<u8>>,
}

impl Flood {
    /// Frames with as many different source ports.
    pub(crate) fn new(net: &Gateway, flows: u16) -> anyhow::Result<Flood> {
        net.gateway.neighbour("wan0", IpAddr::V4(TO), &NOBODY)?;
        let to = net.gateway.device("lan0")?.mac;
        let from = net.client.device("eth0")?.mac;
        let socket = net.client.run(|| PacketSocket::sender("eth0"))?.context("packet socket")?;
        let mut frames: Vec<_> = (0..flows).map(|n| frame(&to, &from, FIRST_PORT + n)).collect();
        // A full batch also of few flows.
        frames = frames.iter().cycle().take(frames.len().max(BATCH)).cloned().collect();
        Ok(Flood { socket, frames })
    }

    /// Sends without a pause and counts what arrives; packets per second.
    pub(crate) fn measure(&self, net: &Gateway, time: Duration) -> anyhow::Result<Sample> {
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let look = || {
            let received = net.server.counters("eth0")?.rx_packets;
            anyhow::Ok((received, sent.load(Ordering::Relaxed), Instant::now()))
        };
        thread::scope(|scope| {
            let sender = scope.spawn(|| self.send(&stop, &sent));
            let counted = (|| {
                thread::sleep(WARM_UP);
                let before = look()?;
                thread::sleep(time);
                let after = look()?;
                let (arrived, sent) = ((after.0 - before.0) as f64, (after.1 - before.1) as f64);
                Ok(Sample {
                    value: arrived / (after.2 - before.2).as_secs_f64(),
                    loss: Some((1.0 - arrived / sent.max(1.0)).max(0.0)),
                    others: 0.0,
                })
            })();
            stop.store(true, Ordering::Relaxed);
            let _ = sender.join();
            counted
        })
    }

    fn send(&self, stop: &AtomicBool, sent: &AtomicU64) {
        while !stop.load(Ordering::Relaxed) {
            for batch in self.frames.chunks(BATCH) {
                // A full queue on the way refuses the rest of a batch: that frame is lost, and
                // was sent all the same.
                let count = match self.socket.send(batch) {
                    Ok(count) if count == batch.len() => count,
                    Ok(count) => count + 1,
                    Err(_) => 1,
                };
                sent.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
    }
}

fn frame(to: &[u8], from: &[u8], source_port: u16) -> Vec<u8> {
    let mut udp = Vec::with_capacity(PACKET);
    udp.extend(source_port.to_be_bytes());
    udp.extend(TO_PORT.to_be_bytes());
    udp.extend(((PACKET - IP_HEADER) as u16).to_be_bytes());
    udp.resize(PACKET - IP_HEADER, 0);
    let sum = checksum::transport(Addr::from(FROM), Addr::from(TO), UDP, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());

    let mut ip = vec![0x45, 0, 0, PACKET as u8, 0, 0, 0x40, 0, 64, UDP, 0, 0];
    ip.extend(FROM.octets());
    ip.extend(TO.octets());
    let sum = checksum::checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [to, from, &[0x08, 0x00], &ip, &udp].concat()
}
