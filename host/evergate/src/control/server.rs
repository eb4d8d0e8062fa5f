//! The answering side of the control socket.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::Request;
use super::client::Answer;

/// Longest request in bytes.
const REQUEST_MAX: u64 = 1 << 20;
/// Connections served at a time; one more is told to come again.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may keep its thread waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries out requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Carries out one request: items go to `answers`, the result is the answer's end.
    fn handle(&self, request: Request, answers: &mut Answers<'_>) -> Result<Value, String>;
}

/// Where a handler puts the items of an answer.
pub(crate) struct Answers<'a> {
    to: &'a mut dyn Write,
}

impl Answers<'_> {
    /// Sends one item; an error means that nobody listens any more.
    pub(crate) fn item<T: Serialize>(&mut self, item: &T) -> Result<(), String> {
        line(self.to, &Answer::Item(item)).map_err(|e| format!("the asker is gone: {e}"))
    }
}

/// Listens at `path`, which only the owner may use, and serves in threads of its own until the
/// process ends.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn serve(path: &Path, handler: Arc<dyn Handler>) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || accept(&listener, &handler))
        .map(|_| ())
}

fn accept(listener: &UnixListener, handler: &Arc<dyn Handler>) {
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                // Out of descriptors: do not spin.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if busy.load(Ordering::Acquire) >= CONNECTIONS_MAX {
            let _ = line(&mut &stream, &Answer::<()>::Error("too many commands at a time".into()));
            continue;
        }
        busy.fetch_add(1, Ordering::AcqRel);
        let (handler, busy_here) = (Arc::clone(handler), Arc::clone(&busy));
        let spawned = std::thread::Builder::new().name("command".to_owned()).spawn(move || {
            if let Err(error) = answer(&stream, handler.as_ref()) {
                tracing::debug!(%error, "a control connection ended early");
            }
            busy_here.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            busy.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn answer(stream: &UnixStream, handler: &dyn Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    BufReader::new(stream.take(REQUEST_MAX)).read_line(&mut text)?;
    let mut out = BufWriter::new(stream);
    let result = match serde_json::from_str::<Request>(&text) {
        Ok(request) => handler.handle(request, &mut Answers { to: &mut out }),
        Err(error) => Err(format!("not a request: {error}")),
    };
    let end = match result {
        Ok(value) => Answer::<()>::Done(value),
        Err(message) => Answer::Error(message),
    };
    line(&mut out, &end)?;
    out.flush()
}

fn line<T: Serialize>(to: &mut (impl Write + ?Sized), answer: &Answer<T>) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    to.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::super::{ControlError, ask};
    use super::*;

    struct Echo;

    impl Handler for Echo {
        fn handle(&self, request: Request, answers: &mut Answers<'_>) -> Result<Value, String> {
            if let Request::TableShow { table } = request {
                return Err(format!("no table {table}"));
            }
            answers.item(&1)?;
            answers.item(&2)?;
            Ok(Value::from("end"))
        }
    }

    fn socket(name: &str) -> std::path::PathBuf {
        let directory =
            std::env::temp_dir().join(format!("evergate-{}-{name}", std::process::id()));
        directory.join("control.sock")
    }

    #[test]
    fn a_request_is_answered_by_items_and_an_end() {
        let path = socket("items");
        serve(&path, Arc::new(Echo)).unwrap();
        let mut items = Vec::new();
        let end = ask::<u32>(&path, &Request::ShowInfo, |n| items.push(n)).unwrap();
        assert_eq!((items, end), (vec![1, 2], Value::from("end")));
        let refused = ask::<u32>(&path, &Request::TableShow { table: "x".into() }, |_| ());
        assert!(matches!(refused, Err(ControlError::Refused(m)) if m == "no table x"));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn nonsense_is_answered_by_an_error_and_a_missing_gateway_is_named() {
        let path = socket("nonsense");
        serve(&path, Arc::new(Echo)).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"request\":\"reboot\"}\n").unwrap();
        let mut text = String::new();
        BufReader::new(stream).read_line(&mut text).unwrap();
        assert!(text.starts_with("{\"error\":\"not a request: unknown variant `reboot`"), "{text}");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let gone = ask::<u32>(&path, &Request::ShowInfo, |_| ());
        assert!(matches!(gone, Err(ControlError::NotRunning { .. })));
    }
}
