//! Passphrases, which only their owner may read.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use evergate_carp::Passphrase;

/// A passphrase has at most 19 bytes; more is read only to be refused with its length.
const FILE_MAX: u64 = 4096;

/// Reads a passphrase; one line break at its end does not belong to it.
///
/// # Errors
/// When the file cannot be read, others than its owner may read it, or it is none.
pub(super) fn read(path: &Path) -> anyhow::Result<Passphrase> {
    let shown = || format!("passphrase file {}", path.display());
    let file = std::fs::File::open(path).with_context(shown)?;
    let mode = file.metadata().with_context(shown)?.permissions().mode();
    anyhow::ensure!(
        mode & 0o077 == 0,
        "{} can be read by others (mode {:04o})\n  mend: chmod 0600 {}",
        shown(),
        mode & 0o7777,
        path.display()
    );
    let mut text = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut text).with_context(shown)?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    anyhow::ensure!(!text.is_empty(), "{} is empty", shown());
    Passphrase::new(text).with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_its_owner_alone_reads_is_taken() {
        let path = std::env::temp_dir().join(format!("evergate-{}-pass", std::process::id()));
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&path).map_err(|error| format!("{error:#}"))
        };
        let secret = Passphrase::new(b"secret").unwrap();
        assert_eq!(write("secret\n", 0o600), Ok(secret.clone()));
        assert_eq!(write("secret\r\n", 0o400), Ok(secret));
        for mode in [0o640, 0o604, 0o660] {
            let said = write("secret", mode).unwrap_err();
            assert!(
                said.contains("can be read by others") && said.contains("chmod 0600"),
                "{said}"
            );
        }
        assert!(write("\n", 0o600).unwrap_err().contains("is empty"));
        assert!(write("12345678901234567890", 0o600).unwrap_err().contains("at most 19 bytes"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).is_err());
    }
}
