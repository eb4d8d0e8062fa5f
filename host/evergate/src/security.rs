//! Which modules may be run: those on a list of hashes, or signed by a known key.
//!
//! A signature is Ed25519 (RFC 8032) over the bytes of the file, 64 bytes in hexadecimal digits in
//! `MODULE.sig` beside it. Policies that come with Evergate are part of the program and need none.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The most hashes, and keys, of a configuration.
pub(crate) const SECURITY_MAX: usize = 1024;
/// The most that is read of a key or signature file.
const TEXT_MAX: u64 = 4096;

/// What a configuration demands of modules; nothing unless it lists hashes or keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// SHA-256 of modules that may run.
    pub hashes: Vec<[u8; 32]>,
    /// Public keys of those who may sign modules.
    pub keys: Vec<[u8; 32]>,
}

impl Security {
    /// Whether anything is demanded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.hashes.is_empty() || !self.keys.is_empty()
    }

    /// Checks a module that was read from a file.
    ///
    /// # Errors
    /// It is neither on the list nor signed by a known key; the message says which.
    pub(crate) fn check(&self, bytes: &[u8], file: &Path) -> anyhow::Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let hash: [u8; 32] = ring_sha256(bytes);
        if self.hashes.contains(&hash) {
            return Ok(());
        }
        let hex = to_hex(&hash);
        if self.keys.is_empty() {
            bail!("its hash {hex} is not in security.policy_hashes");
        }
        let place = signature_path(file);
        let signature: [u8; 64] = match read_hex(&place) {
            Ok(signature) => signature,
            Err(error) => {
                return Err(error.context(format!(
                    "its hash {hex} is not listed, so it has to be signed (`evergate policy sign`)"
                )));
            }
        };
        let signed = self
            .keys
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(bytes, &signature).is_ok());
        ensure!(signed, "{}: no key of security.policy_keys made this signature", place.display());
        Ok(())
    }
}

/// Where the signature of a module lies.
pub(crate) fn signature_path(module: &Path) -> PathBuf {
    let mut name = module.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// A new secret key, and its public one.
///
/// # Errors
/// The system gives no randomness.
pub(crate) fn generate() -> anyhow::Result<([u8; 32], [u8; 32])> {
    let mut secret = [0; 32];
    SystemRandom::new().fill(&mut secret).ok().context("the system gives no randomness")?;
    Ok((secret, public(&secret)?))
}

/// The public key of a secret one.
pub(crate) fn public(secret: &[u8; 32]) -> anyhow::Result<[u8; 32]> {
    let pair = Ed25519KeyPair::from_seed_unchecked(secret).ok().context("it is no key")?;
    Ok(pair.public_key().as_ref().try_into()?)
}

/// The signature of some bytes.
pub(crate) fn sign(secret: &[u8; 32], bytes: &[u8]) -> anyhow::Result<[u8; 64]> {
    let pair = Ed25519KeyPair::from_seed_unchecked(secret).ok().context("it is no key")?;
    Ok(pair.sign(bytes).as_ref().try_into()?)
}

fn ring_sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

/// Hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from exactly twice as many hexadecimal digits.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.trim();
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Bytes from a file of hexadecimal digits.
pub(crate) fn read_hex<const N: usize>(path: &Path) -> anyhow::Result<[u8; N]> {
    use std::io::Read;
    let place = || path.display().to_string();
    let mut text = String::new();
    std::fs::File::open(path)
        .with_context(place)?
        .take(TEXT_MAX)
        .read_to_string(&mut text)
        .with_context(place)?;
    from_hex(&text).with_context(|| format!("{}: not {} hexadecimal digits", place(), 2 * N))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("evergate-sec-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory.join(name)
    }

    #[test]
    fn a_module_needs_its_hash_or_a_signature_by_a_known_key() {
        let file = place("module.wasm");
        let (secret, key) = generate().unwrap();
        let said = |security: &Security, bytes: &[u8]| {
            security.check(bytes, &file).err().map(|e| format!("{e:#}"))
        };
        assert_eq!(said(&Security::default(), b"x"), None, "nothing is demanded");
        let listed = Security { hashes: vec![ring_sha256(b"x")], keys: vec![] };
        assert_eq!(said(&listed, b"x"), None);
        assert!(said(&listed, b"y").unwrap().contains("is not in security.policy_hashes"));
        let signed = Security { hashes: vec![], keys: vec![key] };
        assert!(said(&signed, b"x").unwrap().contains("module.wasm.sig"), "no signature");
        std::fs::write(signature_path(&file), to_hex(&sign(&secret, b"x").unwrap())).unwrap();
        assert_eq!(said(&signed, b"x"), None);
        assert!(said(&signed, b"y").unwrap().contains("made this signature"), "another module");
        let stranger = Security { hashes: vec![], keys: vec![generate().unwrap().1] };
        assert!(said(&stranger, b"x").unwrap().contains("made this signature"));
        std::fs::write(signature_path(&file), "abc").unwrap();
        assert!(said(&signed, b"x").unwrap().contains("not 128 hexadecimal digits"));
    }

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn keys_and_signatures_are_those_of_the_rfc() {
        let secret =
            from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(to_hex(&public(&secret).unwrap()), key);
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(to_hex(&sign(&secret, &[0x72]).unwrap()), signature);
    }

    #[test]
    fn digits_are_digits() {
        assert_eq!(from_hex::<2>(" 0aFF\n"), Some([10, 255]));
        for bad in ["0aF", "0aFF0", "+aFF", "zzzz", ""] {
            assert_eq!(from_hex::<2>(bad), None, "{bad}");
        }
    }
}
