//! The buffers against the simplest models that can be right, under random operations.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// Octets of stream that the receive model follows.
const STREAM: usize = 192 * 1024;

/// A length or distance: often a few octets, often around the size of a chunk.
fn octets() -> impl Strategy<Value = usize> {
    prop_oneof![0..12usize, SMALL - 3..SMALL + 4, LARGE - 3..LARGE + 4, 0..70_000usize]
}

#[derive(Clone, Debug)]
enum Send {
    Write { len: usize, capacity: usize },
    Slices { offset: usize, len: usize },
    Advance(usize),
    Clear,
}

fn send() -> impl Strategy<Value = Send> {
    prop_oneof![
        4 => (octets(), 0..400_000usize).prop_map(|(len, capacity)| Send::Write { len, capacity }),
        4 => (0..300_000usize, octets()).prop_map(|(offset, len)| Send::Slices { offset, len }),
        3 => octets().prop_map(Send::Advance),
        1 => Just(Send::Clear),
    ]
}

#[derive(Clone, Debug)]
enum Receive {
    /// `distance` from 20 octets below `next`.
    Write {
        distance: usize,
        len: usize,
        fill: u8,
    },
    /// In order, with the chunk that it lies in.
    Chunk {
        len: usize,
        start: usize,
        fill: u8,
    },
    Read(usize),
    Skip(usize),
    Discard,
    Clear,
}

fn receive() -> impl Strategy<Value = Receive> {
    let write = |distance: BoxedStrategy<usize>| {
        (distance, octets(), any::<u8>()).prop_map(|(distance, len, fill)| Receive::Write { distance, len, fill })
    };
    prop_oneof![
        8 => write(prop_oneof![0..40usize, octets()].boxed()),
        3 => write(Just(20).boxed()),
        3 => (WORTH_A_CHUNK - 1..LARGE - 99, 0..100usize, any::<u8>())
            .prop_map(|(len, start, fill)| Receive::Chunk { len, start, fill }),
        4 => octets().prop_map(Receive::Read),
        1 => octets().prop_map(Receive::Skip),
        1 => Just(Receive::Discard),
        1 => Just(Receive::Clear),
    ]
}

/// The received stream as a map of bytes.
struct ByteMap {
    bytes: Vec<Option<u8>>,
    read: usize,
    next: usize,
}

impl ByteMap {
    fn write(&mut self, position: usize, data: &[u8]) -> Written {
        let (before, mut new) = (self.next, 0);
        for (place, &byte) in self.bytes[position..].iter_mut().zip(data) {
            if place.is_none() {
                *place = Some(byte);
                new += 1;
            }
        }
        self.next += self.bytes[self.next..].iter().take_while(|byte| byte.is_some()).count();
        // Data in order took in what had waited: it went further than its own end, or found some of itself there.
        let end = position + data.len();
        let unheld = end.saturating_sub(before.max(position)) as u64;
        let filled_gap = self.next > before && (self.next > end || new < unheld);
        Written { advanced: (self.next - before) as u64, new, filled_gap }
    }

    fn forget(&mut self) {
        self.bytes[self.next..].fill(None);
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.next - self.read);
        let taken = self.bytes[self.read..self.read + count].iter().map(|byte| byte.expect("contiguous"));
        let taken = taken.collect();
        self.read += count;
        taken
    }

    /// The ranges held above `next`.
    fn ranges(&self) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        let mut at = self.next;
        for run in self.bytes[self.next..].chunk_by(|a, b| a.is_some() == b.is_some()) {
            if run[0].is_some() {
                ranges.push((at as u64, (at + run.len()) as u64));
            }
            at += run.len();
        }
        ranges
    }
}

/// Data whose every byte tells its place, so that bytes out of place are found.
fn data(fill: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ fill).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_send_buffer_is_a_queue_of_bytes(
        limit in prop_oneof![Just(usize::MAX), 0..300_000usize],
        steps in prop::collection::vec(send(), 1..60),
    ) {
        let (mut pool, mut buffer, mut model) = (Pool::new(limit), SendBuffer::new(), VecDeque::<u8>::new());
        for (step, operation) in steps.into_iter().enumerate() {
            match operation {
                Send::Write { len, capacity } => {
                    let data = data(step as u8, len);
                    let taken = buffer.write(&mut pool, &data, capacity);
                    let wanted = len.min(capacity.saturating_sub(model.len()));
                    prop_assert!(taken == wanted || taken < wanted && pool.free_for_sending() < LARGE);
                    model.extend(&data[..taken]);
                }
                Send::Slices { offset, len } => {
                    let lent = buffer.slices(offset, len).concat();
                    let held = len.min(model.len().saturating_sub(offset));
                    prop_assert!(lent.len() == held || lent.len() > (PIECES - 1) * LARGE && lent.len() < held);
                    prop_assert!(model.iter().skip(offset).take(lent.len()).eq(lent.iter()));
                }
                Send::Advance(count) => {
                    buffer.advance(&mut pool, count);
                    model.drain(..count.min(model.len()));
                }
                Send::Clear => {
                    buffer.clear(&mut pool);
                    model.clear();
                }
            }
            prop_assert_eq!(buffer.len(), model.len());
            prop_assert_eq!(buffer.is_empty(), model.is_empty());
            let (chunks, any_memory) = buffer.holds();
            prop_assert_eq!(chunks, pool.charged());
            prop_assert!(pool.charged() <= limit && pool.charged() < model.len() + 2 * LARGE);
            prop_assert!(any_memory != model.is_empty());
        }
        buffer.clear(&mut pool);
        prop_assert_eq!(pool.charged(), 0);
    }

    /// 9293-SHLD-31
    #[test]
    fn a_receive_buffer_gives_the_stream_once_and_in_order(
        limit in prop_oneof![3 => Just(usize::MAX), 1 => 0..300_000usize],
        steps in prop::collection::vec(receive(), 1..60),
    ) {
        let (mut pool, mut buffer) = (Pool::new(limit), ReceiveBuffer::new());
        let mut reader = Chunk::for_packets();
        let mut model = ByteMap { bytes: vec![None; STREAM], read: 0, next: 0 };
        for operation in steps {
            match operation {
                Receive::Write { distance, len, fill } => {
                    let position = (model.next + distance).saturating_sub(20).min(STREAM);
                    let data = data(fill, len.min(STREAM - position));
                    match buffer.write_at(&mut pool, position as u64, &data) {
                        Ok(written) => prop_assert_eq!(written, model.write(position, &data)),
                        Err(full) => {
                            prop_assert_eq!(full, Full::Memory);
                            // Missing at most the chunks that the data touches.
                            prop_assert!(limit - pool.charged() < data.len() + 2 * LARGE);
                        }
                    }
                }
                Receive::Chunk { len, start, fill } => {
                    let data = data(fill, len);
                    if model.next + len > STREAM {
                        continue;
                    }
                    match buffer.promise(&mut pool, len) {
                        Some(spare) => {
                            prop_assert!(len >= WORTH_A_CHUNK && model.ranges().is_empty());
                            reader.bytes_mut()[start..start + len].copy_from_slice(&data);
                            buffer.deliver(std::mem::replace(&mut reader, spare), start);
                            model.write(model.next, &data);
                        }
                        None => prop_assert!(
                            len < WORTH_A_CHUNK || !model.ranges().is_empty() || limit - pool.charged() < LARGE
                        ),
                    }
                }
                Receive::Read(count) => {
                    let mut bytes = vec![0; count];
                    let pieces = buffer.peek_slices().concat();
                    let count = buffer.read(&mut pool, &mut bytes);
                    prop_assert!(pieces.iter().zip(&bytes[..count]).all(|(a, b)| a == b));
                    prop_assert!(bytes[..count] == model.take(bytes.len()));
                }
                Receive::Skip(count) => {
                    prop_assert_eq!(buffer.skip(&mut pool, count), model.take(count).len());
                }
                Receive::Discard => {
                    let forgotten: u64 = model.ranges().iter().map(|range| range.1 - range.0).sum();
                    prop_assert_eq!(buffer.discard_out_of_order(&mut pool), forgotten);
                    model.forget();
                }
                Receive::Clear => {
                    buffer.clear(&mut pool);
                    model.forget();
                    model.read = model.next;
                }
            }
            prop_assert_eq!((buffer.read_position(), buffer.next()), (model.read as u64, model.next as u64));
            let ranges = model.ranges();
            let held = model.next - model.read + buffer.out_of_order_bytes() as usize;
            prop_assert_eq!(buffer.out_of_order().iter().collect::<Vec<_>>(), ranges.clone());
            let (chunks, any_memory) = buffer.holds();
            prop_assert_eq!(chunks, pool.charged());
            // Each run of bytes pays for at most one chunk at each of its ends; the read position pays for one. What was
            // taken in with its chunk may waste a quarter of that, and all but an octet of the one before it.
            prop_assert!(pool.charged() <= limit && chunks <= 3 * held + (2 * ranges.len() + 3) * LARGE);
            prop_assert_eq!(any_memory, held > 0);
        }
        buffer.clear(&mut pool);
        prop_assert_eq!(pool.charged(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_range_set_is_a_set_of_points(
        steps in prop::collection::vec((0..8u8, 0..200u64, 0..30u64), 1..80),
    ) {
        let (mut set, mut model) = (RangeSet::new(), BTreeSet::new());
        for (kind, start, len) in steps {
            if kind == 0 {
                set.remove_below(start);
                model = model.split_off(&start);
            } else {
                set.insert(start, start + len).unwrap();
                model.extend(start..start + len);
            }
            let ranges: Vec<(u64, u64)> = set.iter().collect();
            prop_assert!(ranges.iter().all(|range| range.0 < range.1));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "ordered, not touching: {:?}", ranges);
            prop_assert!(ranges.iter().flat_map(|range| range.0..range.1).eq(model.iter().copied()));
            prop_assert_eq!((set.bytes(), set.len()), (model.len() as u64, ranges.len()));
            prop_assert_eq!((set.is_empty(), set.first()), (model.is_empty(), ranges.first().copied()));

            prop_assert_eq!(set.covers(start, start + len), (start..start + len).all(|point| model.contains(&point)));
            let gaps = set.gaps(start, start + len).flat_map(|gap| gap.0..gap.1);
            prop_assert!(gaps.eq((start..start + len).filter(|point| !model.contains(point))));
            let containing = ranges.iter().copied().find(|range| (range.0..range.1).contains(&start));
            prop_assert_eq!(set.containing(start), containing);
        }
    }
}
