//! Scenarios for longer runs: the paths of the matrix with other seeds, and conversations of which everything is by chance.

use std::time::Duration;

use glasstcp::device::impair::Impairment;
use glasstcp::rng::KeyedRng;

use super::shared::scenario::{App, Class, Close, Scenario, all};

/// How many conversations by chance each seed has.
const CONVERSATIONS: u64 = 30;

/// What a seed has; the first one is that of the test, and has none of this.
pub fn scenarios(seed: u64) -> Vec<Scenario> {
    let mut rng = KeyedRng::from_seed(seed);
    let matrix = all().into_iter().filter(|scenario| scenario.class == Class::Matrix);
    let again = matrix.map(|scenario| Scenario {
        name: format!("{}, seed {seed}", scenario.name),
        class: Class::Chance,
        ..scenario
    });
    again
        .chain((0..CONVERSATIONS).map(|number| conversation(&format!("by chance {seed}.{number}"), &mut rng)))
        .collect()
}

fn one_of<T: Copy>(rng: &mut KeyedRng, values: &[T]) -> T {
    values[rng.below(values.len() as u64) as usize]
}

fn ms(rng: &mut KeyedRng, most: u64) -> Duration {
    Duration::from_millis(rng.below(most + 1))
}

fn path(rng: &mut KeyedRng) -> Impairment {
    let mut path = Impairment::perfect().delay(Duration::from_millis(1) + ms(rng, 60));
    if rng.below(2) == 0 {
        path = path.rate(one_of(rng, &[2_000_000, 10_000_000, 50_000_000])).queue(one_of(rng, &[20_000, 100_000]));
    }
    if rng.below(2) == 0 {
        path = path.loss(one_of(rng, &[1_000, 10_000, 30_000]));
    }
    if rng.below(3) == 0 {
        let late = Duration::from_millis(1) + ms(rng, 30);
        path = path.reorder(one_of(rng, &[5_000, 30_000]), late);
    }
    if rng.below(4) == 0 {
        path = path.duplicate(10_000);
    }
    path
}

fn app(rng: &mut KeyedRng) -> App {
    let octets = one_of(rng, &[0, 1, 100, 3_000, 40_000, 150_000]);
    let write = match rng.below(4) {
        0 if octets <= 3_000 => (one_of(rng, &[1, 50, 700]), ms(rng, 5)),
        1 => (octets.max(1) as usize, Duration::ZERO),
        _ => (10_000, Duration::ZERO),
    };
    let read_after = if rng.below(5) == 0 { ms(rng, 1_500) } else { Duration::ZERO };
    App { write, read_after, ..App::sends(octets) }
}

fn conversation(name: &str, rng: &mut KeyedRng) -> Scenario {
    let mut apps = [app(rng), app(rng)];
    // One of the two may wait for the end of the other's stream: before it ends its own, or before it writes.
    let waits = &mut apps[rng.below(2) as usize];
    match rng.below(4) {
        0 => waits.close = Close::AfterPeer,
        1 => (waits.close, waits.late) = (Close::AfterPeer, true),
        _ => {}
    }
    let [opener, acceptor] = apps;
    let mut scenario = Scenario::new(name, Class::Chance, opener, acceptor);
    scenario.path.impairments = [path(rng), path(rng)];
    scenario.ipv6 = rng.below(3) == 0;
    scenario.mtu = one_of(rng, &[1_500, 1_500, 1_280]);
    scenario.receive_capacity = one_of(rng, &[8_192, 64 << 10, 256 << 10]);
    scenario.nodelay = rng.below(3) == 0;
    scenario.real = false;
    scenario
}
