//! Forwarding, compared in one run.

fn main() -> anyhow::Result<std::process::ExitCode> {
    if let Some(code) = evergate_e2e::enter()? {
        return Ok(code);
    }
    Ok(std::process::ExitCode::SUCCESS)
}
