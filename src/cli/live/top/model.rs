//! What `strop top` knows: the last look at the sidecar, and what the person at the keys wants to see of it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::dialog::Dialog;
use super::look::{SortKey, TopLook, TopSpan};
use super::rows::{self, TopRow};

/// Points of a trend.
const TREND: usize = 60;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Routes,
    /// Their breakers too, and those of their operations and backup endpoints.
    Upstreams,
}

/// What the keys are for at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TopMode {
    List,
    /// The filter is being written.
    Filter,
    /// One row, with all that is known of it; so many lines are scrolled away.
    Detail(usize),
    Dialog(Dialog),
    Help,
}

/// A look, and when it was made.
#[derive(Clone, Debug)]
pub(super) struct SeenLook {
    pub(super) look: TopLook,
    pub(super) at: Instant,
}

/// Since when nobody answers, and what came instead.
#[derive(Clone, Debug)]
pub(super) struct CutOff {
    pub(super) since: Instant,
    pub(super) why: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OrderEnd {
    Done(String),
    Refused(String),
}

/// All of it.
#[derive(Debug)]
pub(super) struct TopModel {
    pub(super) listed: Listed,
    pub(super) sort: SortKey,
    /// The other way round.
    pub(super) reversed: bool,
    pub(super) span: TopSpan,
    pub(super) filter: String,
    pub(super) mode: TopMode,
    /// The row that is chosen, by its key: rows come and go while it stays.
    pub(super) chosen: Option<String>,
    pub(super) seen: Option<SeenLook>,
    before: Option<SeenLook>,
    pub(super) cut_off: Option<CutOff>,
    pub(super) said: Option<OrderEnd>,
    trends: HashMap<String, VecDeque<f64>>,
    /// Between two looks.
    pub(super) every: Duration,
    pub(super) now: Instant,
}

impl TopModel {
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self {
            listed: Listed::Routes,
            sort: SortKey::Rate,
            reversed: false,
            span: TopSpan::TenSeconds,
            filter: String::new(),
            mode: TopMode::List,
            chosen: None,
            seen: None,
            before: None,
            cut_off: None,
            said: None,
            trends: HashMap::new(),
            every,
            now,
        }
    }

    /// A look has been made.
    pub(super) fn looked(&mut self, look: TopLook, at: Instant) {
        self.cut_off = None;
        self.before = self.seen.replace(SeenLook { look, at });
        let mut trends = std::mem::take(&mut self.trends);
        let mut kept = HashMap::new();
        for row in self.rows_of(Listed::Routes).into_iter().chain(self.rows_of(Listed::Upstreams)) {
            let mut trend = trends.remove(&row.key).unwrap_or_default();
            if trend.len() == TREND {
                trend.pop_front();
            }
            // What is not observed leaves no mark.
            trend.extend(row.pace);
            kept.insert(row.key, trend);
        }
        self.trends = kept;
    }

    /// A look has failed.
    pub(super) fn missed(&mut self, why: String, at: Instant) {
        let since = self.cut_off.as_ref().map_or(at, |cut| cut.since);
        self.cut_off = Some(CutOff { since, why });
    }

    fn rows_of(&self, listed: Listed) -> Vec<TopRow> {
        let Some(seen) = &self.seen else { return Vec::new() };
        match listed {
            Listed::Routes => rows::routes(&seen.look, self.span),
            Listed::Upstreams => {
                let before = self
                    .before
                    .as_ref()
                    .map(|before| (&before.look, seen.at.saturating_duration_since(before.at)));
                rows::upstreams(&seen.look, before, self.span)
            }
        }
    }

    /// The rows that are shown, in their order.
    pub(super) fn rows(&self) -> Vec<TopRow> {
        let mut rows = self.rows_of(self.listed);
        let wanted = self.filter.to_lowercase();
        rows.retain(|row| row.key.to_lowercase().contains(&wanted));
        rows.sort_by(|a, b| a.order(b, self.sort));
        if self.reversed {
            rows.reverse();
        }
        rows
    }

    /// The trend of a row, oldest first.
    pub(super) fn trend(&self, row: &TopRow) -> Vec<f64> {
        self.trends.get(&row.key).into_iter().flatten().copied().collect()
    }

    /// Where the chosen row stands among these; the first where it is not there.
    pub(super) fn place(&self, rows: &[TopRow]) -> usize {
        let is_chosen = |row: &TopRow| Some(&row.key) == self.chosen.as_ref();
        rows.iter().position(is_chosen).unwrap_or(0)
    }

    /// The chosen row.
    pub(super) fn row(&self) -> Option<TopRow> {
        let mut rows = self.rows();
        let place = self.place(&rows);
        (place < rows.len()).then(|| rows.swap_remove(place))
    }

    /// How old what is shown is: as old as it was when it was seen, and since then.
    pub(super) fn age(&self) -> Option<Duration> {
        let seen = self.seen.as_ref()?;
        let then = seen.look.dashboard["age_seconds"].as_f64().unwrap_or_default();
        let then = Duration::try_from_secs_f64(then.max(0.0)).unwrap_or_default();
        Some(then + self.now.saturating_duration_since(seen.at))
    }
}
