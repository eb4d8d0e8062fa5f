//! What was accepted for one link and is not on its way yet.
//!
//! The user's thread puts in, the transport's takes out; both hold a lock only to copy.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use evergate_sync_transport::{Channel, Pressure, SendError};
use tokio::sync::Notify;

use crate::frame;
use crate::hello::DATAGRAM_MESSAGE;

/// Bytes that are handed to the stream at once; room comes back in such steps.
const BATCH: usize = 64 * 1024;

/// Datagrams that may wait.
const DATAGRAMS_MAX: usize = 512;

/// All channels of one link, in the direction out of here.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The control stream, then the lanes.
    ordered: Vec<Ordered>,
    datagrams: Datagrams,
}

#[derive(Debug)]
pub(crate) struct Ordered {
    state: Mutex<OrderedState>,
    more: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct OrderedState {
    /// Framed messages.
    waiting: BytesMut,
    /// Bytes that were taken and that the stream has not accepted yet.
    taken: usize,
    full: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    state: Mutex<DatagramsState>,
    more: Notify,
}

#[derive(Debug, Default)]
struct DatagramsState {
    waiting: VecDeque<Bytes>,
    full: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pressure(full: bool) -> Pressure {
    if full { Pressure::Full } else { Pressure::Clear }
}

impl Outbox {
    pub(crate) fn new(lanes: u8, limit: usize) -> Self {
        let ordered = |_| Ordered { state: Mutex::default(), more: Notify::new(), limit };
        Self { ordered: (0..=lanes).map(ordered).collect(), datagrams: Datagrams::default() }
    }

    pub(crate) fn put(&self, channel: Channel, message: &[u8]) -> Result<Pressure, SendError> {
        match channel {
            Channel::Datagram => self.datagrams.put(message),
            Channel::Control | Channel::Ordered(_) => match self.ordered(channel) {
                Some(ordered) => ordered.put(message),
                None => Err(SendError::NoLane { lanes: (self.ordered.len() - 1) as u8 }),
            },
        }
    }

    pub(crate) fn ordered(&self, channel: Channel) -> Option<&Ordered> {
        match channel {
            Channel::Control => self.ordered.first(),
            Channel::Ordered(lane) => self.ordered.get(usize::from(lane) + 1),
            Channel::Datagram => None,
        }
    }

    pub(crate) fn datagrams(&self) -> &Datagrams {
        &self.datagrams
    }

    /// Bytes that wait, all channels together.
    pub(crate) fn queued(&self) -> usize {
        let ordered: usize = self.ordered.iter().map(Ordered::queued).sum();
        let datagrams: usize = lock(&self.datagrams.state).waiting.iter().map(Bytes::len).sum();
        ordered + datagrams
    }
}

impl Ordered {
    fn put(&self, message: &[u8]) -> Result<Pressure, SendError> {
        let mut state = lock(&self.state);
        let queued = state.waiting.len() + state.taken;
        if queued >= self.limit {
            state.full = true;
            return Err(SendError::WouldBlock);
        }
        state.waiting.reserve(frame::HEAD + message.len());
        state.waiting.put_u32_le(message.len() as u32);
        state.waiting.put_slice(message);
        state.full |= queued + frame::HEAD + message.len() >= self.limit / 4 * 3;
        let full = state.full;
        drop(state);
        self.more.notify_one();
        Ok(pressure(full))
    }

    fn queued(&self) -> usize {
        let state = lock(&self.state);
        state.waiting.len() + state.taken
    }

    /// Waits for bytes to send.
    pub(crate) async fn take(&self) -> Bytes {
        loop {
            {
                let mut state = lock(&self.state);
                let len = state.waiting.len().min(BATCH);
                if len > 0 {
                    state.taken = len;
                    return state.waiting.split_to(len).freeze();
                }
            }
            self.more.notified().await;
        }
    }

    /// Notes that what was taken is on its way; tells whether that ends being full.
    pub(crate) fn sent(&self) -> bool {
        let mut state = lock(&self.state);
        state.taken = 0;
        let relieved = state.full && state.waiting.len() <= self.limit / 4;
        state.full &= !relieved;
        relieved
    }
}

impl Datagrams {
    fn put(&self, message: &[u8]) -> Result<Pressure, SendError> {
        let mut state = lock(&self.state);
        if state.waiting.len() >= DATAGRAMS_MAX {
            state.full = true;
            return Err(SendError::WouldBlock);
        }
        let mut datagram = BytesMut::with_capacity(1 + message.len());
        datagram.put_u8(DATAGRAM_MESSAGE);
        datagram.put_slice(message);
        state.waiting.push_back(datagram.freeze());
        state.full |= state.waiting.len() >= DATAGRAMS_MAX / 4 * 3;
        let full = state.full;
        drop(state);
        self.more.notify_one();
        Ok(pressure(full))
    }

    /// Waits for a datagram to send; tells whether that ends being full.
    pub(crate) async fn take(&self) -> (Bytes, bool) {
        loop {
            {
                let mut state = lock(&self.state);
                if let Some(datagram) = state.waiting.pop_front() {
                    let relieved = state.full && state.waiting.len() <= DATAGRAMS_MAX / 4;
                    state.full &= !relieved;
                    return (datagram, relieved);
                }
            }
            self.more.notified().await;
        }
    }
}
