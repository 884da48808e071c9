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

/// Writes docs/mutants-totals.csv and docs/mutants.csv; the reasons that the latter has already are kept, and so is what both
/// say of files that the results have nothing of.
pub fn write(root: &Path, results: &Path) {
    let all = read(results);
    let tried: BTreeSet<&str> = all.iter().map(|outcome| outcome.file.as_str()).collect();
    let before = fs::read_to_string(root.join("docs/mutants-totals.csv")).unwrap_or_default();
    let mut totals: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    for row in before.lines().skip(1).map(fields).filter(|row| row.len() == 5 && !tried.contains(row[0].as_str())) {
        let counts = [1, 2, 3, 4].map(|column| row[column].parse().unwrap_or(0));
        totals.insert(row[0].clone(), counts);
    }
    for outcome in &all {
        let counts = totals.entry(outcome.file.clone()).or_default();
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
    let mut rows: Vec<[String; 4]> = before
        .lines()
        .skip(1)
        .map(fields)
        .filter_map(|row| <[String; 4]>::try_from(row).ok())
        .filter(|row| !tried.contains(row[0].as_str()))
        .collect();
    let mut open = 0;
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
        rows.push([outcome.file.clone(), change, outcome.ids.clone(), why.to_string()]);
    }
    // In the order of the files; those of one file stay in that of their places.
    rows.sort_by(|one, other| one[0].cmp(&other[0]));
    let lines = rows.iter().map(|row| row.each_ref().map(|field| quoted(field)).join(",") + "\n");
    fs::write(&list, lines.fold("file,change,ids,why\n".to_string(), |text, line| text + &line))
        .expect("docs/mutants.csv");
    let changes: usize = totals.values().map(|counts| counts[0]).sum();
    println!("{changes} changes in docs/mutants-totals.csv; {open} survivors in docs/mutants.csv have no reason yet");
}
