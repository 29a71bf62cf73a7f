//! Checks of runbooks: how many were made, and what they found.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::family::Family;
use crate::reliability::runbook::{CheckKind, CheckSign};

type CheckKey = (String, &'static str, &'static str);

/// What is counted of runbooks. Its labels are configured names and closed sets.
#[derive(Debug, Default)]
pub struct RunbookMetrics(Mutex<BTreeMap<CheckKey, u64>>);

impl RunbookMetrics {
    /// A check was made.
    pub fn checked(&self, runbook: &str, what: CheckKind, sign: CheckSign) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((runbook.to_owned(), what.label(), sign.label())).or_default() += 1;
    }

    pub(super) fn families(&self) -> [Family; 1] {
        let mut checks = Family::counter("runbook_checks_total", "Checks of runbooks, by what they found.");
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((runbook, check, result), count) in all.iter() {
            checks.count(&[("runbook", runbook), ("check", check), ("result", result)], *count);
        }
        [checks]
    }
}
