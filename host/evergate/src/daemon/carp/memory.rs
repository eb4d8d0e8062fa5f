//! What a start must know of the starts before it: the epoch, the node id, and the addresses
//! that a crash may have left.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use evergate_carp::{NodeId, Seen};
use evergate_io::clock;
use evergate_wire::Af;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The name of the file in the state directory.
const FILE: &str = "carp.json";
/// More is not read: it cannot be ours.
const FILE_MAX: u64 = 1 << 20;

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Of this start; greater than at all earlier ones.
    pub(super) epoch: u64,
    /// Of this gateway; 0 if it has none yet.
    pub(super) node: u64,
    /// The addresses that this run may have set; none after a clean stop.
    pub(super) addresses: Vec<Owned>,
    /// The newest adverts of every sender, against replays.
    pub(super) seen: Vec<SeenRow>,
}

/// An address on a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) device: String,
    pub(super) address: IpNet,
}

/// The newest advert of one sender to one vhost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenRow {
    device: String,
    vhid: u8,
    sender: u64,
    v6: bool,
    epoch: u64,
    sequence: u64,
}

impl SeenRow {
    pub(super) fn new(device: &str, vhid: u8, seen: Seen) -> SeenRow {
        SeenRow {
            device: device.to_owned(),
            vhid,
            sender: seen.sender.0,
            v6: seen.family == Af::V6,
            epoch: seen.epoch,
            sequence: seen.sequence,
        }
    }

    /// What it says if it is about this vhost.
    pub(super) fn about(&self, device: &str, vhid: u8) -> Option<Seen> {
        let family = if self.v6 { Af::V6 } else { Af::V4 };
        let sender = NodeId(self.sender);
        let seen = Seen { sender, family, epoch: self.epoch, sequence: self.sequence };
        (self.device == device && self.vhid == vhid).then_some(seen)
    }
}

impl Memory {
    pub(super) fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// Reads what an earlier run wrote; nothing where there is nothing sensible.
    pub(super) fn load(path: &Path) -> Memory {
        let read = || -> anyhow::Result<Option<Memory>> {
            let length = match std::fs::metadata(path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            anyhow::ensure!(length <= FILE_MAX, "{length} bytes are too many");
            Ok(Some(serde_json::from_slice(&std::fs::read(path)?)?))
        };
        match read() {
            Ok(memory) => memory.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(file = %path.display(), "carp: not used, {error:#}");
                Memory::default()
            }
        }
    }

    /// Replaces the file as a whole.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let save = || -> std::io::Result<()> {
            let new = path.with_extension("new");
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            std::fs::rename(new, path)
        };
        save().with_context(|| path.display().to_string())
    }

    /// An epoch beyond this one: the next number, or the wall clock's seconds where the file was
    /// lost with a reboot.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch.saturating_add(1).max(clock::wall_s())
    }
}

/// A node id that stays the same for this gateway and hardly is another's: from what names the
/// machine, the gateway and its first interface.
pub(super) fn node_id(name: &str, mac: &[u8]) -> u64 {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let parts = [&machine[..], name.as_bytes(), mac];
    // FNV-1a, with the lengths so that parts cannot run into each other.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.iter().copied().chain(part.len().to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash.max(1)
}

/// The protocol number on addresses of ours, the same as on our routes.
pub(super) const PROTOCOL: u8 = evergate_io::divert::PROTOCOL;

/// Whether an address of the system is one that an earlier run has left.
///
/// `remembered` tells whether the file names it. Kernels before 5.18 do not keep who added an
/// address; then the file alone decides.
pub(super) fn is_leftover(protocol: u8, kernel_keeps: bool, remembered: bool) -> bool {
    protocol == PROTOCOL || (!kernel_keeps && remembered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("evergate-{}-{name}.json", std::process::id()))
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let path = file("carp-saved");
        let seen = Seen { sender: NodeId(7), family: Af::V6, epoch: 3, sequence: 4 };
        let memory = Memory {
            epoch: 5,
            node: u64::MAX,
            addresses: vec![Owned {
                device: "lan0".into(),
                address: "10.0.0.1/24".parse().unwrap(),
            }],
            seen: vec![SeenRow::new("lan0", 9, seen)],
        };
        memory.save(&path).unwrap();
        let loaded = Memory::load(&path);
        assert_eq!(loaded, memory);
        assert_eq!(loaded.seen[0].about("lan0", 9), Some(seen));
        assert_eq!(loaded.seen[0].about("lan0", 8), None);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_makes_no_sense_is_no_memory() {
        let path = file("carp-broken");
        std::fs::write(&path, "{\"epoch\":").unwrap();
        assert_eq!(Memory::load(&path), Memory::default());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Memory::load(&path), Memory::default());
    }

    #[test]
    fn epochs_grow_even_if_the_wall_clock_goes_back() {
        let ahead = Memory { epoch: u64::MAX / 2, ..Memory::default() };
        assert_eq!(ahead.next_epoch(), u64::MAX / 2 + 1);
        assert!(Memory::default().next_epoch() >= 1_600_000_000);
    }

    #[test]
    fn node_ids_differ_by_name_and_interface() {
        let id = node_id("a", &[1, 2]);
        assert_eq!(id, node_id("a", &[1, 2]));
        assert!(id != node_id("b", &[1, 2]) && id != node_id("a", &[1, 3]));
    }

    #[test]
    fn an_address_of_somebody_else_is_no_leftover() {
        assert!(is_leftover(PROTOCOL, true, false));
        assert!(!is_leftover(0, true, true));
        assert!(is_leftover(0, false, true));
        assert!(!is_leftover(0, false, false));
    }
}
