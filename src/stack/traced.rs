//! Notes of packets, for a capture: what each one did to the connection that it was for, and why each one leaves.
//!
//! The protocols know nothing of it. A stack that is traced looks at the connection before a packet and after it, and tells
//! the difference; one that is not does not come here.

use std::net::SocketAddr;

use super::Stack;
use super::deferred::Verdict;
use super::flow::Flow;
use super::outgoing::Outgoing;
use super::slab::SlabKey;
use crate::counters::{Counters, DropReason};
use crate::device::RxMeta;
use crate::tcp::FourTuple;
use crate::tcp::reset::Reply;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::time::Instant;
use crate::trace::annotate::{self, Act, Asked, Other, Reason};
use crate::trace::change::{Facts, Seen, Segment};
use crate::trace::note::{Detail, Note, Numbers, Received, Sent};
use crate::wire::icmp::{self, IcmpMessage};
use crate::wire::tcp::{self, Flags};
use crate::wire::{IpPacket, mld, parse_ip, protocol, quoted};

/// The notes of a stack that is traced.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Of the packet that was handled last.
    latest: Option<Note>,
}

/// What is to be compared.
struct Before {
    counters: Counters,
    /// Answers in the queue.
    queued: usize,
    /// What the packet is about.
    subject: Option<Subject>,
    seen: Option<Seen>,
}

/// The connection that a packet is about.
#[derive(Clone, Copy)]
struct Subject {
    tuple: FourTuple,
    /// Nothing where an ICMP error speaks of it.
    segment: Option<Segment>,
}

impl Stack {
    /// Makes notes of packets from now on, or no more: what becomes of each that is received ([`Stack::take_note`]), and why
    /// each one leaves ([`Transmit::note`](super::Transmit::note)). It costs some microseconds a packet.
    pub fn set_traced(&mut self, traced: bool) {
        self.traced = traced.then(Box::default);
    }

    /// Notes are made.
    pub fn is_traced(&self) -> bool {
        self.traced.is_some()
    }

    /// What became of the packet that was handled last, if notes are made.
    pub fn take_note(&mut self) -> Option<Note> {
        self.traced.as_mut()?.latest.take()
    }

    /// [`Stack::handle_packet`], with a note.
    #[cold]
    pub(super) fn handle_traced(&mut self, arrived: Instant, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        let parsed = parse_ip(packet).ok();
        let subject = parsed.as_ref().and_then(subject);
        let before = Before {
            counters: self.counters.clone(),
            queued: self.outgoing.len(),
            subject,
            seen: subject.map(|subject| self.look(&subject.tuple, None)),
        };
        let dropped = self.handle_untraced(arrived, packet, meta);
        let received = self.compare(&before, parsed.as_ref(), dropped);
        if let Some(notes) = &mut self.traced {
            notes.latest = Some(Note::Received(received));
        }
        dropped
    }

    fn compare(&self, before: &Before, packet: Option<&IpPacket<'_>>, dropped: Option<DropReason>) -> Received {
        let mut received = Received::new(dropped);
        let (old, new) = (&before.counters, &self.counters);
        // Before a segment comes to TCP, it has nothing to do with any connection.
        let arrived = new.segments_in > old.segments_in || before.subject.is_some_and(|it| it.segment.is_none());
        if let (Some(subject), Some(seen)) = (before.subject, before.seen.as_ref())
            && arrived
            && dropped != Some(DropReason::Unclaimed)
        {
            self.compare_connection(&mut received, seen, &subject);
        } else if let Some(reason) = dropped {
            received.add_rule(annotate::rule_of_drop(reason));
        }
        note_counters(&mut received, old, new);
        if dropped.is_none() && received.acts.is_empty() && packet.is_some_and(is_of_groups) {
            received.did(Act::GroupMessage, Detail::None);
        }
        if dropped == Some(DropReason::Unclaimed) {
            received.did(Act::HandedOver, Detail::None);
        }
        match self.outgoing.back() {
            Some(Outgoing::Segment(reply)) if self.outgoing.len() > before.queued => {
                received.did(Act::Answered, Detail::Because(Reason::Segment(reply.why)));
            }
            _ if new.dropped(DropReason::ReplyLimited) > old.dropped(DropReason::ReplyLimited)
                || new.dropped(DropReason::IcmpRateLimited) > old.dropped(DropReason::IcmpRateLimited) =>
            {
                received.did(Act::AnswerLimited, Detail::None);
            }
            _ => {}
        }
        if dropped.is_none() && received.acts.is_empty() {
            received.did(Act::Nothing, Detail::None);
        }
        received.add_rules_of_acts();
        received
    }

    /// What has become of the connection, by the looks of it before and after.
    fn compare_connection(&self, received: &mut Received, seen: &Seen, subject: &Subject) {
        let now = self.look(&subject.tuple, seen.connection);
        received.states = Some((seen.state, now.state));
        received.numbers = now.numbers.or(seen.numbers);
        let Some(segment) = subject.segment else {
            match received.dropped {
                // Nothing of what it quotes is in flight.
                Some(DropReason::IcmpUnmatched) => received.add_rule("5927-4.1"),
                Some(reason) => received.add_rule(annotate::rule_of_drop(reason)),
                None => {}
            }
            return seen.told_by_network(&now, received);
        };
        let asked = Asked {
            state: seen.state,
            space: seen.space,
            seq: segment.seq,
            len: segment.len(),
            ack: segment.ack,
            syn: segment.flags.contains(Flags::SYN),
            rst: segment.flags.contains(Flags::RST),
        };
        match received.dropped {
            Some(reason) => received.add_rule(annotate::drop_rule(reason, &asked)),
            None => annotate::acceptance_rule(&asked).into_iter().for_each(|rule| received.add_rule(rule)),
        }
        seen.changed(&now, &segment, received);
    }

    /// How things are with whomever segments of this tuple are for. `connection` is who it was before.
    fn look(&self, tuple: &FourTuple, connection: Option<SlabKey>) -> Seen {
        let of_connection = |key: SlabKey, state: State| {
            let held = self.connections.get(key).map(|entry| &entry.connection);
            Seen {
                state,
                connection: Some(key),
                space: held.map(|connection| connection.space()),
                numbers: held.map(|connection| Numbers::of(connection, &self.config.tcp)),
                facts: held.map(Facts::of),
            }
        };
        let alone = |state, space, numbers| Seen { state, connection: None, space, numbers, facts: None };
        match self.flow(tuple) {
            Some(Flow::Connection(key)) => {
                let state = self.connections.get(key).map_or(State::Closed, |entry| entry.connection.state());
                of_connection(key, state)
            }
            Some(Flow::HalfOpen(key)) => {
                let Some(entry) = self.half_open.get(key) else { return alone(State::Closed, None, None) };
                let state = if entry.verdict == Verdict::Accepted { State::SynReceived } else { State::Listen };
                alone(state, Some(entry.record.space()), Some(Numbers::of_half_open(&entry.record)))
            }
            Some(Flow::TimeWait(key)) => {
                let Some(entry) = self.time_wait.get(key) else { return alone(State::Closed, None, None) };
                let seen = of_connection(entry.connection.0, State::TimeWait);
                let numbers = seen.numbers.or(Some(Numbers::default()));
                // Only a look back is about the connection that has been.
                let facts = seen.facts.filter(|_| connection.is_some());
                Seen { space: Some(entry.record.space()), numbers, facts, connection: None, ..seen }
            }
            None => match connection {
                Some(key) => of_connection(key, State::Closed),
                None if self.listener_for(tuple).is_some() => alone(State::Listen, None, None),
                None => alone(State::Closed, None, None),
            },
        }
    }

    /// Why a segment leaves that is none of a connection's.
    pub(super) fn note_of_reply(&self, reply: &Reply) -> Option<Note> {
        self.traced.as_ref()?;
        let seen = self.look(&reply.tuple, None);
        Some(Note::Sent(Sent::alone(Reason::Segment(reply.why), Some(seen.state), seen.numbers)))
    }

    /// Why a packet leaves that is no segment.
    pub(super) fn note_of_packet(&self, packet: &[u8]) -> Option<Note> {
        self.traced.as_ref()?;
        Some(Note::Sent(Sent::alone(Reason::Other(kind_of(packet)), None, None)))
    }
}

/// What a received packet is about: the connection of a segment, or that which an ICMP error quotes.
fn subject(packet: &IpPacket<'_>) -> Option<Subject> {
    if packet.fragment.is_some() {
        return None;
    }
    if packet.protocol == protocol::TCP {
        let (header, text) = tcp::parse(packet.payload).ok()?;
        let local = SocketAddr::new(packet.destination, header.destination_port);
        let remote = SocketAddr::new(packet.source, header.source_port);
        let segment = Segment {
            seq: SeqNumber(header.seq),
            ack: header.flags.contains(Flags::ACK).then_some(SeqNumber(header.ack)),
            flags: header.flags,
            text: text.len() as u32,
        };
        return Some(Subject { tuple: FourTuple::new(local, remote), segment: Some(segment) });
    }
    let is_icmp = packet.protocol == icmp::protocol_for(packet.destination);
    let message = is_icmp.then(|| icmp::parse(packet.source, packet.destination, packet.payload).ok())??;
    let IcmpMessage::Error { quotation, .. } = message else { return None };
    let quoted = quoted::parse(quotation).filter(|quoted| quoted.protocol == protocol::TCP)?;
    let local = SocketAddr::new(quoted.source, quoted.source_port);
    let remote = SocketAddr::new(quoted.destination, quoted.destination_port);
    Some(Subject { tuple: FourTuple::new(local, remote), segment: None })
}

/// What the counters tell that no connection does.
fn note_counters(received: &mut Received, old: &Counters, new: &Counters) {
    let told: [(u64, u64, Act); 16] = [
        (old.ecn_reductions, new.ecn_reductions, Act::MarkEchoed),
        (old.challenge_acks_limited, new.challenge_acks_limited, Act::ChallengeLimited),
        (old.cookies_sent, new.cookies_sent, Act::CookieMade),
        (old.cookies_valid, new.cookies_valid, Act::CookieTaken),
        (old.fragments_in, new.fragments_in, Act::FragmentHeld),
        (old.reassembled, new.reassembled, Act::Reassembled),
        (old.datagrams_in, new.datagrams_in, Act::Datagram),
        (old.echo_replies_out, new.echo_replies_out, Act::EchoAnswered),
        (old.echo_replies_in, new.echo_replies_in, Act::EchoReply),
        (old.unreachable_in, new.unreachable_in, Act::IcmpError),
        (old.too_big_in, new.too_big_in, Act::IcmpError),
        (old.time_exceeded_in, new.time_exceeded_in, Act::IcmpError),
        (old.parameter_problems_in, new.parameter_problems_in, Act::IcmpError),
        (old.unreachable_out, new.unreachable_out, Act::Answered),
        (old.time_exceeded_out, new.time_exceeded_out, Act::Answered),
        (old.parameter_problems_out, new.parameter_problems_out, Act::Answered),
    ];
    for (_, _, act) in told.into_iter().filter(|(before, after, _)| after > before) {
        let detail = match act {
            Act::Answered => Detail::Because(Reason::Other(Other::IcmpError)),
            _ => Detail::None,
        };
        match act {
            // What is dropped is not held, and what completes a datagram is not either.
            Act::FragmentHeld if received.dropped.is_some() || new.reassembled > old.reassembled => {}
            _ => received.did(act, detail),
        }
    }
}

fn is_of_groups(packet: &IpPacket<'_>) -> bool {
    packet.protocol == protocol::IGMP || packet.protocol == protocol::ICMPV6 && mld::is_mld(packet.payload)
}

/// What a packet is that leaves.
fn kind_of(packet: &[u8]) -> Other {
    let Ok(ip) = parse_ip(packet) else { return Other::Packet };
    match ip.protocol {
        _ if ip.fragment.is_some() => Other::Fragment,
        protocol::UDP => Other::Datagram,
        _ if is_of_groups(&ip) => Other::GroupReport,
        _ => match icmp::parse(ip.source, ip.destination, ip.payload) {
            Ok(IcmpMessage::EchoRequest(_)) => Other::EchoRequest,
            Ok(IcmpMessage::EchoReply(_)) => Other::EchoReply,
            Ok(IcmpMessage::Error { .. }) => Other::IcmpError,
            Err(_) => Other::Packet,
        },
    }
}
