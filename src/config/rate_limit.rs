//! `rate_limit = { … }` of a route: how often one client may ask.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use super::word::OneOf;
use crate::reliability::concurrency::AdmissionMode;
use crate::reliability::rate_limit::RateLimitPolicy;
use crate::units::{Text, secs};

/// `rate_limit = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitFile {
    /// What becomes of requests that are too many.
    pub mode: OneOf<AdmissionMode>,
    /// Requests of one client in each window; required.
    pub requests: u32,
    /// How long a window is.
    pub per: Text<Duration>,
    /// The field whose value tells clients apart, such as "X-Api-Key"; absent, or where a request has none: their address.
    pub header: Option<String>,
}

/// What is written of it is meant; a minute is what most public APIs count in.
impl Default for RateLimitFile {
    fn default() -> Self {
        Self { mode: OneOf(AdmissionMode::On), requests: 0, per: secs(60), header: None }
    }
}

impl RateLimitFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> RateLimitPolicy {
        if !(1..=1_000_000).contains(&self.requests) {
            at.add(
                "requests",
                format!("{} is not within 1 to 1000000; write how many a window", self.requests),
            );
        }
        let named = |name: &String| !name.is_empty() && http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if self.header.as_ref().is_some_and(|name| !named(name)) {
            at.add("header", "is no name of a field; write one such as \"X-Api-Key\"");
        }
        let per = at.lasts("per", self.per, 1, 3_600);
        let header = self.header.as_ref().map(|name| name.to_ascii_lowercase());
        RateLimitPolicy { mode: self.mode.0, requests: self.requests, per, header }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    #[test]
    fn a_route_has_one_only_where_it_is_written_and_says_how_many() {
        let read = |limit: &str| {
            let text = format!(
                "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[[routes]]\nname = \"a\"\n{limit}\n"
            );
            load(&text, "a test", &[])
                .map(|config| config.routes[0].rate_limit.clone())
                .map_err(|e| e.to_string())
        };
        assert_eq!(read(""), Ok(None));
        let written = read("rate_limit = { requests = 5, per = \"1s\", header = \"X-Api-Key\" }");
        assert_eq!(written.expect("it can run").expect("written").header.as_deref(), Some("x-api-key"));
        assert!(read("rate_limit = {}").expect_err("refused").contains("how many a window"));
        assert!(
            read("rate_limit = { requests = 5, header = \"a b\" }").expect_err("refused").contains("no name")
        );
        assert!(read("rate_limit = { requests = 5, per = \"2h\" }").is_err());
    }
}
