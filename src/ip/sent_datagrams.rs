//! Which large datagrams were sent lately: by this an error that says that one of them was too big is known to be about
//! something that was sent (RFC 8899 section 4.6.1). UDP has no sequence numbers to ask for.

use std::net::SocketAddr;
use std::time::Duration;

use crate::time::Instant;

/// Pairs of a port of ours and a destination that are remembered. Where more are in use, an error may come too late; connected
/// sockets remember for themselves.
pub const SLOTS: usize = 256;

/// For so long an error may be about a datagram: longer than a round trip, shorter than a sender's pause matters.
pub const MEMORY: Duration = Duration::from_secs(30);

/// The largest datagram that was sent lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Largest {
    octets: u32,
    at: Instant,
}

impl Largest {
    /// A datagram has left in a packet of `octets` (before it was cut in fragments).
    pub fn note(&mut self, octets: u32, now: Instant) {
        let before = if self.is_lately(now) { self.octets } else { 0 };
        *self = Largest { octets: octets.max(before), at: now };
    }

    /// One of more than `mtu` octets was sent lately.
    pub fn is_more(&self, mtu: u32, now: Instant) -> bool {
        self.octets > mtu && self.is_lately(now)
    }

    fn is_lately(&self, now: Instant) -> bool {
        now - self.at <= MEMORY
    }
}

/// Whether an error about it may be believed for all that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// We wanted to send it.
    OwnWill,
    /// It was a reply to what anybody may have asked, as often as he likes.
    Reply,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    local: SocketAddr,
    remote: SocketAddr,
    cause: Cause,
    largest: Largest,
}

impl Sent {
    fn is_about(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.local == local && self.remote == remote
    }
}

/// The largest datagram lately, for the pairs that were used last.
#[derive(Debug, Default)]
pub struct SentDatagrams {
    // Nothing before the first large datagram.
    slots: Vec<Option<Sent>>,
}

impl SentDatagrams {
    /// A datagram has left in a packet of `octets` (before it was cut in fragments). `hash` is that of the pair. A reply
    /// takes no place that is in use by anything else: who asks for many must not bring us to forget what we sent ourselves.
    pub fn note(
        &mut self,
        hash: u64,
        (local, remote): (SocketAddr, SocketAddr),
        cause: Cause,
        octets: u32,
        now: Instant,
    ) {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        let slot = &mut self.slots[hash as usize % SLOTS];
        let mut largest = Largest::default();
        if let Some(sent) = slot {
            if sent.is_about(local, remote) {
                largest = sent.largest;
            } else if (cause, sent.cause) == (Cause::Reply, Cause::OwnWill) && sent.largest.is_lately(now) {
                return;
            }
        }
        largest.note(octets, now);
        *slot = Some(Sent { local, remote, cause, largest });
    }

    /// A datagram of more than `mtu` octets was sent there lately.
    pub fn has_sent_more(&self, hash: u64, local: SocketAddr, remote: SocketAddr, mtu: u32, now: Instant) -> bool {
        let slot = self.slots.get(hash as usize % SLOTS).copied().flatten();
        slot.is_some_and(|sent| sent.is_about(local, remote) && sent.largest.is_more(mtu, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8899-4.6.1
    #[test]
    fn only_what_was_sent_lately_is_known() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let (local, remote) = (address("10.0.0.2:5000"), address("10.0.0.1:53"));
        let at = |millis| Instant::from_secs(1_000) + Duration::from_millis(millis);
        let mut sent = SentDatagrams::default();
        assert!(!sent.has_sent_more(7, local, remote, 1_280, at(0)));
        sent.note(7, (local, remote), Cause::OwnWill, 1_500, at(0));
        sent.note(7, (local, remote), Cause::OwnWill, 700, at(1));
        for (hash, local, remote, mtu, millis, known) in [
            (7, local, remote, 1_400, 1, true),
            (7, local, remote, 1_499, 30_001, true),
            (7, local, remote, 1_499, 30_002, false),
            (7, local, remote, 1_500, 1, false),
            (8, local, remote, 1_400, 1, false),
            (7, address("10.0.0.2:5001"), remote, 1_400, 1, false),
            (7, address("10.0.0.3:5000"), remote, 1_400, 1, false),
            (7, local, address("10.0.0.1:54"), 1_400, 1, false),
            (7, local, address("10.0.0.9:53"), 1_400, 1, false),
        ] {
            assert_eq!(
                sent.has_sent_more(hash, local, remote, mtu, at(millis)),
                known,
                "{local} {remote} {mtu} {millis}"
            );
        }
        // Another pair takes the place, and later only the small ones count.
        let other = (address("10.0.0.2:1"), remote);
        sent.note(7 + SLOTS as u64, other, Cause::Reply, 1_500, at(2));
        assert!(sent.has_sent_more(7, local, remote, 1_400, at(2)), "but no reply");
        sent.note(7 + SLOTS as u64, other, Cause::OwnWill, 1_500, at(2));
        assert!(!sent.has_sent_more(7, local, remote, 1_400, at(2)));
        sent.note(7, (local, remote), Cause::OwnWill, 1_500, at(3));
        sent.note(7, (local, remote), Cause::OwnWill, 600, at(40_000));
        assert!(!sent.has_sent_more(7, local, remote, 1_400, at(40_000)));
        assert_eq!(sent.slots.len(), SLOTS);
        // What is forgotten leaves its place to a reply.
        sent.note(7, other, Cause::Reply, 1_500, at(70_001));
        assert!(sent.has_sent_more(7, other.0, other.1, 1_400, at(70_001)));
    }
}
