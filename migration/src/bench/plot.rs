//! A benchmark as a picture: throughput and latency over the number of requests in flight.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::measure::Measured;

const SIZE: (u32, u32) = (1000, 480);

/// One curve: a request size, with a point per window.
struct Curve {
    size: u32,
    points: Vec<(f64, f64)>,
}

/// Draws both charts side by side.
pub(crate) fn draw(file: &Path, results: &[Measured]) -> Result<(), String> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let throughput = curves(results, |result| result.median().ops_per_s);
    let latency = curves(results, |result| result.median().p50_us as f64);
    chart(&left, "requests per second", &throughput).map_err(|error| error.to_string())?;
    chart(&right, "median latency, microseconds", &latency).map_err(|error| error.to_string())?;
    area.present().map_err(|error| format!("{}: {error}", file.display()))
}

fn curves(results: &[Measured], value: impl Fn(&Measured) -> f64) -> Vec<Curve> {
    let mut sizes: Vec<u32> = results.iter().map(|result| result.setting.size).collect();
    sizes.dedup();
    let curve = |size: u32| {
        let of_size = results.iter().filter(|result| result.setting.size == size);
        let point = |result: &Measured| (f64::from(result.setting.inflight), value(result).max(1.0));
        Curve { size, points: of_size.map(point).collect() }
    };
    sizes.into_iter().map(curve).collect()
}

type Error = Box<dyn std::error::Error>;

/// Both axes are logarithmic.
fn chart(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, curves: &[Curve]) -> Result<(), Error> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let x = range(points().map(|point| point.0));
    let y = range(points().map(|point| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart.configure_mesh().x_desc("requests in flight").light_line_style(WHITE).draw()?;
    for (place, curve) in curves.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(format!("{} bytes", curve.size))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// From a little below the lowest to a little above the highest value.
fn range(values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let low = values.clone().fold(f64::MAX, f64::min);
    let high = values.fold(1.0, f64::max);
    low.min(high) * 0.8..high * 1.3
}
