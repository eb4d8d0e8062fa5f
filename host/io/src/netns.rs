//! Network namespaces that live as long as somebody holds them, and nothing else: no names,
//! no mounts, nothing to clean up.
//!
//! A namespace belongs to a thread. What a thread inside opens (sockets, tuns) stays in that
//! namespace for good; what it spawns inherits it; `/proc/sys/net` follows it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use rustix::thread::{
    CapabilitySet, LinkNameSpaceType, UnshareFlags, capabilities, move_into_link_name_space,
    unshare_unsafe,
};

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetNsError {
    /// A fresh network namespace was refused.
    #[error("making a network namespace: {0}; it takes CAP_SYS_ADMIN (root, or a user namespace)")]
    Create(#[source] io::Error),
    /// The thread's own namespace could not be opened.
    #[error("opening this thread's network namespace: {0}; is /proc mounted?")]
    Open(#[source] io::Error),
    /// The namespace could not be entered.
    #[error("entering a network namespace: {0}; it takes CAP_SYS_ADMIN")]
    Enter(#[source] io::Error),
    /// The helper thread could not be started.
    #[error("starting a thread for a network namespace: {0}")]
    Thread(#[source] io::Error),
    /// The system does not let ordinary users make user namespaces.
    #[error(
        "this system does not let ordinary users make user namespaces ({source}): run as root, \
         or allow them (user.max_user_namespaces > 0, kernel.unprivileged_userns_clone = 1, \
         kernel.apparmor_restrict_unprivileged_userns = 0, where these sysctls exist)"
    )]
    UserNamespacesForbidden {
        /// What the kernel said.
        source: io::Error,
    },
    /// The process has other threads already.
    #[error(
        "a user namespace can only be entered while the process has one thread: call this first"
    )]
    NotSingleThreaded,
}

/// A network namespace, kept alive by this handle and its clones.
#[derive(Clone, Debug)]
pub struct NetNs {
    fd: Arc<OwnedFd>,
}

impl NetNs {
    /// Makes a fresh, empty namespace (only a loopback device, down).
    ///
    /// # Errors
    /// Fails without `CAP_SYS_ADMIN` or when descriptors or threads run out.
    pub fn new() -> Result<Self, NetNsError> {
        in_thread(|| {
            unshare_network().map_err(NetNsError::Create)?;
            Self::current()
        })?
    }

    /// Returns the calling thread's namespace.
    ///
    /// # Errors
    /// Fails without `/proc` or when descriptors run out.
    pub fn current() -> Result<Self, NetNsError> {
        let file = File::open("/proc/thread-self/ns/net").map_err(NetNsError::Open)?;
        Ok(Self { fd: Arc::new(file.into()) })
    }

    /// Moves the calling thread into the namespace, for good.
    ///
    /// # Errors
    /// Fails without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> Result<(), NetNsError> {
        move_into_link_name_space(self.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| NetNsError::Enter(errno.into()))
    }

    /// Runs `work` in a thread of its own inside the namespace and returns its result.
    ///
    /// # Errors
    /// Fails where the thread cannot be started or the namespace not be entered.
    ///
    /// # Panics
    /// A panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
        in_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Tells whether the calling thread may configure networks and namespaces
/// (`CAP_NET_ADMIN` and `CAP_SYS_ADMIN`).
#[must_use]
pub fn is_network_root() -> bool {
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Gives an ordinary user the rights to make networks of its own: enters a new user namespace
/// in which this user is root, and a new network namespace that belongs to it.
///
/// Must be called first thing in `main`, while the process has one thread. Does nothing where
/// the rights are there already ([`is_network_root`]).
///
/// # Errors
/// Fails where the system forbids it; the error names the settings to look at.
pub fn become_root_in_userns() -> Result<(), NetNsError> {
    if is_network_root() {
        return Ok(());
    }
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    unshare_user_and_network().map_err(|source| {
        if source.kind() == io::ErrorKind::InvalidInput {
            return NetNsError::NotSingleThreaded;
        }
        NetNsError::UserNamespacesForbidden { source }
    })?;
    let forbidden = |source| NetNsError::UserNamespacesForbidden { source };
    fs::write("/proc/self/setgroups", "deny").map_err(forbidden)?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(forbidden)?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(forbidden)?;
    if is_network_root() {
        return Ok(());
    }
    Err(forbidden(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the new namespace was made without rights",
    )))
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)
            .map_err(NetNsError::Thread)?;
        handle.join().or_else(|panic| resume_unwind(panic))
    })
}

fn unshare_network() -> io::Result<()> {
    // SAFETY: the descriptor table stays shared (no FILES flag), so no thread can come to hold
    // a descriptor of another table.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(io::Error::from)
}

fn unshare_user_and_network() -> io::Result<()> {
    // SAFETY: the descriptor table stays shared (no FILES flag), so no thread can come to hold
    // a descriptor of another table.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }.map_err(io::Error::from)
}
