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
        let [bare, cipher, sa, engine, batch, boringtun] = COLUMNS;
        println!(
            "nanoseconds for one packet by the {bare} cipher, then the others' rates in percent of that"
        );
        println!(
            "{:36} {:10} octets      {bare:>8} {cipher:>12} {sa:>8} {engine:>8} {batch:>8} {boringtun:>9}",
            "suite", "library"
        );
    }

    pub(crate) fn print(&self) {
        let Self { suite, library, octets, verb, nanoseconds } = self;
        let rate = |way: usize| 100.0 * nanoseconds[0] / nanoseconds[way];
        println!(
            "{suite:36} {library:10} {octets:6} {verb} {:8.1} {:12.1} {:8.1} {:8.1} {:8.1} {:9.1}",
            nanoseconds[0],
            rate(1),
            rate(2),
            rate(3),
            rate(4),
            rate(5)
        );
    }

    /// In percent of the bare cipher's rate.
    fn rate(&self, way: usize) -> f64 {
        100.0 * self.nanoseconds[0] / self.nanoseconds[way]
    }
}

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const HEAD: i32 = 76;
/// Percent. What is above lies on the edge.
const TOP: f64 = 180.0;

fn color(way: usize) -> RGBAColor {
    Palette99::pick(way).to_rgba()
}

/// Draws the table into a file: a chart for each suite and library, a line for each way.
pub(crate) fn draw(file: &str, table: &[Vec<Row>]) -> Drawn {
    const ACROSS: usize = 3;
    let down = table.len().div_ceil(ACROSS);
    let root = SVGBackend::new(file, (1_560, HEAD as u32 + 300 * down as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, charts) = root.split_vertically(HEAD);
    legend(&head)?;
    for (area, rows) in charts.split_evenly((down, ACROSS)).iter().zip(table) {
        chart(area, rows)?;
    }
    root.present()?;
    Ok(())
}

fn legend(area: &Area<'_>) -> Drawn {
    let title = "ESP packet by packet, in percent of the bare cipher's rate; dashed: opened";
    area.draw(&Text::new(title, (20, 10), ("sans-serif", 24)))?;
    let note = "by octets of the inner packet, with the bare cipher's nanoseconds for one";
    area.draw(&Text::new(note, (900, 14), ("sans-serif", 17)))?;
    for (at, name) in (0i32..).zip(COLUMNS) {
        let (x, y) = (20 + 190 * at, 54);
        area.draw(&PathElement::new([(x, y), (x + 36, y)], color(at as usize).stroke_width(4)))?;
        area.draw(&Text::new(name, (x + 44, y - 9), ("sans-serif", 19)))?;
    }
    Ok(())
}

fn chart(area: &Area<'_>, rows: &[Row]) -> Drawn {
    let Some(first) = rows.first() else { return Ok(()) };
    let of = |verb: &str| rows.iter().filter(|row| row.verb == verb).collect::<Vec<_>>();
    let (sealed, opened) = (of("seal"), of("open"));
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{} ({})", first.suite, first.library), ("sans-serif", 18))
        .margin(6)
        .margin_right(44)
        .x_label_area_size(26)
        .y_label_area_size(46)
        .build_cartesian_2d(0..sealed.len() as i32 - 1, 0.0..TOP)?;
    let size = |at: &i32| {
        let row = usize::try_from(*at).ok().and_then(|at| sealed.get(at));
        row.map_or_else(String::new, |row| format!("{}: {:.0} ns", row.octets, row.nanoseconds[0]))
    };
    chart
        .configure_mesh()
        .x_labels(sealed.len())
        .y_labels(9)
        .x_label_formatter(&size)
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .label_style(("sans-serif", 14))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for way in 0..COLUMNS.len() {
        let points = |rows: &[&Row]| {
            let rates: Vec<_> = rows.iter().map(|row| row.rate(way).min(TOP)).collect();
            (0i32..).zip(rates).filter(|(_, rate)| rate.is_finite())
        };
        let style = color(way).stroke_width(2);
        chart.draw_series(LineSeries::new(points(&sealed), style))?;
        chart.draw_series(DashedLineSeries::new(points(&opened), 5, 4, style))?;
    }
    Ok(())
}
