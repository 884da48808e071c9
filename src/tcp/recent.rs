//! A map with a limit.

use std::collections::BTreeMap;

use crate::time::Instant;

/// Entries of one map. The longest unused one makes room.
pub const MAX_ENTRIES: usize = 1_024;

/// A map with a limit, whose entries know when they were last used.
#[derive(Debug)]
pub(super) struct Recent<K, V>(pub BTreeMap<K, (Instant, V)>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Recent<K, V> {
        Recent(BTreeMap::new())
    }
}

impl<K: Ord + Copy, V> Recent<K, V> {
    /// Puts in a value, which is used just now.
    pub fn set(&mut self, key: K, now: Instant, value: V) {
        if self.0.len() >= MAX_ENTRIES && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.0).map(|(&key, _)| key);
            oldest.and_then(|key| self.0.remove(&key));
        }
        self.0.insert(key, (now, value));
    }
}
