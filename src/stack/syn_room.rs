//! How the table of half-open records is divided: a flood towards one listener must not keep SYNs from those that have no
//! cookie to fall back on.
//!
//! Half of the table, or less where their backlogs ask for less, is kept for deferring listeners, in equal parts where the
//! backlogs together ask for more. All other records share the rest: their listeners send cookies when it is full.

use super::Stack;
use crate::tcp::listener::Listener;

/// Deferring listeners, and what is theirs of the table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SynRoom {
    /// How many there are.
    listeners: u32,
    /// Their backlogs together.
    backlogs: u32,
    /// Records that they have.
    held: u32,
}

impl SynRoom {
    /// A deferring listener begins to listen.
    pub(super) fn opened(&mut self, backlog: u32) {
        self.listeners += 1;
        self.backlogs += backlog;
    }

    /// It is closed. The records that it leaves count as others' until they notice.
    pub(super) fn closed(&mut self, backlog: u32, half_open: u32) {
        self.listeners = self.listeners.saturating_sub(1);
        self.backlogs = self.backlogs.saturating_sub(backlog);
        self.held = self.held.saturating_sub(half_open);
    }

    /// It has one record more.
    pub(super) fn taken(&mut self) {
        self.held += 1;
    }

    /// It has one record less.
    pub(super) fn freed(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// Of a table of `limit` records, those that are kept for deferring listeners.
    fn kept(self, limit: u32) -> u32 {
        self.backlogs.min(limit / 2)
    }

    /// The most that one of them may have.
    fn part(self, limit: u32, backlog: u32) -> u32 {
        let kept = self.kept(limit);
        if self.backlogs <= kept { backlog } else { backlog.min((kept / self.listeners.max(1)).max(1)) }
    }
}

impl Stack {
    /// No record can be made for one more SYN to this listener.
    // 4987-3.2
    pub(super) fn has_no_syn_room<K, S>(&self, listener: &Listener<K, S>) -> bool {
        if listener.syn_queue_is_full() || self.half_open.is_full() {
            return true;
        }
        let (room, limit) = (self.syn_room, self.half_open.limit());
        match listener.deferred {
            true => listener.half_open >= room.part(limit, listener.backlog),
            false => self.half_open.len() - room.held.min(self.half_open.len()) >= limit - room.kept(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts never add up to more than what is kept, nor that to more than half.
    #[test]
    fn parts_fit() {
        for (limit, backlogs, kept, parts) in [
            (4_096, &[][..], 0, &[][..]),
            (4_096, &[1_024], 1_024, &[1_024]),
            (4_096, &[1_024, 1_024], 2_048, &[1_024, 1_024]),
            (4_096, &[1_024, 1_024, 10], 2_048, &[682, 682, 10]),
            (4_096, &[60_000], 2_048, &[2_048]),
            (10, &[3], 3, &[3]),
            (1, &[3], 0, &[1]),
        ] {
            let mut room = SynRoom::default();
            backlogs.iter().for_each(|&backlog| room.opened(backlog));
            assert_eq!(room.kept(limit), kept, "{limit} {backlogs:?}");
            let each: Vec<u32> = backlogs.iter().map(|&backlog| room.part(limit, backlog)).collect();
            assert_eq!(each, parts, "{limit} {backlogs:?}");
        }
    }
}
