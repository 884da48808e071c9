//! Two stacks and the link between them, in virtual time.

use std::io;
use std::time::Duration;

use crate::config::Config;
use crate::device::impair::{Arrived, Impairment};
use crate::device::link::Link;
pub use crate::device::link::Side;
use crate::device::pcapng::{Direction, PcapngWriter};
use crate::device::wire_view::wire_view;
use crate::device::{RxChecksum, RxMeta, TxChecksum};
use crate::rng::KeyedRng;
use crate::stack::{Progress, Stack};
use crate::time::Instant;
use crate::trace::note::Note;
use crate::wire::{parse_ip, tcp};

use super::invariant::Wire;
use super::sender;

/// Two stacks, the link between them, and the time.
#[derive(Debug)]
pub struct World {
    now: Instant,
    stacks: [Stack; 2],
    link: Link,
    wire: Option<Wire>,
    passage: [Passage; 2],
    captures: Option<[PcapngWriter<Vec<u8>>; 2]>,
}

/// What becomes of the super-segments of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    /// There must be none.
    None,
    /// Its device cuts them, and the packets travel one by one.
    Cut,
    /// They reach the peer as one packet, as through two devices of one machine, or as if its card had merged them again.
    Whole,
}

fn index(side: Side) -> usize {
    match side {
        Side::A => 0,
        Side::B => 1,
    }
}

/// Packets that one stack may send at one point of virtual time before the world takes it for a bug.
const MAX_PACKETS_AT_ONCE: usize = 1_000_000;

impl World {
    /// Two stacks with these settings over a link that is impaired in each direction. The seed decides everything.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(configs: [Config; 2], impairments: [Impairment; 2], seed: u64) -> Result<World, String> {
        // A stack never starts at the origin of time in reality, either.
        World::starting_at(Instant::from_secs(1_000), configs, impairments, seed)
    }

    /// As [`World::new`], from another time on: it decides the initial sequence numbers and the timestamps.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn starting_at(
        now: Instant,
        configs: [Config; 2],
        impairments: [Impairment; 2],
        seed: u64,
    ) -> Result<World, String> {
        let mut rng = KeyedRng::from_seed(seed);
        let [a, b] = configs;
        let stacks = [Stack::new(a, KeyedRng::new(rng.key()), now)?, Stack::new(b, KeyedRng::new(rng.key()), now)?];
        let link = Link::new(impairments[0], impairments[1], rng.below(u64::MAX));
        Ok(World { now, stacks, link, wire: None, passage: [Passage::None; 2], captures: None })
    }

    /// Two hosts, 10.0.0.1 and 10.0.0.2 (fd00:67::1 and fd00:67::2), with the default settings.
    pub fn plain(impairment: Impairment, seed: u64) -> World {
        let config = |host: u8| {
            let addresses = [format!("10.0.0.{host}/24"), format!("fd00:67::{host}/64")];
            Config::new(&addresses.map(|text| text.parse().unwrap_or_else(|error| unreachable!("{error}"))))
        };
        World::new([config(1), config(2)], [impairment; 2], seed).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The stack on one side, for calls of its application. Call [`World::flush`] afterwards.
    pub fn stack(&mut self, side: Side) -> &mut Stack {
        &mut self.stacks[index(side)]
    }

    /// The link.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Gives one side a device that takes packets of this length and cuts them, and that perhaps completes checksums.
    pub fn offload(&mut self, side: Side, max_packet: usize, checksum: bool) {
        self.stacks[index(side)].set_offload(max_packet, checksum);
        self.passage[index(side)] = Passage::Cut;
    }

    /// Gives one side a device that takes packets of this length and hands them to the peer as they are.
    pub fn offload_whole(&mut self, side: Side, max_packet: usize) {
        self.stacks[index(side)].set_offload(max_packet, true);
        self.passage[index(side)] = Passage::Whole;
    }

    /// Checks all packets from now on, and the senders after each step; see [`Wire`] and [`sender`].
    pub fn watch(&mut self) -> &mut Wire {
        let mtu = [self.stacks[0].config().mtu, self.stacks[1].config().mtu];
        self.wire.get_or_insert_with(|| Wire::new(mtu))
    }

    /// Captures what passes at each side from now on, with notes; see [`World::take_captures`]. Its times are those of the
    /// world.
    ///
    /// # Errors
    /// None, as memory takes whatever is written to it.
    pub fn capture(&mut self) -> io::Result<()> {
        let writer = |side: &str| PcapngWriter::new(Vec::new(), "glasstcp", side, "a simulated host");
        self.captures = Some([writer("a")?, writer("b")?]);
        self.stacks.iter_mut().for_each(|stack| stack.set_traced(true));
        Ok(())
    }

    /// Ends the captures: what each side has seen, as files.
    ///
    /// # Errors
    /// None, as memory takes whatever is written to it.
    pub fn take_captures(&mut self) -> io::Result<Option<[Vec<u8>; 2]>> {
        let Some([a, b]) = self.captures.take() else { return Ok(None) };
        self.stacks.iter_mut().for_each(|stack| stack.set_traced(false));
        Ok(Some([a.finish()?, b.finish()?]))
    }

    /// Puts what is due to be sent on the link.
    pub fn flush(&mut self) {
        for side in [Side::A, Side::B] {
            let (now, link, wire, captures) = (self.now, &mut self.link, &mut self.wire, &mut self.captures);
            let passage = self.passage[index(side)];
            let cuts = passage != Passage::None || wire.is_none();
            let progress = self.stacks[index(side)].transmit(now, MAX_PACKETS_AT_ONCE, |transmit| {
                assert!(cuts || transmit.meta.gso_size == 0, "{now:?} {side:?}: nobody cuts this: {:?}", transmit.meta);
                // A super-segment is cut and summed as a device would do it.
                let partial = transmit.meta.checksum != TxChecksum::Complete;
                let packet = transmit.to_vec();
                capture(captures, now, side, Direction::Out, &packet, (transmit.meta.gso_size, partial), transmit.note);
                if passage == Passage::Whole {
                    send_whole(link, wire.as_mut(), now, side, packet, transmit.meta.gso_size);
                    return Ok(());
                }
                for packet in wire_view(&packet, transmit.meta.gso_size, partial) {
                    if let Some(wire) = wire {
                        wire.sent(now, side, &packet);
                    }
                    link.send(now, side, packet.into_owned());
                }
                Ok(())
            });
            assert_eq!(progress, Progress::Idle, "a stack sends without end at {now:?}");
        }
    }

    /// When something happens next.
    pub fn next_event(&mut self) -> Option<Instant> {
        self.flush();
        let stacks = self.stacks.iter().filter_map(Stack::next_deadline).min();
        [stacks, self.link.next_arrival()].into_iter().flatten().min()
    }

    /// Goes to the next event, but not beyond `until`, and handles it; false once nothing is left to happen until then.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(at) = self.next_event().filter(|&at| at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(at);
        for side in [Side::A, Side::B] {
            while let Some(arrived) = self.link.receive(self.now, side) {
                if let Some(wire) = &mut self.wire {
                    deliver(wire, self.now, side, &arrived);
                }
                let stack = &mut self.stacks[index(side)];
                let dropped = stack.handle_packet(arrived.arrived.max(self.now), &arrived.packet, &arrived.meta);
                let (note, offload) =
                    (stack.take_note(), (arrived.meta.gso_size, arrived.meta.checksum == RxChecksum::Partial));
                capture(&mut self.captures, self.now, side, Direction::In, &arrived.packet, offload, note.as_ref());
                if let (Some(wire), Some(reason)) = (&self.wire, dropped)
                    && wire.print
                {
                    eprintln!("{:?} {side:?} drops it: {reason}", self.now);
                }
            }
            self.stacks[index(side)].handle_deadline(self.now);
        }
        self.flush();
        if let Some(wire) = &self.wire {
            wire.passed(self.now);
            self.stacks.iter().for_each(|stack| sender::check_all(stack, self.now));
        }
        true
    }

    /// Lets `duration` pass.
    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    /// Lets time pass until `done` says so, at most `limit`; the answer is whether it did. `done` is asked after each
    /// event and may make calls.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return done(self);
            }
        }
    }
}

/// Shows what has arrived to the one who watches, as a wire would have shown it.
fn deliver(wire: &mut Wire, now: Instant, side: Side, arrived: &Arrived) {
    if arrived.meta.gso_size == 0 {
        wire.delivered(now, side, &arrived.packet);
        return;
    }
    // Cutting makes good checksums, also for what was damaged on the way.
    let sound = parse_ip(&arrived.packet).is_ok_and(|ip| tcp::checksum_ok(ip.source, ip.destination, ip.payload));
    if sound {
        for packet in wire_view(&arrived.packet, arrived.meta.gso_size, false) {
            wire.delivered(now, side, &packet);
        }
    }
}

/// Puts a packet with a partial checksum on the link as it is. What is watched is what a wire would show of it, and only
/// then the checksum is completed: without anybody who looks, and who may find it damaged, the device vouches for it.
fn send_whole(link: &mut Link, wire: Option<&mut Wire>, now: Instant, side: Side, packet: Vec<u8>, gso_size: u16) {
    let Some(wire) = wire else {
        let meta = RxMeta { checksum: RxChecksum::Partial, gso_size, ..RxMeta::plain(packet.len()) };
        link.direction_mut(side).send(now, packet, meta);
        return;
    };
    for piece in wire_view(&packet, gso_size, true) {
        wire.sent(now, side, &piece);
    }
    for whole in wire_view(&packet, 0, true) {
        let meta = RxMeta { gso_size, ..RxMeta::plain(whole.len()) };
        link.direction_mut(side).send(now, whole.into_owned(), meta);
    }
}

/// Writes down a packet as a wire would show it, with its note.
fn capture(
    captures: &mut Option<[PcapngWriter<Vec<u8>>; 2]>,
    now: Instant,
    side: Side,
    direction: Direction,
    packet: &[u8],
    (gso_size, partial): (u16, bool),
    note: Option<&Note>,
) {
    let Some(captures) = captures else { return };
    let (size, pieces) = (usize::from(gso_size), wire_view(packet, gso_size, partial));
    let last = pieces.len() - 1;
    for (index, piece) in pieces.iter().enumerate() {
        let comment = note.map(|note| note.piece(index * size, size, index == last).to_string());
        let comments: Vec<&str> = comment.as_deref().into_iter().collect();
        // Memory takes whatever is written to it, and no packet is that long.
        let _ = captures[self::index(side)].packet(now.as_nanos(), direction, piece, &comments);
    }
}
