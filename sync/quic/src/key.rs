//! A node's own key: made, kept in a file only its owner reads, and known by its fingerprint.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use evergate_sync_transport::Fingerprint;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Longest key file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024;

/// Why there is no key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read or written; an existing one is never overwritten.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{}: others can read it (mode {mode:03o}); chmod 600", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is no Ed25519 private key (PKCS #8 in PEM).
    #[error("no Ed25519 private key in PEM")]
    Malformed,
    /// The system's random number generator does not work.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// A node's private key.
#[derive(Clone)]
pub struct NodeKey {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    /// What further secrets are derived from.
    root: hmac::Key,
}

impl NodeKey {
    /// Makes a new Ed25519 key and writes it to a new file that only the owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn generate(path: &Path) -> Result<Self, KeyError> {
        let pem = new_pem()?;
        let key = Self::from_pem(&pem)?;
        let file = |source| KeyError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(path).map_err(file)?;
        out.write_all(pem.as_bytes()).and_then(|()| out.sync_all()).map_err(file)?;
        Ok(key)
    }

    /// Makes a key that is kept nowhere.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn ephemeral() -> Result<Self, KeyError> {
        Self::from_pem(&new_pem()?)
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    /// When it cannot be read, others can read it, or it holds no Ed25519 key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::from_pem(&text)
    }

    /// Reads a key from PEM, as written here or by `openssl genpkey -algorithm ed25519`.
    ///
    /// # Errors
    /// When there is no Ed25519 key in it.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let malformed = |_| KeyError::Malformed;
        let der =
            PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Malformed)?;
        let root = hmac::Key::new(hmac::HMAC_SHA256, der.secret_der());
        let PrivateKeyDer::Pkcs8(pkcs8) = der else { return Err(KeyError::Malformed) };
        let signing = rustls::crypto::ring::sign::any_eddsa_type(&pkcs8).map_err(malformed)?;
        let public = signing.public_key().ok_or(KeyError::Malformed)?.as_ref().to_vec();
        let fingerprint = fingerprint(&public);
        // With raw public keys (RFC 7250) the one "certificate" is the public key.
        let chain = vec![CertificateDer::from(public)];
        let certified = Arc::new(CertifiedKey::new(chain, signing));
        Ok(Self { certified, fingerprint, root })
    }

    /// What peers pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// A secret of this node that lasts as long as its key; one per label.
    pub(crate) fn derive(&self, label: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.root, label.as_bytes());
        let mut secret = [0; 32];
        secret.copy_from_slice(tag.as_ref());
        secret
    }
}

impl fmt::Debug for NodeKey {
    /// Shows the fingerprint, never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeKey").field(&self.fingerprint).finish()
    }
}

/// Makes a new key in a new file (mode 0600) and tells its fingerprint.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn keygen(path: &Path) -> Result<Fingerprint, KeyError> {
    Ok(NodeKey::generate(path)?.fingerprint())
}

/// The fingerprint of a public key, given as DER-encoded SubjectPublicKeyInfo.
pub(crate) fn fingerprint(public_key: &[u8]) -> Fingerprint {
    Fingerprint::from_bytes(Sha256::digest(public_key).into())
}

fn new_pem() -> Result<String, KeyError> {
    let document =
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::NoRandomness)?;
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let encoded = BASE64.encode(document.as_ref());
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // RFC 7468 §2: lines of 64 characters.
        let (line, behind) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = behind;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Made by `openssl genpkey -algorithm ed25519` (3.0).
    const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICCaFxmF8fkC7LvO+rSbFlwHo1AiB51MJlVhjJGGNHi3
-----END PRIVATE KEY-----
";
    /// `openssl pkey -pubout -outform DER | openssl dgst -sha256 -binary | base32 | tr A-Z a-z`,
    /// without the padding.
    const OPENSSL_FINGERPRINT: &str = "eg1:uss27vlpcuion32lggywvvjulbjlycorx7p6uket7a6h35c6hota";

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let file = format!("evergate-key-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(file);
            let _ = std::fs::remove_file(&path);
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_key_of_openssl_has_the_fingerprint_that_openssl_computes() {
        let key = NodeKey::from_pem(OPENSSL).expect("a key");
        assert_eq!(key.fingerprint().to_string(), OPENSSL_FINGERPRINT);
    }

    #[test]
    fn keygen_writes_a_file_for_the_owner_alone_and_never_over_another() {
        let scratch = Scratch::new("new");
        let fingerprint = keygen(&scratch.0).expect("made");
        let mode = std::fs::metadata(&scratch.0).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(NodeKey::load(&scratch.0).expect("loaded").fingerprint(), fingerprint);
        let before = std::fs::read(&scratch.0).expect("read");
        assert!(matches!(keygen(&scratch.0), Err(KeyError::File { .. })));
        assert_eq!(std::fs::read(&scratch.0).expect("read"), before);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let scratch = Scratch::new("exposed");
        keygen(&scratch.0).expect("made");
        std::fs::set_permissions(&scratch.0, PermissionsExt::from_mode(0o640)).expect("chmod");
        let refused = NodeKey::load(&scratch.0).expect_err("refused");
        assert!(matches!(refused, KeyError::Exposed { mode: 0o640, .. }), "{refused}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(NodeKey::from_pem(text), Err(KeyError::Malformed)), "{text:?}");
        }
    }

    #[test]
    fn the_key_does_not_show() {
        let key = NodeKey::from_pem(OPENSSL).expect("a key");
        assert_eq!(format!("{key:?}"), format!("NodeKey({OPENSSL_FINGERPRINT})"));
        assert_ne!(key.derive("a"), key.derive("b"));
    }
}
