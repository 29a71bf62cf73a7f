//! Who changed what: read from the audit log on disk; from memory where there is none, or it does not answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::contract::source::Source;
use super::error::ApiError;
use super::mutations::Mutation;
use super::observed::{Observed, Provenance};
use super::request::{self, MOST, Parameters};

/// Rows of one answer unless told otherwise.
const USUAL: u32 = 50;

/// Mutations, the youngest first.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct AuditView {
    /// "store": the log on disk, of every start, and of all sidecars that share the database. "memory": what this start did,
    /// 256 at most, because the store is off or does not answer.
    kept_in: &'static str,
    mutations: Vec<Mutation>,
    /// Send it as `cursor` for those that follow; null: there are none.
    next: Option<String>,
}

/// How many, and from where on.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// 1 to 500; 50 without it.
    #[serde(deserialize_with = "request::limit")]
    #[cfg_attr(test, param(minimum = 1, maximum = 500))]
    limit: Option<u32>,
    /// `next` of the answer before.
    cursor: Option<String>,
}

/// Who changed what and why, the youngest first.
#[cfg_attr(test, utoipa::path(get, path = "/audit", params(AuditQuery), responses((status = 200, body = Observed<AuditView>), (status = 400))))]
pub(super) async fn audit(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<AuditQuery>,
) -> Result<Json<Observed<AuditView>>, ApiError> {
    let limit = wanted.limit.unwrap_or(USUAL).min(MOST);
    let before = wanted.cursor.map(|cursor| {
        let place = cursor.parse::<i64>();
        place.map_err(|_| request::no_cursor(&cursor))
    });
    // One more than wanted says whether others follow.
    let rows = admin.control.records().audit_rows(before.transpose()?, limit + 1).await;
    let Ok(Some(mut rows)) = rows else {
        let mutations = admin.remembered.youngest(limit as usize);
        let view = AuditView { kept_in: "memory", mutations, next: None };
        return Ok(Provenance::now().answer(&admin, view));
    };
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    let mutations = rows.into_iter().map(Mutation::of).collect();
    let view = AuditView { kept_in: "store", mutations, next };
    Ok(Provenance::now().by(Source::Reported).answer(&admin, view))
}
