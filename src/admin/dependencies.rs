//! How the dependencies are, one by one, and what they make of the whole.

use std::sync::Arc;

use super::Admin;
use super::contract::DependencyView;
use super::contract::source::Source;
use super::error::ApiError;
use crate::config::presets::SRE_API;
use crate::reliability::breaker::TransitionCause;
use crate::reliability::health::{self, Dependency, Facts, Health};
use crate::runtime::clock;
use crate::store;
use crate::upstream::Upstream;

/// All upstreams, by name. The admin API on the traffic port is nobody's dependency.
pub(super) fn sorted(admin: &Admin) -> Vec<Arc<Upstream>> {
    let world = admin.registry.snapshot();
    let depended_on = |one: &&Arc<Upstream>| one.config.name.as_str() != SRE_API;
    let mut all: Vec<_> = world.upstreams.values().filter(depended_on).map(Arc::clone).collect();
    all.sort_by(|a, b| a.config.name.cmp(&b.config.name));
    all
}

/// The upstream of that name, or the names there are.
pub(super) fn find(admin: &Admin, name: &str) -> Result<Arc<Upstream>, ApiError> {
    let all = sorted(admin);
    let found = all.iter().find(|upstream| upstream.config.name.as_str() == name).map(Arc::clone);
    found.ok_or_else(|| ApiError::UnknownUpstream {
        name: name.to_owned(),
        known: all.iter().map(|upstream| upstream.config.name.as_str().to_owned()).collect(),
    })
}

/// How a dependency is, as the core decides it: the group of it that is called.
pub(super) fn dependency(admin: &Admin, first: &Upstream) -> (Health, DependencyView) {
    let world = admin.registry.snapshot();
    let upstream = world.in_force(&first.config.name).map_or(first, |serving| &**serving);
    let view = upstream.gate.view(clock::instant());
    let endpoints = upstream.endpoints.load();
    let (passed, missed) = upstream.series.checks(upstream.group);
    let checked = upstream.config.health.is_some() && passed + missed > 0;
    let passing = checked.then(|| endpoints.iter().filter(|endpoint| endpoint.is_healthy()).count());
    let facts = Dependency {
        breaker: view.shadow_state.unwrap_or(view.state),
        shadow: view.shadow_state.is_some(),
        why: view.why.map(TransitionCause::describe),
        held: view.hold.as_ref().map(|hold| hold.reason.clone()),
        ramping: view.ramping,
        bad_in_a_row: view.bad_in_a_row,
        endpoints: endpoints.len(),
        passing,
        seen: upstream.series.verdicts().iter().sum::<u64>() > 0,
    };
    let health = facts.health();
    let told = DependencyView {
        name: upstream.config.name.as_str().to_owned(),
        status: health.status.label(),
        reason: health.reason.clone(),
        source: if checked { Source::Probed } else { Source::Observed },
        circuit_breaker: view.state.label(),
        why: facts.why,
        endpoints: endpoints.len(),
        endpoints_healthy: passing,
    };
    (health, told)
}

/// How the whole is, as the core decides it.
pub(super) fn of_the_whole(admin: &Admin) -> Health {
    let dependencies: Vec<_> = sorted(admin).iter().map(|one| dependency(admin, one)).collect();
    let backend = admin.registry.snapshot();
    let backend = backend.config.ingress.as_ref().map(|ingress| ingress.upstream.as_str());
    let of = |(health, view): (Health, DependencyView)| {
        let is_backend = Some(&*view.name) == backend;
        (view.name, is_backend, health)
    };
    let snapshot = admin.control.snapshot();
    let looked = snapshot.looked.map(|at| clock::instant().saturating_duration_since(at.instant));
    let refused = admin.reloader.status().last.and_then(|last| last.refused.into_iter().next());
    let store = admin.control.records().status().map(|status| status.state);
    let facts = Facts {
        looked,
        incidents: snapshot.incidents.iter().filter_map(|one| health::of_incident(one)).collect(),
        dependencies: dependencies.into_iter().map(of).collect(),
        config_refused: refused.map(|problem| format!("{} {}", problem.path, problem.message)),
        store: store
            .filter(|state| *state != store::DatabaseState::Ok)
            .map(|state| state.as_str().to_owned()),
        not_ready: admin.readiness.reasons(clock::instant()).into_iter().map(str::to_owned).collect(),
    };
    facts.health()
}
