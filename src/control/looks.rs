//! Orders to look at what a runbook checks, and what came of them.

use std::sync::Arc;

use crate::names::IncidentId;
use crate::reliability::runbook::{CheckResult, Runbook};

/// Looks that ask somebody at the same time.
pub(super) const AT_ONCE: usize = 8;

/// A runbook, and what its checks have found.
pub(super) type Found = (Arc<Runbook>, Vec<CheckResult>);

/// An order to make the checks of a runbook.
#[derive(Clone, Debug)]
pub struct RunbookOrder {
    /// The runbook.
    pub name: String,
    /// The incident that it is about; its timeline gets what is found. `None`: none is named.
    pub incident: Option<IncidentId>,
    /// What is looked at; `None`: what the incident is about, else the first service of the runbook.
    pub service: Option<Arc<str>>,
    /// Who orders it.
    pub actor: String,
}

/// What an order has come to.
#[derive(Clone, Debug)]
pub struct RunbookLook {
    pub runbook: Arc<Runbook>,
    pub incident: Option<IncidentId>,
    pub service: Option<Arc<str>>,
    /// What each check has found, in the order of the steps.
    pub found: Vec<CheckResult>,
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunbookRefused {
    #[error("no such runbook{}", known(.0))]
    NoSuchRunbook(Vec<Arc<str>>),
    #[error("no such incident")]
    NoSuchIncident,
    #[error("{} looks go on, and no more may", AT_ONCE / 2)]
    TooMany,
}

fn known(names: &[Arc<str>]) -> String {
    match names {
        [] => "; write [runbooks] directory in the TOML".to_owned(),
        names => format!("; write one of {}", names.join(", ")),
    }
}

/// What the checks of an incident's runbooks have found, once all are answered or their time is over.
pub(super) struct ChecksMade {
    pub(super) id: IncidentId,
    pub(super) found: Vec<Found>,
}
