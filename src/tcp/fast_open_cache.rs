//! What a client knows of the servers that it has opened connections to by Fast Open (RFC 7413 section 4.1.3).
//!
//! A cookie is for a pair of addresses, whatever the port. What did not work is remembered with the port: the service there
//! may not take Fast Open, or a box on the way may drop what it does not know. It is left alone for a while then, twice as
//! long after each failure in a row.

use std::net::IpAddr;
use std::time::Duration;

use super::FourTuple;
use super::fast_open::{Answer, FastOpen};
use super::option::{DEFAULT_MSS_V4, DEFAULT_MSS_V6};
use super::recent::Recent;
use crate::time::Instant;
use crate::wire::fast_open::Cookie;
use crate::wire::option::MAX_LEN;

/// Failures in a row after which the time to wait grows no more: 17 hours with the default of 60 s.
const MAX_DOUBLINGS: u8 = 10;

/// The MSS of most paths: a larger SYN might not pass (RFC 7413 section 4.1.3).
const USUAL_MSS: [u16; 2] = [1_460, 1_440];

#[derive(Clone, Copy, Debug)]
struct Server {
    cookie: Option<Cookie>,
    mss: u16,
    experiment: Experiment,
}

/// Whether a server that gives no cookie is asked by the experimental option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Experiment {
    /// It has not been asked by the other one yet.
    #[default]
    Untried,
    /// Next time.
    Next,
    /// It was, and gave none either.
    Tried,
}

/// What the settings say of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Text leaves without a cookie, and none is asked for.
    pub without_cookie: bool,
    /// A server that gives no cookie is asked once more, by the experimental option.
    pub by_experiment: bool,
    /// The text is as long as the server and the path are known to take, also where most paths take less.
    pub long: bool,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u8,
    until: Instant,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Cache {
    servers: Recent<(IpAddr, IpAddr), Server>,
    failures: Recent<(IpAddr, IpAddr, u16), Failures>,
}

fn pair(tuple: &FourTuple) -> (IpAddr, IpAddr) {
    (tuple.local_addr, tuple.remote_addr)
}

fn service(tuple: &FourTuple) -> (IpAddr, IpAddr, u16) {
    (tuple.local_addr, tuple.remote_addr, tuple.remote_port)
}

/// The MSS of a server that has told none.
fn default_mss(tuple: &FourTuple) -> u16 {
    if tuple.remote_addr.is_ipv6() { DEFAULT_MSS_V6 } else { DEFAULT_MSS_V4 }
}

impl Cache {
    /// What the SYN of a new connection carries beyond what any does, where segments of `mss` octets may be sent: the
    /// server's cookie and text, or the request for a cookie; `None` for nothing.
    pub fn begin(&mut self, tuple: &FourTuple, mss: u16, manner: Manner, now: Instant) -> Option<FastOpen> {
        if self.failures.0.get(&service(tuple)).is_some_and(|(_, failures)| now < failures.until) {
            return None;
        }
        let usual = if manner.long { mss } else { USUAL_MSS[usize::from(tuple.remote_addr.is_ipv6())] };
        let known = self.servers.0.get_mut(&pair(tuple)).map(|(used, server)| {
            *used = now;
            *server
        });
        let cookie = known.and_then(|server| server.cookie);
        if cookie.is_none() && !manner.without_cookie {
            let again = known.is_some_and(|server| server.experiment == Experiment::Next);
            let request = Cookie::REQUEST.in_experiment(manner.by_experiment && again);
            return Some(FastOpen { option: Some(request), ..FastOpen::default() });
        }
        // 7413-4.2.2-1: the options count too, and all that there could be: those that a box on the way may add find room.
        // Of a server that nothing is known of, only what every host takes is (RFC 7413 section 4.1.3).
        let unknown = if manner.long { mss } else { default_mss(tuple) };
        let cached = known.map_or(unknown, |server| server.mss);
        let room = mss.min(cached).min(usual).saturating_sub(MAX_LEN as u16);
        Some(FastOpen { option: cookie.filter(|_| !manner.without_cookie), room, answer: None })
    }

    /// Takes in how it ended: what the SYN-ACK said, or that there was none. Services that failed are left alone for
    /// `back_off` at least.
    // 7413-4.1.3
    pub fn learn(&mut self, tuple: &FourTuple, answer: Option<&Answer>, back_off: Duration, now: Instant) {
        if let Some(answer) = answer {
            let known = self.servers.0.get(&pair(tuple)).map(|&(_, server)| server);
            let refused = match answer.request {
                Some(request) if answer.cookie.is_none() && request.experimental => Experiment::Tried,
                Some(_) if answer.cookie.is_none() => Experiment::Next,
                _ => Experiment::Untried,
            };
            let server = Server {
                cookie: answer.cookie.or(known.and_then(|known| known.cookie)),
                mss: answer.mss.unwrap_or(default_mss(tuple)),
                experiment: known.map_or(refused, |known| known.experiment.max(refused)),
            };
            self.servers.set(pair(tuple), now, server);
        }
        if answer.is_some_and(|answer| answer.acknowledged > 0 || answer.cookie.is_some()) {
            self.failures.0.remove(&service(tuple));
            return;
        }
        let count = self.failures.0.get(&service(tuple)).map_or(0, |(_, failures)| failures.count);
        let until = now + back_off * (1 << count.min(MAX_DOUBLINGS));
        self.failures.set(service(tuple), now, Failures { count: count.saturating_add(1), until });
    }

    /// The cookie of a server is known.
    pub fn knows(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.servers.0.get(&(local, remote)).is_some_and(|(_, server)| server.cookie.is_some())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Cache::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::recent::MAX_ENTRIES;
    use super::*;

    const BACK_OFF: Duration = Duration::from_secs(60);

    fn tuple(server: u32, port: u16) -> FourTuple {
        let server = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0100 + server));
        FourTuple::new("10.0.0.1:40000".parse().unwrap(), std::net::SocketAddr::new(server, port))
    }

    fn answer(cookie: &[u8], acknowledged: u32) -> Answer {
        let cookie = Cookie::new(cookie).filter(|cookie| !cookie.is_request());
        Answer { cookie, mss: Some(1_000), acknowledged, sent: 100, request: None }
    }

    /// 7413-4.1.3, 7413-4.2.2-1
    #[test]
    fn a_cookie_serves_all_ports_of_its_server() {
        let (mut cache, now) = (Cache::default(), Instant::from_secs(5));
        let ask = cache.begin(&tuple(1, 80), 1_460, Manner::default(), now).unwrap();
        assert!(ask.option.unwrap().is_request() && ask.room == 0);
        cache.learn(&tuple(1, 80), Some(&answer(b"12345678", 0)), BACK_OFF, now);
        let next = cache.begin(&tuple(1, 443), 1_460, Manner::default(), now).unwrap();
        assert_eq!((next.option.unwrap().octets(), next.room), (&b"12345678"[..], 960));
        assert_eq!(
            cache.begin(&tuple(1, 443), 900, Manner::default(), now).unwrap().room,
            860,
            "our own link takes less"
        );
        assert!(
            cache.begin(&tuple(2, 80), 1_460, Manner::default(), now).unwrap().option.unwrap().is_request(),
            "another server"
        );
        // A SYN-ACK without a cookie keeps the old one; one without an MSS means the default.
        let answer = Answer { mss: None, ..answer(b"", 100) };
        cache.learn(&tuple(1, 80), Some(&answer), BACK_OFF, now);
        assert_eq!(cache.begin(&tuple(1, 80), 1_460, Manner::default(), now).unwrap().room, 496);
        cache.learn(&tuple(1, 80), Some(&Answer { mss: Some(9_000), ..answer }), BACK_OFF, now);
        assert_eq!(cache.begin(&tuple(1, 80), 9_000, Manner::default(), now).unwrap().room, 1_420);
        cache.clear();
        assert!(cache.begin(&tuple(1, 80), 1_460, Manner::default(), now).unwrap().option.unwrap().is_request());
    }

    /// 7413-4.1.3
    #[test]
    fn a_service_that_fails_is_left_alone_twice_as_long_each_time() {
        let mut cache = Cache::default();
        let mut now = Instant::from_secs(100);
        for wait in [60, 120, 240, 480] {
            assert!(cache.begin(&tuple(1, 80), 1_460, Manner::default(), now).is_some());
            cache.learn(&tuple(1, 80), (wait == 120).then_some(&answer(b"", 0)), BACK_OFF, now);
            now += Duration::from_secs(wait - 1);
            assert!(cache.begin(&tuple(1, 80), 1_460, Manner::default(), now).is_none());
            assert!(cache.begin(&tuple(1, 81), 1_460, Manner::default(), now).is_some(), "another service");
            now += Duration::from_secs(1);
        }
        // Once it works, all is forgotten.
        cache.learn(&tuple(1, 80), Some(&answer(b"", 1)), BACK_OFF, now);
        cache.learn(&tuple(1, 80), None, BACK_OFF, now);
        assert!(cache.begin(&tuple(1, 80), 1_460, Manner::default(), now + BACK_OFF).is_some());
        for _ in 0..300 {
            cache.learn(&tuple(1, 80), None, BACK_OFF, now);
        }
        assert!(cache.begin(&tuple(1, 80), 1_460, Manner::default(), now + BACK_OFF * 1_024).is_some());
    }

    /// 7413-4.2.2-1: and as long as it has told nothing, that of the default MSS.
    #[test]
    fn without_a_cookie_text_has_the_room_that_the_server_has_told() {
        let (mut cache, now) = (Cache::default(), Instant::from_secs(5));
        let manner = Manner { without_cookie: true, ..Manner::default() };
        let first = cache.begin(&tuple(1, 80), 9_000, manner, now).unwrap();
        assert_eq!((first.option, first.room), (None, 496));
        let long = Manner { long: true, ..manner };
        assert_eq!(cache.begin(&tuple(1, 80), 9_000, long, now).unwrap().room, 8_960, "what our link takes");
        cache.learn(&tuple(1, 80), Some(&answer(b"", 100)), BACK_OFF, now);
        assert_eq!(cache.begin(&tuple(1, 80), 1_460, manner, now).unwrap().room, 960);
        assert_eq!(cache.begin(&tuple(1, 80), 9_000, long, now).unwrap().room, 960);
        cache.learn(&tuple(1, 80), Some(&answer(b"12345678", 0)), BACK_OFF, now);
        assert_eq!(cache.begin(&tuple(1, 80), 1_460, manner, now).unwrap().option, None, "nor where one is known");
    }

    #[test]
    fn who_gives_no_cookie_is_asked_by_the_experimental_option_once() {
        let asked = |cache: &mut Cache, by_experiment| {
            let manner = Manner { by_experiment, ..Manner::default() };
            let request = cache.begin(&tuple(1, 80), 1_460, manner, Instant::ZERO).unwrap().option.unwrap();
            let answer = Answer { request: Some(request), ..answer(b"", 0) };
            cache.learn(&tuple(1, 80), Some(&answer), Duration::ZERO, Instant::ZERO);
            (request.is_request(), request.experimental)
        };
        let (mut cache, mut plain) = (Cache::default(), Cache::default());
        for experimental in [false, true, false, false] {
            assert_eq!(asked(&mut cache, true), (true, experimental));
            assert_eq!(asked(&mut plain, false), (true, false));
        }
        // A SYN-ACK to a SYN that was sent again says nothing of it.
        let mut cache = Cache::default();
        cache.learn(&tuple(1, 80), Some(&answer(b"", 0)), Duration::ZERO, Instant::ZERO);
        assert_eq!(asked(&mut cache, true), (true, false));
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let mut cache = Cache::default();
        for server in 0..=MAX_ENTRIES as u32 {
            let now = Instant::from_secs(server.into());
            cache.learn(&tuple(server, 80), Some(&answer(b"12345678", 0)), BACK_OFF, now);
            cache.learn(&tuple(server, 81), None, BACK_OFF, now);
            // The first one is used again and again.
            cache.begin(&tuple(0, 80), 1_460, Manner::default(), now);
        }
        assert_eq!((cache.servers.0.len(), cache.failures.0.len()), (MAX_ENTRIES, MAX_ENTRIES));
        let now = Instant::from_secs(5_000);
        let mut asks = |server| {
            cache.begin(&tuple(server, 80), 1_460, Manner::default(), now).unwrap().option.unwrap().is_request()
        };
        assert_eq!([asks(0), asks(1), asks(2)], [false, true, false]);
    }
}
