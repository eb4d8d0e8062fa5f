//! Network settings under `/proc/sys/net`, for the calling thread's network namespace.
//!
//! Keys are paths with slashes, such as `ipv4/conf/lan0.5/forwarding`: the dotted form of
//! sysctl(8) is ambiguous for interfaces whose name holds a dot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a setting could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct SysctlError {
    doing: String,
    source: io::Error,
}

impl SysctlError {
    fn new(doing: String, source: io::Error) -> Self {
        Self { doing, source }
    }

    /// The kind of the underlying failure; `NotFound` where the kernel lacks the setting.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Reads the setting `key` without its newline.
///
/// # Errors
/// Fails where the kernel has no such setting or forbids reading it.
pub fn read(key: &str) -> Result<String, SysctlError> {
    let failed = |source| SysctlError::new(format!("reading sysctl net/{key}"), source);
    let text = fs::read_to_string(path(key).map_err(failed)?).map_err(failed)?;
    Ok(text.trim_end().to_owned())
}

/// Reads the setting `key`, or `None` where this kernel does not have it.
///
/// # Errors
/// Fails where it exists but cannot be read.
pub fn read_optional(key: &str) -> Result<Option<String>, SysctlError> {
    match read(key) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes `value` to the setting `key`.
///
/// # Errors
/// Fails where the kernel has no such setting, forbids writing it or refuses the value.
pub fn write(key: &str, value: &str) -> Result<(), SysctlError> {
    let failed = |source| SysctlError::new(format!("setting sysctl net/{key} to {value}"), source);
    fs::write(path(key).map_err(failed)?, value).map_err(failed)
}

/// Writes `value` to the setting `key` where the kernel has it; tells whether it has.
///
/// # Errors
/// Fails where the setting exists but cannot be written.
pub fn write_optional(key: &str, value: &str) -> Result<bool, SysctlError> {
    match write(key, value) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether the kernel has IPv6 at all.
#[must_use]
pub fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6/conf").exists()
}

/// Keys may hold an interface name from a configuration: they must stay below the directory.
fn path(key: &str) -> io::Result<PathBuf> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !key.split('/').all(plain) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a setting"));
    }
    Ok(Path::new("/proc/sys/net").join(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_leave_the_directory() {
        for key in ["../kernel/hostname", "ipv4/../../vm/swappiness", "/ipv4/ip_forward", "", "."] {
            assert_eq!(read(key).expect_err(key).kind(), io::ErrorKind::InvalidInput, "{key}");
        }
    }

    #[test]
    fn a_missing_setting_is_told_from_a_failure() {
        assert!(read_optional("ipv4/no_such_setting").expect("no failure").is_none());
        let error = read("ipv4/no_such_setting").expect_err("missing");
        assert!(error.to_string().starts_with("reading sysctl net/ipv4/no_such_setting: "));
    }

    #[test]
    fn a_dotted_interface_name_is_one_part() {
        let path = path("ipv4/conf/lan0.5/forwarding").expect("valid");
        assert_eq!(path, Path::new("/proc/sys/net/ipv4/conf/lan0.5/forwarding"));
    }
}
