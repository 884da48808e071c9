//! Bytes the application has written and the peer has not acknowledged yet.

use super::Pieces;
use super::chain::Chain;
use super::pool::Pool;

/// What the application has said of what it sent last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum More {
    /// Nothing: it is all that there is for now.
    #[default]
    Nothing,
    /// More will follow: a short segment waits for it, until the peer acknowledges something.
    Held,
    /// More was to follow: a short segment may leave, but is not pushed.
    Unpushed,
}

/// The bytes from SND.UNA on: first those in flight, then those not sent yet.
///
/// Offsets count from SND.UNA, so a segment at SEG.SEQ finds its bytes at `SEG.SEQ - SND.UNA`. The buffer itself knows
/// nothing of sequence numbers, of SYN and of FIN.
#[derive(Debug, Default)]
pub struct SendBuffer {
    chain: Chain,
    /// In 32 bits, so that the next field costs nothing.
    len: u32,
    /// What was said of the last of them.
    pub more: More,
    /// Ends of records are kept: of a buffer without any nothing more is asked.
    records: bool,
}

impl SendBuffer {
    /// An empty buffer. It holds no memory.
    pub fn new() -> SendBuffer {
        SendBuffer::default()
    }

    /// Appends as much of `data` as fits `capacity` octets in all and the pool's limit. Returns the octets taken.
    pub fn write(&mut self, pool: &mut Pool, data: &[u8], capacity: usize) -> usize {
        let len = self.len();
        let fits = data.len().min(capacity.min(u32::MAX as usize).saturating_sub(len));
        let taken = pool.for_sending(|pool| self.chain.write(pool, len, &data[..fits]));
        self.len += taken as u32;
        taken
    }

    /// What was written last ends a record: no segment carries octets of it together with what is written later. Beyond
    /// 4,096 ends that are not acknowledged, records are not kept apart.
    pub fn end_record(&mut self) {
        self.records |= self.chain.end_record(self.len());
    }

    /// Where the record ends that the octet at `offset` belongs to, both counted from SND.UNA; `None` where nobody has asked
    /// for it to be kept apart.
    #[inline]
    pub fn record_end(&self, offset: usize) -> Option<usize> {
        if self.records { self.chain.record_end(offset) } else { None }
    }

    /// Octets held.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// No octet is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lends the `len` octets from `offset` on, both in octets, `offset` counted from SND.UNA.
    ///
    /// Shorter where the buffer ends, and where the octets lie in more than [`PIECES`](super::PIECES) chunks: up to four
    /// times [`LARGE`](super::LARGE) octets never do. A piece is empty unless the one before it is full.
    pub fn slices(&self, offset: usize, len: usize) -> Pieces<'_> {
        let offset = offset.min(self.len());
        self.chain.pieces(offset, len.min(self.len() - offset))
    }

    /// Frees the first `count` octets: they were acknowledged. More than are held counts as all of them.
    pub fn advance(&mut self, pool: &mut Pool, count: usize) {
        let count = count.min(self.len());
        self.len -= count as u32;
        if self.len == 0 {
            self.records = false;
            self.chain.clear(pool);
        } else {
            self.chain.drop_front(pool, count);
        }
    }

    /// Forgets all octets and gives all chunks back.
    pub fn clear(&mut self, pool: &mut Pool) {
        self.advance(pool, self.len());
    }

    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, bool) {
        self.chain.holds()
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::MAX_ENDS;
    use super::super::pool::{LARGE, SMALL};
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn it_is_small_and_free_while_empty() {
        assert!(size_of::<SendBuffer>() <= 16, "{}", size_of::<SendBuffer>());
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = SendBuffer::new();
        assert_eq!(buffer.write(&mut pool, b"", 10), 0);
        assert_eq!(buffer.write(&mut pool, b"x", 0), 0);
        assert_eq!((buffer.holds(), pool.charged()), ((0, false), 0));
        assert_eq!(buffer.write(&mut pool, b"x", 1), 1);
        assert_eq!(pool.charged(), SMALL);
        buffer.advance(&mut pool, 1);
        assert_eq!((buffer.holds(), pool.charged()), ((0, false), 0));
    }

    #[test]
    fn it_takes_what_capacity_and_pool_allow() {
        // A quarter of the limit is not for sending.
        let mut pool = Pool::new((SMALL + LARGE) * 4 / 3);
        let mut buffer = SendBuffer::new();
        let data = text(2 * LARGE);
        assert_eq!(buffer.write(&mut pool, &data, 100), 100);
        assert_eq!(buffer.write(&mut pool, &data[100..], 100), 0);
        assert_eq!(buffer.write(&mut pool, &data[100..], 50), 0, "the capacity was lowered below the length");
        assert_eq!(buffer.write(&mut pool, &data[100..], usize::MAX), SMALL + LARGE - 100);
        assert_eq!((buffer.len(), pool.charged(), pool.exhausted), (SMALL + LARGE, SMALL + LARGE, 1));
        assert_eq!(buffer.slices(0, usize::MAX).concat(), data[..SMALL + LARGE]);

        // Another buffer gets nothing, and holds nothing for having asked.
        let mut other = SendBuffer::new();
        assert_eq!((other.write(&mut pool, &data, LARGE), other.holds()), (0, (0, false)));

        buffer.advance(&mut pool, SMALL);
        assert_eq!(other.write(&mut pool, &data, LARGE), SMALL);
        buffer.clear(&mut pool);
        other.clear(&mut pool);
        assert_eq!(pool.charged(), 0);
    }

    #[test]
    fn records_end_where_they_were_said_to() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = SendBuffer::new();
        buffer.end_record();
        assert_eq!(buffer.record_end(0), None, "nothing was written");
        for len in [100, 200, 300] {
            buffer.write(&mut pool, &text(len), usize::MAX);
            if len < 300 {
                buffer.end_record();
            }
        }
        let ends = |buffer: &SendBuffer, offsets: [usize; 5]| offsets.map(|offset| buffer.record_end(offset));
        assert_eq!(ends(&buffer, [0, 99, 100, 299, 300]), [Some(100), Some(100), Some(300), Some(300), None]);
        buffer.advance(&mut pool, 100);
        assert_eq!(ends(&buffer, [0, 199, 200, 499, 500]), [Some(200), Some(200), None, None, None]);
        buffer.clear(&mut pool);
        buffer.write(&mut pool, &text(500), usize::MAX);
        assert_eq!(ends(&buffer, [0, 99, 199, 200, 499]), [None; 5], "what is acknowledged is forgotten");
        // Bounded, whatever an application asks for.
        for _ in 0..2 * MAX_ENDS {
            buffer.write(&mut pool, b"x", usize::MAX);
            buffer.end_record();
        }
        assert_eq!(buffer.record_end(500 + MAX_ENDS - 2), Some(500 + MAX_ENDS - 1));
        assert_eq!(buffer.record_end(500 + MAX_ENDS), None);
    }

    #[test]
    fn slices_at_every_edge() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = SendBuffer::new();
        let data = text(SMALL + 2 * LARGE + 10);
        buffer.write(&mut pool, &data, usize::MAX);
        let end = data.len();
        for (offset, len, first, second) in [
            (0, 0, 0, 0),
            (0, 1, 1, 0),
            (0, SMALL, SMALL, 0),
            (0, SMALL + 1, SMALL, 1),
            (SMALL - 1, LARGE, 1, LARGE - 1),
            (SMALL, LARGE, LARGE, 0),
            (SMALL + 1, LARGE, LARGE - 1, 1),
            (SMALL + LARGE, LARGE + 10, LARGE, 10),
            (end - 1, 5, 1, 0),
            (end, 5, 0, 0),
            (end + 1, 5, 0, 0),
            (usize::MAX, usize::MAX, 0, 0),
        ] {
            let [a, b, rest @ ..] = buffer.slices(offset, len);
            assert_eq!((a.len(), b.len()), (first, second), "{offset} {len}");
            assert!(rest.iter().all(|piece| piece.is_empty()));
            if first > 0 {
                assert_eq!([a, b].concat(), data[offset..offset + first + second]);
            }
        }
        let pieces = buffer.slices(SMALL - 1, LARGE + 5);
        assert_eq!(pieces.map(<[u8]>::len), [1, LARGE, 4, 0, 0]);
        assert_eq!(pieces.concat(), data[SMALL - 1..SMALL + LARGE + 4]);
        buffer.advance(&mut pool, usize::MAX);
        assert_eq!((buffer.is_empty(), pool.charged()), (true, 0));
    }

    #[test]
    fn a_thousand_chunks_come_and_go_one_by_one() {
        let mut pool = Pool::new(usize::MAX);
        let mut buffer = SendBuffer::new();
        let data = text(LARGE);
        (0..1000).for_each(|_| assert_eq!(buffer.write(&mut pool, &data, usize::MAX), LARGE));
        assert_eq!(buffer.slices(999 * LARGE, LARGE).concat(), data);
        for left in (0..1000).rev() {
            buffer.advance(&mut pool, LARGE);
            assert_eq!(buffer.len(), left * LARGE);
            assert!(pool.charged() <= (left + 1) * LARGE);
        }
        assert_eq!((buffer.holds(), pool.charged()), ((0, false), 0));
    }
}
