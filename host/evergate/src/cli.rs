//! The command line.
//!
//! Exit codes: 0 done; 1 it could not be done, the message says why; 2 the command line itself
//! is wrong.

mod args;
mod carp;
mod check;
mod policy;

pub(crate) mod show;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::control::{self, Request};
use crate::{daemon, demo, rules};
use args::{Args, Command, KillWhat, RulesCommand, TableCommand};
pub(crate) use policy::stamp;

/// Runs the command line given by `args`, the program's name first.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // clap's own texts: help and version go to stdout, mistakes to stderr.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evergate: {}", sentence(&error));
            if is_out_of_descriptors(&error) {
                eprintln!(
                    "  mend: raise the limit of file descriptors (ulimit -n, LimitNOFILE= under \
                     systemd, or fs.file-max)"
                );
            }
            ExitCode::FAILURE
        }
    }
}

/// What went wrong and why; a cause that its consequence has named already is not told twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether the system said so, wherever that was: any part of a start may be the one too many.
fn is_out_of_descriptors(error: &anyhow::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
        .any(|code| matches!(code, ENFILE | EMFILE))
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let control = args.control;
    match args.command {
        Command::Run { config } => daemon::run(&config)?,
        Command::Check { config, json } => check::run(&config, json)?,
        Command::Compile { file, config, output } => {
            let output = output.unwrap_or_else(|| file.with_extension("wasm"));
            rules::command(&file, config.as_deref(), Some(output))?;
        }
        Command::Rules { command: RulesCommand::Check { file, config } } => {
            rules::command(&file, config.as_deref(), None)?;
        }
        Command::Demo { json } => return demo::run(json),
        Command::Show { what } => show::run(&control, what)?,
        Command::Kill { what: KillWhat::States { filter, all } } => {
            let filter = filter.into_filter()?;
            anyhow::ensure!(
                all || !filter.is_empty(),
                "this would kill every state; say --all if that is meant"
            );
            let killed = control::ask::<()>(&control, &Request::KillStates { filter }, |()| ())?;
            println!("killed {killed} states");
        }
        Command::Failover { undo } => return carp::failover(&control, undo),
        Command::Demote { amount } => carp::demote(&control, amount)?,
        Command::Policy { command } => return policy::run(&control, command),
        Command::Table { command } => table(&control, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(control: &std::path::Path, command: TableCommand) -> anyhow::Result<()> {
    match command {
        TableCommand::Add { table, entries } => {
            let request = Request::TableAdd { table, entries };
            let added = control::ask::<()>(control, &request, |()| ())?;
            println!("added {added} entries");
        }
        TableCommand::Delete { table, entries } => {
            let request = Request::TableDelete { table, entries };
            let deleted = control::ask::<()>(control, &request, |()| ())?;
            println!("deleted {deleted} entries");
        }
        TableCommand::Show { table, json } => show::table_entries(control, table, json)?,
    }
    Ok(())
}
