//! What changes on a path, and when.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;

/// A change of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The route changes: another delay from the end of the line to the arrival.
    Delay(Duration),
    /// The line carries so many bits per second.
    Rate(u64),
    /// So many packets in a million are lost.
    Loss(u32),
    /// All packets are lost from now on.
    Down,
    /// They pass again.
    Up,
}

/// Changes to come, the next one first.
#[derive(Debug, Default)]
pub(super) struct Schedule(VecDeque<(Instant, Change)>);

impl Schedule {
    /// Of two at the same time, the one that was added first comes first.
    pub(super) fn add(&mut self, at: Instant, change: Change) {
        let place = self.0.partition_point(|&(other, _)| other <= at);
        self.0.insert(place, (at, change));
    }

    /// The next change, if its time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Change> {
        let &(at, change) = self.0.front()?;
        if at > now {
            return None;
        }
        self.0.pop_front();
        Some(change)
    }
}
