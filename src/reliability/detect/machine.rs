//! Is the machine near its end?

use std::sync::Arc;

use super::{DetectPolicy, Detector, Finding, Says};
use crate::reliability::alert::{AlertLook, AlertPolicy, Sign};
use crate::reliability::readings::ResourceReading;
use crate::reliability::rule::{AlertKey, Rule, Severity};
use crate::units::At;

impl Detector {
    pub(super) fn resource(
        &mut self,
        policy: &DetectPolicy,
        reading: &ResourceReading,
        now: At,
        found: &mut Vec<Finding>,
    ) {
        let rules = &policy.resources;
        let Some((_, warn, alert)) = rules.limits.iter().find(|(what, _, _)| *what == reading.what) else {
            return;
        };
        let used = reading.used.filter(|_| now.since(reading.sampled) < rules.stale);
        let streak = self.streaks.entry((reading.what, Arc::clone(&reading.which))).or_default();
        if let Some(used) = used {
            streak.sample(used, [*warn, *alert], reading.sampled);
        }
        let streak = *streak;
        let which = if reading.which.is_empty() { String::new() } else { format!(":{}", reading.which) };
        let service: Arc<str> = Arc::from(format!("{}{which}", reading.what.label()));
        let scopes =
            [("", *alert, streak.alert, Severity::High), ("warning", *warn, streak.warn, Severity::Low)];
        for (scope, limit, samples, severity) in scopes {
            let sign = match used {
                None => Sign::Blind,
                Some(_) if samples >= rules.samples => Sign::Bad,
                Some(used) if used >= limit - rules.margin => Sign::Between,
                Some(_) => Sign::Good,
            };
            let share = used.map_or("-".to_owned(), |used| format!("{:.1}%", used * 100.0));
            found.push(Finding {
                key: AlertKey::of(Rule::Resource, &service, scope),
                look: AlertLook { sign, ripe: true, first_bad: streak.since, well_now: false },
                severity,
                policy: AlertPolicy { clear_after: policy.clear_after, ..AlertPolicy::default() },
                cause: Some(Arc::clone(&service)),
                says: (sign == Sign::Bad).then(|| {
                    Says::new(
                        format!("{service} is over {:.0}%", limit * 100.0),
                        [
                            ("used", share),
                            ("samples", samples.to_string()),
                            ("source", reading.source.clone()),
                        ],
                    )
                }),
            });
        }
    }
}
