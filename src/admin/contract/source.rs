//! How a fact came about.

use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

/// How a fact came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::admin) enum Source {
    /// Seen in traffic, or in this process.
    Observed,
    /// Asked for by active checks.
    Probed,
    /// Concluded from something else, such as the record headers of a tunnel.
    #[allow(dead_code, reason = "of the closed set that clients are made for; no answer rests on it alone")]
    Inferred,
    /// Said by somebody else: an operator, the store, a config file.
    Reported,
}
