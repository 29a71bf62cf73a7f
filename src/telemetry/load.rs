//! The numbers of how much of an upstream is under way, and what was refused for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::family::Family;
use crate::reliability::degradation::RouteClass;

/// The classes of routes with their labels, in the order of their numbers.
pub const CLASSES: [(RouteClass, &str); 3] =
    [(RouteClass::High, "high"), (RouteClass::Normal, "normal"), (RouteClass::Low, "low")];

/// The numbers of one upstream behind the ingress. Zero while nobody looks.
#[derive(Debug, Default)]
pub struct LoadSeries {
    /// Requests that may be under way; 0: nobody looks.
    pub limit: AtomicU32,
    /// Requests that wait for their answer.
    pub in_flight: AtomicU32,
    refused: [AtomicU64; CLASSES.len()],
    would_refuse: [AtomicU64; CLASSES.len()],
}

impl LoadSeries {
    /// One was refused.
    pub fn refused(&self, class: RouteClass) {
        self.refused[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One would have been, in shadow.
    pub fn would_refuse(&self, class: RouteClass) {
        self.would_refuse[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Refused since the start, in the order of [`CLASSES`].
    pub fn refusals(&self) -> [u64; CLASSES.len()] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Those that would have been, in shadow.
    pub fn shadow_refusals(&self) -> [u64; CLASSES.len()] {
        self.would_refuse.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// The numbers of how much less an upstream is asked.
#[derive(Debug, Default)]
pub struct ThrottleSeries {
    /// The chance to be refused in millionths and one more; 0: nobody looks.
    shown: AtomicU32,
    /// Requests refused since the start.
    pub refused: AtomicU64,
    /// Requests that went on in shadow and would have been refused.
    pub shadow_refused: AtomicU64,
}

impl ThrottleSeries {
    /// The chance is another; `None`: nobody looks.
    pub fn show(&self, chance: Option<f64>) {
        // At most 1.
        let shown = chance.map_or(0, |chance| (chance * 1e6) as u32 + 1);
        self.shown.store(shown, Ordering::Relaxed);
    }

    /// The chance of a request to be refused; `None`: nobody looks.
    pub fn chance(&self) -> Option<f64> {
        let shown = self.shown.load(Ordering::Relaxed).checked_sub(1)?;
        Some(f64::from(shown) / 1e6)
    }
}

/// The numbers of a route whose clients may ask so often and no more.
#[derive(Debug, Default)]
pub struct RateLimitSeries {
    /// Requests refused since the start.
    pub refused: AtomicU64,
    /// Requests that went on in shadow and would have been refused.
    pub shadow_refused: AtomicU64,
}

/// The families of all routes that have refused somebody for asking too often, or would have.
pub(super) fn rate_limits<'a>(all: impl Iterator<Item = (&'a str, &'a RateLimitSeries)>) -> [Family; 2] {
    let mut refused =
        Family::counter("strop_rate_limited_total", "Requests refused because their client asked too often.");
    let mut shadow = Family::counter(
        "strop_rate_limit_shadow_refused_total",
        "Requests that went on in shadow and that a rate limit would have refused.",
    );
    for (route, limit) in all {
        let counts = [&limit.refused, &limit.shadow_refused].map(|count| count.load(Ordering::Relaxed));
        if counts.iter().sum::<u64>() > 0 {
            refused.count(&[("route", route)], counts[0]);
            shadow.count(&[("route", route)], counts[1]);
        }
    }
    [refused, shadow]
}

/// The families of all that may be asked less.
pub(super) fn throttles<'a>(all: impl Iterator<Item = (&'a str, &'a ThrottleSeries)>) -> [Family; 3] {
    let mut chance = Family::gauge(
        "strop_throttle_chance",
        "The chance of a request to be refused because the upstream turns requests away, 0 to 1.",
    );
    let mut refused = Family::counter(
        "strop_throttle_refused_total",
        "Requests refused because the upstream turns requests away.",
    );
    let mut shadow = Family::counter(
        "strop_throttle_shadow_refused_total",
        "Requests that went on in shadow and that throttling would have refused.",
    );
    for (upstream, throttle) in all {
        let name = ("upstream", upstream);
        let counts = [&throttle.refused, &throttle.shadow_refused].map(|count| count.load(Ordering::Relaxed));
        let shown = throttle.chance();
        if let Some(shown) = shown {
            chance.set(&[name], shown);
        }
        if shown.is_some() || counts.iter().sum::<u64>() > 0 {
            refused.count(&[name], counts[0]);
            shadow.count(&[name], counts[1]);
        }
    }
    [chance, refused, shadow]
}

/// The families of all that have a limit.
pub(super) fn families<'a>(all: impl Iterator<Item = (&'a str, &'a LoadSeries)>) -> [Family; 4] {
    let mut limit = Family::gauge(
        "strop_concurrency_limit",
        "Requests that may be under way to an upstream behind the ingress; in shadow: that would be let through.",
    );
    let mut in_flight = Family::gauge("strop_concurrency_in_flight", "Requests that wait for their answer.");
    let mut refused =
        Family::counter("strop_concurrency_refused_total", "Requests refused above the limit, by class.");
    let mut shadow = Family::counter(
        "strop_concurrency_shadow_refused_total",
        "Requests that went on in shadow and that would have been refused, by class.",
    );
    for (upstream, load) in all {
        let name = ("upstream", upstream);
        let most = load.limit.load(Ordering::Relaxed);
        if most > 0 {
            limit.set(&[name], f64::from(most));
            in_flight.set(&[name], f64::from(load.in_flight.load(Ordering::Relaxed)));
        }
        let both = load.refusals().into_iter().zip(load.shadow_refusals());
        for ((_, class), (real, would)) in CLASSES.iter().zip(both) {
            if most > 0 || real + would > 0 {
                refused.count(&[name, ("class", class)], real);
                shadow.count(&[name, ("class", class)], would);
            }
        }
    }
    [limit, in_flight, refused, shadow]
}
