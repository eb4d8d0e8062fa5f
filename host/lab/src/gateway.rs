//! The ready topology: client — gateway — server.

use crate::{Host, Lab, LabError, LinkOptions};

/// Three hosts in a row, with IPv4 and IPv6.
///
/// ```text
/// client eth0 ──── lan0 gateway wan0 ──── eth0 server
///     10.0.1.2     10.0.1.1   10.0.2.1     10.0.2.2       /24
///     fd00:1::2   fd00:1::1   fd00:2::1   fd00:2::2       /64
/// ```
///
/// Client and server have default routes over the gateway, which does not forward.
#[derive(Debug)]
pub struct Gateway {
    /// Opens connections.
    pub client: Host,
    /// In between.
    pub gateway: Host,
    /// Answers them.
    pub server: Host,
    /// Owner of all; further hosts can be added.
    pub lab: Lab,
}

/// Whether the kernel of the gateway forwards by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// It does not: whoever is under test must see to it.
    #[default]
    Off,
    /// It does, as a plain router: the baseline of benches.
    Kernel,
}

impl Lab {
    /// Builds the topology, every link with an MTU of 1500 bytes and forwarding off.
    ///
    /// # Errors
    /// Fails, in a sentence that says what to do, without the rights to make networks.
    pub fn gateway() -> Result<Gateway, LabError> {
        Gateway::build(Forwarding::Off, LinkOptions::default(), LinkOptions::default())
    }
}

impl Gateway {
    /// Builds the topology with the given links on the client's and on the server's side.
    ///
    /// # Errors
    /// Fails, in a sentence that says what to do, without the rights to make networks.
    pub fn build(
        forwarding: Forwarding,
        lan: LinkOptions,
        wan: LinkOptions,
    ) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let (client, gateway, server) =
            (lab.host("client")?, lab.host("gateway")?, lab.host("server")?);
        lab.link((&client, "eth0"), (&gateway, "lan0"), lan)?;
        lab.link((&gateway, "wan0"), (&server, "eth0"), wan)?;
        let addresses = [
            (&client, "eth0", "10.0.1.2/24", "fd00:1::2/64"),
            (&gateway, "lan0", "10.0.1.1/24", "fd00:1::1/64"),
            (&gateway, "wan0", "10.0.2.1/24", "fd00:2::1/64"),
            (&server, "eth0", "10.0.2.2/24", "fd00:2::2/64"),
        ];
        for (host, device, v4, v6) in addresses {
            host.address(device, v4)?;
            host.address(device, v6)?;
        }
        for (host, v4, v6) in
            [(&client, "10.0.1.1", "fd00:1::1"), (&server, "10.0.2.1", "fd00:2::1")]
        {
            host.route("default", v4)?;
            host.route("default", v6)?;
        }
        // A fresh namespace may inherit the settings of the system's first one.
        let on = if forwarding == Forwarding::Kernel { "1" } else { "0" };
        gateway.sysctl("ipv4/ip_forward", on)?;
        gateway.sysctl("ipv6/conf/all/forwarding", on)?;
        Ok(Self { client, gateway, server, lab })
    }
}
