//! Loss recovery against any peer: what the fuzz target of this name does, for as long as a test may take.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Strings of bytes: the same ones each time.
const CASES: u32 = 2_000;

#[test]
fn any_acknowledgments_losses_and_times() {
    let config = Config { failure_persistence: None, cases: CASES, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let seen = RefCell::new(([0; 5], 0));
    let outcome = runner.run(&vec(any::<u8>(), 8..1_500), |bytes| {
        let reached = crate::recovery_model::play(&bytes);
        let (events, complete) = &mut *seen.borrow_mut();
        events.iter_mut().zip(reached.events).for_each(|(sum, count)| *sum += count);
        *complete += u32::from(reached.complete);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    // It says something only where there is recovery to look at.
    let (events, complete) = seen.into_inner();
    println!("recoveries, timeouts, mistakes, marks, smaller paths: {events:?}; complete: {complete} of {CASES}");
    assert!(events.iter().all(|&count| count > u64::from(CASES) / 20), "{events:?}");
    assert!(complete > CASES / 2, "{complete}");
}
