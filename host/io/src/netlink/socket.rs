//! The netlink socket: one request at a time, answered or refused within a bound.

use std::io;
use std::os::fd::AsFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// The kernel writes dumps in pieces of at most 32 KiB; twice that always holds one.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// A dump with more entries than this is given up: some four full routing tables.
const DUMP_ENTRIES_MAX: usize = 4_000_000;
/// A dump that was disturbed by changes is repeated at most this often.
const DUMP_TRIES: usize = 8;
/// The kernel answers from within the request; a silence this long is a failure.
const ANSWER_TIMEOUT_S: i64 = 10;
/// `NLMSGERR_ATTR_MSG`: the kernel's explanation in words.
const EXTENDED_MESSAGE: u16 = 1;
/// The length of the netlink header that precedes the attributes of a refusal.
const HEADER_LEN: usize = 16;

/// What was asked of the kernel, and why it did not happen.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct NetlinkError {
    doing: String,
    source: io::Error,
}

impl NetlinkError {
    pub(crate) fn new(doing: impl Into<String>, source: io::Error) -> Self {
        Self { doing: doing.into(), source }
    }

    /// The kernel's error number, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error().or_else(|| {
            let inner = self.source.get_ref()?.downcast_ref::<Refusal>()?;
            Some(inner.errno)
        })
    }

    /// Tells whether the thing was there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EXIST.raw_os_error())
    }

    /// Tells whether the thing, or the device it names, was not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        [Errno::SRCH, Errno::NOENT, Errno::NODEV, Errno::ADDRNOTAVAIL]
            .iter()
            .any(|errno| self.errno() == Some(errno.raw_os_error()))
    }
}

/// A refusal with the kernel's explanation in words.
#[derive(Debug, thiserror::Error)]
#[error("{kind} ({words})", kind = io::Error::from_raw_os_error(*errno))]
struct Refusal {
    errno: i32,
    words: String,
}

/// An open rtnetlink socket of one network namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// Fails when no file descriptor is left.
    pub fn open() -> Result<Self, NetlinkError> {
        let failed = |source| NetlinkError::new("opening a netlink socket", source);
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(failed)?;
        // Both only make refusals easier to read; old kernels lack them.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BUFFER] })
    }

    /// Asks for a change and waits for the kernel's verdict. `doing` goes into the error.
    pub(super) fn change(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        doing: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags, &mut |_| ())
            .map(|_complete| ())
            .map_err(|source| NetlinkError::new(doing(), source))
    }

    /// Collects every answer to a dump request that `pick` takes.
    pub(super) fn dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        doing: &str,
        pick: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let failed = |source| NetlinkError::new(doing, source);
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            let complete = self
                .exchange(request.clone(), NLM_F_REQUEST | NLM_F_DUMP, &mut |message| {
                    found.extend(pick(message));
                })
                .map_err(failed)?;
            if complete {
                return Ok(found);
            }
        }
        Err(failed(io::Error::new(io::ErrorKind::Interrupted, "it keeps changing")))
    }

    /// Sends one request and reads until its end; false when the answer was not consistent.
    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        each: &mut dyn FnMut(RouteNetlinkMessage),
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;

        let mut consistent = true;
        let mut entries = 0;
        while entries <= DUMP_ENTRIES_MAX {
            let len = self.receive()?;
            let mut rest = &self.buffer[..len];
            while rest.len() >= HEADER_LEN {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let length = (answer.header.length as usize).next_multiple_of(4).max(HEADER_LEN);
                rest = rest.get(length..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                consistent &= answer.header.flags & NLM_F_DUMP_INTR == 0;
                entries += 1;
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(consistent),
                    NetlinkPayload::Error(error) => {
                        return verdict(error.raw_code(), &error.header).map(|()| consistent);
                    }
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    NetlinkPayload::Overrun(_) => consistent = false,
                    _ => {}
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "more entries than can be held"))
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let timeout = Timespec { tv_sec: ANSWER_TIMEOUT_S, tv_nsec: 0 };
        loop {
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let socket = self.socket.as_fd();
        let (len, _) = rustix::net::recv(socket, &mut self.buffer[..], RecvFlags::empty())?;
        Ok(len)
    }
}

/// Turns the error code of an answer into a result; zero is the acknowledgement.
fn verdict(code: i32, header: &[u8]) -> io::Result<()> {
    if code == 0 {
        return Ok(());
    }
    let errno = code.saturating_abs();
    let attributes = header.get(HEADER_LEN..).unwrap_or_default();
    let words = NlasIterator::new(attributes)
        .flatten()
        .find(|attribute| attribute.kind() == EXTENDED_MESSAGE)
        .map(|attribute| {
            String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned()
        });
    match words {
        Some(words) => Err(io::Error::other(Refusal { errno, words })),
        None => Err(io::Error::from_raw_os_error(errno)),
    }
}
