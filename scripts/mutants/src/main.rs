//! Breaks tagged code of glasstcp one change at a time and asks the tests that cite its ids: `scripts/mutants.sh --help`.

mod build;
mod change;
mod report;
mod run;
#[path = "../../../tests/support/source_text.rs"]
mod source_text;
mod tags;

use build::Tree;
use change::Mutant;
use run::End;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tags::Tags;

/// Test programs that are no proof here: they need a network of their own, read the sources, or measure the machine; the
/// sockets of `net` and the command line wait in real time.
const NOT_RUN: [&str; 7] = ["end_to_end", "tidy", "requirements", "no_allocation", "scripts", "sockets", "cli"];
/// Rooms of other programs that take too long.
const SLOW_ROOMS: [(&str, &str); 2] = [("sim", "speed::"), ("sim", "matrix::")];
/// How long the tests of a program may take without any change; those that take too long are not asked.
const LIMIT: Duration = Duration::from_secs(180);
/// With a change they may take so many times longer, and no less than this: who waits for ever has noticed it.
const SLOWER: (u32, Duration) = (8, Duration::from_secs(5));
/// Rooms of test programs that take longer are not asked about what those that cite an id have missed.
const QUICK: Duration = Duration::from_secs(30);

struct Arguments {
    files: Vec<String>,
    first: Vec<String>,
    sample: Option<usize>,
    seed: u64,
    list: bool,
    build: bool,
    report: bool,
    everything: bool,
    minutes: u64,
    jobs: usize,
    root: PathBuf,
    work: PathBuf,
}

fn arguments() -> Arguments {
    let mut found = Arguments {
        files: Vec::new(),
        first: Vec::new(),
        sample: None,
        seed: 1,
        list: false,
        build: false,
        report: false,
        everything: false,
        minutes: u64::MAX / 60,
        jobs: 1,
        root: source_text::root(),
        work: PathBuf::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| fail(&format!("{word} needs a value")));
        match word.as_str() {
            "--file" => found.files.push(value()),
            "--first" => found.first.push(value()),
            "--sample" => found.sample = Some(number(&value())),
            "--seed" => found.seed = number(&value()) as u64,
            "--minutes" => found.minutes = number(&value()) as u64,
            "--jobs" => found.jobs = number(&value()).max(1),
            "--work" => found.work = value().into(),
            "--list" => found.list = true,
            "--build" => found.build = true,
            "--report" => found.report = true,
            "--all-tests" => found.everything = true,
            _ => fail(&format!("unknown argument {word}")),
        }
    }
    found
}

fn fail(message: &str) -> ! {
    eprintln!("mutants: {message}");
    std::process::exit(2)
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| fail(&format!("`{text}` is no number")))
}

/// A permutation that a seed decides.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for last in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

/// The first columns of docs/requirements.csv.
fn known_ids(root: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(root.join("docs/requirements.csv")).expect("docs/requirements.csv");
    text.lines().skip(1).filter_map(|line| line.split(',').next()).map(str::to_string).collect()
}

/// What tests come to without any change; nothing where they fail, or take too long, and cannot be asked.
struct Reached {
    numbers: Option<BTreeSet<u32>>,
    took: Duration,
}

struct Session {
    tree: Tree,
    tags: Tags,
    programs: BTreeMap<String, PathBuf>,
    /// Programs, and what the names of the tests of one of their files begin with.
    rooms: BTreeSet<(String, String)>,
    /// By program and a part of the names of its tests.
    reached: Mutex<HashMap<(String, String), Arc<Reached>>>,
    everything: bool,
}

impl Session {
    /// What the tests of a program with this in their names come to; found by the first who asks.
    fn reached(&self, target: &str, name: &str) -> Arc<Reached> {
        let key = (target.to_string(), name.to_string());
        let mut known = self.reached.lock().expect("no job panics");
        let found = known.entry(key).or_insert_with(|| {
            let (note, started) = (self.tree.path.join("reached"), Instant::now());
            let names = [name.to_string()].into();
            let numbers = run::reached(&self.tree.path, &self.programs[target], &names, &note, LIMIT);
            if numbers.is_none() {
                eprintln!("without any change the tests `{name}` of {target} fail or take too long: not asked");
            }
            Arc::new(Reached { numbers, took: started.elapsed() })
        });
        found.clone()
    }

    /// Nothing where no test that was asked comes to the change.
    fn ask(&self, mutant: &Mutant, target: &str, names: &BTreeSet<String>) -> Option<End> {
        let program = self.programs.get(target)?;
        let asked: BTreeSet<String> = if names.contains("") { [String::new()].into() } else { names.clone() };
        let asked = asked.into_iter().filter(|name| !is_slow(target, name));
        let (mut coming, mut took) = (BTreeSet::new(), Duration::ZERO);
        for name in asked {
            let reached = self.reached(target, &name);
            if reached.numbers.as_ref().is_some_and(|numbers| numbers.contains(&mutant.number)) {
                coming.insert(name);
                took += reached.took;
            }
        }
        if coming.is_empty() {
            return None;
        }
        let limit = SLOWER.1 + took * SLOWER.0;
        Some(run::run(&self.tree.path, program, &coming, ("GLASSTCP_MUTANT", &mutant.number.to_string()), limit))
    }

    /// `caught TARGET`, `elsewhere TARGET`, or `survived`; `missed` where only the tests that cite an id were asked.
    fn judge(&self, mutant: &Mutant) -> String {
        let ids = self.tags.ids(&mutant.file, mutant.lines);
        for (target, names) in self.tags.tests(&ids) {
            if self.ask(mutant, &target, &names).is_some_and(|end| end != End::Passed) {
                return format!("caught {target}");
            }
        }
        if !self.everything {
            return "missed".to_string();
        }
        let mut rooms: Vec<(Duration, &(String, String))> =
            self.rooms.iter().map(|room| (self.reached(&room.0, &room.1).took, room)).collect();
        rooms.retain(|(took, _)| *took < QUICK);
        rooms.sort();
        for (_, (target, room)) in rooms {
            if self.ask(mutant, target, &[room.clone()].into()).is_some_and(|end| end != End::Passed) {
                return format!("elsewhere {target}");
            }
        }
        "survived".to_string()
    }
}

/// Where the outcomes go.
struct Results {
    file: fs::File,
    counts: BTreeMap<String, usize>,
    started: Instant,
    all: usize,
}

impl Results {
    fn take(&mut self, outcome: &str, name: &str, ids: &str) {
        let word = outcome.split(' ').next().unwrap_or("").to_string();
        writeln!(self.file, "{outcome}\t{name}\t{ids}").expect("results.tsv");
        if word == "survived" || word == "missed" {
            println!("{word}: {name} [{ids}]");
        }
        *self.counts.entry(word).or_default() += 1;
        let done: usize = self.counts.values().sum();
        if done.is_multiple_of(50) {
            println!("{done} of {}, {:.0} s: {:?}", self.all, self.started.elapsed().as_secs_f64(), self.counts);
        }
    }
}

/// The changes that need no other run.
fn already(results: &Path, everything: bool) -> BTreeSet<String> {
    let text = fs::read_to_string(results).unwrap_or_default();
    let lines = text.lines().filter(|line| !everything || !line.starts_with("missed"));
    lines.filter_map(|line| Some(line.split('\t').nth(1)?.to_string())).collect()
}

fn targets(tree: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["lib".to_string()]);
    for entry in fs::read_dir(tree.join("tests")).expect("tests").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.strip_suffix(".rs") {
            Some(name) => found.insert(name.to_string()),
            None => entry.path().join("main.rs").exists() && found.insert(name),
        };
    }
    found.retain(|name| !NOT_RUN.contains(&name.as_str()));
    found
}

fn is_slow(target: &str, name: &str) -> bool {
    SLOW_ROOMS.iter().any(|(slow, room)| *slow == target && name.starts_with(room))
}

/// The rooms of the programs that are asked.
fn rooms(targets: &BTreeSet<String>) -> BTreeSet<(String, String)> {
    let files = source_text::sources("tests")
        .into_iter()
        .filter(|source| source.lines.iter().any(|line| line.code.trim() == "#[test]"));
    let mut rooms: BTreeSet<(String, String)> = files.map(|source| tags::place(&source.path)).collect();
    rooms.insert(("lib".to_string(), String::new()));
    rooms.retain(|(target, room)| targets.contains(target) && !is_slow(target, room));
    rooms
}

fn main() {
    let arguments = arguments();
    let root = &arguments.root;
    let results = arguments.work.join("results.tsv");
    if arguments.report {
        return report::write(root, &results);
    }
    let known = known_ids(root);
    let tags = Tags::read(&known);
    let files: Vec<String> = ["src/tcp", "src/ip"]
        .into_iter()
        .flat_map(source_text::sources)
        .filter(|source| !source.lines.iter().all(|line| line.test))
        .map(|source| source.path)
        .filter(|path| arguments.files.is_empty() || arguments.files.iter().any(|file| path.contains(file.as_str())))
        .collect();
    if files.is_empty() {
        fail("no file of src/tcp and src/ip has such a name");
    }
    let tree = Tree::copy(root, arguments.work.join("tree"), &files);
    let wanted = |file: &str, lines: (usize, usize)| !tags.ids(file, lines).is_empty();
    let mut mutants = tree.change(root, &files, &wanted);
    shuffle(&mut mutants, arguments.seed);
    mutants.truncate(arguments.sample.unwrap_or(usize::MAX));
    mutants.sort_by_key(|mutant| !arguments.first.iter().any(|part| mutant.file.contains(part.as_str())));
    if arguments.list {
        mutants.sort_by_key(|mutant| mutant.number);
        mutants.iter().for_each(|mutant| println!("{}", mutant.name()));
        return;
    }
    let done = already(&results, arguments.everything);
    mutants.retain(|mutant| !done.contains(&mutant.name()));
    let file = fs::OpenOptions::new().create(true).append(true).open(&results).expect("results.tsv");
    let mut asked = targets(&tree.path);
    if !arguments.everything {
        let cited = mutants.iter().flat_map(|mutant| tags.tests(&tags.ids(&mutant.file, mutant.lines)).into_keys());
        let cited: BTreeSet<String> = cited.collect();
        asked.retain(|target| cited.contains(target));
    }
    eprintln!("building {} test programs", asked.len());
    let programs = tree.programs(&asked);
    if arguments.build {
        return;
    }
    let (rooms, everything) = (rooms(&asked), arguments.everything);
    let session = Session { tree, tags, programs, rooms, reached: Mutex::default(), everything };
    let (started, all) = (Instant::now(), mutants.len());
    let out = Mutex::new(Results { file, counts: BTreeMap::new(), started, all });
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            if started.elapsed() > Duration::from_secs(arguments.minutes * 60) {
                println!("the time is over: run the same command again to go on");
                break;
            }
            let outcome = session.judge(mutant);
            let ids = session.tags.ids(&mutant.file, mutant.lines).into_iter().collect::<Vec<_>>().join(" ");
            out.lock().expect("no job panics").take(&outcome, &mutant.name(), &ids);
        }
    };
    std::thread::scope(|scope| (0..arguments.jobs).for_each(|_| drop(scope.spawn(work))));
    let counts = out.into_inner().expect("no job panics").counts;
    println!("{all} changes: {counts:?}; the list is in {}", results.display());
}
