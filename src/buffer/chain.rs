//! The chain of chunks that both buffers are made of.
//!
//! Only the first slot can be small, so the slot of an offset is found by arithmetic however long the chain is. A slot
//! may be without its chunk: then no byte of it is held, and it costs 16 octets.

use std::collections::VecDeque;

use super::pool::{Chunk, ChunkSize, LARGE, Pool};

/// Slots of memory, addressed by the offset from the first byte still wanted.
///
/// Which bytes are *valid* is not known here: the owner asks only for what it has written.
///
/// There are slots only while a chunk is held, so that the buffer of an idle connection is a pointer. Like chunks they
/// are borrowed from the pool: a connection that is idle and busy in turn allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Chain(Option<Box<Slots>>);

/// What a chain that holds anything consists of.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: VecDeque<Option<Chunk>>,
    /// Octets at the start of the first slot that were dropped already.
    head: u32,
    /// The size of the first slot; `Small` while there is none.
    first: ChunkSize,
}

/// Slots for which an empty queue at rest keeps room: as many as a window of 4 MiB needs.
const MAX_SPARE_SLOTS: usize = 64;

impl Slots {
    /// Empties itself for the next user.
    pub(super) fn reset(&mut self) {
        self.slots.clear();
        self.slots.shrink_to(MAX_SPARE_SLOTS);
        (self.head, self.first) = (0, ChunkSize::default());
    }
}

impl Chain {
    /// Octets of chunks that would have to be allocated to hold `len` octets from `offset` on.
    pub(super) fn missing(&self, offset: usize, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        let (first, last) = (self.locate(offset).0, self.locate(offset + len - 1).0);
        let slots = (first..=last).filter(|&index| self.held(index).is_none());
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
        let Some(held) = self.0.as_mut() else { return };
        let mut head = held.head as usize + count;
        while head >= held.first.bytes() {
            let Some(slot) = held.slots.pop_front() else { break };
            slot.into_iter().for_each(|chunk| pool.put(chunk));
            head -= held.first.bytes();
            held.first = ChunkSize::Large;
        }
        held.head = head as u32; // Below the size of a chunk, unless no slot is left.
        self.rest_if_empty(pool);
    }

    /// Gives back the chunks that hold nothing of the first `len` octets.
    pub(super) fn truncate(&mut self, pool: &mut Pool, len: usize) {
        let keep = if len == 0 { 0 } else { self.locate(len - 1).0 + 1 };
        let Some(held) = self.0.as_mut() else { return };
        while held.slots.len() > keep {
            held.slots.pop_back().flatten().into_iter().for_each(|chunk| pool.put(chunk));
        }
        // A hole may have made the queue long; what is left of it need not pay for that.
        held.slots.shrink_to((2 * keep).max(MAX_SPARE_SLOTS));
        self.rest_if_empty(pool);
    }

    /// Gives the queue of slots back once it is empty: an idle connection holds none.
    fn rest_if_empty(&mut self, pool: &mut Pool) {
        if let Some(held) = self.0.take_if(|held| held.slots.is_empty()) {
            pool.put_slots(held);
        }
    }

    /// Gives back everything.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        self.truncate(pool, 0);
    }

    /// The slot of an offset, and the place in it.
    fn locate(&self, offset: usize) -> (usize, usize) {
        let (head, first) = self.0.as_ref().map_or((0, ChunkSize::default()), |held| (held.head, held.first));
        let at = head as usize + offset;
        match at.checked_sub(first.bytes()) {
            None => (0, at),
            Some(beyond) => (1 + beyond / LARGE, beyond % LARGE),
        }
    }

    fn size(&self, index: usize) -> ChunkSize {
        if index > 0 { ChunkSize::Large } else { self.0.as_ref().map_or(ChunkSize::default(), |held| held.first) }
    }

    /// The chunk of a slot, if there is one.
    fn held(&self, index: usize) -> Option<&Chunk> {
        self.0.as_ref()?.slots.get(index)?.as_ref()
    }

    /// The chunk of a slot; a new one if there is none. `None` when the pool is at its limit: nothing changed then.
    fn chunk(&mut self, pool: &mut Pool, index: usize) -> Option<&mut Chunk> {
        let size = self.size(index);
        if self.held(index).is_none() {
            let chunk = pool.get(size)?;
            let slots = &mut self.0.get_or_insert_with(|| pool.take_slots()).slots;
            if index >= slots.len() {
                slots.resize_with(index + 1, || None);
            }
            slots[index] = Some(chunk);
        }
        self.0.as_mut()?.slots.get_mut(index)?.as_mut()
    }

    /// The octets from `offset` on that lie in one chunk, at most `len`.
    fn piece(&self, offset: usize, len: usize) -> &[u8] {
        let (index, within) = self.locate(offset);
        let Some(chunk) = self.held(index) else { return &[] };
        let rest = &chunk.bytes()[within..];
        &rest[..len.min(rest.len())]
    }

    /// Octets of the chunks held, and whether any memory is held at all: for the tests.
    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, bool) {
        let slots = self.0.iter().flat_map(|held| &held.slots);
        (slots.flatten().map(|chunk| chunk.bytes().len()).sum(), self.0.is_some())
    }
}
