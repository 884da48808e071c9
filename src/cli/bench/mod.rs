//! `glasstcp bench`: how fast is it? A client that measures, over this stack or the kernel's sockets, and a server over the
//! kernel's sockets to compare with. docs/performance.md says how the figures are to be read.

mod args;
mod client;
mod flow;
mod idle;
mod network;
mod report;
mod server;

use std::process::ExitCode;

pub(super) use args::{Bench, EXAMPLES};

use super::Failure;
use args::Side;

/// Runs the command.
pub(super) fn run(args: &Bench) -> Result<ExitCode, Failure> {
    match &args.side {
        Side::Client(args) => client::run(args),
        Side::Server(args) => server::run(args),
    }
}
