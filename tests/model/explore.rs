//! Breadth-first exploration: all worlds that can be reached, nearest first, so that what is found has the shortest path.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::action::Action;
use super::canonical::canonical;
use super::check::{self, Finish};
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use super::world::World;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// States after which the exploration ends, incomplete.
    pub states: usize,
    /// Threads that explore.
    pub threads: usize,
    /// Finish from each state in all ways, not in one that changes from state to state.
    pub all_ways: bool,
    /// Print each level.
    pub progress: bool,
}

/// What was explored.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// States that differ.
    pub states: usize,
    /// Actions that were tried.
    pub transitions: usize,
    /// Actions on the longest of the shortest paths.
    pub depth: usize,
    /// Times that both applications finished.
    pub endings: usize,
    /// The longest that any of them took, in virtual time.
    pub longest: Duration,
    /// All that can be reached was.
    pub complete: bool,
    /// What is wrong, if anything is.
    pub violation: Option<Violation>,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What.
    pub what: String,
    /// How to get there.
    pub path: Vec<Action>,
    /// How the applications finished after it.
    pub finish: Option<Finish>,
}

/// The keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.0 ^= chunk.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
    }
}

type Seen = HashSet<u128, BuildHasherDefault<AsItIs>>;

/// How a state was reached: from which, by what.
type Node = (u32, Action);

/// A state that was not known before.
struct Found {
    job: usize,
    key: u128,
    enabled: Vec<Action>,
    checked: Result<Duration, (String, Option<Finish>)>,
    endings: usize,
}

struct Explorer<'a> {
    scenario: &'a Scenario,
    sabotage: Option<Sabotage>,
    limits: Limits,
    nodes: Vec<Node>,
    seen: Seen,
}

/// Explores everything that can happen.
pub fn explore(scenario: &Scenario, sabotage: Option<Sabotage>, limits: Limits) -> Report {
    let mut explorer = Explorer { scenario, sabotage, limits, nodes: Vec::new(), seen: Seen::default() };
    let mut report = Report { states: 1, ..Report::default() };
    let start = World::new(scenario, sabotage);
    explorer.seen.insert(canonical(&start));
    // The root is its own parent.
    explorer.nodes.push((0, Action::Timer));
    let mut frontier: Vec<(u32, Action)> = start.enabled().into_iter().map(|action| (0, action)).collect();
    while !frontier.is_empty() {
        let found = explorer.level(&frontier);
        report.transitions += frontier.len();
        let mut next = Vec::new();
        for state in found {
            if !explorer.seen.insert(state.key) {
                continue;
            }
            report.states += 1;
            report.endings += state.endings;
            let (from, action) = frontier[state.job];
            match state.checked {
                Ok(took) => report.longest = report.longest.max(took),
                Err((what, finish)) => {
                    let mut path = explorer.path(from);
                    path.push(action);
                    report.violation = Some(Violation { what, path, finish });
                    return report;
                }
            }
            let node = explorer.nodes.len() as u32;
            explorer.nodes.push((from, action));
            next.extend(state.enabled.into_iter().map(|action| (node, action)));
        }
        if next.is_empty() {
            report.complete = true;
            return report;
        }
        report.depth += 1;
        if limits.progress {
            eprintln!("  {}: depth {}, {} states, {} to try", scenario.name, report.depth, report.states, next.len());
        }
        if report.states >= limits.states {
            return report;
        }
        frontier = next;
    }
    report.complete = true;
    report
}

impl Explorer<'_> {
    /// The actions that lead to a node.
    fn path(&self, mut node: u32) -> Vec<Action> {
        let mut path = Vec::new();
        while node != 0 {
            let (parent, action) = self.nodes[node as usize];
            path.push(action);
            node = parent;
        }
        path.reverse();
        path
    }

    /// All of one level: what is new, in the order of the jobs.
    fn level(&self, jobs: &[(u32, Action)]) -> Vec<Found> {
        /// Jobs that a thread takes at once.
        const PORTION: usize = 64;
        let next = AtomicUsize::new(0);
        let work = || {
            let (mut found, mut local) = (Vec::new(), Seen::default());
            loop {
                let start = next.fetch_add(PORTION, Ordering::Relaxed);
                if start >= jobs.len() {
                    return found;
                }
                for job in start..jobs.len().min(start + PORTION) {
                    found.extend(self.job(job, jobs[job], &mut local));
                }
            }
        };
        let mut all: Vec<Found> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..self.limits.threads).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            threads.into_iter().for_each(|thread| all.extend(thread.join().unwrap()));
            all
        });
        // Whoever was first does not matter then: the same states are found by the same paths, however many threads there are.
        all.sort_by_key(|found| found.job);
        all
    }

    fn job(&self, job: usize, (node, action): (u32, Action), local: &mut Seen) -> Option<Found> {
        let mut path = self.path(node);
        path.push(action);
        // A panic of the stack is a finding like any other.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.look(&path, local)));
        outcome
            .unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
                let key = u128::MAX - job as u128;
                Some((key, Vec::new(), Err((format!("panic: {text}"), None)), 0))
            })
            .map(|(key, enabled, checked, endings)| Found { job, key, enabled, checked, endings })
    }

    /// The state at the end of a path, if it is new.
    #[allow(clippy::type_complexity)]
    fn look(
        &self,
        path: &[Action],
        local: &mut Seen,
    ) -> Option<(u128, Vec<Action>, Result<Duration, (String, Option<Finish>)>, usize)> {
        let mut world = World::after(self.scenario, self.sabotage, path);
        let key = canonical(&world);
        if self.seen.contains(&key) || !local.insert(key) {
            return None;
        }
        let enabled = world.enabled();
        if let Err(what) = check::always(&world) {
            return Some((key, enabled, Err((what, None)), 0));
        }
        let ways = if self.limits.all_ways { &Finish::ALL[..] } else { &Finish::ALL[key as usize % 4..][..1] };
        let mut longest = Duration::ZERO;
        for (count, &way) in ways.iter().enumerate() {
            if count > 0 {
                world = World::after(self.scenario, self.sabotage, path);
            }
            match check::finish(&mut world, way) {
                Ok(took) => longest = longest.max(took),
                Err(what) => return Some((key, enabled, Err((what, Some(way))), count + 1)),
            }
        }
        Some((key, enabled, Ok(longest), ways.len()))
    }
}

/// What happened on the way to a violation, for a reader.
pub fn story(scenario: &Scenario, sabotage: Option<Sabotage>, violation: &Violation) -> String {
    let mut world = World::new(scenario, sabotage);
    world.log = Some(Vec::new());
    let told = catch_unwind(AssertUnwindSafe(|| {
        violation.path.iter().for_each(|&action| world.apply(action));
        if let Some(finish) = violation.finish {
            check::finish(&mut world, finish).ok();
        }
    }));
    let mut lines = world.log.take().unwrap_or_default();
    if told.is_err() {
        lines.push("    (a panic)".into());
    }
    let steps = violation.path.len();
    format!("{}: {}\nafter {steps} steps:\n{}\n", scenario.name, violation.what, lines.join("\n"))
}
