//! What each segment is in its trace: first or again, an ACK of something new or a duplicate, a probe.

use std::collections::HashMap;

use crate::trace::connection::Connection;
use crate::trace::segment::{Seg, Side};
use crate::wire::tcp::Flags;

/// What a segment is for, as far as the trace before it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A SYN or SYN,ACK.
    Syn,
    /// Text for the first time, perhaps with a FIN.
    Text,
    /// A FIN alone, for the first time.
    Fin,
    /// Something that was sent before, in whole or in part.
    Again,
    /// A RST.
    Reset,
    /// An acknowledgment of something new.
    NewAck,
    /// An acknowledgment of nothing new, with the same window or with SACK blocks.
    DuplicateAck,
    /// An acknowledgment of nothing new, with another window.
    WindowUpdate,
    /// No text, or an octet of it, just below what was sent: an answer is asked for.
    KeepAlive,
    /// The same, or an octet beyond, while the peer's window is closed.
    WindowProbe,
    /// Neither SYN nor ACK nor RST.
    Strange,
}

/// What one side has done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// The end of what was sent.
    next: i64,
    /// The last acknowledgment and window.
    ack: Option<(i64, u64)>,
}

/// The roles of all segments of a connection.
pub fn roles(connection: &Connection) -> Vec<Role> {
    let mut sides: HashMap<bool, Sent> = HashMap::new();
    connection
        .segs
        .iter()
        .map(|seg| {
            let window = connection.window(seg);
            let client = seg.from == Side::Client;
            let other = sides.get(&!client).copied().unwrap_or_default();
            let sent = sides.entry(client).or_default();
            let role = role(seg, window, sent, &other);
            sent.next = sent.next.max(seg.end());
            if seg.has(Flags::ACK) {
                sent.ack = Some((seg.ack_at, window));
            }
            role
        })
        .collect()
}

fn role(seg: &Seg, window: u64, sent: &Sent, other: &Sent) -> Role {
    if seg.has(Flags::RST) {
        return Role::Reset;
    }
    if seg.has(Flags::SYN) {
        return if sent.next > 0 { Role::Again } else { Role::Syn };
    }
    let closed = other.ack.is_some_and(|(_, window)| window == 0);
    let below = seg.at == sent.next - 1 && seg.text <= 1 && !seg.has(Flags::FIN) && sent.next > 1;
    if below && other.ack.is_none_or(|(ack, _)| ack >= seg.at) && (seg.text == 0 || closed || acked(seg, other)) {
        return if closed { Role::WindowProbe } else { Role::KeepAlive };
    }
    if closed && seg.text == 1 {
        return Role::WindowProbe;
    }
    if !seg.is_empty() {
        return match (seg.at < sent.next, seg.text) {
            (true, _) => Role::Again,
            (false, 0) => Role::Fin,
            (false, _) => Role::Text,
        };
    }
    if !seg.has(Flags::ACK) {
        return Role::Strange;
    }
    match sent.ack {
        Some((ack, _)) if seg.ack_at < ack => Role::DuplicateAck,
        Some((ack, same)) if seg.ack_at == ack => {
            if same != window && seg.options.parsed().sack.is_empty() {
                Role::WindowUpdate
            } else {
                Role::DuplicateAck
            }
        }
        _ => Role::NewAck,
    }
}

/// The peer has everything of the segment already.
fn acked(seg: &Seg, other: &Sent) -> bool {
    other.ack.is_some_and(|(ack, _)| ack >= seg.end())
}
