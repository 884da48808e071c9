//! Keeps docs/requirements.csv true: a row says `yes` only where code and tests both carry its id.
//!
//! The code that meets a row names it at the head of a comment, `// 9293-MUST-59: no ACK leaves before the batch is
//! done`, or in a list, `/// 9293-3.4-1, pitfall 1`; so does the test that proves it. An id in the middle of a sentence is
//! a mention and proves nothing. packetdrill scripts (tests/packetdrill) are tests, and name their rows in the comments at
//! their heads.
//!
//! `cargo test --test requirements -- --nocapture` prints the totals and every row of priority 1 that is not met.
//! `GLASSTCP_UPDATE_REQUIREMENTS=1 cargo test --test requirements` turns each `no` and `partial` row that is tagged in code
//! and in a test into `yes`, and prints what changed; it never touches a `deviation`.
//!
//! docs/conformance.md is printed from the table and compared with it; `GLASSTCP_UPDATE_CONFORMANCE=1` prints it anew.

mod conformance;
#[path = "../support/source_text.rs"]
mod source_text;

use source_text::{Line, Source, files, root, shown, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// True once each of the forty pitfalls must be named by a test; until then the missing ones are only printed.
const ALL_PITFALLS_REQUIRED: bool = true;
const PITFALLS: u32 = 40;

/// Files with made-up ids in them.
const NOT_READ: [&str; 4] = [
    "tests/requirements/main.rs",
    "tests/requirements/conformance.rs",
    "tests/tidy.rs",
    "tests/support/source_text.rs",
];

const COLUMNS: [&str; 11] =
    ["id", "rfc", "section", "level", "priority", "area", "requirement", "test", "source", "status", "why"];
const STATUSES: [&str; 4] = ["yes", "partial", "no", "deviation"];

struct Row {
    fields: Vec<String>,
}

impl Row {
    fn get(&self, column: &str) -> &str {
        &self.fields[COLUMNS.iter().position(|name| *name == column).unwrap()]
    }

    fn set(&mut self, column: &str, value: &str) {
        self.fields[COLUMNS.iter().position(|name| *name == column).unwrap()] = value.to_string();
    }
}

/// Splits one line of comma-separated values, with quotes where a value holds a comma or a quote.
fn split_csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let field = fields.last_mut().unwrap();
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(c),
        }
    }
    fields
}

fn join_csv(fields: &[String]) -> String {
    let quote = |field: &String| match field.contains([',', '"']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    fields.iter().map(quote).collect::<Vec<_>>().join(",")
}

fn read_rows(problems: &mut Vec<String>) -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/requirements.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(split_csv(lines.next().unwrap()), COLUMNS, "docs/requirements.csv: other columns than expected");
    let mut rows = Vec::new();
    for (number, line) in lines.enumerate() {
        let fields = split_csv(line);
        match fields.len() == COLUMNS.len() {
            true => rows.push(Row { fields }),
            false => problems.push(format!("docs/requirements.csv:{}: {} columns", number + 2, fields.len())),
        }
    }
    let mut seen = BTreeSet::new();
    for row in &rows {
        let (id, status) = (row.get("id"), row.get("status"));
        if !seen.insert(id) {
            problems.push(format!("docs/requirements.csv: {id} is there twice"));
        }
        if !STATUSES.contains(&status) {
            problems.push(format!("docs/requirements.csv: {id}: the status `{status}` is none of {STATUSES:?}"));
        }
        if status != "yes" && row.get("why").is_empty() {
            problems.push(format!("docs/requirements.csv: {id}: {status} needs a reason in `why`"));
        }
    }
    rows
}

/// The packetdrill scripts: tests, whose comments stand at their heads.
fn packetdrill_scripts() -> Vec<Source> {
    let head = |text: &str| {
        let comments = text.lines().map_while(|line| line.strip_prefix("//"));
        comments.map(|comment| Line { comment: Some(comment.trim().into()), test: true, ..Line::default() }).collect()
    };
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source { path: shown(&path), first: text.lines().next().unwrap_or("").into(), lines: head(&text) }
    };
    files("tests/packetdrill", &["pkt"]).into_iter().map(read).collect()
}

/// The ids of the table, and the RFCs they speak of.
struct Known {
    ids: BTreeSet<String>,
    rfcs: BTreeSet<String>,
}

/// What one comment says.
#[derive(Debug, Default, PartialEq)]
struct Said {
    tags: Vec<String>,
    /// Words that look like ids and are none.
    unknown: Vec<String>,
    /// Ids in the middle of a sentence.
    mentions: Vec<String>,
    pitfalls: Vec<u32>,
}

#[derive(PartialEq)]
enum Shape {
    /// Nothing else is written like this: 9293-MUST-1, 9293-3.10.7.4-2.
    Id,
    /// An RFC of the table and something more: 6298-5, but perhaps a range of numbers.
    Perhaps,
    Other,
}

fn shape(word: &str, known: &Known) -> Shape {
    let Some((rfc, tail)) = word.split_once('-') else { return Shape::Other };
    if !(3..=4).contains(&rfc.len()) || !rfc.bytes().all(|b| b.is_ascii_digit()) {
        return Shape::Other;
    }
    let first = tail.split(['-', '/', '.']).next().unwrap_or("");
    let numbers = tail.split_once('.').is_some_and(|(head, rest)| {
        !head.is_empty() && head.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with(|c: char| c.is_ascii_digit())
    });
    if ["MUST", "SHLD", "SHOULD", "MAY", "REC"].contains(&first) || numbers {
        Shape::Id
    } else if known.rfcs.contains(rfc) && tail.starts_with(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase()) {
        Shape::Perhaps
    } else {
        Shape::Other
    }
}

/// Reads one comment. Its head is a list of ids and pitfalls; the rest is prose, where an id counts only after a comma.
fn read_comment(comment: &str, known: &Known) -> Said {
    let mut said = Said::default();
    let mut head = true;
    let mut after_comma = false;
    let mut after_pitfall = false;
    for part in comment.trim_start_matches(['-', '*', ' ']).replace(',', " , ").split_whitespace() {
        if part == "," {
            after_comma = true;
            continue;
        }
        let word = part.trim_matches(|c: char| "()[]`:;.'\"".contains(c));
        let counts = head || after_comma;
        let shape = shape(word, known);
        let mut in_list = true;
        let number = word.parse().ok().filter(|number| after_pitfall && (1..=PITFALLS).contains(number));
        if let Some(number) = number {
            said.pitfalls.push(number);
        } else if known.ids.contains(word) {
            let list = if counts { &mut said.tags } else { &mut said.mentions };
            list.push(word.to_string());
        } else if shape == Shape::Id || (shape == Shape::Perhaps && counts) {
            said.unknown.push(word.to_string());
        } else {
            in_list = ["and", "pitfall", "pitfalls"].contains(&word.to_lowercase().as_str());
        }
        after_pitfall = number.is_some()
            || word.eq_ignore_ascii_case("pitfall")
            || word.eq_ignore_ascii_case("pitfalls")
            || (after_pitfall && word == "and");
        head = head && in_list && !part.ends_with(':');
        after_comma = false;
    }
    said
}

/// Where each id and each pitfall is named.
#[derive(Default)]
struct Places {
    code: BTreeMap<String, Vec<String>>,
    tests: BTreeMap<String, Vec<String>>,
    mentions: BTreeSet<String>,
    pitfalls: BTreeSet<u32>,
}

fn collect(sources: &[Source], known: &Known, problems: &mut Vec<String>) -> Places {
    let mut places = Places::default();
    for source in sources.iter().filter(|source| !NOT_READ.contains(&source.path.as_str())) {
        for (number, line) in source.lines.iter().enumerate() {
            let Some(comment) = &line.comment else { continue };
            let said = read_comment(comment, known);
            let place = format!("{}:{}", source.path, number + 1);
            for word in said.unknown {
                problems.push(format!("{place}: `{word}` looks like an id but names no row of docs/requirements.csv"));
            }
            for id in said.tags {
                let side = if line.test { &mut places.tests } else { &mut places.code };
                side.entry(id).or_default().push(place.clone());
            }
            places.mentions.extend(said.mentions);
            if line.test {
                places.pitfalls.extend(said.pitfalls);
            }
        }
    }
    places
}

/// Turns rows that are tagged on both sides into `yes` and says which.
fn update(rows: &mut [Row], places: &Places) {
    let mut changed = 0;
    for row in rows.iter_mut() {
        let id = row.get("id").to_string();
        let both = places.code.contains_key(&id) && places.tests.contains_key(&id);
        if !both || !matches!(row.get("status"), "no" | "partial") {
            continue;
        }
        println!("{id}: {} -> yes {}", row.get("status"), row.get("why"));
        row.set("status", "yes");
        row.set("why", "");
        changed += 1;
    }
    let mut text = COLUMNS.join(",") + "\n";
    for row in rows.iter() {
        text += &(join_csv(&row.fields) + "\n");
    }
    fs::write(root().join("docs/requirements.csv"), text).unwrap();
    println!("docs/requirements.csv: {changed} rows are now yes");
}

fn print_totals(rows: &[Row], places: &Places) {
    let count = |priority: &str, status: &str| {
        rows.iter().filter(|row| ["", row.get("priority")].contains(&priority) && row.get("status") == status).count()
    };
    println!("requirements     yes  partial    no  deviation");
    for (name, priority) in [("priority 1", "1"), ("priority 2", "2"), ("priority 3", "3"), ("all", "")] {
        let counts = STATUSES.map(|status| count(priority, status));
        println!("{name:<14} {:>5} {:>8} {:>5} {:>10}", counts[0], counts[1], counts[2], counts[3]);
    }
    let unmet: Vec<&Row> = rows.iter().filter(|row| row.get("priority") == "1" && row.get("status") != "yes").collect();
    println!("\nrows of priority 1 that are not met: {}", unmet.len());
    for row in unmet {
        let tags = match (places.code.contains_key(row.get("id")), places.tests.contains_key(row.get("id"))) {
            (true, true) => " [tagged in code and tests: GLASSTCP_UPDATE_REQUIREMENTS=1 makes it yes]",
            (true, false) => " [no test has the tag]",
            (false, true) => " [no code has the tag]",
            (false, false) if places.mentions.contains(row.get("id")) => {
                " [only mentioned, not at the head of a comment]"
            }
            (false, false) => "",
        };
        let why = if row.get("why").is_empty() { row.get("requirement") } else { row.get("why") };
        println!("  {} ({}, {}): {why}{tags}", row.get("id"), row.get("area"), row.get("status"));
    }
}

#[test]
fn every_claim_is_backed_by_code_and_test() {
    let mut problems = Vec::new();
    let mut rows = read_rows(&mut problems);
    let known = Known {
        ids: rows.iter().map(|row| row.get("id").to_string()).collect(),
        rfcs: rows.iter().filter_map(|row| row.get("id").split('-').next().map(str::to_string)).collect(),
    };
    let all: Vec<Source> = sources("src").into_iter().chain(sources("tests")).chain(packetdrill_scripts()).collect();
    let places = collect(&all, &known, &mut problems);
    if std::env::var_os("GLASSTCP_UPDATE_REQUIREMENTS").is_some_and(|value| value == "1") && problems.is_empty() {
        update(&mut rows, &places);
    }
    for row in rows.iter().filter(|row| row.get("status") == "yes") {
        for (side, tags) in [("code", &places.code), ("test", &places.tests)] {
            if !tags.contains_key(row.get("id")) {
                problems.push(format!("{}: says yes, but no {side} carries the id in a comment", row.get("id")));
            }
        }
    }
    print_totals(&rows, &places);
    let missing: Vec<u32> = (1..=PITFALLS).filter(|number| !places.pitfalls.contains(number)).collect();
    println!("\npitfalls that no test names: {missing:?}");
    if ALL_PITFALLS_REQUIRED && !missing.is_empty() {
        problems.push(format!("no test names the pitfalls {missing:?}"));
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The page for people says what the table says: nothing is left undone without a reason that everybody can read.
#[test]
fn the_page_of_conformance_is_that_of_the_table() {
    let mut problems = Vec::new();
    let rows = read_rows(&mut problems);
    let page = conformance::document(&rows, &mut problems);
    let path = root().join(conformance::PAGE);
    if std::env::var_os("GLASSTCP_UPDATE_CONFORMANCE").is_some_and(|value| value == "1") {
        fs::write(&path, &page).unwrap();
    }
    let told = "GLASSTCP_UPDATE_CONFORMANCE=1 cargo test --test requirements prints the page anew";
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "{}: {told}", conformance::PAGE);
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn known() -> Known {
    let ids = [
        "9293-MUST-58",
        "9293-MUST-59",
        "9293-3.10.7.4-12",
        "6298-5.5",
        "1337-F1",
        "6191-2-1",
        "792-echo",
        "4443-2.4-a",
    ];
    Known {
        ids: ids.map(String::from).into(),
        rfcs: ids.iter().map(|id| id.split('-').next().unwrap().to_string()).collect(),
    }
}

#[test]
fn tags_are_found_at_the_head_of_a_comment_and_after_commas() {
    let tags = |comment: &str| {
        let said = read_comment(comment, &known());
        assert!(said.unknown.is_empty(), "{comment}: {said:?}");
        said.tags
    };
    assert_eq!(tags("9293-MUST-59: no ACK leaves before the batch is done"), ["9293-MUST-59"]);
    assert_eq!(tags("9293-MUST-58, 9293-MUST-59"), ["9293-MUST-58", "9293-MUST-59"]);
    assert_eq!(tags("9293-MUST-58,9293-MUST-59: both"), ["9293-MUST-58", "9293-MUST-59"]);
    assert_eq!(tags("pitfall 20, 6298-5.5 and 1337-F1: text"), ["6298-5.5", "1337-F1"]);
    assert_eq!(tags("- `792-echo` answers"), ["792-echo"]);
    assert_eq!(tags("4443-2.4-a."), ["4443-2.4-a"]);
    assert_eq!(tags("The timer backs off, 6298-5.5: doubled"), ["6298-5.5"]);
    assert_eq!(tags("Unlike 6298-5.5 this does not"), [""; 0]);
    assert_eq!(read_comment("Unlike 6298-5.5 this", &known()).mentions, ["6298-5.5"]);
    assert_eq!(tags("9293-MUST-58: as 9293-MUST-59 says"), ["9293-MUST-58"]);
}

#[test]
fn unknown_ids_are_caught_and_numbers_are_not() {
    let unknown = |comment: &str| read_comment(comment, &known()).unknown;
    assert_eq!(unknown("9293-MUST-95: typo"), ["9293-MUST-95"]);
    assert_eq!(unknown("9239-MUST-59: typo"), ["9239-MUST-59"]);
    assert_eq!(unknown("9293-MUST-58, 9293-3.10.7.4-99"), ["9293-3.10.7.4-99"]);
    assert_eq!(unknown("9293-MUST-58/59: each in full"), ["9293-MUST-58/59"]);
    assert_eq!(unknown("9293-MUST-58..59: each in full"), ["9293-MUST-58..59"]);
    assert_eq!(unknown("6298-9: no such row"), ["6298-9"]);
    assert_eq!(unknown("1337-F9: no such row"), ["1337-F9"]);
    assert_eq!(unknown("see 9293-SHOULD-3 for more"), ["9293-SHOULD-3"]);
    for prose in [
        "1000-byte segments, 536-1460 of them, 9293-style",
        "from 6298-9000 to 1337-2000",
        "RFC 9293 3.10.7.4, step 1",
        "RFC 793-like",
        "2026-08-01",
        "12345-6.7",
    ] {
        assert_eq!(unknown(prose), [""; 0], "{prose}");
    }
}

#[test]
fn pitfalls_are_read_singly_and_in_lists() {
    let pitfalls = |comment: &str| read_comment(comment, &known()).pitfalls;
    assert_eq!(pitfalls("9293-MUST-58, pitfall 1"), [1]);
    assert_eq!(pitfalls("Pitfall 12: options"), [12]);
    assert_eq!(pitfalls("pitfalls 1, 2 and 40, 6298-5.5"), [1, 2, 40]);
    assert_eq!(pitfalls("a test (pitfall 3) of 4 things"), [3]);
    assert_eq!(pitfalls("pitfall 41"), [0; 0]);
}

#[test]
fn comments_are_told_from_strings_and_tests_from_code() {
    let mut lines = source_text::lex(
        "let url = \"http://9293-MUST-1\"; // 9293-MUST-58\nlet r = r#\"a // \"b\"#; let c = '\"'; // two\n/* 1\n2 */ fn a<'a>() {}\n\
         #[cfg(test)]\nmod tests {\n    // inside {\n    fn b() { \"}\"; }\n}\nfn c() {}\n#[cfg(test)]\nmod far;\n",
    );
    let comments: Vec<_> = lines.iter().map(|line| line.comment.as_deref()).collect();
    assert_eq!(comments[..4], [Some("9293-MUST-58"), Some("two"), Some("1"), Some("2")]);
    assert_eq!(lines[0].code, "let url = \"\"; ");
    assert_eq!(lines[3].code, " fn a<'a>() {}");
    assert_eq!(source_text::mark_tests(&mut lines), ["far"]);
    let tests: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].test).collect();
    assert_eq!(tests, [4, 5, 6, 7, 8, 10, 11]);
}

#[test]
fn the_table_survives_reading_and_writing() {
    let text = fs::read_to_string(root().join("docs/requirements.csv")).unwrap();
    for line in text.lines() {
        assert_eq!(join_csv(&split_csv(line)), line);
    }
    assert_eq!(split_csv("a,\"b, \"\"c\"\"\",,d"), ["a", "b, \"c\"", "", "d"]);
}
