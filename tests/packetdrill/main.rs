//! Our own packetdrill scripts, played on the stack in virtual time.
//!
//! `linux/` is played with the habits of Linux, `freebsd/` with those of FreeBSD, `rfc/` by the letter of the RFCs, `glasstcp/` with
//! the defaults of this stack.
//! Each script names at its head the
//! requirements that it proves. packetdrill itself plays them unchanged (scripts/packetdrill.sh; docs/packetdrill.md).
//!
//! One script alone: `GLASSTCP_PKT=linux/close/half cargo test --features packetdrill --test packetdrill every_script`.

mod calls;
mod language;
mod lexer;
mod matching;
mod meta;
mod parser;
mod run;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The directories of scripts, and whose habits each is for.
const PERSONAS: [&str; 4] = ["linux", "rfc", "freebsd", "glasstcp"];

/// As many as there were when this was written, so that none gets lost.
const AT_LEAST: usize = 240;

fn directory() -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("tests/packetdrill")
}

/// All scripts below a directory, sorted.
fn scripts(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![below.to_path_buf()];
    while let Some(directory) = left.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pkt") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Plays one script; what is wrong, with its place.
fn play(path: &Path, persona: &str) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let shown = path.strip_prefix(directory().parent().unwrap().parent().unwrap()).unwrap_or(path).display();
    let script = parser::parse(&text).map_err(|error| format!("{shown}:{}: {}", error.line, error.what))?;
    run::run(&script, persona).map_err(|failure| {
        let line = text.lines().nth(failure.line - 1).unwrap_or("").trim();
        format!("{shown}:{}: {line}\n    {}", failure.line, failure.what.replace('\n', "\n    "))
    })
}

#[test]
fn every_script_holds() {
    let wanted = std::env::var("GLASSTCP_PKT").unwrap_or_default();
    let all: Vec<(PathBuf, &str)> = PERSONAS
        .iter()
        .flat_map(|persona| scripts(&directory().join(persona)).into_iter().map(move |path| (path, *persona)))
        .filter(|(path, _)| path.display().to_string().contains(&wanted))
        .collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((path, persona)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = play(path, persona) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    println!("{} of {} scripts hold", all.len() - failures.len(), all.len());
    assert!(failures.is_empty(), "{} of {} scripts fail\n\n{}\n", failures.len(), all.len(), failures.join("\n\n"));
    assert!(!wanted.is_empty() || all.len() >= AT_LEAST, "only {} scripts", all.len());
}

#[test]
fn every_script_names_what_it_proves() {
    let id = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('-');
    for path in PERSONAS.iter().flat_map(|persona| scripts(&directory().join(persona))) {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or("");
        let tag = first.strip_prefix("// ").and_then(|head| head.split([',', ':', ' ']).next()).unwrap_or("");
        // What a stack does in its own way proves no requirement.
        let habit = first.starts_with("// By habit: ");
        assert!(
            id(tag) || habit,
            "{}: the first line names a requirement, `// 9293-MUST-59: ...`, or a habit, `// By habit: ...`",
            path.display()
        );
    }
}
