//! Forwarding, compared in one run and one topology: the kernel's, nftables', a bare tun relay's
//! and Evergate's.
//!
//! Every measurement takes its subjects one right after the other, again and again, so that
//! whatever else the machine does meets all of them; ratios are taken within such a round.

mod args;
mod calm;
mod connections;
mod flood;
mod iperf;
mod machine;
mod measure;
mod picture;
mod relay;
mod report;
mod statistics;
mod subject;
mod workload;

use std::process::ExitCode;

use anyhow::Context;
use args::Args;
use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    if let Some(code) = evergate_e2e::enter()? {
        return Ok(code);
    }
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|role| role == relay::ROLE) {
        relay::run(&arguments[2..])?;
        return Ok(ExitCode::SUCCESS);
    }
    let args = Args::parse();
    let out = args.directory();
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let results = measure::all(&args)?;
    let json = report::json(&results);
    let text = serde_json::to_string_pretty(&json)?;
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        anyhow::Ok(path)
    };
    let json_file = write("forwarding.json", &text)?;
    let picture = write("forwarding.svg", &picture::draw(&results))?;
    if args.json {
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", report::table(&results));
    println!("\n{}\n{}", json_file.display(), picture.display());
    Ok(ExitCode::SUCCESS)
}
