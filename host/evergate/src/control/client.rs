//! The asking side of the control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Request;

/// How long the gateway may be silent before a command gives up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The longest line of an answer in bytes.
const LINE_MAX: u64 = 1 << 20;

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens on the socket.
    #[error(
        "no gateway answers on {}: {error}\n  mend: start one with `evergate run -c FILE`, or name its socket with --control",
        path.display()
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The socket is there, but not for this user.
    #[error("not permitted to use {}: run as the user of the gateway (root)", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke or an answer made no sense.
    #[error("the gateway's answer broke off: {0}")]
    Broken(String),
    /// The gateway refused.
    #[error("{0}")]
    Refused(String),
}

/// Asks and hands each item of the answer to `each`; returns what `done` carries.
///
/// # Errors
/// When no gateway answers, or it refuses.
pub fn ask<T: DeserializeOwned>(
    socket: &Path,
    request: &Request,
    mut each: impl FnMut(T),
) -> Result<Value, ControlError> {
    let mut stream = connect(socket)?;
    let broken = |e: std::io::Error| ControlError::Broken(e.to_string());
    stream.set_read_timeout(Some(SILENCE_MAX)).map_err(broken)?;
    let mut line = serde_json::to_vec(request).map_err(|e| ControlError::Broken(e.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        (&mut reader).take(LINE_MAX).read_line(&mut line).map_err(broken)?;
        if line.is_empty() {
            return Err(ControlError::Broken("it ended early".to_owned()));
        }
        let answer: Answer<T> =
            serde_json::from_str(&line).map_err(|e| ControlError::Broken(e.to_string()))?;
        match answer {
            Answer::Item(item) => each(item),
            Answer::Done(value) => return Ok(value),
            Answer::Error(message) => return Err(ControlError::Refused(message)),
        }
    }
}

/// Asks and collects the items of the answer.
///
/// # Errors
/// As [`ask`].
pub fn ask_all<T: DeserializeOwned>(
    socket: &Path,
    request: &Request,
) -> Result<Vec<T>, ControlError> {
    let mut items = Vec::new();
    ask(socket, request, |item| items.push(item))?;
    Ok(items)
}

fn connect(socket: &Path) -> Result<UnixStream, ControlError> {
    UnixStream::connect(socket).map_err(|error| {
        let path = socket.to_owned();
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            return ControlError::NotPermitted { path };
        }
        ControlError::NotRunning { path, error }
    })
}

/// A line of an answer.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer<T> {
    Item(T),
    Done(Value),
    Error(String),
}
