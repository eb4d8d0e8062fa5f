//! The results as a picture: grouped bars, relative to the fastest subject of each group.

use std::fmt::Write;

use crate::measure::{Measured, Results};
use crate::statistics::Spread;
use crate::subject::Subject;

const WIDTH: f64 = 920.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 74.0;
const PLOT: f64 = 260.0;
const BOTTOM: f64 = 62.0;
/// The part of a group's width that its bars take.
const FILLED: f64 = 0.86;
/// Room above the highest bar, for its number.
const HEADROOM: f64 = 1.15;

/// Colours that stand out from white as well as from black.
fn colour(subject: Subject) -> &'static str {
    match subject {
        Subject::Kernel => "#8c959f",
        Subject::Nftables => "#a475d1",
        Subject::Relay => "#3f8fd2",
        Subject::Evergate => "#e0812c",
    }
}

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#57606a}
.title{font-size:16px;font-weight:600}.small{font-size:12px}.number{font-size:10.5px}
.grid{stroke:#8c959f;stroke-opacity:.3}.range{stroke:#57606a;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#b1bac4}.range{stroke:#d0d7de}}";

/// Draws the picture.
pub(crate) fn draw(results: &Results) -> String {
    let height = TOP + PLOT + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Throughput of forwarders\">\n<style>{STYLE}</style>\n"
    );
    text(
        &mut svg,
        (LEFT, 22.0),
        "title",
        "start",
        "Throughput from client to server; numbers are medians",
    );
    let caption = format!(
        "{} — median of {} rounds of {} s, lines from minimum to maximum",
        results.machine.line(),
        results.rounds,
        results.time.as_secs()
    );
    text(&mut svg, (LEFT, height - 8.0), "small", "start", &caption);
    legend(&mut svg, results);
    axis(&mut svg);
    let room = (WIDTH - LEFT - RIGHT) / results.workloads.len().max(1) as f64;
    for (place, measured) in results.workloads.iter().enumerate() {
        group(&mut svg, results, measured, LEFT + room * place as f64, room);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, results: &Results) {
    let mut x = LEFT;
    for subject in &results.subjects {
        rectangle(svg, (x, 36.0), (12.0, 12.0), colour(*subject));
        text(svg, (x + 18.0, 46.5), "small", "start", subject.title());
        x += 44.0 + 7.0 * subject.title().len() as f64;
    }
}

/// The height at which a part of the group's best is drawn.
fn y_of(part: f64) -> f64 {
    TOP + PLOT * (1.0 - part / HEADROOM)
}

fn axis(svg: &mut String) {
    for percent in [0, 20, 40, 60, 80, 100] {
        let y = y_of(f64::from(percent) / 100.0);
        line(svg, (LEFT, y), (WIDTH - RIGHT, y), "grid");
        text(svg, (LEFT - 8.0, y + 4.0), "small", "end", &format!("{percent} %"));
    }
    let (x, y) = (14.0, TOP + PLOT / 2.0);
    let _ = writeln!(
        svg,
        "<text class=\"small\" text-anchor=\"middle\" transform=\"translate({x} {y}) \
         rotate(-90)\">relative to the fastest</text>"
    );
}

fn group(svg: &mut String, results: &Results, measured: &Measured, x: f64, room: f64) {
    let (unit, of_it, decimals) = measured.workload.unit();
    let spreads: Vec<(Subject, Spread)> = results
        .subjects
        .iter()
        .filter_map(|subject| Some((*subject, measured.spread(*subject)?)))
        .collect();
    let best = spreads.iter().map(|(_, spread)| spread.median).fold(f64::MIN_POSITIVE, f64::max);
    let width = room * FILLED / spreads.len().max(1) as f64;
    let first = x + room * (1.0 - FILLED) / 2.0;
    for (place, (subject, spread)) in spreads.iter().enumerate() {
        let left = first + width * place as f64;
        let top = y_of(spread.median / best);
        rectangle(svg, (left + 1.0, top), (width - 2.0, y_of(0.0) - top), colour(*subject));
        let middle = left + width / 2.0;
        let within = |value: f64| y_of((value / best).min(HEADROOM));
        line(svg, (middle, within(spread.min)), (middle, within(spread.max)), "range");
        let number = format!("{:.decimals$}", spread.median / of_it);
        let above = within(spread.max).min(top) - 4.0;
        text(svg, (middle, above), "number", "middle", &number);
    }
    let middle = x + room / 2.0;
    let below = TOP + PLOT;
    text(svg, (middle, below + 18.0), "small", "middle", measured.workload.title());
    text(svg, (middle, below + 33.0), "small", "middle", unit);
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{colour}\"/>"
    );
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
    );
}
