//! The chain of chunks that both buffers are made of.
//!
//! Only the first slot can be small, so the slot of an offset is found by arithmetic however long the chain is. A slot
//! may be without its chunk: then no byte of it is held, and it costs 16 octets.

use std::collections::VecDeque;

use super::pool::{Chunk, ChunkSize, LARGE, Pool};

/// Slots of memory, addressed by the offset from the first byte still wanted.
///
/// Which bytes are *valid* is not known here: the owner asks only for what it has written.
#[derive(Debug, Default)]
pub(super) struct Chain {
    slots: VecDeque<Option<Chunk>>,
    /// Octets at the start of the first slot that were dropped already.
    head: u32,
    /// The size of the first slot; `Small` while there is none.
    first: ChunkSize,
}

impl Chain {
    /// Octets of chunks that would have to be allocated to hold `len` octets from `offset` on.
    pub(super) fn missing(&self, offset: usize, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        let (first, last) = (self.locate(offset).0, self.locate(offset + len - 1).0);
        let slots = (first..=last).filter(|&index| !matches!(self.slots.get(index), Some(Some(_))));
        slots.map(|index| self.size(index).bytes()).sum()
    }

    /// Copies `data` to `offset`, with new chunks where there are none. Less than the whole only when the pool is at
    /// its limit. Returns the octets copied.
    pub(super) fn write(&mut self, pool: &mut Pool, offset: usize, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() {
            let (index, within) = self.locate(offset + done);
            let Some(chunk) = self.chunk(pool, index) else { break };
            let room = &mut chunk.bytes_mut()[within..];
            let count = room.len().min(data.len() - done);
            room[..count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        done
    }

    /// The `len` octets from `offset` on, in at most two pieces; shorter where two pieces do not suffice.
    ///
    /// They suffice for [`LARGE`] octets anywhere, since every slot after the first has that length.
    pub(super) fn pieces(&self, offset: usize, len: usize) -> [&[u8]; 2] {
        let first = self.piece(offset, len);
        [first, self.piece(offset + first.len(), len - first.len())]
    }

    /// Copies octets from `offset` on to `into`; as many as there is memory for, which the owner has made sure of.
    pub(super) fn copy_to(&self, offset: usize, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let piece = self.piece(offset + done, into.len() - done);
            if piece.is_empty() {
                debug_assert!(false, "a read of bytes that were never written");
                break;
            }
            into[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
    }

    /// Forgets the first `count` octets and gives back the chunks that this empties.
    pub(super) fn drop_front(&mut self, pool: &mut Pool, count: usize) {
        let mut head = self.head as usize + count;
        while head >= self.first.bytes() {
            let Some(slot) = self.slots.pop_front() else { break };
            slot.into_iter().for_each(|chunk| pool.put(chunk));
            head -= self.first.bytes();
            self.first = ChunkSize::Large;
        }
        if self.slots.is_empty() {
            *self = Chain::default();
        } else {
            self.head = head as u32; // Below the size of a chunk.
        }
    }

    /// Gives back the chunks that hold nothing of the first `len` octets.
    pub(super) fn truncate(&mut self, pool: &mut Pool, len: usize) {
        let keep = if len == 0 { 0 } else { self.locate(len - 1).0 + 1 };
        while self.slots.len() > keep {
            self.slots.pop_back().flatten().into_iter().for_each(|chunk| pool.put(chunk));
        }
        if self.slots.is_empty() {
            // Also frees the queue's own memory: an idle connection holds none.
            *self = Chain::default();
        } else {
            // A hole may have made the queue long; what is left of it need not pay for that.
            self.slots.shrink_to(2 * keep);
        }
    }

    /// Gives back everything.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        self.truncate(pool, 0);
    }

    /// The slot of an offset, and the place in it.
    fn locate(&self, offset: usize) -> (usize, usize) {
        let at = self.head as usize + offset;
        match at.checked_sub(self.first.bytes()) {
            None => (0, at),
            Some(beyond) => (1 + beyond / LARGE, beyond % LARGE),
        }
    }

    fn size(&self, index: usize) -> ChunkSize {
        if index == 0 { self.first } else { ChunkSize::Large }
    }

    /// The chunk of a slot; a new one if there is none. `None` when the pool is at its limit: nothing changed then.
    fn chunk(&mut self, pool: &mut Pool, index: usize) -> Option<&mut Chunk> {
        let size = self.size(index);
        if index >= self.slots.len() {
            let chunk = pool.get(size)?;
            self.slots.resize_with(index, || None);
            self.slots.push_back(Some(chunk));
        }
        let slot = self.slots.get_mut(index)?;
        if slot.is_none() {
            *slot = Some(pool.get(size)?);
        }
        slot.as_mut()
    }

    /// The octets from `offset` on that lie in one chunk, at most `len`.
    fn piece(&self, offset: usize, len: usize) -> &[u8] {
        let (index, within) = self.locate(offset);
        match self.slots.get(index) {
            Some(Some(chunk)) => {
                let rest = &chunk.bytes()[within..];
                &rest[..len.min(rest.len())]
            }
            _ => &[],
        }
    }

    /// Octets of the chunks held, and whether any memory is held at all: for the tests.
    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, bool) {
        let chunks = self.slots.iter().flatten().map(|chunk| chunk.bytes().len()).sum();
        (chunks, self.slots.capacity() > 0)
    }
}
