//! Whether the peer still lives.
//!
//! A heartbeat is a datagram, so it waits for no stream; and any authenticated frame counts
//! as a sign of life, so that a link that is busy is never taken for dead. Misses are counted
//! in ticks of this thread: when it was held up itself, that is one miss and no more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use evergate_sync_transport::DownReason;
use quinn::Connection;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::congestion::Urgent;
use crate::hello::DATAGRAM_HEARTBEAT;
use crate::shared::LinkShared;

/// Asks the peer's host whether the peer's port is open, by a datagram of one byte that QUIC
/// ignores: a closed port is answered by ICMP, which only a connected socket is told of.
///
/// ICMP can be forged, so its word only shortens a silence that is there already.
#[derive(Debug)]
pub(crate) struct Probe(UdpSocket);

impl Probe {
    pub(crate) async fn new(local: SocketAddr, remote: SocketAddr) -> Option<Self> {
        let socket = UdpSocket::bind((local.ip(), 0)).await.ok()?;
        socket.connect(remote).await.ok()?;
        Some(Self(socket))
    }

    /// Sends one; tells whether an earlier one was refused.
    fn poke(&self) -> bool {
        let sent = self.0.try_send(&[0]);
        sent.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    /// Waits until one is refused.
    async fn refused(&self) {
        loop {
            let mut answer = [0; 1];
            match self.0.recv(&mut answer).await {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return,
                // No word from this socket; the heartbeats remain.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

async fn refused(probe: Option<&Probe>) {
    match probe {
        Some(probe) => probe.refused().await,
        None => std::future::pending().await,
    }
}

/// Authenticated frames that the peer has sent.
pub(crate) fn heard(connection: &Connection) -> u64 {
    let frames = connection.stats().frame_rx;
    frames.acks + frames.datagram + frames.stream + frames.ping + frames.max_stream_data
}

/// How silence is counted: in halves of this side's interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    tick: Duration,
    /// Silent ticks after which the peer is taken for dead.
    limit: u32,
    /// The same when its host says that its port is closed.
    limit_refused: u32,
}

impl Patience {
    /// From both sides' intervals; the peer cannot be heard more often than it sends.
    pub(crate) fn new(own: Duration, theirs: Duration, misses: u32) -> Self {
        let tick = (own / 2).max(Duration::from_micros(500));
        let ticks = own.max(theirs).as_nanos().div_ceil(tick.as_nanos());
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        Self { tick, limit: ticks.saturating_mul(misses), limit_refused: ticks }
    }
}

/// Sends heartbeats and watches for the peer's; returns when there are none any more.
pub(crate) async fn pulse(
    connection: Connection,
    link: Arc<LinkShared>,
    patience: Patience,
    probe: Option<Probe>,
) -> DownReason {
    let mut ticks = interval(patience.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = (heard(&connection), Instant::now());
    let (mut silent, mut suspect, mut turn) = (0, false, false);
    let urgent = Urgent::of(&connection);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = refused(probe.as_ref()) => {
                suspect = true;
                continue;
            }
        }
        let now = heard(&connection);
        if now == last.0 {
            silent += 1;
        } else {
            last = (now, Instant::now());
            (silent, suspect) = (0, false);
        }
        if silent >= patience.limit {
            return DownReason::Silent { silence: last.1.elapsed() };
        }
        if suspect && silent >= patience.limit_refused {
            return DownReason::Gone;
        }
        turn = !turn;
        if turn {
            beat(&connection, &link, urgent.as_ref());
        }
        suspect |= probe.as_ref().is_some_and(Probe::poke);
    }
}

fn beat(connection: &Connection, link: &LinkShared, urgent: Option<&Urgent>) {
    const BEAT: &[u8] = &[DATAGRAM_HEARTBEAT];
    if let Some(urgent) = urgent {
        urgent.let_one_through();
    }
    // Without space others wait to be sent, which say the same.
    if connection.datagram_send_buffer_space() > BEAT.len() {
        // It fails when the connection is closed, which is noticed elsewhere.
        let _ = connection.send_datagram(Bytes::from_static(BEAT));
    }
    let rtt = u64::try_from(connection.rtt().as_nanos()).unwrap_or(u64::MAX);
    link.rtt_nanos.store(rtt, Ordering::Relaxed);
    let datagram_max = connection.max_datagram_size().unwrap_or(0).saturating_sub(1);
    link.datagram_max.store(datagram_max, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_interval_counts() {
        let ms = Duration::from_millis;
        let patience = |own, theirs| Patience::new(ms(own), ms(theirs), 4);
        assert_eq!(patience(10, 10), Patience { tick: ms(5), limit: 8, limit_refused: 2 });
        assert_eq!(patience(10, 100), Patience { tick: ms(5), limit: 80, limit_refused: 20 });
        assert_eq!(patience(100, 10), Patience { tick: ms(50), limit: 8, limit_refused: 2 });
    }
}
