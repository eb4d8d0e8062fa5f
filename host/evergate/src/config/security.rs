//! The table `[security]`.

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::raw::Source;
use crate::security::{SECURITY_MAX, Security, from_hex};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSecurity {
    policy_hashes: Vec<Spanned<String>>,
    policy_keys: Vec<Spanned<String>>,
}

impl RawSecurity {
    pub(super) fn check(self, source: &Source<'_>) -> Result<Security, ConfigError> {
        Ok(Security {
            hashes: list(source, self.policy_hashes, "a hash (SHA-256)")?,
            keys: list(source, self.policy_keys, "a key (Ed25519)")?,
        })
    }
}

fn list(
    source: &Source<'_>,
    texts: Vec<Spanned<String>>,
    what: &str,
) -> Result<Vec<[u8; 32]>, ConfigError> {
    let mut all = Vec::with_capacity(texts.len().min(SECURITY_MAX));
    for text in texts {
        if all.len() == SECURITY_MAX {
            let message = format!("more than {SECURITY_MAX} entries");
            return Err(source.error(&text, message, "list fewer"));
        }
        let Some(bytes) = from_hex(text.get_ref()) else {
            let message = format!("{:?} is not {what}", text.get_ref());
            return Err(source.error(&text, message, "64 hexadecimal digits"));
        };
        all.push(bytes);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn parse(security: &str) -> Result<Config, String> {
        let text = format!(
            "[[interface]]\nname = \"lan\"\ndevice = \"eth1\"\n[[policy]]\nname = \"home\"\n\
             builtin = \"home\"\nwatch = true\n[security]\n{security}\n"
        );
        Config::parse(Path::new("gateway.toml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn hashes_and_keys_are_64_digits() {
        let digits = "ab".repeat(32);
        let config = parse(&format!("policy_hashes = [{digits:?}]\npolicy_keys = []")).unwrap();
        assert_eq!((config.security.hashes, config.security.keys), (vec![[0xab; 32]], vec![]));
        assert!(config.policies[0].watch);
        for (line, words) in [
            ("policy_keys = [\"abc\"]", "\"abc\" is not a key (Ed25519)"),
            ("policy_hashes = [\"zz\"]", "64 hexadecimal digits"),
            ("policy_key = []", "policy_keys"),
        ] {
            let said = parse(line).unwrap_err();
            assert!(said.contains(words) && said.contains("gateway.toml:9"), "{said}");
        }
    }
}
