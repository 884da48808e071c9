//! The course of one direction of a connection: what is drawn of it. Marks that fall into one column of the picture are put
//! together, so that a picture is never larger than its pixels are worth.

use std::collections::BTreeMap;

use crate::trace::connection::Connection;
use crate::trace::segment::Side;
use crate::wire::tcp::Flags;

/// A stroke: octets from `start` to `end`, at a time in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) start: f64,
    pub(super) end: f64,
}

/// All that is drawn of one direction. Times are in seconds since the first segment, places in octets.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// Who sends.
    pub(super) side: Side,
    pub(super) duration: f64,
    /// The highest place that was sent or acknowledged.
    pub(super) top: f64,
    pub(super) sent: Vec<Mark>,
    pub(super) again: Vec<Mark>,
    pub(super) sacks: Vec<Mark>,
    pub(super) acks: Vec<(f64, f64)>,
    pub(super) duplicates: Vec<(f64, f64)>,
    pub(super) edge: Vec<(f64, f64)>,
    pub(super) window: Vec<(f64, f64)>,
    pub(super) flight: Vec<(f64, f64)>,
    pub(super) resets: Vec<(f64, f64)>,
}

/// What `side` sends, for a picture of so many columns.
pub(super) fn course(connection: &Connection, side: Side, columns: u64) -> Course {
    let start = connection.start_ns();
    let seconds = |time: u64| time.saturating_sub(start) as f64 / 1e9;
    let duration = connection.segs.iter().map(|seg| seconds(seg.time_ns)).fold(0.0, f64::max);
    let mut course = Course {
        side,
        duration,
        top: 1.0,
        sent: Vec::new(),
        again: Vec::new(),
        sacks: Vec::new(),
        acks: Vec::new(),
        duplicates: Vec::new(),
        edge: Vec::new(),
        window: Vec::new(),
        flight: Vec::new(),
        resets: Vec::new(),
    };
    let base = connection.base(side).unwrap_or(0);
    let (mut next, mut acked) = (0_i64, 0_i64);
    let mut last: Option<(i64, u16)> = None;
    for seg in &connection.segs {
        let at = seconds(seg.time_ns);
        if seg.has(Flags::RST) {
            course.resets.push((at, if seg.from == side { seg.at } else { acked }.max(0) as f64));
            continue;
        }
        if seg.from == side {
            if !seg.is_empty() && seg.at >= 0 {
                let old = seg.end().min(next);
                let mark = |from: i64, to: i64| Mark { at, start: from as f64, end: to as f64 };
                if seg.at < next {
                    course.again.push(mark(seg.at, old.max(seg.at + 1)));
                }
                if seg.end() > next {
                    course.sent.push(mark(seg.at.max(next), seg.end()));
                }
                next = next.max(seg.end());
                course.top = course.top.max(next as f64);
                course.flight.push((at, (next - acked).max(0) as f64));
            }
            continue;
        }
        if !seg.has(Flags::ACK) {
            continue;
        }
        let window = connection.window(seg) as f64;
        if seg.ack_at > acked {
            acked = seg.ack_at;
        } else if seg.is_empty() && last == Some((seg.ack_at, seg.window)) && next > acked {
            course.duplicates.push((at, seg.ack_at as f64));
        }
        last = Some((seg.ack_at, seg.window));
        course.acks.push((at, acked as f64));
        let edge = course.edge.last().map_or(0.0, |point| point.1);
        course.edge.push((at, edge.max(seg.ack_at as f64 + window)));
        course.window.push((at, window));
        course.flight.push((at, (next - acked).max(0) as f64));
        for (left, right) in seg.options.parsed().sack.iter() {
            // Relative to what is acknowledged, so that they do not wrap.
            let place = |seq: u32| {
                let known = base.wrapping_add(acked as u32);
                (acked + i64::from(seq.wrapping_sub(known) as i32)).max(0) as f64
            };
            if place(left) < place(right) && place(right) <= next as f64 {
                course.sacks.push(Mark { at, start: place(left), end: place(right) });
            }
        }
    }
    thin(&mut course, columns);
    course
}

/// Puts together what stands in one column.
fn thin(course: &mut Course, columns: u64) {
    let width = (course.duration / columns as f64).max(1e-12);
    let column = |at: f64| (at / width) as u64;
    for marks in [&mut course.sent, &mut course.again, &mut course.sacks] {
        let mut merged: Vec<Mark> = Vec::new();
        // By column: a mark joins the last one that it touches there.
        let mut latest: BTreeMap<u64, usize> = BTreeMap::new();
        for &mark in marks.iter() {
            let before = latest.get(&column(mark.at)).copied();
            match before.and_then(|place| merged.get_mut(place)) {
                Some(last) if mark.start <= last.end && mark.end >= last.start => {
                    (last.start, last.end) = (last.start.min(mark.start), last.end.max(mark.end));
                }
                _ => {
                    latest.insert(column(mark.at), merged.len());
                    merged.push(mark);
                }
            }
        }
        *marks = merged;
    }
    // Of a line, the highest and the lowest of each column.
    for points in [&mut course.acks, &mut course.edge, &mut course.window, &mut course.flight] {
        let mut kept: Vec<(f64, f64)> = Vec::new();
        let mut rest = &points[..];
        while let Some(first) = rest.first() {
            let len = rest.iter().take_while(|point| column(point.0) == column(first.0)).count();
            let (here, after) = rest.split_at(len);
            let low = here.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a });
            let high = here.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
            let mut chosen: Vec<(f64, f64)> = [low, high, here.last().copied()].into_iter().flatten().collect();
            chosen.sort_by(|a, b| a.0.total_cmp(&b.0));
            chosen.dedup();
            kept.extend(chosen);
            rest = after;
        }
        *points = kept;
    }
    for points in [&mut course.duplicates, &mut course.resets] {
        points.dedup_by(|next, before| column(next.0) == column(before.0) && next.1 == before.1);
    }
}
