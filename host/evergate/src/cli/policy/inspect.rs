//! `evergate policy inspect`: what a module is made of.

use std::path::Path;

use evergate_policy::Description;
use serde_json::json;

use super::module;
use crate::render::{self, Grid};

/// Describes a module; it is neither compiled nor run.
pub(super) fn run(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let bytes = module::read(path)?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("module");
    let told = module::compiler()?.describe(name, &bytes)?;
    if as_json {
        println!("{}", value(&told));
    } else {
        print!("{}", text(&told));
    }
    Ok(())
}

fn value(told: &Description) -> serde_json::Value {
    let list = |items: &[(String, String)]| {
        items.iter().map(|(name, ty)| json!({"name": name, "type": ty})).collect::<Vec<_>>()
    };
    let custom = told.custom.iter().map(|(name, size)| json!({"name": name, "bytes": size}));
    json!({
        "hash": told.hash,
        "bytes": told.size,
        "abi_version": told.abi_version,
        "name": told.name,
        "functions": told.functions,
        "memory": told.memory,
        "memory_max": told.memory_max,
        "imports": list(&told.imports),
        "exports": list(&told.exports),
        "custom_sections": custom.collect::<Vec<_>>(),
    })
}

fn text(told: &Description) -> String {
    let absent = || "-".to_owned();
    let mut facts = Grid::new(&["fact", "value"]);
    for (name, value) in [
        ("hash", told.hash.clone()),
        ("size", render::bytes(told.size as u64)),
        ("abi version", told.abi_version.map_or_else(absent, |n| n.to_string())),
        ("name", told.name.clone().unwrap_or_else(absent)),
        ("functions", told.functions.to_string()),
        ("memory", told.memory.map_or_else(absent, render::bytes)),
        ("memory at most", told.memory_max.map_or_else(absent, render::bytes)),
    ] {
        facts.row(vec![name.to_owned(), value]);
    }
    let mut all = facts.render();
    for (heading, items) in [("import", &told.imports), ("export", &told.exports)] {
        if items.is_empty() {
            continue;
        }
        let mut grid = Grid::new(&[heading, "type"]);
        for (name, ty) in items {
            grid.row(vec![name.clone(), ty.clone()]);
        }
        all.push('\n');
        all.push_str(&grid.render());
    }
    if !told.custom.is_empty() {
        let mut grid = Grid::new(&["custom section", ">bytes"]);
        for (name, size) in &told.custom {
            grid.row(vec![name.clone(), size.to_string()]);
        }
        all.push('\n');
        all.push_str(&grid.render());
    }
    all
}
