//! The pool that all buffers of a shard draw their chunks from.

use std::fmt;

use super::chain::Slots;

/// Octets in a small chunk: the first of an empty buffer.
pub const SMALL: usize = 4 * 1024;

/// Octets in a large chunk: every later one. As long as the longest super-segment.
pub const LARGE: usize = 64 * 1024;

/// Small chunks kept for reuse (1 MiB); more are given back to the allocator.
pub const SPARE_SMALL: usize = 256;

/// Large chunks kept for reuse (16 MiB); more are given back to the allocator.
pub const SPARE_LARGE: usize = 256;

/// Empty queues of slots kept for reuse (at most 1 MiB); more are given back to the allocator.
pub const SPARE_SLOTS: usize = 1_024;

/// The two sizes of chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkSize {
    /// [`SMALL`] octets.
    #[default]
    Small,
    /// [`LARGE`] octets.
    Large,
}

impl ChunkSize {
    /// The size in octets.
    pub const fn bytes(self) -> usize {
        match self {
            ChunkSize::Small => SMALL,
            ChunkSize::Large => LARGE,
        }
    }
}

/// A piece of memory on loan from a [`Pool`]. Its content is whatever its last user left.
///
/// It stays charged until [`Pool::put`]: dropping it frees the memory but not the charge.
#[must_use = "a chunk that is dropped stays charged to its pool"]
pub struct Chunk(Box<[u8]>);

impl Chunk {
    fn allocate(size: ChunkSize) -> Chunk {
        Chunk(vec![0; size.bytes()].into_boxed_slice())
    }

    /// A large chunk that no pool has lent: the one in which a driver receives packets (see
    /// [`Stack::handle_chunk`](crate::stack::Stack::handle_chunk)).
    pub fn for_packets() -> Chunk {
        Chunk::allocate(ChunkSize::Large)
    }

    /// Which of the two sizes it has.
    pub fn size(&self) -> ChunkSize {
        if self.0.len() == SMALL { ChunkSize::Small } else { ChunkSize::Large }
    }

    /// All its octets.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// All its octets, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The part of the limit that only receiving may take: one in this many.
const KEPT_FOR_RECEIVING: usize = 4;

impl fmt::Debug for Chunk {
    /// The size alone: user data does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({})", self.0.len())
    }
}

/// Chunks of memory for all buffers of one shard, with one limit over all of them.
///
/// Last in, first out: the chunk that was just read empty is still in the processor's cache and is the next one written.
#[derive(Debug)]
pub struct Pool {
    spare_small: Vec<Chunk>,
    spare_large: Vec<Chunk>,
    // The boxes themselves are what is kept: a buffer takes one and gives it back.
    #[allow(clippy::vec_box)]
    spare_slots: Vec<Box<Slots>>,
    limit: usize,
    charged: usize,
    /// How many times the limit refused memory.
    pub exhausted: u64,
}

impl Pool {
    /// A pool that lends at most `limit_bytes` octets at a time. It allocates nothing yet.
    ///
    /// Spare chunks come on top of the limit, at most [`SPARE_SMALL`] and [`SPARE_LARGE`] of them.
    pub fn new(limit_bytes: usize) -> Pool {
        Pool {
            spare_small: Vec::new(),
            spare_large: Vec::new(),
            spare_slots: Vec::new(),
            limit: limit_bytes,
            charged: 0,
            exhausted: 0,
        }
    }

    /// A chunk of this size, or `None` (counted) where it would exceed the limit.
    pub fn get(&mut self, size: ChunkSize) -> Option<Chunk> {
        if !self.admits(size.bytes()) {
            return None;
        }
        self.charged += size.bytes();
        Some(self.spare(size).0.pop().unwrap_or_else(|| Chunk::allocate(size)))
    }

    /// Takes a chunk back and releases its charge.
    pub fn put(&mut self, chunk: Chunk) {
        debug_assert!(self.charged >= chunk.bytes().len(), "a chunk that this pool did not lend");
        self.charged = self.charged.saturating_sub(chunk.bytes().len());
        let (spare, most) = self.spare(chunk.size());
        if spare.len() < most {
            spare.push(chunk);
        }
    }

    /// An empty queue for the slots of a buffer. It is not charged.
    pub(super) fn take_slots(&mut self) -> Box<Slots> {
        self.spare_slots.pop().unwrap_or_default()
    }

    /// Takes a queue back.
    pub(super) fn put_slots(&mut self, mut slots: Box<Slots>) {
        if self.spare_slots.len() < SPARE_SLOTS {
            slots.reset();
            self.spare_slots.push(slots);
        }
    }

    /// Whether chunks of `bytes` octets in all can be had now; if not, that counts as exhaustion.
    ///
    /// Whoever needs several chunks or none asks this first: after it the calls of [`Pool::get`] do not fail.
    pub fn admits(&mut self, bytes: usize) -> bool {
        let admitted = bytes <= self.limit.saturating_sub(self.charged);
        self.exhausted += u64::from(!admitted);
        admitted
    }

    /// Runs `call`, in which the pool lends only what sending may take: a quarter of the limit is kept for receiving.
    ///
    /// Two hosts that had both given all their memory to text that waits to be sent could never take each other's, and
    /// would wait for ever.
    pub fn for_sending<R>(&mut self, call: impl FnOnce(&mut Pool) -> R) -> R {
        let limit = self.limit;
        self.limit = limit - limit / KEPT_FOR_RECEIVING;
        let result = call(self);
        self.limit = limit;
        result
    }

    /// Octets that may still be lent for sending.
    pub fn free_for_sending(&self) -> usize {
        (self.limit - self.limit / KEPT_FOR_RECEIVING).saturating_sub(self.charged)
    }

    /// Octets on loan, in whole chunks.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Octets that may still be lent.
    pub fn free(&self) -> usize {
        self.limit.saturating_sub(self.charged)
    }

    /// Octets that may be on loan at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn spare(&mut self, size: ChunkSize) -> (&mut Vec<Chunk>, usize) {
        match size {
            ChunkSize::Small => (&mut self.spare_small, SPARE_SMALL),
            ChunkSize::Large => (&mut self.spare_large, SPARE_LARGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact_and_counted() {
        let mut pool = Pool::new(SMALL + LARGE);
        let large = pool.get(ChunkSize::Large).unwrap();
        assert!(pool.get(ChunkSize::Large).is_none());
        let small = pool.get(ChunkSize::Small).unwrap();
        assert_eq!((large.bytes().len(), small.bytes().len()), (LARGE, SMALL));
        assert!(pool.get(ChunkSize::Small).is_none());
        assert_eq!((pool.charged(), pool.limit(), pool.exhausted), (SMALL + LARGE, SMALL + LARGE, 2));
        pool.put(large);
        pool.put(small);
        assert_eq!(pool.charged(), 0);
        assert!(pool.admits(SMALL + LARGE) && !pool.admits(SMALL + LARGE + 1));
        assert!(Pool::new(SMALL - 1).get(ChunkSize::Small).is_none());
    }

    #[test]
    fn sending_leaves_a_quarter_to_receiving() {
        let mut pool = Pool::new(8 * LARGE);
        let lent: Vec<Chunk> = (0..20).map_while(|_| pool.for_sending(|pool| pool.get(ChunkSize::Large))).collect();
        assert_eq!((lent.len(), pool.free_for_sending(), pool.free()), (6, 0, 2 * LARGE));
        assert!(pool.get(ChunkSize::Large).is_some() && pool.limit() == 8 * LARGE);
    }

    #[test]
    fn the_last_chunk_put_is_the_first_one_got_and_is_not_cleared() {
        let mut pool = Pool::new(usize::MAX);
        let (mut first, mut second) = (pool.get(ChunkSize::Small).unwrap(), pool.get(ChunkSize::Small).unwrap());
        assert_eq!((first.bytes()[0], second.bytes()[SMALL - 1]), (0, 0));
        first.bytes_mut()[0] = 1;
        second.bytes_mut()[0] = 2;
        pool.put(first);
        pool.put(second);
        assert_eq!(pool.get(ChunkSize::Large).unwrap().bytes()[0], 0);
        let (last_put, first_put) = (pool.get(ChunkSize::Small).unwrap(), pool.get(ChunkSize::Small).unwrap());
        assert_eq!((last_put.bytes()[0], first_put.bytes()[0]), (2, 1));
    }

    #[test]
    fn spare_chunks_are_bounded() {
        let mut pool = Pool::new(usize::MAX);
        let chunks: Vec<Chunk> = (0..SPARE_SMALL + 3).map(|_| pool.get(ChunkSize::Small).unwrap()).collect();
        chunks.into_iter().for_each(|chunk| pool.put(chunk));
        let chunks: Vec<Chunk> = (0..SPARE_LARGE + 3).map(|_| pool.get(ChunkSize::Large).unwrap()).collect();
        chunks.into_iter().for_each(|chunk| pool.put(chunk));
        assert_eq!((pool.spare_small.len(), pool.spare_large.len(), pool.charged()), (SPARE_SMALL, SPARE_LARGE, 0));
    }
}
