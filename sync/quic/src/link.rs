//! One link while it is up: its streams, datagrams and heartbeats, each in a task of its own.
//!
//! The first task that ends ends the link; all others end with it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use evergate_sync_transport::{Channel, DownReason};
use quinn::{
    ApplicationClose, Connection, ConnectionError, ReadError, ReadExactError, RecvStream,
    SendDatagramError, SendStream, WriteError,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::frame::Deframer;
use crate::hello::{DATAGRAM_HEARTBEAT, DATAGRAM_MESSAGE, Hello, STREAM_LANE_0};
use crate::meet::{code, say, shortened};
use crate::pulse::{Patience, Probe, pulse};
use crate::shared::{LinkShared, Shared};

/// Bytes that are read from a stream at once.
const CHUNK: usize = 64 * 1024;

/// A link's parts.
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    pub(crate) link: Arc<LinkShared>,
    pub(crate) connection: Connection,
    pub(crate) control_in: RecvStream,
    /// Said hello already, or is still to.
    pub(crate) control_out: Result<SendStream, Hello>,
    /// Longest message that is taken in.
    pub(crate) message_max: usize,
    pub(crate) patience: Patience,
    pub(crate) probe: Option<Probe>,
}

/// Runs a link until it ends or `end` says so, and tells why it did.
pub(crate) async fn run(parts: Link, end: oneshot::Receiver<DownReason>) -> DownReason {
    let connection = parts.connection.clone();
    let (shared, link) = (Arc::clone(&parts.shared), Arc::clone(&parts.link));
    let mut tasks = spawn(parts);
    let reason = tokio::select! {
        biased;
        asked = end => asked.unwrap_or(DownReason::ClosedHere),
        error = connection.closed() => lost(&error),
        Some(ended) = tasks.join_next() => ended.unwrap_or_else(|panic| {
            DownReason::Broken { what: panic.to_string() }
        }),
    };
    shared.down(link.peer, link.number, reason.clone());
    close(&connection, &reason);
    tasks.abort_all();
    reason
}

fn spawn(parts: Link) -> JoinSet<DownReason> {
    let Link { shared, link, connection, control_in, control_out, message_max, .. } = parts;
    let mut tasks = JoinSet::new();
    tasks.spawn(pulse(connection.clone(), Arc::clone(&link), parts.patience, parts.probe));
    let (greeted, greeting) = watch::channel(false);
    let control = write_control(
        Arc::clone(&shared),
        Arc::clone(&link),
        connection.clone(),
        control_out,
        greeted,
    );
    tasks.spawn(control);
    for lane in 0..link.lanes {
        let (shared, link, connection) =
            (Arc::clone(&shared), Arc::clone(&link), connection.clone());
        tasks.spawn(write_lane(shared, link, connection, lane, greeting.clone()));
    }
    tasks.spawn(write_datagrams(Arc::clone(&shared), Arc::clone(&link), connection.clone()));
    tasks.spawn(read_datagrams(Arc::clone(&shared), Arc::clone(&link), connection.clone()));
    let reader = Reader { shared, link, message_max };
    tasks.spawn(reader.clone().read(control_in, Channel::Control));
    tasks.spawn(read_lanes(reader, connection));
    tasks
}

/// Tells the other side why the link ends, as far as that is its concern.
fn close(connection: &Connection, reason: &DownReason) {
    let code = match reason {
        DownReason::Silent { .. } | DownReason::Gone => code::SILENT,
        DownReason::Misbehaved { .. } => code::PROTOCOL,
        DownReason::KeyWithdrawn => code::KEY_WITHDRAWN,
        DownReason::Replaced | DownReason::PeerRestarted | DownReason::Forgotten => {
            code::SUPERSEDED
        }
        DownReason::ClosedByPeer | DownReason::ClosedHere | DownReason::Broken { .. } | _ => {
            code::CLOSED
        }
    };
    connection.close(code, reason.to_string().as_bytes());
}

/// What the end of a connection means.
fn lost(error: &ConnectionError) -> DownReason {
    match error {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => {
            let text = || shortened(&String::from_utf8_lossy(reason));
            match *error_code {
                code::CLOSED | code::SILENT => DownReason::ClosedByPeer,
                code::SUPERSEDED => DownReason::Replaced,
                _ => DownReason::Broken { what: format!("the peer says: {}", text()) },
            }
        }
        ConnectionError::LocallyClosed => DownReason::ClosedHere,
        // A stateless reset, which only who has the peer's key can make.
        ConnectionError::Reset => DownReason::Forgotten,
        ConnectionError::TimedOut
        | ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::CidsExhausted => {
            DownReason::Broken { what: shortened(&error.to_string()) }
        }
    }
}

const fn misbehaved(what: &'static str) -> DownReason {
    DownReason::Misbehaved { what }
}

/// A stream that cannot be written; a lost connection is told by the connection.
async fn unwritable(error: WriteError) -> DownReason {
    match error {
        WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            misbehaved("it stopped a stream")
        }
        WriteError::ConnectionLost(_) => pending::<DownReason>().await,
    }
}

async fn unreadable(error: ReadError) -> DownReason {
    match error {
        ReadError::Reset(_)
        | ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected => misbehaved("it reset a stream"),
        ReadError::ConnectionLost(_) => pending::<DownReason>().await,
    }
}

async fn write_control(
    shared: Arc<Shared>,
    link: Arc<LinkShared>,
    connection: Connection,
    out: Result<SendStream, Hello>,
    greeted: watch::Sender<bool>,
) -> DownReason {
    let stream = match out {
        Ok(stream) => stream,
        Err(hello) => match say(&connection, hello).await {
            Ok(stream) => stream,
            Err(_) => return pending().await,
        },
    };
    greeted.send_replace(true);
    write(shared, link, stream, Channel::Control).await
}

async fn write_lane(
    shared: Arc<Shared>,
    link: Arc<LinkShared>,
    connection: Connection,
    lane: u8,
    mut greeting: watch::Receiver<bool>,
) -> DownReason {
    // The control stream is the first that the other side sees.
    if greeting.wait_for(|greeted| *greeted).await.is_err() {
        return pending().await;
    }
    let Ok(mut stream) = connection.open_uni().await else { return pending().await };
    if let Err(error) = stream.write_all(&[STREAM_LANE_0 + lane]).await {
        return unwritable(error).await;
    }
    write(shared, link, stream, Channel::Ordered(lane)).await
}

async fn write(
    shared: Arc<Shared>,
    link: Arc<LinkShared>,
    mut stream: SendStream,
    channel: Channel,
) -> DownReason {
    let Some(queue) = link.outbox.ordered(channel) else { return pending().await };
    loop {
        let batch = queue.take().await;
        if let Err(error) = stream.write_chunk(batch).await {
            return unwritable(error).await;
        }
        if queue.sent() {
            shared.writable(&link, channel);
        }
    }
}

async fn write_datagrams(
    shared: Arc<Shared>,
    link: Arc<LinkShared>,
    connection: Connection,
) -> DownReason {
    loop {
        let (datagram, relieved) = link.outbox.datagrams().take().await;
        if relieved {
            shared.writable(&link, Channel::Datagram);
        }
        match connection.send_datagram_wait(datagram).await {
            Ok(()) => {}
            // The path's limit has sunk since it was accepted.
            Err(SendDatagramError::TooLarge) => {
                link.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                return misbehaved("it takes no datagrams");
            }
            Err(SendDatagramError::ConnectionLost(_)) => return pending().await,
        }
    }
}

async fn read_datagrams(
    shared: Arc<Shared>,
    link: Arc<LinkShared>,
    connection: Connection,
) -> DownReason {
    let mut one = VecDeque::new();
    loop {
        let Ok(datagram) = connection.read_datagram().await else { return pending().await };
        match datagram.split_first() {
            Some((&DATAGRAM_HEARTBEAT, _)) => {}
            Some((&DATAGRAM_MESSAGE, message)) => {
                one.push_back(message.to_vec());
                if !shared.deliver(&link, Channel::Datagram, &mut one) {
                    one.clear();
                    link.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            // A later version may say more.
            Some(_) | None => {}
        }
    }
}

/// Takes in the peer's lanes, each once.
async fn read_lanes(reader: Reader, connection: Connection) -> DownReason {
    let mut lanes = JoinSet::new();
    let mut opened = 0;
    let seen = Arc::new(AtomicU64::new(0));
    loop {
        tokio::select! {
            stream = connection.accept_uni() => {
                let Ok(stream) = stream else { return pending().await };
                if opened >= reader.link.lanes {
                    return misbehaved("it opened more streams than there are lanes");
                }
                opened += 1;
                lanes.spawn(reader.clone().lane(stream, Arc::clone(&seen)));
            }
            Some(ended) = lanes.join_next() => {
                return ended.unwrap_or_else(|panic| DownReason::Broken { what: panic.to_string() });
            }
        }
    }
}

/// What a task that reads a stream needs.
#[derive(Clone)]
struct Reader {
    shared: Arc<Shared>,
    link: Arc<LinkShared>,
    message_max: usize,
}

impl Reader {
    /// Reads a stream that says first which lane it is; `seen` has a bit for each that is.
    async fn lane(self, mut stream: RecvStream, seen: Arc<AtomicU64>) -> DownReason {
        let mut head = [0; 1];
        match stream.read_exact(&mut head).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(_)) => return misbehaved("it finished a stream"),
            Err(ReadExactError::ReadError(error)) => return unreadable(error).await,
        }
        let lane = head[0].wrapping_sub(STREAM_LANE_0);
        if lane >= self.link.lanes {
            return misbehaved("it opened a lane that there is not");
        }
        let bit = 1 << lane;
        if seen.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return misbehaved("it opened a lane twice");
        }
        self.read(stream, Channel::Ordered(lane)).await
    }

    async fn read(self, stream: RecvStream, channel: Channel) -> DownReason {
        match self.messages(stream, channel).await {
            Err(reason) => reason,
        }
    }

    async fn messages(
        self,
        mut stream: RecvStream,
        channel: Channel,
    ) -> Result<Infallible, DownReason> {
        let mut deframer = Deframer::new(self.message_max);
        let mut messages = VecDeque::new();
        loop {
            let chunk = match stream.read_chunk(CHUNK, true).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Err(misbehaved("it finished a stream")),
                Err(error) => return Err(unreadable(error).await),
            };
            let cut = deframer.push(&chunk.bytes, &mut messages);
            while !messages.is_empty() && !self.shared.deliver(&self.link, channel, &mut messages) {
                self.shared.relieved(&self.link, channel).await;
            }
            cut.map_err(|_| misbehaved("it sent a message over the bound"))?;
        }
    }
}
