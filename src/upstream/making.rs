//! Makes upstreams as they run, new ones and those that a reload changes, each with its backup group.
//!
//! State outlives config: what is replaced hands on its gates, endpoints and counters.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::gate::Gate;
use super::load::Load;
use super::operations::Operations;
use super::shares::Shares;
use super::throttle::Throttle;
use super::{Upstream, client_tls};
use crate::config;
use crate::reliability::failover::Group;
use crate::telemetry::Telemetry;

/// What all upstreams are made with.
pub(super) struct UpstreamMaker {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) workers: usize,
}

impl UpstreamMaker {
    /// One that was not there before.
    pub(super) fn made(
        &self,
        wanted: &Arc<config::UpstreamConfig>,
        trusted: bool,
        now: Instant,
    ) -> Arc<Upstream> {
        let series = self.telemetry.upstream(&wanted.name);
        let gate = Gate::told(wanted.breaker.clone(), &series.breaker, self.workers, now);
        let operations = Operations::of(wanted, None, &series, self.workers, now);
        let connections = Arc::clone(&series.connections);
        let load = trusted.then(|| Load::new(&series.load, self.workers));
        let throttle = Throttle::new(&series.throttle, self.workers);
        let mut made = Upstream {
            config: Arc::clone(wanted),
            group: Group::First,
            breaker: Arc::clone(&series.breaker),
            gate,
            operations,
            tls: client_tls(wanted),
            remade: 0,
            renewal: Arc::default(),
            series,
            endpoints: Arc::default(),
            connections,
            tunnels: Arc::default(),
            shares: Shares::of(wanted, trusted, self.workers, now),
            load,
            throttle,
            socket: self.telemetry.memory.socket().filter(|_| trusted),
            closings: Arc::default(),
            retries: Arc::default(),
            retired: AtomicBool::new(false),
            backup: None,
        };
        made.series.shows(made.tls.as_ref().map(|tls| Arc::clone(tls.shown())));
        made.backup = self.backup(&made, None, now);
        Arc::new(made)
    }

    /// The same upstream by another config; the old one is retired.
    pub(super) fn replaced(
        &self,
        old: &Arc<Upstream>,
        wanted: &Arc<config::UpstreamConfig>,
        trusted: bool,
        now: Instant,
    ) -> Arc<Upstream> {
        old.retire();
        self.telemetry.know_upstream(&old.series);
        old.gate.reconfigure(wanted.breaker.clone(), now);
        let same_tls = old.config.tls == wanted.tls && old.config.protocol == wanted.protocol;
        let mut made = Upstream {
            config: Arc::clone(wanted),
            group: Group::First,
            breaker: Arc::clone(&old.breaker),
            gate: Arc::clone(&old.gate),
            operations: Operations::of(wanted, Some(&old.operations), &old.series, self.workers, now),
            series: Arc::clone(&old.series),
            endpoints: Arc::clone(&old.endpoints),
            tls: if same_tls { old.tls.clone() } else { client_tls(wanted) },
            remade: old.remade + u32::from(!same_tls),
            renewal: Arc::clone(&old.renewal),
            connections: Arc::clone(&old.connections),
            tunnels: Arc::clone(&old.tunnels),
            shares: Shares::of(wanted, trusted, self.workers, now)
                .map(|new| old.shares.as_ref().map_or(new, Arc::clone)),
            throttle: Arc::clone(&old.throttle),
            load: trusted.then(|| {
                old.load.as_ref().map_or_else(|| Load::new(&old.series.load, self.workers), Arc::clone)
            }),
            socket: self.telemetry.memory.socket().filter(|_| trusted),
            retries: Arc::clone(&old.retries),
            // What was seen is measured by what is in force.
            closings: if old.config.pool.idle_for == wanted.pool.idle_for {
                Arc::clone(&old.closings)
            } else {
                Arc::default()
            },
            retired: AtomicBool::new(false),
            backup: None,
        };
        made.series.shows(made.tls.as_ref().map(|tls| Arc::clone(tls.shown())));
        made.backup = self.backup(&made, old.backup.as_deref(), now);
        Arc::new(made)
    }

    /// The backup group of `first`, which the config asks for: addresses, breaker and throttle are its own (those of the one
    /// that was there `before`); counters, connections, clients' shares and retries are the upstream's.
    fn backup(&self, first: &Upstream, before: Option<&Upstream>, now: Instant) -> Option<Arc<Upstream>> {
        let Some(config) = first.config.of_backup() else {
            first.series.forget_backup();
            return None;
        };
        let breaker = before.map_or_else(|| first.series.backup(), |before| Arc::clone(&before.breaker));
        let policy = config.breaker.clone();
        let gate = match before {
            Some(before) => {
                before.gate.reconfigure(policy, now);
                Arc::clone(&before.gate)
            }
            None => Gate::told(policy, &breaker, self.workers, now),
        };
        let throttle = || Throttle::new(&first.series.throttle, self.workers);
        Some(Arc::new(Upstream {
            group: Group::Backup,
            operations: Operations::without_breakers(&config),
            config: Arc::new(config),
            breaker,
            gate,
            series: Arc::clone(&first.series),
            endpoints: before.map_or_else(Arc::default, |one| Arc::clone(&one.endpoints)),
            tls: first.tls.clone(),
            remade: first.remade,
            renewal: before.map_or_else(Arc::default, |one| Arc::clone(&one.renewal)),
            connections: Arc::clone(&first.connections),
            tunnels: Arc::clone(&first.tunnels),
            shares: first.shares.as_ref().map(Arc::clone),
            throttle: before.map_or_else(throttle, |one| Arc::clone(&one.throttle)),
            load: first.load.as_ref().map(Arc::clone),
            socket: first.socket,
            closings: before.map_or_else(Arc::default, |one| Arc::clone(&one.closings)),
            retries: Arc::clone(&first.retries),
            retired: AtomicBool::new(false),
            backup: None,
        }))
    }
}
