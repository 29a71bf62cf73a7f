//! The verdict on every request of the day, and what only all of them together tell.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::judge::{self, Rows};
use crate::ledger::{Came, How, Seen, Told};
use crate::lines::Lines;
use crate::metrics::Metrics;
use crate::plan::{Ask, Kind, Plan, Route, Session, Way};
use crate::report::Report;

/// How many requests ended how.
#[derive(Debug, Default)]
pub struct Count {
    /// Answered by the origin.
    pub whole: u64,
    /// Answered by Strop.
    pub own: u64,
    /// Broke off, at or before the answer.
    pub cut: u64,
    /// Left by the client.
    pub left: u64,
    /// Behind one that ended the connection.
    pub behind: u64,
    /// Not sent in whole.
    pub unsent: u64,
    /// Became a tunnel.
    pub tunnels: u64,
    /// Sent on a connection that the origin was closing.
    pub raced: u64,
    /// Sent on a connection that the origin had ended by GOAWAY, and not repeated.
    pub caught: u64,
    /// Attempts that the origin saw.
    came: u64,
    /// Attempts that were told.
    attempts: u64,
    /// Refused at the head, by reason.
    refused: BTreeMap<String, u64>,
}

/// Judges.
pub struct Verdict<'a> {
    report: &'a Report,
    seen: &'a [Seen],
    came: &'a [Came],
    told: &'a [Told],
    open: u32,
    /// How many requests ended how.
    pub count: Count,
}

impl<'a> Verdict<'a> {
    /// With what everybody saw.
    pub fn new(report: &'a Report, seen: &'a [Seen], came: &'a [Came], told: &'a [Told], open: u32) -> Self {
        report.equal("rows of the origin", came.len(), seen.len());
        Self { report, seen, came, told, open, count: Count::default() }
    }

    /// Looks at every request of the day and at those of the evening.
    pub fn of_all(&mut self, plan: Plan, evening: Vec<Session>) {
        let starts = plan.starts();
        for index in 0..plan.sessions {
            let at = index as usize;
            let session = plan.session(index, starts[at], starts[at + 1]);
            session.asks.iter().for_each(|ask| self.of_one(ask, session.way));
        }
        for session in evening {
            session.asks.iter().for_each(|ask| self.of_one(ask, session.way));
        }
    }

    fn of_one(&mut self, ask: &Ask, way: Way) {
        let at = ask.number as usize;
        let (Some(seen), Some(came), Some(told)) = (self.seen.get(at), self.came.get(at), self.told.get(at))
        else {
            return self.report.find("a request without rows", at.to_string());
        };
        let rows = Rows { seen, came, told };
        if let Err(text) = judge::judge(ask, way, rows) {
            self.report.find(&text, format!("{way:?} {ask:?}\n        {rows:?}"));
        }
        let count = &mut self.count;
        if judge::raced(ask, rows) {
            *(if ask.route == Route::Streams { &mut count.caught } else { &mut count.raced }) += 1;
        }
        count.came += u64::from(came.heads);
        count.attempts += u64::from(told.attempts);
        match (seen.how, seen.reason) {
            (How::Whole | How::Cut | How::Left, None) if matches!(seen.status, 101) || tunnel(ask, seen) => {
                count.tunnels += 1;
            }
            (How::Whole, Some(reason)) => {
                count.own += 1;
                if matches!(ask.kind, Kind::Bad(_)) {
                    *count.refused.entry(reason.word().to_owned()).or_default() += 1;
                }
            }
            (How::Whole, None) => count.whole += 1,
            (How::Cut | How::Nothing, _) => count.cut += 1,
            (How::Left, _) => count.left += 1,
            (How::Behind, _) => count.behind += 1,
            (How::Unsent, _) => count.unsent += 1,
        }
    }

    /// What only all requests together tell. `metrics` are those before Strop was asked to leave.
    pub fn totals(&self, metrics: &Metrics, lines: &Lines) {
        let report = self.report;
        let of = |counter: &AtomicU32| u64::from(counter.load(Ordering::Relaxed));
        report.at_most("lost to a connection that was closed", self.count.raced, of(&report.unsaid));
        // When GOAWAY comes each client has one request under way at most, by HTTP/2 a row of 16.
        let caught = of(&report.goaways) * u64::from(self.open) * 16;
        report.at_most("lost to GOAWAY", self.count.caught, caught);
        let half_open = [("upstream", "probed"), ("to", "half_open")];
        let late = lines.by_verdict.get(&("probed".to_owned(), "timeout")).copied().unwrap_or(0);
        report.at_most("probes that were late", late, metrics.sum("breaker_transitions_total", &half_open));
        report.at_most("attempts that came, those that were told", self.count.came, self.count.attempts);
        let mut wanted = self.count.refused.clone();
        for (reason, count) in &lines.malformed {
            *wanted.entry(reason.clone()).or_default() += count;
        }
        let mut told = BTreeMap::new();
        for (labels, count) in metrics.of("malformed_requests_total") {
            told.insert(labels.get("reason").cloned().unwrap_or_default(), count);
        }
        report.equal("malformed_requests_total", told, wanted);
    }
}

fn tunnel(ask: &Ask, seen: &Seen) -> bool {
    ask.kind == Kind::Connect && seen.status == 200
}
