//! Where the records of one kind live: half-open records, connections, TIME-WAIT records.
//!
//! A [`Slab`] hands out small keys. A key says which slot, and which *generation* of the slot: when a record goes and
//! another takes its slot, keys of the old one find nothing, instead of finding a stranger.
//!
//! Slots lie in pages of 256. Growing adds a page and moves no record, so that the millionth insertion takes as
//! long as the first; only the list of pages (24 octets for 256 records) is ever copied. Pages are kept once made.

use std::ops::{Index, IndexMut};

/// Entries in a page.
const PAGE: usize = 256;

/// The end of a list that is linked by indices.
pub(super) const NIL: u32 = u32::MAX;

/// A vector in pages: its entries never move, and growing never copies them.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T> {
    /// All pages but the last are full.
    pages: Vec<Vec<T>>,
}

impl<T> Pages<T> {
    /// Without entries, without memory.
    pub(crate) const fn new() -> Pages<T> {
        Pages { pages: Vec::new() }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> u32 {
        self.pages.last().map_or(0, |last| ((self.pages.len() - 1) * PAGE + last.len()) as u32)
    }

    /// The entry at `index`.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.pages.get(index as usize / PAGE)?.get(index as usize % PAGE)
    }

    /// The entry at `index`.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.pages.get_mut(index as usize / PAGE)?.get_mut(index as usize % PAGE)
    }

    /// Appends an entry and says where it is.
    ///
    /// # Panics
    /// At 2^32 - 1 entries. The tables above have limits far below.
    pub(crate) fn push(&mut self, entry: T) -> u32 {
        let index = self.len();
        assert!(index < NIL, "an index of 32 bits is used up");
        if (index as usize).is_multiple_of(PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        self.pages.last_mut().expect("a page was just made if there was none").push(entry);
        index
    }

    /// Takes the last entry away, and its page if it was the page's only one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let entry = self.pages.last_mut()?.pop();
        if self.pages.last().is_some_and(Vec::is_empty) {
            self.pages.pop();
        }
        entry
    }

    /// All entries by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// All entries by index.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten()
    }
}

impl<T> Index<u32> for Pages<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.pages[index as usize / PAGE][index as usize % PAGE]
    }
}

impl<T> IndexMut<u32> for Pages<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.pages[index as usize / PAGE][index as usize % PAGE]
    }
}

/// Names one record of a [`Slab`], for as long as it lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlabKey {
    /// Which slot.
    pub index: u32,
    /// How many records the slot had before this one, modulo 2^32: a key that outlives its record by 2^32 others in the
    /// same slot would be believed again.
    pub generation: u32,
}

impl SlabKey {
    /// The key as one number, for places that keep 64 bits, such as the payload of a timer.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The key that [`SlabKey::to_bits`] wrote.
    pub const fn from_bits(bits: u64) -> SlabKey {
        SlabKey { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// What is in a slot.
#[derive(Clone, Debug)]
enum Content<T> {
    Full(T),
    /// `next_free` is the slot that was emptied before this one.
    Free {
        next_free: u32,
    },
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

/// Records in pages, found by keys that go stale; see the module's text.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    slots: Pages<Slot<T>>,
    /// The slot emptied last is filled first: it is the likeliest to be in the processor's cache.
    first_free: u32,
    len: u32,
    limit: u32,
}

impl<T> Slab<T> {
    /// An empty slab that will hold at most `max` records. It takes memory only as it fills.
    pub const fn with_limit(max: u32) -> Slab<T> {
        // Every record needs an index other than NIL.
        let limit = if max < NIL { max } else { NIL };
        Slab { slots: Pages::new(), first_free: NIL, len: 0, limit }
    }

    /// The number of records.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// The most records that there may be.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// There is no record.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// There is no room for another record.
    pub const fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Puts a record in. `None`, and the record is dropped, if the limit is reached.
    pub fn insert(&mut self, record: T) -> Option<SlabKey> {
        if self.is_full() {
            return None;
        }
        self.len += 1;
        let index = self.first_free;
        let Some(slot) = self.slots.get_mut(index) else {
            let index = self.slots.push(Slot { generation: 0, content: Content::Full(record) });
            return Some(SlabKey { index, generation: 0 });
        };
        if let Content::Free { next_free } = slot.content {
            self.first_free = next_free;
        }
        slot.content = Content::Full(record);
        Some(SlabKey { index, generation: slot.generation })
    }

    /// The record of this key, if it still lives.
    pub fn get(&self, key: SlabKey) -> Option<&T> {
        match self.slots.get(key.index)? {
            Slot { generation, content: Content::Full(record) } if *generation == key.generation => Some(record),
            _ => None,
        }
    }

    /// The record of this key, if it still lives.
    pub fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        match self.slots.get_mut(key.index)? {
            Slot { generation, content: Content::Full(record) } if *generation == key.generation => Some(record),
            _ => None,
        }
    }

    /// Whatever record is in the slot `index` now, and its key: for those who know that it is still theirs.
    pub fn get_by_index(&self, index: u32) -> Option<(SlabKey, &T)> {
        match self.slots.get(index)? {
            Slot { generation, content: Content::Full(record) } => {
                Some((SlabKey { index, generation: *generation }, record))
            }
            _ => None,
        }
    }

    /// The record of this key still lives.
    pub fn contains(&self, key: SlabKey) -> bool {
        self.get(key).is_some()
    }

    /// Takes the record out; its key, and every copy of it, is stale from now on.
    pub fn remove(&mut self, key: SlabKey) -> Option<T> {
        if !self.contains(key) {
            return None;
        }
        let slot = &mut self.slots[key.index];
        slot.generation = slot.generation.wrapping_add(1);
        let content = std::mem::replace(&mut slot.content, Content::Free { next_free: self.first_free });
        self.first_free = key.index;
        self.len -= 1;
        match content {
            Content::Full(record) => Some(record),
            Content::Free { .. } => None,
        }
    }

    /// Takes all records out, by index.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        let keys: Vec<SlabKey> = self.iter().map(|(key, _)| key).collect();
        keys.into_iter().filter_map(|key| self.remove(key))
    }

    /// All records by index. It visits every slot there ever was: for dumps, never on a packet's path.
    pub fn iter(&self) -> impl Iterator<Item = (SlabKey, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| match &slot.content {
            Content::Full(record) => Some((SlabKey { index, generation: slot.generation }, record)),
            Content::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_eight_octets_and_survives_as_a_number() {
        assert_eq!(size_of::<SlabKey>(), 8);
        let key = SlabKey { index: 7, generation: u32::MAX };
        assert_eq!(SlabKey::from_bits(key.to_bits()), key);
    }

    #[test]
    fn the_slot_emptied_last_is_filled_first_under_a_new_generation() {
        let mut slab = Slab::with_limit(10);
        let a = slab.insert("a").unwrap();
        let b = slab.insert("b").unwrap();
        assert_eq!((slab.remove(a), slab.remove(b)), (Some("a"), Some("b")));
        let c = slab.insert("c").unwrap();
        assert_eq!(c, SlabKey { index: b.index, generation: b.generation + 1 });
        assert_eq!((slab.get(b), slab.get(c)), (None, Some(&"c")));
    }

    #[test]
    fn at_the_limit_it_refuses_and_after_a_removal_it_takes_again() {
        let mut slab = Slab::with_limit(2);
        let first = slab.insert(1).unwrap();
        slab.insert(2).unwrap();
        assert!(slab.is_full());
        assert_eq!(slab.insert(3), None);
        assert_eq!((slab.len(), slab.remove(first)), (2, Some(1)));
        assert!(slab.insert(3).is_some());
        assert_eq!(Slab::with_limit(0).insert(()), None);
    }

    #[test]
    fn records_do_not_move_when_it_grows() {
        let mut slab = Slab::with_limit(u32::MAX);
        let key = slab.insert(0).unwrap();
        let before: *const i32 = slab.get(key).unwrap();
        for number in 1..10_000 {
            slab.insert(number).unwrap();
        }
        assert!(std::ptr::eq(before, slab.get(key).unwrap()));
        assert!(slab.iter().map(|(_, number)| *number).eq(0..10_000));
    }

    proptest! {
        /// Against a map that forgets nothing: live keys find their record, keys of removed records find none.
        #[test]
        fn it_behaves_as_a_map(actions in prop::collection::vec((0..5u8, any::<prop::sample::Index>()), 1..2_000)) {
            let mut slab = Slab::with_limit(700);
            let mut model: HashMap<SlabKey, usize> = HashMap::new();
            let mut ever: Vec<SlabKey> = Vec::new();
            for (number, (action, pick)) in actions.into_iter().enumerate() {
                if action < 3 || ever.is_empty() {
                    let key = slab.insert(number);
                    prop_assert_eq!(key.is_some(), model.len() < 700);
                    if let Some(key) = key {
                        prop_assert_eq!(model.insert(key, number), None, "a live key was given twice");
                        ever.push(key);
                    }
                } else {
                    let key = ever[pick.index(ever.len())];
                    prop_assert_eq!(slab.remove(key), model.remove(&key));
                    prop_assert!(!slab.contains(key));
                }
                prop_assert_eq!(slab.len() as usize, model.len());
            }
            for key in ever {
                prop_assert_eq!(slab.get(key), model.get(&key));
                prop_assert_eq!(slab.get_mut(key).copied(), model.get(&key).copied());
            }
            let mut all: Vec<(SlabKey, usize)> = model.into_iter().collect();
            all.sort_unstable();
            prop_assert!(slab.iter().eq(all.iter().map(|(key, number)| (*key, number))));
            for (key, number) in &all {
                prop_assert_eq!(slab.get_by_index(key.index), Some((*key, number)));
            }
        }
    }
}
