//! Prints docs/conformance.md from docs/requirements.csv and the lists of what the mutants found.

use super::{Row, STATUSES, split_csv};
use crate::source_text::root;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

/// The page, from the root of the repository.
pub const PAGE: &str = "docs/conformance.md";

const HEAD: &str = "# What the stack owes to the RFCs, and what it pays

Printed from [requirements.csv](requirements.csv) by `tests/requirements`, which also compares this page with it;
`GLASSTCP_UPDATE_CONFORMANCE=1 cargo test --test requirements` prints it anew.

Each row of that table is one requirement: its words, how it is tested, and its status.

* **yes**: the code that meets it and a test that proves it carry the row's id in a comment (`grep -rn 9293-MUST-59`).
* **partial**: a part of it is met; the reason says which part is not.
* **no**: not there; the reason says why.
* **deviation**: the stack does something else on purpose; the reason says what, and [decisions.md](decisions.md) more.

Priority 1 is what two stacks need to speak TCP/IP with each other safely, priority 2 what makes them good at it, priority 3
what is optional, experimental or on its way out. Levels are those of RFC 2119 as the row's RFC has them.
";

const TITLES: [(&str, &str); 62] = [
    ("768", "User Datagram Protocol"),
    ("791", "Internet Protocol"),
    ("792", "Internet Control Message Protocol"),
    ("815", "IP datagram reassembly algorithms"),
    ("1112", "Host extensions for IP multicasting"),
    ("1122", "Requirements for Internet hosts: communication layers"),
    ("1191", "Path MTU discovery"),
    ("1337", "TIME-WAIT assassination hazards in TCP"),
    ("1812", "Requirements for IP version 4 routers (as far as hosts send errors)"),
    ("1858", "Security considerations for IP fragment filtering"),
    ("2018", "TCP selective acknowledgment options"),
    ("2675", "IPv6 jumbograms"),
    ("2883", "SACK: reports of duplicates (D-SACK)"),
    ("3042", "Limited transmit"),
    ("3168", "Explicit congestion notification"),
    ("3376", "IGMP version 3"),
    ("3810", "MLD version 2"),
    ("4443", "ICMPv6"),
    ("4821", "Packetization layer path MTU discovery"),
    ("4987", "TCP SYN flooding attacks and common mitigations"),
    ("5482", "TCP user timeout option"),
    ("5681", "TCP congestion control"),
    ("5682", "F-RTO"),
    ("5722", "Handling of overlapping IPv6 fragments"),
    ("5927", "ICMP attacks against TCP"),
    ("5961", "TCP's robustness to blind in-window attacks"),
    ("6056", "Port randomization"),
    ("6093", "On the implementation of the TCP urgent mechanism"),
    ("6191", "Reducing the TIME-WAIT state using TCP timestamps"),
    ("6298", "TCP's retransmission timer"),
    ("6429", "TCP sender clarification for persist condition"),
    ("6528", "Defending against sequence number attacks"),
    ("6582", "NewReno"),
    ("6633", "Deprecation of ICMP source quench"),
    ("6675", "Loss recovery based on SACK"),
    ("6691", "TCP options and the maximum segment size"),
    ("6864", "The IPv4 ID field"),
    ("6928", "TCP's initial window"),
    ("7112", "Oversized IPv6 header chains"),
    ("7323", "TCP extensions for high performance"),
    ("7413", "TCP fast open"),
    ("7661", "Congestion window validation"),
    ("8200", "Internet Protocol, version 6"),
    ("8201", "Path MTU discovery for IP version 6"),
    ("8899", "Packetization layer path MTU discovery for datagrams"),
    ("8961", "Requirements for time-based loss detection"),
    ("8985", "RACK-TLP"),
    ("9040", "TCP control block interdependence"),
    ("9293", "Transmission Control Protocol"),
    ("9406", "HyStart++"),
    ("9438", "CUBIC"),
    ("9768", "Accurate ECN feedback"),
    ("9937", "Proportional rate reduction"),
    // Of rows to come.
    ("826", "Address resolution protocol"),
    ("1108", "Security options"),
    ("3390", "Increasing TCP's initial window"),
    ("3465", "Appropriate byte counting"),
    ("3522", "Eifel detection"),
    ("4015", "Eifel response"),
    ("5925", "TCP authentication option"),
    ("6040", "Tunnelling of ECN"),
    ("8684", "Multipath TCP"),
];

fn count(rows: &[&Row]) -> String {
    let of = |status: &str| rows.iter().filter(|row| row.get("status") == status).count();
    let numbers = STATUSES.map(|status| match of(status) {
        0 => "·".to_string(),
        number => number.to_string(),
    });
    format!("{} | {}", rows.len(), numbers.join(" | "))
}

/// One table of totals: a line for each value that `key` has, in the order of `sort`.
fn totals<'a, K: Ord>(rows: &'a [Row], heading: &str, key: impl Fn(&'a Row) -> (K, String)) -> String {
    let mut groups: BTreeMap<K, (String, Vec<&Row>)> = BTreeMap::new();
    for row in rows {
        let (order, name) = key(row);
        groups.entry(order).or_insert_with(|| (name, Vec::new())).1.push(row);
    }
    let mut text = format!("\n| {heading} | rows | yes | partial | no | deviation |\n|---|--:|--:|--:|--:|--:|\n");
    for (name, rows) in groups.values() {
        writeln!(text, "| {name} | {} |", count(rows)).unwrap();
    }
    let all: Vec<&Row> = rows.iter().collect();
    writeln!(text, "| **all** | {} |", count(&all)).unwrap();
    text
}

fn title(rfc: &str) -> String {
    match TITLES.iter().find(|(number, _)| *number == rfc) {
        Some((_, title)) => format!("RFC {rfc}: {title}"),
        None => format!("RFC {rfc}"),
    }
}

/// A cell of a table: no line ends and no bars.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// All rows that have one status, with their reasons.
fn reasons(rows: &[Row], status: &str, heading: &str, about: &str) -> String {
    let mut found: Vec<&Row> = rows.iter().filter(|row| row.get("status") == status).collect();
    found.sort_by_key(|row| row.get("priority").to_string());
    let mut text = format!("\n## {heading}\n\n{about}\n");
    if found.is_empty() {
        text += "\nThere are none.\n";
        return text;
    }
    text += "\n| row | level, priority | requirement | reason |\n|---|---|---|---|\n";
    for row in found {
        let words = ["id", "level", "priority", "requirement", "why"].map(|column| cell(row.get(column)));
        let [id, level, priority, requirement, why] = words;
        writeln!(text, "| {id} | {level}, {priority} | {requirement} | {why} |").unwrap();
    }
    text
}

fn table(path: &str, columns: &[&str], problems: &mut Vec<String>) -> Vec<Vec<String>> {
    let Ok(text) = fs::read_to_string(root().join(path)) else { return Vec::new() };
    let mut lines = text.lines();
    if split_csv(lines.next().unwrap_or("")) != columns {
        problems.push(format!("{path}: other columns than {columns:?}"));
        return Vec::new();
    }
    let rows: Vec<Vec<String>> = lines.map(split_csv).collect();
    for row in &rows {
        if row.len() != columns.len() || row.iter().any(String::is_empty) {
            problems.push(format!("{path}: a row with an empty or a missing field: {row:?}"));
        }
    }
    rows.into_iter().filter(|row| row.len() == columns.len()).collect()
}

/// What `scripts/mutants.sh` found: docs/mutants-totals.csv and docs/mutants.csv.
fn mutants(problems: &mut Vec<String>) -> String {
    let totals = table("docs/mutants-totals.csv", &["file", "changes", "caught", "elsewhere", "survived"], problems);
    let survivors = table("docs/mutants.csv", &["file", "change", "ids", "why"], problems);
    let mut text = String::from(
        "\n## Are the tags proved?\n
`scripts/mutants.sh` breaks the tagged functions of `src/tcp` and `src/ip` one change at a time (an operator, a guard, an arm
of a match, a statement, a whole function) and runs the tests that cite one of the function's ids. **Caught**: one of them
fails. **Elsewhere**: they all pass, but another test fails. **Survived**: nothing fails; the table below lists each with its
ids and the reason why it stands; one that begins with \"open\" awaits a test. All changes were tried that the compiler takes, but
of src/tcp/accurate_ecn.rs and src/tcp/marks.rs 79 of 146 and 48 of 71, which chance has chosen;
tests in real time, in a network namespace, or longer than half a minute were not asked.\n",
    );
    if totals.is_empty() {
        return text + "\nNot run yet.\n";
    }
    text += "\n| file | changes | caught | elsewhere | survived |\n|---|--:|--:|--:|--:|\n";
    let mut sums = [0; 4];
    for row in &totals {
        for (sum, number) in sums.iter_mut().zip(&row[1..]) {
            *sum += number.parse::<u32>().unwrap_or(0);
        }
        writeln!(text, "| {} |", row.join(" | ")).unwrap();
    }
    writeln!(text, "| **all** | {} |", sums.map(|sum| sum.to_string()).join(" | ")).unwrap();
    if sums[3] as usize != survivors.len() {
        let wrong = format!("docs/mutants.csv lists {} survivors, the totals say {}", survivors.len(), sums[3]);
        problems.push(wrong);
    }
    text += "\n| file | change that survives | ids of the function | why it stands |\n|---|---|---|---|\n";
    for row in survivors {
        let [file, change, ids, why] = [0, 1, 2, 3].map(|at: usize| cell(&row[at]));
        writeln!(text, "| {file} | {change} | {ids} | {why} |").unwrap();
    }
    text
}

/// The whole page.
pub fn document(rows: &[Row], problems: &mut Vec<String>) -> String {
    let mut text = HEAD.to_string();
    text += "\n## Totals\n";
    text += &totals(rows, "priority", |row| (row.get("priority").to_string(), row.get("priority").to_string()));
    text += &totals(rows, "level", |row| {
        let level = row.get("level");
        (["MUST", "SHOULD", "MAY"].iter().position(|name| *name == level), level.to_string())
    });
    text += &totals(rows, "RFC", |row| (row.get("rfc").parse::<u32>().unwrap_or(0), title(row.get("rfc"))));
    text += &reasons(
        rows,
        "deviation",
        "Deviations",
        "Something else is done on purpose. Where a row of priority 1 is among them, most stacks of today do the same.",
    );
    text += &reasons(rows, "partial", "Met in part", "The reason says what is missing.");
    text += &reasons(rows, "no", "Not there", "Most are optional.");
    text += &mutants(problems);
    text
}
