//! What a correct TCP makes of a captured connection, from the point of view of one end, and where that end departs from it.
//!
//! What the end received goes through the state machine of this crate: the half-open record, the connection and the record of
//! TIME-WAIT that [`crate::stack`] uses, in virtual time, with the ISS of the capture. What the end sent says what its
//! application did, and is put down in the same connection as if it had left here. Where the end answers what it should not,
//! or not what it should, is a [`Fault`].
//!
//! The order of a capture is that of the place where it was taken. Taken at the end itself, it is the order in which the end
//! saw things; taken elsewhere, an answer may be on its way while the question is. So what depends on the order of what it
//! received and sent, and on time, is a fault only of the end at which the capture was taken ([`Explanation::near`]).

mod facts;
mod fast_open;
mod fault;
mod judge;
mod mirror;
mod replay;

pub use fault::Fault;

use super::connection::Connection;
use super::segment::{Seg, Side};
use crate::counters::DropReason;
use crate::device::pcapng::Direction;
use crate::tcp::state::State;
use crate::tcp::why::Why;
use crate::wire::tcp::Flags;
use judge::Judge;
use replay::Replay;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The end sent it.
    Sent,
    /// The end received it, and its TCP takes it.
    Accepted,
    /// The end received it, and its TCP drops it.
    Dropped(DropReason),
}

/// Something to say of a segment, or of what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken; `None` for what is worth knowing and no fault.
    pub fault: Option<Fault>,
    /// In words, with numbers.
    pub text: String,
}

/// What is to be said of one segment.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its place in the connection.
    pub place: usize,
    /// The state of the end before it.
    pub before: State,
    /// The state after it.
    pub after: State,
    /// What became of it.
    pub verdict: Verdict,
    /// The rule by which it was taken or dropped, where one rule says so.
    pub rule: Option<&'static str>,
    /// What it did, in the words of [`super::annotate::Act`], and with numbers where there are some.
    pub acts: Vec<String>,
    /// What is wrong or worth knowing.
    pub findings: Vec<Finding>,
}

/// What is to be said of a connection.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The end from whose point of view.
    pub side: Side,
    /// The capture was taken at this end, as far as can be told.
    pub near: bool,
    /// The beginning is missing, so nothing is known of what was agreed on.
    pub partial: bool,
    /// The capture lacks packets of which both ends knew. What they might excuse is no fault.
    pub incomplete: bool,
    /// Segment by segment.
    pub lines: Vec<Line>,
}

impl Explanation {
    /// How many faults there are.
    pub fn faults(&self) -> usize {
        self.lines.iter().flat_map(|line| &line.findings).filter(|finding| finding.fault.is_some()).count()
    }
}

/// At which end a capture was taken: as its directions say, else by which of SYN and SYN,ACK was answered faster; `None` where
/// neither tells.
pub fn taken_at(connection: &Connection) -> Option<Side> {
    for seg in &connection.segs {
        match seg.direction {
            Some(Direction::Out) => return Some(seg.from),
            Some(Direction::In) => return Some(seg.from.other()),
            None => {}
        }
    }
    let syn = connection.syn(Side::Client)?;
    let syn_ack = connection.syn(Side::Server)?;
    let follows = |seg: &&Seg| seg.from == Side::Client && seg.frame > syn_ack.frame && seg.has(Flags::ACK);
    let ack = connection.segs.iter().find(follows)?;
    let there = syn_ack.time_ns.checked_sub(syn.time_ns)?;
    let back = ack.time_ns.checked_sub(syn_ack.time_ns)?;
    match there.cmp(&back) {
        std::cmp::Ordering::Less => Some(Side::Server),
        std::cmp::Ordering::Greater => Some(Side::Client),
        std::cmp::Ordering::Equal => None,
    }
}

/// Explains a connection from the point of view of one end.
pub fn explain(connection: &Connection, side: Side) -> Explanation {
    let near = taken_at(connection).is_none_or(|end| end == side);
    let mut replay = Replay::new(connection, side);
    let mut judge = Judge::new(connection, side, near, replay.partial());
    let mut lines = Vec::with_capacity(connection.segs.len());
    for (place, seg) in connection.segs.iter().enumerate() {
        let before = replay.state();
        let mut findings = judge.passes(seg);
        let line = if seg.from == side {
            if let Some(octets) = replay.fill(seg, judge.holes()) {
                let text = format!("the capture lacks {octets} octets that it must have received");
                findings.push(Finding { fault: None, text });
            }
            findings.extend(judge.sent(seg, &replay));
            let acts = replay.send(seg);
            judge.has_sent(seg);
            let rule = opening_rule(seg, &acts);
            Line { place, before, after: replay.state(), verdict: Verdict::Sent, rule, acts, findings }
        } else {
            let received = replay.receive(place, seg);
            findings.extend(judge.received(seg, &received, &replay));
            let verdict = received.dropped.map_or(Verdict::Accepted, Verdict::Dropped);
            let (rule, acts) = (received.rule, received.acts);
            Line { place, before, after: replay.state(), verdict, rule, acts, findings }
        };
        lines.push(line);
    }
    Explanation { side, near, partial: replay.partial(), incomplete: judge.incomplete(), lines }
}

/// The rule by which the end sends a SYN or SYN,ACK.
fn opening_rule(seg: &Seg, acts: &[String]) -> Option<&'static str> {
    let first = acts.first().filter(|_| seg.has(Flags::SYN))?;
    Why::ALL.iter().find(|why| why.word() == first.as_str()).map(|why| why.rule())
}
