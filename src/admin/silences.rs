//! Hold calls back for a while, announce maintenance, end both.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use super::contract::moment::when;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, Parameters, bad};
use super::{Admin, services};
use crate::control::{AuditRecord, Handle};
use crate::names;
use crate::reliability::engine::SilenceCommand;
use crate::reliability::incident::Refused;
use crate::reliability::rule::{Rule, Severity};
use crate::reliability::silence::{Comparison, Label, Matcher, Purpose, Silence};
use crate::units::{At, Written as _};

/// The longest one: nobody remembers why after a month.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);
/// Ended ones of one answer.
const ENDED: u32 = 1_000;

/// One condition on an incident.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct MatcherView {
    /// rule, service, scope or severity.
    label: String,
    /// "=" or "!="; "=" without it.
    #[serde(default = "is")]
    is: String,
    /// With what it is compared.
    value: String,
}

fn is() -> String {
    "=".to_owned()
}

/// A silence or maintenance to be.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct SilenceOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why calls are held back; required.
    reason: Option<String>,
    /// silence: calls are held back. maintenance: also marked in the ledger, not counted as downtime. silence without it.
    purpose: Option<String>,
    /// Only incidents of this rule.
    rule: Option<String>,
    /// Only of this service: an upstream's name, or "service" for the whole.
    service: Option<String>,
    /// Only of this severity.
    severity: Option<String>,
    /// More conditions; all of them must fit. A silence has at least one; maintenance without any is of everything.
    matchers: Vec<MatcherView>,
    /// RFC 3339; now without it.
    from: Option<String>,
    /// How long, such as "2h"; at most 31 days. Either this or `until`.
    #[serde(rename = "for")]
    lasts: Option<String>,
    /// When it ends, RFC 3339. Either this or `for`.
    until: Option<String>,
    /// Also of a service that nothing here is named after: one that is to come.
    force: bool,
}

/// A silence or maintenance.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct SilenceView {
    id: String,
    /// One of silence and maintenance.
    purpose: &'static str,
    /// to_come, lasting or ended.
    state: &'static str,
    /// All of them must fit; none: everything.
    matchers: Vec<MatcherView>,
    from: String,
    until: String,
    actor: String,
    reason: String,
}

/// Silences and maintenances, with how many there are.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Silences {
    /// Those that last or are to come, then those that have ended.
    silences: Vec<SilenceView>,
    /// Ended ones are kept on disk; null: they were not asked for, or there is no store.
    ended: Option<usize>,
}

/// One that was changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct SilenceChanged {
    silence: SilenceView,
    /// The mutation's id in the audit list.
    audit_id: String,
    /// It is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
}

/// Who ends a silence, and why.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct SilenceEnd {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why it ends; kept in the audit log.
    reason: Option<String>,
}

/// Which silences the list holds.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct WantedSilences {
    /// 1: also those that have ended.
    #[serde(deserialize_with = "request::flag")]
    all: bool,
}

const LABELS: [(Label, &str); 4] = [
    (Label::Rule, "rule"),
    (Label::Service, "service"),
    (Label::Scope, "scope"),
    (Label::Severity, "severity"),
];

impl SilenceView {
    fn of(silence: &Silence, now: At) -> Self {
        let matcher = |matcher: &Matcher| MatcherView {
            label: word(matcher.label).to_owned(),
            is: sign(matcher.is).to_owned(),
            value: matcher.value.clone(),
        };
        Self {
            id: names::silence_id(silence.number),
            purpose: match silence.purpose {
                Purpose::Silence => "silence",
                Purpose::Maintenance => "maintenance",
            },
            state: if silence.lasts(now) {
                "lasting"
            } else if now < silence.from && silence.from < silence.until {
                "to_come"
            } else {
                "ended"
            },
            matchers: silence.matchers.iter().map(matcher).collect(),
            from: when(silence.from),
            until: when(silence.until),
            actor: silence.actor.clone(),
            reason: silence.reason.clone(),
        }
    }
}

/// What holds calls back now or will do so; with `all=1` also what did.
#[cfg_attr(test, utoipa::path(get, path = "/silences", params(WantedSilences),
    responses((status = 200, body = Observed<Silences>), (status = 400), (status = 503))))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<WantedSilences>,
) -> Result<Json<Observed<Silences>>, ApiError> {
    let now = admin.control.now();
    let snapshot = admin.control.snapshot();
    let mut silences: Vec<_> = snapshot.silences.iter().map(|one| SilenceView::of(one, now)).collect();
    let ended = if wanted.all { admin.control.records().ended_silences(now, ENDED).await? } else { None };
    let at_hand = |one: &&Silence| snapshot.silences.iter().any(|held| held.number == one.number);
    let more = ended.iter().flatten().filter(|one| !at_hand(one));
    silences.extend(more.map(|one| SilenceView::of(one, now)));
    let view = Silences { silences, ended: ended.map(|ended| ended.len()) };
    Ok(Provenance::looked(&admin, &snapshot).answer(&admin, view))
}

/// Hold calls back, or announce maintenance. Both end by themselves.
#[cfg_attr(test, utoipa::path(post, path = "/silences", request_body = SilenceOrder,
    responses((status = 200, body = Observed<SilenceChanged>), (status = 400), (status = 413), (status = 429))))]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<SilenceChanged>>, ApiError> {
    let said: SilenceOrder = request::body(&body)?;
    let force = said.force;
    let silence = read(said, admin.control.now())?;
    if !force && silence.check(admin.control.now()).is_ok() {
        known(&admin, &silence)?;
    }
    let (action, actor) = (action(silence.purpose), request::who(Some(silence.actor.clone())));
    let target = silence.matchers.iter().map(written).collect::<Vec<_>>().join(" ");
    let target = if target.is_empty() { "everything".to_owned() } else { target };
    let audit = AuditRecord { actor, action, target, reason: silence.reason.clone() };
    changed(&admin, SilenceCommand::Begin(silence), audit).await
}

/// End a silence or maintenance now.
#[cfg_attr(test, utoipa::path(delete, path = "/silences/{id}", params(("id" = String, Path,)), request_body = SilenceEnd,
    responses((status = 200, body = Observed<SilenceChanged>), (status = 404), (status = 413))))]
pub(super) async fn remove(
    state: State<Arc<Admin>>,
    id: Path<String>,
    body: Bytes,
) -> Result<Json<Observed<SilenceChanged>>, ApiError> {
    end(state, id, body).await
}

/// End a silence or maintenance now.
#[cfg_attr(test, utoipa::path(post, path = "/silences/{id}/end", params(("id" = String, Path,)), request_body = SilenceEnd,
    responses((status = 200, body = Observed<SilenceChanged>), (status = 404), (status = 413))))]
pub(super) async fn end(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<SilenceChanged>>, ApiError> {
    let said: SilenceEnd = request::body(&body)?;
    let number = names::read_silence_id(&id).ok_or(ApiError::Refused(Refused::NoSuchSilence))?;
    let actor = request::who(said.actor);
    let reason = said.reason.unwrap_or_default();
    let audit = AuditRecord { actor: actor.clone(), action: "silence.end", target: id, reason };
    changed(&admin, SilenceCommand::End { number, actor: actor.to_string() }, audit).await
}

/// Is there something of each name that it is about? One that is spelt wrong would hold nothing back.
fn known(admin: &Admin, silence: &Silence) -> Result<(), ApiError> {
    let services = silence.matchers.iter().filter(|matcher| matcher.label == Label::Service);
    let known = services::known(admin);
    match services.map(|matcher| &matcher.value).find(|name| !known.contains(*name)) {
        Some(name) => {
            Err(ApiError::UnknownService { name: name.clone(), known: known.into_iter().collect() })
        }
        None => Ok(()),
    }
}

fn action(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Silence => "silence.create",
        Purpose::Maintenance => "maintenance.create",
    }
}

async fn changed(
    admin: &Admin,
    command: SilenceCommand,
    audit: AuditRecord,
) -> Result<Json<Observed<SilenceChanged>>, ApiError> {
    let (done, audit_id) = request::order(admin, command, audit, Handle::silence).await?;
    let silence = SilenceView::of(&done.reply, admin.control.now());
    Ok(Provenance::now().answer(admin, SilenceChanged { silence, audit_id, stored: done.stored }))
}

fn word(label: Label) -> &'static str {
    LABELS.iter().find(|(known, _)| *known == label).map_or("", |(_, word)| word)
}

fn sign(is: Comparison) -> &'static str {
    match is {
        Comparison::Is => "=",
        Comparison::IsNot => "!=",
    }
}

fn written(matcher: &Matcher) -> String {
    format!("{}{}{}", word(matcher.label), sign(matcher.is), matcher.value)
}

fn read(said: SilenceOrder, now: At) -> Result<Silence, ApiError> {
    let purpose = match said.purpose.as_deref() {
        None | Some("silence") => Purpose::Silence,
        Some("maintenance") => Purpose::Maintenance,
        Some(other) => {
            return Err(bad(format!("purpose {other:?} is none; write \"silence\" or \"maintenance\"")));
        }
    };
    let short = [("rule", said.rule), ("service", said.service), ("severity", said.severity)];
    let short = short
        .into_iter()
        .filter_map(|(label, value)| Some(MatcherView { label: label.to_owned(), is: is(), value: value? }));
    let matchers = short.chain(said.matchers).map(matcher).collect::<Result<Vec<_>, _>>()?;
    let from = said.from.map_or(Ok(now), |text| request::moment("from", &text))?;
    let until = end_of(from, said.lasts.as_deref(), said.until.as_deref())?;
    if until.since(from) > LONGEST {
        return Err(bad("it would last longer than 31 days; write an earlier end".to_owned()));
    }
    let (actor, reason) = (request::who(said.actor).to_string(), said.reason.unwrap_or_default());
    Ok(Silence { number: 0, purpose, matchers, from, until, actor, reason })
}

fn end_of(from: At, lasts: Option<&str>, until: Option<&str>) -> Result<At, ApiError> {
    match (lasts, until) {
        (Some(text), None) => match Duration::read(text) {
            Some(lasts) if !lasts.is_zero() => Ok(from + lasts),
            Some(_) | None => Err(bad(format!("for {text:?} is no duration; write \"2h\""))),
        },
        (None, Some(text)) => request::moment("until", text),
        (Some(_), Some(_)) => Err(bad("for and until say the same twice; write one of them".to_owned())),
        (None, None) => Err(bad("it has no end; write \"for\": \"2h\", or until".to_owned())),
    }
}

fn matcher(said: MatcherView) -> Result<Matcher, ApiError> {
    let Some((label, _)) = LABELS.into_iter().find(|(_, word)| *word == said.label) else {
        return Err(bad(format!("label {:?} is none; write rule, service, scope or severity", said.label)));
    };
    let is = match said.is.as_str() {
        "=" => Comparison::Is,
        "!=" => Comparison::IsNot,
        other => return Err(bad(format!("is {other:?} compares nothing; write \"=\" or \"!=\""))),
    };
    let known: Vec<&str> = match label {
        Label::Rule => Rule::ALL.map(Rule::label).to_vec(),
        Label::Severity => Severity::ALL.map(Severity::label).to_vec(),
        Label::Service | Label::Scope => Vec::new(),
    };
    if !known.is_empty() && !known.contains(&said.value.as_str()) {
        return Err(bad(format!("{} {:?} is none; write {}", said.label, said.value, known.join(", "))));
    }
    if said.value.trim().is_empty() && label != Label::Scope {
        return Err(bad(format!("{} is empty; write what it is compared with", said.label)));
    }
    Ok(Matcher { label, is, value: said.value })
}
