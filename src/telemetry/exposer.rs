//! The metrics as text, in the format that is asked for.

use std::sync::{Arc, OnceLock};

use prometheus::{Encoder as _, Registry, TextEncoder};

use super::openmetrics;
use super::series::Series;

/// The metrics as text.
pub struct Exposition {
    /// The value of `Content-Type` for the format that was asked for.
    pub content_type: &'static str,
    pub body: String,
}

/// Makes expositions; its registry is made for the first one.
#[derive(Default)]
pub(super) struct Exposer(OnceLock<Registry>);

impl Exposer {
    pub(super) fn expose(
        &self,
        registry: impl FnOnce() -> Registry,
        series: impl FnOnce() -> Vec<Arc<Series>>,
        accept: Option<&str>,
    ) -> Exposition {
        let families = self.0.get_or_init(registry).gather();
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            let body = openmetrics::encode(&families, &series());
            return Exposition {
                content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body,
            };
        }
        let mut text = Vec::new();
        // Writing to a Vec cannot fail.
        let _ = TextEncoder::new().encode(&families, &mut text);
        let body = String::from_utf8(text).unwrap_or_default();
        Exposition { content_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }
}
