//! `[ingress.concurrency]`: how many requests may be under way at once.

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use super::word::{OneOf, words};
use crate::reliability::concurrency::{AdmissionMode, ConcurrencyPolicy};

/// The table `[ingress.concurrency]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ConcurrencyFile {
    /// What becomes of requests above the limit.
    pub mode: OneOf<AdmissionMode>,
    /// The least that the limit of an upstream may be.
    pub min: u32,
    /// The most, and where it begins.
    pub max: u32,
}

impl Default for ConcurrencyFile {
    fn default() -> Self {
        let ConcurrencyPolicy { mode, min, max } = ConcurrencyPolicy::default();
        Self { mode: OneOf(mode), min, max }
    }
}

words! {
    AdmissionMode: "mode" {
        On = "on", "what is too much is refused";
        Shadow = "shadow", "what would be refused is counted and goes on";
        Off = "off", "nobody looks";
    }
}

impl ConcurrencyFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> ConcurrencyPolicy {
        let max = at.within("max", self.max, 1, 1_000_000);
        let min = at.within("min", self.min, 1, 1_000_000);
        if min > max {
            at.add("min", format!("{min} is more than max = {max}"));
        }
        ConcurrencyPolicy { mode: self.mode.0, min, max }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;
    use crate::reliability::concurrency::{AdmissionMode, ConcurrencyPolicy};

    fn read(concurrency: &str) -> Result<ConcurrencyPolicy, String> {
        let text = format!(
            "[ingress]\nconcurrency = {{ {concurrency} }}\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n"
        );
        let config = load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.ingress.expect("written").concurrency)
    }

    #[test]
    fn it_is_off_until_it_is_asked_for_and_its_bounds_are_in_order() {
        assert_eq!(read(""), Ok(ConcurrencyPolicy { mode: AdmissionMode::Off, min: 20, max: 2_000 }));
        let written = ConcurrencyPolicy { mode: AdmissionMode::Shadow, min: 5, max: 5 };
        assert_eq!(read("mode = \"shadow\", min = 5, max = 5"), Ok(written));
        assert!(read("min = 30, max = 20").expect_err("refused").contains("30 is more than max = 20"));
        assert!(read("min = 0").is_err() && read("max = 1000001").is_err());
    }
}
