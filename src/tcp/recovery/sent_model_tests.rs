//! Tests of [`super::sent`] and [`super::rack`] against a model that knows each octet.

use std::time::Duration;

use proptest::prelude::*;

use super::rack::{self, Rack};
use super::sent::SentRecords;
use super::sent_tests::{SEGMENT, acknowledge, record, sack};
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

/// The state of one octet in the model.
#[derive(Clone, Copy, Debug, Default)]
struct Octet {
    at: u64,
    again: bool,
    sacked: bool,
    lost: bool,
    /// A retransmission whose mark was taken back: it is left to the timer.
    spared: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u32),
    Acknowledge(u32),
    Sack(u32, u32),
    Retransmit(u32),
    Probe,
    Detect(u32),
    LoseAll,
    LoseUntil(u32),
    Renege,
    Unmark,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..60u32).prop_map(Step::Push),
        3 => (0..40u32).prop_map(Step::Acknowledge),
        6 => (0..150u32, 1..60u32).prop_map(|(at, len)| Step::Sack(at, len)),
        4 => (1..50u32).prop_map(Step::Retransmit),
        1 => Just(Step::Probe),
        6 => (0..20u32).prop_map(Step::Detect),
        1 => Just(Step::LoseAll),
        1 => (0..30u32).prop_map(Step::LoseUntil),
        1 => Just(Step::Renege),
        1 => Just(Step::Unmark),
    ]
}

/// The records beside a model.
struct Pair {
    sent: SentRecords,
    rack: Rack,
    model: Vec<Octet>,
    una: SeqNumber,
    now: u64,
}

impl Pair {
    fn take(&mut self, step: Step) {
        self.now += 1;
        let now = Instant::from_millis(self.now);
        let len = self.model.len() as u32;
        match step {
            Step::Push(octets) => {
                self.sent.push(record(self.una + len, octets, now));
                let octet = Octet { at: self.now, ..Octet::default() };
                self.model.extend(std::iter::repeat_n(octet, octets as usize));
            }
            Step::Acknowledge(octets) => {
                let octets = octets.min(len);
                let done = acknowledge(&mut self.sent, self.una + octets);
                let gone: Vec<Octet> = self.model.drain(..octets as usize).collect();
                assert_eq!(done.octets as usize, gone.iter().filter(|octet| !octet.sacked).count());
                self.una += octets;
                self.rack.update(&done, now);
            }
            Step::Sack(at, octets) => {
                let (left, right) = (at.max(1), (at.max(1) + octets).min(len));
                if left < right {
                    let before = self.sent.sacked().clone();
                    let done = sack(&mut self.sent, (self.una + left, self.una + right));
                    assert_eq!(done.octets, self.sent.sacked().octets() - before.octets());
                    for (at, octet) in self.model.iter_mut().enumerate() {
                        let seq = self.una + at as u32;
                        let marked = self.sent.sacked().covers(seq, seq + 1);
                        let told = (left..right).contains(&(at as u32));
                        assert!(marked == octet.sacked || (marked && told), "no more than was told");
                        octet.sacked = marked;
                        octet.lost &= !marked;
                    }
                    self.rack.update(&done, now);
                }
            }
            Step::Retransmit(limit) => {
                if let Some((seq, run)) = self.sent.first_lost() {
                    self.resend(seq, run.min(limit), now);
                }
            }
            Step::Probe => {
                if let Some(last) = self.sent.last() {
                    self.resend(last.last_segment(), last.end().since(last.last_segment()), now);
                }
            }
            Step::Detect(window) => self.detect(window, now),
            Step::LoseAll => {
                self.sent.mark_all_lost();
                self.model.iter_mut().for_each(|octet| octet.lost = !octet.sacked);
            }
            Step::LoseUntil(millis) => {
                let limit = self.now.saturating_sub(millis.into());
                let first = self.sent.first().map_or(0, |first| first.len);
                self.sent.mark_lost_until(Instant::from_millis(limit));
                for (at, octet) in self.model.iter_mut().enumerate() {
                    octet.lost |= !octet.sacked && (octet.at <= limit || (at as u32) < first);
                }
            }
            Step::Renege => {
                self.sent.forget_sacked();
                for octet in &mut self.model {
                    octet.spared |= octet.sacked && octet.again;
                    octet.sacked = false;
                }
            }
            Step::Unmark => {
                self.sent.unmark_lost();
                for octet in &mut self.model {
                    octet.spared |= octet.lost && octet.again;
                    octet.lost = false;
                }
            }
        }
        self.check();
    }

    fn resend(&mut self, seq: SeqNumber, octets: u32, now: Instant) {
        self.sent.retransmitted(seq, octets, SEGMENT as u16, now);
        let from = seq.since(self.una) as usize;
        for octet in &mut self.model[from..from + octets as usize] {
            *octet = Octet { at: self.now, again: true, sacked: octet.sacked, ..Octet::default() };
        }
    }

    /// By time alone everything that is due must be lost, and nothing else.
    fn detect(&mut self, window: u32, now: Instant) {
        let Some((latest, rtt)) = self.rack.latest().zip(self.rack.rtt()) else { return };
        let losses = rack::detect(&mut self.sent, &self.rack, Duration::from_millis(window.into()), now);
        let patience = rtt.as_millis() as u64 + u64::from(window);
        let (mut marked, mut next) = (0, None::<u64>);
        for (at, octet) in self.model.iter_mut().enumerate() {
            let seq = self.una + at as u32;
            let lost = self.sent.lost().covers(seq, seq + 1);
            let before = Instant::from_millis(octet.at) < latest.at;
            let candidate = !octet.sacked && !octet.lost;
            if candidate && !octet.spared && before && octet.at + patience <= self.now {
                assert!(lost, "{octet:?} at {seq} is due at {}", self.now);
            }
            if candidate && !octet.spared && before && octet.at + patience > self.now {
                next = next.max(Some(octet.at + patience));
            }
            if lost && !octet.lost {
                assert!(candidate && Instant::from_millis(octet.at) <= latest.at && octet.at + patience <= self.now);
                marked += 1;
            }
            octet.lost = lost;
        }
        assert_eq!(losses.octets, marked);
        if let Some(next) = next {
            // For all of them, and no later than what could be lost at all.
            let latest = latest.at + Duration::from_millis(patience);
            assert!(
                losses.next.is_some_and(|at| at >= Instant::from_millis(next) && at <= latest),
                "{losses:?} {next}"
            );
        }
    }

    /// 6675-4-2
    fn check(&self) {
        assert!(self.sent.is_consistent());
        let in_flight = self.model.iter().filter(|octet| !octet.sacked && !octet.lost).count();
        assert_eq!(self.sent.in_flight() as usize, in_flight);
        for (at, octet) in self.model.iter().enumerate() {
            let seq = self.una + at as u32;
            let seen = (self.sent.sacked().covers(seq, seq + 1), self.sent.lost().covers(seq, seq + 1));
            assert_eq!(seen, (octet.sacked, octet.lost), "{at}");
        }
        let octets: usize = self.sent.iter().map(|record| record.len as usize).sum();
        assert_eq!(octets, self.model.len());
        let mut seq = self.una;
        for record in self.sent.iter() {
            let octet = self.model[seq.since(self.una) as usize];
            assert_eq!((record.sent_at, record.is_retransmission()), (Instant::from_millis(octet.at), octet.again));
            seq = record.end();
        }
    }
}

proptest! {
    /// 6675-4-1, 6675-4-2, 8985-6.2-5: whatever happens, the counts are those of the model.
    #[test]
    fn the_scoreboard_agrees_with_a_model(
        base in prop::sample::select(vec![0, u32::MAX, u32::MAX - 200, (1 << 31) - 100]),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (sent, rack) = (SentRecords::default(), Rack::default());
        let mut pair = Pair { sent, rack, model: Vec::new(), una: SeqNumber(base), now: 1_000 };
        for step in steps {
            pair.take(step);
        }
    }
}
