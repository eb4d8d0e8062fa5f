//! What must be restored, remembered in a file across a crash.
//!
//! The file is written before the thing it remembers is changed, and replaced as a whole. It
//! belongs to one boot: after another one there is nothing left to restore.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DivertError;
use crate::netlink::Family;
use crate::sysctl;

const VERSION: u32 = 1;
/// A file longer than this is not one of ours.
const BYTES_MAX: u64 = 256 * 1024;

/// The content of the state file, and where it is.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    boot: String,
    settings: Vec<Setting>,
    local_rules: Vec<LocalRule>,
}

/// A setting of the kernel and what it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) original: String,
}

/// A rule for local addresses that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalRule {
    ipv6: bool,
    pub(super) priority: u32,
    pub(super) protocol: u8,
}

impl LocalRule {
    pub(super) fn new(family: Family, priority: u32, protocol: u8) -> Self {
        Self { ipv6: family == Family::V6, priority, protocol }
    }

    pub(super) fn family(&self) -> Family {
        if self.ipv6 { Family::V6 } else { Family::V4 }
    }
}

impl Memory {
    /// Reads the file; nothing is remembered where it is missing or from before a reboot.
    pub(super) fn load(path: &Path) -> Result<Self, DivertError> {
        let failed = |source| DivertError::StateFile { path: path.to_owned(), source };
        let bad = |reason: String| DivertError::BadStateFile { path: path.to_owned(), reason };
        let boot = boot_id().map_err(failed)?;
        let fresh = Content { version: VERSION, boot, ..Content::default() };
        let content = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh,
            Err(error) => return Err(failed(error)),
            Ok(meta) if !meta.is_file() || meta.len() > BYTES_MAX => {
                return Err(bad("too long, or no file".into()));
            }
            Ok(_) => {
                let bytes = fs::read(path).map_err(failed)?;
                let content: Content =
                    serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
                if content.version != VERSION {
                    return Err(bad(format!("its version is {}", content.version)));
                }
                if content.boot == fresh.boot { content } else { fresh }
            }
        };
        Ok(Self { path: path.to_owned(), content })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.content.settings.is_empty() && self.content.local_rules.is_empty()
    }

    pub(super) fn settings(&self) -> &[Setting] {
        &self.content.settings
    }

    pub(super) fn local_rules(&self) -> &[LocalRule] {
        &self.content.local_rules
    }

    /// Remembers that `key` was `original`; the oldest memory of a key stands.
    pub(super) fn remember_setting(
        &mut self,
        key: &str,
        original: &str,
    ) -> Result<(), DivertError> {
        if self.content.settings.iter().any(|setting| setting.key == key) {
            return Ok(());
        }
        let setting = Setting { key: key.to_owned(), original: original.to_owned() };
        self.content.settings.push(setting);
        self.store()
    }

    pub(super) fn forget_setting(&mut self, key: &str) -> Result<(), DivertError> {
        self.content.settings.retain(|setting| setting.key != key);
        self.store()
    }

    pub(super) fn remember_local_rule(&mut self, rule: LocalRule) -> Result<(), DivertError> {
        if self.content.local_rules.contains(&rule) {
            return Ok(());
        }
        self.content.local_rules.push(rule);
        self.store()
    }

    pub(super) fn forget_local_rules(&mut self) -> Result<(), DivertError> {
        self.content.local_rules.clear();
        self.store()
    }

    /// Removes the file: all is restored.
    pub(super) fn clear(&mut self) -> Result<(), DivertError> {
        self.content.settings.clear();
        self.content.local_rules.clear();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn store(&self) -> Result<(), DivertError> {
        self.write().map_err(|source| self.failed(source))
    }

    fn write(&self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&self.content)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn failed(&self, source: io::Error) -> DivertError {
        DivertError::StateFile { path: self.path.clone(), source }
    }
}

/// Sets `key` to `value`, remembering what it was; does nothing where it is that already or
/// the kernel does not have it. Tells whether it was changed.
pub(super) fn set(memory: &mut Memory, key: &str, value: &str) -> Result<bool, DivertError> {
    let Some(current) = sysctl::read_optional(key)? else { return Ok(false) };
    if current == value {
        return Ok(false);
    }
    memory.remember_setting(key, &current)?;
    sysctl::write(key, value)?;
    Ok(true)
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct File(PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            let name = format!("evergate-memory-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name).join("state.json"))
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.parent().expect("has a directory"));
        }
    }

    #[test]
    fn the_oldest_value_of_a_setting_survives_a_restart() {
        let file = File::new("oldest");
        let mut memory = Memory::load(&file.0).expect("missing is fine");
        assert!(memory.is_empty());
        memory.remember_setting("ipv4/conf/x/forwarding", "0").expect("store");
        let mut memory = Memory::load(&file.0).expect("load");
        memory.remember_setting("ipv4/conf/x/forwarding", "1").expect("store");
        memory.remember_local_rule(LocalRule::new(Family::V6, 0, 2)).expect("store");
        let memory = Memory::load(&file.0).expect("load");
        assert_eq!(memory.settings().len(), 1);
        assert_eq!(memory.settings()[0].original, "0");
        assert_eq!(memory.local_rules(), [LocalRule::new(Family::V6, 0, 2)]);
    }

    #[test]
    fn a_cleared_memory_leaves_no_file() {
        let file = File::new("cleared");
        let mut memory = Memory::load(&file.0).expect("load");
        memory.remember_setting("a", "0").expect("store");
        assert!(file.0.exists());
        memory.clear().expect("clear");
        memory.clear().expect("clear twice");
        assert!(!file.0.exists());
    }

    #[test]
    fn memories_of_another_boot_are_void_and_foreign_files_are_refused() {
        let file = File::new("foreign");
        fs::create_dir_all(file.0.parent().expect("directory")).expect("create");
        let old =
            r#"{"version":1,"boot":"x","settings":[{"key":"a","original":"0"}],"local_rules":[]}"#;
        fs::write(&file.0, old).expect("write");
        assert!(Memory::load(&file.0).expect("load").is_empty());
        for bad in ["", "{", "[]", r#"{"version":9,"boot":"","settings":[],"local_rules":[]}"#] {
            fs::write(&file.0, bad).expect("write");
            let error = Memory::load(&file.0).expect_err(bad);
            assert!(matches!(error, DivertError::BadStateFile { .. }), "{error}");
        }
    }
}
