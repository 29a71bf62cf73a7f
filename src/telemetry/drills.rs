//! Drills: whether one goes on, how they ended, what they measured.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::family::Family;
use super::sre::Spans;
use crate::reliability::drill::Drill;

#[derive(Debug, Default)]
struct DrillSums {
    going_on: bool,
    /// By upstream, fault and why the injection ended.
    over: BTreeMap<(String, &'static str, &'static str), u64>,
    /// By upstream.
    detection: BTreeMap<String, Spans>,
    /// By upstream.
    recovery: BTreeMap<String, Spans>,
}

/// What is counted of drills. Labels are configured names and closed sets.
#[derive(Debug, Default)]
pub struct DrillMetrics(Mutex<DrillSums>);

impl DrillMetrics {
    fn sums(&self) -> MutexGuard<'_, DrillSums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One goes on.
    pub fn began(&self) {
        self.sums().going_on = true;
    }

    /// This one is over.
    pub fn over(&self, drill: &Drill) {
        let mut sums = self.sums();
        sums.going_on = false;
        let (upstream, fault) = (drill.order.upstream.to_string(), drill.order.fault.label());
        let end = drill.ended().map_or("window", |(_, end)| end.label());
        *sums.over.entry((upstream.clone(), fault, end)).or_default() += 1;
        if let Some(took) = drill.to_detect() {
            sums.detection.entry(upstream.clone()).or_default().record(took);
        }
        if let Some(took) = drill.to_recover() {
            sums.recovery.entry(upstream).or_default().record(took);
        }
    }

    pub(super) fn families(&self) -> [Family; 4] {
        let sums = self.sums();
        let mut going_on =
            Family::gauge("strop_drill_active", "1: a drill goes on, or what it did has not gone by yet.");
        going_on.set(&[], f64::from(u8::from(sums.going_on)));
        let mut over =
            Family::counter("strop_drills_total", "Drills that are over, by why their injection ended.");
        for ((upstream, fault, end), count) in &sums.over {
            over.count(&[("upstream", upstream), ("fault", fault), ("end", end)], *count);
        }
        let mut detection = Family::histogram(
            "strop_drill_detection_seconds",
            "Time from the first request that a drill hit to its incident.",
        );
        for (upstream, spans) in &sums.detection {
            spans.show(&mut detection, &[("upstream", upstream)]);
        }
        let mut recovery = Family::histogram(
            "strop_drill_recovery_seconds",
            "Time from the end of a drill's injection to the end of all that it did.",
        );
        for (upstream, spans) in &sums.recovery {
            spans.show(&mut recovery, &[("upstream", upstream)]);
        }
        [going_on, over, detection, recovery]
    }
}
