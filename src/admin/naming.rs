//! Which routes there are, who has named them, and which templates the requests have that no route has a name for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::observed::{Observed, Provenance};
use crate::config::DEFAULT_ROUTE;
use crate::runtime::clock::{self, Moment};
use crate::telemetry::unnamed::SeenPaths;
use crate::upstream::RouteEntry;
use crate::upstream::named::{DocumentView, GoneName};

/// Who names routes.
#[cfg(test)]
pub(super) const NAMED_BY: [&str; 3] = ["config", "document", "built_in"];

/// One route of the ingress.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RouteNameView {
    /// As metrics, incidents and logs name it.
    name: String,
    /// Its template with host or method in front, where it has one, else its name.
    http_route: String,
    /// config: `[[routes]]` (and the API itself, where the ingress claims it); document: the application's own; built_in: `default`.
    named_by: &'static str,
    /// Who answers; null: nobody is asked under this name any more.
    upstream: Option<String>,
    /// Since when the application's document has it no longer; null: it is in force.
    gone_at: Option<String>,
    /// Until when the history of a name is kept that has gone; null: it is in force.
    kept_until: Option<String>,
}

/// The application's own OpenAPI document.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct OpenapiDocumentView {
    /// Where it is asked for: `ingress.openapi`.
    path: String,
    /// Between two looks, seconds.
    every_seconds: f64,
    /// waiting (it was not asked for yet), read, missing, broken, too_large or unreachable. Names stay as they are in all but `read`.
    state: &'static str,
    /// Why it names nothing; null: it does, or it was not asked for yet.
    why: Option<String>,
    /// When it was asked for last; null: not yet.
    asked_at: Option<String>,
    /// When the one came whose names are in force; null: none has.
    read_at: Option<String>,
    /// Its operations that have a name now.
    named: usize,
    /// Operations whose path is no template of whole segments, or that of another.
    skipped: usize,
    /// Operations beyond the first 500, and those for which no name was free because too many have gone within the last hour: they are `default`.
    left_out: usize,
}

/// A template that requests have which no route has a name for. It is a guess and is never used.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct SeenTemplateView {
    /// Numbers, ids and dates are parameters, all else is as it was sent.
    template: String,
    /// Requests that were sampled.
    sampled: u64,
    /// Of all that were sampled, 0 to 1.
    share: f64,
    /// Those that were sampled, by method.
    methods: BTreeMap<&'static str, u64>,
}

/// Requests of the last route, `default`, that have no name of their own.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct UnnamedView {
    /// Since when they are counted: the start, a reload, or new names.
    since: String,
    /// Requests since then.
    requests: u64,
    /// Those whose path was looked at: some a second, none beyond 190 bytes.
    sampled: u64,
    /// Sampled ones that have no template below: more than 200 were seen, or a path cannot be written as one.
    others: u64,
    /// The most frequent first, at most 200.
    templates: Vec<SeenTemplateView>,
}

/// The routes of the ingress by name.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RouteNames {
    /// In the order in which they are asked, then those that the application's document names, then names that have gone.
    routes: Vec<RouteNameView>,
    /// null: `ingress.openapi` asks for none.
    document: Option<OpenapiDocumentView>,
    /// What no route has a name for.
    unnamed: UnnamedView,
}

fn route(entry: &RouteEntry) -> RouteNameView {
    let is_last = entry.config.name.as_str() == DEFAULT_ROUTE;
    RouteNameView {
        name: entry.name().to_string(),
        http_route: entry.series.http_route().to_string(),
        named_by: match (is_last, entry.unnamed.is_some()) {
            (false, _) => "config",
            (true, false) => "document",
            (true, true) => "built_in",
        },
        upstream: Some(entry.upstream.config.name.to_string()),
        gone_at: None,
        kept_until: None,
    }
}

fn gone(one: &GoneName, now: Moment) -> RouteNameView {
    let when = |at| Some(clock::rfc3339(now.wall_of(at)));
    RouteNameView {
        name: one.named.name.to_string(),
        http_route: one.named.operation.label(),
        named_by: "document",
        upstream: None,
        gone_at: when(one.since),
        kept_until: when(one.until),
    }
}

fn document(view: DocumentView, named: usize, now: Moment) -> OpenapiDocumentView {
    let when = |at: Option<std::time::Instant>| at.map(|at| clock::rfc3339(now.wall_of(at)));
    OpenapiDocumentView {
        every_seconds: view.every.as_secs_f64(),
        state: view.state.label(),
        why: (!view.says.is_empty()).then_some(view.says),
        asked_at: when(view.asked),
        read_at: when(view.read),
        named,
        skipped: view.skipped,
        left_out: view.beyond + view.unnamed,
        path: view.path,
    }
}

fn unnamed(seen: SeenPaths, now: Moment) -> UnnamedView {
    let SeenPaths { since, requests, sampled, others, templates } = seen;
    let template = |one: crate::telemetry::unnamed::SeenTemplate| SeenTemplateView {
        sampled: one.count(),
        share: one.count() as f64 / sampled.max(1) as f64,
        methods: one.methods.iter().map(|(method, count)| (method.label(), *count)).collect(),
        template: one.template,
    };
    let templates = templates.into_iter().map(template).collect();
    UnnamedView { since: clock::rfc3339(now.wall_of(since)), requests, sampled, others, templates }
}

/// The routes of the ingress, who has named them, and what the requests look like that have no name of their own.
#[cfg_attr(test, utoipa::path(get, path = "/routes", responses((status = 200, body = Observed<RouteNames>))))]
pub(super) async fn names(State(admin): State<Arc<Admin>>) -> Json<Observed<RouteNames>> {
    let (world, now) = (admin.registry.snapshot(), clock::now());
    let in_force = world.counted_routes().map(|entry| route(entry));
    let routes = in_force.chain(admin.registry.gone_names().iter().map(|one| gone(one, now))).collect();
    let named = world.named.as_ref().map_or(0, |named| named.entries().len());
    let view = RouteNames {
        routes,
        document: admin.registry.document().map(|view| document(view, named, now)),
        unnamed: unnamed(admin.telemetry.unnamed.seen(), now),
    };
    Provenance::now().answer(&admin, view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::Method;
    use crate::telemetry::unnamed::SeenTemplate;

    #[test]
    fn what_was_not_seen_is_null_and_a_share_is_of_what_was_sampled() {
        let now = clock::now();
        let seen =
            SeenPaths { since: now.instant, requests: 9, sampled: 4, others: 1, templates: Vec::new() };
        let one = SeenTemplate { template: "/a/{id}".to_owned(), methods: [(Method::Get, 3)].into() };
        let told = unnamed(SeenPaths { templates: vec![one], ..seen.clone() }, now);
        let told = serde_json::to_value(told).expect("serialises");
        assert_eq!(told["templates"][0]["share"], 0.75);
        assert_eq!(told["templates"][0]["methods"]["GET"], 3);
        let none = unnamed(SeenPaths { sampled: 0, ..seen }, now);
        assert!(none.templates.is_empty());
        let wanted = DocumentView::wanted("/o", std::time::Duration::from_millis(1_500));
        let view = DocumentView { beyond: 2, unnamed: 3, ..wanted };
        let told = serde_json::to_value(document(view, 0, now)).expect("serialises");
        let nulls = ["why", "asked_at", "read_at"].map(|field| told[field].is_null());
        assert_eq!(
            (nulls, told["left_out"].as_u64(), told["every_seconds"].as_f64()),
            ([true; 3], Some(5), Some(1.5))
        );
    }
}
