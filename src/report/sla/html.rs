//! The report for people: one page, well-formed as XML too, without scripts and without anything from elsewhere.

use super::advice::AdviceUrgency;
use super::figures::{BudgetFigures, SubjectFigures};
use super::style::STYLE;
use super::{Sla, chart, tables};
use crate::report::calendar::CalendarDay;
use crate::report::text;

/// How a promise was kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PromiseState {
    Met,
    Missed,
    /// The time that nobody saw decides, and nobody knows.
    Open,
    Unknown,
}

impl PromiseState {
    fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Open => "met as far as observed",
            Self::Unknown => "not observed",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Met => "good",
            Self::Missed => "bad",
            Self::Open => "warn",
            Self::Unknown => "soft",
        }
    }
}

fn time_kept(sla: &Sla, subject: &SubjectFigures) -> PromiseState {
    let target = sla.objectives.uptime * 100.0;
    let month = &subject.month;
    match (month.uptime_percentage, month.lowest_percentage) {
        (None, _) | (_, None) => PromiseState::Unknown,
        (Some(_), Some(lowest)) if lowest >= target => PromiseState::Met,
        (Some(uptime), Some(_)) if uptime < target => PromiseState::Missed,
        (Some(_), Some(_)) => PromiseState::Open,
    }
}

fn requests_kept(sla: &Sla, subject: &SubjectFigures) -> PromiseState {
    match subject.month.success_percentage {
        None => PromiseState::Unknown,
        Some(good) if good >= sla.objectives.requests * 100.0 => PromiseState::Met,
        Some(_) => PromiseState::Missed,
    }
}

/// A promise as a percentage: 99.99 %.
fn promise(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The report as one page without scripts.
pub(super) fn write(sla: &Sla) -> String {
    let name = sla.subjects.first().map(|subject| subject.name.as_str()).unwrap_or_default();
    let title = format!("Service level report: {name}, {}", sla.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        text::html(&title)
    );
    head(&mut out, sla, name);
    if let Some(whole) = sla.subjects.first() {
        verdict(&mut out, sla, whole);
        cards(&mut out, sla, whole);
        advice(&mut out, sla);
        uptime(&mut out, sla, whole);
        requests(&mut out, sla, whole);
    }
    incidents(&mut out, sla);
    rest(&mut out, sla);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn head(out: &mut String, sla: &Sla, name: &str) {
    let about = if name == super::SERVICE {
        "Service level report".to_owned()
    } else {
        format!("Service level report: {name}")
    };
    let day = |day: Option<&CalendarDay>| day.map(|day| text::html(&day.date)).unwrap_or_default();
    let end = match &sla.until {
        Some(until) => format!("The month is not over: this report goes up to {until}."),
        None => "The whole month.".to_owned(),
    };
    let hours =
        sla.service_hours.as_ref().map_or_else(String::new, |hours| format!(" Service hours: {hours}."));
    out.push_str(&format!(
        "<header>\n<h1>{}</h1>\n<p><strong>{}</strong> <span class=\"soft\">· {} to {} · {}</span></p>\n\
         <p class=\"soft small\">{} {} hours by the calendar of {}.{}</p>\n</header>\n",
        text::html(&about),
        text::html(&sla.title),
        day(sla.days.first()),
        day(sla.days.last()),
        text::html(&sla.time_zone),
        text::html(&end),
        sla.seconds / 3_600,
        text::html(&sla.time_zone),
        text::html(&hours)
    ));
}

fn verdict(out: &mut String, sla: &Sla, whole: &SubjectFigures) {
    let (time, requests) = (time_kept(sla, whole), requests_kept(sla, whole));
    let class = match (time, requests) {
        (PromiseState::Missed, _) | (_, PromiseState::Missed) => "bad",
        (PromiseState::Met, PromiseState::Met) => "good",
        (PromiseState::Open | PromiseState::Unknown, _) | (_, PromiseState::Open | PromiseState::Unknown) => {
            "warn"
        }
    };
    out.push_str(&format!(
        "<p class=\"verdict {class}\">The uptime target of {} was <strong>{}</strong>. The request objective of {} was \
         <strong>{}</strong>. {}.</p>\n",
        promise(sla.objectives.uptime),
        time.word(),
        promise(sla.objectives.requests),
        requests.word(),
        told(sla)
    ));
}

fn told(sla: &Sla) -> String {
    let found = &sla.incidents;
    match found.confirmed {
        0 => "No incident was confirmed".to_owned(),
        number => {
            let by: Vec<String> = found
                .by_severity
                .iter()
                .filter(|(_, number)| *number > 0)
                .map(|(severity, number)| format!("{number} {severity}"))
                .collect();
            format!("{}: {}", text::many(number as u64, "incident", "incidents"), by.join(", "))
        }
    }
}

fn card(out: &mut String, name: &str, figure: &str, class: &str, notes: &[String]) {
    out.push_str(&format!(
        "<div class=\"card\"><div class=\"name\">{}</div><div class=\"figure {class}\">{}</div>",
        text::html(name),
        text::html(figure)
    ));
    for note in notes {
        out.push_str(&format!("<div class=\"note\">{}</div>", text::html(note)));
    }
    out.push_str("</div>\n");
}

fn cards(out: &mut String, sla: &Sla, whole: &SubjectFigures) {
    let month = &whole.month;
    let (good, measured, unknown) = (month.good_seconds(), month.measured_seconds(), month.unknown_seconds);
    out.push_str("<div class=\"cards\">\n");
    let kept = time_kept(sla, whole);
    let bounds = format!(
        "at least {}, at most {}",
        text::share(good, measured + unknown, 3),
        text::share(good + unknown, measured + unknown, 3)
    );
    let target =
        |promised: f64, kept: PromiseState| format!("{} promised: {}", promise(promised), kept.word());
    let notes = [target(sla.objectives.uptime, kept), bounds];
    card(out, "Uptime", &text::share(good, measured, 3), kept.class(), &notes);
    let kept = requests_kept(sla, whole);
    let failed = format!("{} of {} failed", text::count(month.failed), text::count(month.requests));
    let notes = [target(sla.objectives.requests, kept), failed];
    card(
        out,
        "Good requests",
        &text::share(month.requests - month.failed, month.requests, 3),
        kept.class(),
        &notes,
    );
    let allowed = text::seconds(whole.time_budget.allowed as u64);
    let note = format!("{} down, {allowed} allowed", text::seconds(whole.time_budget.spent));
    budget(out, "Budget of time spent", &whole.time_budget, note);
    let allowed = text::count(whole.request_budget.allowed as u64);
    let note = format!("{} failed, {allowed} allowed", text::count(whole.request_budget.spent));
    budget(out, "Budget of requests spent", &whole.request_budget, note);
    let found = &sla.incidents;
    let late = format!("{} late to respond, {} not over", found.response_breached, found.unresolved);
    card(out, "Incidents", &found.confirmed.to_string(), "", &[late]);
    let recover = &sla.clocks.recover;
    let span = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), tables::span);
    let note =
        format!("p90 {}, mean {}, n = {}", span(recover.p90_seconds), span(recover.mean_seconds), recover.n);
    card(out, "Median time to recover", &span(recover.median_seconds), "", &[note]);
    let known = measured + month.maintenance_seconds;
    let note = format!("{} not observed", text::seconds(unknown));
    card(out, "Observed", &text::share(known, known + unknown, 1), "", &[note]);
    let note = "announced; neither up nor down".to_owned();
    card(out, "Maintenance", &text::seconds(month.maintenance_seconds), "", &[note]);
    out.push_str("</div>\n");
}

fn budget(out: &mut String, name: &str, budget: &BudgetFigures, note: String) {
    let (figure, class) = match budget.spent_percentage {
        None => ("–".to_owned(), "soft"),
        Some(share) if share > 100.0 => (format!("{share:.0} %"), "bad"),
        Some(share) => (format!("{share:.0} %"), "good"),
    };
    card(out, name, &figure, class, &[note]);
}

fn advice(out: &mut String, sla: &Sla) {
    out.push_str("<section>\n<h2>Recommendations</h2>\n");
    if sla.recommendations.is_empty() {
        out.push_str("<p>None: no rule found anything to speak of.</p>\n");
    } else {
        out.push_str("<ol class=\"advice\">\n");
        for one in &sla.recommendations {
            let (class, word) = match one.urgency {
                AdviceUrgency::Act => ("bad", "Act"),
                AdviceUrgency::Look => ("warn", "Look into it"),
            };
            let mut finding = one.finding.chars();
            let first = finding.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            out.push_str(&format!(
                "<li><strong class=\"{class}\">{word}.</strong> {}{}. <span class=\"soft\">{}</span></li>\n",
                text::html(&first),
                text::html(finding.as_str()),
                text::html(&one.advice)
            ));
        }
        out.push_str("</ol>\n");
    }
    out.push_str("</section>\n");
}

fn key(out: &mut String, entries: &[(&str, &str)]) {
    out.push_str("<ul class=\"key\">");
    for (class, name) in entries {
        out.push_str(&format!("<li><i class=\"{class}\"></i>{}</li>", text::html(name)));
    }
    out.push_str("</ul>\n");
}

fn uptime(out: &mut String, sla: &Sla, whole: &SubjectFigures) {
    let many = 100.0 - (1.0 - sla.objectives.uptime) * 1_000.0;
    let (target, many) = (promise(sla.objectives.uptime), promise(many / 100.0));
    out.push_str("<section>\n<h2>Uptime by day</h2>\n");
    key(
        out,
        &[
            ("k-good", &format!("{target} or more")),
            ("k-warn", &format!("– {many} or more")),
            ("k-bad", &format!("× below {many}")),
            ("k-plan", "m maintenance all day"),
            ("k-none", "not observed: boxes are filled as far as somebody looked"),
        ],
    );
    out.push_str(&chart::calendar(sla));
    out.push_str(&tables::subjects(sla));
    out.push_str("</section>\n<section>\n<h2>Lost time by day</h2>\n");
    key(out, &[("k-bad", "down"), ("k-warn", "degraded"), ("k-plan", "maintenance (announced)")]);
    out.push_str(&chart::lost(sla, whole));
    out.push_str("</section>\n");
}

fn requests(out: &mut String, sla: &Sla, whole: &SubjectFigures) {
    out.push_str("<section>\n<h2>Failed requests by day</h2>\n");
    let allowed = promise(1.0 - sla.objectives.requests);
    key(out, &[("k-blue", "failed, of the day’s requests"), ("k-limit", &format!("{allowed} may fail"))]);
    out.push_str(&chart::failures(sla, whole));
    out.push_str("</section>\n<section>\n<h2>Error budgets</h2>\n");
    key(
        out,
        &[
            ("k-bad", "budget of time spent"),
            ("k-blue", "budget of requests spent"),
            ("k-limit", "all of it"),
        ],
    );
    out.push_str(&chart::burn(sla, whole));
    out.push_str("</section>\n<section>\n<h2>Error trends</h2>\n");
    if sla.subjects.iter().all(|subject| subject.month.requests == 0) {
        out.push_str("<p>No request was counted.</p>\n");
    } else if sla.error_trends.is_empty() {
        out.push_str("<p>No request failed.</p>\n");
    } else {
        out.push_str(&tables::trends(sla));
    }
    out.push_str("</section>\n");
}

fn incidents(out: &mut String, sla: &Sla) {
    let found = &sla.incidents;
    out.push_str("<section>\n<h2>Response</h2>\n");
    out.push_str(&tables::clocks(sla));
    out.push_str("</section>\n<section class=\"long\">\n<h2>Incidents</h2>\n");
    let apart = format!(
        "{}. Counted apart: {}, {}, {}.",
        told(sla),
        text::many(
            found.cleared as u64,
            "suspicion that was never confirmed",
            "suspicions that were never confirmed"
        ),
        text::many(found.drills as u64, "drill", "drills"),
        text::many(
            found.carried_over as u64,
            "incident from before the month",
            "incidents from before the month"
        )
    );
    out.push_str(&format!("<p>{}</p>\n", text::html(&apart)));
    if found.confirmed > 0 {
        out.push_str(&tables::causes(sla));
        out.push_str(&tables::incidents(sla));
    }
    if found.longest.len() < found.confirmed {
        out.push_str(&format!("<p class=\"soft small\">The {} longest.</p>\n", found.longest.len()));
    }
    out.push_str("</section>\n");
}

fn rest(out: &mut String, sla: &Sla) {
    out.push_str(
        "<section>\n<h2>Business impact</h2>\n<p>Not observed: nothing measures bookings or money yet. This is not zero.</p>\n\
         </section>\n<section class=\"long\">\n<h2>Day by day</h2>\n",
    );
    out.push_str(&tables::days(sla));
    out.push_str("</section>\n<footer>\n<dl>\n");
    for (name, meaning) in MEANINGS {
        out.push_str(&format!("<dt>{name}</dt><dd>{meaning}</dd>\n"));
    }
    out.push_str("</dl>\n");
    if sla.unreadable_rows > 0 {
        let rows = text::many(sla.unreadable_rows as u64, "row", "rows");
        out.push_str(&format!(
            "<p class=\"bad\">{rows} of the store could not be read and are left out.</p>\n"
        ));
    }
    out.push_str("</footer>\n");
}

/// How to read it.
const MEANINGS: [(&str, &str); 6] = [
    (
        "Uptime",
        "seconds served, well or not, over seconds measured. What nobody observed is neither up nor down: it lowers what was \
         observed and widens the bounds (all of it down, all of it up). Of several members a second is up when most of those \
         who looked served, degraded when some did.",
    ),
    (
        "Requests",
        "replies that did not fail over all replies. Never derived from the uptime, nor the other way round.",
    ),
    (
        "Budget of time",
        "what the target leaves of the whole month without its maintenance; spent by seconds down, not by degraded ones.",
    ),
    (
        "Budget of requests",
        "what the objective leaves of the requests that there were; spent by those that failed.",
    ),
    (
        "Median, p90",
        "half and nine of ten took no longer. The median of an even number is the mean of the two in the middle; p90 is one that \
         was measured.",
    ),
    (
        "Trend",
        "rising or falling where chance would show as much in less than one of a thousand months (binomial).",
    ),
];
