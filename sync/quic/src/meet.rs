//! Two nodes that have proved their keys decide whether a connection becomes the link.
//!
//! Both may dial, so there may be two connections at once. The node with the smaller
//! fingerprint is the arbiter: it alone chooses. The follower says hello on each connection;
//! the arbiter answers on the one it chooses, and closes the others. So both agree, whatever
//! crosses on the way, and neither takes a link for up that the other does not want.

use std::time::Duration;

use evergate_sync_transport::{Fingerprint, RefusedReason};
use quinn::{
    Connection, ConnectionError, ReadExactError, RecvStream, SendStream, TransportErrorCode, VarInt,
};

use crate::hello::{HEAD, Hello, HelloError, STREAM_CONTROL};

/// Why a connection is closed, as the other side is told.
pub(crate) mod code {
    use quinn::VarInt;

    /// The link was ended on purpose.
    pub(crate) const CLOSED: VarInt = VarInt::from_u32(0);
    /// Another connection is the link.
    pub(crate) const SUPERSEDED: VarInt = VarInt::from_u32(1);
    /// Nothing was heard.
    pub(crate) const SILENT: VarInt = VarInt::from_u32(2);
    /// The rules were broken.
    pub(crate) const PROTOCOL: VarInt = VarInt::from_u32(3);
    /// The key is not trusted any more.
    pub(crate) const KEY_WITHDRAWN: VarInt = VarInt::from_u32(4);
}

/// The control stream's priority; lanes have 0.
pub(crate) const CONTROL_PRIORITY: i32 = 10;

/// The TLS alert for a key that is not pinned: certificate_unknown (RFC 8446 §6.2).
const ALERT_CERTIFICATE_UNKNOWN: u8 = 46;

/// Longest text of the other side that is kept.
const TEXT_MAX: usize = 200;

/// Who chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Arbiter,
    Follower,
}

impl Role {
    pub(crate) fn of(own: Fingerprint, theirs: Fingerprint) -> Self {
        if own < theirs { Self::Arbiter } else { Self::Follower }
    }
}

/// A connection that can become the link: for a follower, one that was chosen.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) connection: Connection,
    pub(crate) role: Role,
    pub(crate) fingerprint: Fingerprint,
    /// What the other side said.
    pub(crate) hello: Hello,
    pub(crate) control_in: RecvStream,
    /// A follower's, on which it has said hello.
    pub(crate) control_out: Option<SendStream>,
}

/// Why a connection does not become the link.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// Nobody's fault: another one was chosen, or it broke.
    Quiet,
    /// To be told.
    Refused(RefusedReason),
}

impl From<HelloError> for Unmet {
    fn from(error: HelloError) -> Self {
        Self::Refused(match error {
            HelloError::Version(version) => RefusedReason::Version { version },
            HelloError::Magic | HelloError::Length | HelloError::Range => {
                RefusedReason::Misbehaved { what: error.to_string() }
            }
        })
    }
}

impl From<ConnectionError> for Unmet {
    fn from(error: ConnectionError) -> Self {
        match error {
            // Dismissed in the middle of the handshake, where no more may be said
            // (RFC 9000 §10.2.3).
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::APPLICATION_ERROR =>
            {
                Self::Quiet
            }
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::crypto(ALERT_CERTIFICATE_UNKNOWN) =>
            {
                let what = "this node's key is not pinned there".to_owned();
                Self::Refused(RefusedReason::RefusedThere { what })
            }
            ConnectionError::ConnectionClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason);
                Self::Refused(RefusedReason::RefusedThere {
                    what: shortened(&format!("{}: {reason}", close.error_code)),
                })
            }
            ConnectionError::ApplicationClosed(close) if close.error_code == code::SUPERSEDED => {
                Self::Quiet
            }
            ConnectionError::ApplicationClosed(close) if close.error_code == code::CLOSED => {
                Self::Quiet
            }
            ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason);
                Self::Refused(RefusedReason::RefusedThere { what: shortened(&reason) })
            }
            ConnectionError::TransportError(error) => {
                Self::Refused(RefusedReason::Misbehaved { what: shortened(&error.to_string()) })
            }
            ConnectionError::VersionMismatch => {
                Self::Refused(RefusedReason::Misbehaved { what: error.to_string() })
            }
            ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => Self::Quiet,
        }
    }
}

impl From<ReadExactError> for Unmet {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => error.into(),
            ReadExactError::ReadError(_) | ReadExactError::FinishedEarly(_) => {
                HelloError::Length.into()
            }
        }
    }
}

/// What others say, cut to a bound and without what would garble a log.
pub(crate) fn shortened(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    clean.take(TEXT_MAX).collect()
}

/// Exchanges hellos on a connection whose other side has proved `fingerprint`.
pub(crate) async fn meet(
    connection: Connection,
    role: Role,
    fingerprint: Fingerprint,
    own: Hello,
    patience: Duration,
) -> Result<Met, Unmet> {
    let exchange = async {
        let control_out = match role {
            Role::Arbiter => None,
            Role::Follower => Some(say(&connection, own).await?),
        };
        let mut control_in = connection.accept_uni().await?;
        let hello = listen(&mut control_in).await?;
        Ok((control_out, control_in, hello))
    };
    let (control_out, control_in, hello) = match tokio::time::timeout(patience, exchange).await {
        Ok(Ok(exchanged)) => exchanged,
        Ok(Err(unmet)) => {
            connection.close(code::PROTOCOL, b"no hello that is understood here");
            return Err(unmet);
        }
        Err(_) => {
            connection.close(code::SUPERSEDED, b"not chosen in time");
            return Err(Unmet::Quiet);
        }
    };
    Ok(Met { connection, role, fingerprint, hello, control_in, control_out })
}

/// Opens this side's control stream with a hello.
pub(crate) async fn say(connection: &Connection, own: Hello) -> Result<SendStream, Unmet> {
    let mut stream = connection.open_uni().await?;
    let opened = async {
        stream.set_priority(CONTROL_PRIORITY).ok()?;
        let mut words = vec![STREAM_CONTROL];
        words.extend(own.encode());
        stream.write_all(&words).await.ok()
    };
    let opened = opened.await;
    opened.map(|()| stream).ok_or(Unmet::Quiet)
}

async fn listen(stream: &mut RecvStream) -> Result<Hello, Unmet> {
    let mut kind = [0; 1];
    stream.read_exact(&mut kind).await?;
    if kind != [STREAM_CONTROL] {
        return Err(HelloError::Magic.into());
    }
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let mut rest = vec![0; Hello::rest_len(&head)?];
    stream.read_exact(&mut rest).await?;
    Ok(Hello::decode(&rest)?)
}

/// Closes a connection that is not to be the link.
pub(crate) fn dismiss(connection: &Connection, code: VarInt, why: &str) {
    connection.close(code, why.as_bytes());
}
