//! `[drill]`: whether faults may be injected by order or by the calendar, and what ends that.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use super::word::{OneOf, words};
use crate::reliability::drill::{DrillMode, DrillPolicy};
use crate::units::{Percent, Text};
use schedule::DrillScheduleFile;
pub use schedule::ScheduledDrill;

/// The table `[drill]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DrillFile {
    /// Whether drills may be ordered.
    pub mode: OneOf<DrillMode>,
    /// The largest share of an upstream's requests that a drill may hit.
    pub max_percent: Text<Percent>,
    /// The longest injection: 1 s to 1 h.
    pub max_duration: Text<Duration>,
    /// Ends a drill: so large a share of all answers of the last minute was bad.
    pub max_degraded: Text<Percent>,
    /// Ends a drill: so large a share of the exchanges that it did not touch failed.
    pub max_errors: Text<Percent>,
    /// How long after the injection its incidents are still a drill's: 30 s to 24 h.
    pub settle: Text<Duration>,
    /// The drill that begins by itself once a month; absent: none does.
    pub schedule: Option<DrillScheduleFile>,
}

impl Default for DrillFile {
    fn default() -> Self {
        let DrillPolicy { mode, most, longest, degraded, errors, settle } = DrillPolicy::default();
        Self {
            mode: OneOf(mode),
            max_percent: Text(most),
            max_duration: Text(longest),
            max_degraded: Text(degraded),
            max_errors: Text(errors),
            settle: Text(settle),
            schedule: None,
        }
    }
}

words! {
    DrillMode: "mode" {
        On = "on", "drills may be ordered";
        Off = "off", "no fault is ever injected";
    }
}

impl DrillFile {
    /// The drill that begins by itself; `upstreams`: those that there are.
    pub(super) fn schedule(&self, mut at: Part<'_, '_>, upstreams: &[&str]) -> Option<Arc<ScheduledDrill>> {
        let bounds = (self.max_percent.0, self.max_duration.0);
        let schedule = self.schedule.as_ref()?.check(at.part("schedule"), bounds, upstreams);
        schedule.map(Arc::new)
    }

    pub(super) fn check(&self, mut at: Part<'_, '_>) -> DrillPolicy {
        for (key, share) in [
            ("max_percent", self.max_percent.0),
            ("max_degraded", self.max_degraded.0),
            ("max_errors", self.max_errors.0),
        ] {
            if share == Percent::of(0) {
                at.add(key, "is 0%; write more than nothing, or mode = \"off\"");
            }
        }
        DrillPolicy {
            mode: self.mode.0,
            most: self.max_percent.0,
            longest: at.lasts("max_duration", self.max_duration, 1, 3_600),
            degraded: self.max_degraded.0,
            errors: self.max_errors.0,
            settle: at.lasts("settle", self.settle, 30, 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn read(drill: &str) -> Result<DrillPolicy, String> {
        let text =
            format!("[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[drill]\n{drill}\n");
        load(&text, "a test", &[]).map(|config| config.drill).map_err(|problems| problems.to_string())
    }

    #[test]
    fn it_is_off_until_it_is_asked_for_and_has_its_bounds() {
        assert_eq!(read(""), Ok(DrillPolicy::default()));
        assert_eq!(DrillPolicy::default().mode, DrillMode::Off);
        let on = read("mode = \"on\"\nmax_percent = \"100%\"\nmax_duration = \"1h\"").expect("runs");
        assert_eq!(
            (on.mode, on.most, on.longest),
            (DrillMode::On, Percent::WHOLE, Duration::from_secs(3_600))
        );
        for (written, told) in [
            ("max_duration = \"2h\"", "2h is not within 1s to 1h"),
            ("settle = \"5s\"", "5s is not within 30s to 1d"),
            ("max_percent = \"0%\"", "is 0%"),
            ("mode = \"yes\"", "mode"),
        ] {
            let problems = read(written).expect_err(written);
            assert!(problems.contains(told), "{written}: {problems}");
        }
    }
}
