//! Multi-queue tun devices whose frames carry whole super-packets.
//!
//! A frame is a 10-byte `virtio_net_hdr` and one IP packet of up to 65,535 bytes: segmentation
//! and checksums are left to whoever really needs them. The device is not persistent: it goes
//! with its last queue, so that a killed process leaves no tun behind.

mod create;
mod queue;

pub use create::{DUMMY_ADDRESS, QUEUE_LENGTH, TunDevice, TunError};
pub use queue::{PumpReport, Queue, Wake, pump};

/// The length of the `virtio_net_hdr` in front of every packet, in bytes.
pub const VNET_HDR_LEN: usize = 10;
/// A buffer of this size holds every frame: header and the longest IPv4 or IPv6 packet
/// (an IPv6 payload of 65,535 bytes and its header).
pub const FRAME_MAX: usize = VNET_HDR_LEN + 40 + 65_535;
/// The MTU to give a tun, so that no packet is too big for it.
pub const MTU_MAX: u32 = 65_535;
/// The most queues a tun can have: `MAX_TAP_QUEUES`, linux drivers/net/tun.c.
pub const QUEUES_MAX: u16 = 256;
