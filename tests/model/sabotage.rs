//! Mistakes that a stack could make, made for it: what the checks must find.

use std::collections::VecDeque;

use glasstcp::wire::tcp::Flags;

use super::segment::{Flying, IP, seal};

/// A mistake of B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The second octet of text leaves as another one.
    WrongOctet,
    /// The FIN goes with the first octet, although another one follows.
    EarlyFin,
    /// There is never a FIN.
    NoFin,
    /// No timer ever expires: nothing is sent again.
    NoTimers,
    /// Nobody is told of anything.
    NoEvents,
    /// An ACK that carries nothing else never leaves.
    NoAcks,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 6] = [
        Sabotage::WrongOctet,
        Sabotage::EarlyFin,
        Sabotage::NoFin,
        Sabotage::NoTimers,
        Sabotage::NoEvents,
        Sabotage::NoAcks,
    ];

    /// Spoils what has been sent by side `at`, from index `from` on.
    pub fn apply(self, at: usize, wire: &mut VecDeque<Flying>, from: usize) {
        if at == 0 {
            return;
        }
        let mut index = from;
        while index < wire.len() {
            if self.swallows(&wire[index]) {
                wire.remove(index);
                continue;
            }
            let mut packet = wire[index].packet.clone();
            self.spoil(&mut packet);
            wire[index] = Flying::new(packet, wire[index].sent_at);
            index += 1;
        }
    }

    fn swallows(self, flying: &Flying) -> bool {
        let (header, text) = flying.segment();
        self == Sabotage::NoAcks && header.flags == Flags::ACK && text.is_empty()
    }

    fn spoil(self, packet: &mut [u8]) {
        let (header, text) = super::segment::parse(packet);
        let (flags, text) = (header.flags, text.to_vec());
        let spoiled = match self {
            // The octets of B are numbered from its first.
            Sabotage::WrongOctet if text.last().is_some_and(|octet| octet & 15 == 1) => {
                *packet.last_mut().unwrap() ^= 64;
                true
            }
            Sabotage::EarlyFin if text.len() == 1 && text[0] & 15 == 0 => {
                packet[IP + 13] = (flags | Flags::FIN).0 as u8;
                true
            }
            Sabotage::NoFin if flags.contains(Flags::FIN) => {
                packet[IP + 13] = flags.without(Flags::FIN).0 as u8;
                true
            }
            _ => false,
        };
        if spoiled {
            seal(packet);
        }
    }
}
