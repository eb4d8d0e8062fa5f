//! The languages and where their modules are.

use std::path::{Path, PathBuf};

use evergate_policy::{Limits, Params};

/// The policies that every language has, and what they have to say.
pub(crate) const POLICIES: [(&str, &str); 5] = [
    ("port-list", include_str!("port-list.toml")),
    ("rate-limit", include_str!("rate-limit.toml")),
    ("blocklist", include_str!("blocklist.toml")),
    ("dns-labels", include_str!("dns-labels.toml")),
    ("time-of-day", include_str!("time-of-day.toml")),
];

/// One language, a directory of `guest-sdk`.
#[derive(Debug)]
pub(crate) struct Language {
    pub(crate) name: &'static str,
    modules: Modules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modules {
    /// A module per policy.
    Each,
    /// One module that holds all policies, which the setting `policy` chooses; compressed, since
    /// it brings a whole runtime.
    AllInOne,
    /// A module per policy in the text form, which is its own source.
    Text,
}

/// All languages.
pub(crate) const LANGUAGES: [Language; 6] = [
    Language { name: "rust", modules: Modules::Each },
    Language { name: "c", modules: Modules::Each },
    Language { name: "zig", modules: Modules::Each },
    Language { name: "assemblyscript", modules: Modules::Each },
    Language { name: "go", modules: Modules::AllInOne },
    Language { name: "wat", modules: Modules::Text },
];

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Language {
    /// Returns the committed module of a policy.
    pub(crate) fn module(&self, policy: &str) -> Vec<u8> {
        let directory = repository().join("guest-sdk").join(self.name).join("examples");
        let read = |file: PathBuf| {
            std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        match self.modules {
            Modules::Each => read(directory.join(format!("{policy}.wasm"))),
            Modules::Text => read(directory.join(format!("{policy}.wat"))),
            Modules::AllInOne => {
                zstd::decode_all(read(directory.join("five.wasm.zst")).as_slice()).unwrap()
            }
        }
    }

    /// Tells whether there is something to build.
    pub(crate) fn is_built(&self) -> bool {
        self.modules != Modules::Text
    }

    /// Returns what the policy may take.
    pub(crate) fn limits(&self) -> Limits {
        match self.modules {
            Modules::Each | Modules::Text => Limits::default(),
            // What Go's runtime takes, and what its compiler's code takes for the most work.
            Modules::AllInOne => Limits { memory: 8 << 20, fuel: 100_000, ..Limits::default() },
        }
    }

    /// Returns the policy's settings, with what chooses it in a module that holds several.
    pub(crate) fn settings(&self, policy: &str, settings: &Params) -> Params {
        let mut settings = settings.clone();
        if self.modules == Modules::AllInOne {
            settings.insert("policy", vec![policy.into()]).unwrap();
        }
        settings
    }
}
