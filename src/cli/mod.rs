//! The `glasstcp` program: one file per command. Messages go to standard error, data to standard output.

mod args;
mod bench;
pub mod chargen;
mod chart;
mod json;
mod log;
mod nc;
mod nc_udp;
mod open;
mod ping;
mod relay;
mod serve;
mod signals;
mod sim;
mod states;
mod trace;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Runs the program with the arguments of the process. Wrong usage ends the process with exit code 2.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Nc(args) => nc::run(&args),
        Command::Ping(args) => ping::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Sim(args) => sim::run(*args),
        Command::Relay(args) => relay::run(&args),
        Command::Trace(args) => trace::run(*args),
        Command::States => states::run().map_err(Failure::from),
    };
    result.unwrap_or_else(|failure| {
        say(&format!("glasstcp: {failure}"));
        ExitCode::from(1)
    })
}

/// Why a command failed, for people.
type Failure = Box<dyn Error>;

/// A message on standard error. That nobody reads it is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text on standard output. A reader that has seen enough is no error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
