//! Tun devices, netlink, namespaces and clocks: the only unsafe code.
//!
//! Everything that touches the kernel in a way the standard library does not offer lives
//! here, behind safe and typed functions. The crate decides nothing about packets.
//!
//! - [`tun`]: multi-queue tun devices whose frames are whole super-packets.
//! - [`divert`]: the routing that brings traffic into the tuns, and takes it back.
//! - [`netlink`]: links, addresses, routes, rules and neighbours, synchronously.
//! - [`netns`], [`sysctl`]: network namespaces and their settings.
//! - [`packet_socket`]: raw ethernet frames in batches; [`raw_socket`]: whole IP packets of one
//!   protocol.
//! - [`stop`], [`wait`], [`clock`], [`realtime`]: ending, waking and hurrying threads, telling time.
//! - [`process`]: ending processes.

pub mod clock;
pub mod divert;
pub mod netlink;
pub mod netns;
pub mod packet_socket;
pub mod process;
pub mod raw_socket;
pub mod realtime;
pub mod stop;
pub mod sysctl;
pub mod tun;
pub mod wait;
