//! Runbooks: what there is, what a step would do, and a look at what one checks.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, bad, named, who};
use crate::config::RunbooksConfig;
use crate::control::{AuditRecord, Handle, RunbookLook, RunbookOrder, RunbookRefused};
use crate::reliability::engine::Command;
use crate::reliability::recovery::{Action, Plan, RecoveryMode, RecoveryPolicy, StepMode};
use crate::reliability::rule::Rule;
use crate::reliability::runbook::{CheckResult, Runbook, RunbookStep, RunbookStepKind, plan_of};

/// All runbooks.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunbookList {
    /// The directory that they were read from; null: none is configured.
    directory: Option<String>,
    /// How long checks that ask somebody may take, and how much later a call may go out for them.
    within_seconds: f64,
    /// In the order of the names of their files.
    runbooks: Vec<RunbookSummary>,
}

/// One runbook, without its steps.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunbookSummary {
    name: String,
    title: String,
    /// Its checks are made when an incident opens that one of these rules has found; none: of any, where services are named.
    rules: Vec<&'static str>,
    /// About one of these; none: about any, where rules are named.
    services: Vec<String>,
    /// Or one that one of these plans is for.
    plans: Vec<String>,
    /// How many steps it has.
    steps: usize,
}

/// One runbook.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunbookView {
    runbook: RunbookSummary,
    /// In the order in which they are read.
    steps: Vec<RunbookStepView>,
}

/// One step of a runbook.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunbookStepView {
    /// From 1.
    number: usize,
    /// The part of the runbook that it stands in; empty: in none.
    part: String,
    text: String,
    kind: &'static str,
    /// What is looked at; null: nothing is.
    check: Option<&'static str>,
    /// The upstream or route that is looked at; null: what the incident is about, or nothing is looked at.
    of: Option<String>,
    /// What would be done; null: nothing is done by Strop.
    auto: Option<AutoView>,
}

/// What an `auto` step leads to.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct AutoView {
    action: &'static str,
    /// The plan that does it; null: none that is configured does.
    plan: Option<String>,
    /// What would be done, in a sentence.
    would: String,
    /// The order that does it now; null: there is none.
    order: Option<AutoOrder>,
}

/// An order that somebody can give.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct AutoOrder {
    method: &'static str,
    path: &'static str,
    /// The plan.
    trigger_condition: String,
}

/// Make the checks of a runbook.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RunbookRunOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
    /// The incident that it is about: its timeline gets what is found.
    incident_id: Option<String>,
    /// What is looked at; without it what the incident is about, else the first service of the runbook.
    service: Option<String>,
}

/// A person has done a step.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RunbookDoneOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// What is to be said of it; kept on the timeline and in the audit log.
    reason: Option<String>,
    /// The incident whose timeline gets a line; required.
    incident_id: Option<String>,
    /// The number of an `ask` or `note` step, from 1; required.
    step: Option<u32>,
}

/// A step that a person has done.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunbookDone {
    runbook: String,
    step: usize,
    text: String,
    incident: String,
    /// The order's id in the audit list.
    audit_id: String,
    /// It is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
}

/// What the checks of a runbook have found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunbookRun {
    runbook: String,
    /// The incident whose timeline has it; null: none was named.
    incident: Option<String>,
    /// What was looked at; null: nothing was named, and each check says of what it is.
    service: Option<String>,
    checks: Vec<CheckView>,
    /// The steps that are left to people and plans, in their order.
    left: Vec<RunbookStepView>,
    /// The order's id in the audit list.
    audit_id: String,
    /// It is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
}

/// What one check has found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct CheckView {
    /// The number of its step.
    step: usize,
    text: String,
    check: &'static str,
    /// Of what; null: of nothing that has a name.
    of: Option<String>,
    result: &'static str,
    /// What was found, in a sentence.
    says: String,
}

impl RunbookSummary {
    fn of(one: &Runbook) -> Self {
        let texts = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        Self {
            name: one.name.to_string(),
            title: one.title.clone(),
            rules: one.scope.rules.iter().copied().map(Rule::label).collect(),
            services: texts(&one.scope.services),
            plans: texts(&one.scope.plans),
            steps: one.steps.len(),
        }
    }
}

impl RunbookStepView {
    fn of(number: usize, step: &RunbookStep, policy: &RecoveryPolicy) -> Self {
        let (mut check, mut of, mut auto) = (None, None, None);
        match &step.kind {
            RunbookStepKind::Check(made) => {
                check = Some(made.what.label());
                of = made.of.as_ref().map(ToString::to_string);
            }
            RunbookStepKind::Auto { action, plan } => {
                auto = Some(AutoView::of(*action, plan.as_deref(), policy));
            }
            RunbookStepKind::Ask | RunbookStepKind::Note => {}
        }
        let (part, text, kind) = (step.part.clone(), step.text.clone(), step.kind.label());
        Self { number, part, text, kind, check, of, auto }
    }

    fn all<'a>(
        runbook: &'a Runbook,
        policy: &'a RecoveryPolicy,
        which: impl Fn(&RunbookStepKind) -> bool + 'a,
    ) -> impl Iterator<Item = Self> + 'a {
        let steps = (1..).zip(&runbook.steps).filter(move |(_, step)| which(&step.kind));
        steps.map(move |(number, step)| Self::of(number, step, policy))
    }
}

impl AutoView {
    fn of(action: Action, named: Option<&str>, policy: &RecoveryPolicy) -> Self {
        let label = action.label();
        let plan = plan_of(policy, action, named);
        let would = match (plan, named) {
            (None, Some(name)) => format!("nothing: no plan {name} with {label} is configured"),
            (None, None) => format!("nothing: no plan with {label} is configured"),
            (Some(_), _) if policy.mode == RecoveryMode::Off => {
                "nothing: recovery.mode is \"off\"".to_owned()
            }
            (Some(plan), _) => would(plan, policy.mode),
        };
        let order = plan.filter(|_| policy.mode != RecoveryMode::Off).map(|plan| AutoOrder {
            method: "POST",
            path: "/api/v2/sre/recovery/trigger",
            trigger_condition: plan.name.to_string(),
        });
        Self { action: label, plan: plan.map(|plan| plan.name.to_string()), would, order }
    }
}

/// All that a run of the plan does, step by step.
fn would(plan: &Plan, mode: RecoveryMode) -> String {
    let step = |one: &crate::reliability::recovery::Step| {
        let how = match (mode, one.mode) {
            (RecoveryMode::DryRun, _) | (_, StepMode::DryRun) => " (said, not done)",
            (_, StepMode::Ask) => " (once somebody approves)",
            (_, StepMode::Act) => "",
        };
        format!("{}{how}", one.action.label())
    };
    let steps: Vec<String> = plan.steps.iter().map(step).collect();
    format!("plan {}: {}, until the condition is over", plan.name, steps.join(", then "))
}

impl CheckView {
    fn of(one: &CheckResult) -> Self {
        Self {
            step: one.step,
            text: one.text.clone(),
            check: one.what.label(),
            of: one.of.as_ref().map(ToString::to_string),
            result: one.sign.label(),
            says: one.says.clone(),
        }
    }
}

impl From<RunbookRefused> for ApiError {
    fn from(refused: RunbookRefused) -> Self {
        Self::Runbook(refused)
    }
}

/// Which runbooks there are.
#[cfg_attr(test, utoipa::path(get, path = "/runbooks", responses((status = 200, body = Observed<RunbookList>))))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<RunbookList>> {
    let config = Arc::clone(&admin.registry.snapshot().config);
    let RunbooksConfig { directory, all, within, .. } = &*config.runbooks;
    let list = RunbookList {
        directory: directory.as_ref().map(|directory| directory.display().to_string()),
        within_seconds: within.as_secs_f64(),
        runbooks: all.iter().map(|one| RunbookSummary::of(one)).collect(),
    };
    Provenance::now().answer(&admin, list)
}

/// One runbook with its steps, and what each `auto` step would do.
#[cfg_attr(test, utoipa::path(get, path = "/runbooks/{name}", params(("name" = String, Path,)),
    responses((status = 200, body = Observed<RunbookView>), (status = 404))))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Observed<RunbookView>>, ApiError> {
    let config = Arc::clone(&admin.registry.snapshot().config);
    let known = || config.runbooks.all.iter().map(|one| Arc::clone(&one.name)).collect();
    let one = config.runbooks.named(&name).ok_or_else(|| RunbookRefused::NoSuchRunbook(known()))?;
    let steps = RunbookStepView::all(one, &config.recovery.policy, |_| true).collect();
    Ok(Provenance::now().answer(&admin, RunbookView { runbook: RunbookSummary::of(one), steps }))
}

/// Make the checks of a runbook now. No step is done by it.
#[cfg_attr(test, utoipa::path(post, path = "/runbooks/{name}/run", params(("name" = String, Path,)), request_body = RunbookRunOrder,
    responses((status = 200, body = Observed<RunbookRun>), (status = 400), (status = 404), (status = 409), (status = 413))))]
pub(super) async fn run(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<RunbookRun>>, ApiError> {
    let said: RunbookRunOrder = request::body(&body)?;
    let incident = said.incident_id.as_deref().map(named).transpose()?;
    let (actor, reason) = (who(said.actor), said.reason.unwrap_or_default());
    let service = said.service.filter(|name| !name.trim().is_empty()).map(Arc::from);
    let command = RunbookOrder { name: name.clone(), incident, service, actor: actor.to_string() };
    let audit = AuditRecord { actor, action: "runbook.run", target: name, reason };
    let (done, audit_id) = request::order(&admin, command, audit, Handle::runbook).await?;
    let RunbookLook { runbook, incident, service, found } = &done.reply;
    let policy = &admin.registry.snapshot().config.recovery.policy;
    let people = |kind: &RunbookStepKind| !matches!(kind, RunbookStepKind::Check(_) | RunbookStepKind::Note);
    let run = RunbookRun {
        runbook: runbook.name.to_string(),
        incident: incident.as_ref().map(ToString::to_string),
        service: service.as_ref().map(ToString::to_string),
        checks: found.iter().map(CheckView::of).collect(),
        left: RunbookStepView::all(runbook, policy, people).collect(),
        audit_id,
        stored: done.stored,
    };
    Ok(Provenance::now().answer(&admin, run))
}

/// A step that is left to people was done: a line on the timeline of the incident says so, and by whom.
#[cfg_attr(test, utoipa::path(post, path = "/runbooks/{name}/done", params(("name" = String, Path,)), request_body = RunbookDoneOrder,
    responses((status = 200, body = Observed<RunbookDone>), (status = 400), (status = 404), (status = 409), (status = 413), (status = 429))))]
pub(super) async fn done(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<RunbookDone>>, ApiError> {
    let said: RunbookDoneOrder = request::body(&body)?;
    let config = Arc::clone(&admin.registry.snapshot().config);
    let known = || config.runbooks.all.iter().map(|one| Arc::clone(&one.name)).collect();
    let one = config.runbooks.named(&name).ok_or_else(|| RunbookRefused::NoSuchRunbook(known()))?;
    let number = said.step.and_then(|step| usize::try_from(step).ok()).unwrap_or_default();
    let step = number.checked_sub(1).and_then(|at| one.steps.get(at));
    let for_people = |step: &&RunbookStep| matches!(step.kind, RunbookStepKind::Ask | RunbookStepKind::Note);
    let step = step.filter(for_people).ok_or_else(|| {
        let steps: Vec<String> = (1..)
            .zip(&one.steps)
            .filter(|(_, step)| for_people(step))
            .map(|(number, _): (usize, _)| number.to_string())
            .collect();
        bad(format!("step {number} is none that people do; write \"step\" as one of {}", steps.join(", ")))
    })?;
    let id = named(said.incident_id.as_deref().unwrap_or_default())?;
    let (actor, reason) = (who(said.actor), said.reason.unwrap_or_default());
    let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let text = format!("runbook {name}, step {number} is done: {}{because}", step.text);
    let command = Command::Note { id: id.clone(), actor: actor.to_string(), text: text.clone() };
    let audit = AuditRecord { actor, action: "runbook.done", target: id.to_string(), reason: text };
    let (done, audit_id) = request::order(&admin, command, audit, Handle::order).await?;
    let answer = RunbookDone {
        runbook: name,
        step: number,
        text: step.text.clone(),
        incident: id.to_string(),
        audit_id,
        stored: done.stored,
    };
    Ok(Provenance::now().answer(&admin, answer))
}
