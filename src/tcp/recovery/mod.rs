//! Loss recovery: what was sent, how long an answer takes, what is taken for lost. Plain data in, plain data out; nothing
//! here points back to the connection (rule 4 of docs/decisions.md).

use std::collections::VecDeque;

pub mod delivery_rate;
pub mod new_reno;
pub mod pacing;
pub mod rto;
pub mod rtt;
pub mod sent;

use sent::SentRecords;

/// What exists only while something is in flight: boxed, and given back when everything is acknowledged.
#[derive(Debug, Default)]
pub struct Transfer {
    /// The records of what is in flight, in sequence order.
    pub sent: SentRecords,
}

/// Boxes of [`Transfer`] at rest, so that a request and its answer allocate nothing.
#[derive(Debug, Default)]
pub struct TransferPool {
    // The boxes themselves are what is kept: a connection takes one and gives it back.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Transfer>>,
}

/// Boxes kept at rest.
const MAX_SPARE: usize = 1_024;

/// Records for which a box at rest keeps room.
const MAX_SPARE_RECORDS: usize = 256;

impl TransferPool {
    /// An empty transfer.
    pub fn take(&mut self) -> Box<Transfer> {
        self.spare.pop().unwrap_or_default()
    }

    /// Gives a transfer back.
    pub fn put(&mut self, mut transfer: Box<Transfer>) {
        if self.spare.len() < MAX_SPARE {
            transfer.sent.clear();
            transfer.sent.shrink_to(MAX_SPARE_RECORDS);
            self.spare.push(transfer);
        }
    }
}

/// The queue type of [`SentRecords`].
pub(crate) type Records = VecDeque<sent::SentRecord>;
