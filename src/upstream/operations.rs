//! Operations of an upstream that have a breaker of their own, found by the path of a request.
//!
//! The upstream's breaker is asked first, then the operation's; an exchange counts for both. What one operation brings
//! is bounded in the upstream's breaker like what one route brings, so an operation that fails alone opens its own.

use std::sync::Arc;
use std::time::Instant;

use super::gate::Gate;
use crate::config;
use crate::message::path::normal;
use crate::message::templates::Templates;
use crate::reliability::party::Party;
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::event::Event;
use crate::telemetry::upstreams::UpstreamSeries;

/// A part of an upstream's work, with a breaker of its own.
pub struct Operation {
    /// The operation's breaker, behind its lock.
    pub gate: Arc<Gate>,
    /// What is told about it; its label is such as `stripe.charges`.
    pub series: Arc<BreakerSeries>,
    /// Fingerprint of the operation, as a route has one; see [`Party`].
    pub fingerprint: u32,
}

/// Those of one upstream.
#[derive(Default)]
pub struct Operations {
    all: Vec<Operation>,
    /// Positions in `all`, by the path of the operation.
    paths: Templates<usize>,
    /// Where payments are taken.
    payments: Option<Templates<()>>,
}

impl Operations {
    /// Those that are `wanted`; one that was there `before` under its name keeps its state.
    pub fn of(
        wanted: &config::UpstreamConfig,
        before: Option<&Self>,
        series: &UpstreamSeries,
        workers: usize,
        now: Instant,
    ) -> Self {
        let mut operations = Self::default();
        let all = series.operations(wanted.operations.iter().map(|operation| operation.name.as_str()));
        for (operation, series) in wanted.operations.iter().zip(all) {
            let known = before.and_then(|before| before.named(&series.label));
            let gate = known.map_or_else(
                || Gate::told(wanted.breaker.clone(), &series, workers, now),
                |known| {
                    known.gate.reconfigure(wanted.breaker.clone(), now);
                    Arc::clone(&known.gate)
                },
            );
            if let Err(error) = operations.paths.insert(&operation.path, operations.all.len()) {
                // Not after the check of the config.
                Event::ConfigWarning { problem: &format!("operation {}: {error}", series.label) }.tell();
            }
            let fingerprint = Party::named(&series.label);
            operations.all.push(Operation { gate, series, fingerprint });
        }
        operations.take_payments(wanted.payments);
        operations
    }

    /// None, but for where payments are taken: of a backup group, whose exchanges have its own breaker alone.
    pub fn without_breakers(wanted: &config::UpstreamConfig) -> Self {
        let mut operations = Self::default();
        operations.take_payments(wanted.payments);
        operations
    }

    fn take_payments(&mut self, paths: &[&str]) {
        for path in paths {
            if let Err(error) = self.payments.get_or_insert_default().insert(path, ()) {
                // Not with the paths of a preset, which a test reads.
                Event::ConfigWarning { problem: &format!("payments at {path}: {error}") }.tell();
            }
        }
    }

    /// Does a POST to this path (as it was sent, without the query) take a payment?
    pub fn takes_payment(&self, path: &[u8]) -> bool {
        self.payments.as_ref().is_some_and(|paths| paths.find(&normal(path)).is_some())
    }

    /// The operation of a path (as it was sent, without the query), by its one spelling. Allocates only where it
    /// was sent in another.
    pub fn find(&self, path: &[u8]) -> Option<&Operation> {
        if self.all.is_empty() {
            return None;
        }
        self.all.get(*self.paths.find(&normal(path))?)
    }

    /// The operation whose breaker has this label.
    pub fn named(&self, label: &str) -> Option<&Operation> {
        self.all.iter().find(|operation| *operation.series.label == *label)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.all.iter()
    }
}
