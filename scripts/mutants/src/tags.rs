//! Which requirement ids stand at which lines, and which tests cite an id.

use crate::source_text::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};

/// A test, or all tests of a file where `name` is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// The test target: `lib` for the tests in src.
    pub target: String,
    /// A part of the name of the test.
    pub name: String,
}

/// Tags of code and of tests.
pub struct Tags {
    /// By file: line and id.
    code: BTreeMap<String, Vec<(usize, String)>>,
    /// By id.
    tests: BTreeMap<String, BTreeSet<Test>>,
}

/// The test target of a file, and what the names of its tests begin with: `tcp` and `text::ack::` for
/// tests/tcp/text/ack.rs. Tests of the library go by their own names alone.
pub fn place(path: &str) -> (String, String) {
    let Some(inside) = path.strip_prefix("tests/") else { return ("lib".to_string(), String::new()) };
    let mut parts = inside.trim_end_matches(".rs").split('/');
    let target = parts.next().unwrap_or("").to_string();
    let modules = parts.filter(|part| !["main", "mod"].contains(part));
    (target, modules.map(|module| format!("{module}::")).collect())
}

fn ids_in<'a>(comment: &'a str, known: &'a BTreeSet<String>) -> impl Iterator<Item = String> + 'a {
    comment
        .split(|c: char| c.is_whitespace() || c == ',')
        .map(|word| word.trim_matches(|c: char| "()[]`:;.'\"".contains(c)))
        .filter(|word| known.contains(*word))
        .map(str::to_string)
}

/// The name in a line that begins a function.
fn function_name(code: &str) -> Option<&str> {
    let at = code.find("fn ").filter(|at| *at == 0 || code[..*at].ends_with(' '))?;
    let name = code[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (!name.is_empty()).then_some(name)
}

/// The test that a line belongs to: the one around it, or the one that its comment stands above.
fn test_at(source: &Source, line: usize) -> String {
    let depth = |code: &str| code.len() - code.trim_start().len();
    let own = &source.lines[line];
    let above = own.code.trim().is_empty()
        && source.lines[line..].iter().map(|line| line.code.trim()).find(|code| !code.is_empty()).is_some_and(|code| {
            code.starts_with("#[test]") || code.starts_with("#[cfg") || function_name(code).is_some()
        });
    if above {
        let rest = &source.lines[line..];
        let at = rest.iter().position(|line| function_name(&line.code).is_some()).unwrap_or(0);
        let is_test = rest[..at].iter().any(|line| line.code.trim() == "#[test]");
        let name = if is_test { function_name(&rest[at].code).unwrap_or("") } else { "" };
        return name.to_string();
    }
    // The nearest `#[test]` before, if its function is not a helper's: helpers stand without the attribute.
    for at in (0..line).rev() {
        let code = &source.lines[at].code;
        if let Some(name) = function_name(code.trim())
            && depth(code) <= 4
        {
            let is_test = source.lines[at.saturating_sub(4)..at].iter().any(|line| line.code.trim() == "#[test]");
            return if is_test { name.to_string() } else { String::new() };
        }
    }
    String::new()
}

impl Tags {
    /// Reads src and tests below the root.
    pub fn read(known: &BTreeSet<String>) -> Tags {
        let mut tags = Tags { code: BTreeMap::new(), tests: BTreeMap::new() };
        for source in sources("src").into_iter().chain(sources("tests")) {
            for (number, line) in source.lines.iter().enumerate() {
                for id in line.comment.iter().flat_map(|comment| ids_in(comment, known)) {
                    if line.test {
                        let (target, room) = place(&source.path);
                        let test = Test { target, name: room + &test_at(&source, number) };
                        tags.tests.entry(id).or_default().insert(test);
                    } else {
                        tags.code.entry(source.path.clone()).or_default().push((number + 1, id));
                    }
                }
            }
        }
        tags
    }

    /// The ids between two lines of a file.
    pub fn ids(&self, file: &str, lines: (usize, usize)) -> BTreeSet<String> {
        let all = self.code.get(file).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|(line, _)| (lines.0..=lines.1).contains(line)).map(|(_, id)| id.clone()).collect()
    }

    /// The tests that cite one of these ids, by target.
    pub fn tests(&self, ids: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for test in ids.iter().filter_map(|id| self.tests.get(id)).flatten() {
            found.entry(test.target.clone()).or_default().insert(test.name.clone());
        }
        found
    }
}
