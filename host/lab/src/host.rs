//! A host: a network namespace with a name to talk about it.

use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use evergate_io::netlink::{
    AddressOptions, Family, Link, LinkCounters, Netlink, Route, TABLE_LOCAL,
};
use evergate_io::netns::NetNs;
use evergate_io::sysctl;

use crate::process::{Process, Shared};
use crate::{LabError, Processes};

/// What the kernel does in the background is done long before this.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A host of a lab; clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Host {
    name: Arc<str>,
    netns: NetNs,
    processes: Processes,
}

impl Host {
    pub(crate) fn new(name: &str, processes: Processes) -> Result<Self, LabError> {
        let host = Self { name: name.into(), netns: NetNs::new()?, processes };
        host.set_up("lo")?;
        if host.run(sysctl::has_ipv6)? {
            // Nobody shares these links, and duplicate address detection takes a second.
            host.sysctl("ipv6/conf/default/accept_dad", "0")?;
        }
        Ok(host)
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> &NetNs {
        &self.netns
    }

    /// Runs `work` in a thread inside the host and returns its result. Sockets and devices
    /// opened there stay in the host.
    ///
    /// # Errors
    /// Fails where the thread cannot enter the host.
    ///
    /// # Panics
    /// A panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        Ok(self.netns.run(work)?)
    }

    /// Starts a program inside the host. It ends with the returned handle, at the latest with
    /// the lab.
    ///
    /// # Errors
    /// Fails where the program cannot be started.
    pub fn spawn(&self, mut command: Command) -> Result<Process, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = self
            .run(|| command.spawn())?
            .map_err(|source| LabError::Process { program: program.clone(), source })?;
        let shared = Arc::new(Shared::new(program, child));
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.retain(|process| !process.is_over());
        processes.push(Arc::clone(&shared));
        Ok(Process::new(shared))
    }

    /// Gives a device an address such as `10.0.1.2/24`; usable at once.
    ///
    /// # Errors
    /// Fails for another text, without the device, or where the address is there already.
    pub fn address(&self, device: &str, text: &str) -> Result<(), LabError> {
        let (address, prefix) = parse_prefix(text)?;
        self.with_device(device, |netlink, link| {
            netlink.add_address(link.index, address, prefix, AddressOptions::default())?;
            // The kernel makes an IPv6 address usable a moment after it has taken it.
            let deadline = Instant::now() + READY_LIMIT;
            let usable = |route: &Route| route.table == TABLE_LOCAL && route.destination == address;
            while link.up && !netlink.routes()?.iter().any(usable) {
                if Instant::now() > deadline {
                    return Err(LabError::NotUsable { address });
                }
                thread::sleep(LOOK);
            }
            Ok(())
        })
    }

    /// Takes an address from a device.
    ///
    /// # Errors
    /// Fails where it is not there.
    pub fn remove_address(&self, device: &str, text: &str) -> Result<(), LabError> {
        let (address, prefix) = parse_prefix(text)?;
        self.with_device(device, |netlink, link| {
            Ok(netlink.delete_address(link.index, address, prefix)?)
        })
    }

    /// Adds a route to a prefix, or to `default`, over a gateway (which tells the family).
    ///
    /// # Errors
    /// Fails for other texts, where the route is there already, or the gateway not on a link.
    pub fn route(&self, destination: &str, gateway: &str) -> Result<(), LabError> {
        let route = parse_route(destination, gateway)?;
        Ok(self.run(|| Netlink::open()?.add_route(&route))??)
    }

    /// Takes a route away.
    ///
    /// # Errors
    /// Fails where it is not there.
    pub fn remove_route(&self, destination: &str, gateway: &str) -> Result<(), LabError> {
        let route = parse_route(destination, gateway)?;
        Ok(self.run(|| Netlink::open()?.delete_route(&route))??)
    }

    /// Tells the hardware address of a neighbour for good, so that nobody asks for it.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn neighbour(&self, device: &str, address: IpAddr, mac: &[u8]) -> Result<(), LabError> {
        self.with_device(device, |netlink, link| {
            Ok(netlink.set_neighbour(link.index, address, mac)?)
        })
    }

    /// Forgets all neighbours on a device.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn flush_neighbours(&self, device: &str) -> Result<(), LabError> {
        self.with_device(device, |netlink, link| {
            for neighbour in netlink.neighbours()? {
                if neighbour.index == link.index {
                    match netlink.delete_neighbour(link.index, neighbour.address) {
                        Err(error) if !error.is_missing() => return Err(error.into()),
                        _ => {}
                    }
                }
            }
            Ok(())
        })
    }

    /// Writes a setting below `/proc/sys/net`, such as `ipv4/ip_forward`.
    ///
    /// # Errors
    /// Fails where the kernel refuses.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        Ok(self.run(|| sysctl::write(key, value))??)
    }

    /// Reads a setting below `/proc/sys/net`.
    ///
    /// # Errors
    /// Fails where the kernel has no such setting.
    pub fn read_sysctl(&self, key: &str) -> Result<String, LabError> {
        Ok(self.run(|| sysctl::read(key))??)
    }

    /// Sets a device up.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn set_up(&self, device: &str) -> Result<(), LabError> {
        self.with_device(device, |netlink, link| Ok(netlink.set_up(link.index)?))
    }

    /// Sets a device down.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn set_down(&self, device: &str) -> Result<(), LabError> {
        self.with_device(device, |netlink, link| Ok(netlink.set_down(link.index)?))
    }

    /// Sets the largest packet of a device in bytes.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn set_mtu(&self, device: &str, mtu: u32) -> Result<(), LabError> {
        self.with_device(device, |netlink, link| Ok(netlink.set_mtu(link.index, mtu)?))
    }

    /// Returns a device with its counters.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn device(&self, device: &str) -> Result<Link, LabError> {
        self.with_device(device, |_, link| Ok(link))
    }

    /// Returns the counters of a device.
    ///
    /// # Errors
    /// Fails without the device.
    pub fn counters(&self, device: &str) -> Result<LinkCounters, LabError> {
        Ok(self.device(device)?.counters)
    }

    /// The kernel notices a carrier a moment after it is there; until then it loses packets.
    pub(crate) fn wait_until_operational(&self, device: &str) -> Result<(), LabError> {
        let deadline = Instant::now() + READY_LIMIT;
        while !self.device(device)?.operational {
            if Instant::now() > deadline {
                return Err(LabError::NoCarrier {
                    host: self.name.to_string(),
                    device: device.to_owned(),
                });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn with_device<T: Send>(
        &self,
        device: &str,
        work: impl FnOnce(&mut Netlink, Link) -> Result<T, LabError> + Send,
    ) -> Result<T, LabError> {
        self.run(|| {
            let mut netlink = Netlink::open()?;
            let link = netlink.link(device)?.ok_or_else(|| LabError::NoDevice {
                host: self.name.to_string(),
                device: device.to_owned(),
            })?;
            work(&mut netlink, link)
        })?
    }
}

fn parse_prefix(text: &str) -> Result<(IpAddr, u8), LabError> {
    let bad = || LabError::BadAddress { text: text.to_owned() };
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let prefix = prefix.parse().map_err(|_| bad())?;
    if prefix > Family::of(address).bits() {
        return Err(bad());
    }
    Ok((address, prefix))
}

fn parse_route(destination: &str, gateway: &str) -> Result<Route, LabError> {
    let bad = || LabError::BadAddress { text: gateway.to_owned() };
    let gateway: IpAddr = gateway.parse().map_err(|_| bad())?;
    let route = match destination {
        "default" => Route::default_of(Family::of(gateway)),
        prefix => {
            let (address, length) = parse_prefix(prefix)?;
            Route::to(address, length)
        }
    };
    Ok(Route { gateway: Some(gateway), ..route })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_with_a_fitting_prefix_are_taken() {
        assert!(parse_prefix("10.0.0.1/32").is_ok());
        assert!(parse_prefix("fd00::1/128").is_ok());
        for bad in ["10.0.0.1", "10.0.0.1/33", "fd00::1/129", "x/24", "10.0.0.1/", ""] {
            assert!(matches!(parse_prefix(bad), Err(LabError::BadAddress { .. })), "{bad}");
        }
    }
}
