//! A config as a world in which nothing runs, for whoever asks what would become of a request.

use std::sync::Arc;

use super::claimed;
use crate::config::Config;
use crate::proxy::explain;
pub use crate::proxy::explain::{AskedRequest, ExplainedRequest};
use crate::runtime::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessLog;
use crate::upstream::registry::Registry;

/// What would become of a request where this config runs. Nobody is asked, and nothing is looked up.
pub fn request(config: &Config, asked: &AskedRequest) -> Result<ExplainedRequest, String> {
    let running = Arc::new(claimed(config, config.admin.listen));
    let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
    let (registry, _) = Registry::new(running, telemetry, 1);
    explain::explain(config, &registry.snapshot(), asked)
}
