//! Small sets that policies read from their settings: ports, interfaces, addresses.

use core::net::IpAddr;

use evergate_abi::IF_UNKNOWN;

use crate::{Refused, Setup};

/// A set of ports, from numbers and ranges: `[22, 443, "6000-6010"]`.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    ranges: [(u16, u16); Self::CAPACITY],
    len: usize,
}

impl Ports {
    /// The most numbers and ranges.
    pub const CAPACITY: usize = 64;

    /// Reads a setting; a setting that is absent is the empty set.
    ///
    /// # Errors
    /// Names the setting and the value that is no port or range.
    pub fn from_setting(setup: &Setup, key: &str) -> Result<Self, Refused> {
        let mut ports = Self { ranges: [(0, 0); Self::CAPACITY], len: 0 };
        for index in 0.. {
            let (first, last) = match (setup.int(key, index), setup.text(key, index)?) {
                (None, None) => break,
                (Some(n), _) => {
                    let port = u16::try_from(n).ok().filter(|port| *port != 0);
                    let bad = || Refused::new(&["setting `", key, "`: a port is 1 to 65535"]);
                    let port = port.ok_or_else(bad)?;
                    (port, port)
                }
                (None, Some(text)) => {
                    let text = text.as_str();
                    let bad = || {
                        Refused::new(&[
                            "setting `",
                            key,
                            "`: `",
                            text,
                            "` is not a port or a range like 80-90",
                        ])
                    };
                    range(text).ok_or_else(bad)?
                }
            };
            let Some(place) = ports.ranges.get_mut(ports.len) else {
                return Err(Refused::new(&["setting `", key, "` has more than 64 entries"]));
            };
            *place = (first, last);
            ports.len += 1;
        }
        Ok(ports)
    }

    /// Reads a setting; a setting that is absent is the set of this one port.
    ///
    /// # Errors
    /// Names the setting and the value that is no port or range.
    pub fn from_setting_or(setup: &Setup, key: &str, default: u16) -> Result<Self, Refused> {
        let mut ports = Self::from_setting(setup, key)?;
        if ports.len == 0 {
            ports.ranges[0] = (default, default);
            ports.len = 1;
        }
        Ok(ports)
    }

    /// Tells whether the port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges[..self.len].iter().any(|(first, last)| (*first..=*last).contains(&port))
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first != 0 && first <= last).then_some((first, last))
}

/// A set of interfaces, from their names.
#[derive(Debug, Clone, Copy)]
pub struct Interfaces {
    ids: [u16; Self::CAPACITY],
    len: usize,
}

impl Interfaces {
    /// The most interfaces.
    pub const CAPACITY: usize = 16;

    /// Reads a setting; a setting that is absent stands for the interface named `default`.
    ///
    /// # Errors
    /// Names the setting and the name that is no interface of the configuration.
    pub fn from_setting(setup: &Setup, key: &str, default: &str) -> Result<Self, Refused> {
        let mut set = Self { ids: [0; Self::CAPACITY], len: 0 };
        if setup.int(key, 0).is_some() {
            return Err(Refused::new(&["setting `", key, "` has to name interfaces"]));
        }
        for index in 0.. {
            let text = setup.text(key, index)?;
            let name = match (&text, index) {
                (Some(text), _) => text.as_str(),
                (None, 0) => default,
                (None, _) => break,
            };
            let Some(id) = setup.interface(name) else {
                return Err(Refused::new(&[
                    "setting `",
                    key,
                    "`: there is no interface `",
                    name,
                    "`",
                ]));
            };
            let Some(place) = set.ids.get_mut(set.len) else {
                return Err(Refused::new(&["setting `", key, "` has more than 16 entries"]));
            };
            *place = id;
            set.len += 1;
        }
        Ok(set)
    }

    /// Tells whether the interface is in the set, or is not known to the gateway.
    pub fn contains_or_unknown(&self, id: u16) -> bool {
        id == IF_UNKNOWN || self.ids[..self.len].contains(&id)
    }
}

/// A set of single addresses.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    octets: [[u8; 16]; Self::CAPACITY],
    len: usize,
}

impl Addresses {
    /// The most addresses.
    pub const CAPACITY: usize = 16;

    /// Reads a setting; a setting that is absent is the empty set.
    ///
    /// # Errors
    /// Names the setting and the value that is no address.
    pub fn from_setting(setup: &Setup, key: &str) -> Result<Self, Refused> {
        let mut set = Self { octets: [[0; 16]; Self::CAPACITY], len: 0 };
        while let Some(text) = setup.text(key, set.len)? {
            let octets = match text.as_str().parse() {
                Ok(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
                Ok(IpAddr::V6(v6)) => v6.octets(),
                Err(_) => {
                    return Err(Refused::new(&[
                        "setting `",
                        key,
                        "`: `",
                        text.as_str(),
                        "` is not an address",
                    ]));
                }
            };
            let Some(place) = set.octets.get_mut(set.len) else {
                return Err(Refused::new(&["setting `", key, "` has more than 16 entries"]));
            };
            *place = octets;
            set.len += 1;
        }
        if setup.int(key, set.len).is_some() {
            return Err(Refused::new(&["setting `", key, "` has to hold addresses"]));
        }
        Ok(set)
    }

    /// Tells whether the address is in the set.
    pub fn contains(&self, octets: &[u8; 16]) -> bool {
        self.octets[..self.len].contains(octets)
    }

    /// Tells whether the set has no address.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
