//! The fuzz targets, with the inputs of a seeded generator: in every run of the tests a fixed number of them, the same ones on
//! every machine. `scripts/fuzz.sh` runs them for longer, and under libFuzzer, which sees which input reaches new code.
//!
//! | variable | what it does |
//! |---|---|
//! | `GLASSTCP_FUZZ_SECONDS` | goes on for so long, with inputs of other seeds |
//! | `GLASSTCP_FUZZ_INPUT` | plays this file, and nothing else |
//!
//! An input that finds something is written to fuzz/artifacts, and its name is printed.

mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use glasstcp::rng::KeyedRng;
use targets::{ALL, Target};

/// Octets that are often at an edge.
const EDGES: [u8; 10] = [0, 1, 2, 4, 5, 0x40, 0x7F, 0x80, 0xFE, 0xFF];

/// An input: by chance alone, or one that means something with changes.
fn input(rng: &mut KeyedRng, seeds: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let pick = |rng: &mut KeyedRng| &seeds[rng.below(seeds.len() as u64) as usize];
    let mut bytes = match rng.below(8) {
        0..=4 if !seeds.is_empty() => pick(rng).clone(),
        5 if !seeds.is_empty() => {
            // The beginning of one, the end of another.
            let (first, second) = (pick(rng).clone(), pick(rng));
            let (to, from) = (rng.below(first.len() as u64 + 1), rng.below(second.len() as u64 + 1));
            [&first[..to as usize], &second[from as usize..]].concat()
        }
        _ => {
            let len = rng.below(longest as u64);
            (0..len).map(|_| rng.below(256) as u8).collect()
        }
    };
    for _ in 0..rng.below(6) {
        change(rng, &mut bytes);
    }
    bytes.truncate(longest);
    bytes
}

fn change(rng: &mut KeyedRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(rng.below(256) as u8);
    }
    let at = rng.below(bytes.len() as u64) as usize;
    let end = (at + 1 + rng.below(8) as usize).min(bytes.len());
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = EDGES[rng.below(EDGES.len() as u64) as usize],
        2 => bytes[at] = bytes[at].wrapping_add(rng.below(9) as u8).wrapping_sub(4),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.splice(at..at, (at..end).map(|_| rng.below(256) as u8)).for_each(drop),
        5 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(end..end, again).for_each(drop);
        }
        _ => bytes.truncate(at),
    }
}

/// Plays one input; one that finds something is kept.
fn run(target: &Target, bytes: &[u8]) {
    if let Err(found) = catch_unwind(AssertUnwindSafe(|| (target.play)(bytes))) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/artifacts").join(target.name);
        let name = folder.join(format!("generated-{:016x}", fingerprint(bytes)));
        let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&name, bytes));
        eprintln!(
            "{} has found something in {} octets, kept in {}: {kept:?}",
            target.name,
            bytes.len(),
            name.display()
        );
        resume_unwind(found);
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, &octet| (sum ^ u64::from(octet)).wrapping_mul(0x100_0000_01B3))
}

fn fuzz(name: &str) {
    let target = ALL.iter().find(|target| target.name == name).expect("there is such a target");
    if let Ok(file) = std::env::var("GLASSTCP_FUZZ_INPUT") {
        return (target.play)(&std::fs::read(file).expect("the input can be read"));
    }
    let seeds = (target.seeds)();
    seeds.iter().for_each(|seed| run(target, seed));
    let seconds = std::env::var("GLASSTCP_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("GLASSTCP_FUZZ_SECONDS is a number of seconds"));
    let Some(seconds) = seconds else {
        let mut rng = KeyedRng::from_seed(1);
        return (0..target.inputs).for_each(|_| run(target, &input(&mut rng, &seeds, target.longest)));
    };
    let (start, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut rng = KeyedRng::from_seed(std::process::id().into());
    let mut inputs = 0_u64;
    while start.elapsed() < time {
        (0..100).for_each(|_| run(target, &input(&mut rng, &seeds, target.longest)));
        inputs += 100;
    }
    eprintln!("{name}: {inputs} inputs");
}

/// 9293-MUST-7, 1122-3.2.1.2
#[test]
fn parser() {
    fuzz("parser");
}

/// 9293-MUST-6, 9293-MUST-64, 9293-MUST-68
#[test]
fn options() {
    fuzz("options");
}

/// 1858-4, 5722-4-1
#[test]
fn reassembly() {
    fuzz("reassembly");
}

/// 9293-3.10.7.4-4
#[test]
fn segment_in_any_state() {
    fuzz("segment_in_any_state");
}

/// 9293-MUST-2
#[test]
fn two_stacks() {
    fuzz("two_stacks");
}

#[test]
fn recovery() {
    fuzz("recovery");
}

#[test]
fn congestion() {
    fuzz("congestion");
}

#[cfg(feature = "trace")]
#[test]
fn capture() {
    fuzz("capture");
}

/// 1122-3.2.1.2: a receiver adds up, and takes either form of zero (RFC 1071 section 2).
#[test]
fn a_sum_of_zero_has_two_forms() {
    for packet in targets::seeds::sums_of_zero() {
        let ip = glasstcp::wire::parse_ip(&packet).expect("a sound header");
        let message = glasstcp::wire::icmp::parse(ip.source, ip.destination, ip.payload);
        assert!(matches!(message, Ok(glasstcp::wire::icmp::IcmpMessage::EchoReply(_))), "{message:?}");
        targets::packet::play(&[&[0][..], &packet].concat());
    }
}

/// Among them a SYN whose window of 0 once made a simultaneous open patient for ever.
#[test]
fn what_libfuzzer_has_found_is_played_again() {
    for (name, octets) in targets::seeds::FOUND {
        let target = ALL.iter().find(|target| target.name == name).expect("there is such a target");
        let octets: Vec<u8> = (0..octets.len() / 2)
            .map(|at| u8::from_str_radix(&octets[2 * at..2 * at + 2], 16).expect("hexadecimal digits"))
            .collect();
        (target.play)(&octets);
    }
}

/// Every target of fuzz/ is here, and every one here is there.
#[test]
fn targets_are_complete() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names: Vec<&str> = ALL.iter().map(|target| target.name).collect();
    if cfg!(not(feature = "trace")) {
        names.push("capture");
    }
    names.sort_unstable();
    assert_eq!(names, files);
}
