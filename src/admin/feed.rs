//! Incidents as an Atom feed (RFC 4287), for readers and chats that know nothing of this API.
//!
//! An entry is one confirmed incident under the same name for as long as it is known; its `updated` moves when it gets
//! somewhere, not with each line of its timeline, so that a reader tells of it a few times and not a hundred.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;
#[cfg(test)]
use utoipa::IntoParams;

use super::Admin;
use super::contract::moment::when;
use super::error::ApiError;
use super::etag::Tag;
use super::request::{self, Parameters};
use crate::control::Snapshot;
use crate::reliability::incident::{EntryKind, Incident};
use crate::reliability::rule::Severity;
use crate::report::html;
use crate::runtime::clock;
use crate::store::IncidentFilter;
use crate::units::At;

/// Incidents of one feed unless told otherwise.
const USUAL: u32 = 50;
const KIND: &str = "application/atom+xml";

/// Which incidents, and how many.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct FeedQuery {
    /// critical, high, medium or low.
    severity: Option<String>,
    /// An upstream's name, or what else it is about.
    service: Option<String>,
    /// How many are looked at, the youngest first: 1 to 500; 50 without it.
    #[serde(deserialize_with = "request::limit")]
    #[cfg_attr(test, param(minimum = 1, maximum = 500))]
    limit: Option<u32>,
}

/// Confirmed incidents as an Atom feed, the youngest first.
#[cfg_attr(test, utoipa::path(get, path = "/incidents.atom", params(FeedQuery),
    responses((status = 200, content_type = "application/atom+xml", body = String), (status = 304), (status = 400), (status = 503))))]
pub(super) async fn atom(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Parameters(wanted): Parameters<FeedQuery>,
) -> Result<Response, ApiError> {
    request::word("severity", wanted.severity.as_deref(), &Severity::ALL.map(Severity::label))?;
    let snapshot = admin.control.snapshot();
    let limit = wanted.limit.unwrap_or(USUAL);
    let filter = IncidentFilter {
        severity: wanted.severity.clone(),
        service: wanted.service.clone(),
        ..IncidentFilter::default()
    };
    let found = match admin.control.records().search(&filter, None, limit).await? {
        Some(page) => {
            let newest = |one: &Incident| match snapshot.incident(&one.id) {
                Some(at_hand) => entry(at_hand),
                None => entry(one),
            };
            page.rows.iter().map(newest).collect()
        }
        None => at_hand(&snapshot, &wanted, limit as usize),
    };
    let entries: Vec<FeedEntry> = found.into_iter().flatten().collect();
    let feed = feed(admin.control.records().member(), &clock::rfc3339(admin.started.wall), &entries);
    let kind = [(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")];
    Ok(Tag::of_file(&feed).answer(&headers, || (kind, feed.clone())))
}

fn at_hand(snapshot: &Snapshot, wanted: &FeedQuery, limit: usize) -> Vec<Option<FeedEntry>> {
    let fits = |one: &&Arc<Incident>| {
        wanted.severity.as_deref().is_none_or(|severity| severity == one.severity.label())
            && wanted.service.as_deref().is_none_or(|service| service == &*one.key.service)
    };
    snapshot.incidents.iter().filter(fits).take(limit).map(|one| entry(one)).collect()
}

/// One incident, as text.
struct FeedEntry {
    id: String,
    title: String,
    published: At,
    updated: At,
    categories: Vec<&'static str>,
    summary: String,
}

/// `None`: it was never confirmed.
fn entry(one: &Incident) -> Option<FeedEntry> {
    let opened = one.clocks.opened?;
    let drill = one.is_drill().then_some("drill");
    let what = drill.map_or(String::new(), |_| "drill, ".to_owned());
    let title = format!("{} ({what}{}, {})", one.title, one.severity.label(), one.state.label());
    let categories = [one.severity.label(), one.state.label(), one.key.rule.label()].into_iter().chain(drill);
    Some(FeedEntry {
        id: one.id.as_str().to_owned(),
        title,
        published: opened,
        updated: updated(one, opened),
        categories: categories.collect(),
        summary: summary(one),
    })
}

/// When it last got somewhere: it was taken, got better or worse, was over, was reviewed.
fn updated(one: &Incident, opened: At) -> At {
    let clocks = &one.clocks;
    let moments = [clocks.acknowledged, clocks.mitigating, clocks.recovered, clocks.closed, clocks.reviewed];
    let lines =
        one.timeline.iter().filter(|line| matches!(line.kind, EntryKind::State | EntryKind::Severity));
    moments.into_iter().flatten().chain(lines.map(|line| line.at)).fold(opened, At::max)
}

fn summary(one: &Incident) -> String {
    let who = one.assignee.as_deref().or(one.acknowledged_by.as_deref()).unwrap_or("nobody");
    let over = one.clocks.closed.map_or(String::new(), |closed| format!(" It was over at {}.", when(closed)));
    format!(
        "{}: {}. It began at {}; {who} has it.{over}",
        one.key.service,
        one.key.rule.facts().meaning,
        when(one.clocks.began)
    )
}

/// The document. `member` is its author; `begun`: when it was last changed while it has no entry.
fn feed(member: &str, begun: &str, entries: &[FeedEntry]) -> String {
    let member = html(member);
    let newest = entries.iter().map(|entry| entry.updated).max().map_or_else(|| begun.to_owned(), when);
    let entries: String = entries.iter().map(FeedEntry::text).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <id>urn:strop:{member}:incidents</id>\n<title>Incidents of {member}</title>\n<updated>{newest}</updated>\n\
         <author><name>{member}</name></author>\n<generator version=\"{version}\">Strop</generator>\n\
         <link rel=\"self\" type=\"{KIND}\" href=\"/api/v2/sre/incidents.atom\"/>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"/\"/>\n{entries}</feed>\n"
    )
}

impl FeedEntry {
    fn text(&self) -> String {
        let Self { id, title, published, updated, categories, summary } = self;
        let (title, summary) = (html(title), html(summary));
        let categories: String =
            categories.iter().map(|term| format!("<category term=\"{term}\"/>")).collect();
        format!(
            "<entry>\n<id>urn:strop:incident:{id}</id>\n<title>{title}</title>\n<published>{}</published>\n\
             <updated>{}</updated>\n{categories}\n<summary>{summary}</summary>\n\
             <link rel=\"alternate\" type=\"text/html\" href=\"/#/incidents/{id}\"/>\n\
             <link rel=\"related\" type=\"application/json\" href=\"/api/v2/sre/incidents/{id}\"/>\n</entry>\n",
            when(*published),
            when(*updated),
        )
    }
}
