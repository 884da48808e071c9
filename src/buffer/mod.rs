//! Where the bytes of a connection wait: for the acknowledgment on the way out, for the application on the way in.
//!
//! Both buffers are chains of chunks from one [`Pool`] per shard. The first chunk of an empty buffer is small, so that a
//! short exchange costs 4 KiB; every later one is large, so that 64 KiB of payload lie in at most two pieces. Growing adds a
//! chunk and copies nothing; an emptied chunk goes back to the pool, which hands out the warmest one first. A super-segment
//! in order is not even copied once: the chunk that it was read into becomes part of the chain.
//!
//! ```text
//! SendBuffer      SND.UNA                     SND.NXT                 end
//!                    |                           |                     |
//!    chunks     [----=====] [====================================] [======------------------------------]
//!                small       large                                  large      free tail: write() appends
//!                    |<-- sent, not acknowledged -->|<-- not sent -->|
//!    advance() frees from the left; slices(offset, len) lends what a segment carries, without a copy
//!
//! ReceiveBuffer   read_position       next (RCV.NXT)
//!                    |                   |
//!    slots      [----=====] [===========.......##########........] [   None: a hole   ] [###.............]
//!                small       large             |        |           costs no chunk        |  |
//!                    |<-- readable() -->|      +--------+--- out_of_order() --------------+--+
//!    write_at() puts bytes where they belong, in order or not; read() frees from the left
//! ```
//!
//! Neither buffer holds memory while it is empty. A chunk handed out is charged to the pool until it comes back, so a
//! buffer is emptied with `clear(pool)` before it is dropped.

mod chain;
#[cfg(test)]
mod model;
pub mod pool;
pub mod range_set;
pub mod receive;
pub mod send;

/// Pieces in which text is lent without a copy: [`LARGE`] octets never lie in more than two, and four times as many not in
/// more than these.
pub const PIECES: usize = 5;

/// Text in pieces; the last ones may be empty.
pub type Pieces<'a> = [&'a [u8]; PIECES];

pub use pool::{Chunk, ChunkSize, LARGE, Pool, SMALL};
pub use range_set::RangeSet;
pub use receive::{MAX_SPAN, ReceiveBuffer, WORTH_A_CHUNK, Written};
pub use send::{More, SendBuffer};

/// Why a buffer did not take bytes. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The pool is at its limit.
    Memory,
    /// The out-of-order data would need more ranges than there may be.
    Ranges,
    /// The bytes end more than [`MAX_SPAN`] after the read position.
    Span,
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Full::Memory => "the buffer pool is at its limit",
            Full::Ranges => "too many out-of-order ranges",
            Full::Span => "too far beyond the read position",
        })
    }
}

impl std::error::Error for Full {}
