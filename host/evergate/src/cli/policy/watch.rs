//! `evergate policy watch`: a module loaded anew whenever its file changes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::module::{self, ModuleArgs};
use crate::control::{self, Request};

/// Time between two looks at the file.
const LOOK: Duration = Duration::from_millis(200);

/// Watches until the program is ended: with a name the running gateway's policy is replaced, else
/// the module is only compiled, started and self-tested.
pub(super) fn run(control: &Path, args: &ModuleArgs, name: Option<&str>) -> anyhow::Result<()> {
    let path = std::path::absolute(args.path())?;
    let mut known = None;
    println!("watching {}; end with Ctrl-C", path.display());
    loop {
        let seen = stamp(&path);
        if seen != known {
            // A compiler may still write: what is half there is looked at again.
            std::thread::sleep(LOOK);
            if stamp(&path) != seen {
                continue;
            }
            known = seen;
            println!("{}", once(control, args, &path, name));
        }
        std::thread::sleep(LOOK);
    }
}

/// What changes with a file's contents.
pub(crate) fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

fn once(control: &Path, args: &ModuleArgs, path: &Path, name: Option<&str>) -> String {
    let result = match name {
        Some(name) => {
            let file = Some(path.to_owned());
            let request = Request::PolicyLoad { name: name.to_owned(), file };
            control::ask::<()>(control, &request, |()| ())
                .map(|hash| format!("policy {name} is now {}", hash.as_str().unwrap_or_default()))
                .map_err(anyhow::Error::from)
        }
        None => tried(args).map(|hash| format!("good: {hash}")),
    };
    result.unwrap_or_else(|error| format!("not taken: {error:#}"))
}

fn tried(args: &ModuleArgs) -> anyhow::Result<String> {
    let environment = module::environment(&Default::default())?;
    let bytes = args.bytes()?;
    let policy = module::load(args, &module::compiler()?, &bytes, &args.settings()?, &environment)?;
    Ok(policy.hash_hex())
}
