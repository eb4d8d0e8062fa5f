//! Hosts and links in network namespaces, for the demo, tests and benches.
//!
//! A [`Host`] is an anonymous network namespace, a link a veth pair. Nothing has a name in the
//! system and nothing is mounted: when the last handle goes, also in a panic, everything is
//! gone, and the processes started inside are killed and waited for.
//!
//! It takes the rights of root over networks: real ones, or those of a user namespace
//! ([`evergate_io::netns::become_root_in_userns`]).
//!
//! ```no_run
//! # fn main() -> Result<(), evergate_lab::LabError> {
//! use evergate_lab::{Lab, LinkOptions};
//!
//! let lab = Lab::new()?;
//! let (one, other) = (lab.host("one")?, lab.host("other")?);
//! lab.link((&one, "eth0"), (&other, "eth0"), LinkOptions::default())?;
//! one.address("eth0", "10.0.0.1/24")?;
//! other.address("eth0", "10.0.0.2/24")?;
//! let listener = other.run(|| std::net::TcpListener::bind("10.0.0.2:80"))?;
//! # let _ = listener;
//! # Ok(())
//! # }
//! ```

mod bridge;
mod error;
mod gateway;
mod host;
mod process;

pub use bridge::Bridge;
pub use error::LabError;
pub use gateway::{Forwarding, Gateway};
pub use host::Host;
pub use process::Process;

use std::sync::{Arc, Mutex, PoisonError};

use evergate_io::netlink::{Netlink, VethEnd};
use evergate_io::netns::is_network_root;

use process::Shared;

/// A laboratory: the owner of hosts, links and processes.
#[derive(Debug)]
pub struct Lab {
    hosts: Mutex<Vec<Host>>,
    processes: Processes,
}

/// The processes started in a lab; they end with it.
type Processes = Arc<Mutex<Vec<Arc<Shared>>>>;

/// What a link is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// The largest packet in bytes on both ends; none for 1500.
    pub mtu: Option<u32>,
}

impl Lab {
    /// Makes an empty lab.
    ///
    /// # Errors
    /// Fails, in a sentence that says what to do, without the rights to make networks.
    pub fn new() -> Result<Self, LabError> {
        if !is_network_root() {
            return Err(LabError::NoRights);
        }
        Ok(Self { hosts: Mutex::default(), processes: Arc::default() })
    }

    /// Makes a host with nothing but its loopback device, up.
    ///
    /// # Errors
    /// Fails where the namespace cannot be made.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        let host = Host::new(name, Arc::clone(&self.processes))?;
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(host.clone());
        Ok(host)
    }

    /// Connects two hosts by a link; each end is named and ready to carry packets afterwards.
    ///
    /// # Errors
    /// Fails where a name is taken.
    pub fn link(
        &self,
        (one, one_name): (&Host, &str),
        (other, other_name): (&Host, &str),
        options: LinkOptions,
    ) -> Result<(), LabError> {
        // Made inside, so that nothing ever shows in the namespace of the caller.
        one.run(|| {
            Netlink::open()?.add_veth(
                VethEnd { name: one_name, netns: None, mtu: options.mtu },
                VethEnd { name: other_name, netns: Some(other.netns()), mtu: options.mtu },
            )
        })??;
        one.set_up(one_name)?;
        other.set_up(other_name)?;
        one.wait_until_operational(one_name)?;
        other.wait_until_operational(other_name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        for process in processes.iter() {
            process.end();
        }
    }
}
