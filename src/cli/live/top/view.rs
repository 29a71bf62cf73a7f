//! What is on the screen, as lines of texts: a function of the model and the size, and of nothing else.

use std::time::Duration;

use super::super::table::{plain, text};
use super::columns;
use super::detail;
use super::dialog::{Dialog, Question};
use super::model::{Listed, OrderEnd, TopMode, TopModel};
use super::painted::{ScreenLine, TextTone, line};

/// A screen, and where the cursor stands where something is being written: column and line.
#[derive(Debug, Default)]
pub(super) struct ScreenText {
    pub(super) lines: Vec<ScreenLine>,
    pub(super) cursor: Option<(usize, usize)>,
}

/// Beyond three looks.
const LATE: Duration = Duration::from_secs(1);

/// The screen of so many columns and lines.
pub(super) fn screen(model: &TopModel, width: usize, height: usize) -> ScreenText {
    let mut foot = Vec::new();
    let mut cursor = None;
    match &model.mode {
        TopMode::Filter => {
            let said = format!("filter: {}", model.filter);
            cursor = Some((said.chars().count(), 0));
            foot.push(line(said, TextTone::Strong));
            foot.push(keys(&["Enter keep", "Esc clear"], width));
        }
        TopMode::Dialog(dialog) => cursor = asking(dialog, &mut foot),
        TopMode::List | TopMode::Detail(_) | TopMode::Help => foot.extend(said(model)),
    }
    let mut screen = ScreenText { lines: head(model), cursor: None };
    let room = height.saturating_sub(screen.lines.len());
    match &model.mode {
        TopMode::Help => {
            foot.push(keys(&["any key back"], width));
            let room = room.saturating_sub(foot.len());
            screen.lines.extend(HELP.iter().take(room).map(|told| line(*told, TextTone::Plain)));
        }
        TopMode::Detail(scrolled) => {
            foot.push(keys(&["Esc back", "j k scroll", "h hold", "c close", "r release", "q leave"], width));
            screen.lines.extend(detail::lines(model, *scrolled, room.saturating_sub(foot.len())));
        }
        TopMode::List => {
            foot.push(keys(&list_keys(model.listed), width));
            screen.lines.extend(columns::lines(model, width, room.saturating_sub(foot.len())));
        }
        TopMode::Filter | TopMode::Dialog(_) => {
            screen.lines.extend(columns::lines(model, width, room.saturating_sub(foot.len())));
        }
    }
    // The foot stands at the bottom, whatever is above it.
    let top = height.saturating_sub(foot.len());
    screen.lines.resize(top, Vec::new());
    screen.cursor = cursor.map(|(column, at)| (column.min(width.saturating_sub(1)), top + at));
    screen.lines.extend(foot);
    screen.lines.truncate(height);
    screen
}

/// Who is looked at and how it is; how old that is.
fn head(model: &TopModel) -> Vec<ScreenLine> {
    let told = |field: &str| model.seen.as_ref().map(|seen| text(&seen.look.dashboard[field]));
    let process = told("process").unwrap_or_default();
    let sentence = told("sentence").unwrap_or_else(|| "nothing has been seen yet".to_owned());
    let first = vec![(format!("strop top {process}  "), TextTone::Strong), (sentence, TextTone::Plain)];
    vec![first, freshness(model)]
}

fn freshness(model: &TopModel) -> ScreenLine {
    let age = model.age().map_or_else(|| "never".to_owned(), |age| format!("{:.1} s ago", age.as_secs_f64()));
    if let Some(cut) = &model.cut_off {
        let lasted = model.now.saturating_duration_since(cut.since).as_secs();
        let told = format!("CUT OFF for {lasted} s, this was seen {age}: {}", plain(&cut.why));
        return line(told, TextTone::Bad);
    }
    let order = if model.reversed { " reversed" } else { "" };
    let filter = if model.filter.is_empty() { String::new() } else { format!(", filter {}", model.filter) };
    let told = format!(
        "seen {age}; window {}, failed over 5m; by {}{order}{filter}",
        model.span.label(),
        model.sort.label()
    );
    // A look that takes long is told before it has failed.
    let late = model.age().is_some_and(|age| age > model.every * 3 + LATE);
    line(told, if late { TextTone::Doubtful } else { TextTone::Faint })
}

fn said(model: &TopModel) -> Option<ScreenLine> {
    Some(match model.said.as_ref()? {
        OrderEnd::Done(done) => line(plain(done), TextTone::Good),
        OrderEnd::Refused(why) => line(plain(why), TextTone::Bad),
    })
}

/// The questions of an order; where the cursor stands in them.
fn asking(dialog: &Dialog, foot: &mut Vec<ScreenLine>) -> Option<(usize, usize)> {
    foot.push(line(format!("{}: {}", dialog.act.question(), dialog.breaker), TextTone::Strong));
    let lasts = format!("for how long: {}", dialog.lasts);
    let reason = format!("why: {}", dialog.reason);
    let cursor = match dialog.asked {
        Question::Lasts => Some((lasts.chars().count(), 1)),
        Question::Reason => Some((reason.chars().count(), foot.len() + usize::from(dialog.has_time()))),
        Question::Meant => None,
    };
    if dialog.has_time() {
        foot.push(line(lasts, TextTone::Plain));
    }
    foot.push(line(reason, TextTone::Plain));
    foot.push(match dialog.asked {
        Question::Lasts => line("Enter next, Esc leave it", TextTone::Faint),
        Question::Reason => line("Enter next (a reason is needed), Esc leave it", TextTone::Faint),
        Question::Meant => line("y gives the order, Esc leaves it", TextTone::Doubtful),
    });
    cursor
}

fn list_keys(listed: Listed) -> [&'static str; 10] {
    let other = match listed {
        Listed::Routes => "Tab upstreams",
        Listed::Upstreams => "Tab routes",
    };
    [
        "q leave",
        "? help",
        "Enter details",
        other,
        "/ filter",
        "s sort",
        "w window",
        "h hold",
        "c close",
        "r release",
    ]
}

/// As many keys as fit, each whole.
fn keys(all: &[&str], width: usize) -> ScreenLine {
    let mut told = String::new();
    for key in all {
        let more = if told.is_empty() { 0 } else { 2 };
        if told.chars().count() + more + key.chars().count() > width {
            break;
        }
        told.push_str(if more == 0 { "" } else { "  " });
        told.push_str(key);
    }
    line(told, TextTone::Faint)
}

const HELP: [&str; 16] = [
    "up down j k, PgUp PgDn, g G   choose a row        Enter   all that is known of it",
    "Tab   routes or upstreams     /   only names with this text     Esc   all again",
    "s   sort by the next column   S   the other way round",
    "w   rates and percentiles over 10s, 1m, 5m, 1h; the trend is of 10s, a point a look",
    "h   hold its breaker open     c   close it by its probes        r   end a hold",
    "    each asks why, and is given with y; its row of the audit log is told",
    "q   leave",
    "",
    "REQ/S    exchanges that ended, a second; of upstreams ATT/S: attempts since the last look",
    "FAILED   of the last 5 minutes: 5xx, refusals, timeouts, upstream failures",
    "P50 MS   from the head of a request to the last byte of its answer",
    "120*     of fewer than 100 exchanges: just the longest",
    "<=120    of several routes: not more than that",
    "IN FL    in flight now",
    "–        not observed",
    "CUT OFF  the sidecar does not answer; what is shown gets older",
];
