//! The tables that docs/conformance.md shows, from the results of the runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// One change and how it ended, in its latest run.
#[derive(Clone, Debug)]
struct Outcome {
    file: String,
    place: (usize, usize),
    change: String,
    ids: String,
    word: String,
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_string() }
}

/// One line of comma-separated values.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut inside = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let last = fields.len() - 1;
        match c {
            '"' if inside && characters.peek() == Some(&'"') => {
                characters.next();
                fields[last].push('"');
            }
            '"' => inside = !inside,
            ',' if !inside => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

/// `caught TARGET<tab>FILE:LINE:COLUMN: CHANGE<tab>IDS`; the last line of a change counts.
fn read(results: &Path) -> Vec<Outcome> {
    let text = fs::read_to_string(results).unwrap_or_default();
    let mut found: BTreeMap<String, Outcome> = BTreeMap::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let (Some(outcome), Some(name)) = (columns.next(), columns.next()) else { continue };
        let ids = columns.next().unwrap_or("").to_string();
        let mut parts = name.splitn(4, ':');
        let (Some(file), Some(line), Some(column), Some(change)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let place = (line.parse().unwrap_or(0), column.parse().unwrap_or(0));
        let word = outcome.split(' ').next().unwrap_or("").to_string();
        let outcome = Outcome { file: file.to_string(), place, change: change.trim().to_string(), ids, word };
        found.insert(name.to_string(), outcome);
    }
    let mut all: Vec<Outcome> = found.into_values().collect();
    all.sort_by(|one, other| (&one.file, one.place).cmp(&(&other.file, other.place)));
    all
}

/// Writes docs/mutants-totals.csv and docs/mutants.csv; the reasons that the latter has already are kept.
pub fn write(root: &Path, results: &Path) {
    let all = read(results);
    let mut totals: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for outcome in &all {
        let counts = totals.entry(&outcome.file).or_default();
        counts[0] += 1;
        counts[match outcome.word.as_str() {
            "caught" => 1,
            "elsewhere" => 2,
            _ => 3,
        }] += 1;
    }
    let mut text = "file,changes,caught,elsewhere,survived\n".to_string();
    for (file, [changes, caught, elsewhere, survived]) in &totals {
        text += &format!("{file},{changes},{caught},{elsewhere},{survived}\n");
    }
    fs::write(root.join("docs/mutants-totals.csv"), text).expect("docs/mutants-totals.csv");

    let list = root.join("docs/mutants.csv");
    let before = fs::read_to_string(&list).unwrap_or_default();
    let known: BTreeMap<(String, String), String> = before
        .lines()
        .skip(1)
        .map(fields)
        .filter(|row| row.len() == 4)
        .map(|row| ((row[0].clone(), row[1].clone()), row[3].clone()))
        .collect();
    let mut seen = BTreeSet::new();
    let (mut text, mut open) = ("file,change,ids,why\n".to_string(), 0);
    for outcome in all.iter().filter(|outcome| !["caught", "elsewhere"].contains(&outcome.word.as_str())) {
        let mut change = outcome.change.clone();
        let mut number = 1;
        while !seen.insert((outcome.file.clone(), change.clone())) {
            number += 1;
            change = format!("{} (no. {number})", outcome.change);
        }
        let key = (outcome.file.clone(), change.clone());
        let why = known.get(&key).map_or("", String::as_str);
        open += usize::from(why.is_empty());
        let row = [&outcome.file, &change, &outcome.ids, why].map(quoted);
        text += &(row.join(",") + "\n");
    }
    fs::write(&list, text).expect("docs/mutants.csv");
    println!(
        "{} changes in docs/mutants-totals.csv; {open} survivors in docs/mutants.csv have no reason yet",
        all.len()
    );
}
