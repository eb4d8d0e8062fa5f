//! Making and setting up a tun device.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{self, IntegerSetter, Setter, Updater, opcode};

use super::{QUEUES_MAX, Queue, VNET_HDR_LEN};
use crate::netlink::{AddressOptions, Link, Netlink, NetlinkError, SCOPE_HOST};
use crate::sysctl::{self, SysctlError};

const DEVICE: &str = "/dev/net/tun";
/// The longest name of a device in bytes: `IFNAMSIZ` less the final zero.
const NAME_MAX: usize = 15;
/// Packets a queue holds until they are read. They may be super-packets, so this is up to
/// 64 MB for a reader that stands still; the memory is charged to the senders.
pub const QUEUE_LENGTH: u32 = 1000;
/// The address a tun gets where reverse path filtering is on for all devices: a device without
/// any address fails even the loose check. RFC 7600 §4.8 sets it aside as a dummy.
pub const DUMMY_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

// linux/if_tun.h
const TUNSETIFF: ioctl::Opcode = opcode::write::<i32>(b'T', 202);
const TUNSETOFFLOAD: ioctl::Opcode = opcode::write::<u32>(b'T', 208);
const TUNSETVNETHDRSZ: ioctl::Opcode = opcode::write::<i32>(b'T', 216);
const IFF_TUN: u16 = 0x0001;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const IFF_TUN_EXCL: u16 = 0x8000;
const TUN_F_CSUM: usize = 0x01;
const TUN_F_TSO4: usize = 0x02;
const TUN_F_TSO6: usize = 0x04;
const TUN_F_TSO_ECN: usize = 0x08;
const TUN_F_USO4: usize = 0x20;
const TUN_F_USO6: usize = 0x40;
const OFFLOAD_TCP: usize = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
const OFFLOAD_ALL: usize = OFFLOAD_TCP | TUN_F_USO4 | TUN_F_USO6;

/// Why a tun device could not be made; each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunError {
    /// The kernel has no tun driver, or the device file is not there.
    #[error(
        "/dev/net/tun is missing: load the driver (modprobe tun) or, in a container, pass the \
         device in (--device /dev/net/tun)"
    )]
    NoDriver,
    /// The device file may not be opened.
    #[error(
        "no permission to open /dev/net/tun: run as root, or let this user read and write it \
         (chmod 0666 /dev/net/tun)"
    )]
    NoAccess,
    /// The process may not make network devices.
    #[error(
        "no permission to make the tun device {name}: it takes CAP_NET_ADMIN (run as root, or \
         with AmbientCapabilities=CAP_NET_ADMIN under systemd)"
    )]
    NoPermission {
        /// The device.
        name: String,
    },
    /// There is a device of that name.
    #[error(
        "a device named {name} is there already: is another evergate running here? Stop it, or \
         delete the device (ip link delete {name})"
    )]
    NameTaken {
        /// The device.
        name: String,
    },
    /// The name cannot be a device's.
    #[error("{name:?} cannot name a device: 1 to 15 bytes without '/', ':', '%' and spaces")]
    BadName {
        /// The device.
        name: String,
    },
    /// No file descriptor is left.
    #[error(
        "out of file descriptors while making the tun device {name}: raise the limit \
         (ulimit -n, LimitNOFILE= under systemd, or fs.file-max)"
    )]
    NoDescriptors {
        /// The device.
        name: String,
    },
    /// The number of queues is out of range.
    #[error("a tun device can have 1 to 256 queues, not {queues}: set fewer threads")]
    BadQueues {
        /// What was asked for.
        queues: u16,
    },
    /// Something else was refused.
    #[error("making the tun device {name}: {doing}: {source}")]
    Io {
        /// The device.
        name: String,
        /// The step that failed.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The device could not be set up.
    #[error("setting up the tun device: {0}")]
    Netlink(#[from] NetlinkError),
    /// A setting of the device could not be made.
    #[error("setting up the tun device: {0}")]
    Sysctl(#[from] SysctlError),
}

/// A tun device with its queues, set up and ready to carry packets.
#[derive(Debug)]
pub struct TunDevice {
    name: String,
    index: u32,
    queues: Vec<Queue>,
}

/// `struct ifreq`, as far as the tun driver looks at it.
#[repr(C)]
#[derive(Clone, Copy)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    padding: [u8; 22],
}

impl TunDevice {
    /// Makes the device `name` with 1 to 256 queues and the given MTU in bytes, in the calling
    /// thread's network namespace; sets it up for forwarding and switches it on.
    ///
    /// Packets written to it may carry any source, the host's own addresses included.
    ///
    /// # Errors
    /// See [`TunError`]; nothing is left behind.
    pub fn create(name: &str, queues: u16, mtu: u32) -> Result<Self, TunError> {
        if !is_device_name(name) {
            return Err(TunError::BadName { name: name.to_owned() });
        }
        if queues == 0 || queues > QUEUES_MAX {
            return Err(TunError::BadQueues { queues });
        }
        let mut opened = Vec::with_capacity(queues.into());
        for number in 0..queues {
            // Without the exclusive flag the kernel would add our queue to a device that is
            // there already, and share another process's packets.
            let exclusive = if number == 0 { IFF_TUN_EXCL } else { 0 };
            opened.push(Queue::new(open_queue(name, exclusive)?));
        }
        let index = set_up(name, mtu)?;
        Ok(Self { name: name.to_owned(), index, queues: opened })
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kernel's number of the device.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Hands out the queues; the device lives as long as one of them does.
    #[must_use]
    pub fn into_queues(self) -> Vec<Queue> {
        self.queues
    }
}

fn is_device_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}

fn open_queue(name: &str, extra_flags: u16) -> Result<OwnedFd, TunError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(DEVICE, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => TunError::NoDriver,
        Errno::ACCESS | Errno::PERM => TunError::NoAccess,
        other => refused(name, "opening /dev/net/tun", other),
    })?;
    attach(&fd, name, extra_flags).map_err(|errno| match errno {
        Errno::PERM | Errno::ACCESS => TunError::NoPermission { name: name.to_owned() },
        // EINVAL is what a device of another kind by that name answers.
        Errno::BUSY | Errno::EXIST | Errno::INVAL => TunError::NameTaken { name: name.to_owned() },
        other => refused(name, "attaching a queue", other),
    })?;
    set_header_length(&fd).map_err(|errno| refused(name, "setting the header length", errno))?;
    // Kernels before 6.2 do not know UDP segmentation.
    set_offload(&fd, OFFLOAD_ALL)
        .or_else(|_| set_offload(&fd, OFFLOAD_TCP))
        .map_err(|errno| refused(name, "switching on segmentation offload", errno))?;
    Ok(fd)
}

fn refused(name: &str, doing: &'static str, errno: Errno) -> TunError {
    let name = name.to_owned();
    match errno {
        Errno::MFILE | Errno::NFILE => TunError::NoDescriptors { name },
        other => TunError::Io { name, doing, source: other.into() },
    }
}

fn attach(fd: &OwnedFd, name: &str, extra_flags: u16) -> Result<(), Errno> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR | extra_flags,
        padding: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, whose size and layout the type has.
    let call = unsafe { Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request) };
    // SAFETY: the request lives until the call returns and the descriptor is a tun's.
    unsafe { ioctl::ioctl(fd, call) }
}

fn set_header_length(fd: &OwnedFd) -> Result<(), Errno> {
    let length = VNET_HDR_LEN as i32;
    // SAFETY: TUNSETVNETHDRSZ reads one int.
    let call = unsafe { Setter::<TUNSETVNETHDRSZ, i32>::new(length) };
    // SAFETY: the setter owns the value and the descriptor is a tun's.
    unsafe { ioctl::ioctl(fd, call) }
}

fn set_offload(fd: &OwnedFd, offload: usize) -> Result<(), Errno> {
    // SAFETY: TUNSETOFFLOAD takes its flags as an integer.
    let call = unsafe { IntegerSetter::<TUNSETOFFLOAD>::new_usize(offload) };
    // SAFETY: no memory is passed and the descriptor is a tun's.
    unsafe { ioctl::ioctl(fd, call) }
}

/// Sets the device up for forwarding and returns its number.
fn set_up(name: &str, mtu: u32) -> Result<u32, TunError> {
    let mut netlink = Netlink::open()?;
    let Link { index, .. } = netlink.link(name)?.ok_or_else(|| TunError::Io {
        name: name.to_owned(),
        doing: "looking it up",
        source: io::ErrorKind::NotFound.into(),
    })?;
    netlink.set_mtu(index, mtu)?;
    netlink.set_queue_length(index, QUEUE_LENGTH)?;
    set_up_v4(&mut netlink, name, index)?;
    if sysctl::has_ipv6() {
        set_up_v6(name)?;
    }
    netlink.set_up(index)?;
    Ok(index)
}

fn set_up_v4(netlink: &mut Netlink, name: &str, index: u32) -> Result<(), TunError> {
    // The kernel takes the greater of the two; 2 (loose) is the mildest a strict system allows.
    let for_all = sysctl::read("ipv4/conf/all/rp_filter")?;
    let own = if for_all == "1" { "2" } else { "0" };
    sysctl::write(&format!("ipv4/conf/{name}/rp_filter"), own)?;
    if for_all != "0" {
        let options = AddressOptions { scope: SCOPE_HOST, ..AddressOptions::default() };
        netlink.add_address(index, IpAddr::V4(DUMMY_ADDRESS), 32, options)?;
    }
    sysctl::write(&format!("ipv4/conf/{name}/accept_local"), "1")?;
    sysctl::write(&format!("ipv4/conf/{name}/forwarding"), "1")?;
    Ok(())
}

fn set_up_v6(name: &str) -> Result<(), TunError> {
    if sysctl::read("ipv6/conf/all/disable_ipv6")? == "0" {
        sysctl::write(&format!("ipv6/conf/{name}/disable_ipv6"), "0")?;
    }
    // 1 is "none": the tun needs no link-local address and must not send router solicitations.
    sysctl::write(&format!("ipv6/conf/{name}/addr_gen_mode"), "1")?;
    sysctl::write(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
    // Kernels before 6.17 only have one switch for all devices: see the divert module.
    sysctl::write_optional(&format!("ipv6/conf/{name}/force_forwarding"), "1")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_the_kernel_sees_them() {
        for name in ["eg-lan", "a", "fifteen-bytes-x", "eg.5"] {
            assert!(is_device_name(name), "{name}");
        }
        for name in ["", "sixteen-bytes-xx", "a/b", "eg%d", "a b", "..", "é"] {
            assert!(!is_device_name(name), "{name}");
        }
    }

    #[test]
    fn interface_request_has_the_kernels_size() {
        assert_eq!(size_of::<InterfaceRequest>(), 40);
    }
}
