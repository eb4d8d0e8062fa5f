//! A segment that more than two hosts share.

use evergate_io::netlink::Netlink;

use crate::{Host, Lab, LabError, LinkOptions};

/// The name of the bridge inside its host.
const DEVICE: &str = "br0";

/// A switch: a host of its own with a bridge, whose ports are links to other hosts.
#[derive(Debug)]
pub struct Bridge {
    host: Host,
}

impl Lab {
    /// Makes a switch without ports.
    ///
    /// # Errors
    /// Fails where the namespace or the bridge cannot be made.
    pub fn bridge(&self, name: &str) -> Result<Bridge, LabError> {
        let host = self.host(name)?;
        host.run(|| Netlink::open()?.add_bridge(DEVICE))??;
        host.set_up(DEVICE)?;
        Ok(Bridge { host })
    }
}

impl Bridge {
    /// Connects a host by a device; the port on this side has the host's name.
    ///
    /// # Errors
    /// Fails where a name is taken.
    pub fn connect(
        &self,
        lab: &Lab,
        host: &Host,
        device: &str,
        options: LinkOptions,
    ) -> Result<(), LabError> {
        lab.link((&self.host, host.name()), (host, device), options)?;
        let bridge = self.host.device(DEVICE)?.index;
        let port = self.host.device(host.name())?.index;
        Ok(self.host.run(|| Netlink::open()?.add_port(bridge, port))??)
    }

    /// The host that is the switch; its ports are named after the hosts behind them.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}
