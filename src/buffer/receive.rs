//! Bytes that have arrived and that the application has not read yet, in order or not.

use super::chain::Chain;
use super::pool::{Chunk, ChunkSize, LARGE, Pool};
use super::range_set::RangeSet;
use super::{Full, Pieces};

/// Octets from the read position to the end of the last byte held, at most: the largest window of RFC 7323, rounded up.
/// It bounds the empty slots that one byte far away can cost (16 octets per 64 KiB of hole).
pub const MAX_SPAN: u64 = 1 << 30;

/// Octets of text for which a whole chunk is taken in as it came, instead of copying them into one: three quarters.
/// Whatever the peer mixes them with, the memory held then stays within three times what it holds.
pub const WORTH_A_CHUNK: usize = LARGE / 4 * 3;

/// What one [`ReceiveBuffer::write_at`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Octets by which the contiguous data grew, those that had waited out of order included: RCV.NXT moves by this.
    pub advanced: u64,
    /// Octets that were not held before, in order or not. Less than the length of the data: part of it is a duplicate.
    pub new: u64,
    /// The contiguous data reached out-of-order data and took it in.
    pub filled_gap: bool,
}

/// The received stream from the first unread byte on.
///
/// Positions are 64-bit counts of octets since the first byte of the stream, so nothing in here wraps; the receiver
/// translates sequence numbers. [`next`](ReceiveBuffer::next) is the position of RCV.NXT (FIN aside): all bytes below
/// it have arrived, the one at it has not. Data above it is held in its final place and listed in
/// [`out_of_order`](ReceiveBuffer::out_of_order), so that filling the gap moves a number and no bytes.
#[derive(Debug, Default)]
pub struct ReceiveBuffer {
    /// Offset 0 is the read position.
    chain: Chain,
    read_position: u64,
    next: u64,
    /// Data above `next`, while there is any; no range starts at `next`. Boxed, as most connections never have any.
    ranges: Option<Box<RangeSet>>,
}

/// What is out of order where nothing is.
static NOTHING: RangeSet = RangeSet::new();

impl ReceiveBuffer {
    /// An empty buffer at position 0. It holds no memory.
    pub fn new() -> ReceiveBuffer {
        ReceiveBuffer::default()
    }

    /// Position of the first byte not yet read.
    pub fn read_position(&self) -> u64 {
        self.read_position
    }

    /// Position of the first byte not yet received: the end of the contiguous data.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Octets that can be read now.
    pub fn readable(&self) -> usize {
        (self.next - self.read_position) as usize // At most MAX_SPAN.
    }

    /// The ranges of positions held above [`next`](ReceiveBuffer::next).
    pub fn out_of_order(&self) -> &RangeSet {
        self.ranges.as_deref().unwrap_or(&NOTHING)
    }

    /// Octets held above [`next`](ReceiveBuffer::next).
    pub fn out_of_order_bytes(&self) -> u64 {
        self.out_of_order().bytes()
    }

    /// Puts `data` at `position`, in order or not. Bytes held already stay as they are: the first copy wins.
    ///
    /// The caller has trimmed the data to its window; nothing breaks if it has not.
    ///
    /// # Errors
    /// Where the pool, the ranges or the span are at their limit. Nothing was written then, and no chunk was taken.
    /// Data in order never meets the limit of the ranges; when it meets that of the pool,
    /// [`discard_out_of_order`](ReceiveBuffer::discard_out_of_order) may make room for it.
    // 9293-SHLD-31: data beyond RCV.NXT is held in its place until the gap below it is filled.
    pub fn write_at(&mut self, pool: &mut Pool, position: u64, data: &[u8]) -> Result<Written, Full> {
        let end = position.checked_add(data.len() as u64).ok_or(Full::Span)?;
        let start = position.max(self.next);
        if start >= end {
            return Ok(Written::default());
        }
        if end - self.read_position > MAX_SPAN {
            return Err(Full::Span);
        }
        let in_order = start == self.next;
        if !in_order && !self.out_of_order().admits(start, end) {
            return Err(Full::Ranges);
        }
        // A slot without a chunk holds no byte, so each of those that the data touches will be needed.
        let (offset, len) = (self.offset(start), (end - start) as usize);
        if !pool.admits(self.chain.missing(offset, len)) {
            return Err(Full::Memory);
        }
        let new = self.fill_gaps(pool, position, start, data);
        if in_order {
            let (advanced, filled_gap) = self.advance_next(end);
            Ok(Written { advanced, new, filled_gap })
        } else {
            self.ranges.get_or_insert_default().insert(start, end)?; // Admitted above.
            Ok(Written { advanced: 0, new, filled_gap: false })
        }
    }

    /// Takes in `len` octets at [`next`](ReceiveBuffer::next) whose chunk comes with [`deliver`](ReceiveBuffer::deliver)
    /// before anything else happens to this buffer. The answer is a chunk to put in its place; `None` where taking it in
    /// is not possible or would waste memory: then nothing has changed, and the octets are to be copied by
    /// [`write_at`](ReceiveBuffer::write_at).
    pub fn promise(&mut self, pool: &mut Pool, len: usize) -> Option<Chunk> {
        let fits = (WORTH_A_CHUNK..=LARGE).contains(&len) && self.next + len as u64 - self.read_position <= MAX_SPAN;
        if !fits || !self.out_of_order().is_empty() {
            return None;
        }
        let spare = pool.get(ChunkSize::Large)?;
        self.chain.promise(pool, self.readable(), len as u32);
        self.next += len as u64;
        Some(spare)
    }

    /// Brings what was promised: it begins `start` octets into the chunk.
    pub fn deliver(&mut self, chunk: Chunk, start: usize) {
        self.chain.deliver(chunk, start as u32);
    }

    /// Forgets everything above [`next`](ReceiveBuffer::next) and frees its chunks. Returns the octets forgotten.
    ///
    /// For memory pressure. RFC 2018 section 8 allows it, even for data that was reported in a SACK block.
    pub fn discard_out_of_order(&mut self, pool: &mut Pool) -> u64 {
        let discarded = self.out_of_order_bytes();
        self.ranges = None;
        self.chain.truncate(pool, self.readable());
        discarded
    }

    /// Moves the next bytes of the stream to `into`; emptied chunks go back. Returns the octets moved.
    pub fn read(&mut self, pool: &mut Pool, into: &mut [u8]) -> usize {
        let count = self.peek(into);
        self.skip(pool, count)
    }

    /// Copies the next bytes of the stream to `into` and keeps them. Returns the octets copied.
    pub fn peek(&self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.readable());
        self.chain.copy_to(0, &mut into[..count]);
        count
    }

    /// Lends the next bytes of the stream without a copy: as many as lie in the first chunks.
    pub fn peek_slices(&self) -> Pieces<'_> {
        self.chain.pieces(0, self.readable())
    }

    /// Drops the next `count` octets, at most those that are readable; emptied chunks go back. Returns the octets dropped.
    pub fn skip(&mut self, pool: &mut Pool, count: usize) -> usize {
        let count = count.min(self.readable());
        self.read_position += count as u64;
        if self.readable() == 0 && self.ranges.is_none() {
            self.chain.clear(pool);
        } else {
            self.chain.drop_front(pool, count);
        }
        count
    }

    /// Forgets all bytes, readable or not, and gives all chunks back; the read position moves up to
    /// [`next`](ReceiveBuffer::next).
    pub fn clear(&mut self, pool: &mut Pool) {
        self.ranges = None;
        self.skip(pool, self.readable());
    }

    /// Copies what is not held yet of `data`, which begins at `position`, from `start` on. Returns the octets copied.
    fn fill_gaps(&mut self, pool: &mut Pool, position: u64, start: u64, data: &[u8]) -> u64 {
        let mut new = 0;
        for (gap_start, gap_end) in self.ranges.as_deref().unwrap_or(&NOTHING).gaps(start, position + data.len() as u64)
        {
            let offset = (gap_start - self.read_position) as usize;
            let bytes = &data[(gap_start - position) as usize..(gap_end - position) as usize];
            let written = self.chain.write(pool, offset, bytes);
            debug_assert_eq!(written, bytes.len(), "the pool has admitted these chunks");
            new += written as u64;
        }
        new
    }

    /// All bytes below `end` are held now: moves `next` there and over the range that joins. Returns how far it moved,
    /// and whether it took in out-of-order data.
    fn advance_next(&mut self, end: u64) -> (u64, bool) {
        let before = self.next;
        // Ranges do not touch one another, so only one of them can reach beyond `end`.
        self.next = end;
        let Some(ranges) = &mut self.ranges else { return (end - before, false) };
        let joined = ranges.first().is_some_and(|range| range.0 <= end);
        self.next = ranges.containing(end).map_or(end, |range| range.1);
        ranges.remove_below(self.next);
        if ranges.is_empty() {
            self.ranges = None;
        }
        (self.next - before, joined)
    }

    /// The place of a position in the chain. At most [`MAX_SPAN`].
    fn offset(&self, position: u64) -> usize {
        (position - self.read_position) as usize
    }

    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, bool) {
        self.chain.holds()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::{LARGE, SMALL};
    use super::super::range_set::FREE_RANGES;
    use super::*;

    fn written(advanced: u64, new: u64, filled_gap: bool) -> Result<Written, Full> {
        Ok(Written { advanced, new, filled_gap })
    }

    fn read_all(buffer: &mut ReceiveBuffer, pool: &mut Pool) -> Vec<u8> {
        let mut bytes = vec![0; buffer.readable()];
        assert_eq!(buffer.read(pool, &mut bytes), bytes.len());
        bytes
    }

    #[test]
    fn it_is_small_and_free_while_empty() {
        assert!(size_of::<ReceiveBuffer>() <= 64, "{}", size_of::<ReceiveBuffer>());
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = ReceiveBuffer::new();
        assert_eq!(buffer.write_at(&mut pool, 0, b""), written(0, 0, false));
        assert_eq!(buffer.write_at(&mut pool, 7, b""), written(0, 0, false));
        assert_eq!(buffer.holds(), (0, false));
        buffer.write_at(&mut pool, 0, b"abc").unwrap();
        assert_eq!((buffer.peek_slices(), pool.charged()), ([&b"abc"[..], b"", b"", b"", b""], SMALL));
        assert_eq!(read_all(&mut buffer, &mut pool), b"abc");
        assert_eq!((buffer.holds(), pool.charged(), buffer.read_position(), buffer.next()), ((0, false), 0, 3, 3));
    }

    /// 9293-SHLD-31
    #[test]
    fn each_write_says_what_it_changed_and_the_first_copy_wins() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = ReceiveBuffer::new();
        for (position, data, expected, next) in [
            (4, &b"EFG"[..], written(0, 3, false), 0),
            (4, b"xxx", written(0, 0, false), 0),
            (10, b"KL", written(0, 2, false), 0),
            (3, b"Dxxx", written(0, 1, false), 0),
            (0, b"AB", written(2, 2, false), 2),
            (0, b"x", written(0, 0, false), 2),
            // Begins below next and ends inside of the first range.
            (1, b"xCxx", written(5, 1, true), 7),
            // Spans a range and goes beyond it.
            (7, b"HIJxxM", written(6, 4, true), 13),
            (20, b"U", written(0, 1, false), 13),
            // Ends just before a range.
            (13, b"NOPQRST", written(8, 7, true), 21),
        ] {
            assert_eq!(buffer.write_at(&mut pool, position, data), expected, "{position} {data:?}");
            assert_eq!(buffer.next(), next);
        }
        assert_eq!((buffer.out_of_order_bytes(), buffer.out_of_order().len()), (0, 0));
        assert_eq!(read_all(&mut buffer, &mut pool), b"ABCDEFGHIJKLMNOPQRSTU");
        assert_eq!(pool.charged(), 0);
    }

    /// 9293-SHLD-31
    #[test]
    fn a_flight_that_arrives_backwards_is_read_in_order() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = ReceiveBuffer::new();
        let stream: Vec<u8> = (0..14_600).map(|i| (i % 251) as u8).collect();
        for (i, segment) in stream.chunks(1460).enumerate().skip(1).rev() {
            assert_eq!(buffer.write_at(&mut pool, 1460 * i as u64, segment), written(0, 1460, false));
        }
        assert_eq!(buffer.out_of_order().iter().collect::<Vec<_>>(), [(1460, 14_600)]);
        assert_eq!(buffer.write_at(&mut pool, 0, &stream[..1460]), written(14_600, 1460, true));
        assert_eq!(read_all(&mut buffer, &mut pool), stream);
    }

    #[test]
    fn a_hole_costs_no_chunk() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = ReceiveBuffer::new();
        buffer.write_at(&mut pool, 100 << 20, b"far").unwrap();
        assert_eq!(pool.charged(), LARGE);
        buffer.write_at(&mut pool, 1, b"near").unwrap();
        assert_eq!(pool.charged(), LARGE + SMALL);
        assert_eq!(buffer.discard_out_of_order(&mut pool), 7);
        assert_eq!((buffer.holds(), pool.charged(), buffer.next()), ((0, false), 0, 0));

        // What is readable stays.
        buffer.write_at(&mut pool, 0, b"keep").unwrap();
        buffer.write_at(&mut pool, 5, b"lose").unwrap();
        buffer.write_at(&mut pool, 1 << 20, b"lose").unwrap();
        assert_eq!((buffer.discard_out_of_order(&mut pool), pool.charged()), (8, SMALL));
        buffer.write_at(&mut pool, 4, b"?more").unwrap();
        assert_eq!(read_all(&mut buffer, &mut pool), b"keep?more");

        // A chunk that begins exactly where the readable data ends goes too.
        let start = buffer.next();
        buffer.write_at(&mut pool, start, &[1; SMALL]).unwrap();
        buffer.write_at(&mut pool, start + SMALL as u64 + 1, b"lose").unwrap();
        assert_eq!((buffer.discard_out_of_order(&mut pool), pool.charged()), (4, SMALL));
        buffer.clear(&mut pool);
        assert_eq!(pool.charged(), 0);
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let mut pool = Pool::new(SMALL + LARGE);
        let mut buffer = ReceiveBuffer::new();
        let data = vec![7; 2 * LARGE];
        let last = buffer.read_position() + MAX_SPAN;
        for (position, data, expected) in [
            (0, &data[..], Full::Memory),
            (5, &data[..], Full::Memory),
            (last, b"x", Full::Span),
            (u64::MAX, b"x", Full::Span),
            (u64::MAX - 1, b"x", Full::Span),
        ] {
            assert_eq!(buffer.write_at(&mut pool, position, data), Err(expected));
            assert_eq!((buffer.holds(), pool.charged(), buffer.out_of_order_bytes()), ((0, false), 0, 0));
        }
        buffer.write_at(&mut pool, last - 1, b"x").unwrap();
        buffer.write_at(&mut pool, 0, &data[..SMALL]).unwrap();
        assert_eq!(buffer.write_at(&mut pool, SMALL as u64, b"x"), Err(Full::Memory));
        // Data in order goes before data out of order.
        buffer.discard_out_of_order(&mut pool);
        buffer.write_at(&mut pool, SMALL as u64, &data[..LARGE]).unwrap();
        assert_eq!(pool.charged(), pool.limit());
        buffer.clear(&mut pool);
        assert_eq!((buffer.holds(), pool.charged(), buffer.readable()), ((0, false), 0, 0));
    }

    #[test]
    fn the_limit_of_ranges_does_not_stop_data_in_order() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = ReceiveBuffer::new();
        let most = 2 * FREE_RANGES as u64;
        (1..=most).step_by(2).for_each(|position| assert!(buffer.write_at(&mut pool, position, b"x").is_ok()));
        assert_eq!(buffer.write_at(&mut pool, most + 1, b"x"), Err(Full::Ranges));
        assert_eq!(buffer.write_at(&mut pool, 0, b"x"), written(2, 1, true));
        assert_eq!(buffer.write_at(&mut pool, most + 1, b"x"), written(0, 1, false));
        assert_eq!(buffer.write_at(&mut pool, 2, &vec![b'x'; most as usize]), written(most, most / 2, true));
        assert_eq!(read_all(&mut buffer, &mut pool), vec![b'x'; most as usize + 2]);
    }

    #[test]
    fn peek_skip_and_read_agree_across_chunks() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = ReceiveBuffer::new();
        let stream: Vec<u8> = (0..SMALL + 2 * LARGE).map(|i| (i % 253) as u8).collect();
        buffer.write_at(&mut pool, 0, &stream).unwrap();
        assert_eq!(buffer.peek_slices().map(<[u8]>::len), [SMALL, LARGE, LARGE, 0, 0]);
        let mut peeked = vec![0; stream.len() + 1];
        assert_eq!(buffer.peek(&mut peeked), stream.len());
        assert_eq!(peeked[..stream.len()], stream);
        assert_eq!(buffer.skip(&mut pool, SMALL + 1), SMALL + 1);
        assert_eq!(pool.charged(), 2 * LARGE);
        assert_eq!(read_all(&mut buffer, &mut pool), stream[SMALL + 1..]);
        assert_eq!((buffer.skip(&mut pool, 1), buffer.peek(&mut peeked), pool.charged()), (0, 0, 0));
    }
}
