//! How much leaves in one piece where habit bounds it: as much as the path carries in a millisecond, so that a long queue at
//! the device does not delay others, and no less than is worth the work (as Linux sizes its super-segments).

use std::time::Duration;

use super::connection::Connection;

/// A path as short as this has no queue worth speaking of: a piece may be as large as the device allows. In microseconds, by
/// halves of 2^9 each.
const SHORT_PATH: u32 = 9;

/// Octets that a piece may have at most, whatever the path.
const LARGEST: u64 = 65_536;

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

/// Segments of `mss` octets in one piece, at least `least`.
pub fn segments(path: &Path, mss: u32, least: u16) -> u32 {
    let percent = if path.slow_start { 200 } else { 120 };
    // Before anything is known a millisecond stands for the path, as for a connection that has just begun.
    let micros = path.srtt.map_or(1_000, |srtt| srtt.as_micros().max(1)) as u64;
    let rate = u64::from(path.window) * percent / 100 * 1_000_000 / micros;
    let shift = (path.min_rtt.map_or(0, |rtt| rtt.as_micros()) >> SHORT_PATH).min(63) as u32;
    let short = if shift < 32 { LARGEST >> shift } else { 0 };
    let octets = (rate / 1_024 + short).min(LARGEST);
    u32::try_from(octets / u64::from(mss.max(1))).unwrap_or(u32::MAX).max(u32::from(least)).max(1)
}

impl Connection {
    /// Octets that leave in one piece at most, where habit bounds it to `least` segments or more.
    pub(super) fn burst_octets(&self, least: u16) -> u32 {
        let mss = self.segment_payload();
        let controller = self.congestion.get();
        let window = controller.window();
        let path = Path {
            window,
            slow_start: window < controller.slow_start_threshold() / 2,
            srtt: self.rtt.srtt(),
            min_rtt: self.min_rtt.get(),
        };
        // So that at least two pieces are on their way.
        let half = (window / mss / 2).max(1);
        segments(&path, mss, least).min(half).saturating_mul(mss)
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
