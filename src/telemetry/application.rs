//! Names of routes by the application's own document: what came of reading it, and how many there are.

use std::sync::atomic::{AtomicU64, Ordering};

use super::family::Family;

/// How it stands with the application's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentState {
    /// It was not asked for yet.
    Waiting,
    /// Its names are in force.
    Read,
    /// The answer is none: another status than 200.
    Missing,
    /// It is no OpenAPI document that can be read.
    Broken,
    /// It is longer than may be.
    TooLarge,
    /// Nobody has answered.
    Unreachable,
}

impl DocumentState {
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Read, Self::Missing, Self::Broken, Self::TooLarge, Self::Unreachable];

    /// As in the API and in labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Read => "read",
            Self::Missing => "missing",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What is counted of it.
#[derive(Debug, Default)]
pub struct ApplicationMetrics {
    /// Operations that have a name now.
    pub named: AtomicU64,
    /// In the order of [`DocumentState::ALL`].
    readings: [AtomicU64; DocumentState::ALL.len()],
}

impl ApplicationMetrics {
    /// It was asked for, and stands like this.
    pub fn read(&self, state: DocumentState) {
        self.readings[state as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Empty until it was asked for.
    pub(super) fn families(&self) -> [Family; 2] {
        let mut readings = Family::counter(
            "strop_openapi_reads_total",
            "Times that the application's OpenAPI document was asked for, by how it stood then.",
        );
        let mut named = Family::gauge(
            "strop_openapi_operations",
            "Operations of the application that are counted under a name of their own.",
        );
        let counts = self.readings.each_ref().map(|count| count.load(Ordering::Relaxed));
        if counts.iter().any(|count| *count > 0) {
            for (state, count) in DocumentState::ALL.iter().zip(counts).filter(|(_, count)| *count > 0) {
                readings.count(&[("state", state.label())], count);
            }
            named.set(&[], self.named.load(Ordering::Relaxed) as f64);
        }
        [readings, named]
    }
}
