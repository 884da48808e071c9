//! Timestamps of the peer: PAWS and TS.Recent (RFC 7323 sections 4 and 5).

use std::time::Duration;

use super::acceptance::{self, AckRange};
use super::connection::Connection;
use super::segment::Segment;

/// How long TS.Recent counts on an idle connection: 24 days (RFC 7323 section 5.5).
// 7323-5.5: the peer's clock may have wrapped after that.
const TS_RECENT_LIFETIME: Duration = Duration::from_secs(24 * 24 * 3_600);

/// `value` was taken before `recent`, modulo 2^32.
pub(super) fn is_before(value: u32, recent: u32) -> bool {
    (value.wrapping_sub(recent) as i32) < 0
}

/// The agreed timestamp is missing. A RST may come without.
pub(super) fn is_missing(connection: &Connection, segment: &Segment<'_>) -> bool {
    connection.agreed.timestamps && segment.options.timestamp.is_none() && !segment.rst()
}

/// PAWS: the segment is from the past.
// 7323-5.3-1, 7323-5.2: a RST is exempt.
pub(super) fn is_old(connection: &Connection, segment: &Segment<'_>) -> bool {
    let agreed = &connection.agreed;
    // 7323-3.2-3: an option that was not agreed on means nothing.
    let Some(timestamp) = segment.options.timestamp.filter(|_| agreed.timestamps && !segment.rst()) else {
        return false;
    };
    is_before(timestamp.value, agreed.ts_recent)
        && segment.arrived.saturating_since(agreed.ts_recent_at) < TS_RECENT_LIFETIME
}

/// Takes TS.Recent from an acceptable segment that covers the last acknowledgment sent.
///
/// Not from one that the fifth step will refuse for its ACK field: it may be forged, and a TS.Recent from the future would
/// have PAWS refuse all that follows.
// 7323-4.3: not from any segment: only if it is not older and SEG.SEQ =< Last.ACK.sent.
pub(super) fn update(connection: &mut Connection, segment: &Segment<'_>) {
    let Some(timestamp) = segment.options.timestamp.filter(|_| connection.agreed.timestamps) else { return };
    // Most text in order lies beyond the last acknowledgment, so this comes first.
    if !segment.seq.le(connection.rcv.last_ack) {
        return;
    }
    let range = acceptance::acknowledgment(&connection.space(), segment.ack, connection.snd.max_wnd);
    let refused = segment.has_ack() && matches!(range, AckRange::BeyondNext | AckRange::TooOld);
    if !refused {
        connection.agreed.ts_recent = timestamp.value;
        connection.agreed.ts_recent_at = segment.arrived;
    }
}
