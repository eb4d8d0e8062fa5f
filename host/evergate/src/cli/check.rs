//! `evergate check`: validates a configuration and says what it would do.

use std::path::Path;

use serde_json::json;

use crate::config::{Config, OnCrash};
use crate::daemon::{Policies, PreparedCarp};
use crate::render::Grid;

/// Loads everything that `run` would load, touches nothing, and explains.
pub(super) fn run(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    let policies = Policies::load(&config)?;
    PreparedCarp::load(&config)?;
    if as_json {
        println!("{}", as_value(&config, &policies));
    } else {
        print!("{}", explain(&config, &policies));
    }
    Ok(())
}

fn explain(config: &Config, policies: &Policies) -> String {
    let mut text = format!("{}: good\n\n", config.path.display());
    let mut interfaces = Grid::new(&["interface", "device", "queues"]);
    for interface in &config.interfaces {
        interfaces.row(vec![
            interface.name.clone(),
            interface.device.clone(),
            config.queues.to_string(),
        ]);
    }
    text.push_str(&interfaces.render());
    text.push('\n');
    let mut chain = Grid::new(&["policy", "hash", ">bytes", "source"]);
    for row in policies.rows() {
        let short = row.hash.get(..12).unwrap_or(&row.hash).to_owned();
        chain.row(vec![row.name, short, row.size.to_string(), row.source]);
    }
    text.push_str(&chain.render());
    text.push('\n');
    if !config.carp.is_empty() {
        text.push_str(&super::carp::configured(&config.carp));
        text.push('\n');
    }
    for row in policies.rows() {
        for setting in &row.unread_settings {
            text.push_str(&format!("Policy {} knows no setting `{setting}`.\n", row.name));
        }
    }
    for sentence in consequences(config) {
        text.push_str(&sentence);
        text.push('\n');
    }
    text
}

/// What an operator should know before saying `run`.
fn consequences(config: &Config) -> Vec<String> {
    let local = if config.filter_local {
        "Traffic to and from the gateway itself is filtered too."
    } else {
        "Traffic to and from the gateway itself is not filtered (filter_local = false)."
    };
    let crash = match config.on_crash {
        OnCrash::Closed => "If the daemon dies, nothing is forwarded until it runs again.",
        OnCrash::Open => {
            "If the daemon dies, EVERYTHING is forwarded unfiltered (on_crash = \"open\")."
        }
    };
    let end = match config.default {
        crate::config::DefaultVerdict::Block => "What no policy decides about is blocked.",
        crate::config::DefaultVerdict::Pass => {
            "What no policy decides about PASSES (default = \"pass\")."
        }
    };
    vec![
        format!("At most {} states.", config.states),
        end.to_owned(),
        local.to_owned(),
        crash.to_owned(),
    ]
}

fn as_value(config: &Config, policies: &Policies) -> serde_json::Value {
    json!({
        "ok": true,
        "file": config.path,
        "interfaces": config.interfaces.iter()
            .map(|i| json!({"name": i.name, "device": i.device, "queues": config.queues}))
            .collect::<Vec<_>>(),
        "policies": policies.rows(),
        "tables": config.tables.keys().collect::<Vec<_>>(),
        "carp": config.carp.iter()
            .map(|v| json!({
                "vhid": v.vhid.get(),
                "interface": v.interface,
                "group": v.group,
                "addresses": v.addresses,
            }))
            .collect::<Vec<_>>(),
        "states": config.states,
        "filter_local": config.filter_local,
        "on_crash": match config.on_crash { OnCrash::Closed => "closed", OnCrash::Open => "open" },
    })
}
