//! Reads Rust sources as the tests about sources need them: each line split into code and comment, test code marked.
//!
//! The lexer knows comments, strings, raw strings, characters and lifetimes, and nothing else of the language.
#![allow(dead_code)] // each test uses a part of it

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One line of a file.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Line {
    /// The code, with the contents of strings and characters left out.
    pub code: String,
    /// The text of the comment on the line, without its marks.
    pub comment: Option<String>,
    /// The line is compiled for tests only.
    pub test: bool,
}

/// One file, by its path from the root of the repository.
pub struct Source {
    /// Path with `/` in it, as in messages.
    pub path: String,
    /// First line as it is written.
    pub first: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// The root of the repository: cargo says so to the running test, so that a copy judges itself.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).into()
}

/// All files below a directory that have one of the extensions, sorted; nothing where there is no such directory.
pub fn files(directory: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root().join(directory)];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                left.push(path);
            } else if extensions.iter().any(|wanted| path.extension().is_some_and(|extension| extension == *wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The path as a message shows it.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// All Rust files below a directory, with their test code marked.
pub fn sources(directory: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut test_modules = BTreeSet::new();
    for path in files(directory, &["rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = lex(&text);
        let path = shown(&path);
        for module in mark_tests(&mut lines) {
            test_modules.insert(format!("{}/{module}", module_directory(&path)));
        }
        sources.push(Source { path, first: text.lines().next().unwrap_or("").to_string(), lines });
    }
    for source in &mut sources {
        let of_test_module = test_modules
            .iter()
            .any(|module| source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/")));
        if of_test_module || is_test_path(&source.path) {
            source.lines.iter_mut().for_each(|line| line.test = true);
        }
    }
    sources
}

/// Where the modules that a file declares lie.
fn module_directory(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod.rs" | "lib.rs" | "main.rs" => directory.to_string(),
        _ => path.trim_end_matches(".rs").to_string(),
    }
}

/// Files that hold tests by their name alone.
fn is_test_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| part == "tests") || name == "tests.rs" || name.ends_with("_tests.rs")
}

enum Mode {
    Code,
    Comment,
    Block(u32),
    Text { raw: Option<usize> },
}

/// Splits a text into lines of code and comment.
pub fn lex(text: &str) -> Vec<Line> {
    let text: Vec<char> = text.chars().collect();
    let mut lines = vec![Line::default()];
    let mut mode = Mode::Code;
    let mut at = 0;
    while at < text.len() {
        let c = text[at];
        let next = text.get(at + 1).copied().unwrap_or('\n');
        if c == '\n' {
            if matches!(mode, Mode::Comment) {
                mode = Mode::Code;
            }
            lines.push(Line::default());
            at += 1;
            continue;
        }
        let line = lines.last_mut().unwrap();
        match mode {
            Mode::Code => at += code(&text, at, line, &mut mode),
            Mode::Comment => {
                line.comment.get_or_insert_default().push(c);
                at += 1;
            }
            Mode::Block(depth) => match (c, next) {
                ('*', '/') => {
                    mode = if depth == 1 { Mode::Code } else { Mode::Block(depth - 1) };
                    at += 2;
                }
                ('/', '*') => {
                    mode = Mode::Block(depth + 1);
                    at += 2;
                }
                _ => {
                    line.comment.get_or_insert_default().push(c);
                    at += 1;
                }
            },
            Mode::Text { raw: None } => {
                if c == '"' {
                    line.code.push('"');
                    mode = Mode::Code;
                }
                // A backslash at the end of a line escapes the line end, which still ends the line here.
                at += if c == '\\' && next != '\n' { 2 } else { 1 };
            }
            Mode::Text { raw: Some(hashes) } => {
                let closes = c == '"' && (1..=hashes).all(|i| text.get(at + i) == Some(&'#'));
                if closes {
                    line.code.push('"');
                    mode = Mode::Code;
                }
                at += if closes { 1 + hashes } else { 1 };
            }
        }
    }
    for line in &mut lines {
        line.comment =
            line.comment.take().map(|comment| comment.trim_start_matches(['/', '!', '*']).trim().to_string());
    }
    lines
}

/// One step in code: what begins here? Returns how many characters it took.
fn code(text: &[char], at: usize, line: &mut Line, mode: &mut Mode) -> usize {
    let c = text[at];
    let ahead = |i: usize| text.get(at + i).copied().unwrap_or('\n');
    let inside_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match c {
        '/' if ahead(1) == '/' => {
            *mode = Mode::Comment;
            line.comment.get_or_insert_default();
            return 2;
        }
        '/' if ahead(1) == '*' => {
            *mode = Mode::Block(1);
            line.comment.get_or_insert_default();
            return 2;
        }
        '"' => *mode = Mode::Text { raw: None },
        'r' if !inside_word || text[at - 1] == 'b' || text[at - 1] == 'c' => {
            let hashes = (1..).take_while(|i| ahead(*i) == '#').count();
            if ahead(1 + hashes) == '"' {
                line.code.push('"');
                *mode = Mode::Text { raw: Some(hashes) };
                return 2 + hashes;
            }
        }
        '\'' if ahead(1) == '\\' => {
            let length = (3..).find(|i| matches!(ahead(*i), '\'' | '\n')).unwrap();
            return length + 1;
        }
        '\'' if ahead(2) == '\'' => return 3,
        _ => {}
    }
    line.code.push(c);
    1
}

const ITEMS: [&str; 14] = [
    "mod",
    "fn",
    "impl",
    "struct",
    "enum",
    "use",
    "trait",
    "const",
    "static",
    "type",
    "unsafe",
    "async",
    "extern",
    "macro_rules!",
];

/// Marks what is compiled for tests only; returns the names of test modules that lie in files of their own.
pub fn mark_tests(lines: &mut [Line]) -> Vec<String> {
    let mut elsewhere = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let code = lines[at].code.trim();
        if code.starts_with("#![cfg(test)]") {
            lines.iter_mut().for_each(|line| line.test = true);
            break;
        }
        if !code.starts_with("#[cfg(test)]") && !code.starts_with("#[cfg(all(test") {
            at += 1;
            continue;
        }
        let last = end_of_item(lines, at);
        let item: String = lines[at..=last].iter().map(|line| line.code.as_str()).collect();
        if let Some((_, module)) = item.split_once("mod ")
            && let Some(module) = module.trim().strip_suffix(';')
        {
            elsewhere.push(module.trim().to_string());
        }
        lines[at..=last].iter_mut().for_each(|line| line.test = true);
        at = last + 1;
    }
    elsewhere
}

/// The last line of the item that the attribute on line `start` belongs to.
fn end_of_item(lines: &[Line], start: usize) -> usize {
    let is_item = lines[start..].iter().map(|line| without_attributes(line.code.trim())).find(|code| !code.is_empty());
    let is_item = is_item.is_some_and(|code| {
        let code = code
            .strip_prefix("pub")
            .map_or(code, |rest| rest.trim_start_matches("(crate)").trim_start_matches("(super)"));
        ITEMS
            .iter()
            .any(|item| code.split_whitespace().next() == Some(item) || code.trim().starts_with(&format!("{item}<")))
    });
    let mut depth = 0;
    for (number, line) in lines.iter().enumerate().skip(start) {
        let code = without_attributes(line.code.trim());
        for c in code.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth < 0 || (depth == 0 && (c == ';' || c == '}' || (!is_item && c == ','))) {
                return number;
            }
        }
    }
    lines.len() - 1
}

/// The line without the attributes at its head.
fn without_attributes(mut code: &str) -> &str {
    while code.starts_with("#[") {
        let mut depth = 0;
        let end = code.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '[') - i32::from(*c == ']');
            depth == 0 && *c == ']'
        });
        let Some((end, _)) = end else { return "" };
        code = code[end + 1..].trim_start();
    }
    code
}
