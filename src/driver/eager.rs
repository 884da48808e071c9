//! Whether it pays to ask the device again and again before sleeping on it.
//!
//! To be woken costs both sides: whoever sends must call another processor, and whoever sleeps comes back late. A driver that
//! is still asking when the next packet comes saves that. But it asks in vain where the peer needs the very processor on which
//! it asks, and where packets come seldom. Neither can be known beforehand, so it is learnt: a short sleep suggests to try, a
//! try that finds nothing makes the next one rarer.

use std::time::Duration;

use crate::config::{BusyPoll, EAGER};

/// After tries in vain, one sleep in two, four, and so on is tried; never fewer than one in 2^10.
const MAX_DOUBLINGS: u32 = 10;

/// How one wait for the device went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The driver slept at once, or found what was there already.
    Slept,
    /// Something came while it was still asking.
    Found,
    /// It asked in vain, or kept others from the processor, who then took it.
    InVain,
}

/// What an adaptive driver has learnt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Eagerness {
    /// Sleeps before the next try.
    skip: u32,
    /// Tries in vain, less those that found something; at most [`MAX_DOUBLINGS`].
    in_vain: u32,
    /// The last wait was short.
    lively: bool,
}

impl Eagerness {
    /// How long to ask before the sleep that comes now.
    pub fn before_sleep(&self, mode: BusyPoll) -> Duration {
        match mode {
            BusyPoll::Always(busy) => busy,
            BusyPoll::Adaptive if self.lively && self.skip == 0 => EAGER,
            BusyPoll::Adaptive => Duration::ZERO,
        }
    }

    /// Learns from a wait that ended so long after the turn before it.
    pub fn learn(&mut self, waited: Waited, after: Duration) {
        match waited {
            Waited::Slept => self.skip = self.skip.saturating_sub(1),
            Waited::Found => (self.skip, self.in_vain) = (0, self.in_vain.saturating_sub(1)),
            Waited::InVain => {
                self.in_vain = (self.in_vain + 1).min(MAX_DOUBLINGS);
                self.skip = (1 << self.in_vain) - 1;
            }
        }
        self.lively = after < EAGER || waited == Waited::Found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(6);
    const LONG: Duration = Duration::from_millis(3);

    /// Tries among so many waits. A wait that is not tried ends soon, and one that is tried as given.
    fn tries(eagerness: &mut Eagerness, waits: u32, tried: Waited) -> u32 {
        let mut tries = 0;
        for _ in 0..waits {
            if eagerness.before_sleep(BusyPoll::Adaptive).is_zero() {
                eagerness.learn(Waited::Slept, SHORT);
            } else {
                eagerness.learn(tried, if tried == Waited::Found { SHORT } else { EAGER });
                tries += 1;
            }
        }
        tries
    }

    #[test]
    fn what_pays_is_done_each_time() {
        let mut eagerness = Eagerness::default();
        assert_eq!(eagerness.before_sleep(BusyPoll::Adaptive), Duration::ZERO, "nothing is known yet");
        eagerness.learn(Waited::Slept, SHORT);
        assert_eq!(tries(&mut eagerness, 1_000, Waited::Found), 1_000);
    }

    #[test]
    fn a_shared_processor_is_found_out() {
        let mut eagerness = Eagerness::default();
        eagerness.learn(Waited::Slept, SHORT);
        // One sleep in two, four, and so on, then one in 1,024.
        assert!(tries(&mut eagerness, 2_048, Waited::InVain) <= 11);
        assert_eq!(tries(&mut eagerness, 10_240, Waited::InVain), 10);
        // The client moves to another processor: the next try succeeds, and from then on all do.
        assert!(tries(&mut eagerness, 1_024, Waited::Found) > 0);
        assert_eq!(tries(&mut eagerness, 100, Waited::Found), 100);
    }

    #[test]
    fn a_quiet_device_costs_nothing() {
        let mut eagerness = Eagerness::default();
        for _ in 0..10 {
            assert_eq!(eagerness.before_sleep(BusyPoll::Adaptive), Duration::ZERO);
            eagerness.learn(Waited::Slept, LONG);
        }
        // One try after the last packet of a burst, and none from then on.
        eagerness.learn(Waited::Found, SHORT);
        assert_eq!(eagerness.before_sleep(BusyPoll::Adaptive), EAGER);
        eagerness.learn(Waited::InVain, LONG);
        for _ in 0..10 {
            assert_eq!(eagerness.before_sleep(BusyPoll::Adaptive), Duration::ZERO);
            eagerness.learn(Waited::Slept, LONG);
        }
    }

    #[test]
    fn a_fixed_time_is_kept() {
        let mut eagerness = Eagerness::default();
        for time in [Duration::ZERO, Duration::from_micros(30)] {
            eagerness.learn(Waited::InVain, LONG);
            assert_eq!(eagerness.before_sleep(BusyPoll::Always(time)), time);
        }
    }
}
