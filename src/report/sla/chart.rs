//! Plots as inline SVG. Every bar and point carries its figures as a title; the same figures stand in the tables.

use std::fmt::Write as _;

use super::figures::{DayFigures, SubjectFigures};
use super::{Objectives, Sla};
use crate::report::text;

const WIDTH: f64 = 940.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 26.0;
/// Of a row of the calendar.
const ROW: f64 = 32.0;
const NAMES: f64 = 150.0;
const SHARES: f64 = 160.0;
/// Less of the time observed is told beside the uptime.
const SEEN: f64 = 0.95;
/// Letters of a name before it is cut off.
const LETTERS: usize = 19;

/// A plot over the days of a month: x by day, y from 0 up.
struct Plot {
    out: String,
    days: usize,
    top: f64,
}

impl Plot {
    /// With its axes; `highest` is what must fit, `unit` stands behind each number of the axis.
    fn new(sla: &Sla, about: &str, highest: f64, unit: &str) -> Self {
        let (step, steps) = scale(highest);
        let mut out = open(HEIGHT, about);
        let days = sla.days.len();
        let plot = Self { out: String::new(), days, top: step * f64::from(steps) };
        for number in 0..=steps {
            let value = step * f64::from(number);
            let y = plot.y(value);
            put(
                &mut out,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>\n",
                    WIDTH - RIGHT,
                    LEFT - 8.0,
                    y + 4.0,
                    plain(value)
                ),
            );
        }
        for (at, day) in sla.days.iter().enumerate() {
            let x = plot.x(at) + plot.width() / 2.0;
            put(
                &mut out,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                    HEIGHT - 8.0,
                    day.number
                ),
            );
        }
        Self { out, ..plot }
    }

    fn width(&self) -> f64 {
        (WIDTH - LEFT - RIGHT) / self.days.max(1) as f64
    }

    fn x(&self, day: usize) -> f64 {
        LEFT + self.width() * day as f64
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / self.top).min(1.0)
    }

    /// One part of a day's bar, from `low` to `high`.
    fn bar(&mut self, day: usize, class: &str, low: f64, high: f64, title: &str) {
        if high <= low {
            return;
        }
        let (x, wide) = (self.x(day) + self.width() * 0.15, self.width() * 0.7);
        let (top, bottom) = (self.y(high), self.y(low));
        // What there is can be seen, however little it is.
        let tall = (bottom - top).max(1.5);
        put(
            &mut self.out,
            format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"><title>{}</title></rect>\n",
                bottom - tall,
                text::html(title)
            ),
        );
    }

    /// A line across, such as a limit.
    fn limit(&mut self, value: f64) {
        let y = self.y(value);
        put(
            &mut self.out,
            format_args!(
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n",
                WIDTH - RIGHT
            ),
        );
    }

    /// From 0 at the month's beginning through the ends of its days.
    fn line(&mut self, class: &str, values: &[f64]) {
        let mut path = format!("M{LEFT:.1} {:.1}", self.y(0.0));
        for (at, value) in values.iter().enumerate() {
            put(&mut path, format_args!(" L{:.1} {:.1}", self.x(at + 1), self.y(*value)));
        }
        put(&mut self.out, format_args!("<path class=\"line {class}\" d=\"{path}\"/>\n"));
    }

    fn finish(mut self) -> String {
        self.out.push_str("</svg></div>\n");
        self.out
    }
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what); // a String takes all
}

fn open(height: f64, about: &str) -> String {
    format!(
        "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        text::html(about)
    )
}

/// Steps of 1, 2 or 5 times a power of ten, about four of them, that reach `highest`.
fn scale(highest: f64) -> (f64, u32) {
    let wanted = (highest / 4.0).max(1e-6);
    let mut power = 1e-6;
    while power * 10.0 <= wanted {
        power *= 10.0;
    }
    let step =
        [1.0, 2.0, 5.0].into_iter().map(|of| of * power).find(|step| *step >= wanted).unwrap_or(power * 10.0);
    (step, ((highest / step - 1e-9).ceil() as u32).max(1))
}

/// A number of an axis, without the noise of binary fractions.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One row for each subject, one box for each day.
pub(super) fn calendar(sla: &Sla) -> String {
    let height = ROW * sla.subjects.len() as f64 + 22.0;
    let mut out = open(height, "Uptime by day, one row for each subject");
    let wide = (WIDTH - NAMES - SHARES) / sla.days.len().max(1) as f64;
    for (row, subject) in sla.subjects.iter().enumerate() {
        let y = ROW * row as f64;
        let middle = y + ROW / 2.0 + 4.5;
        put(
            &mut out,
            format_args!(
                "<text class=\"strong\" x=\"0\" y=\"{middle:.1}\">{}<title>{}</title></text>\n",
                text::html(&cut(&subject.name)),
                text::html(&subject.name)
            ),
        );
        for (at, day) in subject.days.iter().enumerate() {
            day_box(&mut out, sla, day, [NAMES + wide * at as f64 + 1.5, y + 4.0, wide - 3.0, ROW - 8.0]);
        }
        let month = &subject.month;
        let seen = if month.coverage < SEEN {
            format!(" ({:.0} % seen)", month.coverage * 100.0)
        } else {
            String::new()
        };
        put(
            &mut out,
            format_args!(
                "<text class=\"strong\" x=\"{WIDTH}\" y=\"{middle:.1}\" text-anchor=\"end\">{}{seen}</text>\n",
                text::share(month.good_seconds(), month.measured_seconds(), 3)
            ),
        );
    }
    for (at, day) in sla.days.iter().enumerate() {
        put(
            &mut out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                NAMES + wide * (at as f64 + 0.5),
                height - 5.0,
                day.number
            ),
        );
    }
    out.push_str("</svg></div>\n");
    out
}

/// A box filled from below as far as the day was observed.
fn day_box(out: &mut String, sla: &Sla, day: &DayFigures, [x, y, wide, tall]: [f64; 4]) {
    let title = text::html(&told(day));
    if day.figures.unknown_seconds > 0 {
        put(
            out,
            format_args!(
                "<rect class=\"f-none\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" rx=\"2\"><title>{title}</title></rect>\n"
            ),
        );
    }
    let Some((class, mark)) = shade(day, sla.objectives) else { return };
    // What was seen can be seen, however little it is.
    let filled = (tall * day.figures.coverage).max(3.0);
    put(
        out,
        format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{filled:.1}\" rx=\"2\"><title>{title}</title></rect>\n",
            y + tall - filled
        ),
    );
    if mark.is_empty() {
        return;
    }
    put(
        out,
        format_args!(
            "<text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark}</text>\n",
            x + wide / 2.0,
            y + tall / 2.0 + 4.5
        ),
    );
}

fn cut(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        name.to_owned()
    } else {
        name.chars().take(LETTERS - 1).chain(['…']).collect()
    }
}

/// Its colour, and its mark for whoever sees no colours; `None`: nothing of the day was seen.
fn shade(day: &DayFigures, objectives: Objectives) -> Option<(&'static str, &'static str)> {
    let Some(uptime) = day.figures.uptime_percentage else {
        return (day.figures.maintenance_seconds > 0).then_some(("f-plan", "m"));
    };
    // Ten times the allowed downtime is more than a blemish.
    let blemish = (1.0 - objectives.uptime) * 1_000.0;
    Some(match uptime {
        _ if uptime >= objectives.uptime * 100.0 => ("f-good", ""),
        _ if 100.0 - uptime <= blemish => ("f-warn", "–"),
        _ => ("f-bad", "×"),
    })
}

fn told(day: &DayFigures) -> String {
    let figures = &day.figures;
    let mut text = match figures.uptime_percentage {
        Some(_) => {
            format!("{}: {}", day.date, text::share(figures.good_seconds(), figures.measured_seconds(), 3))
        }
        None => format!("{}: not measured", day.date),
    };
    for (what, seconds) in [
        ("down", figures.down_seconds),
        ("degraded", figures.degraded_seconds),
        ("maintenance", figures.maintenance_seconds),
        ("not observed", figures.unknown_seconds),
    ] {
        if seconds > 0 {
            put(&mut text, format_args!(", {what} {}", text::seconds(seconds)));
        }
    }
    text
}

/// Minutes of each day in which the service was down, degraded or in maintenance.
pub(super) fn lost(sla: &Sla, subject: &SubjectFigures) -> String {
    let parts = |day: &DayFigures| {
        let figures = &day.figures;
        [figures.down_seconds, figures.degraded_seconds, figures.maintenance_seconds]
            .map(|seconds| seconds as f64 / 60.0)
    };
    let highest = subject.days.iter().map(|day| parts(day).iter().sum::<f64>()).fold(1.0, f64::max);
    let mut plot = Plot::new(sla, "Minutes down, degraded and in maintenance by day", highest, " min");
    for (at, day) in subject.days.iter().enumerate() {
        let mut low = 0.0;
        for (class, part) in ["f-bad", "f-warn", "f-plan"].into_iter().zip(parts(day)) {
            plot.bar(at, class, low, low + part, &told(day));
            low += part;
        }
    }
    plot.finish()
}

/// The share of each day's requests that failed, and the share that may.
pub(super) fn failures(sla: &Sla, subject: &SubjectFigures) -> String {
    let allowed = (1.0 - sla.objectives.requests) * 100.0;
    let share = |day: &DayFigures| day.figures.report.counts.bad_ratio().map_or(0.0, |bad| bad * 100.0);
    let highest = subject.days.iter().map(share).fold(allowed * 1.25, f64::max);
    let mut plot = Plot::new(sla, "Failed requests by day, percent", highest, " %");
    for (at, day) in subject.days.iter().enumerate() {
        let (failed, requests) = (day.figures.failed, day.figures.requests);
        let title = format!(
            "{}: {} of {} failed ({})",
            day.date,
            text::count(failed),
            text::count(requests),
            text::bad_share(failed, requests, 3)
        );
        plot.bar(at, "f-blue", 0.0, share(day), &title);
    }
    plot.limit(allowed);
    plot.finish()
}

/// How the budgets of time and of requests went, percent of the whole.
pub(super) fn burn(sla: &Sla, subject: &SubjectFigures) -> String {
    let running = |of: &dyn Fn(&DayFigures) -> u64, allowed: f64| -> Vec<f64> {
        let mut sum = 0_u64;
        let mut add = |day: &DayFigures| {
            sum += of(day);
            if allowed > 0.0 { sum as f64 / allowed * 100.0 } else { 0.0 }
        };
        subject.days.iter().map(&mut add).collect()
    };
    let time = running(&|day| day.figures.down_seconds, subject.time_budget.allowed);
    let requests = running(&|day| day.figures.failed, subject.request_budget.allowed);
    let highest = time.iter().chain(&requests).copied().fold(110.0, f64::max);
    let mut plot =
        Plot::new(sla, "Error budgets spent since the beginning of the month, percent", highest, " %");
    plot.limit(100.0);
    plot.line("l-blue", &requests);
    plot.line("l-bad", &time);
    plot.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_steps_that_reach_the_highest() {
        for (highest, wanted) in [
            (1.0, (0.5, 2)),
            (0.125, (0.05, 3)),
            (110.0, (50.0, 3)),
            (4.0, (1.0, 4)),
            (1_440.0, (500.0, 3)),
            (0.0, (1e-6, 1)),
        ] {
            let (step, steps) = scale(highest);
            assert!((step - wanted.0).abs() < 1e-9 && steps == wanted.1, "{highest}: {step} {steps}");
        }
        assert_eq!((plain(0.05 * 3.0), plain(500.0), plain(0.0)), ("0.15".into(), "500".into(), "0".into()));
    }

    #[test]
    fn a_long_name_is_cut_off_between_letters() {
        assert_eq!(cut("größenordnungsverhältnisse"), "größenordnungsverh…");
        assert_eq!(cut("stripe"), "stripe");
    }
}
