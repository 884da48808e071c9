//! The search for the largest segment that a path takes, without its routers' help (RFC 4821). Plain data: [`super::path_mtu`]
//! asks it and tells it.
//!
//! ```text
//!      low                 candidate               high          limit
//!   ----|----------------------|--------------------|--------------|----   octets of MSS
//!    passes                    ?            may still pass    peer and link
//! ```
//!
//! All sizes are those of an MSS: text and TCP options.

use std::time::Duration;

use crate::time::Instant;

/// A range as narrow as this is not worth another probe (that of Linux).
// 4821-7.3
pub const THRESHOLD: u16 = 8;

/// How often one size may be lost before it counts as too large: a probe may be lost as any segment.
const ATTEMPTS: u8 = 2;

/// After a probe was lost, no other one leaves for so long: so often at most a loss goes without an answer of congestion
/// control.
// 4821-4
pub const AFTER_LOSS: Duration = Duration::from_secs(1);

/// What is known of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// The largest size that passes (search_low). It is what is sent.
    low: u16,
    /// The largest size that may pass (search_high); `low` once the search is over.
    high: u16,
    /// `high` itself was not lost as a probe yet.
    fresh: bool,
    /// How often the size that is being tried was lost.
    lost: u8,
    /// No probe before this.
    next: Instant,
}

impl Search {
    /// The path takes `size`, and nothing larger is tried before this time.
    pub fn settled(size: u16, until: Instant) -> Search {
        Search { low: size, high: size, fresh: true, lost: 0, next: until }
    }

    /// `low` is hoped to pass, and `high` may.
    pub fn between(low: u16, high: u16, now: Instant) -> Search {
        Search { low, high: high.max(low), fresh: true, lost: 0, next: now }
    }

    /// The same, with halves from the start: nothing speaks for the whole.
    pub fn halving(low: u16, high: u16, now: Instant) -> Search {
        Search { fresh: false, ..Search::between(low, high, now) }
    }

    /// The size that is sent.
    pub fn size(&self) -> u16 {
        self.low
    }

    /// The largest size that may pass, as far as is known now.
    pub fn high(&self) -> u16 {
        self.high
    }

    /// There is nothing to find out until the next attempt.
    pub fn is_settled(&self) -> bool {
        self.high == self.low
    }

    /// No probe before this.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The size to probe now, if any; nothing is larger than `limit`.
    // 4821-2: between search_low and search_high.
    // 4821-7.3: after the pause a search begins anew, up to what peer and link take.
    pub fn candidate(&self, limit: u16, now: Instant) -> Option<u16> {
        if now < self.next || limit <= self.low {
            return None;
        }
        let (high, fresh) = if self.is_settled() { (limit, true) } else { (self.high.min(limit), self.fresh) };
        if fresh {
            // The whole at once: most often the path is as wide as it was, or an error has told how wide it is.
            return Some(high);
        }
        Some(self.low + (high - self.low).div_ceil(2))
    }

    /// A probe leaves.
    pub fn begin(&mut self, limit: u16) {
        if self.is_settled() {
            (self.high, self.fresh, self.lost) = (limit.max(self.low), true, 0);
        }
    }

    /// A segment of this size has arrived. After a search that is over nothing is tried for so long.
    pub fn passed(&mut self, size: u16, now: Instant, pause: Duration) {
        self.low = self.low.max(size);
        self.high = self.high.max(self.low);
        (self.lost, self.next) = (0, now);
        self.settle(now, pause);
    }

    /// A probe of this size, and nothing else, was lost.
    pub fn lost(&mut self, size: u16, now: Instant, pause: Duration) {
        self.next = now + AFTER_LOSS;
        self.lost += 1;
        if self.lost < ATTEMPTS {
            return;
        }
        self.lost = 0;
        if size > self.low {
            (self.high, self.fresh) = (size - 1, false);
        }
        self.settle(now, pause);
    }

    /// A probe was lost together with other segments, which says nothing of its size.
    pub fn in_vain(&mut self, now: Instant) {
        self.next = now + AFTER_LOSS;
    }

    /// A router says that no more than this passes. What it says of what was sent at `low` is not for a search.
    pub fn told(&mut self, size: u16, now: Instant, pause: Duration) {
        (self.high, self.fresh, self.lost) = (size.max(self.low).min(self.high), true, 0);
        self.settle(now, pause);
    }

    fn settle(&mut self, now: Instant, pause: Duration) {
        let narrow = self.high - self.low < if self.fresh { 1 } else { THRESHOLD };
        if narrow {
            (self.high, self.fresh, self.lost) = (self.low, true, 0);
            // 4821-7.3, 8201-4-4
            self.next = now + pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(600);

    /// Probes a path that takes `path` octets until the search is over: what was found, probes sent, and the time.
    fn find(mut search: Search, path: u16, limit: u16, mut now: Instant) -> (Search, Vec<u16>, Instant) {
        let mut probes = Vec::new();
        for _ in 0..100 {
            now = now.max(search.next());
            let size = search.candidate(limit, now).expect("there is something to find out");
            search.begin(limit);
            probes.push(size);
            if size <= path {
                search.passed(size, now, PAUSE)
            } else {
                search.lost(size, now, PAUSE)
            }
            if search.is_settled() {
                return (search, probes, now);
            }
        }
        unreachable!("no end: {search:?} {probes:?}");
    }

    /// 4821-2, 4821-7.3
    #[test]
    fn a_search_finds_the_path_and_ends() {
        let start = Instant::from_secs(1_000);
        for (low, high) in [(1_024, 1_460), (512, 1_460), (1_220, 1_440), (1_024, 8_960), (512, 65_495)] {
            for path in [low, low + 1, low + 100, high - 100, high - 9, high - 1, high] {
                let (found, probes, now) = find(Search::between(low, high, start), path, high, start);
                assert!(found.size() <= path && path - found.size() < THRESHOLD, "{found:?} for {path}");
                assert!(probes.iter().all(|&size| low < size && size <= high), "{probes:?}");
                assert!(probes.len() <= 36, "{}", probes.len());
                assert_eq!((found.next(), found.candidate(high, before(found.next()))), (now + PAUSE, None));
            }
        }
        // The path is as it was: one probe.
        assert_eq!(find(Search::between(1_024, 1_460, start), 1_460, 1_460, start).1, [1_460]);
    }

    fn before(at: Instant) -> Instant {
        Instant::from_nanos(at.as_nanos() - 1)
    }

    /// 1191-3-4, 8201-4-4: what an error has told holds until the pause is over; then all is tried again.
    #[test]
    fn a_wider_path_is_found_after_the_pause() {
        let start = Instant::from_secs(1_000);
        let search = Search::settled(1_360, start + PAUSE);
        assert_eq!(search.candidate(1_460, before(start + PAUSE)), None);
        assert_eq!(search.candidate(1_460, start + PAUSE), Some(1_460));
        assert_eq!(search.candidate(1_360, start + PAUSE), None, "the peer takes no more");
        let (found, probes, now) = find(search, 1_460, 1_460, start);
        assert_eq!((found.size(), probes, now), (1_460, vec![1_460], start + PAUSE));
        // Still narrow: the search stays where it was.
        let (found, probes, _) = find(Search::settled(1_360, start), 1_360, 1_460, start);
        assert_eq!((found.size(), &probes[..2]), (1_360, &[1_460, 1_460][..]));
    }

    /// 4821-4: no two suppressed answers to a loss within a second, and one loss is no proof.
    #[test]
    fn a_lost_probe_waits_and_is_tried_again() {
        let start = Instant::from_secs(1_000);
        let mut search = Search::between(1_024, 1_460, start);
        search.begin(1_460);
        search.lost(1_460, start, PAUSE);
        assert_eq!(search.candidate(1_460, before(start + AFTER_LOSS)), None);
        assert_eq!(search.candidate(1_460, start + AFTER_LOSS), Some(1_460));
        search.in_vain(start + AFTER_LOSS);
        assert_eq!(search.candidate(1_460, start + 2 * AFTER_LOSS), Some(1_460), "that was no proof");
        search.lost(1_460, start + 2 * AFTER_LOSS, PAUSE);
        assert_eq!(search.candidate(1_460, start + 3 * AFTER_LOSS), Some(1_242));
    }

    /// 8899-4.6.2, 8201-5.4: an error about a probe steers the search and lowers nothing.
    #[test]
    fn a_router_may_tell_the_size() {
        let start = Instant::from_secs(1_000);
        for (told, high, candidate) in
            [(1_360, 1_360, Some(1_360)), (1_024, 1_024, None), (600, 1_024, None), (9_000, 1_460, Some(1_460))]
        {
            let mut search = Search::between(1_024, 1_460, start);
            search.begin(1_460);
            search.told(told, start, PAUSE);
            assert_eq!((search.size(), search.high(), search.candidate(1_460, start)), (1_024, high, candidate));
        }
    }

    /// 4821-2, 4821-7.3: nothing is tried that is sent already, and a range is worth a probe from eight octets on, or as long as
    /// its end was not tried.
    #[test]
    fn the_bounds_of_a_search() {
        let start = Instant::from_secs(1_000);
        let search = Search::halving(1_000, 1_400, start);
        assert_eq!([999, 1_000, 1_001].map(|limit| search.candidate(limit, start)), [None, None, Some(1_001)]);
        for (range, fresh, settled) in [(7, false, true), (8, false, false), (1, true, false), (0, true, true)] {
            let begin = if fresh { Search::between } else { Search::halving };
            let mut search = begin(1_000, 1_000 + range, start);
            search.passed(1_000, start, PAUSE);
            assert_eq!(search.is_settled() && search.next() > start, settled, "{range} {fresh}");
        }
    }
}
