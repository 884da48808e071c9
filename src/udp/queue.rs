//! What waits in a socket for the application, and the memory that all sockets share.

use std::collections::VecDeque;

use super::MAX_SEGMENTS;
use super::datagram::{Datagram, RecvMeta};

/// Octets that a datagram costs beside its payload: its record, and what the allocator adds.
const OVERHEAD: usize = size_of::<Datagram>() + 64;

/// Records for which a queue that has run empty keeps its room.
const KEPT: usize = 64;

/// A queue that holds so little may draw on the memory that is kept for such queues.
const LITTLE: usize = 16 * 1024;

/// The part of the memory that is kept for queues that hold little: one in this many.
const KEPT_FOR_LITTLE: usize = 4;

/// The memory of all receive queues of one stack.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    charged: usize,
}

impl Memory {
    /// With so many octets.
    pub fn new(limit: usize) -> Memory {
        Memory { limit, charged: 0 }
    }

    /// Octets in use.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Whether there is room for so many octets in a queue that holds little, or in any other.
    fn admits(&self, octets: usize, little: bool) -> bool {
        let kept = if little { 0 } else { self.limit / KEPT_FOR_LITTLE };
        self.charged + octets <= self.limit - kept
    }
}

/// Why a queue did not take a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The queue is at its own limit.
    Queue,
    /// The memory of all queues is used up as far as this one may.
    Memory,
}

/// The receive queue of one socket: whole datagrams, in order.
// 768-4: a datagram is never merged with another, unless the reader asks for several at once and is told the stride.
#[derive(Debug)]
pub struct Queue {
    datagrams: VecDeque<Datagram>,
    /// Octets of the first one that were read already, as whole datagrams.
    taken: usize,
    /// Octets, overhead included.
    charged: usize,
    /// The most of them. One datagram is always taken.
    pub limit: usize,
    /// Datagrams that found no room.
    pub dropped: u64,
}

impl Queue {
    /// An empty queue.
    pub fn new(limit: usize) -> Queue {
        Queue { datagrams: VecDeque::new(), taken: 0, charged: 0, limit, dropped: 0 }
    }

    /// Whether a payload of so many octets would be taken.
    ///
    /// # Errors
    /// What is full; it is counted.
    pub fn admit(&mut self, len: usize, memory: &Memory) -> Result<(), Full> {
        let (empty, charged) = (self.datagrams.is_empty(), self.charged + len + OVERHEAD);
        let result = if charged > self.limit && !empty {
            Err(Full::Queue)
        } else if !memory.admits(len + OVERHEAD, empty || charged <= LITTLE) {
            // However many are flooded, one that holds little still finds room.
            Err(Full::Memory)
        } else {
            Ok(())
        };
        self.dropped += u64::from(result.is_err());
        result
    }

    /// Appends a datagram that was admitted.
    pub fn push(&mut self, datagram: Datagram, memory: &mut Memory) {
        let charge = datagram.data.len() + OVERHEAD;
        self.charged += charge;
        memory.charged += charge;
        self.datagrams.push_back(datagram);
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Octets that it holds, overhead included.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// The next datagram by itself.
    pub fn pop(&mut self, memory: &mut Memory) -> Option<Datagram> {
        let first = self.datagrams.front()?;
        if first.data.len() <= first.stride {
            return self.pop_front(memory);
        }
        let piece = &first.data[self.taken..];
        let len = piece.len().min(first.stride);
        let datagram = Datagram { data: piece[..len].to_vec(), stride: len, ..*first };
        self.take(len, memory);
        Some(datagram)
    }

    /// Copies the next datagram into `buffer` and takes it away, or with `coalesced` as many of those that came in one piece
    /// as fit. What does not fit of a single one is lost.
    pub fn read(&mut self, buffer: &mut [u8], coalesced: bool, memory: &mut Memory) -> Option<RecvMeta> {
        let (meta, len) = self.copy(buffer, coalesced)?;
        self.take(len, memory);
        Some(meta)
    }

    /// As [`Queue::read`] for a single datagram, which stays.
    pub fn peek(&self, buffer: &mut [u8]) -> Option<RecvMeta> {
        self.copy(buffer, false).map(|(meta, _)| meta)
    }

    /// What is copied, and how many octets of the first datagram that is.
    fn copy(&self, buffer: &mut [u8], coalesced: bool) -> Option<(RecvMeta, usize)> {
        let first = self.datagrams.front()?;
        let rest = &first.data[self.taken..];
        let single = rest.len().min(first.stride);
        let len = match buffer.len().min(single * MAX_SEGMENTS) {
            room if coalesced && room >= rest.len() => rest.len(),
            room if coalesced && room >= single && single > 0 => room / single * single,
            _ => single,
        };
        let copied = len.min(buffer.len());
        buffer[..copied].copy_from_slice(&rest[..copied]);
        let meta = RecvMeta {
            source: first.source,
            destination: first.destination,
            len: copied,
            stride: single.min(copied),
            hop_limit: first.hop_limit,
            traffic_class: first.traffic_class,
            arrived: first.arrived,
            truncated: copied < len,
        };
        Some((meta, len))
    }

    /// So many octets of the first datagram are read; with the last of them it goes.
    fn take(&mut self, len: usize, memory: &mut Memory) {
        self.taken += len;
        if self.datagrams.front().is_some_and(|first| self.taken >= first.data.len()) {
            self.pop_front(memory);
        }
    }

    fn pop_front(&mut self, memory: &mut Memory) -> Option<Datagram> {
        let datagram = self.datagrams.pop_front()?;
        let charge = datagram.data.len() + OVERHEAD;
        self.charged -= charge;
        memory.charged -= charge;
        self.taken = 0;
        if self.datagrams.is_empty() && self.datagrams.capacity() > KEPT {
            // What a flood has made it grow to is not kept for ever.
            self.datagrams.shrink_to(KEPT);
        }
        Some(datagram)
    }

    /// Takes everything away.
    pub fn clear(&mut self, memory: &mut Memory) {
        while self.pop_front(memory).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    fn datagram(data: &[u8], stride: usize) -> Datagram {
        let address = "10.0.0.1:9".parse().unwrap();
        Datagram {
            source: address,
            destination: address,
            hop_limit: 64,
            traffic_class: 0,
            data: data.to_vec(),
            stride,
            arrived: Instant::ZERO,
        }
    }

    fn filled(queue: &mut Queue, memory: &mut Memory, len: usize) -> usize {
        let mut taken = 0;
        while taken < 100_000 && queue.admit(len, memory).is_ok() {
            queue.push(datagram(&vec![7; len], len), memory);
            taken += 1;
        }
        taken
    }

    /// 768-4
    #[test]
    fn the_queue_is_bounded_by_octets_with_overhead_and_keeps_datagrams_apart() {
        let mut memory = Memory::new(1 << 30);
        for len in [0, 1, 1_400, 65_507] {
            let mut queue = Queue::new(1 << 20);
            assert_eq!(filled(&mut queue, &mut memory, len), (1 << 20) / (len + OVERHEAD));
            assert!(queue.charged() <= 1 << 20 && queue.dropped == 1);
            assert_eq!(memory.charged(), queue.charged());
            assert_eq!(queue.pop(&mut memory).unwrap().data.len(), len);
            queue.clear(&mut memory);
            assert_eq!((queue.charged(), memory.charged()), (0, 0));
            assert!(queue.datagrams.capacity() <= KEPT);
        }
        // One is taken however low the limit is.
        let mut queue = Queue::new(1);
        assert_eq!(filled(&mut queue, &mut memory, 9_000), 1);
        queue.clear(&mut memory);
    }

    #[test]
    fn flooded_queues_leave_room_for_an_empty_one() {
        let mut memory = Memory::new(1 << 20);
        let mut queues: Vec<Queue> = (0..10).map(|_| Queue::new(1 << 30)).collect();
        for _ in 0..10 {
            for queue in &mut queues {
                filled(queue, &mut memory, 100);
            }
        }
        assert!(memory.charged() <= 1 << 20 && queues.iter().all(|queue| !queue.is_empty()));
        assert_eq!(queues[0].admit(100, &memory), Err(Full::Memory));
        assert!(queues.iter().all(|queue| queue.charged() > LITTLE - 1_000), "each has something");
        let mut newcomer = Queue::new(1 << 30);
        assert!(filled(&mut newcomer, &mut memory, 100) > 50);
        queues.push(newcomer);
        for queue in &mut queues {
            queue.clear(&mut memory);
        }
        assert_eq!(memory.charged(), 0);
    }

    #[test]
    fn a_super_datagram_is_read_by_itself_or_as_much_as_fits() {
        let mut memory = Memory::new(1 << 20);
        let (mut queue, mut buffer) = (Queue::new(1 << 20), [0; 100]);
        let push = |queue: &mut Queue, memory: &mut Memory| queue.push(datagram(b"aabbccd", 2), memory);
        push(&mut queue, &mut memory);
        let mut seen = Vec::new();
        while let Some(meta) = queue.read(&mut buffer, false, &mut memory) {
            assert!(meta.stride == meta.len && !meta.truncated);
            seen.push(buffer[..meta.len].to_vec());
        }
        assert_eq!(seen, [b"aa".to_vec(), b"bb".to_vec(), b"cc".to_vec(), b"d".to_vec()]);
        // As by the call that makes vectors.
        push(&mut queue, &mut memory);
        let popped: Vec<Vec<u8>> = std::iter::from_fn(|| queue.pop(&mut memory)).map(|next| next.data).collect();
        assert_eq!(popped, seen);
        for (room, expected) in [(7, vec![7]), (6, vec![6, 1]), (5, vec![4, 3]), (3, vec![2, 2, 3])] {
            push(&mut queue, &mut memory);
            let metas: Vec<RecvMeta> =
                std::iter::from_fn(|| queue.read(&mut buffer[..room], true, &mut memory)).collect();
            assert_eq!(metas.iter().map(|meta| meta.len).collect::<Vec<_>>(), expected, "room for {room}");
            assert!(metas.iter().all(|meta| meta.stride == meta.len.min(2) && !meta.truncated));
        }
        push(&mut queue, &mut memory);
        let meta = queue.read(&mut buffer[..1], true, &mut memory).unwrap();
        assert!(meta.truncated && meta.len == 1, "not even one fits");
        assert_eq!(queue.peek(&mut buffer).unwrap().len, 2);
        queue.clear(&mut memory);
        // Nothing at all is a datagram, too.
        queue.push(datagram(b"", 0), &mut memory);
        queue.push(datagram(b"x", 1), &mut memory);
        assert_eq!(queue.read(&mut buffer, true, &mut memory).unwrap().len, 0);
        assert_eq!(queue.read(&mut [], false, &mut memory).map(|meta| (meta.len, meta.truncated)), Some((0, true)));
        assert_eq!((queue.read(&mut buffer, true, &mut memory), memory.charged()), (None, 0));
    }
}
