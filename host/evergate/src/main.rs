//! The `evergate` command.

fn main() -> std::process::ExitCode {
    evergate::main(std::env::args_os().collect())
}
