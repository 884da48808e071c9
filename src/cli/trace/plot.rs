//! `glasstcp trace plot`: time and sequence, and windows, of a captured connection, in the manner of tcptrace.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use plotters::chart::SeriesLabelPosition;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, Cross, PathElement};
use plotters::prelude::SVGBackend;
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, IntoFont, RGBColor, ShapeStyle, WHITE};

use super::course::{Course, Mark, course};
use super::{CaptureFile, choose, load, title};
use crate::cli::chart::{Area, Axis, Chart, WIDTH, key, label, legend, panel};
use crate::cli::{Failure, say};
use crate::trace::connection::Connection;
use crate::trace::segment::Side;

/// `glasstcp trace plot`.
#[derive(Debug, Args)]
pub(super) struct Plot {
    /// The capture
    #[arg(value_name = "FILE")]
    file: CaptureFile,
    /// The picture to write
    #[arg(short, long, value_name = "FILE.svg")]
    output: PathBuf,
    /// This connection [default: the one with the most segments]
    #[arg(long, value_name = "N")]
    connection: Option<usize>,
    /// What this end sends [default: each that sends a tenth of the text or more]
    #[arg(long, value_name = "client|server", value_parser = side)]
    sender: Option<Side>,
}

pub(super) const EXAMPLES: &str = "\
Upper panels, for each direction with text: each segment is a stroke from its first octet to its last, where it was sent; what was sent again is red, what the receiver reports to hold out of order (SACK) is green. The lower line is what has been acknowledged, the upper one how far the receiver's window reaches. The lowest panel shows the windows, and what is in flight: sent and not acknowledged.

Examples:
  glasstcp trace plot trace.pcapng -o trace.svg
  glasstcp trace plot trace.pcapng -o trace.svg --connection 3 --sender server

Exit codes: 0 done, 2 trouble.";

fn side(text: &str) -> Result<Side, String> {
    Side::BOTH.into_iter().find(|side| side.as_str() == text).ok_or_else(|| "client or server".to_owned())
}

/// Heights of the panels, in pixels.
const SEQUENCE: u32 = 560;
const SEQUENCE_OF_TWO: u32 = 400;
const WINDOWS: u32 = 330;
const HEAD: u32 = 44;
/// Of the windows' panel, so that the legend does not lie on the line.
const ROOM: f64 = 1.25;

const SENT: RGBColor = RGBColor(31, 99, 180);
const AGAIN: RGBColor = RGBColor(210, 20, 40);
const SACKED: RGBColor = RGBColor(60, 160, 60);
const ACKED: RGBColor = RGBColor(40, 120, 70);
const EDGE: RGBColor = RGBColor(222, 140, 20);
const FLIGHT: RGBColor = RGBColor(130, 80, 170);

/// Runs the command.
pub(super) fn run(args: &Plot) -> Result<ExitCode, Failure> {
    let trace = load(&args.file)?;
    let connection = choose(&trace, args.connection, &args.file)?;
    let svg = draw(connection, args.sender, &args.file)?;
    std::fs::write(&args.output, svg).map_err(|error| format!("{}: {error}", args.output.display()))?;
    let (others, output) = (trace.connections.len() - 1, args.output.display());
    if args.connection.is_none() && others > 0 {
        say(&format!(
            "glasstcp: {output} shows connection {}; there are {others} others (--connection)",
            connection.number
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The directions that are worth a panel.
fn senders(connection: &Connection, chosen: Option<Side>) -> Vec<Side> {
    if let Some(side) = chosen {
        return vec![side];
    }
    let all: u64 = Side::BOTH.into_iter().map(|side| connection.text(side)).sum();
    let mut senders: Vec<Side> =
        Side::BOTH.into_iter().filter(|&side| connection.text(side) > 0 && connection.text(side) >= all / 10).collect();
    if senders.is_empty() {
        senders.push(Side::Client);
    }
    senders
}

fn draw(connection: &Connection, chosen: Option<Side>, file: &Path) -> Result<String, Failure> {
    let courses: Vec<Course> =
        senders(connection, chosen).into_iter().map(|side| course(connection, side, u64::from(WIDTH))).collect();
    let each = if courses.len() > 1 { SEQUENCE_OF_TWO } else { SEQUENCE };
    let height = HEAD + (each + WINDOWS) * courses.len() as u32;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, mut rest) = root.split_vertically(HEAD);
        let name = file.file_name().map_or("standard input".into(), |name| name.to_string_lossy());
        let style = ("sans-serif", 20).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Center));
        let text = format!("{name}, connection {}: {}", connection.number, title(connection));
        head.draw_text(&text, &style, ((WIDTH / 2) as i32, (HEAD / 2) as i32))?;
        for course in &courses {
            let (panel, after) = rest.split_vertically(each);
            sequence(&panel, course)?;
            let (panel, after) = after.split_vertically(WINDOWS);
            windows(&panel, course)?;
            rest = after;
        }
        root.present()?;
    }
    Ok(svg)
}

/// A unit in which the largest number is not long.
fn unit(top: f64, small: (&'static str, f64), large: (&'static str, f64)) -> (&'static str, f64) {
    if top >= 2.0 * large.1 { large } else { small }
}

fn octets(top: f64) -> (&'static str, f64) {
    if top < 4_000.0 { ("octets", 1.0) } else { unit(top, ("kB", 1e3), ("MB", 1e6)) }
}

fn time(duration: f64) -> (&'static str, f64) {
    if duration < 2e-3 {
        ("µs", 1e6)
    } else if duration < 2.0 {
        ("ms", 1e3)
    } else {
        ("s", 1.0)
    }
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    course: &Course,
    (top, name): (f64, &str),
) -> Result<(Chart<'a, 'b>, f64), Failure> {
    let (unit, scale) = time(course.duration);
    let chart = panel(area, title, Axis(course.duration * scale * 1.01, unit), Axis(top, name))?;
    Ok((chart, scale))
}

/// A line that stays where it is until it steps.
fn steps(points: &[(f64, f64)], end: f64, (x, y): (f64, f64)) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::with_capacity(points.len() * 2 + 1);
    for &(at, value) in points {
        if let Some(&(_, before)) = line.last() {
            line.push((at * x, before));
        }
        line.push((at * x, value / y));
    }
    if let Some(&(_, last)) = line.last() {
        line.push((end * x, last));
    }
    line
}

/// Segments, what is acknowledged, and how far the window reaches.
fn sequence(area: &Area<'_>, course: &Course) -> Result<(), Failure> {
    let top = course.top;
    let (unit, y) = octets(top);
    let title = format!("What the {} sends", course.side);
    let (mut chart, x) = chart(area, &title, course, (top / y, &format!("sequence number, {unit}")))?;
    // The edge of a large window is far above everything: no more of it than fits.
    let within = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        steps(points, course.duration, (x, y)).into_iter().map(|(at, value)| (at, value.min(top * 1.05 / y))).collect()
    };
    let style = EDGE.stroke_width(2);
    let drawn = chart.draw_series(LineSeries::new(within(&course.edge), style))?;
    if !course.edge.is_empty() {
        drawn.label("edge of the window").legend(key(style));
    }
    let stroke = |mark: &Mark, style: ShapeStyle| {
        let at = mark.at * x;
        PathElement::new(vec![(at, mark.start / y), (at, mark.end / y)], style)
    };
    let style = SACKED.mix(0.7).stroke_width(2);
    let drawn = chart.draw_series(course.sacks.iter().map(|mark| stroke(mark, style)))?;
    if !course.sacks.is_empty() {
        drawn.label("reported by SACK").legend(key(style));
    }
    let style = SENT.stroke_width(3);
    let drawn = chart.draw_series(course.sent.iter().map(|mark| stroke(mark, style)))?;
    drawn.label("sent").legend(key(style));
    let style = ACKED.stroke_width(2);
    let drawn = chart.draw_series(LineSeries::new(within(&course.acks), style))?;
    if !course.acks.is_empty() {
        drawn.label("acknowledged").legend(key(style));
    }
    // A tick below the line, as high as a hundredth of the panel.
    let style = ACKED.mix(0.8).stroke_width(1);
    let height = top / y * 0.012;
    let tick = |&(at, value): &(f64, f64)| {
        PathElement::new(vec![(at * x, value / y), (at * x, (value / y - height).max(0.0))], style)
    };
    let drawn = chart.draw_series(course.duplicates.iter().map(tick))?;
    if !course.duplicates.is_empty() {
        drawn.label("duplicate ACK").legend(key(style));
    }
    let style = AGAIN.stroke_width(3);
    let drawn = chart.draw_series(course.again.iter().map(|mark| stroke(mark, style)))?;
    if !course.again.is_empty() {
        drawn.label("sent again").legend(key(style));
    }
    let middle = |mark: &Mark| (mark.at * x, (mark.start + mark.end) / 2.0 / y);
    chart.draw_series(course.again.iter().map(|mark| Circle::new(middle(mark), 3, AGAIN.filled())))?;
    let style = BLACK.stroke_width(2);
    let drawn =
        chart.draw_series(course.resets.iter().map(|&(at, value)| Cross::new((at * x, value / y), 6, style)))?;
    if !course.resets.is_empty() {
        drawn.label("RST").legend(key(style));
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// The window that the receiver offers, and what is in flight.
fn windows(area: &Area<'_>, course: &Course) -> Result<(), Failure> {
    let most = |points: &[(f64, f64)]| points.iter().map(|point| point.1).fold(0.0, f64::max);
    let (window, flight) = (most(&course.window), most(&course.flight));
    // A window far above what is ever in flight would make everything else small.
    let top = if window > flight * 12.0 && flight > 0.0 { flight * 3.0 } else { window.max(flight) };
    let (unit, y) = octets(top);
    let title = format!("In flight, and the window that the {} offers", course.side.other());
    let (mut chart, x) = chart(area, &title, course, (top / y * ROOM, unit))?;
    let within = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        steps(points, course.duration, (x, y)).into_iter().map(|(at, value)| (at, value.min(top * 1.05 / y))).collect()
    };
    let style = EDGE.stroke_width(2);
    let beyond = window > top * 1.05;
    let name =
        if beyond { format!("window (up to {} {unit})", label((window / y).round())) } else { "window".to_owned() };
    chart.draw_series(LineSeries::new(within(&course.window), style))?.label(name).legend(key(style));
    let style = FLIGHT.stroke_width(2);
    chart.draw_series(LineSeries::new(within(&course.flight), style))?.label("in flight").legend(key(style));
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}
