//! What the pictures of `sim --plot` and `trace plot` have in common: panels of numbers over time, in SVG.

use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingArea;
use plotters::element::PathElement;
use plotters::prelude::{Cartesian2d, SVGBackend};
use plotters::style::{BLACK, Color, ShapeStyle, WHITE};

use super::Failure;

/// Pixels.
pub const WIDTH: u32 = 1_200;

/// A part of the picture.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A panel, to draw in.
pub type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// An axis from 0: the largest number on it, and what it counts.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a>(pub f64, pub &'a str);

/// A panel with its title and axes.
///
/// # Errors
/// What the back end of the picture says.
pub fn panel<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    time: Axis<'_>,
    value: Axis<'_>,
) -> Result<Chart<'a, 'b>, Failure> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin_left(8)
        .margin_right(24)
        .margin_top(8)
        .x_label_area_size(42)
        .y_label_area_size(78)
        .build_cartesian_2d(0.0..time.0.max(1e-9), 0.0..(value.0 * 1.05).max(1e-9))?;
    chart
        .configure_mesh()
        .x_desc(format!("time, {}", time.1))
        .y_desc(value.1)
        .x_labels(11)
        .y_labels(8)
        .x_label_formatter(&|x| label(*x))
        .y_label_formatter(&|y| label(*y))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(BLACK.mix(0.03))
        .axis_desc_style(("sans-serif", 15))
        .label_style(("sans-serif", 13))
        .draw()?;
    Ok(chart)
}

/// A number on an axis: no more digits than it needs.
pub fn label(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The names of what was drawn.
///
/// # Errors
/// What the back end of the picture says.
pub fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, position: SeriesLabelPosition) -> Result<(), Failure> {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}

/// The line beside a name in the legend.
pub fn key(style: ShapeStyle) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style)
}
