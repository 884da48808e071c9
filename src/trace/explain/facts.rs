//! What a received segment changed in a connection, in words.

use crate::tcp::connection::Connection as Tcb;
use crate::tcp::receiver::AckOwed;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::trace::annotate::Act;

/// What can be seen of a connection before and after a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    state: State,
    una: SeqNumber,
    octets: u64,
    held: u64,
    sacked: u32,
    wnd: u32,
    fin: bool,
    owed: AckOwed,
}

impl Facts {
    pub(super) fn of(tcb: &Tcb) -> Facts {
        Facts {
            state: tcb.state(),
            una: tcb.snd.una,
            octets: tcb.statistics.octets_received,
            held: tcb.receive_buffer.out_of_order_bytes(),
            sacked: tcb.transfer.as_ref().map_or(0, |transfer| transfer.sent.sacked().octets()),
            wnd: tcb.snd.wnd,
            fin: tcb.fin_received(),
            owed: tcb.owed.ack,
        }
    }

    /// What has changed, in words.
    pub(super) fn acts(&self, after: &Facts) -> Vec<String> {
        let mut acts = Vec::new();
        let mut number = |act: Act, octets: u64| {
            if octets > 0 {
                acts.push(format!("{}={octets}", act.word()));
            }
        };
        number(Act::Acknowledged, u64::from(after.una.saturating_since(self.una)));
        number(Act::Sacked, u64::from(after.sacked.saturating_sub(self.sacked)));
        number(Act::Delivered, after.octets - self.octets);
        number(Act::OutOfOrder, after.held.saturating_sub(self.held));
        let mut word = |happened: bool, act: Act| {
            if happened {
                acts.push(act.word().to_owned());
            }
        };
        word(after.fin && !self.fin, Act::Fin);
        word(self.state == State::SynSent && after.state == State::Established, Act::Opened);
        word(self.wnd > 0 && after.wnd == 0 && after.state != State::Closed, Act::WindowClosed);
        word(self.wnd == 0 && after.wnd > 0 && self.state.is_synchronized(), Act::WindowReopened);
        word(self.owed != after.owed && after.owed == AckOwed::Now, Act::AckNow);
        word(self.owed != after.owed && after.owed == AckOwed::Delayed, Act::AckDelayed);
        let reset = after.state == State::Closed && !matches!(self.state, State::LastAck | State::Closing);
        word(reset, if self.state == State::SynSent { Act::Refused } else { Act::Reset });
        if acts.is_empty() {
            acts.push(Act::Nothing.word().to_owned());
        }
        acts
    }
}
