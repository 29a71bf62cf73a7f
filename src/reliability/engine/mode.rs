//! What an engine is for, and what exists only then.
//!
//! An engine with evidence has a detector, alerts and ledgers; a mirror has none of them. Which of its effects go out is
//! decided by the mode in one place, `Engine::effects`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::tracked::Tracked;
use crate::names::IncidentId;
use crate::reliability::detect::Detector;
use crate::reliability::ledger::Ledger;
use crate::reliability::rule::AlertKey;
use crate::units::At;

/// What an engine is for, as others ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its incidents are the fleet's: stored, told, called out.
    Acts,
    /// It follows the evidence; of its effects only the ledger goes out.
    Watches,
    /// It shows what another one's engine has stored and takes orders; it is never given readings.
    Mirrors,
}

/// What an engine is for, with what it has for that.
#[derive(Debug)]
pub(super) enum EngineMode {
    /// Its incidents are the fleet's.
    Acting(Evidence),
    /// It is ready to act; another member does.
    Watching(Evidence),
    /// It shows what is stored. `held`: the alerts that hold in the fleet.
    Mirror { held: BTreeSet<AlertKey> },
}

/// What comes of readings, and is kept from one look to the next.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) detector: Detector,
    pub(super) alerts: BTreeMap<AlertKey, Tracked>,
    pub(super) ledgers: BTreeMap<Arc<str>, Ledger>,
    /// Names this process in the ledger; new with every start.
    pub(super) source: Arc<str>,
    /// The end of the last pause of the process.
    pub(super) resumed: At,
}

impl Evidence {
    pub(super) fn new(source: Arc<str>, now: At) -> Self {
        let (alerts, ledgers) = (BTreeMap::new(), BTreeMap::new());
        Self { detector: Detector::new(now), alerts, ledgers, source, resumed: At::default() }
    }
}

/// The alerts of a mirror.
static NO_ALERTS: BTreeMap<AlertKey, Tracked> = BTreeMap::new();

impl EngineMode {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Acting(_) => Role::Acts,
            Self::Watching(_) => Role::Watches,
            Self::Mirror { .. } => Role::Mirrors,
        }
    }

    pub(super) fn acts(&self) -> bool {
        matches!(self, Self::Acting(_))
    }

    pub(super) fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Acting(evidence) | Self::Watching(evidence) => Some(evidence),
            Self::Mirror { .. } => None,
        }
    }

    pub(super) fn evidence_mut(&mut self) -> Option<&mut Evidence> {
        match self {
            Self::Acting(evidence) | Self::Watching(evidence) => Some(evidence),
            Self::Mirror { .. } => None,
        }
    }

    /// Another mode with the same evidence. A mirror stays one.
    pub(super) fn turn(&mut self, to: fn(Evidence) -> Self) {
        *self = match std::mem::replace(self, Self::Mirror { held: BTreeSet::new() }) {
            Self::Acting(evidence) | Self::Watching(evidence) => to(evidence),
            mirror @ Self::Mirror { .. } => mirror,
        };
    }

    /// The live alerts: none of a mirror.
    pub(super) fn alerts(&self) -> &BTreeMap<AlertKey, Tracked> {
        self.evidence().map_or(&NO_ALERTS, |evidence| &evidence.alerts)
    }

    /// The same, to change them.
    pub(super) fn alerts_mut(&mut self) -> impl Iterator<Item = (&AlertKey, &mut Tracked)> {
        self.evidence_mut().into_iter().flat_map(|evidence| &mut evidence.alerts)
    }

    pub(super) fn alert_mut(&mut self, key: &AlertKey) -> Option<&mut Tracked> {
        self.evidence_mut()?.alerts.get_mut(key)
    }

    pub(super) fn track(&mut self, key: AlertKey, tracked: Tracked) {
        if let Some(evidence) = self.evidence_mut() {
            evidence.alerts.insert(key, tracked);
        }
    }

    pub(super) fn let_go(&mut self, key: &AlertKey) -> Option<Tracked> {
        self.evidence_mut()?.alerts.remove(key)
    }

    /// No alert belongs to this incident any more.
    pub(super) fn let_go_all_of(&mut self, id: &IncidentId) {
        if let Some(evidence) = self.evidence_mut() {
            evidence.alerts.retain(|_, tracked| tracked.incident != *id);
        }
    }
}
