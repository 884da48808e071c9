//! The copy of the repository in which everything is changed, and its test programs.

use crate::change::{Changer, Mutant};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the crate of the copy has besides: the switch.
const SWITCH: &str = r#"
#[doc(hidden)]
#[allow(missing_docs)]
pub mod mutant {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static ACTIVE: LazyLock<u32> =
        LazyLock::new(|| std::env::var("GLASSTCP_MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(0));
    static REACHED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("GLASSTCP_MUTANT_REACHED").ok());
    static SEEN: [AtomicBool; 65536] = [const { AtomicBool::new(false) }; 65536];
    pub fn on(number: u32) -> bool {
        if let Some(path) = &*REACHED
            && !SEEN[number as usize].load(Ordering::Relaxed)
            && !SEEN[number as usize].swap(true, Ordering::Relaxed)
        {
            use std::io::Write;
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let _ = file.and_then(|mut file| file.write_all(format!("{number}\n").as_bytes()));
        }
        *ACTIVE == number
    }
}
"#;

const LIBRARY: &str = "src/lib.rs";

/// Writes a file that is to be other than it is.
fn write(path: &Path, text: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory in the target directory");
        fs::write(path, text).expect("a file in the target directory");
    }
}

/// The copy.
pub struct Tree {
    /// Where it lies.
    pub path: PathBuf,
}

fn cargo() -> Command {
    Command::new(std::env::var_os("MUTANTS_CARGO").unwrap_or_else(|| "cargo".into()))
}

/// One line that tells these changes from others: numbers mean nothing beyond it.
fn fingerprint(root: &Path, files: &[String], wanted: &dyn Fn(&str, (usize, usize)) -> bool) -> String {
    let none = BTreeSet::new();
    let mut changer = Changer::new(&none, wanted);
    for file in files {
        let text = fs::read_to_string(root.join(file)).expect("a source file");
        changer.file(file, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let mut hasher = DefaultHasher::new();
    changer.mutants.iter().for_each(|mutant| mutant.name().hash(&mut hasher));
    format!("{:x}\n", hasher.finish())
}

impl Tree {
    /// Copies what git knows of the repository, without the files that will be changed. What is the same already is left
    /// alone, so that it need not be built again.
    pub fn copy(root: &Path, path: PathBuf, changed: &[String]) -> Tree {
        let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output().expect("git ls-files");
        for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
            if name == LIBRARY || changed.iter().any(|file| file == name) {
                continue;
            }
            let (from, to) = (root.join(name), path.join(name));
            let text = fs::read(&from).unwrap_or_default();
            write(&to, &text);
        }
        Tree { path }
    }

    /// Changes the files until the compiler takes them; returns the changes that it takes.
    pub fn change(&self, root: &Path, files: &[String], wanted: &dyn Fn(&str, (usize, usize)) -> bool) -> Vec<Mutant> {
        let note = self.path.join("refused");
        let fingerprint = fingerprint(root, files, wanted);
        let stored = fs::read_to_string(&note).unwrap_or_default();
        let known = stored.strip_prefix(&fingerprint).unwrap_or("");
        let mut refused: BTreeSet<u32> = known.lines().filter_map(|line| line.parse().ok()).collect();
        loop {
            let mut changer = Changer::new(&refused, wanted);
            for file in files {
                let text = fs::read_to_string(root.join(file)).expect("a source file");
                let changed = changer.file(file, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
                write(&self.path.join(file), changed.as_bytes());
            }
            let library = fs::read_to_string(root.join(LIBRARY)).expect("src/lib.rs");
            let allowed =
                "#![allow(warnings)]\n#![allow(arithmetic_overflow, unconditional_panic)]\n#![deny(unsafe_code)]";
            let library = library.replace("#![deny(unsafe_code)]", allowed);
            write(&self.path.join(LIBRARY), (library + SWITCH).as_bytes());
            let mutants = changer.mutants;
            let errors = self.errors();
            let before = refused.len();
            for (file, line) in &errors {
                refused.extend(self.number_before(file, *line));
            }
            eprintln!("{} changes, {} that the compiler refuses", mutants.len(), refused.len());
            let numbers: Vec<String> = refused.iter().map(u32::to_string).collect();
            fs::write(&note, format!("{fingerprint}{}", numbers.join("\n"))).expect("a file in the target directory");
            if errors.is_empty() {
                return mutants.into_iter().filter(|mutant| !refused.contains(&mutant.number)).collect();
            }
            assert!(
                refused.len() > before,
                "the changed sources do not compile, and no change is at fault: {errors:?}"
            );
        }
    }

    /// Where the compiler finds errors in the library.
    fn errors(&self) -> BTreeSet<(String, usize)> {
        let output = cargo()
            .args(["check", "--lib", "--all-features", "--message-format=short"])
            .current_dir(&self.path)
            .output()
            .expect("cargo check");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let errors: BTreeSet<_> = text
            .lines()
            .filter(|line| line.contains(": error"))
            .filter_map(|line| {
                let mut parts = line.split(':');
                Some((parts.next()?.to_string(), parts.next()?.parse().ok()?))
            })
            .collect();
        assert!(output.status.success() || !errors.is_empty(), "cargo check fails:\n{text}");
        errors
    }

    /// The change nearest before a line of the copy.
    fn number_before(&self, file: &str, line: usize) -> Option<u32> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        let lines: Vec<&str> = text.lines().take(line).collect();
        let (found, rest) =
            lines.iter().rev().find_map(|line| line.rsplit_once("mutant::on(").map(|(_, rest)| (true, rest)))?;
        assert!(found);
        rest.split('u').next()?.parse().ok()
    }

    /// Builds the test programs; returns them by target.
    pub fn programs(&self, targets: &BTreeSet<String>) -> BTreeMap<String, PathBuf> {
        let mut command = cargo();
        command.args(["test", "--no-run", "--all-features"]).current_dir(&self.path);
        for target in targets {
            match target.as_str() {
                "lib" => command.arg("--lib"),
                name => command.args(["--test", name]),
            };
        }
        let output = command.output().expect("cargo test");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the changed tests do not build:\n{text}");
        let mut programs = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("Executable ")) {
            let Some((what, path)) = line.rsplit_once('(') else { continue };
            let what = what.trim().trim_start_matches("unittests src/").trim_start_matches("tests/");
            let target = what.trim_end_matches(".rs").trim_end_matches("/main").to_string();
            programs.insert(target, self.path.join(path.trim_end_matches(')')));
        }
        programs
    }
}
