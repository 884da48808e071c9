//! Draws the course of an experiment as SVG: sequence numbers over time, windows over time, and the queue of the bottleneck.
//! All positions come from whole numbers and the four basic operations, so the same run is the same picture everywhere.

use std::time::Duration;

use plotters::chart::SeriesLabelPosition;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, PathElement};
use plotters::prelude::SVGBackend;
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::{BLACK, Color, RGBColor, ShapeStyle, WHITE};

use super::report::bits;
use crate::cli::Failure;
use crate::cli::chart::{Area, Axis, WIDTH, key, legend, panel};
use crate::sim::series::{FlowSeries, Mark, MarkKind, Sample, Series};
use crate::sim::{Outcome, Plan};

/// Heights of the panels, in pixels.
const SEQUENCE: u32 = 560;
const WINDOWS: u32 = 370;
const PACING: u32 = 260;
const QUEUE: u32 = 310;
/// Flows that are drawn at most, one colour each.
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 99, 180),
    RGBColor(222, 120, 20),
    RGBColor(30, 140, 80),
    RGBColor(130, 80, 170),
    RGBColor(0, 150, 170),
    RGBColor(140, 100, 60),
];
const RETRANSMISSION: RGBColor = RGBColor(210, 20, 40);
/// Columns into which marks are put together: more than there are pixels show nothing more.
const COLUMNS: u64 = 1_000;

/// The picture.
pub(super) fn draw(plan: &Plan, outcome: &Outcome, series: &Series) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let paced = if is_paced(series) { PACING } else { 0 };
        let height = SEQUENCE + WINDOWS + paced + QUEUE;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (first, rest) = root.split_vertically(SEQUENCE);
        let (second, rest) = rest.split_vertically(WINDOWS);
        let (third, last) = rest.split_vertically(paced);
        sequence(&first, outcome, series)?;
        windows(&second, outcome, series)?;
        if paced > 0 {
            pacing(&third, outcome, series)?;
        }
        queue(&last, plan, outcome, series)?;
        root.present()?;
    }
    Ok(svg)
}

fn seconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e9
}

fn time(series: &Series) -> Axis<'static> {
    Axis(seconds(series.duration), "s")
}

/// The flows that are drawn, with their numbers and colours.
fn drawn(series: &Series) -> impl Iterator<Item = (usize, &FlowSeries, RGBColor)> {
    series.flows.iter().zip(COLOURS).enumerate().map(|(number, (flow, colour))| (number, flow, colour))
}

fn name(outcome: &Outcome, number: usize) -> String {
    format!("flow {number}, {}", outcome.flows[number].congestion)
}

/// Segments, acknowledgments, SACK and retransmissions.
fn sequence(area: &Area<'_>, outcome: &Outcome, series: &Series) -> Result<(), Failure> {
    let top = drawn(series).flat_map(|(_, flow, _)| flow.marks.iter().map(|mark| mark.end)).max().unwrap_or(0);
    let (unit, scale) =
        if top >= 2_000_000 { ("position in the stream, MB", 1e6) } else { ("position in the stream, kB", 1e3) };
    let missing = series.flows.len().saturating_sub(COLOURS.len());
    let mut title = "Segments sent, acknowledged, and sent again".to_owned();
    if missing > 0 {
        title += &format!(" ({missing} more flows are not drawn)");
    }
    let mut chart = panel(area, &title, time(series), Axis(top as f64 / scale, unit))?;
    let height = top as f64 / scale / 250.0;
    let vertical = |mark: &Mark, style: ShapeStyle| {
        let at = seconds(mark.at);
        // What is hardly a pixel high is still seen.
        let (start, end) =
            (mark.start as f64 / scale, (mark.end as f64 / scale).max(mark.start as f64 / scale + height));
        PathElement::new(vec![(at, start), (at, end)], style)
    };
    for (number, flow, colour) in drawn(series) {
        let sent = merged(flow, MarkKind::Sent, series.duration);
        let style = colour.mix(0.55).stroke_width(2);
        let drawn = chart.draw_series(sent.iter().map(|mark| vertical(mark, style)))?;
        drawn.label(format!("{}: sent", name(outcome, number))).legend(key(style));
        let acks = flow.marks.iter().filter(|mark| mark.kind == MarkKind::Ack);
        let steps = steps(acks.map(|mark| (seconds(mark.at), mark.end as f64 / scale)), series.duration);
        let style = colour.stroke_width(1);
        chart.draw_series(LineSeries::new(steps, style))?.label("acknowledged").legend(key(style));
        let sacks = merged(flow, MarkKind::Sack, series.duration);
        let style = RGBColor(120, 200, 60).mix(0.8).stroke_width(1);
        let drawn = chart.draw_series(sacks.iter().map(|mark| vertical(mark, style)))?;
        if !sacks.is_empty() {
            drawn.label("SACK").legend(key(style));
        }
    }
    // On top of everything else.
    let mut first = true;
    for (_, flow, _) in drawn(series) {
        let again = merged(flow, MarkKind::Again, series.duration);
        if again.is_empty() {
            continue;
        }
        let style = RETRANSMISSION.stroke_width(3);
        let lines = chart.draw_series(again.iter().map(|mark| vertical(mark, style)))?;
        if std::mem::take(&mut first) {
            lines.label("sent again").legend(key(style));
        }
        let middle = |mark: &Mark| (seconds(mark.at), (mark.start + mark.end) as f64 / 2.0 / scale);
        chart.draw_series(again.iter().map(|mark| Circle::new(middle(mark), 3, RETRANSMISSION.filled())))?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// Marks of one kind, with those put together that touch and stand in the same column.
fn merged(flow: &FlowSeries, kind: MarkKind, duration: Duration) -> Vec<Mark> {
    let column = |mark: &Mark| mark.at.as_nanos() * u128::from(COLUMNS) / duration.as_nanos().max(1);
    let mut merged: Vec<Mark> = Vec::new();
    for &mark in flow.marks.iter().filter(|mark| mark.kind == kind) {
        match merged.last_mut() {
            Some(last) if column(last) == column(&mark) && mark.start <= last.end && mark.end >= last.start => {
                (last.start, last.end) = (last.start.min(mark.start), last.end.max(mark.end));
            }
            _ => merged.push(mark),
        }
    }
    merged
}

/// A line that stays where it is until it steps, at most two points for each column.
fn steps(points: impl Iterator<Item = (f64, f64)>, duration: Duration) -> Vec<(f64, f64)> {
    let column = |x: f64| (x / seconds(duration).max(1e-9) * COLUMNS as f64) as u64;
    let mut line: Vec<(f64, f64)> = Vec::new();
    for (x, y) in points {
        match line.last_mut() {
            Some(last) if column(last.0) == column(x) => last.1 = y,
            Some(&mut (_, before)) => line.extend([(x, before), (x, y)]),
            None => line.push((x, y)),
        }
    }
    line
}

/// cwnd, ssthresh and what is in flight.
fn windows(area: &Area<'_>, outcome: &Outcome, series: &Series) -> Result<(), Failure> {
    let samples = || drawn(series).flat_map(|(_, flow, _)| &flow.samples);
    let top = samples().map(|sample| sample.cwnd.max(sample.in_flight)).max().unwrap_or(0);
    let mut chart = panel(area, "Windows of the senders", time(series), Axis(f64::from(top) / 1e3, "kB"))?;
    for (number, flow, colour) in drawn(series) {
        let line = |value: fn(&Sample) -> u32| {
            flow.samples.iter().map(move |sample| (seconds(sample.at), f64::from(value(sample)) / 1e3))
        };
        let style = colour.mix(0.35).stroke_width(1);
        chart.draw_series(LineSeries::new(line(|s| s.in_flight), style))?.label("in flight").legend(key(style));
        let style = colour.stroke_width(2);
        let name = format!("{}: cwnd", name(outcome, number));
        chart.draw_series(LineSeries::new(line(|s| s.cwnd), style))?.label(name).legend(key(style));
        // Before the first loss there is none; beyond the panel it would be drawn outside.
        let known = flow.samples.iter().filter(|sample| sample.ssthresh <= top);
        let points: Vec<_> = known.map(|sample| (seconds(sample.at), f64::from(sample.ssthresh) / 1e3)).collect();
        if !points.is_empty() {
            let style = colour.stroke_width(1);
            let dashes = DashedLineSeries::new(points, 5, 4, style);
            chart.draw_series(dashes)?.label("ssthresh (dashed)").legend(key(style));
        }
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// Whether anybody paces.
fn is_paced(series: &Series) -> bool {
    drawn(series).any(|(_, flow, _)| flow.samples.iter().any(|sample| sample.pacing_rate.is_some()))
}

/// What those who pace pace to.
fn pacing(area: &Area<'_>, outcome: &Outcome, series: &Series) -> Result<(), Failure> {
    let rates = |flow: &FlowSeries| -> Vec<(f64, f64)> {
        let rate = |sample: &Sample| Some((seconds(sample.at), sample.pacing_rate? as f64 * 8.0 / 1e6));
        flow.samples.iter().filter_map(rate).collect()
    };
    // The first rate of a flow is a guess, far above everything that follows; it is not worth the scale.
    let line = outcome.line.rate.map_or(f64::INFINITY, |rate| rate as f64 / 1e6 * 3.0);
    let top = drawn(series).flat_map(|(_, flow, _)| rates(flow)).map(|(_, rate)| rate.min(line)).fold(0.0, f64::max);
    let mut chart = panel(area, "Pacing rates", time(series), Axis(top, "Mb/s"))?;
    for (number, flow, colour) in drawn(series) {
        let points: Vec<_> = rates(flow).into_iter().filter(|&(_, rate)| rate <= top).collect();
        if !points.is_empty() {
            let style = colour.stroke_width(2);
            chart.draw_series(LineSeries::new(points, style))?.label(name(outcome, number)).legend(key(style));
        }
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// The queue of the bottleneck, its limit, and when packets were lost.
fn queue(area: &Area<'_>, plan: &Plan, outcome: &Outcome, series: &Series) -> Result<(), Failure> {
    let direction = plan.bottleneck;
    let impairment = plan.topology.links[direction.link].impairments[usize::from(direction.back)];
    let limit = impairment
        .queue_bytes
        .or(impairment.queue_packets.map(|packets| packets.saturating_mul(plan.mtu)))
        .map(|bytes| bytes as f64 / 1e3);
    let most = series.line.iter().map(|sample| sample.bytes).max().unwrap_or(0) as f64 / 1e3;
    // A limit far above what was ever used would make everything else small.
    let limit = limit.filter(|&limit| limit <= most * 3.0);
    let mut title = "Queue of the bottleneck".to_owned();
    if let Some(rate) = outcome.line.rate {
        title += &format!(", {}", bits(rate));
    }
    let top = limit.unwrap_or(0.0).max(most) * 1.08;
    let mut chart = panel(area, &title, time(series), Axis(top, "kB"))?;
    let points = series.line.iter().map(|sample| (seconds(sample.at), sample.bytes as f64 / 1e3));
    let style = BLACK.mix(0.75).stroke_width(1);
    chart.draw_series(LineSeries::new(points, style))?.label("waiting, with the packet on the line").legend(key(style));
    if let Some(limit) = limit {
        let style = BLACK.mix(0.5).stroke_width(1);
        let line = DashedLineSeries::new([(0.0, limit), (seconds(series.duration), limit)], 6, 5, style);
        chart.draw_series(line)?.label("limit (dashed)").legend(key(style));
    }
    let mut first = true;
    for (_, flow, _) in drawn(series) {
        let mut lost: Vec<f64> =
            flow.marks.iter().filter(|mark| mark.kind == MarkKind::Lost).map(|mark| seconds(mark.at)).collect();
        let width = seconds(series.duration) / COLUMNS as f64;
        lost.dedup_by(|next, before| *next - *before < width);
        let style = RETRANSMISSION.stroke_width(2);
        let tick = |at: f64| PathElement::new(vec![(at, top * 0.98), (at, top * 1.04)], style);
        let drawn = chart.draw_series(lost.iter().map(|&at| tick(at)))?;
        if !lost.is_empty() && std::mem::take(&mut first) {
            drawn.label("a packet is lost or dropped").legend(key(style));
        }
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}
