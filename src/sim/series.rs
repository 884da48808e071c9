//! What plots are drawn from.

use std::time::Duration;

use crate::tcp::congestion::Rate;
use crate::tcp::snapshot::Snapshot;

/// The state of a sender at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// cwnd, in octets.
    pub cwnd: u32,
    /// ssthresh, in octets; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Octets in the network by the sender's own account (pipe).
    pub in_flight: u32,
    /// What it paces to, in octets per second, where it does.
    pub pacing_rate: Option<u64>,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
}

impl Sample {
    /// Of this state.
    pub fn new(at: Duration, snapshot: &Snapshot) -> Sample {
        let Snapshot { cwnd, ssthresh, in_flight, srtt, pacing_rate, .. } = *snapshot;
        Sample { at, cwnd, ssthresh, in_flight, pacing_rate: pacing_rate.map(Rate::octets_per_sec), srtt }
    }
}

/// The queue at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSample {
    /// Since the start.
    pub at: Duration,
    /// Bytes that wait, with the packet that is being sent.
    pub bytes: u64,
}

/// What happened to a stretch of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// It was sent for the first time.
    Sent,
    /// It was sent again.
    Again,
    /// The sender has heard that everything up to `end` has arrived.
    Ack,
    /// The sender has heard that it has arrived out of order.
    Sack,
    /// A segment was dropped or lost; which one is not said.
    Lost,
}

/// A mark in the time-sequence graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Since the start.
    pub at: Duration,
    /// What.
    pub kind: MarkKind,
    /// Position of the first octet in the stream.
    pub start: u64,
    /// Position behind the last one.
    pub end: u64,
}

/// All of one flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowSeries {
    /// At even distances.
    pub samples: Vec<Sample>,
    /// In the order of time.
    pub marks: Vec<Mark>,
    /// Marks that were too many to be kept.
    pub unmarked: u64,
}

/// All of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// How long it took.
    pub duration: Duration,
    /// By flow.
    pub flows: Vec<FlowSeries>,
    /// The queue of the bottleneck.
    pub line: Vec<LineSample>,
}
