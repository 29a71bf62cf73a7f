//! Recovery: which plans there are, what runs are at, and the orders about them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::contract::moment::when;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, bad, named, who};
use crate::control::{AuditRecord, Handle, RecoveryView};
use crate::names::RunId;
use crate::reliability::recovery::{Plan, RecoveryCommand, RecoveryRefused, Run, RunOrder, Step, StepRecord};
use crate::reliability::rule::Rule;

/// Plans and runs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RecoveryState {
    /// What plans may do: `off`, `dry_run` or `on`.
    mode: &'static str,
    /// In the order in which they are asked.
    plans: Vec<PlanView>,
    /// Those that go on and the last ones, the latest first; since the start of the process, but for those that an earlier
    /// start has left unfinished.
    runs: Vec<RunView>,
}

/// One plan as it is in force.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct PlanView {
    name: String,
    /// What begins it beside an order, in words; where nothing here sees that, it says `not observable`.
    begins: String,
    /// Incidents that one of these rules has found begin it; none: it runs by order alone.
    rules: Vec<&'static str>,
    /// About one of these; none: about any.
    services: Vec<String>,
    scopes: Vec<String>,
    /// It begins when an incident is suspected, not only when it is confirmed.
    early: bool,
    steps: Vec<PlanStepView>,
    max_attempts: u32,
    retry_delay_seconds: f64,
    verify_for_seconds: f64,
    cooldown_seconds: f64,
    approve_within_seconds: f64,
}

/// One step of a plan.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct PlanStepView {
    action: &'static str,
    /// `act`, `ask` or `dry_run`.
    mode: &'static str,
    /// How long after it the condition may take to be over.
    verify_seconds: f64,
}

/// One run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunView {
    id: String,
    plan: String,
    /// The service that is to recover.
    target: String,
    /// Null: by order, of a target without an incident.
    incident: Option<String>,
    /// Who ordered it; null: an incident began it.
    actor: Option<String>,
    /// Why it was ordered; null: an incident began it.
    reason: Option<String>,
    dry_run: bool,
    began: String,
    /// The pass over the steps, from 1.
    attempt: u32,
    /// What it is at.
    phase: &'static str,
    /// How it ended; null: it goes on.
    outcome: Option<&'static str>,
    /// When it ended; null: it goes on.
    ended: Option<String>,
    /// How long it took, or takes so far.
    seconds: f64,
    /// Since when the condition is over; null: it is not, or nobody sees it.
    well_since: Option<String>,
    steps: Vec<StepView>,
}

/// One step of one pass.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct StepView {
    attempt: u32,
    action: &'static str,
    mode: &'static str,
    began: String,
    ended: Option<String>,
    /// What it came to.
    result: &'static str,
    /// What whoever did it says, or why it was not done.
    detail: String,
    /// Was the condition over within its time? Null: not known yet, or not looked at.
    verified: Option<bool>,
    /// Who approved it; null: nobody was asked.
    approved_by: Option<String>,
}

/// A run that was begun or changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RunChanged {
    run: RunView,
    /// The mutation's id in the audit list.
    audit_id: String,
    /// It is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
}

/// Run a plan now.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct TriggerOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
    /// The plan, by its name; required.
    trigger_condition: Option<String>,
    /// The incident that it is about; none is named without it.
    incident_id: Option<String>,
    context: TriggerContext,
    /// Only say what would be done.
    dry_run: bool,
}

/// What a plan is run on.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct TriggerContext {
    /// The service that is to recover; without it that of the incident, else the first one of the plan.
    service: Option<String>,
}

/// Who says so, and why.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RunDecision {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
}

impl PlanView {
    fn of(plan: &Plan, admin: &Admin) -> Self {
        let texts = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        let step = |step: &Step| PlanStepView {
            action: step.action.label(),
            mode: step.mode.label(),
            verify_seconds: step.verify.as_secs_f64(),
        };
        Self {
            name: plan.name.to_string(),
            begins: begins(plan, admin),
            rules: plan.trigger.rules.iter().copied().map(Rule::label).collect(),
            services: texts(&plan.trigger.services),
            scopes: texts(&plan.trigger.scopes),
            early: plan.trigger.early,
            steps: plan.steps.iter().map(step).collect(),
            max_attempts: plan.max_attempts,
            retry_delay_seconds: plan.retry_delay.as_secs_f64(),
            verify_for_seconds: plan.verify_for.as_secs_f64(),
            cooldown_seconds: plan.cooldown.as_secs_f64(),
            approve_within_seconds: plan.approve_within.as_secs_f64(),
        }
    }
}

/// By what it begins; a plan about upstreams that there are not, or that names no rule, sleeps.
fn begins(plan: &Plan, admin: &Admin) -> String {
    let trigger = &plan.trigger;
    if trigger.rules.is_empty() {
        return "not observable here: it names no rule, and begins by order alone".to_owned();
    }
    let world = admin.registry.snapshot();
    let is_there = |name: &Arc<str>| world.upstreams.keys().any(|one| one.as_str() == &**name);
    let of_upstreams = trigger.rules.iter().all(|rule| rule.is_of_upstream());
    if of_upstreams && !trigger.services.is_empty() && !trigger.services.iter().any(is_there) {
        let names = trigger.services.join(", ");
        return format!("not observable here: there is no upstream {names}; by order alone until there is");
    }
    "by an incident of one of its rules".to_owned()
}

impl RunView {
    fn of(run: &Run, admin: &Admin) -> Self {
        let ended = run.ended();
        let until = ended.map_or_else(|| admin.control.now(), |(_, at)| at);
        Self {
            id: run.id.to_string(),
            plan: run.plan.to_string(),
            target: run.target.to_string(),
            incident: run.incident.as_ref().map(ToString::to_string),
            actor: run.ordered.as_ref().map(|order| order.actor.clone()),
            reason: run.ordered.as_ref().map(|order| order.reason.clone()),
            dry_run: run.dry_run,
            began: when(run.began),
            attempt: run.attempt,
            phase: run.phase.label(),
            outcome: ended.map(|(outcome, _)| outcome.label()),
            ended: ended.map(|(_, at)| when(at)),
            seconds: until.since(run.began).as_secs_f64(),
            well_since: run.well_since.filter(|_| ended.is_none()).map(when),
            steps: run.steps.iter().map(StepView::of).collect(),
        }
    }
}

impl StepView {
    fn of(step: &StepRecord) -> Self {
        Self {
            attempt: step.attempt,
            action: step.action.label(),
            mode: step.mode.label(),
            began: when(step.began),
            ended: step.ended.map(when),
            result: step.result.label(),
            detail: step.detail.clone(),
            verified: step.verified,
            approved_by: step.approved_by.clone(),
        }
    }
}

/// Which plans there are, and what their runs are at.
#[cfg_attr(test, utoipa::path(get, path = "/recovery", responses((status = 200, body = Observed<RecoveryState>))))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<RecoveryState>> {
    let snapshot = admin.control.snapshot();
    let RecoveryView { policy, runs } = &snapshot.recovery;
    let state = RecoveryState {
        mode: policy.mode.label(),
        plans: policy.plans.iter().map(|plan| PlanView::of(plan, &admin)).collect(),
        runs: runs.iter().rev().map(|run| RunView::of(run, &admin)).collect(),
    };
    Provenance::looked(&admin, &snapshot).answer(&admin, state)
}

/// Run a plan now, whether an incident asks for it or not.
#[cfg_attr(test, utoipa::path(post, path = "/recovery/trigger", request_body = TriggerOrder,
    responses((status = 200, body = Observed<RunChanged>), (status = 400), (status = 404), (status = 409), (status = 413))))]
pub(super) async fn trigger(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<RunChanged>>, ApiError> {
    let said: TriggerOrder = request::body(&body)?;
    let plan = said.trigger_condition.ok_or_else(|| {
        bad("which plan? write {\"trigger_condition\": \"database_failure\", \"context\": {\"service\": \"database\"}}".to_owned())
    })?;
    let incident = said.incident_id.as_deref().map(named).transpose()?;
    let (actor, reason) = (who(said.actor), said.reason.unwrap_or_default());
    let order = RunOrder { actor: actor.to_string(), reason: reason.clone() };
    let audit = AuditRecord { actor, action: "recovery.trigger", target: plan.clone(), reason };
    let target = said.context.service.map(Arc::from);
    let command = RecoveryCommand::Trigger { plan, incident, target, dry_run: said.dry_run, order };
    changed(&admin, command, audit).await
}

/// Leave for the step that asks for it.
#[cfg_attr(test, utoipa::path(post, path = "/recovery/{id}/approve", params(("id" = String, Path,)), request_body = RunDecision,
    responses((status = 200, body = Observed<RunChanged>), (status = 404), (status = 409), (status = 413))))]
pub(super) async fn approve(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<RunChanged>>, ApiError> {
    let (run, audit) = decided(&id, &body, "recovery.approve")?;
    let actor = audit.actor.to_string();
    changed(&admin, RecoveryCommand::Approve { run, actor }, audit).await
}

/// End a run. What is being done is not undone.
#[cfg_attr(test, utoipa::path(post, path = "/recovery/{id}/cancel", params(("id" = String, Path,)), request_body = RunDecision,
    responses((status = 200, body = Observed<RunChanged>), (status = 404), (status = 409), (status = 413))))]
pub(super) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<RunChanged>>, ApiError> {
    let (run, audit) = decided(&id, &body, "recovery.cancel")?;
    let (actor, reason) = (audit.actor.to_string(), audit.reason.clone());
    changed(&admin, RecoveryCommand::Cancel { run, actor, reason }, audit).await
}

fn decided(id: &str, body: &Bytes, action: &'static str) -> Result<(RunId, AuditRecord), ApiError> {
    let said: RunDecision = request::body(body)?;
    let run = RunId::read(id).ok_or(ApiError::Recovery(RecoveryRefused::NoSuchRun))?;
    let (actor, reason) = (who(said.actor), said.reason.unwrap_or_default());
    Ok((run, AuditRecord { actor, action, target: id.to_owned(), reason }))
}

async fn changed(
    admin: &Admin,
    command: RecoveryCommand,
    audit: AuditRecord,
) -> Result<Json<Observed<RunChanged>>, ApiError> {
    let (done, audit_id) = request::order(admin, command, audit, Handle::recovery).await?;
    let run = RunView::of(&done.reply, admin);
    Ok(Provenance::now().answer(admin, RunChanged { run, audit_id, stored: done.stored }))
}
