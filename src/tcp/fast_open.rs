//! TCP Fast Open (RFC 7413): text on a SYN, delivered before the handshake is over.
//!
//! ```text
//!   client                                                server
//!   SYN, cookie request      ------------------------->   half-open record
//!                            <-------------------------   SYN-ACK, cookie: a MAC of both addresses
//!   ... remembers it (fast_open_cache.rs) ...
//!   SYN, cookie, text        ------------------------->   a connection in SYN-RECEIVED, with the text to read
//!                            <-------------------------   SYN-ACK of both, and whatever the application answers
//! ```
//!
//! Whoever asks for it accepts that the text of a SYN may be delivered twice: a copy of the SYN that arrives when the
//! connection is over opens another one, and nobody can tell the two apart (RFC 7413 section 6.1). So it is for requests
//! that may be repeated, and off unless asked for.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::FourTuple;
use super::connection::{Connection, Context, Origin};
use super::due::Due;
use super::segment::Segment;
use crate::time::Instant;
use crate::wire::fast_open::Cookie;

/// How long a cookie is made with the same key: it is valid for so long to twice as long.
const KEY_LIFETIME: Duration = Duration::from_secs(3_600);

/// How long a request that was reset counts as pending: whoever forges SYNs gains nothing by the RSTs that follow them.
const RESET_MEMORY: Duration = Duration::from_secs(60);

/// A key that cookies are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 16]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is a secret.
        f.write_str("Key")
    }
}

impl Key {
    /// The cookie of a client: SipHash-2-4 of its address and ours, as Linux makes it, so that the servers of a farm can share
    /// a key whatever system they run.
    // 7413-4.1.2: a MAC over the client's address, in less time than the rest of the SYN takes.
    fn cookie(&self, tuple: &FourTuple) -> [u8; 8] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        for address in [tuple.remote_addr, tuple.local_addr] {
            match address {
                IpAddr::V4(v4) => hasher.write(&v4.octets()),
                IpAddr::V6(v6) => hasher.write(&v6.octets()),
            }
        }
        hasher.finish().to_le_bytes()
    }
}

/// The keys of cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A new one each hour, all from this one: the present and the last one are valid.
    // 7413-4.1.2: cookies expire.
    Rotating(Key),
    /// These, until somebody changes them; cookies are made with the first one, those of the second are valid too.
    Fixed(Key, Option<Key>),
}

/// What a cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is made with the present key.
    Current,
    /// It is made with the last key: the client should get a new one.
    Old,
    /// It is somebody else's, or too old.
    No,
}

impl Keys {
    /// The present key (`age` 0), or the one before it (1).
    fn key(&self, age: u64, now: Instant) -> Option<Key> {
        let master = match *self {
            Keys::Fixed(key, backup) => return if age == 0 { Some(key) } else { backup },
            Keys::Rotating(master) => master,
        };
        let period = (now.as_nanos() / KEY_LIFETIME.as_nanos() as u64).checked_sub(age)?;
        let mut key = [0; 16];
        for (octets, half) in key.chunks_mut(8).zip(0..) {
            let mut hasher = SipHasher24::new_with_key(&master.0);
            hasher.write(&(2 * period + half).to_le_bytes());
            octets.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        Some(Key(key))
    }

    /// The cookie of the client of this tuple.
    pub fn make(&self, tuple: &FourTuple, now: Instant) -> Option<Cookie> {
        Cookie::new(&self.key(0, now)?.cookie(tuple))
    }

    /// Whether a cookie is that of the client of this tuple.
    pub fn check(&self, tuple: &FourTuple, cookie: &Cookie, now: Instant) -> Validity {
        let is_of = |age| self.key(age, now).is_some_and(|key| same(cookie.octets(), &key.cookie(tuple)));
        if is_of(0) {
            Validity::Current
        } else if is_of(1) {
            Validity::Old
        } else {
            Validity::No
        }
    }
}

/// Compares in a time that does not tell where two differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// How a listener takes Fast Open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListenFastOpen {
    /// Connections that may be open for their applications before their handshake is over. Beyond it clients open as without
    /// Fast Open, and are not even told of cookies.
    pub limit: u32,
    /// Text is taken from every SYN, with a valid cookie or without: for services that are immune to forged requests, and
    /// whose answers are no larger than those (RFC 7413 section 7.3). Default off.
    pub without_cookies: bool,
    /// Keys of its own. Default: those of the stack.
    pub keys: Option<Keys>,
}

impl ListenFastOpen {
    /// With so many pending connections at most.
    pub fn new(limit: u32) -> ListenFastOpen {
        ListenFastOpen { limit, without_cookies: false, keys: None }
    }
}

/// What a listener knows of its pending connections.
// 7413-4.2: FastOpenEnabled is whether this exists, PendingFastOpenRequests is counted here.
#[derive(Debug)]
pub struct Requests {
    /// How it takes them.
    pub options: ListenFastOpen,
    pending: u32,
    /// When those that were reset stop to count, oldest first.
    reset: VecDeque<Instant>,
}

impl Requests {
    /// Nothing is pending.
    pub fn new(options: ListenFastOpen) -> Requests {
        Requests { options, pending: 0, reset: VecDeque::new() }
    }

    /// One more may be pending.
    // 7413-4.2
    pub fn has_room(&mut self, now: Instant) -> bool {
        while self.reset.front().is_some_and(|&until| until <= now) {
            self.reset.pop_front();
        }
        self.pending as usize + self.reset.len() < self.options.limit as usize
    }

    /// One more is.
    pub fn begin(&mut self) {
        self.pending += 1;
    }

    /// One is no longer; it was reset by its peer.
    pub fn end(&mut self, reset: bool, now: Instant) {
        self.pending = self.pending.saturating_sub(1);
        if reset {
            self.reset.push_back(now + RESET_MEMORY);
        }
    }

    /// How many are pending.
    pub fn pending(&self) -> u32 {
        self.pending
    }
}

/// How a connection opens with more than a handshake, until it is open.
#[derive(Clone, Debug, Default)]
pub struct FastOpen {
    /// The option of our first SYN or SYN-ACK. What is sent again carries none (RFC 7413 sections 4.2.1 and 4.2.2).
    pub option: Option<Cookie>,
    /// Octets of text that our SYN may carry.
    pub room: u16,
    /// What the peer's SYN-ACK says.
    pub answer: Option<Answer>,
}

/// What a SYN-ACK says to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The cookie to use from now on.
    pub cookie: Option<Cookie>,
    /// The MSS of the server.
    pub mss: Option<u16>,
    /// Octets of the text of our SYN that it acknowledges.
    pub acknowledged: u32,
    /// Octets of text that our SYN carried.
    pub sent: u32,
    /// The request for a cookie that it answers, if our SYN had one and was sent only once.
    pub request: Option<Cookie>,
}

impl Connection {
    /// The peer's SYN has opened it by Fast Open, and our SYN-ACK is not acknowledged yet.
    pub fn opens_early(&self) -> bool {
        self.fast_open.is_some() && self.origin == Origin::Passive && !self.snd.syn_acknowledged
    }

    /// The SYN-ACK is there: what it says is noted, and text of our SYN that it does not acknowledge leaves again at once.
    // 7413-4.2.2-1
    pub(super) fn syn_answered(&mut self, segment: &Segment<'_>) {
        let first = self.snd.iss + 1;
        let (sent, acknowledged) = (self.snd.nxt.since(first), segment.ack.since(first));
        let Some(fast_open) = self.fast_open.as_deref_mut() else { return };
        // A request is no answer, and a cookie that nobody asked for none to keep.
        let wanted = fast_open.option.is_some();
        let cookie = segment.options.fast_open.filter(|cookie| wanted && !cookie.is_request());
        let request = fast_open.option.filter(|option| option.is_request() && self.snd.syn_losses == 0);
        fast_open.answer = Some(Answer { cookie, mss: segment.options.mss, acknowledged, sent, request });
        self.agreed.syn_text = sent > 0 && acknowledged == sent;
        if acknowledged < sent {
            self.retransmit_all();
        }
    }

    /// Octets of text that our SYN may carry.
    pub(super) fn syn_room(&self) -> u32 {
        self.fast_open.as_ref().map_or(0, |fast_open| u32::from(fast_open.room))
    }

    /// The peer has sent its SYN again: so is our SYN-ACK, as often as other segments that are not acceptable are answered.
    pub(super) fn repeat_syn_ack(&mut self, cx: &mut Context<'_>) {
        if self.may_challenge(cx)
            && let Some(transfer) = self.transfer.as_mut()
        {
            transfer.sent.mark_lost(self.snd.iss, self.snd.iss + 1);
            self.due.add(Due::RETRANSMISSION);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(local: &str, remote: &str) -> FourTuple {
        FourTuple::new(format!("{local}:80").parse().unwrap(), format!("{remote}:40000").parse().unwrap())
    }

    /// The key of Linux's `tcp_fastopen_key=a0bf63f7-ed803d81-cd641d30-cebc4a90`, and the cookies that its kernel makes.
    #[test]
    fn cookies_are_those_of_linux() {
        let words = [0xa0bf_63f7_u32, 0xed80_3d81, 0xcd64_1d30, 0xcebc_4a90];
        let mut key = [0; 16];
        key.chunks_mut(4).zip(words).for_each(|(octets, word)| octets.copy_from_slice(&word.to_le_bytes()));
        let keys = Keys::Fixed(Key(key), None);
        for (local, remote, cookie) in [
            ("192.168.0.2", "10.248.0.2", "00abaaabe8e954c2"),
            ("192.168.0.2", "10.248.0.3", "1313a2da994a0951"),
            ("192.168.0.3", "10.248.0.3", "76d2c1c530f51f79"),
        ] {
            assert_eq!(keys.make(&tuple(local, remote), Instant::ZERO).unwrap().to_string(), cookie);
        }
    }

    /// 7413-4.1.2
    #[test]
    fn a_cookie_is_good_for_its_client_and_its_time_only() {
        let keys = Keys::Rotating(Key([7; 16]));
        let (own, other) = (tuple("10.0.0.2", "10.0.0.1"), tuple("10.0.0.2", "10.0.0.3"));
        let made = Instant::from_secs(3_600 * 50 + 1_800);
        let cookie = keys.make(&own, made).unwrap();
        let at = |seconds| keys.check(&own, &cookie, made + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1_799)], [Validity::Current; 2]);
        assert_eq!([at(1_800), at(5_399)], [Validity::Old; 2]);
        assert_eq!([at(5_400), at(3_600 * 1_000)], [Validity::No; 2]);
        assert_eq!(keys.check(&other, &cookie, made), Validity::No, "another client");
        assert_eq!(Keys::Rotating(Key([8; 16])).check(&own, &cookie, made), Validity::No, "another key");
        assert_eq!(keys.check(&own, &Cookie::new(&cookie.octets()[..6]).unwrap(), made), Validity::No, "a part of it");
        // The port says nothing: a client uses one cookie for all its connections.
        let mut next = own;
        next.remote_port += 1;
        assert_eq!(keys.check(&next, &cookie, made), Validity::Current);
        for (octet, bit) in (0..8).flat_map(|octet| (0..8).map(move |bit| (octet, bit))) {
            let mut forged = cookie.octets().to_vec();
            forged[octet] ^= 1 << bit;
            assert_eq!(keys.check(&own, &Cookie::new(&forged).unwrap(), made), Validity::No);
        }
    }

    /// 7413-4.2
    #[test]
    fn what_was_reset_counts_for_a_while() {
        let mut requests = Requests::new(ListenFastOpen::new(2));
        let at = Instant::from_secs;
        assert!(requests.has_room(at(0)));
        requests.begin();
        requests.begin();
        assert!(!requests.has_room(at(0)));
        requests.end(false, at(1));
        assert!(requests.has_room(at(1)));
        requests.begin();
        requests.end(true, at(2));
        assert!(!requests.has_room(at(61)) && requests.has_room(at(62)));
        assert!(!Requests::new(ListenFastOpen::new(0)).has_room(at(0)));
    }
}
