//! Lists the SDKs and templates that `evergate policy new` writes, to be embedded.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Language, path in the new project, and where in `guest-sdk` it comes from: a file, all files
/// below a directory, or those directly in it with a suffix.
const PARTS: [(&str, &str, &str); 21] = [
    ("rust", "", "rust/template"),
    ("rust", "evergate/guest/src", "rust/src"),
    ("rust", "evergate/abi/src", "abi/src"),
    ("rust", "ABI.md", "ABI.md"),
    ("c", "", "c/template"),
    ("c", "policy.h", "c/policy.h"),
    ("c", "evergate.h", "evergate.h"),
    ("c", "ABI.md", "ABI.md"),
    ("zig", "", "zig/template"),
    ("zig", "evergate.zig", "zig/evergate.zig"),
    ("zig", "ABI.md", "ABI.md"),
    ("assemblyscript", "", "assemblyscript/template"),
    ("assemblyscript", "evergate-policy/package.json", "assemblyscript/package.json"),
    ("assemblyscript", "evergate-policy/assembly", "assemblyscript/assembly"),
    ("assemblyscript", "ABI.md", "ABI.md"),
    ("go", "", "go/template"),
    ("go", "evergate", "go/*.go"),
    ("go", "ABI.md", "ABI.md"),
    ("wat", "", "wat/template"),
    ("wat", "ABI.md", "ABI.md"),
    ("wat", "examples", "wat/examples"),
];

fn main() -> std::io::Result<()> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let sdk = manifest.join("../../guest-sdk").canonicalize()?;
    let mut list = String::from("&[\n");
    for (language, to, from) in PARTS {
        let (from, suffix) = from.split_once("/*").unwrap_or((from, ""));
        let from = sdk.join(from);
        println!("cargo::rerun-if-changed={}", from.display());
        match suffix {
            "" => add(&mut list, language, to, &from)?,
            suffix => {
                for file in entries(&from)? {
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    if file.is_file() && name.ends_with(suffix) {
                        add(&mut list, language, &format!("{to}/{name}"), &file)?;
                    }
                }
            }
        }
    }
    list.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    std::fs::write(out.join("templates.rs"), list)
}

/// Adds a file, or all files below a directory.
fn add(list: &mut String, language: &str, to: &str, from: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        // Writing to a String does not fail.
        let _ = writeln!(list, "({language:?}, {to:?}, include_str!({from:?})),");
        return Ok(());
    }
    for entry in entries(from)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let to = if to.is_empty() { name.into_owned() } else { format!("{to}/{name}") };
        add(list, language, &to, &entry)?;
    }
    Ok(())
}

/// What is in a directory, sorted.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}
