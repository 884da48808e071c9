//! Accurate ECN feedback (RFC 9768): each side counts what arrives with which codepoint, and tells the counters.
//!
//! ```text
//!   SYN      AE CWR ECE  "do you?"          text   ECT(0)       may be marked
//!   SYN,ACK  one of four: how the SYN came  ACK    ACE          packets with CE so far, modulo 8, in the same three bits
//!   ACK      one of four: how that came            the option   octets of text with ECT(0), CE and ECT(1), modulo 2^24
//! ```
//!
//! Plain data, both roles: r.cep and its like in [`AccurateEcn::received`], s.cep and its like in [`AccurateEcn::told`]. What a
//! mark means to a connection is in [`super::marks`].

use super::ecn::{CE, ECT_0, ECT_1, NOT_ECT};
use super::sequence::SeqNumber;
use crate::wire::accurate_ecn::{ByteCounters, EcnOption, First, MODULUS};
use crate::wire::tcp::Flags;

/// CE packets that may have arrived since the last ACK, where there is text to acknowledge, before there is another one.
// 9768-3.2.2: two where there is text to acknowledge, three where there is none.
const MARKS_WITH_TEXT: u32 = 2;
const MARKS_WITHOUT_TEXT: u32 = 3;

/// Losses of a SYN,ACK after which it has no bits of ECN. The option goes with the first one only.
// 9768-3.2.3
pub const BARE_SYN_ACK: u8 = 2;

/// As many packets as ACE counts.
const CYCLE: u32 = 8;

/// Packets that an ACK acknowledges on average, beyond which a leap of the ACK field is no sign of lost ACKs, in eighths.
const LARGE_ACKS: u32 = 4 * 8;

/// Octets of a full option, with its padding.
const FULL_OPTION: usize = EcnOption::MAX_LEN.next_multiple_of(4);

/// The three bits as a number: ACE.
// 9768-3.2.2
pub fn ace(flags: Flags) -> u32 {
    u32::from(flags.0 >> 6 & 7)
}

/// The three bits of a number, of which the lowest three count.
pub fn ace_flags(number: u32) -> Flags {
    Flags((number as u16 & 7) << 6)
}

/// How a SYN, or a SYN,ACK, has arrived: the bits of the answer.
// 9768-3.1.1-1, 9768-3.2.2: the same code on the SYN,ACK and on the ACK of that.
pub fn handshake_flags(codepoint: u8) -> Flags {
    ace_flags(match codepoint & CE {
        ECT_1 => 0b011,
        ECT_0 => 0b100,
        CE => 0b110,
        _ => 0b010,
    })
}

/// The bits of a SYN,ACK, after so many losses of it, for a SYN that has arrived so.
// 9768-3.1.1-1: it tells how that has arrived, until it seems that what has the bits does not get through.
pub fn syn_ack_flags(codepoint: u8, losses: u8) -> Flags {
    if losses < BARE_SYN_ACK { handshake_flags(codepoint) } else { Flags::default() }
}

/// What that code says; `None` for a number that is not of it.
pub fn handshake_codepoint(flags: Flags) -> Option<u8> {
    [NOT_ECT, ECT_1, ECT_0, CE].into_iter().find(|&codepoint| ace(handshake_flags(codepoint)) == ace(flags))
}

/// What has arrived with marks: at the receiver, or as far as the sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// CE packets: r.cep or s.cep.
    pub packets: u32,
    /// Octets of text.
    pub octets: ByteCounters,
}

impl Default for Counters {
    // 9768-3.2.1: cep = 5, e0b = e1b = 1, ceb = 0, on both sides, so that zeros can be told from what was made zero on the way.
    fn default() -> Counters {
        Counters { packets: 5, octets: ByteCounters { ect_0: 1, ect_1: 1, ce: 0 } }
    }
}

/// A set of byte counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set(u8);

impl Set {
    const ECT_0: Set = Set(1);
    const ECT_1: Set = Set(2);
    const CE: Set = Set(4);
    const ALL: Set = Set(7);

    const fn has(self, one: Set) -> bool {
        self.0 & one.0 != 0
    }

    /// Fields of an option that begins with this one, up to the last that is in the set.
    fn fields(self, first: First) -> usize {
        let (near, far) = match first {
            First::Ect0 => (Set::ECT_0, Set::ECT_1),
            First::Ect1 => (Set::ECT_1, Set::ECT_0),
        };
        [far, Set::CE, near].into_iter().position(|one| self.has(one)).map_or(0, |place| 3 - place)
    }
}

/// What is known of the options that the peer sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PeerOptions {
    /// None was seen where one was due: they may be taken off on the way.
    #[default]
    Absent,
    /// They come.
    Seen,
    /// They came with zeros where none can be.
    Ignored,
}

/// What an ACK acknowledges.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// SEG.ACK.
    pub una: SeqNumber,
    /// Octets of which it is the first to tell that they arrived.
    pub octets: u32,
    /// Octets of a full segment.
    pub payload: u32,
    /// Its timestamp, where timestamps were agreed on.
    pub timestamp: Option<u32>,
}

/// Where both roles stand, on a connection whose two sides count.
#[derive(Clone, Debug, Default)]
pub struct AccurateEcn {
    /// As receiver.
    pub received: Counters,
    /// As sender.
    pub told: Counters,
    /// How the peer's latest SYN, or SYN,ACK, has arrived.
    pub syn_arrived: u8,
    /// As receiver: the next ACK without text tells that, and not the counter.
    handshake_due: bool,
    /// The last packet had CE.
    marked: bool,
    /// CE packets since the last ACK has left.
    unacknowledged: u32,
    /// The ACK that is due answers ACKs alone.
    pub answers_acks: bool,
    /// Byte counters that have changed at all.
    changed: Set,
    /// Those that have since the last option.
    fresh: Set,
    /// No options are sent: what has carried one seems to be dropped on the way.
    pub silent: bool,
    /// The next option shows whether options arrive, with all counters.
    pub probes: bool,
    /// The first text shows whether options arrive, and has not left.
    first_text: bool,
    /// The end of that text, while it is not acknowledged.
    probe_end: Option<SeqNumber>,
    /// As sender: the peer's counter means nothing.
    pub deaf: bool,
    /// No counter of the peer was seen yet.
    untested: bool,
    peer_options: PeerOptions,
    /// Packets with a mark that were told since an option has last told of octets with one.
    told_without: u32,
    /// And there may have been more.
    doubtful: bool,
    /// Packets that an ACK acknowledges, on average, in eighths.
    span: u32,
    /// SEG.ACK of the last ACK that counted.
    una: SeqNumber,
    /// The end of the last short segment.
    short_end: SeqNumber,
    /// The timestamp of the last ACK that counted.
    timestamp: Option<u32>,
}

impl AccurateEcn {
    /// Of a server, by a SYN that arrived with this codepoint.
    // 9768-3.2.1: a mark on the SYN is told by the SYN,ACK, and not counted.
    pub fn server(codepoint: u8, iss: SeqNumber) -> AccurateEcn {
        let (una, short_end) = (iss, iss);
        AccurateEcn { syn_arrived: codepoint, untested: true, una, short_end, ..AccurateEcn::default() }
    }

    /// Of a client, by a SYN,ACK that arrived with this codepoint, this option and so many octets of text.
    // 9768-3.2.3: text of a SYN counts nowhere, but that of a SYN,ACK does.
    pub fn client(codepoint: u8, option: Option<&EcnOption>, octets: u32, iss: SeqNumber) -> AccurateEcn {
        let mut accurate = AccurateEcn { probes: true, first_text: true, ..AccurateEcn::server(NOT_ECT, iss) };
        accurate.syn_ack_arrived(codepoint);
        accurate.count_octets(codepoint, octets);
        accurate.first_option(option);
        accurate
    }

    /// The option of a SYN,ACK, in so many octets of room: it shows whether options arrive.
    // 9768-3.2.3
    pub fn option_of_syn_ack(room: usize) -> Option<EcnOption> {
        AccurateEcn { probes: true, ..AccurateEcn::default() }.option(false, room)
    }

    /// A SYN,ACK has arrived, perhaps once more: the ACK of it tells how.
    // 9768-3.2.2: its mark is counted once, however often it comes.
    pub fn syn_ack_arrived(&mut self, codepoint: u8) {
        (self.syn_arrived, self.handshake_due) = (codepoint, true);
        if codepoint == CE && self.received.packets == Counters::default().packets {
            self.received.packets += 1;
        }
    }

    // As receiver.

    /// Packets of an acceptable segment have arrived with this codepoint and so many octets of text in all; whether that is to be
    /// acknowledged at once. `text_waits` says whether there is text that is not acknowledged yet.
    // 9768-3.2.2: every CE packet counts, with text or without, also where it was received before.
    pub fn arrived(&mut self, codepoint: u8, packets: u32, octets: u32, text_waits: bool) -> bool {
        self.answers_acks &= octets == 0;
        self.count_octets(codepoint, octets);
        let before = std::mem::replace(&mut self.marked, codepoint == CE);
        if codepoint != CE {
            return false;
        }
        self.received.packets = self.received.packets.wrapping_add(packets);
        self.unacknowledged = self.unacknowledged.saturating_add(packets);
        let text = octets > 0 || text_waits;
        let due = self.unacknowledged >= if text { MARKS_WITH_TEXT } else { MARKS_WITHOUT_TEXT };
        // 9768-3.2.2: a mark on text behind a packet without one is told at once, too.
        let begins = octets > 0 && !before;
        if due || begins {
            self.answers_acks = !text;
        }
        due || begins
    }

    /// So many octets of text have arrived with this codepoint.
    fn count_octets(&mut self, codepoint: u8, octets: u32) {
        let counters = &mut self.received.octets;
        let (counter, one) = match codepoint {
            ECT_0 => (&mut counters.ect_0, Set::ECT_0),
            ECT_1 => (&mut counters.ect_1, Set::ECT_1),
            CE => (&mut counters.ce, Set::CE),
            _ => return,
        };
        *counter = counter.wrapping_add(octets);
        if octets > 0 {
            (self.changed.0, self.fresh.0) = (self.changed.0 | one.0, self.fresh.0 | one.0);
        }
    }

    /// The three bits of a segment that tells the counter.
    // 9768-3.2.2: the low three bits of r.cep, on all that has no SYN.
    pub fn flags(&self) -> Flags {
        ace_flags(self.received.packets)
    }

    /// The three bits of an ACK without text and SACK blocks.
    // 9768-3.2.2: the ACK of a SYN,ACK tells how that has arrived.
    pub fn ack_flags(&self) -> Flags {
        if self.handshake_due { handshake_flags(self.syn_arrived) } else { self.flags() }
    }

    /// An ACK that is due goes alone: text would have no room for the option, and no bits for the handshake.
    pub fn goes_alone(&self) -> bool {
        self.handshake_due || (self.fresh != Set::default() && !self.silent)
    }

    /// The option of the next segment, with text or without, in so many octets of room, if there is anything to tell.
    // 9768-3.2.3: whatever has changed since the last one, or nothing; where there is room, all that has changed ever.
    pub fn option(&self, text: bool, room: usize) -> Option<EcnOption> {
        let probes = self.probes || (text && self.first_text);
        if self.silent || !(probes || self.fresh != Set::default()) {
            return None;
        }
        let all = if probes { Set::ALL } else { self.changed };
        let ect_1 = if self.fresh.has(Set::ECT_0) == self.fresh.has(Set::ECT_1) {
            !all.has(Set::ECT_0) && all.has(Set::ECT_1)
        } else {
            self.fresh.has(Set::ECT_1)
        };
        let first = if ect_1 { First::Ect1 } else { First::Ect0 };
        let (least, most) = (self.fresh.fields(first), all.fields(first));
        let options = (least..=most).rev().map(|fields| EcnOption::new(first, fields, &self.received.octets));
        options.into_iter().find(|option| option.padded_len() <= room)
    }

    /// Octets that the first text leaves free for the option.
    // 9768-3.2.3: on the first text of a client.
    pub fn room_in_first_text(&self) -> Option<u32> {
        (self.first_text && !self.silent).then_some(FULL_OPTION as u32)
    }

    /// The text up to `end` was the first one, and leaves just as much of a segment free as its option needs.
    pub fn is_probe(&self, end: SeqNumber, spare: u32) -> bool {
        self.probe_end == Some(end) && spare == FULL_OPTION as u32
    }

    /// A segment without SYN has left: text up to `end` if it has any, for the first time if `new`, in segments that are full or
    /// not.
    pub fn sent(&mut self, flags: Flags, text: Option<SentText>, option: bool) {
        (self.unacknowledged, self.answers_acks) = (0, false);
        if option {
            (self.fresh, self.probes) = (Set::default(), false);
        }
        let Some(SentText { end, new, full }) = text else {
            if self.handshake_due && ace(flags) == ace(self.ack_flags()) {
                self.handshake_due = false;
            }
            return;
        };
        if !new {
            // 9768-3.2.3: the first text with an option seems to be lost. What is sent again has none, nor has anything else.
            self.silent |= self.probe_end.is_some();
            return;
        }
        if !full {
            self.short_end = end;
        }
        if self.first_text {
            self.first_text = false;
            self.probe_end = option.then_some(end);
        }
    }

    // As sender.

    /// The ACK of our SYN,ACK, which tells how that has arrived; whether with a mark.
    // 9768-3.2.2: the meaning of all eight values.
    pub fn handshake_told(&mut self, flags: Flags) -> Option<u8> {
        self.untested = false;
        match handshake_codepoint(flags) {
            Some(CE) => self.told.packets += 1,
            // The peer counts nothing, or the bits do not get through.
            None if ace(flags) == 0 => self.deaf = true,
            _ => {}
        }
        handshake_codepoint(flags)
    }

    /// The first segment that should have an option has come with this one.
    // 9768-3.2.3: without it, options may be taken off on the way; a counter of zero shows that they are changed.
    pub fn first_option(&mut self, option: Option<&EcnOption>) {
        self.peer_options = match option {
            None => PeerOptions::Absent,
            Some(option) if option.ect_0() == Some(0) || option.ect_1() == Some(0) => PeerOptions::Ignored,
            Some(_) => PeerOptions::Seen,
        };
        self.take_octets(option);
    }

    /// Takes the byte counters; how much that of CE has grown, if the option tells.
    fn take_octets(&mut self, option: Option<&EcnOption>) -> Option<u32> {
        let option = option.filter(|_| self.peer_options != PeerOptions::Ignored)?;
        // 9768-3.2.3: an option that comes later shows that they get through.
        self.peer_options = PeerOptions::Seen;
        let grow = |counter: &mut u32, field: Option<u32>| {
            let growth = field.map_or(0, |field| field.wrapping_sub(*counter) % MODULUS);
            *counter = counter.wrapping_add(growth);
            growth
        };
        let told = &mut self.told.octets;
        grow(&mut told.ect_0, option.ect_0());
        grow(&mut told.ect_1, option.ect_1());
        // Who has ever counted one tells it always.
        let known = option.ce().is_some() || told.ce == 0;
        let growth = grow(&mut told.ce, option.ce());
        known.then_some(growth)
    }

    /// An ACK that is no older than the last one could tell something new.
    // 9768-3.2.2: by number, by SACK blocks, or by its timestamp.
    fn is_newer(&self, ack: &Acknowledged) -> bool {
        let later = |old: u32, new: u32| (new.wrapping_sub(old) as i32) > 0;
        ack.octets > 0
            || ack.una.gt(self.una)
            || matches!((self.timestamp, ack.timestamp), (Some(old), Some(new)) if later(old, new))
    }

    /// The counter of an ACK differs from what is known.
    pub fn is_news(&self, flags: Flags) -> bool {
        !self.deaf && ace(flags) != self.told.packets % CYCLE
    }

    /// An ACK tells the counters.
    pub fn told(&mut self, flags: Flags, option: Option<&EcnOption>, ack: &Acknowledged) -> Told {
        let newer = self.is_newer(ack);
        let before = self.una;
        if newer {
            (self.una, self.timestamp) = (self.una.max(ack.una), ack.timestamp);
        }
        if self.probe_end.is_some_and(|end| end.le(ack.una)) {
            self.probe_end = None;
        }
        if std::mem::take(&mut self.untested) && ace(flags) == 0 {
            // 9768-3.2.2: the counter begins with 5, so a zero in the first one is none.
            self.deaf = true;
        }
        if !newer || self.deaf {
            return Told::default();
        }
        let octets = self.take_octets(option);
        let least = ace(flags).wrapping_sub(self.told.packets) % CYCLE;
        let packets = ack.octets.div_ceil(ack.payload);
        let short = self.short_end.gt(before);
        // What is long past moves along, as numbers more than 2^31 apart cannot be compared.
        self.short_end = self.short_end.max(self.una);
        if self.span == 0 {
            self.span = 8 * packets;
        }
        let packets_told = self.safe_growth(least, packets, octets, ack.payload);
        self.told.packets = self.told.packets.wrapping_add(packets_told);
        if packets > 0 {
            self.span = self.span - self.span / 8 + packets;
        }
        self.told_without = self.told_without.saturating_add(packets_told);
        self.doubtful |= packets >= CYCLE || short;
        // 9768-3.2.3: octets with a mark, and no packet that could have had it, of this ACK or one before that had no option.
        let explained = self.told_without > 0 || self.doubtful;
        if octets.is_some() {
            (self.told_without, self.doubtful) = (0, false);
        }
        Told { packets: packets_told, mangled: !explained && octets.is_some_and(|octets| octets > 0) }
    }

    /// How many packets more have a mark, at least `least`, where ACE may have gone round: as many as may be, unless the option
    /// shows that they were fewer (RFC 9768 appendix A.2).
    // 9768-3.2.2: the safest likely case.
    fn safe_growth(&self, least: u32, packets: u32, octets: Option<u32>, payload: u32) -> u32 {
        // More marks than packets: packets without text, or short ones.
        let Some(doubtful) = packets.checked_sub(least) else { return least };
        let most = packets - doubtful % CYCLE;
        // The octets are those of ACKs without an option, too.
        let in_all = |packets: u32| self.told_without.saturating_add(packets);
        let unlikely = match octets {
            // Segments with marks that were so short would be unusual.
            Some(octets) => {
                octets <= payload.saturating_mul(in_all(least)) && octets / in_all(most).max(1) < payload / 2
            }
            // Who acknowledges much at once has not lost ACKs.
            None => self.span > LARGE_ACKS,
        };
        if unlikely { least } else { most }
    }
}

/// Text that has left.
#[derive(Clone, Copy, Debug)]
pub struct SentText {
    /// The number after it.
    pub end: SeqNumber,
    /// It had not left before.
    pub new: bool,
    /// In full segments.
    pub full: bool,
}

/// What an ACK tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Packets with a mark that were not told before.
    pub packets: u32,
    /// The counters contradict each other.
    pub mangled: bool,
}
