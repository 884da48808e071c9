//! Which segment of one trace stands beside which of the other.
//!
//! First, what is unique in both (most segments are, by their place in the stream) is paired; the longest row of such pairs that
//! stand in the same order divides the traces into gaps, and pairs outside of that row have changed their order. Then each
//! gap is aligned for itself, by what overlaps in sequence space.

use std::collections::HashMap;

use super::role::Role;
use crate::trace::segment::{Seg, Side};
use crate::wire::tcp::Flags;

/// Cells of the table by which a gap is aligned at most; larger gaps are gone through once, without looking back.
const MAX_CELLS: usize = 1 << 22;
/// How far that looks ahead.
const LOOK_AHEAD: usize = 32;

/// A pair, or one alone: places in the two traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Its place in the first trace.
    pub a: Option<usize>,
    /// Its place in the second one.
    pub b: Option<usize>,
    /// It stands elsewhere among the others.
    pub moved: bool,
}

/// A trace to be aligned.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its segments.
    pub segs: &'a [Seg],
    /// What they are.
    pub roles: &'a [Role],
}

/// By what segments are the same: who sent it, where it stands in the stream, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Token {
    client: bool,
    role: Role,
    at: i64,
    text: u32,
    ends: u16,
}

impl Row<'_> {
    fn token(&self, place: usize) -> Token {
        let (seg, role) = (&self.segs[place], self.roles[place]);
        let ends = seg.flags.0 & (Flags::SYN | Flags::FIN | Flags::RST).0;
        // A pure acknowledgment stands where it acknowledges.
        let at = if seg.is_empty() && role != Role::Reset { seg.ack_at } else { seg.at };
        Token { client: seg.from == Side::Client, role, at, text: seg.text, ends }
    }
}

/// Aligns two traces.
pub fn align(a: Row<'_>, b: Row<'_>) -> Vec<Pairing> {
    let unique = unique_pairs(a, b);
    let anchors = longest_row(&unique);
    let mut moved_a: HashMap<usize, usize> = unique.iter().copied().collect();
    for &(place, _) in &anchors {
        moved_a.remove(&place);
    }
    let moved_b: HashMap<usize, usize> = moved_a.iter().map(|(&place, &other)| (other, place)).collect();
    let mut pairings = Vec::new();
    let (mut from_a, mut from_b) = (0, 0);
    for (to_a, to_b) in anchors.into_iter().chain([(a.segs.len(), b.segs.len())]) {
        let left: Vec<usize> = (from_a..to_a).filter(|place| !moved_a.contains_key(place)).collect();
        let right: Vec<usize> = (from_b..to_b).filter(|place| !moved_b.contains_key(place)).collect();
        // What has changed its place is shown where the first trace has it.
        let mut moved = (from_a..to_a).filter_map(|place| Some((place, *moved_a.get(&place)?))).peekable();
        for pairing in align_gap(a, b, &left, &right) {
            while let Some((place, other)) = moved.next_if(|&(place, _)| pairing.a.is_some_and(|a| a > place)) {
                pairings.push(Pairing { a: Some(place), b: Some(other), moved: true });
            }
            pairings.push(pairing);
        }
        pairings.extend(moved.map(|(place, other)| Pairing { a: Some(place), b: Some(other), moved: true }));
        if to_a < a.segs.len() {
            pairings.push(Pairing { a: Some(to_a), b: Some(to_b), moved: false });
        }
        (from_a, from_b) = (to_a + 1, to_b + 1);
    }
    pairings
}

/// Pairs of what occurs once in each trace, in the order of the first one.
fn unique_pairs(a: Row<'_>, b: Row<'_>) -> Vec<(usize, usize)> {
    let count = |row: Row<'_>| {
        let mut places: HashMap<Token, (usize, bool)> = HashMap::new();
        for place in 0..row.segs.len() {
            places.entry(row.token(place)).and_modify(|entry| entry.1 = false).or_insert((place, true));
        }
        places
    };
    let (first, second) = (count(a), count(b));
    let once = |entry: Option<&(usize, bool)>| entry.filter(|entry| entry.1).map(|entry| entry.0);
    (0..a.segs.len())
        .filter_map(|place| {
            let token = a.token(place);
            once(first.get(&token))?;
            Some((place, once(second.get(&token))?))
        })
        .collect()
}

/// The longest row of pairs whose second places grow too.
fn longest_row(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // The pair with which a row of each length ends, the one with the least second place; and the pair before each.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (number, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|&end| pairs[end].1 < pair.1);
        before.push(length.checked_sub(1).map(|length| ends[length]));
        if length == ends.len() {
            ends.push(number);
        } else {
            ends[length] = number;
        }
    }
    let mut row = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(number) = next {
        row.push(pairs[number]);
        next = before[number];
    }
    row.reverse();
    row
}

/// How well two segments go together; 0: not at all.
fn affinity(a: Row<'_>, b: Row<'_>, left: usize, right: usize) -> u32 {
    let (one, other) = (&a.segs[left], &b.segs[right]);
    if one.from != other.from {
        return 0;
    }
    if a.token(left) == b.token(right) {
        return 10;
    }
    let (role, other_role) = (a.roles[left], b.roles[right]);
    if role == Role::Reset || other_role == Role::Reset {
        return if role == other_role { 5 } else { 0 };
    }
    if one.is_pure_ack() && other.is_pure_ack() {
        return if one.ack_at == other.ack_at { 3 } else { 0 };
    }
    let again = (role == Role::Again) == (other_role == Role::Again);
    if again && one.at < other.end() && other.at < one.end() { if one.at == other.at { 5 } else { 4 } } else { 0 }
}

fn align_gap(a: Row<'_>, b: Row<'_>, left: &[usize], right: &[usize]) -> Vec<Pairing> {
    if left.len().saturating_add(1).saturating_mul(right.len() + 1) > MAX_CELLS {
        return walk(a, b, left, right);
    }
    // The best sum of what remains from each pair of places on.
    let (rows, columns) = (left.len() + 1, right.len() + 1);
    let mut best = vec![0_u32; rows * columns];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            let skip = best[(i + 1) * columns + j].max(best[i * columns + j + 1]);
            let pair = match affinity(a, b, left[i], right[j]) {
                0 => 0,
                score => score + best[(i + 1) * columns + j + 1],
            };
            best[i * columns + j] = skip.max(pair);
        }
    }
    let mut pairings = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        let here = best[i * columns + j];
        let score = affinity(a, b, left[i], right[j]);
        if score > 0 && here == score + best[(i + 1) * columns + j + 1] {
            pairings.push(Pairing { a: Some(left[i]), b: Some(right[j]), moved: false });
            (i, j) = (i + 1, j + 1);
        } else if here == best[(i + 1) * columns + j] {
            pairings.push(alone_a(left[i]));
            i += 1;
        } else {
            pairings.push(alone_b(right[j]));
            j += 1;
        }
    }
    pairings.extend(left[i..].iter().map(|&place| alone_a(place)));
    pairings.extend(right[j..].iter().map(|&place| alone_b(place)));
    pairings
}

/// Goes through a gap that is too large for the table.
fn walk(a: Row<'_>, b: Row<'_>, left: &[usize], right: &[usize]) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    let mut j = 0;
    for &place in left {
        let ahead = right[j..].iter().take(LOOK_AHEAD).position(|&other| affinity(a, b, place, other) > 0);
        match ahead {
            Some(skipped) => {
                pairings.extend(right[j..j + skipped].iter().map(|&other| alone_b(other)));
                pairings.push(Pairing { a: Some(place), b: Some(right[j + skipped]), moved: false });
                j += skipped + 1;
            }
            None => pairings.push(alone_a(place)),
        }
    }
    pairings.extend(right[j..].iter().map(|&other| alone_b(other)));
    pairings
}

const fn alone_a(place: usize) -> Pairing {
    Pairing { a: Some(place), b: None, moved: false }
}

const fn alone_b(place: usize) -> Pairing {
    Pairing { a: None, b: Some(place), moved: false }
}
