//! The words of the closed sets of the API, by schema and field, for the contract.

use crate::admin::{drills, naming, plain, reports, traffic};
use crate::control::{ReplyWindow, UPTIME_WINDOWS};
use crate::reliability::breaker::{BreakerState, Mode};
use crate::reliability::drill::{DrillEnd, DrillPhase, Fault};
use crate::reliability::failover::{Group, SwitchReason};
use crate::reliability::fleet::Duty;
use crate::reliability::health::Status;
use crate::reliability::incident::State;
use crate::reliability::outbox::{DeadReason, QueuePhase};
use crate::reliability::recovery::{Action, RecoveryMode, RunOutcome, StepMode, StepResult};
use crate::reliability::rule::{Rule, Severity};
use crate::reliability::runbook::{CheckKind, CheckSign};
use crate::reliability::verdict::BadReason;
use crate::store;
use crate::telemetry::application::DocumentState;
use crate::telemetry::labels::ExchangeOutcome;
use crate::telemetry::latency::LatencyWindow;

/// `next` of a page of what is at hand, or of what is on disk.
pub(super) const CURSOR: &str = "^([0-9]{1,15}\\.)?inc_[0-9a-hjkmnp-tv-z]{20}$";
/// `next` of a page of the audit log.
pub(super) const ROW: &str = "^[0-9]{1,18}$";
/// A month of a year, such as 2026-10.
pub(super) const MONTH_OF_A_YEAR: &str = "^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])$";

/// A duration of up to a week, such as 10m.
const WEEK: &str = "^([1-9][0-9]{0,4}s|[1-9][0-9]{0,3}m|([1-9][0-9]?|1[0-5][0-9])h|[1-7]d)$";
/// A duration of up to an hour.
const HOUR: &str = "^([1-9][0-9]{0,2}s|[1-9]m|[1-5][0-9]m|1h)$";
/// A duration of up to a minute.
const DELAY: &str = "^([1-9][0-9]{0,3}ms|[1-5]?[1-9]s)$";
/// A share of more than nothing.
const SHARE: &str = "^([1-9]|[1-9][0-9]|100)%$";
/// A duration of up to a month.
const MONTH: &str = "^([1-9][0-9]{0,4}s|[1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|([1-9]|[12][0-9]|3[01])d)$";
/// A level, of all or of one target.
const FILTER: &str = "^([a-z_]{1,40}=)?(off|error|warn|info|debug|trace)$";
/// A moment as RFC 3339 writes it.
const MOMENT: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$";
/// A day that every month has, so that a client's generator makes no 30 February.
const DAY: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$";

/// A regular expression that a parameter of a tap fits.
pub(super) fn tapped(parameter: &str) -> Option<&'static str> {
    match parameter {
        "status" => Some("^([1-9]xx|[1-9][0-9]{2}|none)$"),
        "slower_than" => Some("^[1-9][0-9]{0,3}(ms|s)$"),
        "header" | "method" => Some("^[A-Za-z0-9_-]{1,200}$"),
        "reason" => Some("^[a-z0-9_]{1,200}$"),
        "sample" => Some(SHARE),
        "limit" => Some("^([1-9][0-9]{0,5}|1000000)$"),
        "for" => Some(HOUR),
        _ => None,
    }
}

/// A regular expression that a text of an order fits, and that all texts fit which the route takes in this form.
pub(super) fn pattern(schema: &str, field: &str) -> Option<&'static str> {
    match (schema, field) {
        ("Order" | "LevelRequest" | "FailoverRequest" | "LogLevelRequest" | "ReadinessRequest", "ttl") => {
            Some(WEEK)
        }
        ("LogLevelRequest", "filter") => Some(FILTER),
        ("DrillRequest", "duration") => Some(HOUR),
        ("DrillRequest", "latency") => Some(DELAY),
        ("DrillRequest", "percent") => Some(SHARE),
        ("SilenceOrder", "for") => Some(MONTH),
        ("SilenceOrder", "from" | "until") => Some(MOMENT),
        ("ActionOrder", "due") => Some(DAY),
        // Something that can be read.
        ("TestOrder", "title") => Some("\\S"),
        _ => None,
    }
}

fn rules() -> Vec<&'static str> {
    Rule::ALL.map(Rule::label).into_iter().chain([Rule::Unknown.label()]).collect()
}

fn breaker() -> Vec<&'static str> {
    [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(BreakerState::label).into()
}

fn outbox() -> Vec<&'static str> {
    use QueuePhase::{Dead, Sending, Waiting, Writing};
    [Writing, Waiting, Sending, Dead(DeadReason::Refused)].map(QueuePhase::label).into()
}

fn failover(schema: &str, field: &str) -> Option<Vec<&'static str>> {
    Some(match (schema, field) {
        (_, "group") => [Group::First, Group::Backup].map(Group::label).into(),
        ("FailoverView", "reason") => SwitchReason::ALL.map(SwitchReason::label).into(),
        _ => return None,
    })
}

fn drill(field: &str) -> Option<Vec<&'static str>> {
    Some(match field {
        "fault" => Fault::LABELS.into(),
        "phase" => DrillPhase::LABELS.into(),
        "end" => DrillEnd::LABELS.into(),
        _ => return None,
    })
}

fn measured(field: &str) -> Option<Vec<&'static str>> {
    Some(match field {
        "window" => traffic::WINDOWS.map(|(name, _)| name).into(),
        "step" => traffic::STEP_LENGTHS.map(|(name, _)| name).into(),
        "direction" => vec!["ingress", "egress"],
        _ => return None,
    })
}

fn made_of(schema: &str, field: &str) -> Option<Vec<&'static str>> {
    Some(match (schema, field) {
        ("UpstreamCertificateView", "validity") => vec!["valid", "not_yet", "over", "not_observable"],
        (_, "validity") => vec!["valid", "not_yet", "over"],
        (_, "named_by") => naming::NAMED_BY.into(),
        _ => return None,
    })
}

fn states(schema: &str) -> Option<Vec<&'static str>> {
    Some(match schema {
        "Query" | "IncidentView" | "Observed_IncidentView" | "DrillIncidentView" | "LiveIncident" => {
            State::ALL.map(State::label).into()
        }
        "HoldView" => [BreakerState::Closed, BreakerState::Open].map(BreakerState::label).into(),
        "Breaker" | "Observed_Breaker" => breaker(),
        "QueuedWriteView" => outbox(),
        "OpenapiDocumentView" => DocumentState::ALL.map(DocumentState::label).into(),
        "SilenceView" => vec!["to_come", "lasting", "ended"],
        "AlertView" => vec!["pending", "firing"],
        "BudgetView" => vec!["met", "warned", "broken"],
        "StoreHealth" => store::DatabaseState::ALL.map(store::DatabaseState::as_str).into(),
        _ => return None,
    })
}

/// The forms in which that operation tells its report.
pub(super) fn forms(operation: &str) -> Vec<&'static str> {
    let forms = match operation.rsplit('_').next() {
        Some("sla") => &reports::SLA_FORMS[..],
        Some("review") => &reports::REVIEW_FORMS,
        _ if operation == "get_drills_id" => &drills::FORMS,
        _ => return plain::FORMS.into(),
    };
    forms.iter().map(|(name, _)| *name).collect()
}

/// The windows that one may ask that operation for.
pub(super) fn windows(operation: &str) -> Vec<&'static str> {
    match operation.rsplit('_').next() {
        Some("performance") => LatencyWindow::ALL.map(LatencyWindow::label).into(),
        Some("uptime") => UPTIME_WINDOWS.into(),
        Some("slo") => ReplyWindow::ALL.map(ReplyWindow::label).into(),
        _ => traffic::WINDOWS.map(|(name, _)| name).into(),
    }
}

/// The words of that field of that schema; `Query`: of that parameter of any route. `None`: it is an open set.
pub(super) fn of(schema: &str, field: &str) -> Option<Vec<&'static str>> {
    Some(match (schema, field) {
        (_, "state") => return states(schema),
        (_, "status") => Status::ALL.map(Status::label).into(),
        (_, "severity") => Severity::ALL.map(Severity::label).into(),
        ("SilenceOrder", "rule") => Rule::ALL.map(Rule::label).into(),
        (_, "rule") => rules(),
        (_, "circuit_breaker" | "shadow_state") | ("BreakerMove", "from" | "to") => breaker(),
        ("Breaker" | "Observed_Breaker", "mode") => Mode::ALL.map(Mode::label).into(),
        ("FailedAttempt", "why") => {
            BadReason::ALL.map(BadReason::label).into_iter().chain(["rate_limited"]).collect()
        }
        ("PlanStepView" | "StepView", "mode") => StepMode::ALL.map(StepMode::label).into(),
        ("RecoveryState" | "Observed_RecoveryState", "mode") => {
            RecoveryMode::ALL.map(RecoveryMode::label).into()
        }
        (_, "action") if matches!(schema, "PlanStepView" | "StepView") => {
            Action::ALL.map(Action::label).into()
        }
        ("AutoView", "action") => Action::ALL.map(Action::label).into(),
        ("RunbookStepView", "kind") => vec!["check", "auto", "ask", "note"],
        ("RunbookStepView" | "CheckView", "check") => CheckKind::LABELS.into(),
        ("CheckView", "result") => CheckSign::ALL.map(CheckSign::label).into(),
        ("QueuedWriteView", "dead_because") => DeadReason::ALL.map(DeadReason::label).into(),
        ("StepView", "result") => StepResult::ALL.map(StepResult::label).into(),
        ("RunView", "phase") => vec!["next", "acting", "verifying", "asking", "resting", "over"],
        ("Query", "outcome") => ExchangeOutcome::ALL.map(ExchangeOutcome::label).into(),
        ("RunView", "outcome") => RunOutcome::ALL.map(RunOutcome::label).into(),
        (_, "duty") => [Duty::Holds, Duty::Follows, Duty::Alone].map(Duty::label).into(),
        ("SilenceView" | "SilenceOrder", "purpose") => vec!["silence", "maintenance"],
        ("MatcherView", "label") => vec!["rule", "service", "scope", "severity"],
        ("MatcherView", "is") => vec!["=", "!="],
        ("DrillRequest" | "DrillView" | "Observed_DrillView", _) => return drill(field),
        ("FailoverView" | "FailoverRequest", _) => return failover(schema, field),
        (_, "raised_by") => vec!["order", "breaker"],
        (_, "kept_in") => vec!["store", "memory"],
        ("SeriesView" | "TrafficView" | "Observed_TrafficView" | "Query", _) => return measured(field),
        (_, "validity" | "named_by") => return made_of(schema, field),
        ("BudgetView", "until") => vec!["first_byte", "last_byte"],
        ("Window", "window") => LatencyWindow::ALL.map(LatencyWindow::label).into(),
        ("Burn", "window") => ReplyWindow::ALL.map(ReplyWindow::label).into(),
        ("Span", "window") => UPTIME_WINDOWS.into(),
        ("ResourceView", "resource") => vec!["cpu", "memory", "disk", "network"],
        ("EntryView", "kind") => vec![
            "state", "signal", "severity", "page", "delivery", "silence", "note", "assigned", "breach",
            "action", "evidence", "runbook", "unknown",
        ],
        _ => return None,
    })
}
