//! Delivery-rate sampling (draft-ietf-ccwg-bbr section 4.1): how fast the network has delivered what was sent.
//!
//! Each record carries a [`RateStamp`] of how much had been delivered when it left. When it is delivered itself, what was
//! delivered in between, over the time that it took, is one sample. The time is the longer one of sending and of being
//! acknowledged, so that neither ACKs that come in bunches nor bursts of ours make the path look faster than it is.

use std::time::Duration;

use crate::tcp::congestion::Rate;
use crate::time::Instant;

/// What a record remembers of the moment when it was last sent. The default stands for a record without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateStamp {
    /// When something was last delivered then (P.delivered_time).
    delivered_at: Instant,
    /// When the record that was delivered then had been sent (P.first_send_time).
    first_sent_at: Instant,
    /// Octets delivered until then, the lower 32 bits (P.delivered).
    delivered: u32,
    /// Octets lost until then, the lower 32 bits (P.lost).
    lost: u32,
    /// Octets in flight then, with this record (P.tx_in_flight).
    in_flight: u32,
    /// The application had nothing more to send (P.is_app_limited).
    app_limited: bool,
    /// It was made by [`DeliveryRate::on_send`].
    valid: bool,
}

/// One sample, from one ACK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSample {
    /// The delivery rate; zero where the time was too short to tell.
    pub rate: Rate,
    /// Octets delivered while the record was on its way.
    pub delivered: u32,
    /// Octets marked lost while it was.
    pub lost: u32,
    /// Octets in flight when it was sent, with itself.
    pub in_flight: u32,
    /// Octets delivered since the start when it was sent: what tells rounds apart.
    pub prior_delivered: u64,
    /// Octets delivered since the start, with this ACK.
    pub total_delivered: u64,
    /// It says how much the application sends rather than what the path can take.
    pub app_limited: bool,
}

/// What is known of a record when it is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossSample {
    /// Octets in flight when it was sent, with itself.
    pub in_flight: u32,
    /// Octets marked lost since then, with itself.
    pub lost: u32,
    /// The application had nothing more to send then.
    pub app_limited: bool,
}

/// The newest record that this ACK has delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    stamp: RateStamp,
    sent_at: Instant,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryRate {
    /// Octets delivered since the start (C.delivered).
    delivered: u64,
    /// When the last of them were (C.delivered_time).
    delivered_at: Instant,
    /// When the newest of them had been sent (C.first_send_time).
    first_sent_at: Instant,
    /// Octets marked lost since the start (C.lost).
    lost: u64,
    /// The samples are limited by the application until so much is delivered; 0: they are not (C.app_limited).
    app_limited: u64,
    /// Of the ACK that is being handled.
    newest: Option<Newest>,
}

impl DeliveryRate {
    /// Octets delivered since the start.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Octets marked lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What is sent now is limited by the application.
    pub fn is_app_limited(&self) -> bool {
        self.app_limited > 0
    }

    /// `octets` octets leave, first or again, while `in_flight` octets are in the network: what their record remembers.
    pub fn on_send(&mut self, now: Instant, in_flight: u32, octets: u32) -> RateStamp {
        if in_flight == 0 {
            // Nothing is on its way: the time of the next sample begins now.
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        RateStamp {
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            delivered: self.delivered as u32,
            lost: self.lost as u32,
            in_flight: in_flight.saturating_add(octets),
            app_limited: self.is_app_limited(),
            valid: true,
        }
    }

    /// `octets` octets of the record with this stamp, last sent at `sent_at`, were acknowledged or reported by SACK. Called
    /// once for each octet; a record may come in parts.
    pub fn on_delivered(&mut self, now: Instant, stamp: &RateStamp, sent_at: Instant, octets: u32) {
        self.delivered += u64::from(octets);
        self.delivered_at = now;
        if stamp.valid && self.newest.is_none_or(|newest| sent_at >= newest.sent_at) {
            self.newest = Some(Newest { stamp: *stamp, sent_at });
            self.first_sent_at = sent_at;
        }
    }

    /// `octets` octets of the record with this stamp were marked lost.
    pub fn on_lost(&mut self, stamp: &RateStamp, octets: u32) -> LossSample {
        self.lost += u64::from(octets);
        LossSample {
            in_flight: stamp.in_flight,
            lost: if stamp.valid { (self.lost as u32).wrapping_sub(stamp.lost) } else { octets },
            app_limited: stamp.app_limited,
        }
    }

    /// All that an ACK has delivered is told: the sample that it gives. A sample over less than `min_rtt` has no rate: it
    /// may be of something that was sent twice, whose first copy has arrived.
    pub fn sample(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        if self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let Newest { stamp, sent_at } = self.newest.take()?;
        let interval = (sent_at - stamp.first_sent_at).max(self.delivered_at - stamp.delivered_at);
        let delivered = (self.delivered as u32).wrapping_sub(stamp.delivered);
        // A stamp of a sampler before this one, which another algorithm has replaced for a while.
        let prior_delivered = self.delivered.checked_sub(delivered.into())?;
        let reliable = !interval.is_zero() && min_rtt.is_none_or(|least| interval >= least);
        Some(RateSample {
            rate: if reliable { Rate::new(delivered.into(), interval) } else { Rate::ZERO },
            delivered,
            lost: (self.lost as u32).wrapping_sub(stamp.lost),
            in_flight: stamp.in_flight,
            prior_delivered,
            total_delivered: self.delivered,
            app_limited: stamp.app_limited,
        })
    }

    /// The application has nothing more to send although the windows would allow it, nothing waits to be sent again, and
    /// `in_flight` octets are in the network: until they are delivered, samples say little of the path.
    pub fn mark_app_limited(&mut self, in_flight: u32) {
        self.app_limited = (self.delivered + u64::from(in_flight)).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn stamps_are_small() {
        assert!(size_of::<RateStamp>() <= 32, "{}", size_of::<RateStamp>());
    }

    /// Ten segments leave 1 ms apart, and their ACKs come 1 ms apart after an RTT of 20 ms: 1 MB/s.
    #[test]
    fn a_steady_flow_gives_its_rate() {
        let mut rate = DeliveryRate::default();
        let mut stamps = Vec::new();
        for n in 0..60_u64 {
            let now = ms(100 + n);
            if n >= 20 {
                let (stamp, sent_at) = stamps[n as usize - 20];
                rate.on_delivered(now, &stamp, sent_at, MSS);
                let sample = rate.sample(Some(Duration::from_millis(20))).unwrap();
                if n >= 40 {
                    assert_eq!(sample.rate, Rate::from_octets_per_sec(1_000_000), "{n}");
                    assert_eq!((sample.delivered, sample.in_flight), (20 * MSS, 20 * MSS));
                    assert_eq!(sample.prior_delivered, u64::from(MSS) * (n - 39));
                }
            }
            let in_flight = (n as u32).min(19) * MSS;
            stamps.push((rate.on_send(now, in_flight, MSS), now));
        }
    }

    /// The table of the draft: the longer one of the two times counts.
    #[test]
    fn neither_bunched_acks_nor_bursts_make_the_path_faster() {
        // Sent in 10 ms, acknowledged all at once: limited by the sending rate.
        let mut rate = DeliveryRate::default();
        let stamps: Vec<_> = (0..10_u64).map(|n| (rate.on_send(ms(10 + n), n as u32 * MSS, MSS), ms(10 + n))).collect();
        for (stamp, sent_at) in &stamps {
            rate.on_delivered(ms(30), stamp, *sent_at, MSS);
        }
        let sample = rate.sample(None).unwrap();
        assert_eq!((sample.delivered, sample.rate), (10 * MSS, Rate::from_octets_per_sec(500_000)));
        assert_eq!(rate.sample(None), None, "one ACK, one sample");
        // Sent all at once, acknowledged in 10 ms: the burst is not the rate.
        let mut rate = DeliveryRate::default();
        let stamps: Vec<_> = (0..10_u32).map(|n| rate.on_send(ms(10), n * MSS, MSS)).collect();
        for (n, stamp) in stamps.iter().enumerate() {
            rate.on_delivered(ms(21 + n as u64), stamp, ms(10), MSS);
            let sample = rate.sample(None).unwrap();
            assert_eq!(sample.rate, Rate::new(u64::from(MSS) * (n as u64 + 1), Duration::from_millis(11 + n as u64)));
        }
    }

    #[test]
    fn a_time_below_the_least_round_trip_gives_no_rate() {
        let mut rate = DeliveryRate::default();
        let stamp = rate.on_send(ms(10), 0, MSS);
        rate.on_delivered(ms(15), &stamp, ms(10), MSS);
        let sample = rate.sample(Some(Duration::from_millis(6))).unwrap();
        assert_eq!((sample.rate, sample.delivered), (Rate::ZERO, MSS));
    }

    #[test]
    fn the_application_limits_until_what_was_in_flight_is_delivered() {
        let mut rate = DeliveryRate::default();
        let before = rate.on_send(ms(1), 0, MSS);
        rate.mark_app_limited(MSS);
        let during = rate.on_send(ms(2), MSS, MSS);
        rate.on_delivered(ms(11), &before, ms(1), MSS);
        assert!(!rate.sample(None).unwrap().app_limited && rate.is_app_limited());
        rate.on_delivered(ms(12), &during, ms(2), MSS);
        assert!(rate.sample(None).unwrap().app_limited && !rate.is_app_limited());
    }

    /// A record that comes in parts, and one that was sent before there was a sampler.
    #[test]
    fn parts_and_records_without_a_stamp() {
        let mut rate = DeliveryRate::default();
        let stamp = rate.on_send(ms(1), 0, 44 * MSS);
        rate.on_delivered(ms(11), &stamp, ms(1), 4 * MSS);
        assert_eq!(rate.sample(None).unwrap().delivered, 4 * MSS);
        rate.on_delivered(ms(21), &stamp, ms(1), 40 * MSS);
        let sample = rate.sample(None).unwrap();
        assert_eq!((sample.delivered, sample.total_delivered), (44 * MSS, 44_000));
        assert_eq!(sample.rate, Rate::new(44_000, Duration::from_millis(20)));
        rate.on_delivered(ms(30), &RateStamp::default(), ms(5), MSS);
        assert_eq!((rate.sample(None), rate.delivered()), (None, 45_000));
    }

    /// The lower halves of the counters are enough, also where they wrap.
    #[test]
    fn the_counters_of_a_long_life() {
        let mut rate = DeliveryRate { delivered: (1 << 40) - 500, lost: (1 << 33) - 1, ..DeliveryRate::default() };
        let stamp = rate.on_send(ms(1), 0, 2 * MSS);
        assert_eq!(rate.on_lost(&stamp, MSS), LossSample { in_flight: 2 * MSS, lost: MSS, app_limited: false });
        rate.on_delivered(ms(2), &stamp, ms(1), MSS);
        let sample = rate.sample(None).unwrap();
        assert_eq!((sample.delivered, sample.lost, sample.prior_delivered), (MSS, MSS, (1 << 40) - 500));
        assert_eq!(rate.on_lost(&RateStamp::default(), 7).lost, 7);
    }
}
