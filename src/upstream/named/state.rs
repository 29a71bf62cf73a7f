//! What is known of the document and of the names that it gave. Off the request path, behind one lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::book::NameBook;
use super::table::NamedOperation;
use crate::telemetry::application::DocumentState;

/// What is known of the application's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentView {
    /// Where it is asked for.
    pub path: String,
    /// How often.
    pub every: Duration,
    pub state: DocumentState,
    /// Why it names nothing; empty: it does, or it was not asked for yet.
    pub says: String,
    /// When it was asked for last; `None`: not yet.
    pub asked: Option<Instant>,
    /// When the one whose names are in force came; `None`: none has.
    pub read: Option<Instant>,
    /// Operations of that one which can be named, its first 500.
    pub operations: usize,
    /// Those whose path is no template of whole segments, or is that of another.
    pub skipped: usize,
    /// Those beyond the first 500.
    pub beyond: usize,
    /// Those that found no free name: too many have gone within the last hour.
    pub unnamed: usize,
}

impl DocumentView {
    /// It was not asked for yet.
    pub fn wanted(path: &str, every: Duration) -> Self {
        Self {
            path: path.to_owned(),
            every,
            state: DocumentState::Waiting,
            says: String::new(),
            asked: None,
            read: None,
            operations: 0,
            skipped: 0,
            beyond: 0,
            unnamed: 0,
        }
    }
}

/// A name whose operation is not there any more.
#[derive(Clone, Debug)]
pub struct GoneName {
    pub named: NamedOperation,
    pub since: Instant,
    /// When its history is forgotten.
    pub until: Instant,
}

/// The names that are given, and where they are from.
#[derive(Default)]
pub(in crate::upstream) struct Naming(Mutex<NamingState>);

#[derive(Default)]
pub(super) struct NamingState {
    pub(super) book: NameBook,
    /// `None`: none is wanted.
    pub(super) document: Option<DocumentView>,
}

impl Naming {
    pub(super) fn held(&self) -> MutexGuard<'_, NamingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
