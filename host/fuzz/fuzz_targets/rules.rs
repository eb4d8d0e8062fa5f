//! Any text as rules: parsed, checked, laid out, without a panic or a hang.
#![no_main]

use evergate_rules::{Interface, NoFiles, Options, compile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What is not UTF-8 never comes to the compiler; the rest of the text still may.
    let text = String::from_utf8_lossy(bytes);
    let interfaces = ["lan", "wan"].map(|name| Interface { name: name.into(), groups: vec![] });
    let options = Options { interfaces: Some(interfaces.into()), ..Options::default() };
    match compile("rules", &text, &options, &NoFiles) {
        Ok(rules) => {
            assert!(rules.fuel <= options.fuel && rules.memory <= options.memory);
            assert!(rules.wasm.len() < rules.memory);
        }
        Err(diagnostics) => assert!(!diagnostics.is_empty()),
    }
});
