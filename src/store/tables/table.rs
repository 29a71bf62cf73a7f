//! What is known of a table beside its rows: what a backup holds of it, and how long its rows stay.

use std::time::Duration;

use crate::config::Retention;

/// One table of the schema.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) exported: Exported,
    pub(in crate::store) kept: Kept,
}

/// What a backup holds of a table.
#[derive(Debug)]
pub(in crate::store) enum Exported {
    /// All rows: their columns, and the columns that order them.
    Rows { columns: &'static [&'static str], order: &'static str },
    /// Nothing: its rows belong to the writers and members of the moment.
    Nothing,
}

/// How long the rows of a table stay.
#[derive(Debug)]
pub(in crate::store) enum Kept {
    /// For ever: a few rows that are written over.
    Always,
    /// As long as their incident, whose class deletes them with it.
    WithIncident,
    /// From the oldest on without a hole: the audit chain.
    Chain,
    Class(Class),
}

/// Rows that are deleted by their age.
#[derive(Debug)]
pub(in crate::store) struct Class {
    pub(in crate::store) age: fn(&Retention) -> Duration,
    /// How many there are, for a pass takes a share of them; `None`: a pass takes all that are old enough.
    pub(in crate::store) count: Option<&'static str>,
    /// Deletes the oldest of those before `$1`, `$2` of them where they are counted.
    pub(in crate::store) delete: &'static [&'static str],
    /// The audit chain seals its rows, so the audit log says what a pass took.
    pub(in crate::store) is_sealed: bool,
}
