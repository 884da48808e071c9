//! The link: what leaves a stack, and what arrives at the other one.

use glasstcp::device::RxMeta;
use glasstcp::stack::Progress;
use glasstcp::tcp::state::State;
use glasstcp::wire::tcp::Flags;

use super::action::{NAMES, Side};
use super::segment::Flying;
use super::world::{TICK, World};

/// Packets that a stack may send at one point in time: there are a few octets, so more is a bug.
const MAX_AT_ONCE: usize = 50;

impl World<'_> {
    /// A packet is gone for good.
    pub(super) fn lost(&mut self, side: Side, lost: &Flying) {
        self.lost_resets[usize::from(side)] += u8::from(lost.segment().0.flags.contains(Flags::RST));
    }

    /// What is held up is lost after all.
    pub fn lose_held(&mut self) {
        for side in [0, 1] {
            for lost in std::mem::take(&mut self.held[usize::from(side)]) {
                self.lost(side, &lost);
            }
        }
    }

    /// Packets of `side` reach the other one.
    pub(super) fn arrive(&mut self, side: Side, flying: &[Flying]) {
        self.now += TICK;
        let at = usize::from(1 - side);
        for packet in flying {
            let (header, _) = packet.segment();
            let nobody = self.hosts[at].listener.is_none() && self.hosts[at].opens == 0;
            self.disorder |= nobody && header.flags.contains(Flags::SYN);
            let refused = self.refused(at, packet);
            let packet = refused.as_ref().unwrap_or(packet);
            let host = &mut self.hosts[at];
            let meta = RxMeta::plain(packet.packet.len());
            let dropped = host.stack.handle_packet(self.now, &packet.packet, &meta);
            if header.flags.contains(Flags::RST) && dropped.is_some() && self.faults > 0 {
                // By RFC 5961 it is questioned where something in front of it is missing, and the question can be lost.
                self.lost_resets[usize::from(side)] += 1;
            }
            self.note(|world| {
                let why = dropped.map_or(String::new(), |reason| format!(", dropped: {reason:?}"));
                format!("    {} gets {}{why}", NAMES[at], world.numbers.show(side, packet))
            });
        }
        self.expire();
    }

    /// A RST that acknowledges a FIN on a SYN, of which the stack behind that knows nothing: without it.
    fn refused(&self, at: usize, packet: &Flying) -> Option<Flying> {
        let opens = self.hosts[at].connection().is_some_and(|connection| connection.state() == State::SynSent);
        let resets = packet.segment().0.flags.contains(Flags::RST | Flags::ACK);
        (self.scenario.fin_on_syn[at] && opens && resets)
            .then(|| packet.with_ack(packet.segment().0.ack.wrapping_sub(1)))
    }

    /// What this stack has to send goes on the wire.
    pub(super) fn transmit(&mut self, at: usize) {
        let (host, wire) = (&mut self.hosts[at], &mut self.wires[at]);
        let (now, before) = (self.now, wire.len());
        let progress = host.stack.transmit(now, MAX_AT_ONCE, |transmit| {
            wire.push_back(Flying::new(transmit.to_vec(), now));
            Ok(())
        });
        if progress != Progress::Idle {
            self.breaks(format!("{} sends without end", NAMES[at]));
            return;
        }
        if let Some(sabotage) = self.sabotage {
            sabotage.apply(at, &mut self.wires[at], before);
        }
        for index in before..self.wires[at].len() {
            if self.scenario.fin_on_syn[at] && self.wires[at][index].segment().0.flags == Flags::SYN {
                self.wires[at][index] = self.wires[at][index].with_flags(Flags::SYN | Flags::FIN);
            }
            self.numbers.learn(at as Side, &self.wires[at][index]);
            self.note(|world| {
                format!("    {} sends {}", NAMES[at], world.numbers.show(at as Side, &world.wires[at][index]))
            });
        }
    }
}
