//! What is told of the application's own document.

use tracing::{info, warn};

/// What became of the names that the application's OpenAPI document gives.
#[derive(Debug)]
pub enum ApplicationEvent<'a> {
    /// It was read, and says something new.
    Named {
        path: &'a str,
        /// Operations that have a name.
        named: usize,
        /// Those whose path is no template of whole segments.
        skipped: usize,
        /// Those beyond what may be named.
        beyond: usize,
    },
    /// It names nothing.
    NotNamed {
        path: &'a str,
        why: &'a str,
        /// Operations whose names stay.
        named: usize,
    },
}

impl ApplicationEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::Named { path, named, skipped, beyond } => {
                info!(path, named, skipped, beyond, "routes are named by the application's OpenAPI document");
            }
            Self::NotNamed { path, why, named } => {
                warn!(
                    path,
                    why,
                    named,
                    "the application's OpenAPI document names nothing, names stay as they are; this is told once"
                );
            }
        }
    }
}
