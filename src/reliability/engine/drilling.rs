//! What a drill does is its own: its incidents are marked, and the ledger leaves out what it has spoilt.

use std::sync::Arc;

use crate::reliability::counts::Counts;
use crate::reliability::drill::DrillScope;
use crate::reliability::incident::DrillMark;
use crate::reliability::ledger::Slice;

/// The drill of the last look.
#[derive(Debug, Default)]
pub(super) struct DrillWatch {
    scope: Option<DrillScope>,
    /// Spoilt exchanges that were left out so far.
    spared: u64,
}

impl DrillWatch {
    pub(super) fn see(&mut self, scope: Option<&DrillScope>) {
        let same = self.scope.as_ref().map(|held| &held.id) == scope.map(|seen| &seen.id);
        if !same {
            self.spared = 0;
        }
        self.scope = scope.cloned();
    }

    /// The mark of an incident about `service`, for which `cause` is to blame.
    pub(super) fn mark(&self, service: &Arc<str>, cause: Option<&Arc<str>>) -> Option<DrillMark> {
        let scope = self.scope.as_ref().filter(|scope| scope.covers(service, cause))?;
        Some(DrillMark { id: Arc::clone(&scope.id), calls: scope.calls })
    }

    /// The name of the drill.
    pub(super) fn id(&self) -> Option<Arc<str>> {
        self.scope.as_ref().map(|scope| Arc::clone(&scope.id))
    }

    /// What a second of an upstream counts as: a bad one of the drill's is announced work.
    pub(super) fn seen_of(&self, upstream: &Arc<str>, seen: Slice) -> Slice {
        let is_own = self.scope.as_ref().is_some_and(|scope| scope.upstream == *upstream);
        match seen {
            Slice::Down | Slice::Degraded if is_own => Slice::Maintenance,
            Slice::Unknown | Slice::Up | Slice::Degraded | Slice::Down | Slice::Maintenance => seen,
        }
    }

    /// The answers of a second without those that the drill has spoilt. A spoilt one that is counted a look later is left
    /// out then.
    pub(super) fn spare(&mut self, counts: Counts) -> Counts {
        let Some(scope) = &self.scope else { return counts };
        let spoilt = scope.spoilt.saturating_sub(self.spared).min(counts.bad);
        self.spared += spoilt;
        Counts { bad: counts.bad - spoilt, ..counts }
    }
}
