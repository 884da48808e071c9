//! The differences that were found: who sends otherwise than the reference, in what kind of way, in which scenarios.

use std::collections::BTreeMap;

use super::compare::{Kind, compare};
use glasstcp::trace::segment::Side;

use super::run::Outcome;
use super::scenario::{Class, Scenario};

/// How many examples of a kind are kept for each sort of scenario.
const EXAMPLES: usize = 3;

/// Who, and how.
pub type Key = (&'static str, Kind);

/// All that was found against one other stack.
#[derive(Default)]
pub struct Findings {
    /// With some examples, and how many scenarios have it.
    pub found: BTreeMap<Key, BTreeMap<Class, (usize, Vec<String>)>>,
    /// Conversations compared.
    pub conversations: usize,
    /// Segments in them.
    pub segments: usize,
}

impl Findings {
    /// Compares what both ends of a conversation sent with the reference; `stacks` are the opener's and the acceptor's.
    pub fn compare(&mut self, scenario: &Scenario, stacks: [&'static str; 2], reference: &Outcome, other: &Outcome) {
        self.conversations += 1;
        self.segments += other.taps[0].segments.len();
        for (place, side) in Side::BOTH.into_iter().enumerate() {
            // At the end in question, where it is known what it knew.
            let differences = compare(&reference.taps[place], &other.taps[place], side);
            let mut seen = BTreeMap::new();
            for difference in differences {
                seen.entry(difference.kind).or_insert(difference);
            }
            for (kind, difference) in seen {
                let classes = self.found.entry((stacks[place], kind)).or_default();
                let (count, examples) = classes.entry(scenario.class).or_default();
                *count += 1;
                if examples.len() < EXAMPLES {
                    let [opener, acceptor] = stacks;
                    examples.push(format!("{}, {opener} to {acceptor}: {difference}", scenario.name));
                }
            }
        }
    }

    /// Takes in what another thread has found.
    pub fn merge(&mut self, other: Findings) {
        self.conversations += other.conversations;
        self.segments += other.segments;
        for (key, classes) in other.found {
            let own = self.found.entry(key).or_default();
            for (class, (count, examples)) in classes {
                let place = own.entry(class).or_default();
                place.0 += count;
                place.1.extend(examples);
                place.1.truncate(EXAMPLES);
            }
        }
    }
}

/// Panics unless each application has read all that the other one has written, and has seen its end.
pub fn check_streams(scenario: &Scenario, stacks: [&str; 2], outcome: &Outcome) {
    let what = format!("{}, {stacks:?}: {:?}", scenario.name, outcome.read);
    for (side, &(read, eof, failed)) in outcome.read.iter().enumerate() {
        let wanted = scenario.apps[1 - side].send;
        if scenario.class == Class::Ending && scenario.name != "both send and close" {
            assert!(read <= wanted, "{what}");
            continue;
        }
        assert_eq!((read, eof, failed), (wanted, true, false), "{what}");
    }
}
