//! `throttle = { … }`: asking an upstream less while it turns requests away.

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::Part;
use crate::config::word::OneOf;
use crate::reliability::concurrency::AdmissionMode;
use crate::reliability::throttle::ThrottlePolicy;

/// `throttle = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleFile {
    /// What becomes of requests that are too many.
    pub mode: OneOf<AdmissionMode>,
    /// Requests for each that the upstream takes before any is refused here; 1.1 to 10.
    pub k: f64,
}

impl Default for ThrottleFile {
    fn default() -> Self {
        let ThrottlePolicy { mode, k } = ThrottlePolicy::default();
        Self { mode: OneOf(mode), k }
    }
}

impl ThrottleFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> ThrottlePolicy {
        if !(1.1..=10.0).contains(&self.k) {
            at.add("k", format!("{} is not within 1.1 to 10; write 2.0", self.k));
        }
        ThrottlePolicy { mode: self.mode.0, k: self.k }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;
    use crate::reliability::concurrency::AdmissionMode;

    #[test]
    fn it_is_off_until_it_is_asked_for() {
        let read = |throttle: &str| {
            let text = format!(
                "[egress]\n[upstreams.a]\nendpoints = [\"127.0.0.1:1\"]\nthrottle = {{ {throttle} }}\n"
            );
            load(&text, "a test", &[]).map(|config| config.upstreams[0].throttle).map_err(|e| e.to_string())
        };
        let plain = read("").expect("it can run");
        assert_eq!((plain.mode, plain.k), (AdmissionMode::Off, 2.0));
        assert_eq!(read("mode = \"on\", k = 1.5").expect("it can run").mode, AdmissionMode::On);
        assert!(read("k = 1.0").expect_err("refused").contains("not within 1.1 to 10"));
    }
}
