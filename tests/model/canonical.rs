//! When two worlds count as the same: equal canonical states go on in the same way, as far as the bounds of the model reach.
//!
//! Sequence numbers count from their SYN. Of time only the order is kept in which timers expire (and packets that were
//! held up die), with the doublings that decide how long they will be. Not looked at, as a few octets over a link without
//! bandwidth never reach it: congestion windows, values of RTT and RTO, limits of answers in a second, statistics.

use std::hash::Hash;
use std::mem::discriminant;

use siphasher::sip128::{Hasher128, SipHasher13};

use glasstcp::tcp::connection::Connection;
use glasstcp::tcp::receiver::AckOwed;
use glasstcp::tcp::recovery::Transfer;
use glasstcp::time::Instant;

use super::action::Side;
use super::host::App;
use super::segment::Flying;
use super::world::{LIFETIME, World};

/// Doublings of the RTO beyond which they count as the same: with a closed window there is no end to them.
const MAX_BACKOFF: u8 = 6;

/// The canonical state, as a hash of 128 bits: among 10^9 states the chance that two different ones are taken for the same
/// is below 10^-20.
pub fn canonical(world: &World<'_>) -> u128 {
    let mut canon = Canon { world, hasher: SipHasher13::new(), due: Vec::new() };
    for side in [0, 1] {
        canon.host(side);
        canon.wire(side);
    }
    canon.timers();
    canon.add((world.faults, world.disorder, world.lost_resets.map(|lost| lost > 0), world.silent));
    canon.hasher.finish128().as_u128()
}

struct Canon<'a> {
    world: &'a World<'a>,
    hasher: SipHasher13,
    /// What becomes due when, and what it is.
    due: Vec<(Instant, (Side, u8))>,
}

impl Canon<'_> {
    fn add(&mut self, value: impl Hash) {
        value.hash(&mut self.hasher);
    }

    /// A sequence number of this side.
    fn seq(&mut self, side: Side, seq: u32) {
        let relative = self.world.numbers.relative(side, seq);
        self.add(relative);
    }

    fn due(&mut self, at: Option<Instant>, side: Side, kind: u8) {
        self.due.extend(at.map(|at| (at, (side, kind))));
    }

    fn host(&mut self, side: Side) {
        let host = &self.world.hosts[usize::from(side)];
        self.add((host.opens, host.listener.is_some(), host.apps.len(), host.stack.buffer_memory() > 0));
        let peer = self.world.hosts[usize::from(1 - side)].address;
        self.add(host.stack.fast_open_knows(peer.ip()));
        for app in &host.apps {
            self.app(side, app);
        }
        // Of those before nobody asks any more.
        self.add(host.apps.last().and_then(|app| app.let_go));
        for connection in host.stack.tcp_connections() {
            self.connection(side, connection);
        }
        for (_, record, at) in host.stack.half_open_records() {
            self.seq(side, record.iss.0);
            self.seq(1 - side, record.irs.0);
            self.add((1, record.syn_losses, record.agreed.ecn, record.agreed.timestamps, record.agreed.sack));
            self.due(at, side, 1);
        }
        for (_, record) in host.stack.time_wait_records() {
            self.seq(side, record.snd_nxt.0);
            self.seq(1 - side, record.rcv_nxt.0);
            self.add(2);
            self.due(Some(record.expires), side, 2);
        }
    }

    fn app(&mut self, side: Side, app: &App) {
        self.seq(side, app.iss);
        self.add(app.irs.map(|irs| self.world.numbers.relative(1 - side, irs)));
        self.add((app.handle.is_some(), app.write_closed, app.aborted, app.ended, app.awake));
        self.add((&app.sent, &app.received));
    }

    fn connection(&mut self, side: Side, connection: &Connection) {
        let (snd, rcv) = (&connection.snd, &connection.rcv);
        self.add((
            connection.state(),
            connection.orphan,
            connection.read_closed,
            connection.error,
            connection.soft_error,
        ));
        for own in [snd.iss, snd.una, snd.nxt, snd.wl2, snd.short_end] {
            self.seq(side, own.0);
        }
        for peers in [rcv.irs, rcv.nxt, rcv.edge, rcv.last_ack, snd.wl1] {
            self.seq(1 - side, peers.0);
        }
        self.add((snd.wnd, snd.syn_acknowledged, snd.fin.map(|fin| fin.0.wrapping_sub(snd.iss.0)), snd.syn_losses));
        self.add((rcv.fin.map(|fin| fin.0.wrapping_sub(rcv.irs.0)), rcv.quick_acks.min(1)));
        let (agreed, owed) = (&connection.agreed, &connection.owed);
        self.add((agreed.timestamps, agreed.sack, agreed.scaling, agreed.ecn, agreed.syn_text));
        self.add(
            connection.fast_open.as_deref().map(|open| (open.option.is_some(), open.room > 0, open.answer.is_some())),
        );
        self.add((owed.ack as u8, owed.duplicate_acks, owed.dsack.is_some(), owed.keep_alive));
        let buffer = &connection.receive_buffer;
        self.add((connection.send_buffer.len(), buffer.readable(), buffer.out_of_order_bytes()));
        self.add((connection.backoff.min(MAX_BACKOFF), connection.rtt.srtt().is_some(), connection.reordering.seen));
        self.add(connection.due);
        self.add((connection.probe.is_some(), connection.probe_unmeasured, discriminant(&connection.recovery.phase)));
        if let Some(transfer) = connection.transfer.as_deref() {
            self.transfer(side, transfer);
        }
        let deadlines = &connection.deadlines;
        self.due(deadlines.retransmit.at(), side, 10 + connection.purpose as u8);
        self.due(deadlines.persist.at(), side, 3);
        self.due(deadlines.delayed_ack.at().filter(|_| owed.ack == AckOwed::Delayed), side, 4);
        self.due(deadlines.keep_alive.at(), side, 5);
        self.due(deadlines.user_timeout.at(), side, 6);
    }

    /// What is in flight, and what is thought of it.
    fn transfer(&mut self, side: Side, transfer: &Transfer) {
        for record in transfer.sent.iter() {
            self.seq(side, record.seq.0);
            self.add((record.len, record.transmissions.min(3), record.syn, record.fin));
        }
        self.add((transfer.sent.sacked().octets(), transfer.sent.lost().octets(), discriminant(&transfer.frto)));
        self.add((transfer.timed_out.is_some(), transfer.reorder_at.is_some()));
    }

    /// What this side has sent and what has not arrived.
    fn wire(&mut self, side: Side) {
        let world = self.world;
        for flying in &world.wires[usize::from(side)] {
            self.segment(side, flying);
        }
        self.add(3);
        for flying in &world.held[usize::from(side)] {
            self.segment(side, flying);
            self.due(Some(flying.sent_at + LIFETIME), side, 20);
        }
        self.add(4);
    }

    fn segment(&mut self, side: Side, flying: &Flying) {
        let (header, text) = flying.segment();
        self.seq(side, header.seq);
        self.seq(1 - side, header.ack);
        self.add((header.flags.0, header.window, text, header.options.fast_open.map(|cookie| cookie.is_request())));
        for (left, right) in header.options.sack.iter() {
            self.seq(1 - side, left);
            self.seq(1 - side, right);
        }
        // Of a timestamp, whether it is old for its receiver, and whether it answers the latest of what it acknowledges.
        let timestamp = header.options.timestamp;
        let receivers = self.world.hosts[usize::from(1 - side)].stack.tcp_connections();
        let old: Vec<bool> = receivers
            .map(|connection| {
                timestamp.is_some_and(|stamp| (stamp.value.wrapping_sub(connection.agreed.ts_recent) as i32) < 0)
            })
            .collect();
        self.add((timestamp.is_some(), old));
    }

    fn timers(&mut self) {
        self.due.sort();
        let order: Vec<(Side, u8)> = self.due.iter().map(|&(_, what)| what).collect();
        self.add(order);
    }
}
