//! The `glasstcp` program. What it does is in `glasstcp::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    glasstcp::cli::main()
}
