//! `glasstcp states`: the state machine as it is in the code, for people and for `docs/state-machine.md`.

use std::io;
use std::process::ExitCode;

use super::print;
use crate::tcp::state;

pub(super) fn run() -> io::Result<ExitCode> {
    let text = format!("```mermaid\n{}```\n\n{}", state::diagram(), state::markdown_table());
    print(&text).map(|()| ExitCode::SUCCESS)
}
