//! `evergate policy new`: a directory in which a policy can be built at once.

use std::path::Path;

use anyhow::{Context, ensure};

/// Language, path in the new directory, text; see the build script.
const FILES: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Each language with how its policies are built.
const LANGUAGES: [(&str, &str); 6] = [
    ("rust", "cargo build --release --target wasm32-unknown-unknown"),
    ("c", "make"),
    ("assemblyscript", "npm install && npm run build"),
    ("zig", "zig build"),
    (
        "go",
        "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o my-policy.wasm",
    ),
    ("wat", ""),
];

/// The name that the templates have.
const NAME: &str = "my-policy";
const NAME_MAX: usize = 64;

/// The languages, as values of an option.
pub(in crate::cli) fn languages() -> impl clap::builder::TypedValueParser<Value = String> {
    clap::builder::PossibleValuesParser::new(LANGUAGES.map(|(language, _)| language))
}

/// Writes the directory.
pub(super) fn run(language: &str, name: &str, json: bool) -> anyhow::Result<()> {
    check_name(name)?;
    let directory = Path::new(name);
    ensure!(!directory.exists(), "{name} is there already");
    let mut written = 0;
    for (_, path, text) in FILES.iter().filter(|(known, _, _)| *known == language) {
        // Only what the templates name is renamed.
        let path = directory.join(renamed(path, name));
        let parent = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        std::fs::write(&path, renamed(text, name)).with_context(|| path.display().to_string())?;
        written += 1;
    }
    let build = LANGUAGES.iter().find(|(known, _)| *known == language);
    let build = renamed(build.map_or("", |(_, build)| build), name);
    if json {
        println!("{}", serde_json::json!({ "policy": name, "files": written, "build": build }));
    } else if build.is_empty() {
        println!("{name}: {written} files; the gateway takes {name}/{name}.wat as it is");
    } else {
        println!("{name}: {written} files; build with\n  cd {name} && {build}");
    }
    Ok(())
}

/// A name that all of the languages' tools take.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_fine = name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(
        is_fine,
        "`{name}` cannot name a policy here: lower-case letters, digits and single hyphens, a \
         letter first, at most {NAME_MAX}"
    );
    Ok(())
}

fn renamed(text: &str, name: &str) -> String {
    text.replace(NAME, name).replace(&NAME.replace('-', "_"), &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_template_with_its_tests() {
        for (language, build) in LANGUAGES {
            let text = |path: &str| {
                let file = FILES.iter().find(|(known, at, _)| *known == language && *at == path);
                file.unwrap_or_else(|| panic!("{language} has no {path}")).2
            };
            assert!(text("README.md").contains(build), "{language}'s README lacks `{build}`");
            assert!(text("cases.toml").contains("[[suite]]"));
            assert!(text("ABI.md").contains("evergate_abi_v1"));
        }
        let known = |language: &str| LANGUAGES.iter().any(|(known, _)| *known == language);
        assert!(FILES.iter().all(|(language, _, _)| known(language)));
    }

    #[test]
    fn names_are_those_that_every_tool_takes() {
        for good in ["a", "my-policy", "ssh2", "a-1-b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "1a", "A", "a_b", "a/b", "..", "ä", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_name_is_everywhere() {
        assert_eq!(renamed("my-policy my_policy.wasm", "no-ads"), "no-ads no_ads.wasm");
    }
}
