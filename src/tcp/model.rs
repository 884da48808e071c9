//! What a controller that models the path is told, beside the windows and timers of everybody: what each record has become,
//! and whether the application or the path limits the flow. For the other controllers nothing here does anything.

use super::congestion::Acked;
use super::connection::{Connection, Context};
use super::loss::{self, Ack};
use crate::time::Instant;

/// What this ACK has delivered.
///
/// The newest record among it stands for all: only its stamp makes the sample.
pub(super) fn delivered(connection: &mut Connection, ack: &Ack<'_>, now: Instant) {
    if !connection.congestion.models_path() || ack.done.octets == 0 {
        return;
    }
    let newest = connection.transfer.as_mut().and_then(|transfer| transfer.sent.take_newest());
    let (stamp, sent_at) = newest.unwrap_or_default();
    connection.congestion.on_delivered(now, &stamp, sent_at, ack.done.octets);
}

/// What was marked as lost since the last time: before the controller hears of the loss as such.
pub(super) fn lost(connection: &mut Connection, now: Instant) {
    if !connection.congestion.models_path() {
        return;
    }
    let selective = connection.agreed.sack;
    if let Some(transfer) = connection.transfer.as_mut() {
        for part in transfer.sent.take_lost_parts() {
            connection.congestion.on_lost(now, &part.stamp, part.seq, part.octets, selective);
        }
    }
}

/// All that an ACK delivers, and all of which it shows that it is lost, has been told: the model follows, also in recovery.
pub(super) fn acked(connection: &mut Connection, ack: &Ack<'_>, recovering: bool, lost: u32, cx: &Context<'_>) {
    if ack.done.octets == 0 && lost == 0 {
        return;
    }
    let rate = connection.congestion.sample(connection.min_rtt.get());
    // What was delivered out of order is no longer in the network, so it does not fill the window either.
    let flight = ack.in_flight;
    let acked = Acked { octets: ack.done.octets, flight, lost, recovering, rate, ..loss::told(connection, ack, cx) };
    connection.congestion.get_mut().acked(&acked);
}

impl Connection {
    /// Asked before text is queued, and before an ACK lets something out: has the application left the path idle?
    ///
    /// Not where a piece waits for its turn, as that is what fills the path.
    pub(super) fn check_app_limited(&mut self, now: Instant) {
        if !self.congestion.models_path() || !self.snd.syn_acknowledged {
            return;
        }
        let lost = self.transfer.as_ref().is_some_and(|transfer| !transfer.sent.lost().is_empty());
        let idle = self.unsent() < self.segment_payload() && !lost && self.congestion.may_send(now).is_ok();
        if idle && self.usable_congestion_window() > 0 {
            let in_flight = self.in_flight();
            self.congestion.mark_app_limited(in_flight);
        }
    }
}
