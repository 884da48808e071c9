//! The differences that are explained: the tables of docs/differences.md.
//!
//! A row says who sends otherwise, the kind, and in which sorts of scenarios: there it must be found, and nowhere else. A
//! question mark behind a sort says that it is not found each time, as it hangs on the real clock or on the seeds.
//!
//! With GLASSTCP_REFRESH set, the sorts are brought up to date and new rows are added, to be explained.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::compare::Kind;
use super::findings::Findings;
use super::scenario::Class;

/// What an explanation says who is right.
const RIGHT: [&str; 4] = ["both", "ours", "smoltcp", "Linux"];

/// One row.
#[derive(Clone, Debug)]
struct Row {
    who: String,
    kind: String,
    /// With whether it is found each time.
    classes: BTreeMap<String, bool>,
    rfc: String,
    right: String,
    why: String,
}

impl Row {
    fn parse(line: &str) -> Option<Row> {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [who, kind, classes, rfc, right, why] = cells[..] else { return None };
        let kind = kind.strip_prefix('`')?.strip_suffix('`')?;
        let classes = classes.split(',').map(str::trim).filter(|class| !class.is_empty());
        let classes = classes.map(|class| (class.trim_end_matches('?').to_owned(), !class.ends_with('?')));
        let [who, kind, rfc, right, why] = [who, kind, rfc, right, why].map(str::to_owned);
        Some(Row { who, kind, classes: classes.collect(), rfc, right, why })
    }

    fn shown(&self) -> String {
        let name = |(class, &always): (&String, &bool)| format!("{class}{}", if always { "" } else { "?" });
        // In the order of the sorts.
        let classes: Vec<String> =
            Class::ALL.iter().filter_map(|class| self.classes.get_key_value(class.name())).map(name).collect();
        let classes = classes.join(", ");
        format!("| {} | `{}` | {classes} | {} | {} | {} |", self.who, self.kind, self.rfc, self.right, self.why)
    }

    fn key(&self) -> (String, String) {
        (self.who.clone(), self.kind.clone())
    }

    /// What is wrong with it by itself.
    fn problem(&self) -> Option<String> {
        let known = Kind::ALL.iter().any(|kind| kind.name() == self.kind);
        let sorts = self.classes.keys().all(|name| Class::ALL.iter().any(|class| class.name() == name));
        let explained = !self.rfc.is_empty() && RIGHT.contains(&self.right.as_str()) && self.why.len() >= 20;
        let good = known && sorts && !self.classes.is_empty() && explained && !self.why.contains("TODO");
        (!good).then(|| format!("not a row that explains anything: {}", self.shown()))
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/differences.md")
}

fn marks(against: &str) -> (String, String) {
    (format!("<!-- differences: {against} -->"), format!("<!-- end: {against} -->"))
}

/// The rows of a table, and the text before and behind them.
fn table<'a>(text: &'a str, against: &str) -> (&'a str, Vec<Row>, &'a str) {
    let (begin, end) = marks(against);
    let start = text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
    let stop = text.find(&end).unwrap_or_else(|| panic!("no {end}"));
    let rows = text[start..stop].lines().filter_map(Row::parse).collect();
    (&text[..start], rows, &text[stop..])
}

fn refresh(text: &str, against: &str, findings: &Findings, real: bool) -> String {
    let (before, rows, behind) = table(text, against);
    let mut rows: BTreeMap<(String, String), Row> = rows.into_iter().map(|row| (row.key(), row)).collect();
    for (&(who, kind), classes) in &findings.found {
        let key = (who.to_owned(), kind.name().to_owned());
        let row = rows.entry(key).or_insert_with(|| {
            let [who, kind, rfc, right, why] = [who, kind.name(), "", "", "TODO"].map(str::to_owned);
            Row { who, kind, classes: BTreeMap::new(), rfc, right, why }
        });
        if !real {
            row.classes.retain(|name, _| name == Class::Chance.name());
        }
        for &class in classes.keys() {
            row.classes.entry(class.name().to_owned()).or_insert(!real && class != Class::Chance);
        }
    }
    // In the order of the kinds, and by who.
    let place = |row: &Row| (row.who.clone(), Kind::ALL.iter().position(|kind| kind.name() == row.kind));
    let mut rows: Vec<Row> = rows.into_values().collect();
    let found = |row: &Row| findings.found.keys().any(|&(who, kind)| (who, kind.name()) == (&row.who, &row.kind));
    rows.retain(|row| real || found(row) || !row.classes.is_empty());
    rows.sort_by_key(place);
    let head = "| who | kind | where | section | right | why |\n|---|---|---|---|---|---|";
    let lines: Vec<String> = rows.iter().map(Row::shown).collect();
    format!("{before}\n{head}\n{}\n{behind}", lines.join("\n"))
}

/// Panics unless the differences found are those explained. By the real clock, a run may see only some of them; see the
/// module's text. `partial`: not all scenarios were run, so nothing is missing.
pub fn check(against: &str, findings: &Findings, real: bool, partial: bool) {
    let mut text = fs::read_to_string(file()).expect("docs/differences.md");
    if std::env::var_os("GLASSTCP_REFRESH").is_some() {
        text = refresh(&text, against, findings, real);
        fs::write(file(), &text).expect("docs/differences.md");
    }
    let (_, rows, _) = table(&text, against);
    let mut problems: Vec<String> = rows.iter().filter_map(Row::problem).collect();
    let keys: BTreeSet<(String, String)> = rows.iter().map(Row::key).collect();
    if keys.len() != rows.len() {
        problems.push("two rows for the same difference".to_owned());
    }
    for (&(who, kind), classes) in &findings.found {
        let row = rows.iter().find(|row| (row.who.as_str(), row.kind.as_str()) == (who, kind.name()));
        for (class, (count, examples)) in classes {
            let explained = row.is_some_and(|row| row.classes.contains_key(class.name()));
            println!("{}{who} {kind} {} {count} times", if explained { "" } else { "NEW " }, class.name());
            for example in examples {
                println!("    {example}");
            }
            if !explained {
                problems.push(format!("not explained: {who}, {kind}, {}: {}", class.name(), examples[0]));
            }
        }
    }
    for row in rows.iter().filter(|_| !partial) {
        for (class, _) in row.classes.iter().filter(|&(_, &always)| always) {
            let found = findings.found.iter().any(|(&(who, kind), classes)| {
                (who, kind.name()) == (&row.who, &row.kind) && classes.keys().any(|found| found.name() == class)
            });
            if !found {
                problems.push(format!("no longer found: {}, {}, {class}", row.who, row.kind));
            }
        }
    }
    println!("{} conversations, {} segments", findings.conversations, findings.segments);
    assert!(
        problems.is_empty(),
        "docs/differences.md, {against}: {} problems (GLASSTCP_REFRESH=1 adds rows, which you then explain):\n{}",
        problems.len(),
        problems.join("\n")
    );
}
