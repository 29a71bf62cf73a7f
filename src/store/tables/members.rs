//! The tables of a fleet of the moment: `members`, who runs, and `news`, how often incidents and silences have changed.

use std::time::Duration;

use super::table::{Class, Exported, Kept, Table};

/// A member that was not seen for so long is gone.
const GONE: Duration = Duration::from_secs(86_400);

pub(in crate::store) const TABLE: Table = Table {
    name: "members",
    exported: Exported::Nothing,
    kept: Kept::Class(Class {
        age: |_| GONE,
        // Who runs at the moment is no history.
        count: None,
        delete: &["DELETE FROM members WHERE seen_at < $1"],
        is_sealed: false,
    }),
};

pub(in crate::store) const NEWS: Table =
    Table { name: "news", exported: Exported::Nothing, kept: Kept::Always };
