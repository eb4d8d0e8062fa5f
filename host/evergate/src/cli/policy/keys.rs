//! `evergate policy keygen` and `sign`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use crate::security::{self, read_hex, signature_path, to_hex};

/// Writes a new secret key, which only its owner may read, and prints the public one.
pub(super) fn generate(file: &Path, as_json: bool) -> anyhow::Result<()> {
    let (secret, public) = security::generate()?;
    let place = || file.display().to_string();
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(place)?;
    writeln!(out, "{}", to_hex(&secret)).with_context(place)?;
    if as_json {
        println!("{}", json!({ "key": to_hex(&public), "file": file }));
    } else {
        println!("The secret key is in {}. For the configuration:\n", place());
        println!("[security]\npolicy_keys = [\"{}\"]", to_hex(&public));
    }
    Ok(())
}

/// Signs a module: writes `MODULE.sig` beside it.
pub(super) fn sign(key: &Path, module: &Path, as_json: bool) -> anyhow::Result<()> {
    let secret: [u8; 32] = read_hex(key)?;
    let bytes = std::fs::read(module).with_context(|| module.display().to_string())?;
    let place = signature_path(module);
    let signature = to_hex(&security::sign(&secret, &bytes)?);
    std::fs::write(&place, format!("{signature}\n"))
        .with_context(|| place.display().to_string())?;
    let public = to_hex(&security::public(&secret)?);
    if as_json {
        println!("{}", json!({ "signature": place, "key": public }));
    } else {
        println!("{}: signed by {public}", place.display());
    }
    Ok(())
}
