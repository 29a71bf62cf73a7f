//! How much people have written, counted once a version of an incident.

use std::collections::BTreeMap;

use crate::names::IncidentId;
use crate::reliability::incident::Incident;

/// What people have written on each incident, as of a version of it.
#[derive(Debug, Default)]
pub(super) struct Sizes(BTreeMap<IncidentId, (u64, usize)>);

impl Sizes {
    /// Bytes of all of them.
    pub(super) fn total<'a>(&mut self, incidents: impl Iterator<Item = &'a Incident>) -> usize {
        let before = std::mem::take(&mut self.0);
        let size = |one: &Incident| match before.get(&one.id) {
            Some((version, bytes)) if *version == one.version => *bytes,
            Some(_) | None => one.written().bytes,
        };
        self.0 = incidents.map(|one| (one.id.clone(), (one.version, size(one)))).collect();
        self.0.values().map(|(_, bytes)| bytes).sum()
    }
}
