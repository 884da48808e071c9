//! Runs tests with one change awake.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All tests passed: nobody has seen the change.
    Passed,
    /// A test failed.
    Failed,
    /// Longer than the limit.
    TooLong,
}

/// What a test program may take, in octets of memory.
const MEMORY_LIMIT_KIB: u32 = 6 << 20;

/// All tests in src that are quick: those of the core, without the simulations of congestion control.
const CORE: [&str; 10] = [
    "tcp::",
    "ip::",
    "wire::",
    "buffer::",
    "udp::",
    "stack::",
    "--skip",
    "tcp::congestion",
    "--skip",
    "stack::timer_wheel",
];

/// A run of the tests of one program that have one of these names in theirs; with an empty name, of all.
pub fn run(tree: &Path, program: &Path, names: &BTreeSet<String>, environment: (&str, &str), limit: Duration) -> End {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {MEMORY_LIMIT_KIB}; ulimit -c 0; exec \"$0\" \"$@\"")).arg(program);
    if !names.contains("") {
        command.args(names);
    } else if program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("glasstcp-")) {
        command.args(CORE);
    }
    command.args(["-q", "--test-threads=1"]).current_dir(tree);
    command.env("CARGO_MANIFEST_DIR", tree).env(environment.0, environment.1).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().expect("sh");
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return if status.success() { End::Passed } else { End::Failed };
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return End::TooLong;
        }
        std::thread::sleep(Duration::from_millis(if started.elapsed().as_millis() < 200 { 2 } else { 20 }));
    }
}

/// Which changes the tests of a program come to; nothing where they fail without any change.
pub fn reached(
    tree: &Path,
    program: &Path,
    names: &BTreeSet<String>,
    note: &Path,
    limit: Duration,
) -> Option<BTreeSet<u32>> {
    let _ = fs::remove_file(note);
    let note_text = note.to_string_lossy();
    let end = run(tree, program, names, ("GLASSTCP_MUTANT_REACHED", &note_text), limit);
    let numbers = fs::read_to_string(note).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect();
    (end == End::Passed).then_some(numbers)
}
