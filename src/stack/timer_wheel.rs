//! All timers of a stack: one entry per connection, the earliest found at once.
//!
//! The wheel has 8 levels of 64 buckets. A bucket of the lowest level is a *tick* of 2^20 ns (about 1 ms) wide,
//! one of each further level 64 times as wide as one of the level below; 8 levels reach the end of 64-bit time. A
//! deadline goes to the level of the highest 6-bit digit in which its tick differs from the current tick, in the bucket
//! of its own digit there:
//!
//! ```text
//! current tick   ... 0 | 0 | 12 |  7 | 63       digits of base 64
//! deadline       ... 0 | 0 | 12 | 31 |  5       -> level 1, bucket 31
//! ```
//!
//! So all deadlines of a level share the higher digits, and its first bucket in use, found by one bit instruction, has
//! its earliest. Most wheels move the entries of a wide bucket down when its time comes, all at once, and before know a
//! deadline in it only to the bucket's width. Here an entry stays where it was put, and each bucket is a small heap
//! (`timer_heap`): the earliest entry is at the top, and adding or removing one takes as many steps as the logarithm of the
//! *bucket's* population, in the worst case too. The wheel keeps the heaps small, the heaps make the answer exact, and
//! nothing ever walks over empty ticks or over all timers.

use std::cell::Cell;

use super::slab::NIL;
use super::timer_heap::{Nodes, Place};
use crate::time::Instant;

/// The width of a tick is two to this power, in nanoseconds.
const TICK_BITS: u32 = 20;
/// Each level decides by this many bits of the tick.
const LEVEL_BITS: u32 = 6;
/// Buckets in a level.
const SLOTS: usize = 1 << LEVEL_BITS;
/// Eight digits of six bits cover the 44 bits of a tick.
const LEVELS: usize = 8;

/// Names a timer from [`TimerWheel::insert`] until [`TimerWheel::remove`]; after that the wheel may use it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerId(u32);

/// The timers; see the module's text. Of several timers that are due, the one with the earliest deadline comes first,
/// and of equal deadlines the one with the lowest id, so that the order depends on nothing but the calls.
#[derive(Clone, Debug)]
pub struct TimerWheel {
    nodes: Nodes,
    len: u32,
    /// The tick with which deadlines are compared to find their level. It moves only while nothing is due.
    current: u64,
    /// Which buckets of a level are in use: bit n for bucket n.
    in_use: [u64; LEVELS],
    /// The earliest node of each bucket.
    tops: Box<[[u32; SLOTS]; LEVELS]>,
    /// The earliest node of all, if that is known (`None`: there is none): a driver asks several times for each packet.
    earliest: Cell<Option<Option<u32>>>,
}

impl Default for TimerWheel {
    fn default() -> TimerWheel {
        TimerWheel::new()
    }
}

impl TimerWheel {
    /// A wheel without timers, at the origin of time.
    pub fn new() -> TimerWheel {
        TimerWheel {
            nodes: Nodes::new(),
            len: 0,
            current: 0,
            in_use: [0; LEVELS],
            tops: Box::new([[NIL; SLOTS]; LEVELS]),
            earliest: Cell::new(Some(None)),
        }
    }

    /// The number of timers, parked ones included.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// There is no timer.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A new timer that carries `payload` and is due at `at`, which may be in the past.
    pub fn insert(&mut self, payload: u64, at: Instant) -> TimerId {
        let id = self.insert_parked(payload);
        self.link(id.0, at);
        id
    }

    /// A new timer that carries `payload` and has no deadline yet.
    pub fn insert_parked(&mut self, payload: u64) -> TimerId {
        self.len += 1;
        TimerId(self.nodes.add(payload))
    }

    /// Sets the deadline, whether there was one or not.
    pub fn reschedule(&mut self, id: TimerId, at: Instant) {
        // An acknowledgment often moves a deadline to where it is already.
        if self.deadline(id) == Some(at) {
            return;
        }
        self.park(id);
        self.link(id.0, at);
    }

    /// Takes the deadline away and keeps the timer.
    pub fn park(&mut self, id: TimerId) {
        assert!(self.nodes[id.0].place != Place::Free, "timer {} was removed", id.0);
        self.unlink(id.0);
    }

    /// Ends the timer; its id must not be used any more.
    pub fn remove(&mut self, id: TimerId) {
        self.park(id);
        self.nodes.free(id.0);
        self.len -= 1;
    }

    /// What was given at the insertion.
    pub fn payload(&self, id: TimerId) -> u64 {
        self.nodes[id.0].payload
    }

    /// When the timer is due; `None` if it is parked.
    pub fn deadline(&self, id: TimerId) -> Option<Instant> {
        let node = &self.nodes[id.0];
        matches!(node.place, Place::Bucket { .. }).then_some(node.at)
    }

    /// The earliest of all deadlines, exact to the nanosecond, also if it is past. It looks at eight nodes at most.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.earliest().map(|index| self.nodes[index].at)
    }

    /// Changes what a timer carries.
    pub fn set_payload(&mut self, id: TimerId, payload: u64) {
        self.nodes[id.0].payload = payload;
    }

    /// Parks the earliest of the timers that are due at `now` and names it, with its payload.
    ///
    /// To be called until it answers `None`: only then does the wheel move on to `now`, and the nearer the wheel is to
    /// the present, the finer it sorts what is set next. Between two calls timers may be set, even in the past.
    pub fn pop_expired(&mut self, now: Instant) -> Option<(TimerId, u64)> {
        match self.earliest() {
            Some(index) if self.nodes[index].at <= now => {
                self.unlink(index);
                Some((TimerId(index), self.nodes[index].payload))
            }
            _ => {
                // Every deadline left is after `now`, so each still shares with it the digits above its own level.
                self.current = self.current.max(tick(now));
                None
            }
        }
    }

    /// The node with the earliest deadline: one candidate from each level, since a level still has entries of its
    /// current bucket when its time has come.
    fn earliest(&self) -> Option<u32> {
        if let Some(known) = self.earliest.get() {
            return known;
        }
        let earliest = (0..LEVELS)
            .filter(|level| self.in_use[*level] != 0)
            .map(|level| self.tops[level][self.in_use[level].trailing_zeros() as usize])
            .min_by_key(|index| self.nodes.order(*index));
        self.earliest.set(Some(earliest));
        earliest
    }

    /// Adds a parked node to the bucket of its deadline.
    fn link(&mut self, index: u32, at: Instant) {
        // What is past needs no care: it too shares the higher digits, and its bucket comes before the current one.
        let tick = tick(at);
        let level = (tick ^ self.current).checked_ilog2().unwrap_or(0) / LEVEL_BITS;
        let slot = (tick >> (level * LEVEL_BITS)) as usize % SLOTS;
        let node = &mut self.nodes[index];
        node.at = at;
        node.place = Place::Bucket { level: level as u8, slot: slot as u8 };
        let level = level as usize;
        self.tops[level][slot] = self.nodes.merge(self.tops[level][slot], index);
        self.in_use[level] |= 1 << slot;
        if let Some(known) = self.earliest.get()
            && known.is_none_or(|known| self.nodes.order(index) < self.nodes.order(known))
        {
            self.earliest.set(Some(Some(index)));
        }
    }

    /// Takes a node out of the heap it is in, if it is in one, and parks it.
    fn unlink(&mut self, index: u32) {
        let Place::Bucket { level, slot } = self.nodes[index].place else { return };
        if self.earliest.get() == Some(Some(index)) {
            self.earliest.set(None);
        }
        if let Some(top) = self.nodes.cut(index) {
            let (level, slot) = (usize::from(level), usize::from(slot));
            self.tops[level][slot] = top;
            if top == NIL {
                self.in_use[level] &= !(1 << slot);
            }
        }
    }
}

/// The tick of a point in time.
const fn tick(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use rand::Rng;

    use super::*;
    use crate::rng::KeyedRng;

    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// Checks each heap, and that bits and tops agree. Answers how many timers have a deadline.
    fn check(wheel: &TimerWheel) -> usize {
        let mut count = 0;
        for level in 0..LEVELS {
            for slot in 0..SLOTS {
                let top = wheel.tops[level][slot];
                assert_eq!(top != NIL, wheel.in_use[level] >> slot & 1 == 1);
                count += wheel.nodes.check(top, Place::Bucket { level: level as u8, slot: slot as u8 });
            }
        }
        count
    }

    #[test]
    fn it_reports_to_the_nanosecond_and_pops_nothing_early() {
        let mut wheel = TimerWheel::new();
        let late = wheel.insert(1, at(5_000_000_001));
        let soon = wheel.insert(2, at(5_000_000_000));
        assert_eq!(wheel.next_deadline(), Some(at(5_000_000_000)));
        assert_eq!(wheel.pop_expired(at(4_999_999_999)), None);
        assert_eq!(wheel.pop_expired(at(5_000_000_000)), Some((soon, 2)));
        assert_eq!(wheel.pop_expired(at(5_000_000_000)), None);
        assert_eq!((wheel.deadline(soon), wheel.deadline(late)), (None, Some(at(5_000_000_001))));
        wheel.reschedule(soon, at(7));
        assert_eq!(wheel.next_deadline(), Some(at(7)), "a deadline in the past is the next of all");
        assert_eq!(wheel.pop_expired(at(5_000_000_000)), Some((soon, 2)));
        wheel.remove(late);
        assert_eq!((wheel.next_deadline(), wheel.len(), wheel.payload(soon)), (None, 1, 2));
    }

    #[test]
    fn time_may_jump_to_its_end() {
        let mut wheel = TimerWheel::new();
        let ids = [0, 1, YEAR, 100 * YEAR, 500 * YEAR, u64::MAX].map(|nanos| wheel.insert(nanos, at(nanos)));
        for id in ids {
            assert_eq!(wheel.next_deadline(), wheel.deadline(id));
            assert_eq!(wheel.pop_expired(at(u64::MAX)), Some((id, wheel.payload(id))));
        }
        assert_eq!(wheel.pop_expired(at(u64::MAX)), None);
        let id = wheel.insert(0, at(3));
        assert_eq!(wheel.pop_expired(at(2)), None, "not early, even if the caller's clock went back");
        assert_eq!(wheel.pop_expired(at(3)), Some((id, 0)));
    }

    #[test]
    #[should_panic(expected = "was removed")]
    fn a_removed_timer_cannot_be_set() {
        let mut wheel = TimerWheel::new();
        let id = wheel.insert(0, at(1));
        wheel.remove(id);
        wheel.reschedule(id, at(2));
    }

    /// The hard case for a wheel: all deadlines in one wide bucket, and always the earliest is moved behind the others.
    #[test]
    fn a_hundred_thousand_keep_alives_in_turn_stay_cheap() {
        let mut wheel = TimerWheel::new();
        let hours = |number: u64| at(7_200_000_000_000 + number * 10_000);
        let ids: Vec<TimerId> = (0..100_000).map(|number| wheel.insert(number, hours(number))).collect();
        for (id, number) in ids.iter().zip(100_000..) {
            assert_eq!(wheel.next_deadline(), Some(hours(number - 100_000)));
            wheel.reschedule(*id, hours(number));
        }
        assert_eq!(check(&wheel), 100_000);
        let deepest = wheel.nodes.largest_rank();
        assert!(deepest <= Some(17), "{deepest:?}");
    }

    /// Fifty thousand connections, each of which sets its timer again whenever it is due, over a simulated minute.
    #[test]
    fn what_is_popped_comes_in_order_and_nodes_are_used_again() {
        let mut rng = KeyedRng::from_seed(3);
        let mut wheel = TimerWheel::new();
        for number in 0..50_000 {
            wheel.insert(number, at(rng.below(3_000_000_000)));
        }
        let mut popped = 0;
        let mut now = 0;
        while now < 60_000_000_000 {
            now += rng.next_u64() % 50_000_000;
            let mut previous = Instant::ZERO;
            while let Some(next) = wheel.next_deadline().filter(|next| *next <= at(now)) {
                assert!(previous <= next);
                previous = next;
                let (id, _) = wheel.pop_expired(at(now)).unwrap();
                wheel.reschedule(id, at(now + 1 + rng.below(3_000_000_000)));
                popped += 1;
            }
            assert_eq!(wheel.pop_expired(at(now)), None);
        }
        assert!(popped > 1_000_000, "{popped}");
        assert_eq!((check(&wheel), wheel.nodes.len()), (50_000, 50_000));
    }

    /// What the random test does; timers are picked among those that live, times are relative to now.
    #[derive(Clone, Debug)]
    enum Action {
        Insert(i64),
        Reschedule(prop::sample::Index, i64),
        Park(prop::sample::Index),
        Remove(prop::sample::Index),
        Pop(u64),
        PopAll(u64),
    }

    /// Nanoseconds from 0 to 292 years, small ones as likely as large ones.
    fn distance() -> impl Strategy<Value = u64> {
        (any::<u64>(), 1..64u32).prop_map(|(number, shift)| number >> shift)
    }

    fn action() -> impl Strategy<Value = Action> {
        // One deadline in four is in the past, and `Pop` leaves others due.
        let signed = || (distance(), 0..4u8).prop_map(|(nanos, sign)| nanos as i64 * if sign == 0 { -1 } else { 1 });
        let pick = any::<prop::sample::Index>;
        prop_oneof![
            4 => signed().prop_map(Action::Insert),
            4 => (pick(), signed()).prop_map(|(pick, nanos)| Action::Reschedule(pick, nanos)),
            1 => pick().prop_map(Action::Park),
            1 => pick().prop_map(Action::Remove),
            1 => distance().prop_map(|nanos| Action::Pop(nanos >> 8)),
            1 => distance().prop_map(|nanos| Action::PopAll(nanos >> 8)),
        ]
    }

    proptest! {
        /// Against a sorted set of (deadline, id): the same next deadline after each step, the same timers popped.
        #[test]
        fn it_behaves_as_a_sorted_set(actions in prop::collection::vec(action(), 1..400)) {
            let mut wheel = TimerWheel::new();
            let mut due: BTreeSet<(Instant, TimerId)> = BTreeSet::new();
            let mut payloads: BTreeMap<TimerId, u64> = BTreeMap::new();
            let mut now = 0u64;
            for (payload, action) in (0..).zip(actions) {
                let pick = |pick: prop::sample::Index| payloads.keys().nth(pick.index(payloads.len().max(1))).copied();
                match action {
                    Action::Insert(nanos) => {
                        let at = at(now.saturating_add_signed(nanos));
                        let id = wheel.insert(payload, at);
                        prop_assert_eq!(payloads.insert(id, payload), None, "a live id was given twice");
                        due.insert((at, id));
                    }
                    Action::Reschedule(index, nanos) => if let Some(id) = pick(index) {
                        let at = at(now.saturating_add_signed(nanos));
                        wheel.reschedule(id, at);
                        due.retain(|(_, other)| *other != id);
                        due.insert((at, id));
                    }
                    Action::Park(index) => if let Some(id) = pick(index) {
                        wheel.park(id);
                        due.retain(|(_, other)| *other != id);
                    }
                    Action::Remove(index) => if let Some(id) = pick(index) {
                        wheel.remove(id);
                        due.retain(|(_, other)| *other != id);
                        payloads.remove(&id);
                    }
                    Action::Pop(nanos) | Action::PopAll(nanos) => {
                        now = now.saturating_add(nanos);
                        let most = if matches!(action, Action::Pop(_)) { 1 } else { usize::MAX };
                        for _ in 0..most {
                            let expected = due.first().copied().filter(|(deadline, _)| *deadline <= at(now));
                            let popped = wheel.pop_expired(at(now));
                            prop_assert_eq!(popped, expected.map(|(_, id)| (id, payloads[&id])));
                            let Some(first) = expected else { break };
                            due.remove(&first);
                        }
                    }
                }
                prop_assert_eq!(wheel.next_deadline(), due.first().map(|(deadline, _)| *deadline));
                prop_assert_eq!(wheel.len() as usize, payloads.len());
            }
            prop_assert_eq!(check(&wheel), due.len());
            for (deadline, id) in due {
                prop_assert_eq!((wheel.deadline(id), wheel.payload(id)), (Some(deadline), payloads[&id]));
            }
        }
    }
}
