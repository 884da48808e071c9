//! How much leaves in one piece where habit bounds it: as much as the path carries in a millisecond, so that a long queue at
//! the device does not delay others, and no less than is worth the work (as Linux sizes its super-segments).

use std::time::Duration;

use super::congestion::Rate;
use super::connection::Connection;
use super::habits::Burst;
use super::plan::Limits;
use super::recovery::new_reno::Phase;
use crate::time::Instant;

/// A path as short as this has no queue worth speaking of: a piece may be as large as the device allows. In microseconds, by
/// halves of 2^9 each.
const SHORT_PATH: u32 = 9;

/// Octets that a piece may have at most, whatever the path.
const LARGEST: u64 = 65_536;

/// Segments of a connection that leave at once in any case: an initial window.
const UNPACED: u32 = 10;

/// Segments for which a piece waits where no share of the windows is named.
const WAITED_FOR: u32 = 3;

/// A piece waits only where another has left within this time: else there would be nothing to wait for.
const JUST_LEFT: Duration = Duration::from_millis(1);

/// What a piece is sized by.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// cwnd, in octets.
    pub window: u32,
    /// In slow start the rate is twice what the window gives, else 1.2 times.
    pub slow_start: bool,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// The least round-trip time.
    pub min_rtt: Option<Duration>,
}

/// What the path is believed to carry.
pub fn rate(path: &Path) -> Rate {
    let percent = if path.slow_start { 200 } else { 120 };
    // Before anything is known a millisecond stands for the path, as for a connection that has just begun.
    let micros = path.srtt.map_or(1_000, |srtt| srtt.as_micros().max(1)) as u64;
    Rate::from_octets_per_sec(u64::from(path.window) * percent / 100 * 1_000_000 / micros)
}

/// Segments of `mss` octets in one piece, at least `least`.
pub fn segments(path: &Path, mss: u32, least: u16) -> u32 {
    let shift = (path.min_rtt.map_or(0, |rtt| rtt.as_micros()) >> SHORT_PATH).min(63) as u32;
    let short = if shift < 32 { LARGEST >> shift } else { 0 };
    let octets = (rate(path).octets_per_sec() / 1_024 + short).min(LARGEST);
    u32::try_from(octets / u64::from(mss.max(1))).unwrap_or(u32::MAX).max(u32::from(least)).max(1)
}

impl Connection {
    /// Octets that leave in one piece at most, where habit bounds it to `least` segments or more.
    pub(super) fn burst_octets(&self, least: u16) -> u32 {
        let (mss, path) = (self.segment_payload(), self.path_by_window());
        // So that at least two pieces are on their way.
        let half = (path.window / mss / 2).max(1);
        segments(&path, mss, least).min(half).saturating_mul(mss)
    }

    /// A piece that the windows cut to `usable` octets waits for the next ACK, which makes it larger (see [`Burst::share`]).
    pub(super) fn waits_for_share(&self, burst: &Burst, usable: u32, now: Instant) -> bool {
        let Some((first, last)) = self.transfer.as_ref().and_then(|all| all.sent.first().zip(all.sent.last())) else {
            return false;
        };
        let (mss, path) = (self.segment_payload(), self.path_by_window());
        let windows = self.snd.wnd.min(path.window);
        let share = windows.checked_div(u32::from(burst.share)).unwrap_or(WAITED_FOR * mss + 1);
        // The ACK of the oldest is due within half a round trip.
        let is_near = path.srtt.is_some_and(|srtt| now.saturating_since(first.sent_at) >= srtt / 2);
        usable < share.min(segments(&path, mss, burst.least).saturating_mul(mss))
            && now.saturating_since(last.sent_at) <= JUST_LEFT
            && is_near
            && self.recovery.phase == Phase::Open
    }

    fn path_by_window(&self) -> Path {
        let controller = self.congestion.get();
        let window = controller.window();
        Path {
            window,
            slow_start: window < controller.slow_start_threshold() / 2,
            srtt: self.rtt.srtt(),
            min_rtt: self.min_rtt.get(),
        }
    }

    /// May a piece leave now, for all that pacing says, by a controller that paces or by habit?
    ///
    /// # Errors
    /// When it may: a timer is due then.
    pub(super) fn turn(&self, now: Instant, limits: &Limits) -> Result<(), Instant> {
        match (limits.burst, &self.transfer) {
            (Some(Burst { paced: true, .. }), Some(transfer)) if !self.congestion.models_path() => {
                transfer.pacer.may_send(now)
            }
            _ => self.congestion.may_send(now),
        }
    }

    /// When the next piece may leave that waits for its turn.
    pub fn next_turn(&self) -> Option<Instant> {
        let by_habit = || self.transfer.as_ref().map(|transfer| transfer.pacer.next());
        self.congestion.next_turn().or_else(by_habit)
    }

    /// `octets` octets have left where habit spreads them: the next ones wait for their turn.
    pub(super) fn spread(&mut self, octets: u32, now: Instant) {
        let begun = self.snd.nxt.since(self.snd.iss) > UNPACED * self.segment_payload();
        let rate = if begun { rate(&self.path_by_window()) } else { Rate::MAX };
        if let Some(transfer) = self.transfer.as_mut() {
            transfer.pacer.spread(now, octets, rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_millisecond_of_the_path() {
        let ms = Duration::from_millis;
        let with =
            |window, rtt| segments(&Path { window, slow_start: true, srtt: Some(rtt), min_rtt: Some(rtt) }, 1_000, 2);
        // 10,000 octets in 100 ms: less than two segments in a millisecond.
        assert_eq!(with(10_000, ms(100)), 2);
        // 2,000,000 in 100 ms: 40 MB/s.
        assert_eq!(with(2_000_000, ms(100)), 39);
        // A path of microseconds.
        assert_eq!(with(10_000, Duration::from_micros(50)), 65);
    }
}
