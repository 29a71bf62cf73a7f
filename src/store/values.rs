//! Rows as values of the core.
//!
//! One reading for all who read, and one treatment of a row that cannot be read: it is told, left out, and stays on disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};

use super::rows::{LedgerMinute, NewEntry};
use crate::reliability::counts::Counts;
use crate::reliability::incident::Entry;
use crate::reliability::ledger::{Minute, MinuteShare, Slices};
use crate::telemetry::event::StoreEvent;

/// The value that the body of row `id` holds.
pub fn value<T: DeserializeOwned>(id: &str, body: &str) -> Option<T> {
    serde_json::from_str(body).map_err(|error| unreadable(id, &error.to_string())).ok()
}

/// A row that cannot be read.
fn unreadable(id: &str, error: &str) {
    StoreEvent::Unreadable { id, error }.tell();
}

/// Lines of a timeline.
pub fn lines(rows: &[NewEntry]) -> Vec<Entry> {
    rows.iter().filter_map(|line| value(&line.incident_id, &line.body)).collect()
}

/// The names that minutes share: each is allocated once.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

/// A minute of the ledger as one start of one sidecar saw it.
pub fn minute(row: &LedgerMinute, names: &mut Names) -> Option<Minute> {
    let read = share(row).map_err(|why| {
        unreadable(&format!("{} of {} at {}", row.service, row.member, row.minute), &why);
    });
    let by = [(names.shared(&row.boot), read.ok()?)].into();
    Some(Minute { subject: names.shared(&row.service), minute: row.minute.div_euclid(60_000), by })
}

fn share(row: &LedgerMinute) -> Result<MinuteShare, String> {
    let read = StrDeserializer::<Error>::new(&row.slices);
    let slices = <Slices as serde::Deserialize>::deserialize(read).map_err(|error| error.to_string())?;
    let counted = |number: i64| u64::try_from(number).map_err(|_| format!("{number} exchanges"));
    let (good, total) = (counted(row.good)?, counted(row.total)?);
    let bad = total.checked_sub(good).ok_or_else(|| format!("{good} good ones of {total}"))?;
    Ok(MinuteShare { slices, counts: Counts { good, bad } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(slices: &str, good: i64, total: i64) -> LedgerMinute {
        let text = |text: &str| text.to_owned();
        let (member, service, boot) = (text("m"), text("service"), text("b"));
        LedgerMinute { member, service, minute: 120_000, boot, slices: text(slices), good, total }
    }

    #[test]
    fn a_minute_with_more_good_ones_than_all_is_left_out_as_one_without_sixty_seconds_is() {
        let (mut names, whole) = (Names::default(), "u".repeat(60));
        let read = minute(&row(&whole, 3, 4), &mut names).expect("reads");
        assert_eq!((read.minute, read.counts()), (2, Counts { good: 3, bad: 1 }));
        for bad in [row(&whole, 5, 4), row(&whole, -1, 4), row(&whole, 0, -4), row("uu", 3, 4)] {
            assert_eq!(minute(&bad, &mut names), None, "{bad:?}");
        }
        assert_eq!(names.0.len(), 2, "the service and the start, once each");
    }

    #[test]
    fn what_is_no_json_is_no_value_and_the_lines_beside_it_are_read() {
        assert_eq!(value::<u64>("i1", "7"), Some(7));
        assert_eq!(value::<u64>("i1", "seven"), None);
        let line = |body: &str| NewEntry {
            incident_id: "i1".to_owned(),
            at: 0,
            kind: "note".to_owned(),
            actor: "ann".to_owned(),
            body: body.to_owned(),
        };
        assert_eq!(lines(&[line("{"), line("")]), []);
    }
}
