//! The table as rows of text, and as a picture.

use crate::ways::COLUMNS;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

/// One suite of one library at one size, one way.
pub(crate) struct Row {
    pub(crate) suite: String,
    pub(crate) library: &'static str,
    /// Of the inner packet.
    pub(crate) octets: usize,
    pub(crate) verb: &'static str,
    /// For a packet, one for each of [`COLUMNS`].
    pub(crate) nanoseconds: Vec<f64>,
}

impl Row {
    pub(crate) fn print_head() {
        let [bare, cipher, sa, engine, boringtun] = COLUMNS;
        println!(
            "nanoseconds for one packet by the {bare} cipher, then the others' rates in percent of that"
        );
        println!(
            "{:36} {:10} octets      {bare:>8} {cipher:>12} {sa:>8} {engine:>8} {boringtun:>9}",
            "suite", "library"
        );
    }

    pub(crate) fn print(&self) {
        let Self { suite, library, octets, verb, nanoseconds } = self;
        let rate = |way: usize| 100.0 * nanoseconds[0] / nanoseconds[way];
        println!(
            "{suite:36} {library:10} {octets:6} {verb} {:8.1} {:12.1} {:8.1} {:8.1} {:9.1}",
            nanoseconds[0],
            rate(1),
            rate(2),
            rate(3),
            rate(4)
        );
    }

    /// Gigabits of inner packets in a second.
    fn rate(&self, way: usize) -> f64 {
        8.0 * self.octets as f64 / self.nanoseconds[way]
    }
}

type Drawn = Result<(), Box<dyn Error>>;

/// Draws the table into a file: a chart for each suite and library, a line for each way, sealed and opened alike.
pub(crate) fn draw(file: &str, table: &[Vec<Row>]) -> Drawn {
    const ACROSS: usize = 3;
    let down = table.len().div_ceil(ACROSS);
    let root = SVGBackend::new(file, (1_500, 60 + 330 * down as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let root =
        root.titled("ESP: Gbit/s of inner packets by their octets; thin: opened", ("sans-serif", 22))?;
    for (area, rows) in root.split_evenly((down, ACROSS)).iter().zip(table) {
        chart(area, rows)?;
    }
    root.present()?;
    Ok(())
}

fn chart(area: &DrawingArea<SVGBackend<'_>, Shift>, rows: &[Row]) -> Drawn {
    let Some(first) = rows.first() else { return Ok(()) };
    let sizes = rows.iter().map(|row| row.octets as f64);
    let (least, most) = (sizes.clone().fold(f64::MAX, f64::min), sizes.fold(0.0, f64::max));
    let ways = 0..COLUMNS.len();
    let top = rows.iter().flat_map(|row| ways.clone().map(|way| row.rate(way))).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{} ({})", first.suite, first.library), ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(36)
        .build_cartesian_2d((least..most).log_scale(), 0.0..1.05 * top)?;
    chart.configure_mesh().x_labels(6).y_labels(6).light_line_style(TRANSPARENT).draw()?;
    for way in ways {
        let color = Palette99::pick(way).to_rgba();
        for (verb, width) in [("seal", 2), ("open", 1)] {
            let points = rows.iter().filter(|row| row.verb == verb);
            let points = points.map(|row| (row.octets as f64, row.rate(way)));
            let line = chart.draw_series(LineSeries::new(points, color.stroke_width(width)))?;
            if verb == "seal" {
                line.label(COLUMNS[way])
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
            }
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}
