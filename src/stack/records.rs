//! The records that belong to no socket yet or any more, to look at.

use super::Stack;
use crate::tcp::FourTuple;
use crate::tcp::half_open::HalfOpen;
use crate::tcp::time_wait::TimeWait;
use crate::time::Instant;

impl Stack {
    /// The half-open records: of SYNs that came to a listener and were not acknowledged yet. With each the time of its next
    /// deadline.
    pub fn half_open_records(&self) -> impl Iterator<Item = (&FourTuple, &HalfOpen, Option<Instant>)> + '_ {
        self.half_open.iter().map(|(_, entry)| (&entry.tuple, &entry.record, self.wheel.deadline(entry.timer)))
    }

    /// The TIME-WAIT records.
    pub fn time_wait_records(&self) -> impl Iterator<Item = (&FourTuple, &TimeWait)> + '_ {
        self.time_wait.iter().map(|(_, entry)| (&entry.tuple, &entry.record))
    }
}
