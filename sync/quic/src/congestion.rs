//! How much may be on its way: CUBIC's word, within bounds, and a heartbeat more.
//!
//! CUBIC fills whatever buffers it finds until they overflow, and then all else waits behind
//! them: the control stream and the heartbeats, which are why this link exists. So there is an
//! upper bound. There is a lower one too: the link is one between neighbours, and a burst of
//! losses must not make it crawl.
//!
//! When a whole window is lost at once, nothing may be sent until a timer runs out, not even an
//! acknowledgement; to the peer that looks like death. So each heartbeat may let one packet
//! through beyond the window, which also finds the losses sooner.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::Connection;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

/// A LAN's first window, in bytes: a bulk transfer need not begin as if on a modem.
const INITIAL_WINDOW: u64 = 128 * 1024;

/// The least window, in bytes; bounded by what is configured as the most.
const WINDOW_MIN: u64 = 16 * 1024;

/// A window that is beyond all bounds, and beyond what quinn paces: with a round trip that queues
/// have made long, its pauses are long as well.
const UNPACED: u64 = 1 << 33;

/// Makes controllers that let no more than this many bytes be on their way.
#[derive(Debug)]
pub(crate) struct BoundedConfig {
    pub(crate) in_flight_max: u64,
}

struct Bounded {
    inner: Box<dyn Controller>,
    in_flight_max: u64,
    urgent: Arc<AtomicBool>,
}

/// A heartbeat's hand on its connection's controller.
#[derive(Debug)]
pub(crate) struct Urgent(Arc<AtomicBool>);

impl Urgent {
    /// Of a connection with a controller from [`BoundedConfig`].
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        let controller = connection.congestion_state().into_any().downcast::<Bounded>().ok()?;
        Some(Self(Arc::clone(&controller.urgent)))
    }

    /// Lets the next packet leave, or two, whatever the window.
    pub(crate) fn let_one_through(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl ControllerFactory for BoundedConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(INITIAL_WINDOW.min(self.in_flight_max));
        let inner = Arc::new(cubic).build(now, current_mtu);
        Box::new(Bounded { inner, in_flight_max: self.in_flight_max, urgent: Arc::default() })
    }
}

impl Controller for Bounded {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.urgent.store(false, Ordering::Relaxed);
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        // At the bound it is this side that limits, not the path: nothing is learnt.
        let limited = app_limited || self.inner.window() >= self.in_flight_max;
        self.inner.on_ack(now, sent, bytes, limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let least = WINDOW_MIN.min(self.in_flight_max);
        let window = self.inner.window().clamp(least, self.in_flight_max);
        if self.urgent.load(Ordering::Relaxed) {
            return UNPACED;
        }
        window
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            in_flight_max: self.in_flight_max,
            urgent: Arc::clone(&self.urgent),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window().min(self.in_flight_max)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
