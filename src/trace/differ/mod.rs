//! What differs between two traces, of any stacks: by connection, and by place in the stream.
//!
//! Times are information only: no difference of time is a difference.

mod align;
mod kind;
mod role;

use std::collections::{BTreeMap, BTreeSet};

pub use kind::Kind;
pub use role::{Role, roles};

use super::connection::{Connection, Trace};
use super::segment::{Seg, Side};
use crate::wire::tcp::Flags;
use align::{Pairing, Row, align};

/// Options that only pad.
const NO_OPERATION: u8 = 1;
const END_OF_LIST: u8 = 0;

/// Two segments side by side, or one alone, and what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The place in the first connection.
    pub a: Option<usize>,
    /// The place in the second one.
    pub b: Option<usize>,
    /// What differs, without what is ignored.
    pub kinds: Vec<Kind>,
}

/// Two connections side by side.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    /// The connection of the first capture.
    pub a: Option<&'a Connection>,
    /// That of the second one.
    pub b: Option<&'a Connection>,
    /// What differs as a whole, in words.
    pub whole: Vec<(Kind, String)>,
    /// Their segments.
    pub rows: Vec<Beside>,
}

impl Comparison<'_> {
    /// Nothing differs but what is ignored.
    pub fn is_same(&self) -> bool {
        self.whole.is_empty() && self.rows.iter().all(|row| row.kinds.is_empty())
    }

    /// How often each kind occurs.
    pub fn count(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for &kind in self.rows.iter().flat_map(|row| &row.kinds).chain(self.whole.iter().map(|(kind, _)| kind)) {
            *counts.entry(kind).or_insert(0) += 1;
        }
        counts
    }
}

/// Which connections stand beside each other: those between the same addresses, then those to the same port, then the rest,
/// each in their order.
pub fn pairs<'a>(a: &'a Trace, b: &'a Trace) -> Vec<(Option<&'a Connection>, Option<&'a Connection>)> {
    let mut free: Vec<Option<&Connection>> = b.connections.iter().map(Some).collect();
    let mut partner: Vec<Option<&Connection>> = vec![None; a.connections.len()];
    let same: [fn(&Connection, &Connection) -> bool; 3] = [
        |one, other| (one.client, one.server) == (other.client, other.server),
        |one, other| one.server.port() == other.server.port(),
        |_, _| true,
    ];
    for same in same {
        let mut from = 0;
        for (connection, partner) in a.connections.iter().zip(&mut partner) {
            if partner.is_some() {
                continue;
            }
            // A connection that is taken is not looked at again: the search goes on from the first that is free.
            while free.get(from).is_some_and(Option::is_none) {
                from += 1;
            }
            let found = free.iter_mut().skip(from).find(|slot| slot.is_some_and(|other| same(connection, other)));
            *partner = found.and_then(Option::take);
        }
    }
    let both = a.connections.iter().zip(partner).map(|(connection, partner)| (Some(connection), partner));
    both.chain(free.into_iter().flatten().map(|connection| (None, Some(connection)))).collect()
}

/// Compares two connections; `ignored` kinds are passed over.
pub fn compare<'a>(a: Option<&'a Connection>, b: Option<&'a Connection>, ignored: &BTreeSet<Kind>) -> Comparison<'a> {
    let (Some(one), Some(other)) = (a, b) else {
        let text = if a.is_some() { "only in the first capture" } else { "only in the second capture" };
        let whole = vec![(Kind::Connection, text.to_owned())];
        let whole = whole.into_iter().filter(|(kind, _)| !ignored.contains(kind)).collect();
        return Comparison { a, b, whole, rows: Vec::new() };
    };
    let (roles_a, roles_b) = (roles(one), roles(other));
    let pairings = align(Row { segs: &one.segs, roles: &roles_a }, Row { segs: &other.segs, roles: &roles_b });
    let judge = Judge { a: one, b: other, roles_a: &roles_a, roles_b: &roles_b };
    let rows = pairings.into_iter().map(|pairing| {
        let mut kinds = judge.kinds(&pairing);
        kinds.retain(|kind| !ignored.contains(kind));
        Beside { a: pairing.a, b: pairing.b, kinds }
    });
    let mut whole = whole(one, other);
    whole.retain(|(kind, _)| !ignored.contains(kind));
    Comparison { a, b, whole, rows: rows.collect() }
}

/// What differs between the connections as a whole.
fn whole(a: &Connection, b: &Connection) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    for side in Side::BOTH {
        let (one, other) = (a.text(side), b.text(side));
        if one != other {
            found.push((
                Kind::StreamLength,
                format!("the {side} sends {one} octets, and {other} in the second capture"),
            ));
        }
    }
    let (one, other) = (ending(a), ending(b));
    if one != other {
        found.push((Kind::End, format!("it ends with {one}, and with {other} in the second capture")));
    }
    found
}

/// How a connection ends.
pub fn ending(connection: &Connection) -> String {
    let of = |flag: Flags| {
        let sides =
            Side::BOTH.into_iter().filter(|&side| connection.segs.iter().any(|seg| seg.from == side && seg.has(flag)));
        sides.map(Side::as_str).collect::<Vec<_>>().join(" and the ")
    };
    match (of(Flags::RST), of(Flags::FIN)) {
        (reset, fin) if reset.is_empty() && fin.is_empty() => "neither FIN nor RST".to_owned(),
        (reset, fin) if reset.is_empty() => format!("a FIN of the {fin}"),
        (reset, fin) if fin.is_empty() => format!("a RST of the {reset}"),
        (reset, fin) => format!("a FIN of the {fin} and a RST of the {reset}"),
    }
}

struct Judge<'a> {
    a: &'a Connection,
    b: &'a Connection,
    roles_a: &'a [Role],
    roles_b: &'a [Role],
}

impl Judge<'_> {
    fn kinds(&self, pairing: &Pairing) -> Vec<Kind> {
        match (pairing.a, pairing.b) {
            (Some(a), Some(b)) => {
                let mut kinds = self.fields(&self.a.segs[a], &self.b.segs[b]);
                if pairing.moved {
                    kinds.insert(0, Kind::Order);
                }
                kinds
            }
            (Some(a), None) => vec![alone(&self.a.segs[a], self.roles_a[a], self.b)],
            (None, Some(b)) => vec![alone(&self.b.segs[b], self.roles_b[b], self.a)],
            (None, None) => Vec::new(),
        }
    }

    /// What differs between two segments that stand beside each other.
    fn fields(&self, a: &Seg, b: &Seg) -> Vec<Kind> {
        let mut kinds = Vec::new();
        let mut note = |differs: bool, kind| {
            if differs {
                kinds.push(kind);
            }
        };
        let cut = !a.is_empty() && (a.at, a.end()) != (b.at, b.end());
        let changed = Flags(a.flags.0 ^ b.flags.0);
        note(cut, Kind::Segmentation);
        let told = !cut && a.fingerprint != 0 && b.fingerprint != 0;
        note(told && a.fingerprint != b.fingerprint, Kind::Content);
        let acknowledge = a.has(Flags::ACK) && b.has(Flags::ACK);
        note(acknowledge && a.ack_at != b.ack_at, Kind::AckNumber);
        let reset = a.has(Flags::RST) || b.has(Flags::RST);
        note(!reset && self.a.window(a) != self.b.window(b), Kind::Window);
        // Where the cuts differ, so does what follows from them.
        note(!cut && changed.contains(Flags::PSH), Kind::Push);
        let marks = (a.traffic_class ^ b.traffic_class) & 3;
        note(changed.0 & (Flags::ECE | Flags::CWR | Flags::AE).0 != 0 || marks != 0, Kind::Ecn);
        let urgent = |seg: &Seg| seg.has(Flags::URG).then(|| seg.at + i64::from(seg.urgent));
        note(urgent(a) != urgent(b), Kind::Urgent);
        let mut others = Flags::SYN | Flags::RST | Flags::ACK;
        if !cut {
            others |= Flags::FIN;
        }
        note(changed.0 & others.0 != 0, Kind::Flags);
        self.options(a, b, &mut kinds);
        kinds
    }

    fn options(&self, a: &Seg, b: &Seg, kinds: &mut Vec<Kind>) {
        let (order_a, order_b) = (a.options.kinds(), b.options.kinds());
        let set = |order: &[u8]| -> BTreeSet<u8> {
            order.iter().copied().filter(|kind| !matches!(*kind, NO_OPERATION | END_OF_LIST)).collect()
        };
        let (set_a, set_b) = (set(&order_a), set(&order_b));
        if set_a != set_b {
            kinds.push(Kind::Options);
        } else if order_a != order_b {
            kinds.push(Kind::OptionOrder);
        }
        let (one, other) = (a.options.parsed(), b.options.parsed());
        let values = (one.mss.is_some() && other.mss.is_some() && one.mss != other.mss)
            || (one.window_scale.is_some() && other.window_scale.is_some() && one.window_scale != other.window_scale);
        if values {
            kinds.push(Kind::OptionValue);
        }
        let blocks = |connection: &Connection, seg: &Seg| -> Vec<(u32, u32)> {
            let base = connection.base(seg.from.other()).unwrap_or(0);
            let relative = |(left, right): (u32, u32)| (left.wrapping_sub(base), right.wrapping_sub(base));
            seg.options.parsed().sack.iter().map(relative).collect()
        };
        if !one.sack.is_empty() && !other.sack.is_empty() && blocks(self.a, a) != blocks(self.b, b) {
            kinds.push(Kind::Sack);
        }
    }
}

/// What it means that a segment has none beside it.
fn alone(seg: &Seg, role: Role, other: &Connection) -> Kind {
    match role {
        Role::Syn => Kind::Handshake,
        Role::Again => Kind::Retransmission,
        Role::Reset => Kind::Reset,
        Role::NewAck => Kind::DelayedAck,
        Role::DuplicateAck => Kind::DuplicateAck,
        Role::WindowUpdate => Kind::WindowUpdate,
        Role::KeepAlive => Kind::KeepAlive,
        Role::WindowProbe => Kind::WindowProbe,
        Role::Strange => Kind::Flags,
        Role::Fin => {
            let closes = other.segs.iter().any(|seg_b| seg_b.from == seg.from && seg_b.has(Flags::FIN));
            if closes { Kind::Segmentation } else { Kind::Close }
        }
        Role::Text => {
            // The whole stream is there in the end, or it is not.
            let end = i64::try_from(other.text(seg.from)).unwrap_or(i64::MAX).saturating_add(1);
            if seg.text_at() + i64::from(seg.text) <= end { Kind::Segmentation } else { Kind::MissingText }
        }
    }
}
