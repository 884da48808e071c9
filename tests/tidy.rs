//! The rules of the house that a program can check. A failure names file and line, and the rule that it breaks.
//!
//! * Small rooms: files under 600 lines (printed above 500), functions under 77; tests may be longer.
//! * The core (wire, ip, tcp, udp, buffer, stack) reads no clock, starts no thread, does no input or output, iterates no
//!   map with a random hasher, and uses no function of the platform's mathematics.
//! * Packets cause no panic: no `unwrap`, `todo!` or `panic!` below the stack; `expect` only with an `// invariant:` comment.
//! * Arrows run downwards only: a module uses only what lies below it.
//! * Unsafe code lies in `device` and `ffi`, each block with its `SAFETY:` line.
//! * Each file begins by saying what it is (`//!`); no file names a place of one machine.

#[path = "support/source_text.rs"]
mod source_text;

use source_text::{Line, Source, files, shown, sources};
use std::fs;

const FILE_LINES: usize = 600;
const FILE_LINES_SMALL: usize = 500;
const TEST_FILE_LINES: usize = 1000;
const FUNCTION_LINES: usize = 77;
const TEST_FUNCTION_LINES: usize = 120;

const CORE: [&str; 6] = ["wire", "ip", "tcp", "udp", "buffer", "stack"];
/// Where bytes of strangers are handled directly.
const PANIC_FREE: [&str; 5] = ["wire", "ip", "tcp", "udp", "buffer"];
const MAY_BE_UNSAFE: [&str; 2] = ["device", "ffi"];

/// What each module must not use: everything above it and beside it.
const FORBIDDEN_ARROWS: [(&str, &[&str]); 15] = [
    (
        "wire",
        &["ip", "tcp", "udp", "buffer", "stack", "device", "trace", "sim", "driver", "net", "tokio", "ffi", "cli"],
    ),
    (
        "buffer",
        &["wire", "ip", "tcp", "udp", "stack", "device", "trace", "sim", "driver", "net", "tokio", "ffi", "cli"],
    ),
    ("ip", &["tcp", "udp", "buffer", "stack", "trace", "sim", "driver", "net", "tokio", "ffi", "cli"]),
    ("tcp", &["udp", "stack", "trace", "sim", "driver", "net", "tokio", "ffi", "cli"]),
    ("udp", &["tcp", "stack", "trace", "sim", "driver", "net", "tokio", "ffi", "cli"]),
    ("stack", &["sim", "driver", "net", "tokio", "ffi", "cli"]),
    ("device", &["ip", "tcp", "udp", "buffer", "stack", "sim", "driver", "net", "tokio", "ffi", "cli"]),
    ("driver", &["net", "tokio", "ffi", "cli"]),
    ("net", &["tokio", "ffi", "cli"]),
    ("tokio", &["ffi", "cli"]),
    ("ffi", &["cli"]),
    ("sim", &["tokio", "ffi", "cli"]),
    ("trace", &["driver", "net", "tokio", "ffi", "cli"]),
    ("time", &["wire", "ip", "tcp", "udp", "buffer", "stack", "device", "driver", "net", "tokio", "ffi", "cli"]),
    ("counters", &["buffer", "stack", "device", "driver", "net", "tokio", "ffi", "cli"]),
];

/// Below `device` the core knows its packet metadata and nothing that does input or output.
const DEVICE_WITH_IO: [&str; 6] = ["tun", "fd", "offload", "link", "impair", "capture"];

/// The module of a file: `tcp` for src/tcp/input.rs and for src/tcp.rs.
fn module(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or("");
    inside.split('/').next().unwrap_or("").trim_end_matches(".rs")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in the code as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word))
}

fn has_word(code: &str, word: &str) -> bool {
    words(code, word).next().is_some()
}

/// A comment on the line or just above the statement that the line belongs to.
fn comment_near(lines: &[Line], at: usize, wanted: &str) -> bool {
    let says = |line: &Line| line.comment.as_deref().is_some_and(|comment| comment.contains(wanted));
    if says(&lines[at]) {
        return true;
    }
    let mut code_lines = 0;
    for line in lines[..at].iter().rev() {
        if says(line) {
            return true;
        }
        let code = line.code.trim();
        if code.is_empty() && line.comment.is_some() {
            continue;
        }
        // The end of the statement before.
        code_lines += 1;
        if code.is_empty() || code_lines > 6 || code.ends_with([';', '}']) {
            return false;
        }
    }
    false
}

/// A function: the line it begins on, its name, and the lines it takes.
fn functions(lines: &[Line]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        for at in words(&line.code, "fn") {
            let name: String = line.code[at + 2..].trim_start().chars().take_while(|c| is_word(*c)).collect();
            if name.is_empty() {
                continue; // the type of a function
            }
            if let Some(end) = end_of_body(lines, start, at) {
                found.push((start, name, end + 1 - start));
            }
        }
    }
    found
}

/// The line on which the braces that open after a place close again; nothing where a semicolon comes first.
fn end_of_body(lines: &[Line], start: usize, column: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (number, line) in lines.iter().enumerate().skip(start) {
        let code = if number == start { &line.code[column..] } else { line.code.as_str() };
        for c in code.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if braces == 0 && brackets == 0 => return None,
                '{' => braces += 1,
                '}' => {
                    braces -= 1;
                    if braces == 0 && brackets == 0 {
                        return Some(number);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

fn check_sizes(source: &Source, problems: &mut Vec<String>) {
    let all_test = source.lines.iter().all(|line| line.test);
    let limit = if all_test { TEST_FILE_LINES } else { FILE_LINES };
    let count = source.lines.len() - 1;
    if count >= limit {
        problems.push(format!("{}: {count} lines, the limit is {limit}: make two rooms of it", source.path));
    } else if !all_test && count > FILE_LINES_SMALL {
        println!("{}: {count} lines, getting large", source.path);
    }
    for (start, name, length) in functions(&source.lines) {
        let limit = if source.lines[start].test { TEST_FUNCTION_LINES } else { FUNCTION_LINES };
        if length >= limit {
            let place = format!("{}:{}", source.path, start + 1);
            problems.push(format!("{place}: fn {name} has {length} lines, the limit is {limit}"));
        }
    }
}

fn check_unsafe(source: &Source, problems: &mut Vec<String>) {
    for (number, line) in source.lines.iter().enumerate() {
        for at in words(&line.code, "unsafe") {
            let place = format!("{}:{}", source.path, number + 1);
            if !MAY_BE_UNSAFE.contains(&module(&source.path)) {
                problems.push(format!("{place}: unsafe code lies in src/device and src/ffi only"));
            }
            let next = line.code[at + "unsafe".len()..].trim_start();
            let needs_reason = next.starts_with('{') || next.starts_with("impl");
            if needs_reason && !comment_near(&source.lines, number, "SAFETY:") {
                problems.push(format!("{place}: unsafe without a `SAFETY:` line"));
            }
        }
    }
}

/// What the core must not do, and why, for one line of its code.
fn breaks_sans_io(code: &str) -> Option<&'static str> {
    let paths = paths_from("std", code);
    let uses = |wanted: &[&str]| {
        paths.iter().any(|path| wanted.iter().any(|wanted| (path.clone() + "::").starts_with(wanted)))
    };
    let any = |names: &[&str]| names.iter().any(|name| has_word(code, name));
    let calls = |calls: &[&str]| calls.iter().any(|call| code.contains(call));
    if uses(&["time::Instant::", "time::SystemTime::", "time::*"]) || any(&["SystemTime", "UNIX_EPOCH"]) {
        return Some("reads a clock: the time comes with the call");
    }
    if uses(&["thread::"]) || calls(&["thread::spawn", "thread::sleep"]) {
        return Some("touches threads: the driver does that");
    }
    if uses(&["net::Tcp", "net::Udp", "net::*", "os::unix::net::"]) {
        return Some("opens a socket of the operating system");
    }
    if uses(&["fs::", "env::", "process::", "os::"]) || any(&["libc"]) {
        return Some("asks the operating system");
    }
    let io =
        ["io::Read::", "io::Write::", "io::BufRead::", "io::stdin::", "io::stdout::", "io::stderr::", "io::prelude::"];
    if uses(&io) || calls(&["print!(", "println!("]) {
        return Some("does input or output");
    }
    if any(&["RandomState", "DefaultHasher", "StdRng", "ThreadRng"]) || calls(&["rand::rng(", "rand::random"]) {
        return Some("draws randomness that no seed decides");
    }
    if random_map(code) {
        return Some("uses a map with the default hasher: its order differs from run to run");
    }
    if calls(&[".cbrt(", ".powf(", ".powi(", ".exp(", ".exp2(", ".ln(", ".log2(", ".log10(", ".sin(", ".cos("]) {
        return Some("uses a floating-point function, which differs between platforms");
    }
    None
}

/// `HashMap` or `HashSet` without a hasher of its own.
fn random_map(code: &str) -> bool {
    [("HashMap", 2), ("HashSet", 1)].iter().any(|(name, parameters)| {
        words(code, name).any(|at| {
            let rest = &code[at + name.len()..];
            if rest.starts_with("::new(") || rest.starts_with("::with_capacity(") {
                return true;
            }
            let rest = rest.strip_prefix("::").unwrap_or(rest);
            rest.starts_with('<') && generic_parameters(rest) == Some(*parameters)
        })
    })
}

/// How many parameters the list `<...>` at the head has; nothing where it does not end on the line.
fn generic_parameters(code: &str) -> Option<usize> {
    let (mut depth, mut commas) = (0, 0);
    let mut before = ' ';
    for c in code.chars() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if before == '-' => {}
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 1 => commas += 1,
            _ => {}
        }
        if depth == 0 {
            return Some(commas + 1);
        }
        before = c;
    }
    None
}

fn check_core(source: &Source, problems: &mut Vec<String>) {
    let module = module(&source.path);
    if !CORE.contains(&module) {
        return;
    }
    for (number, line) in source.lines.iter().enumerate().filter(|(_, line)| !line.test) {
        let place = format!("{}:{}", source.path, number + 1);
        if let Some(why) = breaks_sans_io(&line.code) {
            problems.push(format!("{place}: the core {why}: {}", line.code.trim()));
        }
        if !PANIC_FREE.contains(&module) {
            continue;
        }
        for call in [".unwrap()", "todo!", "unimplemented!", "dbg!", "panic!"] {
            let found = match call.strip_suffix('!') {
                Some(name) => words(&line.code, name).any(|at| line.code[at + name.len()..].starts_with('!')),
                None => line.code.contains(call),
            };
            if found {
                problems.push(format!("{place}: {call} below the stack: a packet must not panic"));
            }
        }
        if line.code.contains(".expect(") && !comment_near(&source.lines, number, "invariant:") {
            problems.push(format!("{place}: expect without an `// invariant:` comment that says why it holds"));
        }
    }
}

/// The paths below `crate::` or `std::` that a piece of code names, groups in braces taken apart: `device::RxMeta`, `tcp`.
fn paths_from(start: &str, code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for at in words(code, start) {
        let Some(rest) = code[at + start.len()..].strip_prefix("::") else { continue };
        match rest.strip_prefix('{') {
            Some(group) => expand_group(group, "", &mut paths),
            None => expand(rest, "", &mut paths),
        };
    }
    paths
}

/// Reads one use tree at the head of the code; returns how much of the code it took.
fn expand(code: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
    let mut path = prefix.to_string();
    let mut at = 0;
    loop {
        let name: String = code[at..].chars().take_while(|c| is_word(*c) || *c == '*').collect();
        path += &name;
        at += name.len();
        if !code[at..].starts_with("::") {
            paths.push(path);
            return at;
        }
        at += 2;
        path += "::";
        if code[at..].starts_with('{') {
            at += 1;
            return at + expand_group(&code[at..], &path, paths);
        }
    }
}

fn expand_group(code: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
    let mut at = 0;
    while at < code.len() {
        match code.as_bytes()[at] {
            b'}' => return at + 1,
            c if is_word(c as char) || c == b'*' => at += expand(&code[at..], prefix, paths),
            b'{' => at += 1 + expand_group(&code[at + 1..], prefix, paths),
            _ => at += code[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    at
}

fn check_arrows(source: &Source, problems: &mut Vec<String>) {
    let own = module(&source.path);
    let Some((_, forbidden)) = FORBIDDEN_ARROWS.iter().find(|(name, _)| *name == own) else { return };
    for (number, line) in
        source.lines.iter().enumerate().filter(|(_, line)| !line.test && has_word(&line.code, "crate"))
    {
        // A `use` may run over several lines.
        let mut code = line.code.clone();
        if code.contains("crate::{") || code.contains("crate::") && code.contains('{') && !code.contains('}') {
            let end = source.lines[number..].iter().position(|line| line.code.contains(';')).unwrap_or(0);
            code = source.lines[number..=number + end].iter().map(|line| line.code.trim()).collect();
        }
        for path in paths_from("crate", &code) {
            problems
                .extend(bad_arrow(own, forbidden, &path).map(|why| format!("{}:{}: {why}", source.path, number + 1)));
        }
    }
}

fn bad_arrow(own: &str, forbidden: &[&str], path: &str) -> Option<String> {
    let mut parts = path.split("::");
    let (target, inner) = (parts.next()?, parts.next().unwrap_or(""));
    let with_io = target == "device" && CORE.contains(&own) && DEVICE_WITH_IO.contains(&inner);
    (forbidden.contains(&target) || with_io).then(|| format!("{own} must not use {path}: arrows run downwards only"))
}

fn check_first_line(source: &Source, problems: &mut Vec<String>) {
    // A file of one line is a place-holder.
    if source.lines.len() > 3 && !source.first.starts_with("//!") {
        problems.push(format!("{}:1: begins without a `//!` line that says what the file is", source.path));
    }
}

#[test]
fn the_rules_of_the_house_hold() {
    let mut problems = Vec::new();
    for source in sources("src") {
        check_sizes(&source, &mut problems);
        check_unsafe(&source, &mut problems);
        check_core(&source, &mut problems);
        check_arrows(&source, &mut problems);
        check_first_line(&source, &mut problems);
    }
    for source in sources("tests") {
        check_sizes(&source, &mut problems);
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    // Put together here so that this file does not name them itself.
    let home = ["root", "home", "work"].map(|name| format!("/{name}/"));
    let hosts =
        [("index.", "crates.io"), ("static.", "crates.io"), ("static.", "rust-lang.org"), ("deb.", "debian.org")]
            .map(|(host, domain)| format!("{host}{domain}"));
    let mut all = files("src", &["rs"]);
    for directory in ["tests", "scripts", "docs", "examples", "benches", "fuzz"] {
        all.extend(files(directory, &["rs", "sh", "md", "csv", "toml", "py", "c", "h"]));
    }
    all.extend(["README.md", "Cargo.toml", ".ci/run"].map(|name| source_text::root().join(name)));
    let mut problems = Vec::new();
    for path in all.iter().filter(|path| path.is_file() && !path.components().any(|part| part.as_os_str() == "target"))
    {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            // A path begins a word: `network/work/` is none.
            let named = home.iter().any(|name| {
                line.match_indices(name.as_str())
                    .any(|(at, _)| !line[..at].ends_with(|c: char| is_word(c) || "./$}".contains(c)))
            });
            if named || hosts.iter().any(|host| line.contains(host.as_str())) {
                problems.push(format!("{}:{}: names a place of one machine: {}", shown(path), number + 1, line.trim()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A file as the checks see it, from its text.
fn file(path: &str, text: &str) -> Source {
    let mut lines = source_text::lex(text);
    source_text::mark_tests(&mut lines);
    Source { path: path.to_string(), first: text.lines().next().unwrap_or("").to_string(), lines }
}

fn problems(check: fn(&Source, &mut Vec<String>), path: &str, text: &str) -> usize {
    let mut problems = Vec::new();
    check(&file(path, text), &mut problems);
    problems.len()
}

#[test]
fn long_functions_are_seen() {
    let body = "    x();\n".repeat(75);
    let short = format!("fn a(b: [u8; 4]) -> u8\nwhere\n    u8: Copy,\n{{\n{body}}}\n");
    assert_eq!(functions(&file("src/a.rs", &short).lines), [(0, "a".to_string(), 80)]);
    assert_eq!(problems(check_sizes, "src/a.rs", &short), 1);
    assert_eq!(problems(check_sizes, "src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{short}}}\n")), 0);
    assert_eq!(problems(check_sizes, "src/a.rs", "trait T {\n    fn a(&self);\n}\ntype F = fn(u8) -> u8;\n"), 0);
    assert_eq!(problems(check_sizes, "src/a.rs", &"// a\n".repeat(600)), 1);
}

#[test]
fn unsafe_code_needs_its_place_and_its_reason() {
    assert_eq!(problems(check_unsafe, "src/tcp/a.rs", "// SAFETY: no\nlet a = unsafe { b() };\n"), 1);
    assert_eq!(problems(check_unsafe, "src/device/a.rs", "// SAFETY: yes\nlet a = unsafe { b() };\n"), 0);
    assert_eq!(
        problems(check_unsafe, "src/device/a.rs", "// SAFETY: yes,\n// really\nlet a =\n    unsafe { b() };\n"),
        0
    );
    assert_eq!(problems(check_unsafe, "src/device/a.rs", "// SAFETY: for c\nc();\nlet a = unsafe { b() };\n"), 1);
    assert_eq!(problems(check_unsafe, "src/lib.rs", "#![deny(unsafe_code)]\n// unsafe\nlet a = \"unsafe\";\n"), 0);
}

#[test]
fn the_core_is_kept_pure() {
    for bad in [
        "use std::time::{Duration, Instant};",
        "std::thread::sleep(d);",
        "println!(\"\");",
        "let a = std::time::Instant::now();",
        "use std::net::TcpStream;",
        "use std::io::Read;",
        "let a: HashMap<Key, Vec<u8>> = b;",
        "let a = HashMap::new();",
        "let a: HashSet<(u8, u8)> = b;",
        "let a = b.cbrt();",
        "let a = b.unwrap();",
        "    todo!()",
        "let a = b.expect(\"\");",
    ] {
        assert_eq!(problems(check_core, "src/tcp/a.rs", &format!("{bad}\n")), 1, "{bad}");
        assert_eq!(problems(check_core, "src/driver/a.rs", &format!("{bad}\n")), 0, "{bad}");
        assert_eq!(
            problems(check_core, "src/tcp/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{bad}\n}}\n")),
            0,
            "{bad}"
        );
    }
    for good in [
        "use std::time::Duration;",
        "fn a(now: Instant) -> std::time::Duration {",
        "use std::io::{self, IoSlice};",
        "use crate::time::Instant;",
        "use std::net::{IpAddr, SocketAddr};",
        "let a: HashMap<Key, Vec<(u8, u8)>, Keyed> = b;",
        "use std::collections::HashMap;",
        "// invariant: the list has one entry\nlet a = b.expect(\"\");",
        "let a = b.unwrap_or(0);",
        "// panic! todo!",
    ] {
        assert_eq!(problems(check_core, "src/tcp/a.rs", &format!("{good}\n")), 0, "{good}");
    }
    assert_eq!(problems(check_core, "src/stack/a.rs", "let a = b.unwrap();\n"), 0);
}

#[test]
fn arrows_run_downwards() {
    assert_eq!(
        paths_from("crate", "use crate::a::{b, c::{d, e}}; crate::f::g(1)"),
        ["a::b", "a::c::d", "a::c::e", "f::g"]
    );
    for (path, code, expected) in [
        ("src/wire/a.rs", "use crate::tcp::sequence::SeqNumber;", 1),
        ("src/wire/a.rs", "use crate::time::Instant;", 0),
        ("src/tcp/a.rs", "use crate::{\n    stack::Stack,\n    time::Instant,\n    net,\n};", 2),
        ("src/tcp/a.rs", "let a = crate::driver::b();", 1),
        ("src/tcp/a.rs", "use crate::device::{RxMeta, TxMeta};", 0),
        ("src/tcp/a.rs", "use crate::device::tun::Tun;", 1),
        ("src/tcp.rs", "use crate::cli;", 1),
        ("src/net/a.rs", "use crate::driver::Shard;\nuse crate::tcp::State;", 0),
        ("src/cli/a.rs", "use crate::net::TcpStream;", 0),
    ] {
        assert_eq!(problems(check_arrows, path, &format!("{code}\n")), expected, "{path}: {code}");
    }
}
