//! The way out: answers first, then datagrams and connections in turn, one packet or (super-)segment each.

use std::net::IpAddr;

use super::Stack;
use super::loopback;
use super::outgoing::Outgoing;
use super::slab::SlabKey;
use crate::buffer::Pieces;
use crate::counters::DropReason;
use crate::device::{RxChecksum, TxMeta};
use crate::tcp::connection::{Connection, Context};
use crate::tcp::output::{self, Content, Offload};
use crate::tcp::plan::{self, Decision, Plan, Reason};
use crate::tcp::reset::Reply;
use crate::time::Instant;
use crate::trace::note::{self, Note, Sent};
use crate::wire::tcp::Flags;

/// A packet to send: its headers, and its text in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// IP and transport headers; for a packet that is not TCP, all of it.
    pub header: &'a [u8],
    /// The text.
    pub payload: Pieces<'a>,
    /// What is left to the device.
    pub meta: TxMeta,
    /// Why it leaves, while the stack is traced.
    pub note: Option<&'a Note>,
}

impl Transmit<'_> {
    /// Octets of the whole packet.
    pub fn len(&self) -> usize {
        self.header.len() + self.payload.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// Never true: a packet has a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole packet in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(self.len());
        packet.extend_from_slice(self.header);
        self.payload.iter().for_each(|piece| packet.extend_from_slice(piece));
        packet
    }
}

/// The device takes no more for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

/// How [`Stack::transmit`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to send now.
    Idle,
    /// The budget is used up.
    More,
    /// The device takes no more for now.
    Blocked,
}

impl Stack {
    /// Queues a segment that belongs to no connection; dropped and counted where the queue is full.
    pub(super) fn push_reply(&mut self, reply: Reply) {
        self.push_outgoing(Outgoing::Segment(reply));
    }

    /// Queues anything; false where the queue is full. What is for this host itself stays inside.
    pub(super) fn push_outgoing(&mut self, outgoing: Outgoing) -> bool {
        let destination = match &outgoing {
            Outgoing::Segment(reply) => Some(reply.tuple.remote_addr),
            Outgoing::Packet(packet) => loopback::destination(packet),
            Outgoing::Fragments(fragments) => Some(fragments.header.destination),
        };
        if destination.is_some_and(|destination| self.is_inside(destination)) {
            return match outgoing {
                Outgoing::Segment(reply) => {
                    let header = output::reply_header(&reply, self.offload(true));
                    self.push_inside(header.bytes().to_vec(), RxChecksum::Partial, 0)
                }
                Outgoing::Packet(packet) => self.push_inside(packet, RxChecksum::Unverified, 0),
                // Nothing inside is too long for a packet.
                Outgoing::Fragments(_) => false,
            };
        }
        let taken = self.outgoing.push(outgoing, self.config.max_queued_packets);
        if !taken {
            self.counters.count(DropReason::ReplyLimited);
        }
        taken
    }

    /// Nothing waits to be sent: [`Stack::transmit`] would have nothing to do.
    pub fn is_quiet(&self) -> bool {
        self.outgoing.is_empty() && self.datagrams.is_empty() && self.to_send.is_empty() && self.loopback.is_quiet()
    }

    /// Sends at most `budget` packets through `send`. A packet that `send` refuses stays, and nothing has changed for it.
    /// What this host sends to itself has its turn here, too, and is not for `send`.
    pub fn transmit(
        &mut self,
        now: Instant,
        budget: usize,
        send: impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
    ) -> Progress {
        let now = self.advance_to(now);
        let more_inside = !self.loopback.is_quiet() && self.loopback_turn(now);
        match self.transmit_out(now, budget, send) {
            // What is inside need not wait for the device.
            _ if more_inside => Progress::More,
            progress => progress,
        }
    }

    fn transmit_out(
        &mut self,
        now: Instant,
        mut budget: usize,
        mut send: impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
    ) -> Progress {
        while !self.outgoing.is_empty() {
            if budget == 0 {
                return Progress::More;
            }
            if self.send_outgoing(&mut send).is_err() {
                return Progress::Blocked;
            }
            budget -= 1;
        }
        loop {
            if !self.datagrams.is_empty() {
                if budget == 0 {
                    return Progress::More;
                }
                if self.send_datagram(&mut send).is_err() {
                    return Progress::Blocked;
                }
                budget -= 1;
            }
            let Some(key) = self.to_send.pop_front() else { if self.datagrams.is_empty() { break } else { continue } };
            if budget == 0 {
                self.to_send.push_front(key);
                return Progress::More;
            }
            match self.send_connection(key, now, &mut send) {
                Ok(true) => {
                    // It may have more, but the others have their turn first.
                    self.to_send.push_back(key);
                    budget -= 1;
                }
                Ok(false) => {}
                Err(WouldBlock) => {
                    self.to_send.push_front(key);
                    return Progress::Blocked;
                }
            }
        }
        Progress::Idle
    }

    fn send_outgoing(
        &mut self,
        send: &mut impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
    ) -> Result<(), WouldBlock> {
        let offload = self.offload(false);
        let payload = Pieces::default();
        match self.outgoing.front() {
            Some(Outgoing::Segment(reply)) => {
                let header = output::reply_header(reply, offload);
                let note = self.note_of_reply(reply);
                send(&Transmit { header: header.bytes(), payload, meta: header.meta, note: note.as_ref() })?;
                self.counters.segments_out += 1;
                self.counters.resets_out += u64::from(reply.flags.contains(Flags::RST));
            }
            Some(Outgoing::Packet(packet)) => {
                let note = self.note_of_packet(packet);
                send(&Transmit { header: packet, payload, meta: TxMeta::default(), note: note.as_ref() })?;
            }
            Some(Outgoing::Fragments(fragments)) => {
                let (header, payload) = fragments.next();
                let note = self.is_traced().then_some(&note::FRAGMENT);
                send(&Transmit { header: header.bytes(), payload, meta: TxMeta::default(), note })?;
                self.counters.fragments_out += 1;
            }
            None => return Ok(()),
        }
        self.outgoing.sent();
        self.counted_out();
        Ok(())
    }

    /// What stays `inside` needs no checksum.
    fn offload(&self, inside: bool) -> Offload {
        Offload { checksum: inside || self.offload_checksum, identification: self.identification }
    }

    fn counted_out(&mut self) {
        self.counters.packets_out += 1;
        self.identification = self.identification.wrapping_add(1);
    }

    /// One connection's turn: true if something was sent, false if it has nothing to send until something happens.
    pub(super) fn send_connection(
        &mut self,
        key: SlabKey,
        now: Instant,
        send: &mut impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
    ) -> Result<bool, WouldBlock> {
        let Some(entry) = self.connections.get(key) else { return Ok(false) };
        let inside = entry.inside;
        let (offload, mut limits) = (self.offload(inside), self.limits);
        if inside {
            (limits.max_packet, limits.big_packet) = (0, 0);
        }
        if entry.detached {
            // A TIME-WAIT record speaks for it now, or nobody does.
            self.settle(key);
            return Ok(false);
        }
        let (mut again, traced) = (false, self.is_traced());
        let decided = self.with_connection(key, now, |connection, cx| {
            if connection.snd.path_changes != cx.paths.changes() as u8 {
                connection.notice_path(cx);
            }
            match plan::next(connection, now, &limits) {
                Decision::Send(plan) => {
                    again = plan.reason == Reason::Retransmission;
                    let note = traced.then(|| Note::Sent(Sent::segment(connection, &plan, cx.config)));
                    emit(connection, &plan, offload, note.as_ref(), cx, send).map(|()| true)
                }
                decision @ (Decision::Paced(_) | Decision::Idle) => {
                    connection.settle_timers(matches!(decision, Decision::Paced(_)), cx);
                    Ok(false)
                }
            }
        });
        if again && limits.big_packet > 0 {
            self.limits.big_packet = 0;
            tracing::info!(target: "glasstcp::recovery", "something was lost: no more packets beyond 64 KiB");
        }
        match decided {
            Some(Ok(true)) if inside => {
                self.identification = self.identification.wrapping_add(1);
                Ok(true)
            }
            Some(Ok(true)) => {
                self.counted_out();
                Ok(true)
            }
            Some(Ok(false)) => {
                self.settle(key);
                Ok(false)
            }
            Some(Err(WouldBlock)) => Err(WouldBlock),
            None => Ok(false),
        }
    }

    /// A connection has nothing to send: it leaves the queue and waits for its earliest deadline.
    ///
    /// Each ACK moves the retransmission timeout on or takes it away, and few ever expire. So a timer is set earlier, but
    /// not later: when it comes, [`Stack::handle_deadline`] sets it anew. That is once in an RTO instead of twice in each
    /// round trip.
    fn settle(&mut self, key: SlabKey) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        entry.queued = false;
        if entry.detached {
            return;
        }
        let Some(at) = entry.connection.next_deadline() else { return };
        if self.wheel.deadline(entry.timer).is_none_or(|set| at < set) {
            self.wheel.reschedule(entry.timer, at);
        }
    }

    /// Our address from which to send to `remote`.
    pub(super) fn own_source(&self, remote: IpAddr) -> Option<IpAddr> {
        if self.is_inside(remote) {
            return Some(Self::inside_source(remote));
        }
        crate::ip::input::source_for(remote, &self.config.addresses)
    }
}

/// Builds and sends one planned segment; only its success changes the connection.
fn emit(
    connection: &mut Connection,
    plan: &Plan,
    offload: Offload,
    note: Option<&Note>,
    cx: &mut Context<'_>,
    send: &mut impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
) -> Result<(), WouldBlock> {
    let payload = output::payload(connection, plan);
    let content = Content::of(connection, plan, cx);
    let header = output::header(connection, plan, &content, &payload, offload);
    send(&Transmit { header: header.bytes(), payload, meta: header.meta, note })?;
    output::commit(connection, plan, &content, cx);
    Ok(())
}
