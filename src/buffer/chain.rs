//! The chain of chunks that both buffers are made of.
//!
//! A slot is a chunk and the stretch of the stream that belongs to it; stretches are in order and never overlap. Where no
//! slot is, no byte is held. New slots tile the stream from the end of the slot before them: the first tile of an empty
//! chain is small, every other one large. A chunk that brings its bytes along is taken in as it is, and what follows is
//! tiled from its end.

use std::collections::VecDeque;
use std::ops::Range;

use super::Pieces;
use super::pool::{Chunk, ChunkSize, Pool};

/// One chunk in its place.
#[derive(Debug)]
struct Slot {
    /// The offset in the stream of its first octet.
    at: u64,
    /// Octets of the stream that belong to it.
    len: u32,
    /// Where in the chunk they begin.
    start: u32,
    /// `None` while its bytes are promised: see [`Chain::promise`].
    chunk: Option<Chunk>,
}

impl Slot {
    fn end(&self) -> u64 {
        self.at + u64::from(self.len)
    }

    /// Where its octets from `at` on lie in the chunk.
    fn within(&self, at: u64) -> Range<usize> {
        self.start as usize + (at - self.at) as usize..(self.start + self.len) as usize
    }

    fn give_back(self, pool: &mut Pool) {
        self.chunk.into_iter().for_each(|chunk| pool.put(chunk));
    }
}

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
    slots: VecDeque<Slot>,
    /// The offset in the stream of the first byte still wanted. The stream begins where the chain was last empty.
    base: u64,
    /// From where the tiles before the first slot are counted.
    origin: u64,
    /// The offsets in the stream at which records end that somebody wants kept apart, in order.
    ends: VecDeque<u64>,
}

/// Ends of records that are kept; what is written beyond them is not kept apart.
pub(super) const MAX_ENDS: usize = 4_096;

/// Slots for which an empty queue at rest keeps room: as many as a window of 4 MiB needs.
const MAX_SPARE_SLOTS: usize = 64;

/// A stretch of the stream without a slot, for which one may be made.
#[derive(Clone, Copy, Debug)]
struct Tile {
    at: u64,
    len: u32,
    size: ChunkSize,
}

impl Slots {
    /// Empties itself for the next user.
    pub(super) fn reset(&mut self) {
        self.slots.clear();
        self.slots.shrink_to(MAX_SPARE_SLOTS);
        (self.base, self.origin) = (0, 0);
        self.ends.clear();
        self.ends.shrink_to(MAX_SPARE_SLOTS);
    }

    /// The slot that `at` belongs to, or where one would be inserted.
    fn locate(&self, at: u64) -> Result<usize, usize> {
        let holds = |slot: &Slot| (slot.at..slot.end()).contains(&at);
        // Almost always it is the first, to read, or behind the last, to write.
        if self.slots.front().is_some_and(holds) {
            return Ok(0);
        }
        if self.slots.back().is_none_or(|last| last.end() <= at) {
            return Err(self.slots.len());
        }
        let index = self.slots.partition_point(|slot| slot.end() <= at);
        if self.slots.get(index).is_some_and(holds) { Ok(index) } else { Err(index) }
    }

    /// The tile around `at`, which has no slot and would get the one of this index.
    fn tile(&self, index: usize, at: u64) -> Tile {
        let small = ChunkSize::Small.bytes() as u64;
        let before = index.checked_sub(1).and_then(|index| self.slots.get(index));
        let (from, size) = match before {
            Some(slot) => (slot.end(), ChunkSize::Large),
            // Only a chain that starts from nothing has a small first tile.
            None if self.origin > 0 => (self.origin, ChunkSize::Large),
            None if at < small => (0, ChunkSize::Small),
            None => (small, ChunkSize::Large),
        };
        let step = size.bytes() as u64;
        let start = from + (at - from) / step * step;
        let limit = self.slots.get(index).map_or(u64::MAX, |slot| slot.at);
        let len = (limit - start).min(step) as u32;
        let size = if len as usize <= ChunkSize::Small.bytes() { ChunkSize::Small } else { size };
        Tile { at: start, len, size }
    }
}

impl Chain {
    /// Octets of chunks that would have to be allocated to hold `len` octets from `offset` on.
    pub(super) fn missing(&self, offset: usize, len: usize) -> usize {
        let nothing = Slots::default();
        let held = self.0.as_deref().unwrap_or(&nothing);
        let (mut at, end) = (held.base + offset as u64, held.base + (offset + len) as u64);
        let mut missing = 0;
        while at < end {
            at = match held.locate(at) {
                Ok(index) => held.slots[index].end(),
                Err(index) => {
                    let tile = held.tile(index, at);
                    missing += tile.size.bytes();
                    tile.at + u64::from(tile.len)
                }
            };
        }
        missing
    }

    /// Copies `data` to `offset`, with new chunks where there are none. Less than the whole only when the pool is at
    /// its limit. Returns the octets copied.
    pub(super) fn write(&mut self, pool: &mut Pool, offset: usize, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() {
            let Some(room) = self.room(pool, offset + done) else { break };
            let count = room.len().min(data.len() - done);
            room[..count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        done
    }

    /// Makes a slot for `len` octets at `offset`, behind everything that is valid, whose chunk comes with
    /// [`Chain::deliver`] before anything else happens to the chain. What the slot before it had left over is given up.
    pub(super) fn promise(&mut self, pool: &mut Pool, offset: usize, len: u32) {
        self.pop_from(pool, offset);
        let held = self.0.get_or_insert_with(|| pool.take_slots());
        let at = held.base + offset as u64;
        if let Some(last) = held.slots.back_mut() {
            last.len = last.len.min((at - last.at) as u32);
        }
        held.slots.push_back(Slot { at, len, start: 0, chunk: None });
    }

    /// Takes in the chunk of the last slot, which was promised: its bytes begin at `start`.
    pub(super) fn deliver(&mut self, chunk: Chunk, start: u32) {
        let Some(last) = self.0.as_mut().and_then(|held| held.slots.back_mut()) else { return };
        debug_assert!(last.chunk.is_none() && (start + last.len) as usize <= chunk.bytes().len(), "{last:?} {start}");
        last.start = start;
        last.chunk = Some(chunk);
    }

    /// The `len` octets from `offset` on, in pieces; shorter where [`PIECES`](super::PIECES) do not suffice.
    ///
    /// [`LARGE`](super::LARGE) octets lie in at most two anywhere in a chain that took in no chunk, since there every slot
    /// after the first has that length.
    pub(super) fn pieces(&self, offset: usize, len: usize) -> Pieces<'_> {
        let mut pieces: Pieces<'_> = Default::default();
        let mut done = 0;
        for piece in &mut pieces {
            if done == len {
                break;
            }
            *piece = self.piece(offset + done, len - done);
            done += piece.len();
        }
        pieces
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
        held.base += count as u64;
        while held.slots.front().is_some_and(|slot| slot.end() <= held.base) {
            let Some(slot) = held.slots.pop_front() else { break };
            held.origin = slot.end();
            slot.give_back(pool);
        }
        while held.ends.front().is_some_and(|&end| end <= held.base) {
            held.ends.pop_front();
        }
        self.rest_if_empty(pool);
    }

    /// A record ends with the first `len` octets, which are valid; false where too many are kept already.
    pub(super) fn end_record(&mut self, len: usize) -> bool {
        let Some(held) = self.0.as_mut().filter(|held| held.ends.len() < MAX_ENDS) else { return false };
        let end = held.base + len as u64;
        if held.ends.back() != Some(&end) {
            held.ends.push_back(end);
        }
        true
    }

    /// Where the record ends that the octet at `offset` belongs to, if its end is kept.
    #[cold]
    pub(super) fn record_end(&self, offset: usize) -> Option<usize> {
        let held = self.0.as_ref()?;
        let at = held.base + offset as u64;
        let index = held.ends.partition_point(|&end| end <= at);
        held.ends.get(index).map(|end| (end - held.base) as usize)
    }

    /// Gives back the chunks that hold nothing of the first `len` octets.
    pub(super) fn truncate(&mut self, pool: &mut Pool, len: usize) {
        self.pop_from(pool, len);
        let Some(held) = self.0.as_mut() else { return };
        // Text out of order may have made the queue long; what is left of it need not pay for that.
        held.slots.shrink_to((2 * held.slots.len()).max(MAX_SPARE_SLOTS));
        self.rest_if_empty(pool);
    }

    /// Gives back everything.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        self.truncate(pool, 0);
    }

    /// Gives back the slots that begin at `offset` or behind it; with 0, all of them.
    fn pop_from(&mut self, pool: &mut Pool, offset: usize) {
        let Some(held) = self.0.as_mut() else { return };
        let end = held.base + offset as u64;
        while held.slots.back().is_some_and(|slot| offset == 0 || slot.at >= end) {
            held.slots.pop_back().into_iter().for_each(|slot| slot.give_back(pool));
        }
    }

    /// Gives the queue of slots back once it is empty: an idle connection holds none.
    fn rest_if_empty(&mut self, pool: &mut Pool) {
        if let Some(held) = self.0.take_if(|held| held.slots.is_empty()) {
            pool.put_slots(held);
        }
    }

    /// The memory of the slot that `offset` belongs to, from there on; a new slot if there is none. `None` when the pool
    /// is at its limit: nothing changed then.
    fn room(&mut self, pool: &mut Pool, offset: usize) -> Option<&mut [u8]> {
        if self.0.is_none() {
            self.0 = Some(pool.take_slots());
        }
        let held = self.0.as_mut()?;
        let at = held.base + offset as u64;
        let index = match held.locate(at) {
            Ok(index) => index,
            Err(index) => {
                let tile = held.tile(index, at);
                let Some(chunk) = pool.get(tile.size) else {
                    self.rest_if_empty(pool);
                    return None;
                };
                held.slots.insert(index, Slot { at: tile.at, len: tile.len, start: 0, chunk: Some(chunk) });
                index
            }
        };
        let slot = self.0.as_mut()?.slots.get_mut(index)?;
        let within = slot.within(at);
        Some(&mut slot.chunk.as_mut()?.bytes_mut()[within])
    }

    /// The octets from `offset` on that lie in one chunk, at most `len`.
    fn piece(&self, offset: usize, len: usize) -> &[u8] {
        let Some(held) = &self.0 else { return &[] };
        let at = held.base + offset as u64;
        let Some(slot) = held.locate(at).ok().and_then(|index| held.slots.get(index)) else { return &[] };
        let Some(chunk) = &slot.chunk else { return &[] };
        let rest = &chunk.bytes()[slot.within(at)];
        &rest[..len.min(rest.len())]
    }

    /// Octets of the chunks held, and whether any memory is held at all: for the tests.
    #[cfg(test)]
    pub(super) fn holds(&self) -> (usize, bool) {
        let slots = self.0.iter().flat_map(|held| &held.slots);
        (slots.filter_map(|slot| slot.chunk.as_ref()).map(|chunk| chunk.bytes().len()).sum(), self.0.is_some())
    }
}
