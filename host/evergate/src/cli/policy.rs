//! `evergate policy`: the chain of a running gateway, and modules on their own.

mod bench;
mod cases;
mod inspect;
mod keys;
mod module;
mod new;
mod test;
mod watch;

use std::path::Path;
use std::process::ExitCode;

pub(in crate::cli) use module::ModuleArgs;
pub(in crate::cli) use new::languages;
pub(crate) use watch::stamp;

use super::args::PolicyCommand;
use super::show;
use crate::control::{self, PolicyRow, Request};

/// Carries a command out.
pub(super) fn run(control: &Path, command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::List { json } => show::policies(control, json)?,
        PolicyCommand::Load { name, file, json } => {
            let file = file.map(|f| std::path::absolute(&f)).transpose()?;
            replace(control, name, file, json)?;
        }
        PolicyCommand::Reload { name, json } => reload(control, name, json)?,
        PolicyCommand::Unload { name, json } => {
            let request = Request::PolicyUnload { name: name.clone() };
            control::ask::<()>(control, &request, |()| ())?;
            said(json, &name, None, "decides nothing until it is loaded again");
        }
        PolicyCommand::New { lang, name, json } => new::run(&lang, &name, json)?,
        PolicyCommand::Inspect { module, json } => inspect::run(&module, json)?,
        PolicyCommand::Test { module, file, json } => return test::run(&module, &file, json),
        PolicyCommand::Bench { module, file, calls, json } => {
            bench::run(&module, file.as_deref(), calls, json)?;
        }
        PolicyCommand::Watch { module, name } => watch::run(control, &module, name.as_deref())?,
        PolicyCommand::Keygen { file, json } => keys::generate(&file, json)?,
        PolicyCommand::Sign { key, module, json } => keys::sign(&key, &module, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn replace(
    control: &Path,
    name: String,
    file: Option<std::path::PathBuf>,
    json: bool,
) -> anyhow::Result<()> {
    let request = Request::PolicyLoad { name: name.clone(), file };
    let hash = control::ask::<()>(control, &request, |()| ())?;
    let hash = hash.as_str().unwrap_or_default();
    said(json, &name, Some(hash), &format!("is now {hash}"));
    Ok(())
}

/// One policy, or all, from where the configuration says.
fn reload(control: &Path, name: Option<String>, json: bool) -> anyhow::Result<()> {
    let names = match name {
        Some(name) => vec![name],
        None => {
            let rows: Vec<PolicyRow> = control::ask_all(control, &Request::ShowPolicies)?;
            rows.into_iter().map(|row| row.name).collect()
        }
    };
    names.into_iter().try_for_each(|name| replace(control, name, None, json))
}

fn said(json: bool, name: &str, hash: Option<&str>, words: &str) {
    if json {
        println!("{}", serde_json::json!({ "policy": name, "hash": hash }));
    } else {
        println!("policy {name} {words}");
    }
}
