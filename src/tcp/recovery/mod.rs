//! Loss recovery: what was sent, how long an answer takes, what is taken for lost. Plain data in, plain data out; nothing
//! here points back to the connection (rule 4 of docs/decisions.md). [`super::loss`] puts the parts together.
//!
//! ```text
//!                     with SACK                                     without
//!   what arrived      scoreboard -> sent (ranges)                   sent
//!   what is lost      rack, reordering, tail_loss_probe             new_reno
//!   how much leaves   prr                                           new_reno (inflation)
//!   was it a mistake  undo (Eifel, D-SACK), frto                    undo (Eifel), frto
//!   the timer         rto, rtt                                      rto, rtt
//! ```

use std::collections::VecDeque;

pub mod delivered;
pub mod delivery_rate;
pub mod frto;
pub mod min_rtt;
pub mod new_reno;
pub mod pacing;
pub mod prr;
pub mod rack;
pub mod ranges;
mod record;
pub mod reordering;
mod resegment;
pub mod rto;
pub mod rtt;
pub mod scoreboard;
pub mod sent;
#[cfg(test)]
mod sent_model_tests;
#[cfg(test)]
mod sent_tests;
mod stamps;
pub mod tail_loss_probe;
pub mod undo;

use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;
use frto::Frto;
use pacing::Pacer;
use prr::Prr;
use rack::Rack;
use sent::SentRecords;

/// What exists only while something is in flight: boxed, and given back when everything is acknowledged.
#[derive(Debug, Default)]
pub struct Transfer {
    /// The records of what is in flight, in sequence order, and what is known of them.
    pub sent: SentRecords,
    /// The latest transmission that has arrived.
    pub rack: Rack,
    /// How much may leave in this fast recovery.
    pub prr: Prr,
    /// Whether the timeout that comes before was a mistake.
    pub frto: Frto,
    /// When the window was last reduced: a retransmission that was sent later and is lost reduces it again.
    pub reduced_at: Instant,
    /// SND.UNA and the time when the retransmission timer last expired.
    pub timed_out: Option<(SeqNumber, Instant)>,
    /// When the retransmission timeout is due, also while the timer runs for something earlier.
    pub timeout_at: Option<Instant>,
    /// When the next loss is to be decided on by time alone.
    pub reorder_at: Option<Instant>,
    /// When the next piece may leave, where habit spreads them.
    pub pacer: Pacer,
}

impl Transfer {
    /// Nothing is in flight; keeps the memory.
    fn reset(&mut self) {
        let Transfer { sent, rack, prr, frto, reduced_at, timed_out, timeout_at, reorder_at, pacer } = self;
        sent.clear();
        sent.shrink_to(MAX_SPARE_RECORDS);
        (*rack, *prr, *frto, *reduced_at) = (Rack::default(), Prr::default(), Frto::Idle, Instant::ZERO);
        (*timed_out, *timeout_at, *reorder_at, *pacer) = (None, None, None, Pacer::default());
    }
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
            transfer.reset();
            self.spare.push(transfer);
        }
    }
}

/// The queue type of [`SentRecords`].
pub(crate) type Records = VecDeque<sent::SentRecord>;
